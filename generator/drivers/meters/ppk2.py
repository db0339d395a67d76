"""Nordic's Power Profiler Kit II, by the package ppk2-api, which has its commands and its calibration.

A sample is a little-endian word of 32 bits, 100,000 of them a second: 14 bits of the converter, 3 of the range, 6 that
count samples, 8 of the inputs D0 to D7. The package makes currents of them; the count is looked at here.
"""

from __future__ import annotations

import contextlib
import time
from types import ModuleType
from typing import Any

import numpy as np

from edgewright.drivers.meters.core import SETTLE_S, Meter, MeterOptions, Stream, package
from edgewright.drivers.meters.windows import Recording, edges_of_samples
from edgewright.errors import MeterError

PERIOD_S = 1e-5
_COUNT_BITS, _COUNT_SHIFT, _LOGIC_SHIFT = 6, 18, 24
_POWER_UP_S = 0.3
_PORT_TIMEOUT_S = 1.0
_CALIBRATION_TRIES = 3


class Ppk2(Meter):
    """As source: it feeds the board."""

    title = "PPK2"
    channels = tuple(f"D{number}" for number in range(8))
    supply_range_v = (0.8, 5.0)
    feeds = True

    @staticmethod
    def import_package() -> ModuleType:
        """Import it. Raises: ToolError."""
        return package("ppk2_api.ppk2_api", "ppk2-api", "ppk2")

    def __init__(self, options: MeterOptions) -> None:
        super().__init__(options)
        self._ppk: Any = None
        self._stream: Stream | None = None
        api = self.import_package().PPK2_API
        self._port = options.address or _only(api.list_devices())
        try:
            self._ppk = api(
                self._port, timeout=_PORT_TIMEOUT_S, write_timeout=_PORT_TIMEOUT_S, exclusive=True
            )  # fmt: skip
        except (OSError, ValueError) as error:  # pyserial's own are OSError
            raise MeterError(f"PPK2: cannot open port '{self._port}': {error}") from error
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        """Stop what a program before left running, read the calibration, and switch the board on."""
        ppk = self._ppk
        with self.told(f"PPK2 on {self._port}"):
            ppk.stop_measuring()
            time.sleep(SETTLE_S)
            ppk.get_data()
            known = self._read_calibration()
            if known:
                (ppk.use_source_meter if self.feeds else ppk.use_ampere_meter)()
                ppk.set_source_voltage(round(self.supply_v * 1000))
                ppk.toggle_DUT_power("ON")
        if not known:
            raise MeterError(f"PPK2: what is on port '{self._port}' does not answer as a PPK2")
        time.sleep(_POWER_UP_S)

    def _read_calibration(self) -> bool:
        """Whether it could be read. The package drops what comes before a pause; its first line tells that all came."""
        for _ in range(_CALIBRATION_TRIES):
            if self._ppk.get_modifiers() and self._ppk.modifiers["Calibrated"] is not None:
                return True
        return False

    def close(self) -> None:
        """Close the port; the board stays powered."""
        ppk, self._ppk = self._ppk, None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.end()
        if ppk is not None:
            with contextlib.suppress(Exception):
                ppk.stop_measuring()
            with contextlib.suppress(Exception):
                ppk.ser.close()

    def start(self) -> None:
        """Begin to record."""
        ppk = self._ppk
        with self.told(f"PPK2 on {self._port}"):
            ppk.get_data()
            ppk.remainder = {"sequence": b"", "len": 0}
            ppk.rolling_avg = ppk.rolling_avg4 = ppk.prev_range = None
            ppk.consecutive_range_samples = ppk.after_spike = 0
            self._stream = Stream(ppk.get_data)
            self._stream.start()
            ppk.start_measuring()
        self._stream.wait_for_first(f"PPK2 on {self._port}")
        time.sleep(SETTLE_S)

    def stop(self) -> Recording:
        """End, and decode."""
        stream, self._stream = self._stream, None
        if stream is None:
            raise MeterError("PPK2: not started")
        time.sleep(SETTLE_S)
        with self.told(f"PPK2 on {self._port}"):
            self._ppk.stop_measuring()
        stream.wait_until_quiet()
        raw = stream.bytes(f"PPK2 on {self._port}")
        words = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<u4")
        _check_count(words)
        with self.told(f"PPK2 on {self._port}"):
            currents_ua, _ = self._ppk.get_samples(words.tobytes())
        if len(currents_ua) != len(words):
            raise MeterError(f"PPK2: {len(words) - len(currents_ua)} of {len(words)} samples make no current")
        bit = _LOGIC_SHIFT + self.channels.index(self.channel)
        edges, starts_high = edges_of_samples(words >> np.uint32(bit) & 1, PERIOD_S)
        how = "source" if self.feeds else "ampere meter"
        return Recording(
            np.asarray(currents_ua, dtype=np.float64) * 1e-6, self.supply_v, PERIOD_S, edges, starts_high,
            f"PPK2 as {how}", self.channel,
        )  # fmt: skip


class Ppk2Ampere(Ppk2):
    """As ampere meter: something else feeds the board, with the voltage that the user says."""

    feeds = False


def _check_count(words: Any) -> None:
    """Raise MeterError where samples are missing: time is counted by samples."""
    if len(words) < 2:
        raise MeterError(f"PPK2: {len(words)} samples came")
    counts = words >> np.uint32(_COUNT_SHIFT) & np.uint32((1 << _COUNT_BITS) - 1)
    steps = np.diff(counts.astype(np.int64)) % (1 << _COUNT_BITS)
    gaps = int(np.count_nonzero(steps != 1))
    if gaps:
        raise MeterError(f"PPK2: of {len(words):,} samples some were lost at {gaps} places. Is this computer busy?")


def _only(ports: Any) -> str:
    """The only port there is. Newer packages tell the serial number with each."""
    names = [port if isinstance(port, str) else port[0] for port in ports]
    if len(names) != 1:
        there = ", ".join(names) or "none"
        raise MeterError(f"PPK2: expected one, there is {there}: say which by --meter ppk2:PORT")
    return str(names[0])

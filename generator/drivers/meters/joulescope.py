"""Jetperch's Joulescope JS220 and JS110, by the package pyjoulescope_driver: topics are published and subscribed to.

It feeds no board: it sits in the supply line and measures voltage and current. A stream comes in blocks; `sample_id`
counts at the instrument's own rate; the bits of an input are packed, eight samples a byte, the first in the lowest bit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from types import ModuleType
from typing import Any

import numpy as np

from edgewright.drivers.meters.core import FIRST_SAMPLES_S, SETTLE_S, Lock, Meter, MeterOptions, package
from edgewright.drivers.meters.windows import Recording, edges_of_samples
from edgewright.errors import MeterError

MOST_SAMPLES = 400_000_000  # of all signals in a recording, bits by the byte: 1.6 GB
_SET_UP = {
    "js220": (("s/i/range/mode", "auto"), ("s/v/range/mode", "auto"), ("c/gpio/vref", "3v3")),
    "js110": (("s/i/range/select", "auto"), ("s/v/range/select", "15 V")),
}
_JS110_LSB = {"GPI0": ("s/i/lsb_src", "gpi0"), "GPI1": ("s/v/lsb_src", "gpi1")}  # whose lowest bit the input takes


class Joulescope(Meter):
    """Address: the end of its serial number."""

    title = "Joulescope"
    channels = ("GPI0", "GPI1", "GPI2", "GPI3")

    @staticmethod
    def import_package() -> ModuleType:
        """Import it. Raises: ToolError."""
        return package("pyjoulescope_driver", "pyjoulescope_driver", "joulescope")

    def __init__(self, options: MeterOptions) -> None:
        super().__init__(options)
        driver = self.import_package().Driver
        self._blocks: dict[str, list[dict[str, Any]]] = {}
        self._guard = threading.Lock()
        self._kept = 0  # samples
        self._open = False
        self._lock: Lock | None = None
        self._device = ""
        try:
            self._driver = driver()
        except Exception as error:
            raise MeterError(f"Joulescope: its driver does not start: {error}") from error
        try:
            with self.told(f"Joulescope {self._device}"):
                paths = [str(path) for path in self._driver.device_paths()]
            wanted = (options.address or "").lower()
            fits = [path for path in paths if path.lower().endswith(wanted)]
            if len(fits) != 1:
                there = ", ".join(paths) or "none"
                raise MeterError(f"Joulescope: expected one, there is {there}: say which by --meter joulescope:SERIAL")
            self._device = fits[0]
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        model = next((name for name in _SET_UP if name in self._device.lower()), None)
        if model is None or (model == "js110" and self.channel not in _JS110_LSB):
            raise MeterError(f"Joulescope: {self._device} with the marker on {self.channel} is none that is known here")
        self._lock = Lock(f"Joulescope {self._device}")
        settings = [*_SET_UP[model], *([_JS110_LSB[self.channel]] if model == "js110" else [])]
        with self.told(f"Joulescope {self._device}"):
            self._driver.open(self._device, mode="defaults")
            self._open = True
            for topic, value in settings:
                self._driver.publish(f"{self._device}/{topic}", value)

    @property
    def _signals(self) -> tuple[str, str, str]:
        return "s/i", "s/v", f"s/gpi/{self.channel[-1]}"

    def close(self) -> None:
        """Close the instrument; current flows on."""
        if self._open:
            self._open = False
            self._stop_streams()
            with contextlib.suppress(Exception):
                self._driver.close(self._device)
        with contextlib.suppress(Exception):
            self._driver.finalize()
        if self._lock is not None:
            self._lock.close()

    def start(self) -> None:
        """Begin to record."""
        with self._guard:
            self._blocks, self._kept = {signal: [] for signal in self._signals}, 0
        with self.told(f"Joulescope {self._device}"):
            for signal in self._signals:
                self._driver.subscribe(f"{self._device}/{signal}/!data", ["pub"], self._on_data)
            for signal in self._signals:
                self._driver.publish(f"{self._device}/{signal}/ctrl", 1)
        deadline = time.monotonic() + FIRST_SAMPLES_S
        while not all(self._blocks.values()):
            if time.monotonic() > deadline:
                self._stop_streams()
                raise MeterError(f"Joulescope {self._device} sent no sample within {FIRST_SAMPLES_S:g} s")
            time.sleep(0.001)
        time.sleep(SETTLE_S)

    def stop(self) -> Recording:
        """End, and put the blocks together."""
        time.sleep(2 * SETTLE_S)
        self._stop_streams()
        with self._guard:
            blocks, self._blocks = self._blocks, {}
        if self._kept > MOST_SAMPLES:
            raise MeterError(f"Joulescope {self._device}: the run is too long for one recording: run fewer samples")
        current, voltage, line = (_joined(signal, blocks.get(signal, [])) for signal in self._signals)
        # what all three have, counted at the instrument's rate
        first = max(current.first, voltage.first, line.first)
        last = min(current.end, voltage.end, line.end)
        if last - first < 2 * current.step or current.step != voltage.step or current.rate != line.rate:
            raise MeterError(f"Joulescope {self._device}: current, voltage and {self.channel} do not fit each other")
        edges, starts_high = edges_of_samples(line.between(first, last), line.step / line.rate)
        model = next(part for part in self._device.upper().split("/") if part.startswith("JS"))
        return Recording(
            current.between(first, last), voltage.between(first, last), current.step / current.rate, edges, starts_high,
            f"Joulescope {model}", self.channel,
        )  # fmt: skip

    def _on_data(self, topic: str, value: dict[str, Any]) -> None:
        """Keep a block; called by the driver's thread."""
        signal = topic[len(self._device) + 1 :].removesuffix("/!data")
        with self._guard:
            kept = self._blocks.get(signal)
            if kept is not None:
                self._kept += len(value["data"])
                if self._kept <= MOST_SAMPLES:
                    kept.append(value)

    def _stop_streams(self) -> None:
        for signal in self._signals:
            with contextlib.suppress(Exception):
                self._driver.publish(f"{self._device}/{signal}/ctrl", 0)
            with contextlib.suppress(Exception):
                self._driver.unsubscribe(f"{self._device}/{signal}/!data", self._on_data)


class _Joined:
    """A signal without gaps: values from sample `first` on, `step` of the instrument's samples each."""

    def __init__(self, values: Any, first: int, step: int, rate: float) -> None:
        self._values = values
        self.first, self.step, self.rate = first, step, rate
        self.end = first + len(values) * step

    def between(self, first: int, last: int) -> Any:
        """Values from one sample number to another."""
        return self._values[(first - self.first) // self.step : (last - self.first) // self.step]


def _joined(signal: str, blocks: list[dict[str, Any]]) -> _Joined:
    """Put blocks together. Raises: MeterError where one is missing.

    A block of bits does not tell how many there are: the next one's number does; of the last block, all are taken,
    and those that are padding go with what the other signals do not have.
    """
    if not blocks:
        raise MeterError(f"Joulescope: nothing came of {signal}")
    step, parts = int(blocks[0]["decimate_factor"]), []
    for index, block in enumerate(blocks):
        values = np.asarray(block["data"])
        is_bits = values.dtype == np.uint8
        if is_bits:
            values = np.unpackbits(values, bitorder="little")
        if index + 1 < len(blocks):
            count = (int(blocks[index + 1]["sample_id"]) - int(block["sample_id"])) // step
            fewest = len(values) - 7 if is_bits else len(values)
            if not fewest <= count <= len(values):
                raise MeterError(f"Joulescope: samples of {signal} were lost on the way. Is this computer busy?")
            values = values[:count]
        parts.append(values)
    return _Joined(np.concatenate(parts), int(blocks[0]["sample_id"]), step, float(blocks[0]["sample_rate"]))

"""ST's PowerShield (X-NUCLEO-LPM01A, or the one on the STM32L562E-DK), by its commands in ASCII over a serial port.

Commands are those of UM2269, as its `help` and MLCommons' runner have them. Values are
lines such as 6409-07 (6409e-7).
It has no input that is sampled: it tells falling edges of D7 between two values, and no other edges are asked for here.
Windows therefore end at these edges, and are as long as the board's timer says.
"""

from __future__ import annotations

import contextlib
import re
import time

import numpy as np
import serial

from edgewright.drivers.meters.core import SETTLE_S, Meter, MeterOptions, Stream
from edgewright.drivers.meters.windows import Recording
from edgewright.drivers.ports import resolve_port
from edgewright.errors import MeterError, PortError

BAUD = 3_686_400  # over USB; any would do
SAMPLE_HZ = 5000  # the most that ASCII can do for ever
_ANSWER_S = 5.0
_POWER_UP_S = 0.3
_USB = "0483:5740"  # ST's virtual port
_VALUE = re.compile(r"(\d{4})([+-]\d{2})")
_EVENT = re.compile(r"event \d+ (?:ris|fal)\w*")
_CLOCK = re.compile(r"TimeStamp:")
_PROMPT = "PowerShield >"


class Lpm01a(Meter):
    """It feeds the board, and integrates: each value is the energy since the last one."""

    title = "LPM01A"
    channels = ("D7",)
    supply_range_v = (1.8, 3.3)

    def __init__(self, options: MeterOptions) -> None:
        super().__init__(options)
        self._stream: Stream | None = None
        self._heard = ""
        try:
            self._url = resolve_port(options.address or _USB)
            self._port = serial.serial_for_url(
                self._url, baudrate=BAUD, timeout=0, write_timeout=_ANSWER_S, exclusive=True
            )
        except PortError as error:
            raise MeterError(f"LPM01A: {error}: say which by --meter lpm01a:PORT") from error
        except (OSError, ValueError) as error:
            raise MeterError(f"LPM01A: cannot open port '{options.address}': {error}") from error
        try:
            self._take_over()
        except BaseException:
            self.close()
            raise

    def _take_over(self) -> None:
        """Take control, set everything that a measurement depends on, switch the board on."""
        self._port.reset_input_buffer()
        for command in (
            "htc", "acqtime 0", "trigdelay 0", "trigsrc sw", "eventsrc d7 fal", "output energy", "format ascii_dec",
            f"freq {SAMPLE_HZ // 1000}k", f"volt {round(self.supply_v * 1000)}m", "pwr on", "pwrend on",
        ):  # fmt: skip
            self._command(command)
        time.sleep(_POWER_UP_S)

    def close(self) -> None:
        """Give control back and close the port; the board stays powered."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.end()
            self._send("stop")
        self._send("hrc")
        with contextlib.suppress(OSError):
            self._port.close()

    def start(self) -> None:
        """Begin to record."""
        self._command("start")
        self._stream = Stream(self._read)
        self._stream.start()
        self._stream.wait_for_first(f"LPM01A on {self._url}")
        time.sleep(SETTLE_S)

    def stop(self) -> Recording:
        """End, and read the lines."""
        stream, self._stream = self._stream, None
        if stream is None:
            raise MeterError("LPM01A: not started")
        time.sleep(SETTLE_S)
        try:
            self._port.write(b"stop\r\n")
        except OSError as error:
            stream.end()
            raise MeterError(f"LPM01A on {self._url}: {error}") from error
        stream.wait_until_quiet()
        text = self._heard + stream.bytes(f"LPM01A on {self._url}").decode("ascii", errors="replace")
        self._heard = ""
        joules, ends = _values(text)
        period = 1 / SAMPLE_HZ
        return Recording(
            joules / (period * self.supply_v), self.supply_v, period, ends * period, False,
            self.title, self.channel, ends_only=True,
        )  # fmt: skip

    def _command(self, command: str) -> None:
        """Send a command and wait until it is acknowledged. Raises: MeterError."""
        deadline = time.monotonic() + _ANSWER_S
        try:
            self._port.write(f"{command}\r\n".encode("ascii"))
            while True:
                before, found, after = self._heard.partition("\n")
                if found:
                    self._heard = after
                    line = before.replace(_PROMPT, "").strip("\r\0 ")
                    if line == f"ack {command}" or line.startswith(f"ack {command} "):
                        return
                    if line.lower().startswith("error"):
                        raise MeterError(f"LPM01A on {self._url} refuses '{command}': {line}")
                elif time.monotonic() > deadline:
                    raise MeterError(f"LPM01A on {self._url}: '{command}' was not acknowledged within {_ANSWER_S:g} s")
                else:
                    self._heard += self._read().decode("ascii", errors="replace")
                    time.sleep(0.001)
        except OSError as error:
            raise MeterError(f"LPM01A on {self._url}: {error}") from error

    def _read(self) -> bytes:
        return bytes(self._port.read(max(1, self._port.in_waiting)))

    def _send(self, command: str) -> None:
        with contextlib.suppress(OSError):
            self._port.write(f"{command}\r\n".encode("ascii"))


def _values(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return joules a sample, and before which sample each falling edge was. Raises: MeterError for any other line.

    A summary follows behind the last value, after a line 'end'.
    """
    joules: list[float] = []
    ends: list[int] = []
    for raw in text.split("\n"):
        line = raw.replace(_PROMPT, "").strip("\r\0 ")
        value = _VALUE.fullmatch(line)
        if value:
            joules.append(int(value[1]) * 10.0 ** int(value[2]))
        elif _EVENT.fullmatch(line):
            ends.append(len(joules))
        elif line == "end" or line.startswith(("summary", "ack stop", "Acquisition completed")):
            break
        elif line and not _CLOCK.match(line) and not line.startswith("ack start"):
            raise MeterError(f"LPM01A: among the samples came '{line}'")
    if not joules:
        raise MeterError("LPM01A: no samples came")
    return np.asarray(joules), np.asarray(ends, dtype=np.float64)

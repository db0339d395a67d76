"""The host's end of MLPerf Tiny's serial protocol, and a board that speaks it as a device like any other.

In: commands. Out: their lines. docs/MLPERF.md has the protocol; the official runner speaks it too, this one is for
`flash`, `run` and `deploy` of a firmware with --front mlperf.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edgewright.closing import Closing
from edgewright.drivers.device import DeviceRun, LinkDevice, Progress
from edgewright.drivers.exchange import DeviceCrashError
from edgewright.drivers.frames import parse_fault
from edgewright.drivers.line import Line
from edgewright.errors import DeviceError, PortError
from edgewright.ir import Array
from edgewright.manifest import Manifest

READY = "m-ready"
CHUNK_BYTES = 31  # of a sample in one command, as the official runner sends
ANSWER_S = 5.0
CONNECT_S = 10.0
_HELLO_S = 0.5
_LARGEST_LINE_BYTES = 1 << 22
_PROFILE = re.compile(r"m-(profile|model|build)-\[([^\]]*)\]")


class MlperfLine(Closing):
    """An open line to a firmware with the MLPerf front."""

    def __init__(self, url: str, baudrate: int = 115200) -> None:
        self._line = Line(url, baudrate, ANSWER_S)
        self._heard = b""

    def close(self) -> None:
        """Close the port."""
        self._line.close()

    def connect(self) -> None:
        """Bring the line into step, whatever was on it before. Raises: PortError where nobody answers."""
        deadline = time.monotonic() + CONNECT_S
        while time.monotonic() < deadline:
            try:
                self._line.write(b"%name%")
                lines = self._lines_until(lambda line: line.startswith("m-name-dut-["), _HELLO_S)
                if lines is not None and self._lines_until(lambda line: line == READY, ANSWER_S) is not None:
                    while self._line.read(time.monotonic() + 0.05):  # answers to names that were asked before
                        pass
                    self._heard = b""
                    return
            except DeviceError as error:
                raise PortError(f"{error}, before any answer") from error
        raise PortError(
            f"{self._line.url}: nothing answered 'name%' in {CONNECT_S:g} s. Does the board run firmware made with "
            "--front mlperf, and is the baud rate right?"
        )

    def ask(self, command: str, timeout_s: float = ANSWER_S) -> list[str]:
        """Return the lines that answer a command, without the last, which is m-ready.

        Raises: DeviceError where that does not come in time, or where a line reports an error.
        """
        self._line.write(f"{command}%".encode("ascii"))
        limit_s = timeout_s + self._line.seconds_for(len(command))
        lines = self._lines_until(lambda line: line == READY, limit_s)
        shown = command if len(command) < 40 else f"{command[:40]}..."
        if lines is None:
            raise DeviceError(f"{self._line.url}: '{shown}%' was not answered within {limit_s:g} s")
        for line in lines:
            if (fault := parse_fault(line.encode("ascii", errors="replace"))) is not None:
                raise DeviceCrashError(f"{self._line.url}: the device crashed", fault)
            if line.startswith("e-"):
                raise DeviceError(f"{self._line.url}: '{shown}%' was answered with {line}")
        return lines[:-1]

    def profile(self) -> dict[str, str]:
        """Return `profile`, `model` and `build` as the device says them."""
        return {found[1]: found[2] for line in self.ask("profile") if (found := _PROFILE.fullmatch(line))}

    def load(self, data: bytes) -> None:
        """Send the bytes of one inference. Raises: DeviceError where they do not all arrive."""
        self.ask(f"db load {len(data)}")
        last: list[str] = []
        for start in range(0, len(data), CHUNK_BYTES):
            last = self.ask(f"db {data[start : start + CHUNK_BYTES].hex()}")
        if "m-load-done" not in last:
            raise DeviceError(f"{self._line.url}: {len(data)} bytes were sent, and the device still waits for more")

    def infer(self, count: int = 1, warmups: int = 0, timeout_s: float = ANSWER_S) -> tuple[list[str], list[int]]:
        """Run the loaded sample; return its results as they were written, and the timestamps in microseconds."""
        lines = self.ask(f"infer {count} {warmups}", timeout_s)
        values = next((line[len("m-results-[") : -1] for line in lines if line.startswith("m-results-[")), None)
        if values is None:
            raise DeviceError(f"{self._line.url}: no results came with 'infer'")
        laps = [int(line[9:]) for line in lines if re.fullmatch(r"m-lap-us-\d{1,18}", line)]
        return (values.split(",") if values else []), laps

    def _lines_until(self, last: Callable[[str], bool], timeout_s: float) -> list[str] | None:
        """Return the lines up to one that is the last; None where it does not come in time."""
        deadline, lines = time.monotonic() + timeout_s, []
        while True:
            while b"\n" in self._heard:
                raw, _, self._heard = self._heard.partition(b"\n")
                line = raw.decode("ascii", errors="replace").strip("\r\0")
                if line:
                    lines.append(line)
                if last(line):
                    return lines
            if time.monotonic() >= deadline:
                return None
            self._heard += self._line.read(deadline)
            if len(self._heard) > _LARGEST_LINE_BYTES:
                raise DeviceError(f"{self._line.url}: a line without an end came")


class MlperfDevice(LinkDevice):
    """A board whose firmware speaks MLPerf Tiny's protocol, in the performance form; a batch is one sample."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._dut: MlperfLine | None = None
        self._runs = 0  # inferences since this device was opened

    def close(self) -> None:
        """Close the line, and end the emulator or process that was started for it."""
        try:
            if self._dut is not None:
                self._dut.close()
        finally:
            self._dut = None
            super().close()

    def prepare_for_inference(self) -> None:
        """Find the device, and check that it runs this very build."""
        if self._dut is None:
            self._dut = MlperfLine(self._url, self._baudrate)
        with self._emulator_watched():
            self._dut.connect()
            said = self._dut.profile()
        self._check_build(said.get("build", "unknown"), said.get("model", "?"))
        self._timer_hz = 1_000_000

    def _run(self, packed: Array, batch_size: int | None, on_progress: Progress | None) -> tuple[Array, DeviceRun]:
        if self._dut is None:
            raise DeviceError(f"{self._url}: the device is closed")
        manifest = self.firmware.manifest
        if manifest.front == "mlperf-energy":
            raise DeviceError(
                f"{self._url}: the energy form has no timestamps on its line, it is for a power meter and its runner: "
                "generate with --front mlperf to run samples from here"
            )
        n_bytes = max((port.offset_bytes + port.size_bytes for port in manifest.inputs), default=0)
        outputs = np.zeros((len(packed), manifest.output_bytes), np.uint8)
        ticks, first_at, before = np.zeros(len(packed), np.uint64), 0.0, self._runs
        started = time.monotonic()
        with self._emulator_watched():
            for index, sample in enumerate(packed):
                if n_bytes:
                    self._dut.load(sample.tobytes()[:n_bytes])
                texts, laps = self._dut.infer(timeout_s=self._inference_timeout_s)
                self._runs += 1
                outputs[index] = _packed_outputs(texts, manifest)
                if len(laps) != 2 or laps[1] < laps[0]:
                    raise DeviceError(f"{self._url}: the timestamps of one inference are {laps}")
                ticks[index] = laps[1] - laps[0]
                first_at = first_at or time.monotonic()
                if on_progress is not None:
                    on_progress(index + 1)
        run = DeviceRun({}, len(packed), len(packed), time.monotonic() - started, first_at)
        return outputs, self._measured(run, ticks, before + np.arange(len(packed)))


def _packed_outputs(texts: list[str], manifest: Manifest) -> Array:
    """Read the numbers of one inference into a packed sample. Raises: DeviceError where they do not fit the model.

    Nine digits tell each float32 from the next, so that they come out to the bit.
    """
    sample, at = np.zeros(manifest.output_bytes, np.uint8), 0
    for port in manifest.outputs:
        count = port.size_bytes // port.dtype.size_bytes
        words, at = texts[at : at + count], at + count
        try:
            values = np.array([float(w) if port.dtype.numpy.kind == "f" else int(w) for w in words], port.dtype.numpy)
        except (ValueError, OverflowError) as error:
            raise DeviceError(f"the results of '{port.name}' are not {port.dtype.value} numbers: {error}") from error
        if len(values) != count:
            break
        sample[port.offset_bytes : port.offset_bytes + port.size_bytes] = np.frombuffer(values.tobytes(), np.uint8)
    if at != len(texts):
        raise DeviceError(f"{len(texts)} results came; the model has {at}")
    return sample

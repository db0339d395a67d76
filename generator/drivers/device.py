"""Devices: everything that can run a built model has these methods, be it in-process, emulated or on a desk.

In: a `Firmware` and arrays. Out: a `DeviceRun`. A device is a context manager and leaves no process behind.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from edgewright.boards.resets import ResetCause
from edgewright.build import Firmware
from edgewright.closing import Closing
from edgewright.drivers.crash import describe_fault
from edgewright.drivers.emulator import Emulator, Mode, start_emulator
from edgewright.drivers.exchange import DeviceCrashError
from edgewright.drivers.frames import Fault, Region
from edgewright.drivers.icount import Parts
from edgewright.drivers.link import BatchRun, Link, LinkStats, Reset
from edgewright.drivers.meters.windows import Energy
from edgewright.drivers.process import Background, start
from edgewright.errors import DeviceError, InternalError, PortError, TargetError
from edgewright.ir import Array
from edgewright.manifest import MadeFacts
from edgewright.samples import DataSet, check_data, pack, unpack

LOG = logging.getLogger(__name__)

Progress = Callable[[int], None]
PTY_PORT = "pty"  # the host's native executable behind a pseudo terminal
INFERENCE_TIMEOUT_S = 120.0
_PTY_STARTUP_S = 10.0
_FAILURES = (
    ResetCause.WATCHDOG, ResetCause.FAULT, ResetCause.LOCKUP, ResetCause.BROWN_OUT, ResetCause.STACK_OVERFLOW,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class DeviceRun:
    """What came back, and what was measured while it did; a figure that was not measured is None.

    Shapes: `outputs[name]` is (n, *shape of one sample); `parts` (n, parts, 2), instructions and cycles of each part of
    the code; `step_ticks` (some of the samples, steps of the manifest's trace), of a timer at `timer_hz`; the others
    (n,).
    Units: `latency_us` is real time on this computer or board, never an emulator's. `cycles_source` says whether cycles
    are a timer's or a model's; of which core, `cycle_model` says.
    `first_result_at` is time.monotonic() when the first batch's results were here. `resets`: those of the device
    meanwhile.
    """

    outputs: Mapping[str, Array]
    samples: int
    batches: int
    seconds: float
    first_result_at: float
    instructions: Array | None = None
    instructions_source: str | None = None
    latency_us: Array | None = None
    cycles: Array | None = None
    cycles_source: Literal["timer", "model"] | None = None
    cycle_model: str | None = None
    parts: Array | None = None
    step_ticks: Array | None = None
    timer_hz: int | None = None
    link: LinkStats | None = None
    resets: tuple[Reset, ...] = ()
    stack_used_bytes: int | None = None
    energy: Energy | None = None
    meter_error: str | None = None  # why a meter that was asked for has no `energy`


class Device(Closing):
    """A place where one firmware runs."""

    def __init__(self, firmware: Firmware) -> None:
        self.firmware = firmware

    @abstractmethod
    def prepare_for_inference(self) -> None:
        """Make sure that the device runs this very firmware. Raises: PortError, DeviceError."""

    @abstractmethod
    def is_alive(self) -> bool:
        """Whether the device answers."""

    @abstractmethod
    def _run(self, packed: Array, batch_size: int | None, on_progress: Progress | None) -> tuple[Array, DeviceRun]:
        """Run packed samples; returns packed outputs, and a DeviceRun that lacks `outputs`."""

    def predict(
        self,
        x: Array | Mapping[str, Array],
        batch_size: int | None = None,
        on_progress: Progress | None = None,
    ) -> DeviceRun:
        """Run all samples, in batches as large as the device's memory allows or `batch_size`, if that is less.

        Shapes: `x` is (n, *shape of one sample), or such an array for each input by name.
        Raises: DataError for data that do not fit, DeviceError.
        """
        ports = self.firmware.manifest.inputs
        arrays = x if isinstance(x, Mapping) else {ports[0].name: np.asarray(x)}
        return self.run(check_data(arrays, ports), batch_size, on_progress)

    def run(self, data: DataSet, batch_size: int | None = None, on_progress: Progress | None = None) -> DeviceRun:
        """Run samples that have been checked; see `predict`."""
        packed, run = self._run(pack(data, self.firmware.manifest), batch_size, on_progress)
        return replace(run, outputs=unpack(packed, self.firmware.manifest))

    @abstractmethod
    def run_steps(
        self, packed: Array | None, first: int, stop: int, wanted: Sequence[MadeFacts] = ()
    ) -> tuple[Array, list[Array]]:
        """Run steps `first` to `stop` - 1 of one inference; return the ticks of each, and what is `wanted` behind them.

        `packed`: the inputs; None goes on with the last inference. See `steps`, which has more to offer.
        Shapes: `packed` uint8 (input_bytes,); ticks (stop - first,) of the timer at `timer_hz`.
        Raises: DeviceError.
        """

    @property
    @abstractmethod
    def timer_hz(self) -> int:
        """The rate of the timer behind a step's ticks."""

    def infer(self, x: Array | Mapping[str, Array], batch_size: int | None = None) -> tuple[Array, DeviceRun]:
        """Return the first output for all samples, and the whole record."""
        run = self.predict(x, batch_size)
        return next(iter(run.outputs.values())), run


class LinkDevice(Device):
    """A board at the other end of a serial line: real, emulated, or a process behind a pseudo terminal."""

    def __init__(
        self,
        firmware: Firmware,
        url: str,
        *,
        emulator: Emulator | None = None,
        process: Background | None = None,
        inference_timeout_s: float = INFERENCE_TIMEOUT_S,
        baudrate: int = 115200,
        overlap: bool = False,
        fast_baud: int | None = None,
    ) -> None:
        super().__init__(firmware)
        self._fast_baud = fast_baud
        self._overlap = overlap
        self._emulator = emulator
        self._process = process
        self._inference_timeout_s = inference_timeout_s
        self._link: Link | None = None
        self._url = url
        self._baudrate = baudrate
        self._timer_hz = 0

    def close(self) -> None:
        """Close the line, and end the emulator or process that was started for it."""
        try:
            if self._link is not None:
                self._link.close()
        finally:
            self._link = None
            if self._emulator is not None:
                self._emulator.close()
            if self._process is not None:
                self._process.close()

    def is_alive(self) -> bool:
        """Whether the device answers a HELLO."""
        try:
            self.prepare_for_inference()
        except (PortError, DeviceError):
            return False
        return True

    def prepare_for_inference(self) -> None:
        """Say hello, and check that the device runs this very build."""
        if self._link is None:
            self._link = Link.open(self._url, baudrate=self._baudrate)
        with self._emulator_watched():
            info = self._link.hello()
            self._raise_baudrate(self._link)
        self._check_build(info.build_id.hex(), info.name)
        manifest = self.firmware.manifest
        if (info.input_bytes, info.output_bytes) != (manifest.input_bytes, manifest.output_bytes):
            raise DeviceError(f"{self._url}: the device's sample sizes are not those of its build")
        self._timer_hz = info.timer_hz
        if info.session_before == 0 and info.reset_cause in _FAILURES:
            LOG.warning("%s: the board was last reset %s", self._url, info.reset_cause.words)

    def _raise_baudrate(self, link: Link) -> None:
        """Go on at the faster rate, where both ends can; else as before."""
        wanted = self._fast_baud
        if wanted is None:
            wanted = self.firmware.target.link_baud if link.has_baudrate else None
        if wanted and wanted != link.rate and not link.set_baudrate(wanted):
            LOG.info("%s: %d baud do not work here; the line stays at %d", self._url, wanted, link.rate)

    @property
    def timer_hz(self) -> int:
        """As the board says it."""
        return self._timer_hz

    def run_steps(
        self, packed: Array | None, first: int, stop: int, wanted: Sequence[MadeFacts] = ()
    ) -> tuple[Array, list[Array]]:
        """Run steps of one inference; see `Device.run_steps`."""
        if self._link is None:
            raise DeviceError(f"{self._url}: the device is closed")
        regions = {"output": int(Region.OUTPUTS), "arena": int(Region.ARENA)}
        with self._emulator_watched():
            ticks = self._link.run_steps(packed, first, stop, self._inference_timeout_s)
            found = [
                self._link.read(regions[made.buffer] + made.number, made.offset_bytes, made.size_bytes)
                for made in wanted
            ]
        return ticks, [made.values(data) for made, data in zip(wanted, found, strict=True)]

    def _run(self, packed: Array, batch_size: int | None, on_progress: Progress | None) -> tuple[Array, DeviceRun]:
        started = time.monotonic()
        link, result = self._run_batches(packed, batch_size, on_progress)
        seconds = time.monotonic() - started
        stats = link.stats()
        self._check_stack(stats)
        run = DeviceRun(
            {}, len(packed), result.batches, seconds, result.first_batch_at,
            link=stats, resets=result.resets, stack_used_bytes=stats.stack_used_bytes,
        )  # fmt: skip
        size = result.batch_size
        order = [
            before + index
            for start, before in zip(range(0, len(packed), size), result.runs_before, strict=True)
            for index in range(min(size, len(packed) - start))
        ]
        return result.outputs, self._measured(run, result.ticks, np.asarray(order))

    def _run_batches(
        self, packed: Array, batch_size: int | None, on_progress: Progress | None
    ) -> tuple[Link, BatchRun]:
        if self._link is None:
            raise DeviceError(f"{self._url}: the device is closed")
        counted = self._emulator if self._emulator is not None and self._emulator.mode == "plugin" else None
        with self._emulator_watched():
            run = self._link.run_batches(
                packed, batch_size, self._inference_timeout_s, on_progress, overlap=self._overlap,
                on_reset=self._say_reset, count_ended=None if counted is None else lambda: len(counted.read_counts()),
            )  # fmt: skip
        return self._link, run

    def _say_reset(self, reset: Reset) -> None:
        fault = "" if reset.fault is None else f": {self._crash(reset.fault)}"
        LOG.warning(
            "%s: the board was reset %s in batch %d, and the run goes on from there%s",
            self._url, reset.cause.words, reset.batch + 1, fault,
        )  # fmt: skip

    @contextmanager
    def _emulator_watched(self) -> Iterator[None]:
        """A crash is an error in words; and where the line fails because the emulator has ended, that is the error."""
        try:
            yield
        except DeviceCrashError as error:
            how = f"; {error.how}" if error.how else ""
            raise DeviceError(f"{self._url}: {self._crash(error.fault)}{how}") from error
        except (PortError, DeviceError):
            if self._emulator is not None:
                self._emulator.check()
            raise

    def _check_build(self, build_id: str, model: str) -> None:
        mine = self.firmware.manifest.build_id
        if build_id != mine:
            raise PortError(
                f"{self._url}: the device runs another build ({build_id[:12]}, '{model}') than "
                f"'{self.firmware.folder}' ({mine[:12]}): flash it first"
            )

    def _crash(self, fault: Fault) -> str:
        return describe_fault(fault, self.firmware.elf, self.firmware.manifest)

    def _check_stack(self, stats: LinkStats) -> None:
        """Hold what was painted against what was proven. Raises: InternalError, as the analysis is at fault."""
        used, bound = stats.stack_used_bytes, self.firmware.stack.total_bytes
        if used is not None and bound is not None and used > bound:
            raise InternalError(
                f"{self._url}: the stack was {used:,} B deep, and the analysis says that it cannot exceed {bound:,} B: "
                "the bound is wrong, please report it"
            )

    def _measured(self, run: DeviceRun, ticks: Array, order: Array) -> DeviceRun:
        """Add instructions, cycles or latency, whichever this device's timer and emulator can tell.

        `order` says for each sample which inference since boot it was.
        """
        evidence = self.firmware.target.evidence
        if self._emulator is None:
            if evidence == "emulated":
                return run  # an emulator somebody else started: its timer may follow anything
            latency = ticks.astype(np.float64) / self._timer_hz * 1e6
            clock = self.firmware.target.clock_hz
            if evidence == "hardware" and clock == self._timer_hz:
                run = replace(run, cycles=ticks, cycles_source="timer")
            return replace(run, latency_us=latency)
        per_tick = self._emulator.instructions_per_tick
        if per_tick is not None:
            counted = np.rint(ticks.astype(np.float64) * per_tick).astype(np.int64)
            return replace(run, instructions=counted, instructions_source=f"icount, resolution {per_tick:g}")
        if self._emulator.mode != "plugin":
            return run
        counts = self._emulator.read_counts()
        if order.max() >= len(counts):
            raise DeviceError(f"the emulator counted {len(counts)} inferences of {order.max() + 1}")
        counts = counts[order]
        if self._emulator.cycle_model is not None:
            model = self._emulator.cycle_model
            run = replace(run, cycles=counts[:, 0, 1], cycles_source="model", cycle_model=model)
        parts = counts[:, 1:] if counts.shape[1] > 1 else None
        return replace(run, instructions=counts[:, 0, 0], instructions_source="plugin, exact", parts=parts)


def open_device(
    firmware: Firmware,
    port: str | None = None,
    *,
    baudrate: int = 115200,
    inference_timeout_s: float = INFERENCE_TIMEOUT_S,
    parts: Parts | None = None,
    overlap: bool = False,
    fast_baud: int | None = None,
) -> Device:
    """Put the firmware where it runs, and return the device, ready.

    `port`: None for the target's own way (in-process, its emulator, its default port); "pty" for the host's
    native executable; any pyserial URL. `parts`: how an emulator that counts instructions splits an inference.
    `overlap`: the next batch travels while one is computed; faster over a slow line, and the line's interrupts are then
    in what is measured. `fast_baud`: the rate that the line goes on at once the device has answered, if both ends can;
    None: the target's `link_baud`, where the line has a rate at all; 0: none.
    Raises: PortError, TargetError, ToolError, DeviceError.
    """
    target = firmware.target
    device: Device
    board = _board_class(firmware)
    how: dict[str, Any] = {
        "inference_timeout_s": inference_timeout_s, "overlap": overlap, "fast_baud": fast_baud,
    }  # fmt: skip
    if port == PTY_PORT and target.device == "library":
        process = start([firmware.elf])
        try:
            path = process.wait_for_line(r"^(/dev/\S+)$", _PTY_STARTUP_S).group(1)
        except BaseException:
            process.close()
            raise
        device = board(firmware, path, process=process, **how)
    elif port is not None:
        device = board(firmware, port, baudrate=baudrate, **how)
    elif target.device == "library":
        from edgewright.drivers.library import LibraryDevice  # which is made from the classes here

        device = LibraryDevice(firmware, inference_timeout_s=inference_timeout_s)
    elif target.device == "emulator":
        mode: Mode | None = "plugin" if parts is not None else None
        emulator = start_emulator(target, firmware.elf, mode=mode, parts=parts)
        device = board(firmware, emulator.url, emulator=emulator, **how)
    else:
        raise TargetError(f"'{target.name}' is a board: say which port it is on with --port")
    try:
        device.prepare_for_inference()
    except BaseException:
        device.close()
        raise
    return device


def _board_class(firmware: Firmware) -> type[LinkDevice]:
    """What speaks with the firmware over a line."""
    if firmware.manifest.front == "link":
        return LinkDevice
    from edgewright.drivers.mlperf import MlperfDevice  # which is made from the classes here

    return MlperfDevice

"""The host's end of the link: batches of samples to a device, outputs and timer ticks back, nothing lost.

In comes a port's URL, out come arrays and figures. A damaged or lost frame is sent again; whatever cannot be
repaired within the limits is a `DeviceError` that says which request, how often it was tried, for how long.
The line keeps its order (no frame overtakes another); that is all the protocol asks of it. docs/PROTOCOL.md
has the protocol, `session` its begin and end, `exchange` its repetitions, `frames` its bytes, `line` the port.
It never interprets a sample: that is `device`.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.boards.resets import ResetCause
from edgewright.drivers import frames
from edgewright.drivers.batches import Batches
from edgewright.drivers.exchange import (
    DeviceCrashError,
    DeviceResetError,
    Request,
    SilentError,
)
from edgewright.drivers.frames import Damage, DeviceInfo, Fault, Region, TensorDescriptor, Type
from edgewright.drivers.line import BITS_PER_BYTE, Line
from edgewright.drivers.session import Session
from edgewright.errors import DataError, DeviceError, MemoryPlanError, PortError

_RUN_STEPS = 32  # that the device takes at a time
MAX_RESETS = 3  # of the device at one and the same batch: then the batch itself is at fault


@dataclass(frozen=True)
class Reset:
    """A reset of the device in mid-run: in which batch (from 0), why, and what it reported before, if it did."""

    batch: int
    cause: ResetCause
    fault: Fault | None = None


@dataclass(frozen=True)
class BatchRun:
    """What came back for `n` samples, in their order.

    Shapes: `outputs` uint8 (n, output_bytes), `ticks` uint64 (n,) of the device's timer around each inference.
    `first_batch_at` is time.monotonic() when the first batch's outputs were here.
    `runs_before` has an entry a batch: how many inferences the device had run when the batch began, since boot or,
    where someone counts them (`count_ended` of `run_batches`), since the first boot.
    `resets`: those of the device meanwhile, after which the run went on.
    """

    outputs: npt.NDArray[np.uint8]
    ticks: npt.NDArray[np.uint64]
    batches: int
    batch_size: int
    runs_before: tuple[int, ...]
    first_batch_at: float
    resets: tuple[Reset, ...] = ()


@dataclass(frozen=True)
class LinkStats:
    """What happened on the line since it was opened; None where it was not or cannot be measured.

    Units: `payload_bytes` are sample, output and tick bytes that arrived, without framing and repetitions; `seconds` is
    the time of the runs, from the first byte of samples to the last of results, inferences included.
    `line_utilisation` is the payload of the busier direction as a share of what the baud rate allows in that time.
    `crc_errors` and `framing_errors` are damaged frames, seen by either end.
    """

    frames_sent: int
    frames_received: int
    retransmits: int
    crc_errors: int
    framing_errors: int
    payload_bytes: int
    seconds: float
    payload_bytes_per_second: float | None
    line_utilisation: float | None
    stack_used_bytes: int | None
    stack_size_bytes: int | None


class Link(Session):
    """What is done in a session: samples out, outputs and ticks back, in batches or step by step."""

    def __init__(self, line: Line, timeout_s: float, connect_timeout_s: float) -> None:
        super().__init__(line, timeout_s, connect_timeout_s)
        self._run_number = 0
        self._earlier_runs = 0  # inferences before the device's last reset, where someone counts
        self._bytes_loaded = self._bytes_read = 0
        self._seconds = 0.0

    def describe(self) -> tuple[TensorDescriptor, ...]:
        """Return the descriptors of all inputs, then of all outputs. Raises: DeviceError when they cannot be."""
        info = self.session_info()
        count = info.n_inputs + info.n_outputs
        requests = (Request(Type.DESCRIBE, struct.pack("<H", i), i, f" of tensor {i}") for i in range(count))
        found = {r.index: frames.parse_describe(body, r.index, info) for r, body in self.exchange.answers(requests)}
        tensors = [found[i] for i in range(count)]
        frames.check_overlap(tensors)
        return tuple(tensors)

    def run_batches(
        self,
        samples: npt.NDArray[np.uint8],
        batch_size: int | None = None,
        inference_timeout_s: float = 60.0,
        on_progress: Callable[[int], None] | None = None,
        *,
        overlap: bool = False,
        on_reset: Callable[[Reset], None] | None = None,
        count_ended: Callable[[], int] | None = None,
    ) -> BatchRun:
        """Run all samples on the device, in batches of `batch_size` or, if that is less, of what its memory holds.

        overlap: the next batch travels while one is computed, each in half of the memory. That is faster, and the
            interrupts of the line are in what is measured; without it the line rests during inferences.
        on_reset: called after each reset of the device, when it answers again; the run then goes on with the first
            batch that is not finished, at the rate of the start.
        count_ended: how many inferences have ended since the device's first boot, where somebody outside counts them.
        Shapes: `samples` (n, input_bytes): packed samples, n at least 1; the last batch may be partial.
        Units: `inference_timeout_s` limits the time without any finished sample, from the start of a batch on.
            `on_progress` gets the number of samples finished so far.
        Raises: DataError for samples that do not fit; MemoryPlanError when the device has no room for one;
            DeviceError when it fails, was reset three times in one batch, or a request is not answered within its
            limits; DeviceCrashError where a report came with the last of these resets, or the device never came back.
        """
        info = self.session_info()
        _check_samples(samples, batch_size, info)
        batches = Batches(self.line.url, samples, info, batch_size, overlap, inference_timeout_s, on_progress)
        resets: list[Reset] = []
        batches.earlier_runs = self._earlier_runs
        first_batch_at = 0.0
        while True:
            started = time.monotonic()
            number, self._run_number = self._run_number + 1, self._run_number + batches.count
            try:
                for request, body in self.exchange.answers(batches.requests(number)):
                    batches.answered(request, body)
                    if batches.finished and not first_batch_at:
                        first_batch_at = time.monotonic()
                break
            except (DeviceResetError, DeviceCrashError, SilentError) as error:
                # A device that was reset at a raised rate is at that of its start again, and hears nothing.
                if isinstance(error, SilentError) and self.line.rate == self._start_rate:
                    raise
                resets.append(self._after_reset(error, info, batches.finished))
                often = sum(reset.batch == batches.finished for reset in resets)
                if often >= MAX_RESETS:
                    raise self._too_often(resets[-1], f"{often} times, at {batches.where()}") from error
                if count_ended is not None:
                    batches.earlier_runs = self._earlier_runs = count_ended()
                if on_reset is not None:
                    on_reset(resets[-1])
            finally:
                self._seconds += time.monotonic() - started
                self._bytes_loaded += batches.bytes_loaded
                self._bytes_read += batches.bytes_read
                batches.bytes_loaded = batches.bytes_read = 0
        return BatchRun(
            outputs=batches.outputs,
            ticks=batches.ticks.view(np.dtype("<u8")).reshape(-1).astype(np.uint64),
            batches=batches.count,
            batch_size=batches.size,
            runs_before=tuple(batches.runs_before[k] for k in range(batches.count)),
            first_batch_at=first_batch_at,
            resets=tuple(resets),
        )

    def _after_reset(
        self, error: DeviceResetError | DeviceCrashError | SilentError, before: DeviceInfo, batch: int
    ) -> Reset:
        """Find the device again and return why it was reset.

        Raises: DeviceCrashError where it reported a fault and never came back; PortError, DeviceError.
        """
        fault = error.fault if isinstance(error, DeviceCrashError) else None
        try:
            info = self.say_hello_again(before)
        except PortError as lost:
            if fault is None:
                raise
            raise DeviceCrashError(f"{error}", fault, "and did not come back") from lost
        return Reset(batch, info.reset_cause if fault is None else fault.cause, fault)

    def _too_often(self, last: Reset, how: str) -> DeviceError:
        if last.fault is not None:
            return DeviceCrashError(f"{self.line.url}: the device crashed {how}", last.fault, how)
        return DeviceError(f"{self.line.url}: the device was reset {last.cause.words} {how}")

    def run_steps(
        self, sample: npt.NDArray[np.uint8] | None, first: int, stop: int, limit_s: float = 60.0
    ) -> npt.NDArray[np.uint32]:
        """Run steps `first` to `stop` - 1 of one inference and return the timer's ticks of each (2^32 - 1: or more).

        `sample`: its packed inputs; None: those that are there, which goes on with the inference from step `first`.
        Shapes: `sample` (input_bytes,). Raises: DataError, MemoryPlanError as `run_batches`; DeviceError.
        """
        info = self.session_info()
        if not 0 <= first < stop <= info.n_steps:
            raise DeviceError(
                f"{self.line.url}: the device has no steps {first} to {stop - 1}, but {info.n_steps} in all"
            )
        if sample is not None:
            _check_samples(sample.reshape(1, -1), None, info)
            data, chunk = sample.tobytes(), info.max_body_bytes - frames.LOAD_HEADER.size
            self._ask(
                Request(Type.LOAD, frames.LOAD_HEADER.pack(at) + data[at : at + chunk], what=f" at byte {at}")
                for at in range(0, len(data), chunk)
            )
        ticks = [self._run_steps(at, min(at + _RUN_STEPS, stop), limit_s) for at in range(first, stop, _RUN_STEPS)]
        return np.concatenate(ticks)

    def _run_steps(self, first: int, stop: int, limit_s: float) -> npt.NDArray[np.uint32]:
        self._run_number += 1
        body = struct.pack("<IIIII", self._run_number, 0, 1, first, stop)
        (answer,) = self._ask([Request(Type.RUN, body, 0, f" of steps {first} to {stop - 1}", limit_s, 1)])
        if len(answer) != 12 or answer[:8] != struct.pack("<II", 0, 1):
            raise DeviceError(
                f"{self.line.url}: the RUN of steps {first} to {stop - 1} was answered with {answer.hex()}"
            )
        ticks = self.read(Region.STEP_TICKS, 0, (stop - first) * frames.STEP_TICK_BYTES)
        return np.frombuffer(ticks, "<u4").astype(np.uint32)

    def read(self, region: int, offset: int, n_bytes: int) -> bytes:
        """Return bytes of a region of the device's memory. Raises: DeviceError."""
        chunk = self.session_info().max_body_bytes
        pieces = [(at, min(chunk, n_bytes - at)) for at in range(0, n_bytes, chunk)]
        answers = self._ask(
            Request(Type.READ, struct.pack("<III", region, offset + at, size), i, f" of region {region} at byte {at}")
            for i, (at, size) in enumerate(pieces)
        )
        for answer, (at, size) in zip(answers, pieces, strict=True):
            if len(answer) != size:
                raise DeviceError(
                    f"{self.line.url}: READ of region {region} at byte {at} brought {len(answer)} bytes, not {size}"
                )
        return b"".join(answers)

    def _ask(self, requests: Iterable[Request]) -> list[bytes]:
        """Return the answers, in the order of the requests' numbers."""
        answers = [(request.index, body) for request, body in self.exchange.answers(requests)]
        return [body for _, body in sorted(answers, key=lambda answer: answer[0])]

    def stats(self) -> LinkStats:
        """Ask the device for its counters and return them with the host's. Raises: DeviceError."""
        self.session_info()
        ((_, body),) = self.exchange.answers([Request(Type.STATS)])
        device = frames.parse_stats(body)
        measured = device.stack_size_bytes > 0
        seconds, baudrate = self._seconds, self.line.baudrate
        payload_bytes = self._bytes_loaded + self._bytes_read
        rate = payload_bytes / seconds if seconds > 0 else None
        busier = max(self._bytes_loaded, self._bytes_read) * BITS_PER_BYTE
        return LinkStats(
            frames_sent=self.exchange.frames_sent,
            frames_received=self.exchange.frames_received,
            retransmits=self.exchange.retransmits,
            crc_errors=self.exchange.damaged[Damage.CRC] + device.crc_errors,
            framing_errors=self.exchange.damaged[Damage.FRAMING] + device.framing_errors,
            payload_bytes=payload_bytes,
            seconds=seconds,
            payload_bytes_per_second=rate,
            line_utilisation=None if rate is None or baudrate is None else busier / (seconds * baudrate),
            stack_used_bytes=device.stack_used_bytes if measured else None,
            stack_size_bytes=device.stack_size_bytes if measured else None,
        )


def _check_samples(samples: npt.NDArray[np.uint8], batch_size: int | None, info: DeviceInfo) -> None:
    if samples.dtype != np.uint8 or samples.ndim != 2 or samples.shape[1] != info.input_bytes:
        raise DataError(
            f"packed samples are {samples.dtype}{list(samples.shape)}; the device takes uint8[n, {info.input_bytes}]"
        )
    if len(samples) == 0:
        raise DataError("there are no samples to run")
    if batch_size is not None and batch_size < 1:
        raise DataError(f"a batch of {batch_size} samples cannot be run: at least 1 is needed")
    if info.capacity_samples == 0:
        needed = info.input_bytes + info.output_bytes + frames.TICK_BYTES
        raise MemoryPlanError(
            f"the device has no room for a batch of one sample: it needs {needed} bytes beside the model, "
            f"{info.batch_memory_bytes} are left"
        )

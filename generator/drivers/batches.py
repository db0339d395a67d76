"""Which request of a set of samples is sent next: the plan of a run, without any I/O.

In: packed samples and what the device says about itself. Out: requests, in an order in which nothing is overwritten
that is still needed, and the results that their answers bring.

The device's memory is one buffer, or two halves. Batch k has buffer k % buffers. With one, the line rests while the
device computes, so that no interrupt of the line is in a measurement. With two, the next batch is loaded and the last
one's results are read meanwhile, and a RUN already waits in the device when the one before it ends.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from edgewright.drivers import frames
from edgewright.drivers.exchange import Request
from edgewright.drivers.frames import DeviceInfo, Region, Type
from edgewright.errors import DeviceError

READS_BESIDE_LOADS = 2  # in flight: the LOADs' answers wait behind those of READs, which are long
STREAM_BYTES = 16384  # of inputs in a batch, with two buffers: a RUN and two READs cost below 1 % of that


@dataclass
class _Batch:
    """One batch: samples `start` to `start + count - 1`, at sample `first` of the device's memory."""

    number: int
    start: int
    count: int
    first: int
    loads: deque[Request]
    reads: deque[Request] = field(default_factory=deque)
    awaited_loads: int = 0
    awaited_reads: int = 0
    run_sent: bool = False
    run_done: bool = False
    runs_before: int = 0

    @property
    def is_loaded(self) -> bool:
        return not self.loads and self.awaited_loads == 0

    @property
    def is_read(self) -> bool:
        return self.run_done and not self.reads and self.awaited_reads == 0


class Batches:
    """The requests for `samples`, from the first of them that has no result yet.

    Shapes: `samples` (n, input_bytes), `outputs` (n, output_bytes), `ticks` (n,).
    """

    def __init__(
        self, url: str, samples: npt.NDArray[np.uint8], info: DeviceInfo, batch_size: int | None, overlap: bool,
        limit_s: float, on_progress: Callable[[int], None] | None,
    ) -> None:  # fmt: skip
        self._url = url
        self._samples = samples
        self._info = info
        self._buffers = 2 if overlap and info.capacity_samples > 1 else 1
        size = min(len(samples), info.capacity_samples // self._buffers, batch_size or len(samples))
        if self._buffers > 1 and batch_size is None:
            size = min(size, max(1, STREAM_BYTES // info.input_bytes))
        self.size = size
        self._limit_s = limit_s
        self._on_progress = on_progress
        self.outputs = np.zeros((len(samples), info.output_bytes), np.uint8)
        self.ticks = np.zeros((len(samples), frames.TICK_BYTES), np.uint8)
        self.earlier_runs = 0  # inferences before the device's last reset
        self.runs_before: dict[int, int] = {}  # of each batch whose results are all here
        self.finished = 0  # how many of these there are before the first that is not
        self.bytes_loaded = self.bytes_read = 0
        self._reported = 0
        self._open: dict[int, _Batch] = {}

    @property
    def count(self) -> int:
        """How many batches there are."""
        return -(-len(self._samples) // self.size)

    def where(self) -> str:
        """Return which samples are under way, for a message."""
        first = self.finished * self.size
        return f"samples {first} to {min(first + self.size, len(self._samples)) - 1}"

    def requests(self, run_number: int) -> Iterator[Request | None]:
        """Yield the requests; None: wait for an answer. RUNs are numbered from `run_number` on."""
        self._open = {}
        self.runs_before = {k: v for k, v in self.runs_before.items() if k < self.finished}
        begun = self.finished
        offset = run_number - begun
        while self.finished < self.count:
            if begun < self.count and begun - self.finished < self._buffers + 1 and self._has_buffer(begun):
                self._open[begun] = self._begin(begun)
                begun += 1
            yield self._next(offset)

    def _has_buffer(self, number: int) -> bool:
        """Say whether the inputs that had batch `number`'s buffer before it are not needed any more."""
        before = self._open.get(number - self._buffers)
        return before is None or before.run_done

    def _begin(self, number: int) -> _Batch:
        start = number * self.size
        first = number % self._buffers * self.size
        data = np.ascontiguousarray(self._samples[start : start + self.size]).tobytes()
        chunk = self._info.max_body_bytes - frames.LOAD_HEADER.size
        base = first * self._info.input_bytes
        loads = deque(
            Request(Type.LOAD, frames.LOAD_HEADER.pack(base + at) + data[at : at + chunk], number, f" at byte {at}")
            for at in range(0, len(data), chunk)
        )
        return _Batch(number, start, min(self.size, len(self._samples) - start), first, loads)

    def _next(self, offset: int) -> Request | None:
        """Return the next request: a RUN first, so that the device has work; then results; then inputs."""
        for batch in self._open.values():
            before = self._open.get(batch.number - self._buffers)  # its outputs lie where this one's will
            if batch.is_loaded and not batch.run_sent and before is None:
                batch.run_sent = True
                body = struct.pack("<III", offset + batch.number, batch.first, batch.count)
                return Request(
                    Type.RUN, body, batch.number, f" of {batch.count} samples", self._limit_s, batch.count,
                    partial(self._report_of, batch.start),
                )  # fmt: skip
            if not batch.is_loaded:
                break  # RUNs go in the order of the batches
        loading = any(batch.loads for batch in self._open.values())
        reading = sum(batch.awaited_reads for batch in self._open.values())
        for batch in self._open.values():
            if batch.reads and not (loading and reading >= READS_BESIDE_LOADS):
                batch.awaited_reads += 1
                return batch.reads.popleft()
        for batch in self._open.values():
            if batch.loads:
                batch.awaited_loads += 1
                return batch.loads.popleft()
        return None

    def answered(self, request: Request, body: bytes) -> None:
        """Take an answer. Raises: DeviceError for one that is no answer to its request."""
        batch = self._open[request.index]
        if request.type == Type.LOAD:
            if body:
                raise DeviceError(f"{self._url}: LOAD{request.what} was answered with {len(body)} bytes, not 0")
            batch.awaited_loads -= 1
            self.bytes_loaded += len(request.body) - frames.LOAD_HEADER.size
        elif request.type == Type.RUN:
            self._take_run(batch, body)
        else:
            self._take_read(batch, request, body)
            if batch.is_read:
                self.runs_before[batch.number] = batch.runs_before
                del self._open[batch.number]
                while self.finished in self.runs_before:
                    self.finished += 1

    def _take_run(self, batch: _Batch, body: bytes) -> None:
        if len(body) != 12:
            raise DeviceError(f"{self._url}: RUN of {batch.count} samples was answered with {len(body)} bytes, not 12")
        status, done, runs_before = struct.unpack("<III", body)
        batch.runs_before = self.earlier_runs + runs_before
        if status != 0 or done != batch.count:
            raise DeviceError(
                f"{self._url}: the model stopped with status {status} after {done} of {batch.count} samples"
            )
        batch.run_done = True
        self._report(batch.start + batch.count)
        chunk = self._info.max_body_bytes
        for region, item in ((Region.OUTPUTS, self._info.output_bytes), (Region.TICKS, frames.TICK_BYTES)):
            base, n_bytes = batch.first * item, batch.count * item
            for at in range(0, n_bytes, chunk):
                body = struct.pack("<III", region, base + at, min(chunk, n_bytes - at))
                batch.reads.append(Request(Type.READ, body, batch.number, f" of {region.name.lower()} at byte {at}"))

    def _take_read(self, batch: _Batch, request: Request, body: bytes) -> None:
        region, at, wanted = struct.unpack("<III", request.body)
        if len(body) != wanted:
            raise DeviceError(f"{self._url}: READ{request.what} brought {len(body)} bytes, not {wanted}")
        target = self.outputs if region == Region.OUTPUTS else self.ticks
        rows = target[batch.start : batch.start + batch.count].reshape(-1)
        at -= batch.first * target.shape[1]
        rows[at : at + wanted] = np.frombuffer(body, np.uint8)
        batch.awaited_reads -= 1
        self.bytes_read += wanted

    def _report_of(self, start: int, done: int) -> None:
        self._report(start + done)

    def _report(self, done: int) -> None:
        if self._on_progress is not None and done > self._reported:
            self._reported = done
            self._on_progress(done)

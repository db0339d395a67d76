"""The host's end of the link: batches of samples to a device, outputs and timer ticks back, nothing lost.

In comes a port's URL, out come arrays and figures. A damaged or lost frame is sent again; whatever cannot be
repaired within the limits is a `DeviceError` that says which request, how often it was tried, for how long.
The line keeps its order (no frame overtakes another); that is all the protocol asks of it. docs/PROTOCOL.md
has the protocol, `exchange` its repetitions, `frames` its bytes, `line` the port. It never interprets a sample:
that is `device`.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.closing import Closing
from edgewright.drivers import frames
from edgewright.drivers.exchange import Exchange, Request, asks_again
from edgewright.drivers.frames import Damage, DeviceInfo, Frame, Region, TensorDescriptor, Type
from edgewright.drivers.line import BITS_PER_BYTE, Line
from edgewright.errors import DataError, DeviceError, MemoryPlanError, PortError

HELLO_INTERVAL_S = 0.25  # a board that boots meanwhile, or resynchronises, answers the next one

@dataclass(frozen=True)
class BatchRun:
    """What came back for `n` samples, in their order.

    Shapes: `outputs` uint8 (n, output_bytes), `ticks` uint64 (n,) of the device's timer around each inference.
    `first_batch_at` is time.monotonic() when the first batch's outputs were here.
    `runs_before` has an entry a batch: how many inferences the device had run since boot when the batch began.
    """

    outputs: npt.NDArray[np.uint8]
    ticks: npt.NDArray[np.uint64]
    batches: int
    runs_before: tuple[int, ...]
    first_batch_at: float


@dataclass(frozen=True)
class LinkStats:
    """What happened on the line since it was opened; None where it was not or cannot be measured.

    Units: `payload_bytes` are sample, output and tick bytes that arrived, without framing and repetitions;
    `seconds` is the time spent moving them. `line_utilisation` is their share of what the baud rate allows.
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


class Link(Closing):
    """One open line to one device. Not for several threads. Use as a context manager, or call `close`."""

    def __init__(self, line: Line, timeout_s: float, connect_timeout_s: float) -> None:
        self._line = line
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._exchange = Exchange(line, timeout_s)
        self._info: DeviceInfo | None = None
        self._session = secrets.randbelow(2**32 - 1) + 1
        self._run_number = 0
        self._payload_bytes = 0
        self._payload_seconds = 0.0

    @classmethod
    def open(
        cls, url: str, *, baudrate: int = 115200, timeout_s: float = 2.0, connect_timeout_s: float = 10.0
    ) -> Link:
        """Open the port `url`: /dev/tty*, COM*, a pty's path, socket://HOST:PORT or rfc2217://HOST:PORT.

        Units: `timeout_s` is how long an answer may take before its request is sent again;
            `connect_timeout_s` is the limit of `hello`.
        Raises: PortError when the port does not exist, refuses, or is in use.
        """
        return cls(Line(url, baudrate, timeout_s), timeout_s, connect_timeout_s)

    def close(self) -> None:
        """Close the port."""
        self._line.close()

    # ---- requests ----

    def hello(self) -> DeviceInfo:
        """Find the device, begin a session, and return what it says about itself.

        Works from any state of the line: in the middle of a frame, or while the device still starts.
        Raises: PortError when nothing valid comes within the limit; DeviceError for another protocol version.
        """
        self._info = None
        seq = self._exchange.next_seq()
        bytes_before = self._exchange.bytes_received
        try:
            body, tries = self._await_hello(seq)
        except DeviceError as error:
            raise PortError(f"{error}, before any answer") from error
        if body is None:
            heard = self._exchange.bytes_received - bytes_before
            came = f"{heard} bytes came, none of them an answer" if heard else "not a byte came"
            raise PortError(
                f"{self._line.url}: no device answered {tries} HELLOs in {self._connect_timeout_s:g} s ({came}). "
                "Does the board run firmware made by edgewright, and is the baud rate right?"
            )
        info = frames.parse_hello(body)
        if info.session != self._session:
            raise DeviceError(f"{self._line.url}: the device answered the HELLO of another host")
        # A slow line needs its time for the largest frame there and back.
        wire = 2 * frames.encoded_max_bytes(info.max_body_bytes)
        self._exchange.timeout_s = self._timeout_s + self._line.seconds_for(wire)
        self._exchange.window_bytes = info.rx_buffer_bytes
        self._info = info
        return info

    def describe(self) -> tuple[TensorDescriptor, ...]:
        """Return the descriptors of all inputs, then of all outputs. Raises: DeviceError when they cannot be."""
        info = self._session_info()
        count = info.n_inputs + info.n_outputs
        requests = (Request(Type.DESCRIBE, struct.pack("<H", i), i, f" of tensor {i}") for i in range(count))
        found = {r.index: frames.parse_describe(body, r.index, info) for r, body in self._exchange.answers(requests)}
        tensors = [found[i] for i in range(count)]
        frames.check_overlap(tensors)
        return tuple(tensors)

    def run_batches(
        self,
        samples: npt.NDArray[np.uint8],
        batch_size: int | None = None,
        inference_timeout_s: float = 60.0,
        on_progress: Callable[[int], None] | None = None,
    ) -> BatchRun:
        """Run all samples on the device, in batches of `batch_size` or, if that is less, of what its memory holds.

        Shapes: `samples` (n, input_bytes): packed samples, n at least 1; the last batch may be partial.
        Units: `inference_timeout_s` limits the time without any finished sample, from the start of a batch on.
            `on_progress` gets the number of samples finished so far.
        Raises: DataError for samples that do not fit; MemoryPlanError when the device has no room for one;
            DeviceError when it fails, restarts, or a request is not answered within its limits.
        """
        info = self._session_info()
        _check_samples(samples, batch_size, info)
        total = len(samples)
        size = min(total, info.capacity_samples, batch_size or total)
        outputs: list[bytes] = []
        ticks: list[bytes] = []
        runs_before: list[int] = []
        first_batch_at = 0.0
        for start in range(0, total, size):
            count = min(size, total - start)
            self._load(np.ascontiguousarray(samples[start : start + count]).tobytes())
            report = None if on_progress is None else _offset_progress(on_progress, start)
            runs_before.append(self._run(count, inference_timeout_s, report))
            outputs.append(self._read(Region.OUTPUTS, count * info.output_bytes))
            ticks.append(self._read(Region.TICKS, count * frames.TICK_BYTES))
            first_batch_at = first_batch_at or time.monotonic()
        return BatchRun(
            outputs=np.frombuffer(b"".join(outputs), np.uint8).reshape(total, info.output_bytes).copy(),
            ticks=np.frombuffer(b"".join(ticks), np.dtype("<u8")).astype(np.uint64),
            batches=len(runs_before),
            runs_before=tuple(runs_before),
            first_batch_at=first_batch_at,
        )

    def stats(self) -> LinkStats:
        """Ask the device for its counters and return them with the host's. Raises: DeviceError."""
        self._session_info()
        ((_, body),) = self._exchange.answers([Request(Type.STATS)])
        device = frames.parse_stats(body)
        measured = device.stack_size_bytes > 0
        rate = self._payload_bytes / self._payload_seconds if self._payload_seconds > 0 else None
        baudrate = self._line.baudrate
        return LinkStats(
            frames_sent=self._exchange.frames_sent,
            frames_received=self._exchange.frames_received,
            retransmits=self._exchange.retransmits,
            crc_errors=self._exchange.damaged[Damage.CRC] + device.crc_errors,
            framing_errors=self._exchange.damaged[Damage.FRAMING] + device.framing_errors,
            payload_bytes=self._payload_bytes,
            seconds=self._payload_seconds,
            payload_bytes_per_second=rate,
            line_utilisation=None if rate is None or baudrate is None else rate * BITS_PER_BYTE / baudrate,
            stack_used_bytes=device.stack_used_bytes if measured else None,
            stack_size_bytes=device.stack_size_bytes if measured else None,
        )

    def reset(self) -> None:
        """Restart the device; the next request says hello again. Raises: DeviceError when it does not confirm."""
        for _ in self._exchange.answers([Request(Type.RESET)]):
            self._info = None

    # ---- the parts of a batch ----

    def _load(self, data: bytes) -> None:
        chunk = self._session_info().max_body_bytes - frames.LOAD_HEADER.size
        started = time.monotonic()
        requests = (
            Request(Type.LOAD, frames.LOAD_HEADER.pack(at) + data[at : at + chunk], at, f" at byte {at}")
            for at in range(0, len(data), chunk)
        )
        for request, body in self._exchange.answers(requests):
            if body:
                raise DeviceError(f"{self._line.url}: LOAD{request.what} was answered with {len(body)} bytes, not 0")
        self._count_payload(len(data), started)

    def _read(self, region: Region, n_bytes: int) -> bytes:
        chunk = self._session_info().max_body_bytes
        started = time.monotonic()
        requests = (
            Request(
                Type.READ,
                struct.pack("<III", region, at, min(chunk, n_bytes - at)),
                at,
                f" of {region.name.lower()} at byte {at}",
            )
            for at in range(0, n_bytes, chunk)
        )
        parts: dict[int, bytes] = {}
        for request, body in self._exchange.answers(requests):
            wanted = min(chunk, n_bytes - request.index)
            if len(body) != wanted:
                raise DeviceError(f"{self._line.url}: READ{request.what} brought {len(body)} bytes, not {wanted}")
            parts[request.index] = body
        self._count_payload(n_bytes, started)
        return b"".join(parts[at] for at in sorted(parts))

    def _run(self, count: int, limit_s: float, on_progress: Callable[[int], None] | None) -> int:
        """Run the first `count` samples of the batch memory; return how many inferences came before them.

        A RUN is sent again when nothing is heard for a while, ever less often: the device repeats its answer
        to the last RUN, which it knows by its number, without running it again.
        """
        self._run_number += 1
        body = struct.pack("<III", self._run_number, 0, count)
        pending = self._exchange.send_new(Request(Type.RUN, body, what=f" of {count} samples"))
        best = -1
        limit_from = time.monotonic()
        pause = self._exchange.timeout_s
        send_again = limit_from + pause
        while True:
            for event in self._exchange.receive(min(send_again, limit_from + limit_s)):
                if asks_again(event):
                    self._exchange.send_again(pending)
                elif not isinstance(event, Frame) or event.seq != pending.seq:
                    continue
                elif event.type == Type.RUN | frames.REPLY_FLAG:
                    return self._finished_run(event.body, count, on_progress if best < count else None)
                elif event.type == Type.NAK:
                    raise self._exchange.refusal(pending, event.body)
                elif event.type == Type.PROGRESS and (done := self._progress(event.body, count)) > best:
                    best, limit_from, pending.attempts = done, time.monotonic(), 1
                    if on_progress is not None and done > 0:
                        on_progress(done)
            now = time.monotonic()
            if now >= limit_from + limit_s:
                raise DeviceError(
                    f"{self._line.url}: {pending} made no progress for {limit_s:g} s after "
                    f"{max(best, 0)} of them (sent {pending.attempts} times since)"
                )
            if now >= send_again:
                self._exchange.send_again(pending)
                pause *= 2
                send_again = now + pause

    def _progress(self, body: bytes, count: int) -> int:
        done = int.from_bytes(body, "little")
        if len(body) != 4 or done > count:
            raise DeviceError(f"{self._line.url}: the device's PROGRESS says {done} of {count} samples ({body.hex()})")
        return done

    def _finished_run(self, body: bytes, count: int, on_progress: Callable[[int], None] | None) -> int:
        if len(body) != 12:
            raise DeviceError(f"{self._line.url}: RUN of {count} samples was answered with {len(body)} bytes, not 12")
        status, done, runs_before = struct.unpack("<III", body)
        if status != 0 or done != count:
            raise DeviceError(
                f"{self._line.url}: the model stopped with status {status} after {done} of {count} samples"
            )
        if on_progress is not None:
            on_progress(count)
        return int(runs_before)

    # ---- frames out and in ----

    def _session_info(self) -> DeviceInfo:
        return self._info if self._info is not None else self.hello()

    def _await_hello(self, seq: int) -> tuple[bytes | None, int]:
        """Send HELLOs until one is answered; return the answer's body, or None at the limit, and the tries."""
        wire = b"\0" + frames.encode_frame(Type.HELLO, seq, frames.hello_body(self._session))
        now = next_send = time.monotonic()
        deadline = now + self._connect_timeout_s
        tries = 0
        while now < deadline:
            if now >= next_send:
                self._exchange.write(wire)
                tries += 1
                next_send = now + HELLO_INTERVAL_S
            for event in self._exchange.receive(min(next_send, deadline)):
                is_reply = isinstance(event, Frame) and event.type == Type.HELLO | frames.REPLY_FLAG
                if isinstance(event, Frame) and is_reply and event.seq == seq:
                    return event.body, tries
            now = time.monotonic()
        return None, tries

    def _count_payload(self, n_bytes: int, started: float) -> None:
        self._payload_bytes += n_bytes
        self._payload_seconds += time.monotonic() - started


def _offset_progress(on_progress: Callable[[int], None], start: int) -> Callable[[int], None]:
    return lambda done: on_progress(start + done)


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

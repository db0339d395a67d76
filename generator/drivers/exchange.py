"""Reliable delivery over a line that may damage or lose frames: requests out, each one's answer back.

Keeps as many requests in flight as the device has room for, sends again what was damaged or lost, gives up within
stated limits, and counts. It knows frames and time, not what a request means: that is `link`.

What was lost is inferred from the order of the line, which no frame overtakes: a damaged frame, seen by either end,
is the oldest one that waits (or its answer); an answer to a later frame shows that an earlier one was lost.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from edgewright.drivers import frames
from edgewright.drivers.frames import Damage, Fault, Frame, Nak, Type
from edgewright.drivers.line import Line
from edgewright.errors import DeviceError, InternalError

MAX_ATTEMPTS = 100  # of one request: where 85 % of the tries fail, one request in ten million gets that far
SILENT_TIMEOUTS = 5  # time-outs in a row without any valid answer: the device is gone
MAX_IN_FLIGHT = 16  # requests; READs are small, their replies are not

_NAK_WORDS: dict[int, str] = {
    Nak.UNKNOWN_TYPE: "it does not know this request",
    Nak.LENGTH: "the request has a wrong length",
    Nak.RANGE: "an offset or count is out of its range",
    Nak.RESERVED: "a reserved field is not zero",
    Nak.NO_SESSION: "it has no session: it was reset in mid-run",
    Nak.BUSY: "two RUNs are under way already",
}


@dataclass(frozen=True)
class Request:
    """One request; `index` is the caller's own number, `what` completes its name in messages.

    `limit_s` and `samples` are of a RUN, which the device accepts by a PROGRESS at once and answers when it is done:
    the time without any finished sample, and how many there are. `on_progress` gets how many are finished.
    """

    type: Type
    body: bytes = b""
    index: int = 0
    what: str = ""
    limit_s: float = 0.0
    samples: int = 0
    on_progress: Callable[[int], None] | None = None


@dataclass
class Pending:
    """A request that waits for its answer. `first_sent` and `last_sent` number all frames sent.

    `progress_at_send` is how many PROGRESSes had come when it was last sent. The rest is of a RUN: whether it was
    accepted, how many samples are finished, since when none was, and when it is sent again.
    """

    request: Request
    seq: int
    wire: bytes
    since: float
    first_sent: int
    last_sent: int
    progress_at_send: int
    attempts: int = 1
    accepted: bool = False
    done: int = 0
    limit_from: float = 0.0
    send_again_at: float = 0.0
    pause: float = 0.0

    def __str__(self) -> str:
        return f"{self.request.type.name}{self.request.what}"


class DeviceResetError(DeviceError):
    """The device has lost its session: it was reset."""


class SilentError(DeviceError):
    """The device says nothing, or nothing new."""


class RefusedError(DeviceError):
    """The device has refused a request."""


class DeviceCrashError(DeviceError):
    """The device has reported a fault; it resets itself then."""

    def __init__(self, text: str, fault: Fault, how: str = "") -> None:
        super().__init__(text)
        self.fault = fault
        self.how = how  # how often, and at which samples


class Exchange:
    """The traffic on one line; counts what happens on it."""

    def __init__(self, line: Line, timeout_s: float) -> None:
        self.line = line
        self.timeout_s = timeout_s
        self.window_bytes = 0  # what the device can hold unread; until HELLO says, one request at a time
        self.frames_sent = self.frames_received = self.retransmits = self.bytes_received = 0
        self.damaged = {Damage.CRC: 0, Damage.FRAMING: 0}
        self._decoder = frames.FrameDecoder()
        self._seq = secrets.randbelow(2**16)  # so that answers to an earlier host are not taken for ours
        self._pending: dict[int, Pending] = {}
        self._heard = self._timer = 0.0  # the last answer; that, or the last repetition of what is late
        self._progress_frames = 0

    def answers(self, requests: Iterable[Request | None]) -> Iterator[tuple[Request, bytes]]:
        """Send requests, several at a time, and yield each with its answer's body, in the order of the answers.

        `requests` is asked for the next one whenever there is room for it; it gives None while it has none, as long as
        answers are awaited that change that.
        """
        source = iter(requests)
        held: Request | None = None  # there is no room for it yet
        over = False
        self._pending.clear()
        self._heard = self._timer = time.monotonic()
        while True:
            while not over:
                if held is None:
                    try:
                        held = next(source)
                    except StopIteration:
                        over = True
                if held is None or not self._has_room(held):
                    break
                sent = self.send_new(held)
                self._pending[sent.seq] = sent
                held = None
            if not self._pending:
                if not over:
                    raise InternalError("the link waits for answers to no request")
                return
            for event in self.receive(self._wake_at()):
                answered = self._take(event)
                if answered is not None:
                    yield answered
            self._repeat_late()

    def _take(self, event: Frame | Damage) -> tuple[Request, bytes] | None:
        """Do what a frame asks for; return the request that it answers."""
        if asks_again(event):
            self._send_damaged_again(isinstance(event, Damage))
            return None
        if not isinstance(event, Frame) or (pending := self._pending.get(event.seq)) is None:
            return None
        if event.type == Type.NAK:
            raise self.refusal(pending, event.body)
        if event.type == Type.PROGRESS and pending.request.type == Type.RUN:
            self._progressed(pending, event.body)
        elif event.type == pending.request.type | frames.REPLY_FLAG:
            self._heard = self._timer = time.monotonic()
            del self._pending[event.seq]
            if pending.request.type == Type.RUN:
                self._sign_of_life()
            self._send_overtaken_again(pending)
            return pending.request, event.body
        return None

    def _progressed(self, run: Pending, body: bytes) -> None:
        done = int.from_bytes(body, "little")
        if len(body) != 4 or done > run.request.samples:
            raise DeviceError(
                f"{self.line.url}: the device's PROGRESS says {done} of {run.request.samples} samples ({body.hex()})"
            )
        self._progress_frames += 1
        if not run.accepted:
            run.accepted = True
            self._heard = self._timer = time.monotonic()
            run.send_again_at = self._timer + run.pause
            self._sign_of_life()
            self._send_overtaken_again(run)
        if done > run.done:
            run.done, run.attempts = done, 1
            self._sign_of_life()
            if run.request.on_progress is not None:
                run.request.on_progress(done)

    def _sign_of_life(self) -> None:
        """Begin the limits of all RUNs anew: a RUN that waits for another has had no time yet."""
        now = time.monotonic()
        for pending in self._pending.values():
            pending.limit_from = now

    def _send_overtaken_again(self, answered: Pending) -> None:
        """Send again what was last sent before `answered` was first: the line keeps its order, so it was lost."""
        for lost in [p for p in self._pending.values() if not p.accepted and p.last_sent < answered.first_sent]:
            self.send_again(lost)

    def _send_damaged_again(self, was_answer: bool) -> None:
        """Send again the oldest request: the line keeps its order, so it was that one, or its answer, or a RUN's."""
        ordinary = [p for p in self._pending.values() if not p.accepted]
        if ordinary:
            self.send_again(min(ordinary, key=lambda p: p.last_sent))
        if was_answer:
            for run in [p for p in self._pending.values() if p.accepted]:
                self.send_again(run)

    def _wake_at(self) -> float:
        times = []
        for pending in self._pending.values():
            times.append(pending.send_again_at if pending.accepted else self._timer + self.timeout_s)
            if pending.request.type == Type.RUN:
                times.append(pending.limit_from + pending.request.limit_s)
        return min(times)

    def _repeat_late(self) -> None:
        """Send again what has waited too long for its answer. Raises: DeviceError when there is no hope left."""
        now = time.monotonic()
        accepted = [p for p in self._pending.values() if p.accepted]
        ordinary = [p for p in self._pending.values() if not p.accepted]
        for run in (p for p in self._pending.values() if p.request.type == Type.RUN):
            if now >= run.limit_from + run.request.limit_s:
                raise SilentError(
                    f"{self.line.url}: {run} made no progress for {run.request.limit_s:g} s after "
                    f"{run.done} of them (sent {run.attempts} times since)"
                )
        for run in accepted:
            if now >= run.send_again_at:
                self.send_again(run)
                run.pause *= 2
                run.send_again_at = now + run.pause
        if not ordinary or now < self._timer + self.timeout_s:
            return
        self._timer = now
        if accepted:  # the device answers between samples only, and says by a PROGRESS that it has done so
            ordinary = [p for p in ordinary if self._progress_frames >= p.progress_at_send + 2]
        elif now >= self._heard + SILENT_TIMEOUTS * self.timeout_s:
            raise SilentError(self._gave_up(ordinary[0], f"the device is silent for {now - self._heard:.1f} s"))
        for late in ordinary:
            self.send_again(late)

    def _has_room(self, request: Request) -> bool:
        """Say whether the device surely has room for one more request among those that it has not answered."""
        if not self._pending:
            return True
        in_flight = sum(len(p.wire) for p in self._pending.values() if not p.accepted)
        waiting = sum(not p.accepted for p in self._pending.values())
        repeated = sum(len(p.wire) for p in self._pending.values() if p.accepted)  # it may be sent once more
        wire = frames.encoded_max_bytes(len(request.body))
        return waiting < MAX_IN_FLIGHT and in_flight + repeated + wire <= self.window_bytes

    def send_new(self, request: Request) -> Pending:
        """Send a request for the first time."""
        seq = self.next_seq()
        wire = frames.encode_frame(request.type, seq, request.body)
        now, number = time.monotonic(), self.frames_sent
        pending = Pending(request, seq, wire, now, number, number, self._progress_frames, limit_from=now)
        pending.pause, pending.send_again_at = self.timeout_s, now + self.timeout_s
        self.write(wire)
        return pending

    def send_again(self, pending: Pending) -> None:
        """Send a request once more. Raises: DeviceError when that was done often enough."""
        if pending.attempts >= MAX_ATTEMPTS:
            raise DeviceError(self._gave_up(pending, "each time it or its answer was lost or damaged"))
        pending.attempts += 1
        pending.last_sent = self.frames_sent
        pending.progress_at_send = self._progress_frames
        self.retransmits += 1
        self.write(b"\0" + pending.wire)  # ends whatever remains of a damaged frame

    def _gave_up(self, pending: Pending, why: str) -> str:
        seconds = time.monotonic() - pending.since
        return f"{self.line.url}: {pending} failed after {pending.attempts} tries in {seconds:.1f} s: {why}"

    def refusal(self, pending: Pending, body: bytes) -> DeviceError:
        """Return the error for a NAK to `pending`."""
        code = body[0] if body else 0
        words = _NAK_WORDS.get(code, f"unknown code {code}")
        kind = DeviceResetError if code == Nak.NO_SESSION else RefusedError
        return kind(f"{self.line.url}: the device refused {pending}: {words}")

    def write(self, wire: bytes) -> None:
        """Send one encoded frame."""
        self.line.write(wire)
        self.frames_sent += 1

    def receive(self, deadline: float) -> list[Frame | Damage]:
        """Return what the next bytes complete, perhaps nothing; waits for bytes until the deadline."""
        data = self.line.read(deadline)
        self.bytes_received += len(data)
        if not data and (unfinished := self._decoder.take_unfinished_fault()) is not None:
            raise self.crashed(unfinished)
        events: list[Frame | Damage] = []
        fault: Fault | None = None
        for event in self._decoder.feed(data):
            if isinstance(event, Fault):
                fault = event
                continue
            events.append(event)
            if isinstance(event, Frame):
                self.frames_received += 1
            else:
                self.damaged[event] += 1
        if fault is not None:
            raise self.crashed(fault)
        return events

    def crashed(self, fault: Fault) -> DeviceCrashError:
        """Return the error for a report of a crash."""
        said = " ".join(f"{name}=0x{value:08x}" for name, value in fault.registers)
        return DeviceCrashError(f"{self.line.url}: the device crashed: {said}", fault)

    def next_seq(self) -> int:
        """Return the sequence number of the next request."""
        self._seq = (self._seq + 1) % 2**16
        return self._seq


def asks_again(event: Frame | Damage) -> bool:
    """Say whether a frame was damaged, here or (a NAK) at the device."""
    if isinstance(event, Damage):
        return True
    return event.type == Type.NAK and event.body[:1] in (bytes([Nak.CRC]), bytes([Nak.FRAME]))

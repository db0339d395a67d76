"""Reliable delivery over a line that may damage or lose frames: requests out, each one's answer back.

Keeps as many requests in flight as the device has room for, sends again what was damaged or lost, gives up within
stated limits, and counts. It knows frames and time, not what a request means: that is `link`.

What was lost is inferred from the order of the line, which no frame overtakes: a damaged frame, seen by either end,
is the oldest one that waits (or its answer); an answer to a later frame shows that an earlier one was lost.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgewright.drivers import frames
from edgewright.drivers.frames import Damage, Frame, Nak, Type
from edgewright.drivers.line import Line
from edgewright.errors import DeviceError

MAX_ATTEMPTS = 100  # of one request: where 85 % of the tries fail, one request in ten million gets that far
SILENT_TIMEOUTS = 5  # time-outs in a row without any valid answer: the device is gone
MAX_IN_FLIGHT = 16  # requests; READs are small, their replies are not

_NAK_WORDS: dict[int, str] = {
    Nak.UNKNOWN_TYPE: "it does not know this request",
    Nak.LENGTH: "the request has a wrong length",
    Nak.RANGE: "an offset or count is out of its range",
    Nak.RESERVED: "a reserved field is not zero",
    Nak.NO_SESSION: "it has no session: it was reset in mid-run",
}


@dataclass(frozen=True)
class Request:
    """One request; `index` is the caller's own number, `what` completes its name in messages."""

    type: Type
    body: bytes = b""
    index: int = 0
    what: str = ""


@dataclass
class Pending:
    """A request that waits for its answer. `first_sent` and `last_sent` number all frames sent."""

    request: Request
    seq: int
    wire: bytes
    since: float
    first_sent: int
    last_sent: int
    attempts: int = 1

    def __str__(self) -> str:
        return f"{self.request.type.name}{self.request.what}"


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

    def answers(self, requests: Iterable[Request]) -> Iterator[tuple[Request, bytes]]:
        """Send requests, several at a time, and yield each with its answer's body, in the order of the answers."""
        source = iter(requests)
        waiting = next(source, None)
        pending: dict[int, Pending] = {}
        heard = timer = time.monotonic()
        while waiting is not None or pending:
            while waiting is not None and self._has_room(waiting, pending):
                sent = self.send_new(waiting)
                pending[sent.seq] = sent
                waiting = next(source, None)
            for event in self.receive(timer + self.timeout_s):
                if asks_again(event):
                    if pending:  # the line keeps its order, so this was the oldest frame or its answer
                        self.send_again(min(pending.values(), key=lambda p: p.last_sent))
                elif isinstance(event, Frame) and (answered := pending.get(event.seq)) is not None:
                    if event.type == Type.NAK:
                        raise self.refusal(answered, event.body)
                    if event.type == answered.request.type | frames.REPLY_FLAG:
                        heard = timer = time.monotonic()
                        del pending[event.seq]
                        for lost in [p for p in pending.values() if p.last_sent < answered.first_sent]:
                            self.send_again(lost)
                        yield answered.request, event.body
            now = time.monotonic()
            if pending and now >= timer + self.timeout_s:
                oldest = next(iter(pending.values()))
                if now >= heard + SILENT_TIMEOUTS * self.timeout_s:
                    raise DeviceError(self._gave_up(oldest, f"the device is silent for {now - heard:.1f} s"))
                for late in pending.values():
                    self.send_again(late)
                timer = now

    def _has_room(self, request: Request, pending: dict[int, Pending]) -> bool:
        """Say whether the device surely has room for one more request among those that it has not answered."""
        if not pending:
            return True
        in_flight = sum(len(p.wire) for p in pending.values())
        wire = frames.encoded_max_bytes(len(request.body))
        return len(pending) < MAX_IN_FLIGHT and in_flight + wire <= self.window_bytes

    def send_new(self, request: Request) -> Pending:
        """Send a request for the first time."""
        seq = self.next_seq()
        wire = frames.encode_frame(request.type, seq, request.body)
        pending = Pending(request, seq, wire, time.monotonic(), self.frames_sent, self.frames_sent)
        self.write(wire)
        return pending

    def send_again(self, pending: Pending) -> None:
        """Send a request once more. Raises: DeviceError when that was done often enough."""
        if pending.attempts >= MAX_ATTEMPTS:
            raise DeviceError(self._gave_up(pending, "each time it or its answer was lost or damaged"))
        pending.attempts += 1
        pending.last_sent = self.frames_sent
        self.retransmits += 1
        self.write(b"\0" + pending.wire)  # ends whatever remains of a damaged frame

    def _gave_up(self, pending: Pending, why: str) -> str:
        seconds = time.monotonic() - pending.since
        return f"{self.line.url}: {pending} failed after {pending.attempts} tries in {seconds:.1f} s: {why}"

    def refusal(self, pending: Pending, body: bytes) -> DeviceError:
        """Return the error for a NAK to `pending`."""
        code = body[0] if body else 0
        words = _NAK_WORDS.get(code, f"unknown code {code}")
        return DeviceError(f"{self.line.url}: the device refused {pending}: {words}")

    def write(self, wire: bytes) -> None:
        """Send one encoded frame."""
        self.line.write(wire)
        self.frames_sent += 1

    def receive(self, deadline: float) -> list[Frame | Damage]:
        """Return what the next bytes complete, perhaps nothing; waits for bytes until the deadline."""
        data = self.line.read(deadline)
        self.bytes_received += len(data)
        events = list(self._decoder.feed(data))
        for event in events:
            if isinstance(event, Frame):
                self.frames_received += 1
            else:
                self.damaged[event] += 1
        return events

    def next_seq(self) -> int:
        """Return the sequence number of the next request."""
        self._seq = (self._seq + 1) % 2**16
        return self._seq


def asks_again(event: Frame | Damage) -> bool:
    """Say whether a frame was damaged, here or (a NAK) at the device."""
    if isinstance(event, Damage):
        return True
    return event.type == Type.NAK and event.body[:1] in (bytes([Nak.CRC]), bytes([Nak.FRAME]))

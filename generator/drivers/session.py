"""One line to one device: found, told what session it is in, its baud rate raised and lowered, lost and found again.

docs/PROTOCOL.md has the messages; what is done in a session is `link`.
"""

from __future__ import annotations

import secrets
import struct
import time
from contextlib import suppress
from typing import Self

from edgewright.closing import Closing
from edgewright.drivers import frames
from edgewright.drivers.exchange import DeviceCrashError, Exchange, RefusedError, Request
from edgewright.drivers.frames import DeviceInfo, Frame, Type
from edgewright.drivers.line import Line
from edgewright.errors import DeviceError, PortError

HELLO_INTERVAL_S = 0.25  # a board that boots meanwhile, or resynchronises, answers the next one
HELLOS_TO_LOST = 4  # unanswered: the device may still be at another baud rate, which it leaves after this much noise
LOST_BYTES = 2 * frames.encoded_max_bytes(1024)
BAUD_TRIAL_S = 0.6  # at a new rate; one HELLO's answer takes milliseconds
FAREWELL_S = 0.3  # for the device's answer that it is back at the rate of the start


class Session(Closing):
    """One open line to one device. Not for several threads. Use as a context manager, or call `close`."""

    def __init__(self, line: Line, timeout_s: float, connect_timeout_s: float) -> None:
        self.line = line
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._start_rate = line.rate
        self.exchange = Exchange(line, timeout_s)
        self._info: DeviceInfo | None = None
        self._session = secrets.randbelow(2**32 - 1) + 1

    @classmethod
    def open(cls, url: str, *, baudrate: int = 115200, timeout_s: float = 2.0, connect_timeout_s: float = 10.0) -> Self:
        """Open the port `url`: /dev/tty*, COM*, a pty's path, socket://HOST:PORT or rfc2217://HOST:PORT.

        Units: `timeout_s` is how long an answer may take before its request is sent again;
            `connect_timeout_s` is the limit of `hello`.
        Raises: PortError when the port does not exist, refuses, or is in use.
        """
        return cls(Line(url, baudrate, timeout_s), timeout_s, connect_timeout_s)

    def close(self) -> None:
        """Close the port. A device whose baud rate was raised is asked to go back, for whoever comes next."""
        try:
            if self.line.rate != self._start_rate:
                with suppress(DeviceError):
                    self._say_farewell()
        finally:
            self.line.close()

    def _say_farewell(self) -> None:
        pending = self.exchange.send_new(Request(Type.SET_BAUD, struct.pack("<I", self._start_rate)))
        deadline = time.monotonic() + FAREWELL_S
        while time.monotonic() < deadline:
            if any(isinstance(e, Frame) and e.seq == pending.seq for e in self.exchange.receive(deadline)):
                return

    @property
    def has_baudrate(self) -> bool:
        """Whether a line of a known rate is behind the port: a socket has none, nor a pseudo-terminal."""
        return self.line.baudrate is not None

    @property
    def rate(self) -> int:
        """The present baud rate, of use or not."""
        return self.line.rate

    @property
    def traffic(self) -> Exchange:
        """The counters of this end; they need no answer of the device's."""
        return self.exchange

    def hello(self) -> DeviceInfo:
        """Find the device, begin a session, and return what it says about itself.

        Works from any state of the line: in the middle of a frame, or while the device still starts.
        Raises: PortError when nothing valid comes within the limit; DeviceError for another protocol version.
        """
        return self._say_hello(self._connect_timeout_s)

    def _say_hello(self, limit_s: float) -> DeviceInfo:
        self._info = None
        seq = self.exchange.next_seq()
        bytes_before = self.exchange.bytes_received
        try:
            body, tries = self._await_hello(seq, limit_s)
        except DeviceCrashError:
            raise
        except DeviceError as error:
            raise PortError(f"{error}, before any answer") from error
        if body is None:
            heard = self.exchange.bytes_received - bytes_before
            came = f"{heard} bytes came, none of them an answer" if heard else "not a byte came"
            raise PortError(
                f"{self.line.url}: no device answered {tries} HELLOs in {limit_s:g} s ({came}). "
                "Does the board run firmware made by edgewright, and is the baud rate right?"
            )
        info = frames.parse_hello(body)
        if info.session != self._session:
            raise DeviceError(f"{self.line.url}: the device answered the HELLO of another host")
        # A slow line needs its time for the largest frame there and back.
        wire = 2 * frames.encoded_max_bytes(info.max_body_bytes)
        self.exchange.timeout_s = self._timeout_s + self.line.seconds_for(wire)
        self.exchange.window_bytes = info.rx_buffer_bytes
        self._info = info
        return info

    def say_hello_again(self, before: DeviceInfo) -> DeviceInfo:
        """Begin a session with a device that was reset. Raises: DeviceError where it is not the same any more."""
        if self.line.rate != self._start_rate:
            self.line.set_baudrate(self._start_rate)
            self._session = secrets.randbelow(2**32 - 1) + 1  # it may not have been a reset, and a RUN goes on
        info = self.hello()
        fields = ("build_id", "capacity_samples", "input_bytes", "output_bytes")
        if any(getattr(info, f) != getattr(before, f) for f in fields):
            raise DeviceError(
                f"{self.line.url}: after a reset in mid-run the device is another one, or runs another build"
            )
        return info

    def reset(self) -> None:
        """Restart the device; the next request says hello again. Raises: DeviceError when it does not confirm."""
        for _ in self.exchange.answers([Request(Type.RESET)]):
            self._info = None

    def set_baudrate(self, baudrate: int) -> bool:
        """Change the line's rate at both ends; False where the device refuses or the rate does not work.

        In that case the old rate is back at both ends. Raises: PortError, DeviceError when the device is lost.
        """
        self.session_info()
        old = self.line.rate
        try:
            for _ in self.exchange.answers([Request(Type.SET_BAUD, struct.pack("<I", baudrate), what=f" {baudrate}")]):
                self.line.set_baudrate(baudrate)
        except RefusedError:
            return False
        try:
            self._say_hello(BAUD_TRIAL_S)
        except (PortError, DeviceError):
            self.line.set_baudrate(old)
            self.hello()
            return False
        return True

    def session_info(self) -> DeviceInfo:
        """What the device said of itself; it is asked if nobody did."""
        return self._info if self._info is not None else self.hello()

    def _await_hello(self, seq: int, limit_s: float) -> tuple[bytes | None, int]:
        """Send HELLOs until one is answered; return the answer's body, or None at the limit, and the tries.

        A fault that the device reports is no answer, as it starts anew then. Raises: DeviceCrashError where it was the
        last that came.
        """
        crash: DeviceCrashError | None = None
        wire = b"\0" + frames.encode_frame(Type.HELLO, seq, frames.hello_body(self._session))
        now = next_send = time.monotonic()
        deadline = now + limit_s
        tries = 0
        while now < deadline:
            if now >= next_send:
                lost = tries > 0 and tries % HELLOS_TO_LOST == 0
                self.exchange.write(bytes(LOST_BYTES) + wire if lost else wire)
                tries += 1
                next_send = now + HELLO_INTERVAL_S
            try:
                events = self.exchange.receive(min(next_send, deadline))
            except DeviceCrashError as error:
                crash, events = error, []
            for event in events:
                is_reply = isinstance(event, Frame) and event.type == Type.HELLO | frames.REPLY_FLAG
                if isinstance(event, Frame) and is_reply and event.seq == seq:
                    return event.body, tries
            now = time.monotonic()
        if crash is not None:
            raise crash
        return None, tries

"""A byte line to a device: a serial port, a pseudo-terminal or a socket, by its pyserial URL.

Bytes out, bytes in, nothing of the protocol. Every wait has a deadline. A port that cannot be opened is a
`PortError`; a line that fails later is a `DeviceError`; both name the URL.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import select
import socket
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

import serial

from edgewright.drivers.ports import resolve_port
from edgewright.errors import DeviceError, PortError

BITS_PER_BYTE = 10  # start, 8 data, stop
_READ_BYTES = 65536
_WRITE_BYTES = 8192  # what the system may have queued ahead of a write
_CONNECT_TIMEOUT_S = 5.0  # of a socket; as pyserial's
_STASH_BYTES = 1 << 20  # that come during one write: more is left to the system
_POLL_S = 0.02  # where the port cannot be waited for with select: how long one read waits
_SCHEMES = ("socket", "rfc2217")
_PTY_PATH = re.compile(r"/dev/(pts/\d+|ttys\d{3})$")  # Linux, macOS


def check_url(url: str) -> None:
    """Raise PortError for what cannot be a port: an unknown scheme, or no host and port number after it."""
    expected = (
        "expected a device such as /dev/ttyACM0 or COM3, socket://HOST:PORT, rfc2217://HOST:PORT, VID:PID or auto"
    )
    if not url:
        raise PortError(f"the port is empty: {expected}")
    if "://" not in url:
        return
    try:
        parts = urlsplit(url)
        complete = bool(parts.hostname) and parts.port is not None
    except ValueError:
        complete = False
    if not complete or parts.scheme not in _SCHEMES:
        raise PortError(f"'{url}' is not a port: {expected}")


class _Port(Protocol):
    """What a line needs of a port. Errors are OSError or pyserial's."""

    def read(self, deadline: float) -> bytes | None:
        """Return what has come, None if nothing came until the deadline, b"" if the other end closed."""

    def write(self, data: bytes) -> bytes:
        """Send all of `data`, or raise TimeoutError or SerialTimeoutException; return what has come meanwhile.

        A device that sends does not read: both ends would wait for each other if the host did not read either.
        """

    def set_baudrate(self, baudrate: int) -> None:
        """Change the rate after all that was written has left; does nothing where there is none."""

    def close(self) -> None:
        """Close; may be called again."""


class _SocketPort:
    """A TCP connection. pyserial has one too; it leaves Nagle's algorithm on and sleeps 0.3 s at each close."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 0), _CONNECT_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a small frame waits up to 40 ms
        self._socket.setblocking(False)
        self._timeout_s = timeout_s

    def read(self, deadline: float) -> bytes | None:
        return self._socket.recv(_READ_BYTES) if _is_readable(self._socket.fileno(), deadline) else None

    def write(self, data: bytes) -> bytes:
        return _write_reading(self._socket.fileno(), data, self._timeout_s)

    def set_baudrate(self, baudrate: int) -> None:
        del baudrate

    def close(self) -> None:
        self._socket.close()


class _SerialPort:
    """A port of pyserial's, opened for this process alone."""

    def __init__(self, url: str, baudrate: int, timeout_s: float) -> None:
        # pyserial's rfc2217 refuses a write limit: it has one of its own, 5 s, at the socket.
        write_timeout = None if url.startswith("rfc2217://") else timeout_s
        self._serial: Any = serial.serial_for_url(
            url, baudrate=baudrate, timeout=_POLL_S, write_timeout=write_timeout, exclusive=True
        )
        try:
            self._fd = int(self._serial.fileno()) if os.name == "posix" else None
        except (AttributeError, io.UnsupportedOperation):
            self._fd = None  # rfc2217: a thread of pyserial's reads the socket
        self._timeout_s = timeout_s

    def read(self, deadline: float) -> bytes | None:
        if self._fd is not None:
            return os.read(self._fd, _READ_BYTES) if _is_readable(self._fd, deadline) else None
        while True:
            data: bytes = self._serial.read(max(1, self._serial.in_waiting))
            if data:
                return data
            if time.monotonic() >= deadline:
                return None

    def write(self, data: bytes) -> bytes:
        if self._fd is not None:
            return _write_reading(self._fd, data, self._timeout_s)
        self._serial.write(data)
        return b""

    def set_baudrate(self, baudrate: int) -> None:
        self._serial.flush()
        self._serial.baudrate = baudrate

    def close(self) -> None:
        self._serial.close()


class Line:
    """An open port; `baudrate` is None where no line of a known rate is behind it (a socket, a pty)."""

    def __init__(self, url: str, baudrate: int, timeout_s: float) -> None:
        """Open the port; `timeout_s` is how long it may take no bytes. Raises: PortError."""
        check_url(url)
        url = resolve_port(url)
        if baudrate < 1:
            raise PortError(f"cannot open port '{url}': a baud rate of {baudrate} is impossible")
        is_socket = url.startswith("socket://")
        self.url = url
        self.rate = baudrate  # as it was set, of use or not
        self.baudrate = None if is_socket or _is_pty(url) else baudrate
        self._came = b""  # during writes, and not yet read
        self._timeout_s = timeout_s
        self._write_timeout_s = timeout_s + self.seconds_for(_WRITE_BYTES)
        try:
            self._port: _Port = (
                _SocketPort(url, self._write_timeout_s)
                if is_socket
                else _SerialPort(url, baudrate, self._write_timeout_s)
            )
        except (serial.SerialException, OSError, ValueError) as error:
            reason = _reason(error)
            if _errno(error) in (errno.EAGAIN, errno.EBUSY):
                reason = "another program uses it"
            raise PortError(f"cannot open port '{url}': {reason}") from error

    def read(self, deadline: float) -> bytes:
        """Return what has come; waits for at least one byte until `deadline` (time.monotonic), then returns none."""
        if self._came:
            came, self._came = self._came, b""
            return came
        try:
            data = self._port.read(deadline)
        except BlockingIOError:  # it seemed readable, and was not
            return b""
        except (serial.SerialException, OSError) as error:
            raise DeviceError(f"{self.url}: the line failed: {_reason(error)}") from error
        if data == b"":
            raise DeviceError(f"{self.url}: the device closed the line")
        return data or b""

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises: DeviceError when the line is closed, or takes nothing for the time limit."""
        try:
            self._came += self._port.write(data)
        except (serial.SerialTimeoutException, TimeoutError) as error:
            raise DeviceError(f"{self.url}: the line took no bytes for {self._write_timeout_s:g} s") from error
        except (serial.SerialException, OSError) as error:
            raise DeviceError(f"{self.url}: the line failed: {_reason(error)}") from error

    def set_baudrate(self, baudrate: int) -> None:
        """Change the rate, after all that was written has left. Raises: DeviceError."""
        try:
            self._port.set_baudrate(baudrate)
        except (serial.SerialException, OSError, ValueError) as error:
            raise DeviceError(f"{self.url}: cannot set {baudrate:,} baud: {_reason(error)}") from error
        self.rate = baudrate
        self.baudrate = None if self.baudrate is None else baudrate
        self._came = b""

    def seconds_for(self, n_bytes: int) -> float:
        """Return how long `n_bytes` take at the baud rate, 0.0 where there is none."""
        return 0.0 if self.baudrate is None else n_bytes * BITS_PER_BYTE / self.baudrate

    def close(self) -> None:
        """Close the port; a second call does nothing."""
        self._port.close()


def _write_reading(fd: int, data: bytes, timeout_s: float) -> bytes:
    """Write all of `data` to a descriptor that does not block; return what came meanwhile. Raises: TimeoutError."""
    came = bytearray()
    rest = memoryview(data)
    deadline = time.monotonic() + timeout_s
    while rest:
        readable, writable, _ = select.select([fd], [fd], [], max(0.0, deadline - time.monotonic()))
        if writable:
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(fd, rest) :]
        elif readable and len(came) < _STASH_BYTES:
            came += os.read(fd, _READ_BYTES) or b""
        if rest and time.monotonic() >= deadline:
            raise TimeoutError
    return bytes(came)


def _is_readable(fd: int, deadline: float) -> bool:
    return bool(select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0])


def _is_pty(path: str) -> bool:
    return _PTY_PATH.match(os.path.realpath(path)) is not None


def _reason(error: BaseException) -> str:
    """Return the operating system's words for an error that pyserial may have wrapped."""
    number = _errno(error)
    return os.strerror(number) if number else str(error)


def _errno(error: BaseException) -> int:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno:
            return seen.errno
        seen = seen.__cause__ or seen.__context__
    return 0

"""A line between a host and a device that is slow, or bad, or dead for a while: bytes in, fewer or other bytes out.

A device is a program with its line on standard input and output, or what lies behind a pseudo terminal's path; the
host's end is a TCP socket. Everything random comes from a seed.
"""

from __future__ import annotations

import os
import queue
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

KINDS = ("flip", "drop", "duplicate", "insert", "delay")
BITS_PER_BYTE = 10
_PORTION_BYTES = 4096
_PACED_BYTES = 64  # delivered at once on a paced line
_PACED_PORTIONS = 64  # that wait to travel, at most
_DELAY_S = 0.005  # the longest


@dataclass
class Faults:
    """One direction of a bad line: each byte meets with a fault at `rate` (0: never); `counts` has what happened."""

    seed: int
    rate: float
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311
        self._until_next = self._draw()

    def _draw(self) -> int:
        return int(self._random.expovariate(self.rate)) if self.rate > 0 else 2**62

    def __call__(self, data: bytes) -> bytes:
        """Return what is left of `data` on this line."""
        out = bytearray()
        at = 0
        while self._until_next < len(data) - at:
            here = at + self._until_next
            out += data[at:here]
            kind = self._random.choice(KINDS)
            self.counts[kind] += 1
            byte = data[here]
            if kind == "flip":
                out.append(byte ^ (1 << self._random.randrange(8)))
            elif kind == "duplicate":
                out += bytes([byte, byte])
            elif kind == "insert":
                out += bytes([byte, self._random.randrange(256)])
            elif kind == "delay":
                out.append(byte)
                time.sleep(self._random.uniform(0, _DELAY_S))
            at = here + 1
            self._until_next = self._draw()
        self._until_next -= len(data) - at
        return bytes(out + data[at:])


class PacedReader:
    """One direction of a line that carries `baud` / 10 bytes a second: `read` as from `source`, at that pace.

    When each portion arrives is computed from when it was sent and when the line was free: a computer that wakes late
    delays it, and does not make the line slower.
    """

    def __init__(self, source: Callable[[int], bytes], baud: int) -> None:
        self._source = source
        self._seconds_per_byte = BITS_PER_BYTE / baud
        self._sent: queue.Queue[tuple[float, bytes]] = queue.Queue(_PACED_PORTIONS)
        self._free_at = 0.0
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        data = b"begin"
        while data:
            data = b""
            with suppress(OSError):
                data = self._source(_PACED_BYTES)
            self._sent.put((time.monotonic(), data))

    def read(self, _n_bytes: int) -> bytes:
        """Return the next portion when its last byte has arrived; b"": the end."""
        sent_at, data = self._sent.get()
        self._free_at = max(self._free_at, sent_at) + len(data) * self._seconds_per_byte
        time.sleep(max(0.0, self._free_at - time.monotonic()))
        return data


class Proxy:
    """The line between one host and one device; `url` is the host's end."""

    def __init__(
        self, device_in: int, device_out: int, to_device: Callable[[bytes], bytes], to_host: Callable[[bytes], bytes],
        baud: int | None = None,
    ) -> None:  # fmt: skip
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut = threading.Event()  # while it is set, nothing arrives anywhere
        self._device_in, self._device_out = device_in, device_out
        self._ways = to_device, to_host
        self._baud = baud
        self._host: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            self._host, _ = self._listener.accept()
            self._host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            host = self._host
            back = threading.Thread(
                target=self._pump,
                args=(lambda n: os.read(self._device_out, n), host.sendall, self._ways[1]),
                daemon=True,
            )
            back.start()
            self._pump(host.recv, self._to_device, self._ways[0])

    def _to_device(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._device_in, data) :]

    def _pump(
        self, read: Callable[[int], bytes], write: Callable[[bytes], None], fault: Callable[[bytes], bytes]
    ) -> None:
        if self._baud:
            read = PacedReader(read, self._baud).read
        with suppress(OSError):
            while data := read(_PORTION_BYTES):
                data = fault(data)
                if not self.cut.is_set():
                    write(data)
        if self._host is not None:
            with suppress(OSError):
                self._host.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        self._listener.close()
        if self._host is not None:
            with suppress(OSError):
                self._host.shutdown(socket.SHUT_RDWR)
            self._host.close()


def clean(data: bytes) -> bytes:
    """A line without faults."""
    return data


@dataclass
class Board:
    """A running device program behind a proxy."""

    proxy: Proxy
    process: subprocess.Popen[bytes]

    def reset(self) -> None:
        """Restart the program at once, wherever it is: tests/c/link_device.c does so at SIGUSR1."""
        self.process.send_signal(signal.SIGUSR1)


@contextmanager
def board(
    argv: Sequence[str | Path], to_device: Callable[[bytes], bytes] = clean, to_host: Callable[[bytes], bytes] = clean,
    baud: int | None = None,
) -> Iterator[Board]:  # fmt: skip
    """Start a device program with its line on standard input and output, behind a proxy."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([str(word) for word in argv], stdin=theirs, stdout=theirs)
    theirs.close()
    proxy = Proxy(ours.fileno(), ours.fileno(), to_device, to_host, baud)
    try:
        yield Board(proxy, process)
    finally:
        proxy.close()
        process.kill()
        process.wait(timeout=10)
        ours.close()

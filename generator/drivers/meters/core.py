"""What all power meters have in common: the interface, what a user chooses, the thread that reads, the lock.

In: `MeterOptions`. Out: a `Meter`, which gives a `Recording` of what was drawn between its start and its stop.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
import tempfile
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, ClassVar

from edgewright.closing import Closing
from edgewright.drivers.meters.windows import Recording
from edgewright.errors import MeterError, ToolError

FIRST_SAMPLES_S = 3.0  # that a meter may take to send the first ones
SETTLE_S = 0.05  # before the first inference and behind the last: both edges of each pulse have to be recorded
_QUIET_S = 0.1  # without a byte: all that was on its way has come
_POLL_S = 0.001


@dataclass(frozen=True)
class MeterOptions:
    """What a user says about a meter. Units: V.

    `name`: one of `METERS`. `address`: a serial port, HOST:PORT or serial number, as the meter has it; None: the only
    one that is there. `supply_v`: what the board is fed with. `channel`: the input that the marker is on.
    """

    name: str
    address: str | None = None
    supply_v: float | None = None
    channel: str | None = None


class Meter(Closing):
    """A power meter that is open, locked, and feeds the board if it can."""

    title: ClassVar[str]
    channels: ClassVar[tuple[str, ...]]  # inputs for the marker; the first is the default
    supply_range_v: ClassVar[tuple[float, float] | None] = None  # None: it feeds no board, and measures the voltage
    import_package: ClassVar[Callable[[], ModuleType] | None] = None  # imports what it is driven by

    def __init__(self, options: MeterOptions) -> None:
        """Open it. Raises: MeterError, ToolError."""
        self.channel = self._chosen_channel(options.channel)
        self.supply_v = self._chosen_supply(options)

    @classmethod
    def check(cls, options: MeterOptions) -> None:
        """Find out before any work what is wrong with the options, or missing. Raises: MeterError, ToolError."""
        cls._chosen_channel(options.channel)
        cls._chosen_supply(options)
        if cls.import_package is not None:
            cls.import_package()

    @contextlib.contextmanager
    def told(self, what: str) -> Iterator[None]:
        """What a package or a port raises meanwhile is the meter's failure, of `what`. Raises: MeterError."""
        try:
            yield
        except MeterError:
            raise
        except Exception as error:
            raise MeterError(f"{what}: {error}") from error

    @abstractmethod
    def start(self) -> None:
        """Begin to record; samples come when this returns. Raises: MeterError."""

    @abstractmethod
    def stop(self) -> Recording:
        """End, and return what was recorded since `start`. Raises: MeterError where samples were lost."""

    @classmethod
    def _chosen_channel(cls, channel: str | None) -> str:
        if channel is None:
            return cls.channels[0]
        if channel.upper() not in cls.channels:
            raise MeterError(f"--meter-marker {channel}: {cls.title} has {', '.join(cls.channels)}")
        return channel.upper()

    @classmethod
    def _chosen_supply(cls, options: MeterOptions) -> float:
        """The supply voltage; 0 where the meter does not feed boards."""
        volts, limits = options.supply_v, cls.supply_range_v
        if limits is None:
            if volts is not None:
                raise MeterError(f"--supply {volts:g}: {cls.title} feeds no board, leave it out")
            return 0.0
        expected = f"from {limits[0]:g} to {limits[1]:g} V"
        if volts is None:
            raise MeterError(f"--meter {options.name} needs --supply, what the board is to get: {expected}")
        if not limits[0] <= volts <= limits[1]:
            raise MeterError(f"--supply {volts:g}: {cls.title} can do {expected}")
        return volts


def package(module: str, name: str, extra: str) -> ModuleType:
    """Import a meter's package, which is no dependency of edgewright. Raises: ToolError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ToolError(
            f"the Python package {name} is not there ({error}). Install it: {sys.executable} -m pip install "
            f"'edgewright[{extra}]'"
        ) from error


class Stream(threading.Thread):
    """Reads what a meter sends until it is told to stop, so that nothing is lost while inferences run.

    `read` returns what has come, and nothing where nothing has; what it raises ends the thread, and is raised by
    `bytes` again.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        super().__init__(daemon=True)
        self._read = read
        self._chunks: list[bytes] = []
        self._ended = threading.Event()
        self._came_at = time.monotonic()
        self._failure: Exception | None = None

    def run(self) -> None:
        """Read; the thread's own."""
        try:
            while not self._ended.is_set():
                data = self._read()
                if data:
                    self._chunks.append(data)
                    self._came_at = time.monotonic()
                else:
                    time.sleep(_POLL_S)
        except Exception as error:  # whatever a package's port raises: told by `bytes`
            self._failure = error

    def wait_for_first(self, what: str) -> None:
        """Return once something has come. Raises: MeterError after the time limit."""
        deadline = time.monotonic() + FIRST_SAMPLES_S
        while not self._chunks and self._failure is None:
            if time.monotonic() > deadline:
                self.end()
                raise MeterError(f"{what} sent no sample within {FIRST_SAMPLES_S:g} s")
            time.sleep(_POLL_S)

    def wait_until_quiet(self) -> None:
        """Return once nothing has come for a while."""
        while self.is_alive() and time.monotonic() - self._came_at < _QUIET_S:
            time.sleep(_POLL_S)

    def end(self) -> None:
        """End the thread; harmless when repeated."""
        self._ended.set()
        self.join()

    def bytes(self, what: str) -> bytes:
        """End, and return all that came. Raises: MeterError where reading failed."""
        self.end()
        if self._failure is not None:
            raise MeterError(f"{what} failed while it recorded: {self._failure}")
        return b"".join(self._chunks)


class Lock(Closing):
    """Keeps a meter that is no serial port to one process (a serial port is opened for one alone). POSIX only."""

    def __init__(self, what: str) -> None:
        """Raises: MeterError where another process has it."""
        name = hashlib.sha256(what.encode()).hexdigest()[:16]
        self._file: IO[str] | None = (Path(tempfile.gettempdir()) / f"edgewright-meter-{name}.lock").open("a")
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise MeterError(f"{what}: another process measures with it") from error

    def close(self) -> None:
        """Let it go."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

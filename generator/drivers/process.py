"""The one way in which edgewright starts other programs: logged, without a shell, with a time limit, never left behind.

`run` waits for a program to finish; `start` keeps one running beside Python. Every program gets a process group of
its own, so that the whole of it can be ended, and on Linux dies with the thread that started it, even if Python is
killed.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import itertools
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgewright.boards import list_targets
from edgewright.closing import Closing
from edgewright.errors import TimeLimitError, ToolError

LOG = logging.getLogger(__name__)

_PIP_TOOLS = ("cmake", "ninja")  # dependencies of edgewright itself
_KEPT_LINES = 200  # of a background program's output
_SHOWN_LINES = 20  # of a failed program's output
_TERM_GRACE_S = 2.0
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_NEXT_CPU = itertools.count(os.getpid())


@dataclass(frozen=True)
class Completed:
    """What a program that succeeded left behind. Units: seconds of wall clock."""

    stdout: str
    stderr: str
    seconds: float


def find_tool(name: str) -> Path:
    """Find a program: beside the running Python first (cmake and ninja come as Python packages), then on PATH.

    A name with a slash is a path. Raises: ToolError that says how to install it.
    """
    beside = Path(sys.executable).parent / name
    if os.sep not in name and beside.is_file() and os.access(beside, os.X_OK):
        return beside
    found = shutil.which(name)
    if found is None and os.sep in name:
        raise ToolError(f"'{name}' is not there, or not a program")
    if found is None:
        raise ToolError(f"'{name}' is not installed, or not on PATH. {install_hint(name)}")
    return Path(found).absolute()


def install_hint(tool: str) -> str:
    """Say how to install a program, by its exact command if there is one; the boards' [[tool]] tables name packages."""
    if tool in _PIP_TOOLS:
        return f"Install it: {shlex.quote(sys.executable)} -m pip install {tool}"
    packages = next((t.apt for target in list_targets() for t in target.tool if t.name == tool and t.apt), ())
    if packages and shutil.which("apt-get"):
        sudo = "" if os.geteuid() == 0 else "sudo "
        return f"Install it: {sudo}apt-get install -y {' '.join(packages)}"
    if packages:
        return f"Install it with your system's package manager (Debian calls it {' '.join(packages)})."
    return "Install it, or put its folder on PATH."


def run(
    argv: Sequence[str | Path], *, cwd: Path | None = None, timeout_s: float, env: Mapping[str, str] | None = None
) -> Completed:
    """Run a program to its end and return its output. `env` is added to the environment.

    Raises: ToolError where it is missing or fails (with the last lines it wrote), TimeLimitError, one of them, where it
    outlasts `timeout_s`.
    """
    words = _command(argv)
    started = time.monotonic()
    with _popen(words, cwd=cwd, env=env, stderr=subprocess.PIPE, pin=False) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            stdout, stderr = process.communicate()
            raise TimeLimitError(
                _failure(words, f"did not finish within {timeout_s:g} s and was ended", stdout + stderr)
            ) from None
        except BaseException:
            _signal_group(process, signal.SIGKILL)
            raise
    seconds = time.monotonic() - started
    LOG.debug("exit status %d after %.2f s: %s", process.returncode, seconds, words[0])
    if process.returncode != 0:
        raise ToolError(_failure(words, _status_words(process.returncode), stdout + stderr))
    return Completed(stdout, stderr, seconds)


def start(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pin: bool = True,
) -> Background:
    """Start a program that runs beside Python; `pin` ties it to one processor where the system can.

    Raises: ToolError where it is missing.
    """
    words = _command(argv)
    return Background(words, _popen(words, cwd=cwd, env=env, stderr=subprocess.STDOUT, pin=pin))


class Background(Closing):
    """A running program; as a context manager it is gone when the block is left, however that happens."""

    def __init__(self, argv: Sequence[str], process: subprocess.Popen[str]) -> None:
        self._argv = argv
        self._process = process
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._new: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        # Without `with`, and on systems where programs do not die with their parent: at the latest when Python exits.
        self._finalizer = weakref.finalize(self, _end, process)
        threading.Thread(target=_collect, args=(weakref.ref(self), process.stdout), daemon=True).start()

    @property
    def pid(self) -> int:
        """Process number, also of the process group."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """The last lines the program wrote, on either stream; if it has ended, all of its output is in."""
        over = self._process.poll() is not None
        with self._changed:
            if over:
                self._changed.wait_for(lambda: self._ended, _TERM_GRACE_S)
            return _tail("\n".join(self._lines))

    def exit_status(self, within_s: float = 0.0) -> int | None:
        """Return the exit status; None while the program runs, as it still does `within_s` from now."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        return self._process.returncode

    def wait_for_line(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Wait until the program writes a line in which `pattern` is found, and return the match.

        Each line is looked at once. Raises: ToolError if the program ends first, or after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                while self._new:
                    match = re.search(pattern, self._new.pop(0))
                    if match is not None:
                        return match
                if self._ended:
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    words = f"said nothing like '{pattern}' within {timeout_s:g} s"
                    raise ToolError(_failure(self._argv, words, "\n".join(self._lines)))
                self._changed.wait(left)
            status = self._process.wait(_TERM_GRACE_S) if self._ended else None
            raise ToolError(_failure(self._argv, _status_words(status or 0), "\n".join(self._lines)))

    def close(self) -> None:
        """End the program and all of its group: TERM, and KILL if it does not listen. Harmless when repeated."""
        if self._finalizer.alive:
            self._finalizer()
            LOG.debug("ended %s (process %d)", self._argv[0], self._process.pid)

    def _take(self, line: str | None) -> None:
        with self._changed:
            if line is None:
                self._ended = True
            else:
                LOG.debug("%s: %s", Path(self._argv[0]).name, line)
                self._lines.append(line)
                self._new.append(line)
                del self._new[:-_KEPT_LINES]
            self._changed.notify_all()


def _collect(owner: weakref.ref[Background], pipe: IO[str]) -> None:
    """Read a program's output to its end, so that it never blocks on a full pipe."""
    with contextlib.suppress(ValueError):  # closed by _end
        for line in pipe:
            background = owner()
            if background is not None:
                background._take(line.rstrip("\n"))
            del background
    background = owner()
    if background is not None:
        background._take(None)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process group whose leader has not been waited for, and wait for the leader."""
    if process.returncode is not None:
        return
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(_TERM_GRACE_S)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _command(argv: Sequence[str | Path]) -> list[str]:
    # A Path is a file and never looked for on PATH; a plain name is.
    program = argv[0].absolute() if isinstance(argv[0], Path) else argv[0]
    return [str(find_tool(str(program))), *(str(word) for word in argv[1:])]


def _popen(
    words: list[str], *, cwd: Path | None, env: Mapping[str, str] | None, stderr: int, pin: bool
) -> subprocess.Popen[str]:
    LOG.debug("start: %s", shlex.join(words))
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=_child_setup(pin),
        )
    except OSError as error:
        raise ToolError(f"'{words[0]}' cannot be started: {error.strerror}") from error


def _child_setup(pin: bool) -> Callable[[], None]:
    """Return what the child does between fork and exec: bind its life to ours, and itself to one processor.

    The kernel binds it to the *thread* that calls: a thread that starts a program must outlive it.
    """
    parent = os.getpid()
    cpus = sorted(os.sched_getaffinity(0)) if pin and sys.platform == "linux" else []
    cpu = {cpus[next(_NEXT_CPU) % len(cpus)]} if cpus else set()

    def setup() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before prctl
                os._exit(1)
        if cpu and sys.platform == "linux":
            os.sched_setaffinity(0, cpu)

    return setup


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _status_words(status: int) -> str:
    return f"failed with exit status {status}" if status >= 0 else f"was ended by signal {-status}"


def _tail(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-_SHOWN_LINES:])


def _failure(argv: Sequence[str], what: str, output: str) -> str:
    words = _tail(output)
    return f"'{Path(argv[0]).name}' {what}" + (f":\n{words}" if words else " without a word.")

"""Calls a function on many items in other processes, so that no crash and no hang of one item stops the rest."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

_STARTUP_S = 300.0  # of a process that imports everything anew on a busy machine
_END_S = 5.0

Kind = Literal["value", "error", "crash", "hang"]


@dataclass(frozen=True)
class Outcome:
    """What came of an item: a value; or an exception's traceback, a dead process, a time limit that was passed."""

    kind: Kind
    value: Any = None
    text: str = ""
    seconds: float = 0.0


def map_isolated(
    function: Callable[[Any], Any], items: Sequence[Any], jobs: int, timeout_s: float,
    on_done: Callable[[int], None] | None = None,
) -> list[Outcome]:  # fmt: skip
    """Call `function`, which a new process has to be able to import, on each item; outcomes are in their order.

    Units: `timeout_s` seconds an item. `on_done` hears how many are done.
    """
    outcomes: dict[int, Outcome] = {}
    waiting = list(range(len(items)))[::-1]
    workers = [_Worker(function) for _ in range(min(jobs, len(items)))]
    try:
        while len(outcomes) < len(items):
            for worker in workers:
                if worker.is_ready and worker.item is None and waiting:
                    worker.give(waiting[-1], items[waiting[-1]], timeout_s)
                    waiting.pop()
            soonest = min(worker.deadline for worker in workers) - time.monotonic()
            ready = wait([worker.pipe for worker in workers], min(max(soonest, 0.0), _STARTUP_S))
            for position, worker in enumerate(workers):
                late = time.monotonic() > worker.deadline
                if worker.pipe not in ready and not late:
                    continue
                item = worker.item
                outcome = worker.take() if worker.pipe in ready else worker.ended("hang", f"after {timeout_s:g} s")
                if outcome is None:
                    continue
                if item is None:
                    raise RuntimeError(f"a worker process did not start: {outcome.text}")
                outcomes[item] = outcome
                if outcome.kind in ("crash", "hang"):
                    workers[position] = _Worker(function)
                if on_done is not None:
                    on_done(len(outcomes))
    finally:
        for worker in workers:
            worker.close()
    return [outcomes[index] for index in range(len(items))]


class _Worker:
    """A process that serves one item at a time."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self._process.start()
        theirs.close()
        self.is_ready = False
        self.item: int | None = None
        self.deadline = time.monotonic() + _STARTUP_S
        self._begun = time.monotonic()

    def give(self, index: int, item: Any, timeout_s: float) -> None:
        """Begin with an item."""
        self.item, self._begun = index, time.monotonic()
        self.deadline = self._begun + timeout_s
        with contextlib.suppress(OSError):  # it is dead: `take` will find out
            self.pipe.send(item)

    def take(self) -> Outcome | None:
        """Return what the process has to say; None where it is that it has started."""
        try:
            kind, value, text = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join(_END_S)
            status = self._process.exitcode
            return self.ended("crash", f"by signal {-status}" if status is not None and status < 0 else f"({status})")
        self.deadline = float("inf")
        if kind == "ready":
            self.is_ready = True
            return None
        self.item = None
        return Outcome(kind, value, text, time.monotonic() - self._begun)

    def ended(self, kind: Kind, text: str) -> Outcome:
        """The process is at an end."""
        self.close()
        return Outcome(kind, None, f"the process ended {text}", time.monotonic() - self._begun)

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self._process.kill()
        self._process.join(_END_S)


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """The other process: answer each item until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    pipe.send(("ready", None, ""))
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = ("value", function(item), "")
        except Exception:  # whatever it is, it is this item's outcome
            answer = ("error", None, traceback.format_exc(limit=-3).strip())
        pipe.send(answer)

"""Cases on an emulated board: firmwares of many cases each, one inference after the other over the serial line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from edgewright.boards import Target, load_target
from edgewright.conformance.cases import SuiteCase
from edgewright.conformance.results import CaseResult, Lap, OnProgress, Pending, SuiteOptions, judge, not_compiled
from edgewright.errors import TargetError, ToolError
from edgewright.native_board import compile_for_board, running

_CASES_A_FIRMWARE = 40


def run_on_board(
    pending: Sequence[Pending], options: SuiteOptions, on_progress: OnProgress, lap: Lap
) -> tuple[list[CaseResult], int]:
    """Return the results, in any order, and how many cases there were: nothing is kept.

    Raises: ToolError where the compiler or the emulator is missing, TargetError where the board has no emulator.
    """
    target = load_target(options.target)
    if target.emulator is None:
        raise TargetError(f"'{target.name}' has no emulator, and cases are run on no other board")
    results: list[CaseResult] = []
    firmwares: list[tuple[Path, Sequence[Pending]]] = []
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        for i in range(0, len(pending), _CASES_A_FIRMWARE):
            made = _compiled(pending[i : i + _CASES_A_FIRMWARE], target, Path(name) / str(i), options.jobs)
            for firmware, batch in made:
                if isinstance(firmware, ToolError):
                    results.extend(not_compiled(case, lowered, firmware) for case, lowered in batch)
                else:
                    firmwares.append((firmware, batch))
            on_progress("compile", min(i + _CASES_A_FIRMWARE, len(pending)), len(pending))
        lap("compile")
        total = sum(len(batch) for _, batch in firmwares)
        for firmware, batch in firmwares:
            for result in _run(firmware, batch, target, options.timeout_s):
                results.append(result)
                on_progress("run", len(results) - len(pending) + total, total)
        lap("run")
    return results, len(pending)


def _compiled(
    batch: Sequence[Pending], target: Target, folder: Path, jobs: int
) -> Iterator[tuple[Path | ToolError, Sequence[Pending]]]:
    """Yield firmwares and what is in them; a batch that does not compile, or does not fit, is halved."""
    folder.mkdir()
    try:
        yield compile_for_board([lowered.native for _, lowered in batch], target, folder, jobs=jobs), batch
    except ToolError as error:
        if len(batch) == 1:
            yield error, batch
            return
        for half, part in enumerate((batch[: len(batch) // 2], batch[len(batch) // 2 :])):
            yield from _compiled(part, target, folder / f"half{half}", jobs)


def _run(firmware: Path, batch: Sequence[Pending], target: Target, timeout_s: float) -> Iterator[CaseResult]:
    """Yield each case's result; after one that failed the board starts afresh."""
    at = 0
    while at < len(batch):
        with running(target, firmware, timeout_s) as board:
            for number in range(at, len(batch)):
                case, lowered = batch[number]
                result = judge(case, lowered, partial(board.run_model, number, lowered.native))
                yield result
                at += 1
                if result.status in ("crash", "hang"):
                    break


def sample(cases: Sequence[SuiteCase], count: int) -> list[SuiteCase]:
    """Choose cases so that every operator has its share: one of each, then a second of each, and so on.

    Deterministic; within an operator they are taken evenly from its list. In the order given.
    """
    groups: dict[str, list[SuiteCase]] = {}
    for case in cases:
        groups.setdefault(case.operator, []).append(case)
    shares = dict.fromkeys(groups, 0)
    left = min(count, len(cases))
    while left > 0:
        for operator in [name for name in groups if shares[name] < len(groups[name])][:left]:
            shares[operator] += 1
            left -= 1
    chosen = {group[i * len(group) // shares[name]].name for name, group in groups.items() for i in range(shares[name])}
    return [case for case in cases if case.name in chosen]

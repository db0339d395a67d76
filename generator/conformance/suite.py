"""The whole run: C for every case, programs of many cases each, an inference of each, the comparison."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgewright.conformance.cases import SuiteCase
from edgewright.conformance.compare import difference
from edgewright.conformance.isolation import Outcome, map_isolated
from edgewright.conformance.lower import Lowered, Refusal, lower_case
from edgewright.errors import TimeLimitError, ToolError
from edgewright.native import FLAGS, CompileCache, run_model

Status = Literal["right", "refused", "wrong", "crash", "hang", "compiler"]
FAILURES: tuple[Status, ...] = ("wrong", "crash", "hang", "compiler")
OnProgress = Callable[[str, int, int], None]
CASES_A_PROGRAM = 16


@dataclass(frozen=True)
class SuiteOptions:
    """How the suite is run. Units: seconds a case, in each of its stages."""

    cache: Path
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    timeout_s: float = 60.0
    flags: tuple[str, ...] = FLAGS


@dataclass(frozen=True)
class CaseResult:
    """What came of a case; `reason` says why it is not right, `bound` which inputs were made constants."""

    name: str
    operator: str
    status: Status
    reason: str = ""
    bound: tuple[str, ...] = ()


@dataclass(frozen=True)
class SuiteResult:
    """All results in the order of the cases. Units: seconds of wall clock, by stage."""

    cases: tuple[CaseResult, ...]
    seconds: dict[str, float]
    jobs: int
    compiled: int  # cases that no program in the cache held

    def count(self, *statuses: Status) -> int:
        """How many cases have one of these statuses."""
        return sum(case.status in statuses for case in self.cases)


def run_suite(
    cases: Sequence[SuiteCase], options: SuiteOptions, on_progress: OnProgress = lambda stage, done, total: None,
    lower: Callable[[SuiteCase], Lowered | Refusal] = lower_case,
) -> SuiteResult:  # fmt: skip
    """Run cases. `lower` is what makes C of one; a new process has to be able to import it.

    Raises: EdgewrightError where the cache cannot be written, ToolError where there is no compiler.
    """
    seconds: dict[str, float] = {}
    begin = time.monotonic()

    def lap(stage: str) -> None:
        seconds[stage] = round(time.monotonic() - begin - sum(seconds.values()), 3)

    def told(stage: str, total: int) -> Callable[[int], None]:
        return lambda done: on_progress(stage, done, total)

    outcomes = map_isolated(lower, cases, options.jobs, options.timeout_s, told("generate", len(cases)))
    lap("generate")
    results = {case.name: _early(case, outcome) for case, outcome in zip(cases, outcomes, strict=True)}
    pending = [
        (case, outcome.value)
        for case, outcome in zip(cases, outcomes, strict=True)
        if isinstance(outcome.value, Lowered)
    ]
    cache = CompileCache(options.cache, options.flags)
    found = {case.name: cache.find(lowered.native) for case, lowered in pending}
    programs = {name: program for name, program in found.items() if program is not None}
    missing = [(case, lowered) for case, lowered in pending if case.name not in programs]
    with ThreadPoolExecutor(options.jobs) as pool:
        done = 0
        batches = [missing[i : i + CASES_A_PROGRAM] for i in range(0, len(missing), CASES_A_PROGRAM)]
        for batch, made in zip(batches, pool.map(lambda batch: _compiled(batch, cache), batches), strict=True):
            for (case, lowered), program in zip(batch, made, strict=True):
                if isinstance(program, str):
                    results[case.name] = CaseResult(case.name, case.operator, "compiler", program, lowered.bound)
                else:
                    programs[case.name] = program
            done += len(batch)
            on_progress("compile", done, len(missing))
        lap("compile")
        ready = [(case, lowered) for case, lowered in pending if case.name in programs]
        runs = pool.map(lambda pair: _run(pair[0], pair[1], programs[pair[0].name], options.timeout_s), ready)
        for done, result in enumerate(runs, start=1):
            results[result.name] = result
            on_progress("run", done, len(ready))
        lap("run")
    cache.prune()
    return SuiteResult(tuple(results[case.name] for case in cases), seconds, options.jobs, len(missing))


def _early(case: SuiteCase, outcome: Outcome) -> CaseResult:
    """The result of a case that went no further than generation; "crash" for the others, until they have run."""
    value = outcome.value
    if isinstance(value, Refusal):
        return CaseResult(case.name, case.operator, "refused", value.reason, value.bound)
    if outcome.kind == "hang":
        return CaseResult(case.name, case.operator, "hang", f"generation: {outcome.text}")
    return CaseResult(case.name, case.operator, "crash", f"generation: {outcome.text}")


def _compiled(batch: Sequence[tuple[SuiteCase, Lowered]], cache: CompileCache) -> list[Path | str]:
    """Return each case's program, or the compiler's words; one case that does not compile stops no other."""
    try:
        return [cache.add([lowered.native for _, lowered in batch])] * len(batch)
    except ToolError as error:
        if len(batch) == 1:
            return [str(error)]
    return [each for pair in batch for each in _compiled([pair], cache)]


def _run(case: SuiteCase, lowered: Lowered, program: Path, timeout_s: float) -> CaseResult:
    def result(status: Status, reason: str = "") -> CaseResult:
        return CaseResult(case.name, case.operator, status, reason, lowered.bound)

    try:
        given = [np.asarray(case.values[port.name]) for port in lowered.native.inputs]
        made = run_model(program, lowered.native, given, timeout_s)
    except TimeLimitError as error:
        return result("hang", f"inference: {error}")
    except ToolError as error:
        return result("crash", f"inference: {error}")
    reason = difference(made, case.outputs, case.rtol, case.atol)
    return result("wrong", reason) if reason else result("right")


def records(result: SuiteResult) -> Iterator[dict[str, Any]]:
    """Yield the results as JSON has them."""
    for case in result.cases:
        yield {
            "case": case.name, "operator": case.operator, "status": case.status, "reason": case.reason,
            "bound": list(case.bound),
        }  # fmt: skip

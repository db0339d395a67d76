"""The whole run: C for every case, compiled and run on this computer or on an emulated board, and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from edgewright.conformance.cases import SuiteCase
from edgewright.conformance.isolation import Outcome, map_isolated
from edgewright.conformance.lower import HOST, Lowered, Refusal, lower_case
from edgewright.conformance.on_board import run_on_board
from edgewright.conformance.on_host import run_on_host
from edgewright.conformance.results import CaseResult, OnProgress, SuiteOptions, SuiteResult


def run_suite(
    cases: Sequence[SuiteCase], options: SuiteOptions, on_progress: OnProgress = lambda stage, done, total: None,
    lower: Callable[..., Lowered | Refusal] = lower_case,
) -> SuiteResult:  # fmt: skip
    """Run cases. `lower` is what makes C of one, for a target; a new process has to be able to import it.

    Raises: EdgewrightError where the cache cannot be written, ToolError where there is no compiler or no emulator,
    TargetError for a board that has none.
    """
    seconds: dict[str, float] = {}
    begin = time.monotonic()

    def lap(stage: str) -> None:
        seconds[stage] = round(time.monotonic() - begin - sum(seconds.values()), 3)

    def told(done: int) -> None:
        on_progress("generate", done, len(cases))

    outcomes = map_isolated(partial(lower, target=options.target), cases, options.jobs, options.timeout_s, told)
    lap("generate")
    results = {case.name: _early(case, outcome) for case, outcome in zip(cases, outcomes, strict=True)}
    pending = [
        (case, outcome.value)
        for case, outcome in zip(cases, outcomes, strict=True)
        if isinstance(outcome.value, Lowered)
    ]
    run_all = run_on_host if options.target == HOST else run_on_board
    found, compiled = run_all(pending, options, on_progress, lap)
    results.update((result.name, result) for result in found)
    in_order = tuple(results[case.name] for case in cases)
    return SuiteResult(in_order, seconds, options.jobs, compiled, options.target)


def _early(case: SuiteCase, outcome: Outcome) -> CaseResult:
    """The result of a case that went no further than generation; "crash" for the others, until they have run."""
    value = outcome.value
    if isinstance(value, Refusal):
        return CaseResult(case.name, case.operator, "refused", value.reason, value.bound)
    if outcome.kind == "hang":
        return CaseResult(case.name, case.operator, "hang", f"generation: {outcome.text}")
    return CaseResult(case.name, case.operator, "crash", f"generation: {outcome.text}")

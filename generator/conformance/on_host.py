"""Cases on this computer: programs of many cases each, kept in a cache, and a process for each inference."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from edgewright.conformance.results import CaseResult, Lap, OnProgress, Pending, SuiteOptions, judge, not_compiled
from edgewright.errors import ToolError
from edgewright.native import CompileCache, run_model

_CASES_A_PROGRAM = 16


def run_on_host(
    pending: Sequence[Pending], options: SuiteOptions, on_progress: OnProgress, lap: Lap
) -> tuple[list[CaseResult], int]:
    """Return the results, in any order, and how many cases no program in the cache held.

    Raises: EdgewrightError where the cache cannot be written, ToolError where there is no compiler.
    """
    results: list[CaseResult] = []
    cache = CompileCache(options.cache, options.flags)
    kept = {case.name: cache.find(lowered.native) for case, lowered in pending}
    programs = {name: program for name, program in kept.items() if program is not None}
    missing = [(case, lowered) for case, lowered in pending if case.name not in programs]
    with ThreadPoolExecutor(options.jobs) as pool:
        done = 0
        batches = [missing[i : i + _CASES_A_PROGRAM] for i in range(0, len(missing), _CASES_A_PROGRAM)]
        for batch, made in zip(batches, pool.map(partial(_compiled, cache=cache), batches), strict=True):
            for (case, lowered), program in zip(batch, made, strict=True):
                if isinstance(program, ToolError):
                    results.append(not_compiled(case, lowered, program))
                else:
                    programs[case.name] = program
            done += len(batch)
            on_progress("compile", done, len(missing))
        lap("compile")

        def run(pair: Pending) -> CaseResult:
            case, lowered = pair
            program = programs[case.name]
            return judge(case, lowered, lambda given: run_model(program, lowered.native, given, options.timeout_s))

        ready = [pair for pair in pending if pair[0].name in programs]
        for done, result in enumerate(pool.map(run, ready), start=1):
            results.append(result)
            on_progress("run", done, len(ready))
        lap("run")
    cache.prune()
    return results, len(missing)


def _compiled(batch: Sequence[Pending], cache: CompileCache) -> list[Path | ToolError]:
    """Return each case's program, or the compiler's words; one case that does not compile stops no other."""
    try:
        return [cache.add([lowered.native for _, lowered in batch])] * len(batch)
    except ToolError as error:
        if len(batch) == 1:
            return [error]
    return [each for pair in batch for each in _compiled([pair], cache)]

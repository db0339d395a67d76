"""What the runner is told, and what comes of a case: right, refused, or why neither."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgewright.conformance.cases import SuiteCase
from edgewright.conformance.compare import difference
from edgewright.conformance.lower import HOST, Lowered
from edgewright.errors import TimeLimitError, ToolError
from edgewright.ir import Array
from edgewright.native import FLAGS

Status = Literal["right", "refused", "wrong", "crash", "hang", "compiler"]
FAILURES: tuple[Status, ...] = ("wrong", "crash", "hang", "compiler")
OnProgress = Callable[[str, int, int], None]  # a stage; cases that are done, of how many
Lap = Callable[[str], None]  # a stage is over
Pending = tuple[SuiteCase, Lowered]


@dataclass(frozen=True)
class SuiteOptions:
    """How the suite is run. Units: seconds a case, in each of its stages."""

    cache: Path
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    timeout_s: float = 60.0
    flags: tuple[str, ...] = FLAGS  # of the host's compiler
    target: str = HOST  # or a board with an emulator


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
    target: str = HOST

    def count(self, *statuses: Status) -> int:
        """How many cases have one of these statuses."""
        return sum(case.status in statuses for case in self.cases)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the results as JSON has them."""
        for case in self.cases:
            yield {
                "case": case.name, "operator": case.operator, "status": case.status, "reason": case.reason,
                "bound": list(case.bound),
            }  # fmt: skip


def judge(case: SuiteCase, lowered: Lowered, infer: Callable[[Sequence[Array]], list[Array]]) -> CaseResult:
    """Run a case's inference and compare."""

    def result(status: Status, reason: str = "") -> CaseResult:
        return CaseResult(case.name, case.operator, status, reason, lowered.bound)

    try:
        made = infer([np.asarray(case.values[port.name]) for port in lowered.native.inputs])
    except TimeLimitError as error:
        return result("hang", f"inference: {error}")
    except ToolError as error:
        return result("crash", f"inference: {error}")
    reason = difference(made, case.outputs, case.rtol, case.atol)
    return result("wrong", reason) if reason else result("right")


def not_compiled(case: SuiteCase, lowered: Lowered, error: ToolError) -> CaseResult:
    """The result of a case whose C does not compile."""
    return CaseResult(case.name, case.operator, "compiler", str(error), lowered.bound)

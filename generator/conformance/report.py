"""docs/CONFORMANCE.md: the results by operator, and why cases are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import onnx

from edgewright.boards import load_target
from edgewright.conformance.cases import KINDS
from edgewright.conformance.lower import HOST
from edgewright.conformance.reasons import grouped
from edgewright.conformance.results import FAILURES, CaseResult, SuiteResult
from edgewright.native import compiler_identity

_HEAD = """# Conformance{title}

Made by `{command}`; do not edit. ONNX's own test cases (`onnx.backend.test` of onnx
{onnx}){which}, each imported, planned, written as C,
compiled ({compiler}), and run {where}.
*Right*: as many outputs as the standard says, of the same types and shapes; integers and booleans to the bit, floats
within the case's tolerance (mostly {rtol:g} relative, {atol:g} absolute); twice the same, and no byte written beside a
buffer. *Refused*: the importer says in one line why not. *Bound*: right, with inputs of the case made constants from
its data, as `--bind NAME=VALUE` does, because an operator needs them at import.
"""

_COLUMNS = ("right", "of them bound", "refused", "wrong", "crash, hang, compiler")


def markdown(result: SuiteResult, tolerance: tuple[float, float]) -> str:
    """Return the document. `tolerance` is what most cases have: relative, absolute."""
    node = [case for case in result.cases if case.name.startswith("node/")]
    compiled = result.count("right", "wrong", "crash", "hang")
    cached = f" {result.compiled:,} of the {compiled:,} compiled cases were not in the cache."
    seconds = ", ".join(f"{stage} {taken:.0f} s" for stage, taken in result.seconds.items())
    lines = [
        _head(result, tolerance),
        "## Summary",
        "",
        *_table("cases", _by_kind(result.cases)),
        "",
        f"{sum(result.seconds.values()):.0f} s with {result.jobs} jobs ({seconds}).{cached * (result.target == HOST)}",
        "",
        "## By operator",
        "",
        "The node cases. One called `..._expanded`, which has an operator's definition by others in its place, counts",
        "for the operator.",
        "",
        *_table("operator", _by(node)),
        "",
        *_failures(result.cases),
        "## Bound",
        "",
        *_bound(result.cases),
        "",
        "## Why cases are refused",
        "",
        "A case can have several reasons; *alone* counts those that have no other. Names and shapes are left out.",
        "",
        "| reason | cases | alone |",
        "| --- | ---: | ---: |",
        *(f"| {cell(reason.text)} | {reason.cases:,} | {reason.alone:,} |" for reason in grouped(result.cases)),
        "",
    ]
    return "\n".join(lines)


def _head(result: SuiteResult, tolerance: tuple[float, float]) -> str:
    common = {"onnx": onnx.__version__, "rtol": tolerance[0], "atol": tolerance[1]}
    if result.target == HOST:
        return _HEAD.format(
            **common, title="", command="edgewright-conformance --write", which="",
            compiler=compiler_identity().partition(" ")[2], where="on this computer in a process of its own",
        )  # fmt: skip
    count = len(result.cases)
    target = load_target(result.target)
    return _HEAD.format(
        **common, title=f", emulated: {target.name}",
        which=f": {count:,} of them", command=f"edgewright-conformance --target {target.name} --write",
        compiler=f"{target.toolchain.compiler} {' '.join(target.toolchain.cpu_flags)}",
        where="by the board's emulator, many cases a firmware",
    )  # fmt: skip


def _by_kind(cases: Sequence[CaseResult]) -> dict[str, list[CaseResult]]:
    kinds = {kind: [case for case in cases if case.name.startswith(f"{kind}/")] for kind in KINDS}
    return {**{kind: some for kind, some in kinds.items() if some}, "all": list(cases)}


def _by(cases: Iterable[CaseResult]) -> dict[str, list[CaseResult]]:
    groups: dict[str, list[CaseResult]] = {}
    for case in cases:
        groups.setdefault(case.operator, []).append(case)
    return dict(sorted(groups.items(), key=lambda pair: pair[0].lower()))


def _table(what: str, groups: dict[str, list[CaseResult]]) -> list[str]:
    rows = [f"| {what} | {' | '.join(_COLUMNS)} |", "| --- |" + " ---: |" * len(_COLUMNS)]
    return rows + [f"| {name} | {' | '.join(map(str, _counts(cases)))} |" for name, cases in groups.items()]


def _counts(cases: Sequence[CaseResult]) -> tuple[int, ...]:
    by = Counter(case.status for case in cases)
    bound = sum(case.status == "right" and bool(case.bound) for case in cases)
    return by["right"], bound, by["refused"], by["wrong"], by["crash"] + by["hang"] + by["compiler"]


def _failures(cases: Iterable[CaseResult]) -> list[str]:
    failed = [case for case in cases if case.status in FAILURES]
    if not failed:
        return []
    rows = [f"| {case.name} | {case.status} | {cell(case.reason)} |" for case in failed]
    return ["## Failures", "", "| case | | what |", "| --- | --- | --- |", *rows, ""]


def _bound(cases: Iterable[CaseResult]) -> list[str]:
    counts = Counter((case.operator, ", ".join(case.bound)) for case in cases if case.status == "right" and case.bound)
    if not counts:
        return ["No case."]
    rows = [f"| {operator} | {cell(names)} | {count} |" for (operator, names), count in sorted(counts.items())]
    return ["| operator | inputs made constants | cases |", "| --- | --- | ---: |", *rows]


def cell(text: str) -> str:
    """Return a text as a table has it: on one line, not too long."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= 200 else line[:197] + "..."

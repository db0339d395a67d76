"""Groups refusals: which reasons there are, how many cases have each, and how many have no other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from edgewright.conformance.results import CaseResult

_NAME = re.compile(r"'[^']*'")
_NUMBERS = re.compile(r"\[[-0-9, ]*\]")
_HEAD = re.compile(r"^not supported:\s*")


@dataclass(frozen=True)
class Reason:
    """One reason: `cases` have it, `alone` of them no other."""

    text: str
    cases: int
    alone: int


def parts_of(reason: str) -> list[str]:
    """Return the single reasons in a refusal's text, without names and shapes of the model."""
    lines = [line.strip() for line in _HEAD.sub("", reason).splitlines()]
    return list(dict.fromkeys(_general(line) for line in lines if line))


def _general(line: str) -> str:
    """Drop what is particular to a model: `Add 'Add_3': Add on int32` becomes `Add on int32`."""
    label = re.match(r"^(\w[\w.]*) '[^']*': ?(.*)$", line)
    if label:
        kind, rest = label.groups()
        line = rest if rest.startswith(("operator ", f"{kind} ")) else f"{kind}: {rest}"
    return " ".join(_NUMBERS.sub("[...]", _NAME.sub("", line).replace("''", "")).split()).replace(" ,", ",")


def grouped(cases: Iterable[CaseResult]) -> list[Reason]:
    """Return the reasons of the refused cases, the most frequent first."""
    having: dict[str, int] = {}
    alone: dict[str, int] = {}
    for case in cases:
        if case.status != "refused":
            continue
        parts = parts_of(case.reason)
        for part in parts:
            having[part] = having.get(part, 0) + 1
            alone[part] = alone.get(part, 0) + (len(parts) == 1)
    reasons = [Reason(text, count, alone[text]) for text, count in having.items()]
    return sorted(reasons, key=lambda reason: (-reason.cases, -reason.alone, reason.text))

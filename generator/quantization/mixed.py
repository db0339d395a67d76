"""Automatic mixed precision: the few tensors and layers that cost most keep more bits, until the user's budget holds.

What each one costs is measured with only that one rounded. The costs of rounding noise add up nearly enough to rank
them; how many exceptions it takes is found by trying, with the whole quantization each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgewright.errors import QuantizationError
from edgewright.quantization.choices import Assignment, Choices, widened
from edgewright.quantization.options import Options
from edgewright.quantization.simulate import Probe, Scores
from edgewright.quantization.sweep import Swept


@dataclass(frozen=True, eq=False)
class Attempt:
    """A quantization, carried out, and how good it is."""

    choices: Choices
    assignment: Assignment
    swept: Swept
    scores: Scores


@dataclass(frozen=True)
class Source:
    """A source of noise: a group of tensors, or the weights of a layer. Units: dB at the outputs, it alone rounded."""

    group: str | None
    layer: str | None
    bits: int
    sqnr_db: float


def within(scores: Scores, options: Options) -> bool:
    """Whether the user's budget holds."""
    if options.min_sqnr is not None and scores.sqnr_db < options.min_sqnr:
        return False
    return options.max_drop is None or (scores.drop is not None and scores.drop <= options.max_drop + 1e-9)


def noise_sources(attempt: Attempt, probe: Probe) -> list[Source]:
    """Return all sources, the worst first."""
    assignment, swept = attempt.assignment, attempt.swept
    graph = probe.executor.graph
    sources = []
    for leader, members in assignment.groups.members().items():
        params = {name: assignment.params[name] for name in members if name in assignment.params}
        if params:
            bits = next(iter(params.values())).bits
            sources.append(Source(leader, None, bits, probe.changed(params, {}).sqnr_db))
    for node in graph.nodes:
        if node.name in swept.layers:
            constants = {name: swept.constants[name].real for name in node.inputs[1:]}
            sources.append(
                Source(None, node.name, assignment.weight_bits[node.name], probe.changed({}, constants).sqnr_db)
            )
    return sorted(sources, key=lambda source: source.sqnr_db)


def keep_within_budget(
    first: Attempt, attempt: Callable[[Choices], Attempt], probe: Probe, options: Options
) -> Attempt:
    """Return the quantization with the fewest exceptions, in order of cost, that keeps the budget.

    Raises: QuantizationError where the budget is not to be kept, with how near it came.
    """
    if options.max_drop is not None and first.scores.drop is None:
        raise QuantizationError("max_drop needs an output that is one row of classes; give a budget in dB (--sqnr)")
    if within(first.scores, options):
        return first
    ladder = _ladder(first, probe, options)
    low, high = 0, len(ladder) - 1  # ladder[i] has i + 1 exceptions more than `first`
    best: Attempt | None = None
    while low <= high:
        middle = (low + high) // 2
        tried = attempt(ladder[middle])
        if within(tried.scores, options):
            best, high = tried, middle - 1
        else:
            low = middle + 1
    if best is None:
        last = attempt(ladder[-1]) if ladder else first
        raise QuantizationError(_not_kept(last.scores, options))
    return _thinned(best, attempt, options)


def _ladder(first: Attempt, probe: Probe, options: Options) -> list[Choices]:
    """Return choices with more and more exceptions: the worst sources get more bits first, then layers go to float."""
    graph, groups = probe.executor.graph, first.assignment.groups
    choices, result = first.choices, []
    sources = noise_sources(first, probe)
    for source in sources:
        if source.group is not None and source.bits == 8:
            choices = widened(choices, graph, groups, options.mixed, group=source.group)
        elif source.layer is not None and source.bits == 4:
            choices = widened(choices, graph, groups, "weights8", layer=source.layer)
        else:
            continue
        result.append(choices)
    for source in sources:
        if source.layer is not None and source.layer not in choices.float_nodes:
            choices = widened(choices, graph, groups, "float", layer=source.layer)
            result.append(choices)
    return [c for i, c in enumerate(result) if c != (result[i - 1] if i else first.choices)]


def _thinned(best: Attempt, attempt: Callable[[Choices], Attempt], options: Options) -> Attempt:
    """Take single exceptions back where the budget holds without them; the cheapest were added last."""
    if best.choices.count > 12:
        return best
    for name in sorted(best.choices.wide_groups):
        fewer = Choices(best.choices.wide_groups - {name}, best.choices.wide_weights, best.choices.float_nodes)
        tried = attempt(fewer)
        if within(tried.scores, options):
            best = tried
    return best


def _not_kept(scores: Scores, options: Options) -> str:
    parts = []
    if options.max_drop is not None:
        parts.append(f"a drop of at most {options.max_drop:g} points (reached {scores.drop or 0.0:.2f})")
    if options.min_sqnr is not None:
        parts.append(f"an SQNR of at least {options.min_sqnr:g} dB (reached {scores.sqnr_db:.1f})")
    return f"the budget cannot be kept, even with every layer in more bits: {' and '.join(parts)}"

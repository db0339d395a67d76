"""RAM against time: drafts for a falling limit of RAM, and the one that fits what is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgewright.errors import MemoryPlanError
from edgewright.ops import operator
from edgewright.plan.bands import Segment, banded
from edgewright.plan.draft import Draft, Drafter
from edgewright.plan.tiling import Estimator, cheapest, lowest_limit

MOST_SLOWDOWN = 1.3  # modelled, that `ram` pays for its last bytes
_FUSED_ROWS = (8, 4, 2)
_FREE = 1.005  # modelled slowdown that a smaller arena is worth when it was not asked for
_WORTH_FUSING = 0.75  # of the peak
_POINTS = 9  # limits between what whole steps need and the least
_ROUNDS = 6  # of changing the bands at the peak


def choose_draft(drafter: Drafter) -> Draft:
    """Return the fastest draft within `ram_limit`; for `ram` the smallest; else the one without bands.

    Raises: MemoryPlanError where nothing fits the limit, with the least that was found.
    """
    options = drafter.options
    limit = options.ram_limit
    whole = drafter.whole if options.optimize == "ram" or not options.overlay else _at_no_cost(drafter)
    if options.optimize != "ram" and (limit is None or whole.arena_bytes <= limit):
        return whole
    drafts = curve(drafter, limit)
    if limit is not None:
        fitting = [draft for draft in drafts if draft.peak <= limit and draft.arena_bytes <= limit]
        if not fitting:
            least = min(draft.arena_bytes for draft in drafts)
            raise MemoryPlanError(
                f"no plan was found whose arena takes at most {limit:,} B: the least is {least:,} B, "
                f"{whole.arena_bytes:,} B without bands"
            )
        drafts = fitting
        if options.optimize != "ram":
            return min(drafts, key=lambda draft: (draft.cycles, draft.arena_bytes))
    fastest = min(draft.cycles for draft in drafts)
    quick = [draft for draft in drafts if draft.cycles <= MOST_SLOWDOWN * fastest]
    return min(quick, key=lambda draft: (draft.arena_bytes, draft.cycles))


def _at_no_cost(drafter: Drafter) -> Draft:
    """The smallest draft that is as good as no slower: with sums that follow their convolutions band by band, in place
    of the other operand, so that the convolution's result never exists as a whole; or with less scratch memory.
    """
    whole, work = drafter.whole, drafter.base.work
    pairs = [
        first for first in range(len(work) - 1)
        if operator(work[first].node.op).rows == "window" and operator(work[first + 1].node.op).rows == "each"
        and len(work[first + 1].node.inputs) == 2 and work[first].node.output in work[first + 1].node.inputs
        and max(whole.live[first : first + 2]) > _WORTH_FUSING * whole.peak
    ]  # fmt: skip
    drafts = [whole, *_with_less_scratch(drafter, whole, None)]
    for rows in _FUSED_ROWS if pairs else ():
        segments = [Segment(first, first + 2, rows) for first in pairs]
        drafts += _drafts(drafter, [s for s in segments if banded(drafter.base, s) is not None], None)
    free = [draft for draft in drafts if draft.cycles <= _FREE * whole.cycles]
    return min(free, key=lambda draft: (draft.arena_bytes, draft.cycles))


def curve(drafter: Drafter, ram_limit: int | None = None) -> list[Draft]:
    """Return drafts from the fastest to the smallest in RAM, none of which another beats in both. Units: bytes."""
    whole = drafter.whole
    scratch = drafter.chooser.least_scratch(drafter.base.work, drafter.base.graph, MOST_SLOWDOWN)
    tensors = whole.live - np.array(whole.scratch_bytes, np.int64)
    estimator = Estimator(drafter.base, (tensors + scratch).tolist(), scratch)
    found = estimator.all(above=whole.peak // 8)
    least = lowest_limit(estimator.live, found)
    limits = {int(limit) for limit in np.geomspace(max(least, 1), max(whole.peak, 1), _POINTS)}
    if ram_limit is not None:
        limits.add(max(ram_limit, least))
    mixes = dict.fromkeys(
        mix for limit in sorted(limits, reverse=True) if (mix := cheapest(estimator.live, found, limit))
    )
    drafts = [whole, *_with_less_scratch(drafter, whole, ram_limit)]
    for mix in mixes:
        drafts += _drafts(drafter, mix, ram_limit)
    for _ in range(_ROUNDS):
        smallest = min(drafts, key=lambda draft: (draft.peak, draft.cycles))
        better = [d for mix in _finer(drafter, smallest) for d in _drafts(drafter, mix, ram_limit)]
        drafts += better
        if min((d.peak for d in better), default=smallest.peak) >= smallest.peak:
            break
    return _front(drafts)


def _drafts(drafter: Drafter, mix: Sequence[Segment], ram_limit: int | None) -> list[Draft]:
    """A mix of bands by the fastest kernels, and with less scratch memory."""
    draft = drafter.draft(mix)
    return [] if draft is None else [draft, *_with_less_scratch(drafter, draft, ram_limit)]


def _with_less_scratch(drafter: Drafter, draft: Draft, ram_limit: int | None) -> Iterator[Draft]:
    """The same bands by kernels whose scratch memory does not set the peak."""
    tensors = draft.live - np.array(draft.scratch_bytes, np.int64)
    aims = {int(tensors.max(initial=0) + share * (draft.peak - tensors.max(initial=0))) for share in (0, 0.3)}
    if ram_limit is not None:
        aims.add(ram_limit)
    for aim in sorted(aims):
        if aim < draft.peak:
            limits: Mapping[int, int] = {step: max(aim - int(live), 0) for step, live in enumerate(tensors)}
            other = drafter.draft(draft.segments, limits)
            if other is not None and other.peak < draft.peak:
                yield other


def _finer(drafter: Drafter, draft: Draft) -> Iterator[tuple[Segment, ...]]:
    """Changes to the run at the peak: finer bands, and one step more or fewer at either end."""
    peak = int(np.argmax(draft.live))
    item = _item_of(drafter, draft, peak)
    for index, segment in enumerate(draft.segments):
        if not segment.first <= item < segment.stop:
            continue
        before = draft.segments[index - 1].stop if index else 0
        after = draft.segments[index + 1].first if index + 1 < len(draft.segments) else len(drafter.base.work)
        others = (*draft.segments[:index], *draft.segments[index + 1 :])
        first, stop, rows = segment.first, segment.stop, segment.rows
        changes = [
            (first, stop, max(rows // 2, 1)), (first, stop, max(rows - 1, 1)), (first - 1, stop, rows),
            (first, stop + 1, rows), (first + 1, stop, rows), (first, stop - 1, rows),
        ]  # fmt: skip
        for first, stop, rows in changes:
            new = Segment(first, stop, rows, segment.up and stop == first + 1)
            if before <= first < stop <= after and new != segment:
                yield tuple(sorted((*others, new), key=lambda s: s.first))


def _item_of(drafter: Drafter, draft: Draft, step: int) -> int:
    """The item of the whole program that a step of a draft belongs to."""
    layers = {work.layer: item for item, work in enumerate(drafter.base.work)}
    layer = draft.program.work[step].layer.removesuffix(" carried")
    return layers.get(layer, 0)


def _front(drafts: Sequence[Draft]) -> list[Draft]:
    """Those that none beats in both cycles and bytes, the fastest first."""
    front: list[Draft] = []
    for draft in sorted(drafts, key=lambda d: (d.cycles, d.arena_bytes)):
        if not front or draft.arena_bytes < front[-1].arena_bytes:
            front.append(draft)
    return front

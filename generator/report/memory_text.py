"""A memory map as text, at most 100 columns wide, in plain ASCII."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgewright.plan.pack import ARENA_ALIGN_BYTES, align_up
from edgewright.report.memory_map import KINDS, MapPiece, MapRegion, MapRow, MapStep, MemoryMap, plain_text, ranges

WIDTH = 100
_MOST_COLUMNS = 44
_SEGMENT_COLUMNS = 16  # for a part of the network that runs in bands
_LINES = 20  # of the timeline
_MOST_LISTED = 40  # pieces
_MOST_PEAKS = 3  # different sets of pieces that reach the peak
_BAR = 24
_LABEL = 10  # columns for a number of bytes, and a space
_SCRATCH, _KEPT, _FREE = "#", "-", "."
_LETTERS = string.ascii_lowercase + string.ascii_uppercase
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Column:
    """Steps first to last, drawn as one."""

    steps: tuple[MapStep, ...]

    @property
    def first(self) -> int:
        return self.steps[0].index

    @property
    def last(self) -> int:
        return self.steps[-1].index


def text_map(memory: MemoryMap) -> str:
    """Return the map: for each region its size, what sets its peak, its steps, a timeline, and what is in it."""
    lines = [f"memory map of {plain_text(memory.title)}"]
    columns = _columns(memory)
    for region in memory.regions:
        lines += ["", *_region(memory, region, columns)]
    if memory.outside:
        lines += ["", "in the caller's memory:"]
        lines += [f"{port.size_bytes:>{_LABEL},} B  {port.kind} {memory.names[port.name]}" for port in memory.outside]
    return "".join(f"{line.rstrip() if len(line) <= WIDTH else line[: WIDTH - 2] + '..'}\n" for line in lines)


def _region(memory: MemoryMap, region: MapRegion, columns: Sequence[_Column]) -> Iterator[str]:
    bound = memory.lower_bound_bytes(region)
    gap = region.size_bytes - bound
    yield f"{plain_text(region.name)}: {region.size_bytes:,} B, lower bound {bound:,} B, gap {gap:,} B"
    pieces = memory.of(region)
    if not pieces or not region.size_bytes:
        yield "  nothing is in it"
        return
    letters = _letters(pieces)
    yield from _peaks(memory, region, letters)
    yield from _listing(memory, region, columns)
    yield from _timeline(memory, region, columns, letters)
    yield from _legend(memory, pieces, letters)


def _letters(pieces: Sequence[MapPiece]) -> dict[str, str]:
    """A letter for each piece by name, in order of time; they repeat where there are more pieces than letters."""
    named = [piece for piece in pieces if piece.kind != "scratch"]
    result = {piece.name: _LETTERS[number % len(_LETTERS)] for number, piece in enumerate(named)}
    return {**dict.fromkeys((piece.name for piece in pieces), _SCRATCH), **result}


def _peaks(memory: MemoryMap, region: MapRegion, letters: dict[str, str]) -> Iterator[str]:
    """What is kept at the steps that set the size."""
    by_pieces: dict[frozenset[str], list[int]] = {}
    for step in memory.peak_steps(region):
        kept = [piece for piece in _kept(memory, region, step) if piece.kind != "scratch"]
        by_pieces.setdefault(frozenset(piece.name for piece in kept), []).append(step)
    bound = memory.lower_bound_bytes(region)
    for steps in list(by_pieces.values())[:_MOST_PEAKS]:
        first, pieces = memory.step(steps[0]), _kept(memory, region, steps[0])
        what = " ".join(filter(None, (first.op, memory.names[first.layer])))
        yield ""
        needed = memory.needed_bytes(region, steps[0])
        yield f"peak: {bound:,} B at step{'s' * (len(steps) > 1)} {_ranges(steps)}, {what}"
        if needed < bound:
            yield f"{needed:>{_LABEL},} B of them needed at step {steps[0]}, the rest kept for other steps"
        for piece in pieces[:_MOST_LISTED]:
            yield (f"{piece.size_bytes:>{_LABEL},} B {piece.size_bytes / bound:>6.1%}  {letters[piece.name]}  "
                   f"{KINDS[piece.kind]:<16}  {_held(memory, piece, steps[0])}")  # fmt: skip
        if len(pieces) > _MOST_LISTED:
            yield f"{'and':>{_LABEL}} {len(pieces) - _MOST_LISTED:,} smaller ones"
    if len(by_pieces) > _MOST_PEAKS:
        others = [step for steps in list(by_pieces.values())[_MOST_PEAKS:] for step in steps]
        yield ""
        yield f"as much, of other pieces, at {len(others):,} more step{'s' * (len(others) > 1)}"


def _kept(memory: MemoryMap, region: MapRegion, step: int) -> list[MapPiece]:
    """The pieces at a step, the largest first."""
    kept = [piece for piece in memory.of(region) if piece.first_step <= step <= piece.last_step]
    return sorted(kept, key=lambda piece: (-piece.size_bytes, piece.offset))


def _held(memory: MemoryMap, piece: MapPiece, step: int) -> str:
    """What is live in a piece at a step: whole tensors by their shapes, parts by their bytes."""
    rows = [row for row in piece.rows if row.first_step <= step <= row.last_step]
    by_layer: dict[str, list[MapRow]] = {}
    for row in rows:
        by_layer.setdefault(row.layer, []).append(row)
    return ", ".join(f"{memory.names[layer]}{_form(found)}" for layer, found in by_layer.items()) or "nothing"


def _form(rows: Sequence[MapRow]) -> str:
    if len(rows) == 1 and rows[0].tensor == rows[0].layer:
        return f" {list(rows[0].shape)}" if rows[0].dtype else ""
    return f" ({sum(row.end - row.start for row in rows):,} B)"


def _listing(memory: MemoryMap, region: MapRegion, columns: Sequence[_Column]) -> Iterator[str]:
    """The steps, and the bytes that are kept at each."""
    live, peaks = memory.live(region), set(memory.peak_steps(region))
    yield ""
    yield f"{'steps':>9}  {'bytes kept':>{_LABEL}}"
    for column in columns:
        most = int(live[column.first - memory.first_step : column.last - memory.first_step + 1].max())
        bar = "#" * round(_BAR * most / region.size_bytes)
        bar += "<" if any(step.index in peaks for step in column.steps) else ""
        steps = _range(column.first, column.last)
        yield f"{steps:>9}  {most:>{_LABEL},}  {bar:<{_BAR + 1}}  {_what(memory, column)}"


def _what(memory: MemoryMap, column: _Column) -> str:
    first, last = column.steps[0], column.steps[-1]
    if first is last:
        return " ".join(filter(None, (first.op, memory.names[first.layer])))
    if first.segment is not None and first.segment == last.segment:
        layers = list(dict.fromkeys(step.layer for step in memory.steps if step.segment == first.segment))
        return f"bands of {memory.names[layers[0]]} and {len(layers) - 1:,} more"
    return f"{memory.names[first.layer]} to {memory.names[last.layer]}"


def _timeline(
    memory: MemoryMap, region: MapRegion, columns: Sequence[_Column], letters: dict[str, str]
) -> Iterator[str]:
    """Addresses down, steps across."""
    unit = -(-region.size_bytes // _LINES)
    unit = align_up(unit) if unit > ARENA_ALIGN_BYTES else unit
    weights: dict[tuple[int, int], dict[str, int]] = {}
    at = {step.index: number for number, column in enumerate(columns) for step in column.steps}

    def add(glyph: str, start: int, end: int, first: int, last: int, weight: int) -> None:
        for line in range(start // unit, -(-end // unit)):
            covered = min(end, (line + 1) * unit) - max(start, line * unit)
            for number in range(at[first], at[last] + 1):
                column = columns[number]
                steps = min(last, column.last) - max(first, column.first) + 1
                cell = weights.setdefault((line, number), {})
                cell[glyph] = cell.get(glyph, 0) + weight * covered * steps

    for piece in memory.of(region):
        end = piece.offset + piece.size_bytes
        add(_KEPT, piece.offset, end, piece.first_step, piece.last_step, 1)
        for row in piece.rows:  # a thousandfold: what is live anywhere in a cell is shown there
            add(letters[piece.name], row.start, row.end, row.first_step, row.last_step, 1000)
    width = max(1, min(6, (WIDTH - _LABEL - 6) // max(len(columns), 1)))
    peaks = set(memory.peak_steps(region))
    yield ""
    yield f"{'address':>{_LABEL}} steps {memory.first_step} to {memory.steps[-1].index}"
    yield f"{'':>{_LABEL}} {_ruler(columns, width)}"
    for line in range(-(-region.size_bytes // unit)):
        cells = [weights.get((line, number), {_FREE: 1}) for number in range(len(columns))]
        glyphs = [max(cell, key=lambda glyph: (cell[glyph], glyph)) for cell in cells]
        yield f"{line * unit:>{_LABEL},} {''.join(glyph * width for glyph in glyphs)}"
    marks = ["^" if any(step.index in peaks for step in column.steps) else " " for column in columns]
    yield f"{region.size_bytes:>{_LABEL},} {''.join(mark * width for mark in marks)} peak"


def _ruler(columns: Sequence[_Column], width: int) -> str:
    """First steps of the columns, as far as they have room."""
    line = ""
    for number, column in enumerate(columns):
        if not line or len(line) < number * width:
            line = f"{line:<{number * width}}{column.first}"
    return line


def _legend(memory: MemoryMap, pieces: Sequence[MapPiece], letters: dict[str, str]) -> Iterator[str]:
    """What the letters stand for."""
    named = [piece for piece in pieces if piece.kind != "scratch"]
    scratch = [piece for piece in pieces if piece.kind == "scratch"]
    listed = sorted(sorted(named, key=lambda p: -p.size_bytes)[:_MOST_LISTED], key=lambda p: (p.first_step, p.offset))
    yield ""
    yield f"{'bytes':>{_LABEL}}  {'address':>{_LABEL}}  {'steps':>9}"
    for piece in listed:
        first, *others = piece.layers or (piece.name,)
        more = f" and {len(others):,} more" if others else ""
        yield (f"{piece.size_bytes:>{_LABEL},}  {piece.offset:>{_LABEL},}  "
               f"{_range(piece.first_step, piece.last_step):>9}  {letters[piece.name]}  "
               f"{KINDS[piece.kind]}: {memory.names[first]}{more}")  # fmt: skip
    if len(named) > len(listed):
        rest = sum(piece.size_bytes for piece in named) - sum(piece.size_bytes for piece in listed)
        yield f"{rest:>{_LABEL},}  {'':>{_LABEL}}  {'':>9}     {len(named) - len(listed):,} smaller pieces"
    if scratch:
        most = max(piece.size_bytes for piece in scratch)
        yield f"{most:>{_LABEL},}  {'':>{_LABEL}}  {'':>9}  {_SCRATCH}  scratch of {len(scratch):,} steps, at most"
    kept = any(_has_gaps(piece) for piece in pieces)
    yield f"{'':>{_LABEL}}  {'':>{_LABEL}}  {'':>9}  {_FREE}  free{f'; {_KEPT} kept, not needed' if kept else ''}"


def _has_gaps(piece: MapPiece) -> bool:
    """Whether not all of it is needed all of the time."""
    needed = sum((row.end - row.start) * (row.last_step - row.first_step + 1) for row in piece.rows)
    return needed < piece.size_bytes * (piece.last_step - piece.first_step + 1)


def _columns(memory: MemoryMap) -> list[_Column]:
    """A column for each step; fewer for what runs in bands, and for a network of many steps."""
    cut = [part for run in memory.runs for part in _split(run, _SEGMENT_COLUMNS)]
    return [_Column(tuple(step for part in group for step in part)) for group in _split(cut, _MOST_COLUMNS)]


def _split(items: Sequence[_T], most: int) -> list[list[_T]]:
    """Consecutive items in at most so many groups of about the same size."""
    count = min(len(items), most)
    return [list(items[len(items) * n // count : len(items) * (n + 1) // count]) for n in range(count)]


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}..{last}"


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers in order, neighbours as ranges; the first few of many."""
    runs = ranges(numbers)
    text = ", ".join(_range(*run) for run in runs[:4])
    return f"{text} and {sum(b - a + 1 for a, b in runs[4:]):,} more" if len(runs) > 4 else text

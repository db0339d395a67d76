"""A memory map as a drawing: one SVG file without scripts and without references to anything outside it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from edgewright.report.memory_map import KINDS, Kind, MapPiece, MapRegion, MapRow, MemoryMap, plain_text, ranges

COLOURS: dict[Kind, str] = {
    "input": "#59a14f", "output": "#e15759", "activation": "#4e79a7", "window": "#b07aa1", "scratch": "#9c755f",
    "weights": "#edc948",
}  # fmt: skip
_LEFT, _RIGHT, _TOP, _LABELS, _GAP = 130, 24, 58, 160, 30  # pixels around and between the regions
_HEIGHT = 360  # of a region
_WIDTH = 960  # of all steps, where that gives a step no less than the least and no more than the most
_STEP_LEAST, _STEP_MOST = 3, 64
_PEAK = 5  # of the bar under the peak's steps
_LABEL_ROOM = 12  # pixels between two labels below the steps
_CHARACTER = 7  # pixels, about
_STYLE = """
text{font:11px sans-serif;fill:#222}
.title{font-size:14px;font-weight:bold}
.frame{fill:#f7f7f7;stroke:#888;stroke-width:.5}
.kept{fill:#ddd;stroke:#999;stroke-width:.5}
.row{stroke:#fff;stroke-width:.5}
.peak{fill:#e15759}
.name{fill:#fff;pointer-events:none}
.live{fill:none;stroke:#222;stroke-width:1.2;pointer-events:none}
.bound{stroke:#e15759;stroke-width:1.2;stroke-dasharray:6 3}
""" + "".join(f".{kind}{{fill:{colour}}}\n" for kind, colour in COLOURS.items())  # fmt: skip


class _Scale:
    """Where steps and addresses of a region lie. Units: pixels."""

    def __init__(self, memory: MemoryMap, region: MapRegion, top: float) -> None:
        count = max(len(memory.steps), 1)
        self.first, self.top = memory.first_step, top
        self.step = min(max(_WIDTH / count, _STEP_LEAST), _STEP_MOST)
        self.byte = _HEIGHT / max(region.size_bytes, 1)
        self.width = self.step * count

    def x(self, step: float) -> float:
        return _LEFT + (step - self.first) * self.step

    def y(self, address: float) -> float:
        return self.top + address * self.byte


def svg_map(memory: MemoryMap) -> str:
    """Return the drawing: steps from left to right, addresses downwards, a rectangle for what is live where and when.

    What is kept without being needed is grey. The same map gives the same bytes.
    """
    lines: list[str] = []
    top, width = float(_TOP), 0.0
    for region in memory.regions:
        scale = _Scale(memory, region, top)
        lines += _region(memory, region, scale)
        top += _HEIGHT + _LABELS + _GAP
        width = max(width, _LEFT + scale.width + _RIGHT)
    legend, end = _legend(memory)
    width = max(width, end)
    title = escape(f"memory map of {plain_text(memory.title)}")
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(top)}" '
        f'viewBox="0 0 {_n(width)} {_n(top)}">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{_n(width)}" height="{_n(top)}" fill="#fff"/>',
        _text(_LEFT, 20, title, 'class="title"'),
    ]
    return "\n".join([*head, *legend, *lines, "</svg>", ""])


def _region(memory: MemoryMap, region: MapRegion, scale: _Scale) -> Iterator[str]:
    bound = memory.lower_bound_bytes(region)
    peaks = memory.peak_steps(region)
    yield f'<g class="region" data-name="{escape(plain_text(region.name))}" data-bytes="{region.size_bytes}">'
    facts = f"{plain_text(region.name)}: {region.size_bytes:,} B, lower bound {bound:,} B"
    if peaks:
        step = memory.step(peaks[0])
        facts += f", peak at step {step.index}: {' '.join(filter(None, (step.op, memory.names[step.layer])))}"
    yield _text(_LEFT, scale.top - 6, escape(facts))
    yield _rect("frame", _LEFT, scale.top, scale.width, _HEIGHT)
    yield from _addresses(region, scale)
    for piece in memory.of(region):
        yield from _piece(memory, piece, scale)
    for first, last in ranges(peaks):
        yield _rect("peak", scale.x(first), scale.top + _HEIGHT, (last - first + 1) * scale.step, _PEAK,
                    title=f"peak: {bound:,} B, steps {first} to {last}")  # fmt: skip
    yield from _live(memory, region, scale)
    y = _n(scale.y(bound))
    yield f'<line class="bound" x1="{_LEFT}" y1="{y}" x2="{_n(_LEFT + scale.width)}" y2="{y}"/>'
    yield from _layers(memory, scale)
    yield "</g>"


def _piece(memory: MemoryMap, piece: MapPiece, scale: _Scale) -> Iterator[str]:
    """The bytes that are kept, and in front of them what is needed."""
    whole = (piece.offset, piece.offset + piece.size_bytes, piece.first_step, piece.last_step)
    if len(piece.rows) != 1 or _extent(piece.rows[0]) != whole:
        words = f"kept for {plain_text(piece.name)}\n{piece.size_bytes:,} B at {piece.offset:,}\n{_when(whole)}"
        yield _span("kept", whole, scale, words)
    for row in piece.rows:
        form = f" {row.dtype} {list(row.shape)}" if row.dtype else ""
        size = row.end - row.start
        words = f"{plain_text(row.tensor)}{form}\n{KINDS[row.kind]}, {size:,} B at {row.start:,}\n{_when(_extent(row))}"
        yield _span(f"row {row.kind}", _extent(row), scale, words)
        room = (row.last_step - row.first_step + 1) * scale.step
        name = memory.names[row.layer]
        if size * scale.byte >= _LABEL_ROOM and len(name) * _CHARACTER <= room:
            x, y = scale.x(row.first_step) + room / 2, scale.y((row.start + row.end) / 2) + 4
            yield _text(x, y, escape(name), 'class="name" text-anchor="middle"')


def _extent(row: MapRow) -> tuple[int, int, int, int]:
    return row.start, row.end, row.first_step, row.last_step


def _when(extent: tuple[int, int, int, int]) -> str:
    first, last = extent[2:]
    return f"step {first}" if first == last else f"steps {first} to {last}"


def _span(kind: str, extent: tuple[int, int, int, int], scale: _Scale, title: str) -> str:
    """A rectangle of addresses and steps, which it also carries as data."""
    start, end, first, last = extent
    return _rect(kind, scale.x(first), scale.y(start), (last - first + 1) * scale.step, (end - start) * scale.byte,
                 f'data-bytes="{start} {end}" data-steps="{first} {last}"', title)  # fmt: skip


def _addresses(region: MapRegion, scale: _Scale) -> Iterator[str]:
    """Addresses at the left: quarters of the region."""
    for quarter in range(5):
        address = region.size_bytes * quarter // 4
        yield _text(_LEFT - 6, scale.y(address) + 4, f"{address:,}", 'text-anchor="end"')


def _live(memory: MemoryMap, region: MapRegion, scale: _Scale) -> Iterator[str]:
    """A line at the sum of the bytes that are kept at each step."""
    path, before = f"M{_n(scale.x(scale.first))} {_n(scale.y(0))}", 0
    for step, size in enumerate(memory.live(region).tolist(), scale.first):
        if size != before:
            path += f"H{_n(scale.x(step))}V{_n(scale.y(size))}"
            before = size
    yield f'<path class="live" d="{path}H{_n(_LEFT + scale.width)}"/>'


def _layers(memory: MemoryMap, scale: _Scale) -> Iterator[str]:
    """Names below the steps: one for each layer, and for what runs in bands; as many as have room."""
    behind = float("-inf")
    for run in memory.runs:
        first, last = run[0], run[-1]
        x = (scale.x(first.index) + scale.x(last.index + 1)) / 2
        if x - behind < _LABEL_ROOM:
            continue
        behind = x
        layers = len({step.layer for step in run})
        name = f"{first.index} {memory.names[first.layer]}"
        if first is not last:
            name = f"{first.index}-{last.index} bands of {layers} layers" if layers > 1 else f"{name} in bands"
        y = scale.y(0) + _HEIGHT + _PEAK + 12
        yield _text(x, y, escape(name), f'text-anchor="end" transform="rotate(-40 {_n(x)} {_n(y)})"')


def _legend(memory: MemoryMap) -> tuple[list[str], float]:
    """What the colours and lines stand for, and where that ends. Units: pixels."""
    lines, x = [], float(_LEFT)
    used = [kind for kind in KINDS if any(row.kind == kind for piece in memory.pieces for row in piece.rows)]
    boxes = [*((f"row {kind}", KINDS[kind]) for kind in used), ("kept", "kept, not needed"), ("peak", "peak")]
    for css, words in boxes:
        lines += [_rect(css, x, 28, 10, 10), _text(x + 14, 37, words)]
        x += 26 + len(words) * _CHARACTER
    for css, words in (("live", "bytes kept at a step"), ("bound", "lower bound: the most of them")):
        lines += [f'<line class="{css}" x1="{_n(x)}" y1="33" x2="{_n(x + 16)}" y2="33"/>', _text(x + 20, 37, words)]
        x += 32 + len(words) * _CHARACTER
    return lines, x


def _rect(css: str, x: float, y: float, width: float, height: float, data: str = "", title: str = "") -> str:
    head = f'<rect class="{css}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
    tail = f"><title>{escape(title)}</title></rect>" if title else "/>"
    return f"{head}{' ' + data if data else ''}{tail}"


def _text(x: float, y: float, escaped: str, more: str = "") -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}"{" " + more if more else ""}>{escaped}</text>'


def _n(value: float) -> str:
    """A coordinate, without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".")

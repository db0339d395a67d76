"""What quantization did, layer by layer: as values for JSON, and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from edgewright.ir import Array, Graph, Node
from edgewright.quantization.calibrate import Calibration
from edgewright.quantization.groups import moves
from edgewright.quantization.mixed import Attempt
from edgewright.quantization.options import Options
from edgewright.quantization.params import IntegerConstant
from edgewright.quantization.prepare import main_output
from edgewright.quantization.simulate import NO_NOISE_DB, Probe, Scores, sqnr
from edgewright.report.tables import two_columns

SCHEMA = 1
HISTOGRAM_BINS = 16
NAME_WIDTH = 32  # of the table
WORST = 5  # how many layers are named as the ones that hurt
_BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class WeightFacts:
    """A layer's weights. Units: dB. `histogram` counts integers in equal bins from `low` to `high`."""

    bits: int
    per_channel: bool
    rounding: str
    rounding_gain_db: float
    sqnr_db: float
    scale_min: float
    scale_max: float
    low: int
    high: int
    histogram: tuple[int, ...]
    accumulator_headroom: float


@dataclass(frozen=True)
class LayerFacts:
    """One node. Units: dB; `clipped` is a share of the output's values. None: its output is not in integers.

    `sqnr_db` and `cosine` compare its output with the float network's, all errors before it included; `alone_sqnr_db`
    is the model's outputs with only this layer in integers: the lowest numbers are the layers that hurt.
    """

    name: str
    op: str
    precision: str  # int8, int16, int4 (weights) or float
    output_bits: int | None
    scale: float | None
    zero_point: int | None
    low: float
    high: float
    clipped: float | None
    sqnr_db: float
    cosine: float
    alone_sqnr_db: float | None
    weights: WeightFacts | None


@dataclass(frozen=True)
class QuantizationReport:
    """All of it. `candidates` are the trials that the choice of observer and equalization was made from."""

    scheme: str
    options: Mapping[str, Any]
    chosen: str
    candidates: Mapping[str, float]
    samples: int
    warnings: tuple[str, ...]
    scores: Scores
    float_bytes: int
    quantized_bytes: int
    exceptions: tuple[str, ...]
    worst: tuple[str, ...]
    layers: tuple[LayerFacts, ...]

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"schema": SCHEMA, **asdict(self)}

    def tables(self) -> tuple[Table, Table, Table]:
        """As the terminal has it."""
        return _summary(self), _layer_table(self), _weight_table(self)


def make_report(
    graph: Graph, attempt: Attempt, probe: Probe, options: Options, calibration: Calibration,
    candidates: Mapping[str, float], chosen: str, on_progress: Callable[[int, int], None],
) -> QuantizationReport:  # fmt: skip
    """Gather the figures; each layer is tried alone."""
    layers = []
    for index, node in enumerate(graph.nodes):
        if not moves(node) and main_output(node) in attempt.swept.facts:
            layers.append(_layer_facts(node, graph, attempt, probe))
        on_progress(index + 1, len(graph.nodes))
    hurting = sorted((f for f in layers if f.alone_sqnr_db is not None), key=lambda f: f.alone_sqnr_db or 0.0)
    before, after = _sizes(graph, attempt)
    return QuantizationReport(
        scheme=options.scheme, options=asdict(options), chosen=chosen, candidates=dict(candidates),
        samples=calibration.samples, warnings=calibration.warnings, scores=attempt.scores, float_bytes=before,
        quantized_bytes=after, exceptions=_exceptions(attempt), worst=tuple(f.name for f in hurting[:WORST]),
        layers=tuple(layers),
    )  # fmt: skip


def _layer_facts(node: Node, graph: Graph, attempt: Attempt, probe: Probe) -> LayerFacts:
    name = main_output(node)
    facts, params = attempt.swept.facts[name], attempt.assignment.params.get(name)
    layer = attempt.swept.layers.get(node.name)
    constants = {}
    if node.name in attempt.assignment.integer_nodes:
        constants = {n: attempt.swept.constants[n].real for n in node.inputs if n in attempt.swept.constants}
    touched = {} if params is None else {name: params}
    alone = probe.changed(touched, constants).sqnr_db if touched or constants else None
    if alone == NO_NOISE_DB:  # behind the tensors that decide
        alone = None
    precision = "float" if node.name not in attempt.assignment.integer_nodes else f"int{params.bits if params else 8}"
    weights = None
    if layer is not None:
        bits = layer.weights.params.bits
        precision = "int4" if bits == 4 else precision
        weights = _weight_facts(np.asarray(graph.constant(node.inputs[1])), layer.weights, layer.rounded.method,
                                layer.rounded.gain_db, layer.headroom)  # fmt: skip
    return LayerFacts(
        name=node.name, op=node.op, precision=precision, output_bits=None if params is None else params.bits,
        scale=None if params is None else float(params.scale), zero_point=None if params is None else params.zero,
        low=facts.low, high=facts.high, clipped=None if params is None else facts.clipped_share,
        sqnr_db=facts.sqnr_db, cosine=facts.cosine, alone_sqnr_db=alone, weights=weights,
    )  # fmt: skip


def _weight_facts(real: Array, got: IntegerConstant, method: str, gain: float, headroom: float) -> WeightFacts:
    p = got.params
    counts, _ = np.histogram(got.values, HISTOGRAM_BINS, (p.low - 0.5, p.high + 0.5))
    return WeightFacts(
        bits=p.bits, per_channel=p.axis is not None, rounding=method, rounding_gain_db=gain,
        sqnr_db=sqnr(real, got.real), scale_min=float(p.scale.min()), scale_max=float(p.scale.max()), low=p.low,
        high=p.high, histogram=tuple(int(c) for c in counts), accumulator_headroom=headroom,
    )  # fmt: skip


def _sizes(graph: Graph, attempt: Attempt) -> tuple[int, int]:
    """Bytes of the constants before and after; two 4-bit weights share a byte."""
    before = after = 0
    for name, tensor in graph.tensors.items():
        if tensor.data is None:
            continue
        before += tensor.size_bytes
        constant = attempt.swept.constants.get(name)
        after += tensor.size_bytes if constant is None else (tensor.elements * constant.params.bits + 7) // 8
    return before, after


def _exceptions(attempt: Attempt) -> tuple[str, ...]:
    choices = attempt.choices
    return (
        *(f"tensor '{name}' in 16 bits" for name in sorted(choices.wide_groups)),
        *(f"weights of '{name}' in 8 bits" for name in sorted(choices.wide_weights)),
        *(f"layer '{name}' in float" for name in sorted(choices.float_nodes)),
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"


def _summary(report: QuantizationReport) -> Table:
    scores = report.scores
    rows = [
        ("scheme", f"{report.scheme}, {report.chosen}"),
        ("calibration", f"{report.samples:,} samples"),
        ("weights", f"{report.quantized_bytes:,} B (float {report.float_bytes:,} B)"),
        ("SQNR at the outputs", f"{scores.sqnr_db:.1f} dB"),
    ]
    if scores.agreement is not None:
        rows.append(("same class as float", _percent(scores.agreement)))
    if scores.accuracy is not None:
        rows.append(("accuracy", f"{_percent(scores.accuracy)} (float {_percent(scores.float_accuracy)})"))
    if report.exceptions:
        rows.append(("in more bits", "\n".join(report.exceptions)))
    rows.append(("hurt most", "\n".join(short(name) for name in report.worst)))
    rows += [("warning", text) for text in report.warnings]
    return two_columns("quantized", [(name, escape(text)) for name, text in rows])


def _layer_table(report: QuantizationReport) -> Table:
    rows = [
        (short(f.name), f.precision, f"{f.low:.3g} to {f.high:.3g}", _percent(f.clipped), f"{f.sqnr_db:.1f}",
         f"{f.cosine:.5f}", "-" if f.alone_sqnr_db is None else f"{f.alone_sqnr_db:.1f}")
        for f in report.layers
    ]  # fmt: skip
    return _table("layers", ("layer", "bits", "range", "clipped", "SQNR", "cosine", "alone"), rows)


def _weight_table(report: QuantizationReport) -> Table:
    rows = [
        (short(f.name), f.op, str(f.weights.bits), bars(f.weights.histogram), f"{f.weights.sqnr_db:.1f}",
         f.weights.rounding, f"{f.weights.rounding_gain_db:.1f}")
        for f in report.layers if f.weights is not None
    ]  # fmt: skip
    return _table("weights", ("layer", "operator", "bits", "integers", "SQNR", "rounding", "gain"), rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table that fits a terminal of 80 columns: only the layers' names are folded."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        left = column in ("layer", "operator", "rounding")
        table.add_column(column, overflow="fold", no_wrap=column != "layer", justify="left" if left else "right")
    for row in rows:
        table.add_row(*(escape(text) for text in row))
    return table


def short(name: str) -> str:
    """Cut the middle out of a name that no table has room for; JSON has the whole."""
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH // 2 - 1]}..{name[1 - NAME_WIDTH // 2 :]}"


def bars(counts: tuple[int, ...]) -> str:
    """Draw a histogram in a line of text."""
    top = max(max(counts, default=0), 1)
    return "".join(_BARS[0 if c == 0 else 1 + int(c / top * (len(_BARS) - 2))] for c in counts)

"""Post-training quantization: a float Graph and some samples in, and what its integers are out.

Without options it tries the observers, and the graph with and without equalization, takes what is best at the outputs,
rounds the weights for the inputs they will get, corrects the biases, and says what each layer costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgewright.errors import QuantizationError
from edgewright.ir import Array, Graph
from edgewright.quantization.calibrate import Calibration, check_calibration, collect, sample_bytes
from edgewright.quantization.choices import Assignment, Choices, assign, from_options
from edgewright.quantization.equalize import equalized, find_pairs
from edgewright.quantization.execute import Executor, make_executor
from edgewright.quantization.mixed import Attempt, keep_within_budget
from edgewright.quantization.observers import Histogram
from edgewright.quantization.options import Options
from edgewright.quantization.params import Quantization
from edgewright.quantization.prepare import is_layer, prepare
from edgewright.quantization.ranges import Memory, group_activations
from edgewright.quantization.report import QuantizationReport, make_report
from edgewright.quantization.simulate import Probe, Scores, compare, gives_classes
from edgewright.quantization.sweep import Settings, Swept, sweep
from edgewright.simulate import is_quantized

TRIAL_SAMPLES = 64  # for comparing observers
MARGIN_DB = 0.3  # by which a later candidate has to be better than an earlier one
PROBE_SAMPLES = 32  # for what each layer does to the outputs
SWEEP_SAMPLES = 512
SWEEP_BYTES = 512 << 20  # of float and quantized activations together

OnStage = Callable[[str], None]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Progress:
    """Where to tell what is going on."""

    stage: OnStage = lambda name: None
    advance: OnProgress = lambda done, total: None


@dataclass(frozen=True, eq=False)
class PostTraining:
    """The prepared float graph, its integers, and the report."""

    graph: Graph
    quantization: Quantization
    report: QuantizationReport


@dataclass(frozen=True, eq=False)
class _Variant:
    """A float graph that computes the same as the model, with what calibration saw in it."""

    name: str  # "as trained" or "equalized"
    executor: Executor
    histograms: Mapping[str, Histogram]
    memory: Memory = field(default_factory=dict)


def quantize_graph(
    graph: Graph, arrays: Mapping[str, Array], options: Options | None = None, progress: Progress | None = None
) -> PostTraining:
    """Quantize an imported float graph.

    Shapes: `arrays` as in a data file, samples first; `y` holds labels.
    Raises: DataError, QuantizationError.
    """
    options, progress = options or Options(), progress or Progress()
    if is_quantized(graph):
        raise QuantizationError(
            "the model is quantized already: it holds QuantizeLinear, DequantizeLinear or operators on integers"
        )
    calibration = check_calibration(graph, arrays)
    deadline = time.monotonic() + options.time_limit_s
    progress.stage("calibrate")
    plain = make_executor(prepare(graph))
    if not any(is_layer(node, plain.graph) for node in plain.graph.nodes):
        raise QuantizationError("the model has no convolution or fully connected layer with constant weights")
    variants = [_Variant("as trained", plain, collect(plain, calibration.inputs, progress.advance))]
    variants += _equalized_variant(variants[0], calibration, options, progress)
    choices = from_options(plain.graph, group_activations(plain.graph, variants[0].histograms), options)
    progress.stage("observers")
    variant, observer, trials = _best(variants, calibration, options, choices, progress)
    chosen = _picked(calibration, plain.graph, SWEEP_SAMPLES)
    feeds = variant.executor.feeds(calibration.inputs, chosen)
    labels = None if calibration.labels is None else calibration.labels[chosen]
    classifies = labels is not None or gives_classes(variant.executor.graph)
    settings = Settings(options.rounding == "adaround", options.bias_correction, options.per_tensor, deadline)

    def attempt(exceptions: Choices) -> Attempt:
        assignment = assign(variant.executor.graph, variant.histograms, options, observer, exceptions, variant.memory)
        swept = sweep(variant.executor, feeds, assignment.params, assignment.weight_bits, assignment.integer_nodes,
                      settings, progress.advance)  # fmt: skip
        return Attempt(exceptions, assignment, swept, _scores(swept, labels, classifies))

    progress.stage("round")
    done = attempt(choices)
    few = _picked(calibration, plain.graph, PROBE_SAMPLES)
    probe = Probe(variant.executor, variant.executor.feeds(calibration.inputs, few))
    if options.has_budget:
        progress.stage("mixed")
        done = keep_within_budget(done, attempt, probe, options)
    progress.stage("report")
    quantization = _quantization(done.assignment, done.swept, options)
    report = make_report(
        variant.executor.graph, done, probe, options, calibration, trials, f"{variant.name}, {observer}",
        progress.advance,
    )  # fmt: skip
    return PostTraining(variant.executor.graph, quantization, report)


def _picked(calibration: Calibration, graph: Graph, most: int) -> Array:
    """Return the indices of samples spread evenly over the set, as many as memory takes."""
    fit = max(8, SWEEP_BYTES // max(2 * sample_bytes(graph), 1))
    count = min(calibration.samples, most, fit)
    return np.unique(np.linspace(0, calibration.samples - 1, count).round().astype(np.int64))


def _equalized_variant(
    plain: _Variant, calibration: Calibration, options: Options, progress: Progress
) -> list[_Variant]:
    graph = plain.executor.graph
    pairs = find_pairs(graph)
    if options.equalize == "off" or not pairs:
        return []
    progress.stage("equalize")
    ranges = None
    if not options.per_tensor:
        wanted = {pair.first.output for pair in pairs}
        ranges = {}
        chosen = _picked(calibration, graph, SWEEP_SAMPLES)
        for name, values, _ in plain.executor.walk(plain.executor.feeds(calibration.inputs, chosen)):
            if name in wanted:
                axis = -3 if next(p.first for p in pairs if p.first.output == name).op == "Conv" else -1
                ranges[name] = np.abs(np.moveaxis(values, axis, 0)).reshape(values.shape[axis], -1).max(axis=1)
    executor = make_executor(equalized(graph, ranges))
    return [_Variant("equalized", executor, collect(executor, calibration.inputs, progress.advance))]


def _best(
    variants: list[_Variant], calibration: Calibration, options: Options, choices: Choices, progress: Progress
) -> tuple[_Variant, str, dict[str, float]]:
    """Return the variant and the observer with the least noise at the outputs, by rounding to the nearest."""
    if options.equalize == "on" and len(variants) > 1:
        variants = variants[1:]
    observers = ("mse", "minmax", "percentile") if options.observer == "auto" else (options.observer,)
    if options.observer == "auto" and options.bits.activation_bits == 16:
        observers = ("minmax",)  # 16 bits have room for everything that was seen
    candidates = [(variant, observer) for variant in variants for observer in observers]
    if len(candidates) == 1:
        return *candidates[0], {}
    chosen = _picked(calibration, variants[0].executor.graph, TRIAL_SAMPLES)
    settings = Settings(False, False, options.per_tensor, 0.0)
    results: dict[str, float] = {}
    best, least = candidates[0], -np.inf
    for index, (variant, observer) in enumerate(candidates):
        feeds = variant.executor.feeds(calibration.inputs, chosen)
        a = assign(variant.executor.graph, variant.histograms, options, observer, choices, variant.memory)
        swept = sweep(variant.executor, feeds, a.params, a.weight_bits, a.integer_nodes, settings)
        score = _scores(swept, None, False).sqnr_db
        if score > least:
            best, least = (variant, observer), score + MARGIN_DB
        results[f"{variant.name}, {observer}"] = score
        progress.advance(index + 1, len(candidates))
    return *best, results


def _scores(swept: Swept, labels: Array | None, classifies: bool) -> Scores:
    return compare([real for real, _ in swept.decisions], [got for _, got in swept.decisions], labels, classifies)


def _quantization(assignment: Assignment, swept: Swept, options: Options) -> Quantization:
    return Quantization(assignment.params, swept.constants, options.io == "int8")

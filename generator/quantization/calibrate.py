"""Calibration: checks the user's samples, runs the float graph on them, and counts the values of each tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgewright.errors import QuantizationError
from edgewright.ir import Array, DType, Graph
from edgewright.manifest import Port
from edgewright.quantization.execute import Executor
from edgewright.quantization.observers import BINS, Histogram
from edgewright.samples import check_data

FEW_SAMPLES = 32  # below this, the ranges are those of these samples rather than of the data
SMALLEST, LARGEST = 2.0**-52, 2.0**60  # of a tensor's largest number: 255 of the smallest scale; float32 holds squares
BATCH_BYTES = 128 << 20  # of activations that are held at once

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Checked samples. Shapes: `inputs[name]` is (n, *the graph input's shape); labels (n,) or None."""

    inputs: Mapping[str, Array]
    labels: Array | None
    warnings: tuple[str, ...]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))


def check_calibration(graph: Graph, arrays: Mapping[str, Array]) -> Calibration:
    """Check samples and labels against a graph.

    Raises: DataError for names, shapes, types, NaN, infinity and an empty set; QuantizationError for constant data.
    """
    ports = [_port(graph, name) for name in graph.inputs]
    data = check_data(arrays, ports)
    warnings = []
    inputs = {}
    for name in graph.inputs:
        values = data.inputs[name]
        if values.size > 1 and values.dtype.kind == "f" and values.min() == values.max():
            raise QuantizationError(
                f"the calibration data for '{name}' are constant: all {values.size:,} numbers are "
                f"{float(values.flat[0]):.6g}. Ranges cannot be learnt from them; give real samples."
            )
        inputs[name] = values.reshape(len(values), *graph.tensors[name].shape)
    distinct = _distinct(inputs)
    if data.samples < FEW_SAMPLES:
        warnings.append(
            f"the calibration set has {data.samples} sample{'s' * (data.samples != 1)}: with fewer than {FEW_SAMPLES} "
            "the ranges and corrections fit these samples, not your data; 100 to 500 are good"
        )
    elif distinct < FEW_SAMPLES:
        warnings.append(f"only {distinct} of the {data.samples} calibration samples differ from each other")
    labels, complaint = _labels(graph, data.labels)
    if complaint:
        warnings.append(complaint)
    return Calibration(inputs, labels, tuple(warnings))


def _port(graph: Graph, name: str) -> Port:
    tensor = graph.tensors[name]
    return Port(
        name=name, c_name="x", dtype=tensor.dtype, shape=tensor.shape, layout="model", offset_bytes=0,
        size_bytes=tensor.size_bytes,
    )  # fmt: skip


def _distinct(inputs: Mapping[str, Array]) -> int:
    count = len(next(iter(inputs.values())))
    rows = zip(*(values.reshape(count, -1) for values in inputs.values()), strict=True)
    return len({hash(tuple(part.tobytes() for part in row)) for row in rows})


def _labels(graph: Graph, labels: Array | None) -> tuple[Array | None, str | None]:
    """Return labels that fit the first output, or the reason why they are not used."""
    if labels is None:
        return None, None
    first = graph.tensors[graph.outputs[0]]
    classes = first.shape[-1] if first.shape else 1
    if first.elements != classes or classes < 2:
        return None, f"the labels are not used: the first output has shape {list(first.shape)}, not one row of classes"
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        return None, f"the labels are not used: {labels.dtype} of shape {list(labels.shape)} are no class numbers"
    bad = (labels < 0) | (labels >= classes)
    if bad.any():
        raise QuantizationError(
            f"{int(bad.sum())} of {len(labels)} labels are outside 0 to {classes - 1}; the first is {labels[bad][0]}"
        )
    return labels.astype(np.int64), None


def sample_bytes(graph: Graph) -> int:
    """Bytes of all activations of one sample, the most that can be alive at once."""
    return sum(t.size_bytes for t in graph.tensors.values() if t.data is None)


def chunks(samples: int, graph: Graph, budget_bytes: int = BATCH_BYTES) -> list[slice]:
    """Cut the samples into runs whose activations fit the budget."""
    size = max(1, min(samples, budget_bytes // max(sample_bytes(graph), 1)))
    return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]


@np.errstate(all="ignore")  # overflow shows in the values, which are checked
def collect(
    executor: Executor, inputs: Mapping[str, Array], on_progress: OnProgress | None = None
) -> dict[str, Histogram]:
    """Return the distribution of each float activation, in two runs: ranges, then counts.

    Raises: QuantizationError naming the layer that gives NaN or infinity.
    """
    graph, samples = executor.graph, len(next(iter(inputs.values())))
    parts = chunks(samples, graph)
    ranges: dict[str, tuple[float, float]] = {}
    done = 0
    for part in parts:
        for name, values, _ in executor.walk(executor.feeds(inputs, part)):
            if graph.tensors[name].dtype is DType.F32:
                low, high = float(values.min()), float(values.max())
                if not np.isfinite(low) or not np.isfinite(high):
                    raise QuantizationError(_not_finite(graph, name, values, part.start))
                old = ranges.get(name, (low, high))
                ranges[name] = (min(old[0], low), max(old[1], high))
        done += part.stop - part.start
        if on_progress is not None:
            on_progress(done, 2 * samples)
    _check_reach(graph, ranges)
    counts = {name: np.zeros((2, BINS)) for name in ranges}
    zeros, totals = dict.fromkeys(ranges, 0), dict.fromkeys(ranges, 0)
    for part in parts:
        for name, values, _ in executor.walk(executor.feeds(inputs, part)):
            if name not in ranges:
                continue
            for half in (0, 1):
                flat = values[(half + part.start) % 2 :: 2].reshape(-1)
                nonzero = flat[flat != 0]
                counts[name][half] += _binned(nonzero, ranges[name])
                zeros[name] += flat.size - nonzero.size
                totals[name] += flat.size
        done += part.stop - part.start
        if on_progress is not None:
            on_progress(done, 2 * samples)
    return {name: Histogram(*ranges[name], counts[name], zeros[name], totals[name]) for name in ranges}


def _check_reach(graph: Graph, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse numbers whose squares, or products with a weight's scale, are no float32 numbers.

    Tensors inside the network may be next to nothing: then they hardly count.
    """
    read = {name for node in graph.nodes for name in node.inputs}
    for name, (low, high) in ranges.items():
        reach = max(-low, high)
        if (reach > LARGEST and name in read) or (0 < reach < SMALLEST and name in (*graph.inputs, *graph.outputs)):
            raise QuantizationError(
                f"{_maker(graph, name)} reaches {reach:.3g} on the calibration samples, and quantization takes "
                f"{SMALLEST:.1g} to {LARGEST:.1g}: scale the data, or the model's weights"
            )


def _binned(values: Array, span: tuple[float, float]) -> Array:
    low, high = span
    if high <= low:
        only = np.zeros(BINS)
        only[0] = values.size
        return only
    place = ((values - np.float32(low)) * np.float32(BINS / (high - low))).astype(np.int32)
    return np.bincount(np.clip(place, 0, BINS - 1), minlength=BINS).astype(np.float64)


def _not_finite(graph: Graph, name: str, values: Array, start: int) -> str:
    bad = int(np.argwhere(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0][0])
    where = f"{_maker(graph, name)} gives NaN or infinity on calibration sample {start + bad}"
    return f"{where}: the float model fails there"


def _maker(graph: Graph, name: str) -> str:
    """What a tensor comes from, in words."""
    producers = {output: node for node in graph.nodes for output in node.outputs}
    node = producers.get(name)
    return f"{node.op} '{node.name}'" if node is not None else f"input '{name}'"

"""What a quantized graph gives, by rounding values in float arithmetic; and how far that is from the float graph.

The integers that a device computes differ from this by a step at most, where a float sum lies on the border of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.quantization.execute import Executor, Rewrite, Values
from edgewright.quantization.params import QuantParams

Params = Mapping[str, QuantParams]
NO_NOISE_DB = 120.0  # what is reported where two tensors are equal, or nearly


@dataclass(frozen=True)
class Scores:
    """How good a quantized graph is. Units: dB; shares of the samples. None where it cannot be said."""

    sqnr_db: float
    agreement: float | None
    accuracy: float | None
    float_accuracy: float | None

    @property
    def drop(self) -> float | None:
        """Points of accuracy that are lost; without labels, points of samples whose class changed."""
        if self.accuracy is not None and self.float_accuracy is not None:
            return 100 * (self.float_accuracy - self.accuracy)
        return None if self.agreement is None else 100 * (1 - self.agreement)


def sqnr(real: Array, rounded: Array) -> float:
    """Return the signal to quantization noise ratio in dB."""
    wide = real.astype(np.float64)
    noise = float(((wide - rounded) ** 2).sum())
    return sqnr_of(float((wide**2).sum()), noise)


def sqnr_of(signal: float, noise: float) -> float:
    """Return a ratio of energies in dB, bounded where there is nothing to divide."""
    if noise <= signal * 10 ** (-NO_NOISE_DB / 10):
        return NO_NOISE_DB
    return float(10 * np.log10(max(signal, 1e-300) / noise))


def cosine(real: Array, rounded: Array) -> float:
    """Return the cosine of the angle between two tensors, 1 where both are 0."""
    a, b = real.astype(np.float64).reshape(-1), rounded.astype(np.float64).reshape(-1)
    norms = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b / norms) if norms > 0 else float(not a.any() and not b.any())


def decision_tensors(graph: Graph) -> list[str]:
    """Return, for each output, the tensor whose noise is measured: what goes into a last Softmax or Sigmoid.

    Behind these, certain outputs hide any noise.
    """
    producers = {name: node for node in graph.nodes for name in node.outputs}
    result = []
    for output in graph.outputs:
        name = output
        node: Node | None = producers.get(name)
        while node is not None and node.op == "Reshape":
            name, node = node.inputs[0], producers.get(node.inputs[0])
        behind = node is not None and node.op in ("Softmax", "Sigmoid")
        result.append(node.inputs[0] if behind and node is not None else output)
    return result


def rounding(params: Params) -> Rewrite:
    """Return what rounds the tensors that have parameters."""

    def rewrite(name: str, values: Array) -> Array:
        chosen = params.get(name)
        return values if chosen is None else chosen.rounded(values)

    return rewrite


def classes(outputs: Array) -> Array | None:
    """Return the class of each sample, None where an output is not one row of classes."""
    rows = outputs.reshape(len(outputs), -1)
    if rows.shape[1] < 2 or outputs.shape[-1] != rows.shape[1]:
        return None
    return np.asarray(rows.argmax(axis=1))


def gives_classes(graph: Graph) -> bool:
    """Whether the first output looks like scores of classes: not like an autoencoder's copy of an input."""
    output = graph.tensors[graph.outputs[0]]
    if decision_tensors(graph)[0] != output.name:
        return True
    return all(graph.tensors[name].elements != output.elements for name in graph.inputs)


def compare(real: Sequence[Array], rounded: Sequence[Array], labels: Array | None, classifies: bool) -> Scores:
    """Return the scores of the graph outputs' decision tensors; classes are told by the first."""
    ratio = min(sqnr(a, b) for a, b in zip(real, rounded, strict=True))
    wanted, got = classes(real[0]), classes(rounded[0])
    if wanted is None or got is None or not classifies:
        return Scores(ratio, None, None, None)
    agreement = float((wanted == got).mean())
    if labels is None:
        return Scores(ratio, agreement, None, None)
    return Scores(ratio, agreement, float((got == labels).mean()), float((wanted == labels).mean()))


class Probe:
    """A float graph with all its values on some samples: what single changes do to the outputs is quick to tell."""

    def __init__(self, executor: Executor, feeds: Values) -> None:
        self.executor = executor
        self.values: Values = {}
        for name, array, _ in executor.walk(feeds):
            self.values[name] = array
        self.wanted = decision_tensors(executor.graph)

    def changed(self, params: Params, constants: Mapping[str, Array]) -> Scores:
        """Return the scores with only these tensors rounded and only these constants replaced."""
        graph = self.executor.graph
        new: Values = {
            name: params[name].rounded(self.values[name]) for name in graph.inputs if name in params
        }
        for node in graph.nodes:
            touched = any(name in new or name in constants for name in node.inputs)
            if not touched and not any(name in params for name in node.outputs):
                continue
            view = {name: new.get(name, self.values.get(name)) for name in node.inputs}
            operands = {name: array for name, array in view.items() if array is not None}
            results = self.executor.step(node, operands, constants) if touched else {}
            for name in node.outputs:
                result = results[name] if touched and name else self.values.get(name)
                if result is not None:
                    new[name] = params[name].rounded(result) if name in params else result
        real = [self.values[name] for name in self.wanted]
        return compare(real, [new.get(name, self.values[name]) for name in self.wanted], None, False)

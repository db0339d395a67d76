"""One sweep through the graph, layer by layer, with the float values and the quantized ones side by side.

Each layer's weights are rounded for the quantized inputs that it will really get, its bias takes up the mean error,
and what comes out is compared with the float network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgewright.ir import Array, Node
from edgewright.quantization.execute import Executor, Values
from edgewright.quantization.groups import RECURRENT, integer_operands
from edgewright.quantization.layers import Moments, columns, moments, places
from edgewright.quantization.params import IntegerConstant, QuantParams, constant_params
from edgewright.quantization.prepare import is_layer
from edgewright.quantization.rounding import MAX_INPUTS
from edgewright.quantization.simulate import Params, cosine, decision_tensors, sqnr
from edgewright.quantization.weights import IntegerLayer, integer_layer

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Settings:
    """How layers are rounded. Units: `deadline` in seconds of time.monotonic()."""

    adaptive: bool
    corrected: bool
    per_tensor: bool
    deadline: float


@dataclass(frozen=True)
class TensorFacts:
    """How far a tensor of the quantized graph is from the float one, errors of all layers before included."""

    sqnr_db: float
    cosine: float
    clipped_share: float  # of the values that the layer gives, how many lie outside the integers' range
    low: float
    high: float


@dataclass(eq=False)
class Swept:
    """What a sweep decided and saw."""

    layers: dict[str, IntegerLayer] = field(default_factory=dict)  # by node
    constants: dict[str, IntegerConstant] = field(default_factory=dict)  # by tensor; weights and biases included
    facts: dict[str, TensorFacts] = field(default_factory=dict)  # by tensor
    decisions: list[tuple[Array, Array]] = field(default_factory=list)  # float and quantized, an output each

    @property
    def real_constants(self) -> dict[str, Array]:
        """The constants as the quantized graph sees them."""
        return {name: constant.real for name, constant in self.constants.items()}


def sweep(
    executor: Executor, feeds: Values, params: Params, weight_bits: Mapping[str, int],
    integer_nodes: frozenset[str], settings: Settings, on_progress: OnProgress | None = None,
) -> Swept:  # fmt: skip
    """Quantize the constants of a graph. `weight_bits` names the layers that compute in integers.

    `integer_nodes` are those whose constant operands become integers too.
    Raises: QuantizationError where a layer's sums could leave int32.
    """
    graph, done = executor.graph, Swept()
    wanted = decision_tensors(graph)
    found: dict[str, tuple[Array, Array]] = {}
    real: Values = {}
    quantized: Values = {}
    last = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs if name}
    for name in graph.inputs:
        real[name] = feeds[name]
        _store(name, feeds[name], params.get(name), real, quantized, done)
    for index, node in enumerate(graph.nodes):
        outputs = executor.step(node, real)
        replaced: dict[str, IntegerConstant] = {}
        if node.name in weight_bits and is_layer(node, graph):
            layer = _layer(executor, node, real, quantized, params, weight_bits[node.name], settings,
                           outputs[node.output], index)  # fmt: skip
            done.layers[node.name] = layer
            replaced = {node.inputs[1]: layer.weights, node.inputs[2]: layer.bias}
        elif node.name in integer_nodes:
            for name in integer_operands(node):
                data = graph.constant(name) if name else None
                if data is not None:
                    chosen = constant_params(data, 1 if node.op in RECURRENT and not settings.per_tensor else None)
                    replaced[name] = IntegerConstant(chosen.to_integers(data), chosen)
        done.constants.update(replaced)
        results = executor.step(node, quantized, {name: constant.real for name, constant in replaced.items()})
        real.update(outputs)
        for name, result in results.items():
            _store(name, result, params.get(name), real, quantized, done)
            if name in wanted:
                found[name] = (real[name], quantized[name])
        for name in {*node.inputs}:
            if last.get(name) == index and name in real:
                del real[name], quantized[name]
        if on_progress is not None:
            on_progress(index + 1, len(graph.nodes))
    done.decisions = [found[name] for name in wanted]
    return done


def _store(
    name: str, values: Array, params: QuantParams | None, real: Values, quantized: Values, done: Swept
) -> None:
    """Keep a tensor of the quantized graph, rounded, and what there is to say of it."""
    quantized[name] = values if params is None else params.rounded(values)
    if values.dtype.kind != "f":
        return
    low, high = float(real[name].min()), float(real[name].max())
    clipped = 0.0
    if params is not None:
        bottom, top = params.span
        half = float(params.scale) / 2
        clipped = float(((values < bottom - half) | (values > top + half)).mean())
    done.facts[name] = TensorFacts(
        sqnr(real[name], quantized[name]), cosine(real[name], quantized[name]), clipped, low, high
    )


def _layer(
    executor: Executor, node: Node, real: Values, quantized: Values, params: Params, bits: int, settings: Settings,
    y: Array, index: int,
) -> IntegerLayer:  # fmt: skip
    weights, bias = (np.asarray(executor.graph.constant(name)) for name in node.inputs[1:])
    m: Moments | None = None
    inputs = weights[0].size
    if inputs <= MAX_INPUTS and (settings.adaptive or settings.corrected):
        where = places(node, y, inputs, index)
        x = node.inputs[0]
        m = moments(columns(node, real[x], where), columns(node, quantized[x], where), settings.corrected)
    return integer_layer(
        node, weights, bias, params[node.inputs[0]], bits, m, adaptive=settings.adaptive,
        per_tensor=settings.per_tensor, corrected=settings.corrected, deadline=settings.deadline,
    )  # fmt: skip

"""Recurrent layers: RNN, LSTM and GRU in float32. The ways in from ONNX are in recurrent_import.py.

Layout as ONNX has it: 0 is x [steps, batch, input], Y [steps, directions, batch, hidden], states [directions, batch,
hidden]; 1 has the batch first: [batch, steps, input], [batch, steps, directions, hidden], [batch, directions, hidden].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgewright.errors import InternalError, ShapeError
from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    SCRATCH,
    KernelCall,
    Operator,
    ParamValue,
    check_same_type,
    describe,
    operator,
    required,
)
from edgewright.ops.recurrent_activations import Activation, activate, activation_params, defaults

DIRECTIONS = ("forward", "reverse", "bidirectional")


@dataclass(frozen=True)
class Sizes:
    """The extents of a recurrent layer."""

    steps: int
    batch: int
    input: int
    hidden: int
    directions: int

    def y_shape(self, layout: int) -> Shape:
        """Shape of all states."""
        t, d, n, h = self.steps, self.directions, self.batch, self.hidden
        return (t, d, n, h) if layout == 0 else (n, t, d, h)

    def state_shape(self, layout: int) -> Shape:
        """Shape of one state."""
        return (self.directions, self.batch, self.hidden) if layout == 0 else (self.batch, self.directions, self.hidden)

    def params(self, node: Node) -> dict[str, ParamValue]:
        """Sizes and strides, in elements, as the kernels have them."""
        t, n, i, h, d = self.steps, self.batch, self.input, self.hidden, self.directions
        strides: dict[str, ParamValue] = (
            {"x_step": n * i, "x_batch": i, "y_step": d * n * h, "y_direction": n * h, "y_batch": h,
             "h_direction": n * h, "h_batch": h}
            if node.attrs["layout"] == 0
            else {"x_step": i, "x_batch": t * i, "y_step": d * h, "y_direction": h, "y_batch": t * d * h,
                  "h_direction": h, "h_batch": d * h}
        )  # fmt: skip
        return {"steps": t, "batch": n, "input": i, "hidden": h, "directions": d,
                "backwards": int(node.attrs["direction"] == "reverse"), **strides}  # fmt: skip


def sizes_of(node: Node, x: Tensor, w: Tensor, r: Tensor, gates: int) -> Sizes:
    """Return the extents, or refuse inputs that do not fit each other. Raises: ShapeError."""
    layout, direction = node.attrs["layout"], node.attrs["direction"]
    if direction not in DIRECTIONS or layout not in (0, 1):
        raise ShapeError(f"{describe(node)}: direction '{direction}', layout {layout}")
    directions = 2 if direction == "bidirectional" else 1
    if len(x.shape) != 3 or len(w.shape) != 3 or len(r.shape) != 3:
        raise ShapeError(f"{describe(node)} takes three axes: X {list(x.shape)}, W {list(w.shape)}, R {list(r.shape)}")
    steps, batch = x.shape[:2] if layout == 0 else x.shape[1::-1]
    sizes = Sizes(steps, batch, x.shape[2], r.shape[2], directions)
    rows = gates * sizes.hidden
    if w.shape != (directions, rows, sizes.input) or r.shape != (directions, rows, sizes.hidden):
        raise ShapeError(
            f"{describe(node)}: W {list(w.shape)} and R {list(r.shape)} do not fit X {list(x.shape)}, {direction}"
        )
    return sizes


def sizes_of_arrays(x: Array, w: Array, r: Array) -> Sizes:
    """Return the extents of a node that was checked, x in layout 0."""
    return Sizes(x.shape[0], x.shape[1], x.shape[2], r.shape[2], len(w))


def check_shape(node: Node, tensor: Tensor | None, shape: Shape, what: str) -> None:
    """Refuse an optional input of another shape. Raises: ShapeError."""
    if tensor is not None and tensor.shape != shape:
        raise ShapeError(f"{describe(node)}: its {what} is {list(tensor.shape)} and should be {list(shape)}")


def steps_in_order(node: Node, sizes: Sizes) -> list[list[int]]:
    """The steps as each direction takes them."""
    forward, backward = list(range(sizes.steps)), list(range(sizes.steps - 1, -1, -1))
    return {"forward": [forward], "reverse": [backward], "bidirectional": [forward, backward]}[node.attrs["direction"]]


def by_steps(x: Array, layout: int) -> Array:
    """View x as layout 0."""
    return x if layout == 0 else x.swapaxes(0, 1)


def state_in(state: Array | None, sizes: Sizes, layout: int, dtype: Any = np.float32, fill: float = 0) -> Array:
    """Return an initial state in layout 0, or one that is `fill` everywhere."""
    if state is None:
        return np.full(sizes.state_shape(0), fill, dtype)
    return state if layout == 0 else state.swapaxes(0, 1)


def states_out(y: Array, last: Sequence[Array], layout: int) -> list[Array]:
    """Bring Y and last states from layout 0 to the node's own."""
    if layout == 0:
        return [y, *last]
    return [y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in last)]


class FloatRecurrent(Operator):
    """What the float layers share: a loop over directions and steps. The last input is the sequences' lengths.

    A sequence that is shorter than all steps has rows of 0 in Y behind its end; its last state is that of its own last
    step, and 0 where it has no step. In reverse it begins at its own end.
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1  # h, and an LSTM's c
    own_rows: ClassVar[int]  # rows of `hidden` floats that the kernel keeps beside the gates
    default_activations: ClassVar[tuple[str, ...]]
    kernel: ClassVar[str]

    def activations(self, node: Node) -> tuple[Activation, ...]:
        """Those of the node, each direction's after the other."""
        directions = 2 if node.attrs["direction"] == "bidirectional" else 1
        found: tuple[Activation, ...] | None = self.attr(node, "activations")
        return found or defaults(self.default_activations * directions)

    def is_plain(self, node: Node) -> bool:
        """Whether the layer has none of the options that only the float one has."""
        special = node.attrs.get("input_forget", False) or node.attrs.get("clip", math.inf) != math.inf
        optional = node.inputs[4 + self.states :]  # peepholes and lengths
        return not special and not any(optional) and self.attr(node, "activations") is None

    def _sizes(self, node: Node, tensors: Sequence[Tensor | None]) -> Sizes:
        x, w, r = (required(tensor, node, name) for tensor, name in zip(tensors, "XWR", strict=False))
        return sizes_of(node, x, w, r, self.gates)

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each weight and step."""
        s = self._sizes(node, [graph.tensors[name] for name in node.inputs[:3]])
        return s.directions * s.batch * s.steps * self.gates * s.hidden * (s.input + s.hidden)

    def _inputs(self, values: Sequence[Any]) -> list[Any]:
        """Inputs with None (or "") for those left out at the end."""
        return [*values, *[None] * (self.arity[1] - len(values))]

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: W [directions, gates * hidden, input], R [.., .., hidden], B [directions, 2 * gates * hidden]."""
        sizes, layout = self._sizes(node, inputs), node.attrs["layout"]
        rest = self._inputs(inputs)[3:]
        bias, states, lengths = rest[0], rest[1 : 1 + self.states], rest[-1]
        state = sizes.state_shape(layout)
        check_shape(node, bias, (sizes.directions, 2 * self.gates * sizes.hidden), "bias")
        for tensor, what in zip(states, ("initial_h", "initial_c"), strict=False):
            check_shape(node, tensor, state, what)
        if lengths is not None and lengths.type != TensorType((sizes.batch,), DType.S32):
            raise ShapeError(f"{describe(node)}: sequence_lens is {lengths.dtype.value} {list(lengths.shape)}")
        check_same_type(node, *self._inputs(inputs)[:-1])
        dtype = required(inputs[0], node, "X").dtype
        return [TensorType(shape, dtype) for shape in (sizes.y_shape(layout), *[state] * self.states)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, step by step."""
        x, w, r, bias, *rest = self._inputs(inputs)
        layout = node.attrs["layout"]
        x = by_steps(x, layout)
        sizes = sizes_of_arrays(x, w, r)
        lengths = np.full(sizes.batch, sizes.steps) if rest[-1] is None else np.clip(rest[-1], 0, sizes.steps)
        last = [np.array(state_in(state, sizes, layout, x.dtype)) for state in rest[: self.states]]
        y = np.zeros(sizes.y_shape(0), x.dtype)
        each = len(self.default_activations)
        b = np.zeros((sizes.directions, 2 * self.gates * sizes.hidden), x.dtype) if bias is None else bias
        for d in range(sizes.directions):
            functions = self.activations(node)[d * each : (d + 1) * each]
            cell = _Cell(node, w[d], r[d], b[d].reshape(2, -1), rest, d, functions)
            for n, length in enumerate(lengths):
                states = [state[d, n : n + 1] * (length > 0) for state in last]
                order = range(length)
                backwards = d == 1 or node.attrs["direction"] == "reverse"
                for t in reversed(order) if backwards else order:
                    states = self.step(x[t, n : n + 1], states, cell)
                    y[t, d, n] = states[0][0]
                for state, value in zip(last, states, strict=True):
                    state[d, n] = value[0]
        return states_out(y, last, layout)

    def step(self, x: Array, states: Sequence[Array], cell: _Cell) -> list[Array]:
        """The next states. Shapes: x [1, input], states [1, hidden]."""
        raise NotImplementedError

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call; scratch holds the gates, the states, and what the kernel has beside them."""
        sizes = self._sizes(node, [graph.tensors[name] for name in node.inputs[:3]])
        arguments = [name or None for name in self._inputs(node.inputs)]
        flags = {key: int(node.attrs.get(key, False)) for key in ("input_forget", "linear_before_reset")}
        params = {
            **sizes.params(node), "clip": float(self.attr(node, "clip")), **flags,
            **activation_params(self.activations(node), sizes.directions),
        }  # fmt: skip
        rows = self.gates + self.states + self.own_rows
        return (
            KernelCall(
                self.kernel, f"recurrent/{self.kernel}.h", "ew_recurrent_f32_params", params,
                (*arguments, SCRATCH, *(name or None for name in node.outputs)), rows * sizes.hidden * 4,
            ),
        )  # fmt: skip


def float_rule(op: str) -> FloatRecurrent:
    """The rule of RNN, LSTM or GRU."""
    rule = operator(op)
    if not isinstance(rule, FloatRecurrent):
        raise InternalError(f"{op} is no float recurrent layer")
    return rule


@dataclass(frozen=True, eq=False)
class _Cell:
    """What one direction of a layer computes with. Shapes: w [rows, input], r [rows, hidden], bias [2, rows]."""

    node: Node
    w: Array
    r: Array
    bias: Array
    rest: Sequence[Array | None]  # the inputs behind the bias
    direction: int
    functions: Sequence[Activation]

    def clipped(self, x: Array, which: int) -> Array:
        """An activation of a sum."""
        clip = self.node.attrs.get("clip", math.inf)
        return activate(np.clip(x, -clip, clip), self.functions[which])


class RNN(FloatRecurrent):
    """A plain recurrent layer. Source: ONNX RNN-22. Inputs: X, W, R, B, initial_h, lengths; outputs: Y, Y_h."""

    name = "RNN"
    arity = (3, 6)
    attributes = {"direction": "forward", "layout": 0, "clip": math.inf, "activations": None}
    gates = 1
    own_rows = 0
    default_activations = ("Tanh",)
    kernel = "ew_rnn_f32"

    def step(self, x: Array, states: Sequence[Array], cell: _Cell) -> list[Array]:
        """h' = f(W x + R h + b)."""
        return [cell.clipped(x @ cell.w.T + states[0] @ cell.r.T + cell.bias.sum(axis=0), 0)]


class LSTM(FloatRecurrent):
    """Long short-term memory. Source: ONNX LSTM-22.

    Inputs: X, W, R, B, initial_h, initial_c, P [directions, 3 hidden], lengths; outputs: Y, Y_h, Y_c. Gates are in
    ONNX's order: input, output, forget, cell.
    """

    name = "LSTM"
    arity = (3, 8)
    attributes = {
        "direction": "forward", "layout": 0, "clip": math.inf, "input_forget": False, "activations": None,
    }  # fmt: skip
    gates = 4
    states = 2
    own_rows = 0
    default_activations = ("Sigmoid", "Tanh", "Tanh")
    kernel = "ew_lstm_f32"

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: as the others, and peepholes."""
        sizes, peepholes = self._sizes(node, inputs), self._inputs(inputs)[6]
        check_shape(node, peepholes, (sizes.directions, 3 * sizes.hidden), "peephole weights")
        return super().infer(node, inputs)

    def step(self, x: Array, states: Sequence[Array], cell: _Cell) -> list[Array]:
        """The gates, the new cell, and the new state of it."""
        h, c = states
        peepholes = cell.rest[2]
        p = np.zeros((3, 1), x.dtype) if peepholes is None else peepholes[cell.direction].reshape(3, -1)
        i, o, f, g = np.split(x @ cell.w.T + h @ cell.r.T + cell.bias.sum(axis=0), 4, axis=1)
        i, f = cell.clipped(i + p[0] * c, 0), cell.clipped(f + p[2] * c, 0)
        if cell.node.attrs.get("input_forget", False):
            f = 1 - i
        c = f * c + i * cell.clipped(g, 1)
        return [cell.clipped(o + p[1] * c, 0) * activate(c, cell.functions[2]), c]


class GRU(FloatRecurrent):
    """Gated recurrent unit. Source: ONNX GRU-22. Inputs: X, W, R, B, initial_h, lengths; outputs: Y, Y_h.

    Gates are in ONNX's order: update, reset, candidate.
    """

    name = "GRU"
    arity = (3, 6)
    attributes = {
        "direction": "forward", "layout": 0, "clip": math.inf, "linear_before_reset": False, "activations": None,
    }  # fmt: skip
    gates = 3
    own_rows = 1  # a product
    default_activations = ("Sigmoid", "Tanh")
    kernel = "ew_gru_f32"

    def step(self, x: Array, states: Sequence[Array], cell: _Cell) -> list[Array]:
        """The gates, the candidate, and the new state between it and the old one."""
        (h,), n = states, cell.r.shape[1]
        wx, rb = x @ cell.w.T + cell.bias[0], cell.bias[1]
        gates = wx[:, : 2 * n] + h @ cell.r[: 2 * n].T + rb[: 2 * n]
        update, reset = np.split(cell.clipped(gates, 0), 2, axis=1)
        if cell.node.attrs.get("linear_before_reset", False):
            inner = reset * (h @ cell.r[2 * n :].T + rb[2 * n :])
        else:
            inner = (reset * h) @ cell.r[2 * n :].T + rb[2 * n :]
        candidate = cell.clipped(wx[:, 2 * n :] + inner, 1)
        return [(1 - update) * candidate + update * h]

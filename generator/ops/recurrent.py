"""Recurrent layers: LSTM and GRU in float32, with ONNX's default activations.

Layout as ONNX has it: 0 is x [steps, batch, input], Y [steps, directions, batch, hidden], states [directions, batch,
hidden]; 1 has the batch first: [batch, steps, input], [batch, steps, directions, hidden], [batch, directions, hidden].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    SCRATCH,
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    describe,
    from_onnx,
    given,
    required,
    weights,
)

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


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


class _Recurrent(Operator):
    """What the float layers share."""

    gates: ClassVar[int]
    kernel: ClassVar[str]

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

    def _calls(
        self, node: Node, graph: Graph, scratch_rows: int, extra: Mapping[str, ParamValue]
    ) -> tuple[KernelCall, ...]:
        sizes = self._sizes(node, [graph.tensors[name] for name in node.inputs[:3]])
        arguments = [name or None for name in self._inputs(node.inputs)]
        params = {**sizes.params(node), "clip": float(self.attr(node, "clip")), **extra}
        return (
            KernelCall(
                self.kernel, f"recurrent/{self.kernel}.h", "ew_recurrent_f32_params", params,
                (*arguments, SCRATCH, *(name or None for name in node.outputs)), scratch_rows * sizes.hidden * 4,
            ),
        )  # fmt: skip


class LSTM(_Recurrent):
    """Long short-term memory. Source: ONNX LSTM-22. Inputs: X, W, R, B, initial_h, initial_c, P; outputs: Y, Y_h, Y_c.

    Gates are in ONNX's order: input, output, forget, cell.
    """

    name = "LSTM"
    arity = (3, 7)
    attributes = {"direction": "forward", "layout": 0, "clip": math.inf, "input_forget": False}
    gates = 4
    kernel = "ew_lstm_f32"

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: W [directions, 4 hidden, input], R [directions, 4 hidden, hidden], B [directions, 8 hidden]."""
        sizes, layout = self._sizes(node, inputs), node.attrs["layout"]
        _, _, _, bias, h, c, peepholes = self._inputs(inputs)
        state = sizes.state_shape(layout)
        check_shape(node, bias, (sizes.directions, 8 * sizes.hidden), "bias")
        check_shape(node, h, state, "initial_h")
        check_shape(node, c, state, "initial_c")
        check_shape(node, peepholes, (sizes.directions, 3 * sizes.hidden), "peephole weights")
        dtype = required(inputs[0], node, "X").dtype
        return [TensorType(shape, dtype) for shape in (sizes.y_shape(layout), state, state)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, step by step."""
        x, w, r, bias, h0, c0, peepholes = self._inputs(inputs)
        layout, clip = node.attrs["layout"], self.attr(node, "clip")
        x = by_steps(x, layout)
        sizes = sizes_of_arrays(x, w, r)
        h, c = (np.array(state_in(state, sizes, layout, x.dtype)) for state in (h0, c0))
        y = np.zeros(sizes.y_shape(0), x.dtype)
        for d, order in enumerate(steps_in_order(node, sizes)):
            b = np.zeros(4 * sizes.hidden, x.dtype) if bias is None else bias[d].reshape(2, -1).sum(axis=0)
            p = np.zeros((3, sizes.hidden), x.dtype) if peepholes is None else peepholes[d].reshape(3, -1)
            for t in order:
                i, o, f, g = np.split(x[t] @ w[d].T + h[d] @ r[d].T + b, 4, axis=1)
                i, f = (np.clip(v, -clip, clip) for v in (i + p[0] * c[d], f + p[2] * c[d]))
                i = _sigmoid(i)
                f = 1 - i if self.attr(node, "input_forget") else _sigmoid(f)
                c[d] = f * c[d] + i * np.tanh(np.clip(g, -clip, clip))
                h[d] = _sigmoid(np.clip(o + p[1] * c[d], -clip, clip)) * np.tanh(c[d])
                y[t, d] = h[d]
        return states_out(y, (h, c), layout)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call; scratch holds the four gates, the state and the cell."""
        extra: dict[str, ParamValue] = {"input_forget": int(self.attr(node, "input_forget")), "linear_before_reset": 0}
        return self._calls(node, graph, 6, extra)


class GRU(_Recurrent):
    """Gated recurrent unit. Source: ONNX GRU-22. Inputs: X, W, R, B, initial_h; outputs: Y, Y_h.

    Gates are in ONNX's order: update, reset, candidate.
    """

    name = "GRU"
    arity = (3, 5)
    attributes = {"direction": "forward", "layout": 0, "clip": math.inf, "linear_before_reset": False}
    gates = 3
    kernel = "ew_gru_f32"

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: W [directions, 3 hidden, input], R [directions, 3 hidden, hidden], B [directions, 6 hidden]."""
        sizes, layout = self._sizes(node, inputs), node.attrs["layout"]
        _, _, _, bias, h = self._inputs(inputs)
        state = sizes.state_shape(layout)
        check_shape(node, bias, (sizes.directions, 6 * sizes.hidden), "bias")
        check_shape(node, h, state, "initial_h")
        dtype = required(inputs[0], node, "X").dtype
        return [TensorType(shape, dtype) for shape in (sizes.y_shape(layout), state)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, step by step."""
        x, w, r, bias, h0 = self._inputs(inputs)
        layout, clip = node.attrs["layout"], self.attr(node, "clip")
        x = by_steps(x, layout)
        sizes = sizes_of_arrays(x, w, r)
        n = sizes.hidden
        h = np.array(state_in(h0, sizes, layout, x.dtype))
        y = np.zeros(sizes.y_shape(0), x.dtype)
        for d, order in enumerate(steps_in_order(node, sizes)):
            wb, rb = np.zeros((2, 3 * n), x.dtype) if bias is None else bias[d].reshape(2, -1)
            for t in order:
                wx = x[t] @ w[d].T + wb
                gates = wx[:, : 2 * n] + h[d] @ r[d, : 2 * n].T + rb[: 2 * n]
                update, reset = np.split(_sigmoid(np.clip(gates, -clip, clip)), 2, axis=1)
                if self.attr(node, "linear_before_reset"):
                    inner = reset * (h[d] @ r[d, 2 * n :].T + rb[2 * n :])
                else:
                    inner = (reset * h[d]) @ r[d, 2 * n :].T + rb[2 * n :]
                candidate = np.tanh(np.clip(wx[:, 2 * n :] + inner, -clip, clip))
                h[d] = (1 - update) * candidate + update * h[d]
                y[t, d] = h[d]
        return states_out(y, (h,), layout)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call; scratch holds the three gates, a product and the state."""
        linear = int(self.attr(node, "linear_before_reset"))
        return self._calls(node, graph, 5, {"input_forget": 0, "linear_before_reset": linear})


def _attributes(foreign: Any, activations: tuple[str, ...]) -> dict[str, Any]:
    """The attributes that both layers have; what no kernel does is refused."""
    direction, layout = foreign.attrs.get("direction", "forward"), int(foreign.attrs.get("layout", 0))
    if direction not in DIRECTIONS:
        raise ShapeError(f"direction '{direction}' is none of {', '.join(DIRECTIONS)}")
    wanted = activations * (2 if direction == "bidirectional" else 1)
    names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in foreign.attrs.get("activations", ()))
    if names and tuple(n.lower() for n in names) != tuple(n.lower() for n in wanted):
        foreign.unsupported(f"activations {', '.join(names)}; the kernels have {', '.join(wanted)}")
    if foreign.has(4):
        lengths, steps = foreign.constant(4, "sequence_lens"), foreign.tensor(0).shape[layout]
        if (lengths != steps).any():
            foreign.unsupported(f"sequence_lens {lengths.reshape(-1).tolist()} other than all {steps} steps")
    hidden = foreign.tensor(2).shape[-1]
    if foreign.attrs.get("hidden_size", hidden) != hidden:
        raise ShapeError(f"hidden_size {foreign.attrs['hidden_size']} and R {list(foreign.tensor(2).shape)} do not fit")
    clip = float(foreign.attrs.get("clip", math.inf))
    if not clip > 0:
        raise ShapeError(f"clip {clip} is not a positive number")
    return {"direction": direction, "layout": layout, "clip": clip}


def _inputs(foreign: Any, indices: Sequence[int]) -> list[str]:
    return [foreign.tensor(i).name if foreign.has(i) else "" for i in indices]


@from_onnx("LSTM")
def _lstm(foreign: Any) -> None:
    attrs = _attributes(foreign, ("Sigmoid", "Tanh", "Tanh"))
    coupled = bool(foreign.attrs.get("input_forget", 0))
    foreign.emit_all("LSTM", _inputs(foreign, (0, 1, 2, 3, 5, 6, 7)), input_forget=coupled, **attrs)


@from_onnx("GRU")
def _gru(foreign: Any) -> None:
    attrs = _attributes(foreign, ("Sigmoid", "Tanh"))
    linear = bool(foreign.attrs.get("linear_before_reset", 0))
    foreign.emit_all("GRU", _inputs(foreign, (0, 1, 2, 3, 5)), linear_before_reset=linear, **attrs)


def _case(
    op: str, name: str, gates: int, *, steps: int = 5, batch: int = 1, x: int = 3, hidden: int = 4, d: int = 1,
    bias: bool = True, states: Sequence[Any] = (), outputs: int = 1, opset: int = 17, **attrs: Any,
) -> Case:  # fmt: skip
    """A node with seeded weights; `states` are inputs 5 and on, as functions of the state's shape."""
    layout = attrs.get("layout", 0)
    w, r = weights(d, gates * hidden, x), weights(d, gates * hidden, hidden, seed=2)
    b = weights(d, 2 * gates * hidden, seed=3) if bias else None
    state = (d, batch, hidden) if layout == 0 else (batch, d, hidden)
    data = given(steps, batch, x) if layout == 0 else given(batch, steps, x)
    inputs = (data, w, r, b, *([None, *(make(state) for make in states)] if states else []))
    return Case(op, name, inputs, {"hidden_size": hidden, **attrs}, opset=opset, outputs=outputs)


def _given(shape: Shape) -> Shape:
    return given(*shape)


def _none(shape: Shape) -> None:
    return None


def _fixed(seed: int) -> Callable[[Shape], Array]:
    return lambda shape: weights(*shape, seed=seed)


def _peepholes(shape: Shape) -> Array:
    return weights(shape[0], 3 * shape[2], seed=6)


_BOTH: dict[str, Any] = {"d": 2, "direction": "bidirectional"}
_SHORT: dict[str, Any] = {"activations": ["Sigmoid", "Tanh"]}

cases(
    _case("LSTM", "plain", 4),
    _case("LSTM", "outputs", 4, outputs=3),
    _case("LSTM", "no_bias", 4, bias=False, opset=7),
    _case("LSTM", "batch", 4, batch=3, hidden=5, outputs=3),
    _case("LSTM", "reverse", 4, direction="reverse", outputs=3),
    _case("LSTM", "bidirectional", 4, batch=2, outputs=3, **_BOTH),
    _case("LSTM", "initial", 4, states=(_given, _fixed(5)), outputs=3),
    _case("LSTM", "initial_c", 4, states=(_none, _given), outputs=3, opset=14),
    _case("LSTM", "peepholes", 4, batch=2, states=(_fixed(4), _fixed(5), _peepholes), outputs=3),
    _case("LSTM", "clip", 4, clip=0.25, outputs=3),
    _case("LSTM", "input_forget", 4, input_forget=1, outputs=3),
    _case("LSTM", "layout", 4, batch=2, layout=1, outputs=3, hidden=8),
    _case("LSTM", "one_unit", 4, steps=1, x=1, hidden=1, outputs=3),
    _case("LSTM", "activations", 4, activations=["Sigmoid", "Tanh", "Tanh"]),
    _case("GRU", "plain", 3),
    _case("GRU", "outputs", 3, outputs=2, opset=7),
    _case("GRU", "linear_before_reset", 3, linear_before_reset=1, outputs=2),
    _case("GRU", "no_bias", 3, bias=False, linear_before_reset=1),
    _case("GRU", "bidirectional", 3, batch=2, hidden=5, linear_before_reset=1, outputs=2, **_BOTH),
    _case("GRU", "reverse", 3, direction="reverse", states=(_given,), outputs=2, opset=14),
    _case("GRU", "clip", 3, clip=0.25, outputs=2, **_SHORT),
    _case("GRU", "layout", 3, batch=2, layout=1, states=(_given,), outputs=2, hidden=8),
)

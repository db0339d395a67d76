"""Recurrent layers in integers: QLSTM and QGRU. Arithmetic: docs/ARITHMETIC.md, "Recurrent layers"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import Operator, describe, required
from edgewright.ops.q_core import (
    OUTPUT_ATTRIBUTES,
    Q8,
    QUANTIZED,
    IntegerMatch,
    Quantized,
    QuantizedConstant,
    from_float,
    limits,
    output_type,
    requantize,
    shifted,
)
from edgewright.ops.recurrent import (
    Sizes,
    by_steps,
    check_shape,
    float_rule,
    sizes_of,
    sizes_of_arrays,
    state_in,
    states_out,
    steps_in_order,
)
from edgewright.ops.recurrent_numbers import (
    PRODUCT_BITS,
    STATE_BITS,
    SUM_BITS,
    TANH_BITS,
    logistic_q,
    next_state,
    reset_bits,
    state_from_float,
    state_to_float,
    tanh_q,
)


class _QRecurrent(Operator):
    """What the integer layers share. W and R are int8; multipliers int32 and bias int64 [directions, rows]."""

    attributes = {"direction": ..., "layout": ..., "shift": ..., "x_zero": ..., "y_scale": ..., **OUTPUT_ATTRIBUTES}
    zeros = ("x_zero",)
    dtypes = QUANTIZED
    has_kernel = False
    folds_at_import = False
    gates: ClassVar[int]

    def _checked(self, node: Node, inputs: Sequence[Tensor | None]) -> Sizes:
        names = ("X", "W", "R", "w_multiplier", "r_multiplier", "bias")
        x, w, r, w_by, r_by, bias = (required(t, node, n) for t, n in zip(inputs, names, strict=False))
        sizes = sizes_of(node, x, w, r, self.gates)
        rows = w.shape[:2]
        if {w_by.type, r_by.type} != {TensorType(rows, DType.S32)} or bias.type != TensorType(rows, DType.S64):
            raise ShapeError(f"{describe(node)}: multipliers or bias do not fit {list(rows)} rows")
        if {w.dtype, r.dtype} != {DType.S8} or not 1 <= node.attrs["shift"] <= 62:
            raise ShapeError(f"{describe(node)}: weights are {w.dtype.value}, the shift is {node.attrs['shift']}")
        return sizes

    def macs(self, node: Node, graph: Graph) -> int:
        """One for each weight and step."""
        s = self._checked(node, [graph.tensors[name] if name else None for name in node.inputs])
        return s.directions * s.batch * s.steps * self.gates * s.hidden * (s.input + s.hidden)


def y_factor(node: Node) -> float:
    """From the fixed point of what is rounded to y, to y's steps: a float32 number."""
    bits = PRODUCT_BITS if node.op == "QLSTM" else STATE_BITS
    return float(np.float32(2.0**-bits) / np.float32(node.attrs["y_scale"]))


def _sums(parts: Sequence[tuple[Array, Array]], bias: Array, shift: int) -> Array:
    """(sum of accumulator * multiplier, + bias) >> shift, rounded half up. Shapes: int64 [batch, rows] and [rows]."""
    total = bias.astype(np.int64) + (np.int64(1) << (shift - 1))
    for accumulator, multiplier in parts:
        total = total + accumulator * multiplier.astype(np.int64)
    return total >> shift


def _padded(inputs: Sequence[Any]) -> list[Any]:
    """All eight inputs, None where one is left out."""
    return [*inputs, *[None] * (8 - len(inputs))]


def _dot(x: Array, w: Array) -> Array:
    """Exact sums of products (below 2^53). Shapes: x [batch, in] float64, w [rows, in] -> int64 [batch, rows]."""
    return np.asarray((x @ w.astype(np.float64).T).astype(np.int64))


class QLSTM(_QRecurrent):
    """LSTM on integers. Inputs: X, W, R, w_multiplier, r_multiplier, bias, initial_h (as Y), initial_c (float32).

    Outputs: Y and Y_h in integers, Y_c in float32.
    """

    name = "QLSTM"
    arity = (6, 8)
    gates = 4

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: as LSTM."""
        sizes, layout = self._checked(node, inputs), node.attrs["layout"]
        state = sizes.state_shape(layout)
        h, c = _padded(inputs)[6:]
        check_shape(node, h, state, "initial_h")
        check_shape(node, c, state, "initial_c")
        if (h is not None and h.dtype is not node.attrs["dtype"]) or (c is not None and c.dtype is not DType.F32):
            raise ShapeError(f"{describe(node)}: an initial state of another type")
        return [output_type(node, sizes.y_shape(layout)), output_type(node, state), TensorType(state, DType.F32)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, step by step, in int64."""
        x, w, r, w_by, r_by, bias, h0, c0 = _padded(inputs)
        a, layout = node.attrs, node.attrs["layout"]
        x = by_steps(shifted(x, a["x_zero"]), layout)
        sizes = sizes_of_arrays(x, w, r)
        h = np.array(state_in(h0, sizes, layout, a["dtype"].numpy, a["y_zero"]))
        c = state_from_float(state_in(c0, sizes, layout))
        y = np.zeros(sizes.y_shape(0), a["dtype"].numpy)
        for d, order in enumerate(steps_in_order(node, sizes)):
            for t in order:
                sums = ((_dot(x[t], w[d]), w_by[d]), (_dot(shifted(h[d], a["y_zero"]), r[d]), r_by[d]))
                i, o, f, g = np.split(_sums(sums, bias[d], a["shift"]), 4, axis=1)
                c[d] = next_state(logistic_q(f), c[d], logistic_q(i) * tanh_q(g) * 16)
                product = logistic_q(o) * tanh_q((c[d] + 8) >> (STATE_BITS - SUM_BITS))
                h[d] = requantize((product + (1 << 10)) >> (17 + TANH_BITS - PRODUCT_BITS), y_factor(node), node)
                y[t, d] = h[d]
        return states_out(y, (h, state_to_float(c)), layout)


class QGRU(_QRecurrent):
    """GRU on integers. Inputs: X, W, R, w_multiplier, r_multiplier, bias, r_bias (int64), initial_h (float32).

    `bias` is the whole of a gate's; only with linear_before_reset the candidate has an r_bias of its own.
    Outputs: Y and Y_h in integers, and the last state in float32, which has more digits.
    """

    name = "QGRU"
    arity = (6, 8)
    attributes = {**_QRecurrent.attributes, "linear_before_reset": False}
    gates = 3

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: as GRU; r_bias [directions, hidden]."""
        sizes, layout = self._checked(node, inputs), node.attrs["layout"]
        state = sizes.state_shape(layout)
        r_bias, h = _padded(inputs)[6:]
        check_shape(node, r_bias, (sizes.directions, sizes.hidden), "r_bias")
        check_shape(node, h, state, "initial_h")
        a = node.attrs
        linear = bool(self.attr(node, "linear_before_reset"))
        if (r_bias is not None) is not linear or (not linear and a["dtype"] not in Q8 and a["y_zero"] != 0):
            raise ShapeError(f"{describe(node)}: linear_before_reset is {linear}, which its inputs do not fit")
        if (r_bias is not None and r_bias.dtype is not DType.S64) or (h is not None and h.dtype is not DType.F32):
            raise ShapeError(f"{describe(node)}: a bias or an initial state of another type")
        return [output_type(node, sizes.y_shape(layout)), output_type(node, state), TensorType(state, DType.F32)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, step by step, in int64."""
        x, w, r, w_by, r_by, bias, r_bias, h0 = _padded(inputs)
        a, layout = node.attrs, node.attrs["layout"]
        x = by_steps(shifted(x, a["x_zero"]), layout)
        sizes = sizes_of_arrays(x, w, r)
        n, shift = sizes.hidden, a["shift"]
        exact = state_from_float(state_in(h0, sizes, layout))
        y = np.zeros(sizes.y_shape(0), a["dtype"].numpy)
        h = requantize(exact, y_factor(node), node)
        for d, order in enumerate(steps_in_order(node, sizes)):
            for t in order:
                real = shifted(h[d], a["y_zero"])
                from_x, from_h = _dot(x[t], w[d]), _dot(real, r[d, : 2 * n])
                parts = ((from_x[:, : 2 * n], w_by[d, : 2 * n]), (from_h, r_by[d, : 2 * n]))
                update, reset = np.split(logistic_q(_sums(parts, bias[d, : 2 * n], shift)), 2, axis=1)
                own = (from_x[:, 2 * n :], w_by[d, 2 * n :])
                if r_bias is not None:
                    inner = _sums(((_dot(real, r[d, 2 * n :]), r_by[d, 2 * n :]),), r_bias[d], shift)
                    u = _sums((own,), bias[d, 2 * n :], shift) + ((reset * inner + (1 << 16)) >> 17)
                else:
                    down = 17 - reset_bits(a["dtype"])
                    kept = (reset * real.astype(np.int64) + (1 << (down - 1))) >> down
                    parts = (own, (_dot(kept.astype(np.float64), r[d, 2 * n :]), r_by[d, 2 * n :]))
                    u = _sums(parts, bias[d, 2 * n :], shift)
                exact[d] = next_state(update, exact[d], ((1 << 17) - update) * tanh_q(u) * 16)
                h[d] = requantize(exact[d], y_factor(node), node)
                y[t, d] = h[d]
        return states_out(y, (h, state_to_float(exact)), layout)


@dataclass(frozen=True, eq=False)
class _Scaled:
    """Integer weights, and what their sums are multiplied by. Shapes: [directions, rows, ...]."""

    values: Array  # int8
    real: Array  # float64: from an exact sum to the argument of an activation
    reach: Array  # the largest exact sum there can be


def _weights(match: IntegerMatch, index: int, scale: np.float32, reach: int, halves: Array) -> _Scaled | None:
    """The weights at an input, or None where they are not int8 with a scale a row."""
    found: QuantizedConstant | None = match.constant(index)
    if found is None or found.scale.shape[-1] != 1:
        return None
    values = found.values.astype(np.int64) - found.zero
    if values.min() < -128 or values.max() > 127:
        return None
    scales = np.broadcast_to(found.scale[..., 0].astype(np.float64), values.shape[:2])
    return _Scaled(values.astype(np.int8), float(scale) * scales * halves, np.abs(values).sum(axis=2) * float(reach))


def _fixed_point(parts: Sequence[_Scaled], bias: Array) -> tuple[int, list[Array]] | None:
    """Return the shift and the multipliers of each part; None where the sums leave what 64 bits hold.

    The largest shift for which multipliers fit 31 bits, sums 62, and results 31. Shapes: bias [directions, rows].
    """
    for shift in range(44, 0, -1):
        unit = 2.0 ** (SUM_BITS + shift)
        multipliers = [np.rint(part.real * unit) for part in parts]
        largest = np.abs(bias * unit) + sum(part.reach * by for part, by in zip(parts, multipliers, strict=True))
        if max(by.max() for by in multipliers) < 2**31 and largest.max() < min(2.0**61, 2.0 ** (30 + shift)):
            return shift, [by.astype(np.int32) for by in multipliers]
    return None


def _bias_steps(bias: Array, shift: int) -> Array:
    return np.rint(bias * 2.0 ** (SUM_BITS + shift)).astype(np.int64)


def _reach(q: Quantized) -> int:
    return max(abs(edge - q.zero) for edge in limits(q.dtype))


def _biases(match: IntegerMatch, directions: int, rows: int) -> tuple[Array, Array] | None:
    """The biases of W and of R in float64, or None where they are computed at run time. Shapes: [directions, rows]."""
    if len(match.node.inputs) < 4 or not match.node.inputs[3]:
        return np.zeros((directions, rows)), np.zeros((directions, rows))
    real = match.real(3)
    return None if real is None else (real[:, :rows], real[:, rows:])


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A float layer that can be an integer one."""

    x: Quantized
    w: _Scaled
    r: _Scaled
    bias: tuple[Array, Array]
    attrs: dict[str, Any]


def _prepared(match: IntegerMatch, gates: int) -> _Prepared | None:
    """What both layers need; the last gate's rows go into a tanh, the others into a logistic function."""
    node, output = match.node, match.output
    x = match.quantized(0)
    state_only = match.which == 1
    if x is None or match.which > 1 or (state_only and match.is_used(0)) or not float_rule(node.op).is_plain(node):
        return None
    if (output.act_min, output.act_max) != limits(output.dtype):
        return None  # a clamp behind Y does not act on the state
    hidden = match.shape(2)[2]
    halves = np.repeat([0.5] * (gates - 1) + [1.0], hidden)
    y = Quantized("", output.dtype, output.scale, output.zero)
    w = _weights(match, 1, x.scale, _reach(x), halves)
    r = _weights(match, 2, output.scale, _reach(y), halves)
    bias = _biases(match, match.shape(1)[0], gates * hidden)
    if w is None or r is None or bias is None:
        return None
    attrs = {"direction": node.attrs["direction"], "layout": node.attrs["layout"], "x_zero": x.zero,
             "y_scale": float(output.scale), **output.attrs}  # fmt: skip
    return _Prepared(x, w, r, (bias[0] * halves, bias[1] * halves), attrs)


def _initial(match: IntegerMatch, index: int) -> str:
    """A float initial state, "" where there is none or it is 0."""
    name: str = match.node.inputs[index] if len(match.node.inputs) > index else ""
    zeros = match.real(index) if name else None
    return "" if zeros is not None and not zeros.any() else name


@from_float("LSTM")
def _lstm(match: IntegerMatch) -> bool:
    node, output = match.node, match.output
    found = _prepared(match, 4)
    if found is None:
        return False
    bias = found.bias[0] + found.bias[1]
    numbers = _fixed_point((found.w, found.r), bias)
    if numbers is None:
        return False
    shift, by = numbers
    constants = _constants(match, found, by, {"bias": _bias_steps(bias, shift)})
    h, c = _initial(match, 4), _initial(match, 5)
    scale, zero = float(output.scale), output.zero
    if h:
        h = match.emit("Quantize", [h], final=False, scale=scale, zero=zero, dtype=output.dtype)
    y_h: str | None = match.result if match.which == 1 else None if match.is_used(1) else ""
    names = ("" if match.which == 1 else match.result, y_h, node.outputs[2])
    made = match.emit_all("QLSTM", [found.x.tensor, *constants, h, c], names, shift=shift, **found.attrs)
    if y_h is None:  # the last state has Y's scale: whoever wants another converts it
        match.emit_all("Dequantize", [made[1]], (node.outputs[1],), scale=scale, zero=zero)
    return True


@from_float("GRU")
def _gru(match: IntegerMatch) -> bool:
    node, output = match.node, match.output
    found = _prepared(match, 3)
    linear = bool(node.attrs.get("linear_before_reset", False))
    if found is None or (not linear and output.dtype not in Q8 and output.zero != 0):
        return False
    rows = 2 * match.shape(2)[2]  # those of update and reset gate
    w_bias, r_bias = found.bias
    r = found.r
    if not linear:
        finer = np.where(np.arange(r.real.shape[1]) < rows, 1.0, 2.0 ** reset_bits(output.dtype))
        r = _Scaled(r.values, r.real / finer, r.reach * finer)
    numbers = _fixed_point((found.w, r), np.abs(w_bias) + np.abs(r_bias))
    if numbers is None:
        return False
    shift, by = numbers
    whole = w_bias + r_bias
    extra = {"bias": _bias_steps(whole, shift)}
    if linear:
        whole[:, rows:] = w_bias[:, rows:]
        extra = {"bias": _bias_steps(whole, shift), "r_bias": _bias_steps(r_bias[:, rows:], shift)}
    constants = [*_constants(match, found, by, extra), *([] if linear else [""])]
    y, y_h, exact = (match.result, "", node.outputs[1]) if match.which == 0 else ("", match.result, "")
    match.emit_all(
        "QGRU", [found.x.tensor, *constants, _initial(match, 4)], (y, y_h, exact), shift=shift,
        linear_before_reset=linear, **found.attrs,
    )  # fmt: skip
    return True


def _constants(
    match: IntegerMatch, found: _Prepared, multipliers: Sequence[Array], extra: Mapping[str, Array]
) -> list[str]:
    named = {"weights": found.w.values, "recurrence": found.r.values, "w_multiplier": multipliers[0],
             "r_multiplier": multipliers[1], **extra}  # fmt: skip
    return [match.add_constant(f"{match.node.name}.{hint}", values) for hint, values in named.items()]

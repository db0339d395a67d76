"""A layer's weights and bias as integers, with a proof that no accumulator leaves int32.

With 16-bit activations kernels have 64-bit accumulators where that cannot be proven (docs/ARITHMETIC.md): there only
the bias has to fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.errors import QuantizationError
from edgewright.ir import Array, Node
from edgewright.ops.core import describe
from edgewright.quantization.layers import Moments, as_matrix
from edgewright.quantization.params import INT32_MAX, SMALLEST_SCALE, IntegerConstant, QuantParams, weight_limits
from edgewright.quantization.rounding import Rounded, round_weights

BIAS_STEPS = 2**20  # of a channel whose weights are all 0: its bias alone decides the scale


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A layer in integers. `headroom` is int32's limit over the largest sum that any input can lead to."""

    weights: IntegerConstant
    bias: IntegerConstant
    rounded: Rounded
    headroom: float


def integer_layer(
    node: Node, weights: Array, bias: Array, x: QuantParams, bits: int, m: Moments | None, *,
    adaptive: bool, per_tensor: bool, corrected: bool, deadline: float,
) -> IntegerLayer:  # fmt: skip
    """Round a layer's weights, correct its bias, and prove its sums.

    `x` are the parameters of its input; with `corrected`, the bias takes up the mean error of the outputs.
    Raises: QuantizationError naming the layer where a sum could leave int32.
    """
    wide = as_matrix(node, weights).astype(np.float64)
    done = round_weights(wide, bits, m, adaptive=adaptive, per_tensor=per_tensor, deadline=deadline)
    real_bias = bias.astype(np.float64)
    if corrected and m is not None:
        rounded = done.integers * done.scale[:, :, None]
        shift = np.einsum("gok,gk->go", wide, m.mean_float) - np.einsum("gok,gk->go", rounded, m.mean_quantized)
        real_bias = real_bias + shift.reshape(-1)
    done = _room_for_bias(wide, done, real_bias, x, bits, per_tensor)
    return _assembled(node, weights.shape, done, real_bias, x, bits, per_tensor)


def _room_for_bias(
    weights: Array, done: Rounded, bias: Array, x: QuantParams, bits: int, per_tensor: bool
) -> Rounded:
    """Widen the scales of channels whose weights are so small beside their bias that it would leave int32."""
    empty = np.abs(done.integers).max(axis=2, initial=0) == 0
    limit = np.where(empty, BIAS_STEPS, INT32_MAX // 4)
    least = np.abs(bias.reshape(done.scale.shape)) / (float(x.scale) * limit)
    if per_tensor:
        least = np.full_like(least, least.max(initial=0.0, where=~empty))
    small = done.scale < least
    unused = empty & (bias.reshape(done.scale.shape) == 0) & (not per_tensor)
    if not small.any() and not unused.any():
        return done
    scale = np.where(small, least, done.scale)
    scale = np.where(unused, float(np.median(scale[~unused])) if not unused.all() else 1.0, scale)
    scale = np.maximum(scale.astype(np.float32), SMALLEST_SCALE).astype(np.float64)
    low, high = weight_limits(bits)
    again = np.clip(np.rint(weights / scale[:, :, None]), low, high).astype(np.int64)
    integers = np.where((small | unused)[:, :, None], again, done.integers)
    return Rounded(integers, scale, done.method, done.gain_db)


def _assembled(
    node: Node, shape: tuple[int, ...], done: Rounded, bias: Array, x: QuantParams, bits: int, per_tensor: bool
) -> IntegerLayer:
    low, high = weight_limits(bits)
    scale = done.scale.reshape(-1).astype(np.float32)
    params = (
        QuantParams(np.array(scale[0]), 0, bits, low, high)
        if per_tensor
        else QuantParams(scale, 0, bits, low, high, axis=0)
    )
    integers = done.integers.reshape(shape)
    bias_scale = (np.float32(x.scale) * scale).astype(np.float32)
    steps = np.rint(bias / bias_scale.astype(np.float64))
    sums = reach(integers, x) + np.abs(steps)
    worst = float(sums.max())
    if not (worst if x.bits == 8 else float(np.abs(steps).max())) <= INT32_MAX:
        raise QuantizationError(
            f"{describe(node)}: its accumulator can reach {worst:,.0f}, beyond int32's {INT32_MAX:,}. "
            "Keep the layer in float (--keep-float), or split it."
        )
    bias_params = (
        QuantParams(np.array(bias_scale[0]), 0, 32, -INT32_MAX, INT32_MAX)
        if per_tensor
        else QuantParams(bias_scale, 0, 32, -INT32_MAX, INT32_MAX, axis=0)
    )
    return IntegerLayer(
        IntegerConstant(integers.astype(np.int8), params),
        IntegerConstant(steps.astype(np.int32), bias_params),
        done,
        INT32_MAX / max(worst, 1.0),
    )


def reach(integers: Array, x: QuantParams) -> Array:
    """Return how large the sum of products can grow in each channel, whatever the input and the order of summation.

    Shapes: integers [channels, ...]; the result [channels].
    """
    farthest = max(abs(x.low - x.zero), abs(x.high - x.zero))
    return np.asarray(np.abs(integers).reshape(len(integers), -1).sum(axis=1).astype(np.float64) * farthest)

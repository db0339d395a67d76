"""How real numbers stand in integers: scales, zero points, and what quantization decided for a whole graph.

Values only: nothing here runs a network or knows a file format. `real = (q - zero) * scale`, in float32, is what
docs/ARITHMETIC.md and ONNX's QuantizeLinear and DequantizeLinear say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edgewright.errors import QuantizationError
from edgewright.ir import Array, DType

INT32_MAX = 2**31 - 1
SMALLEST_SCALE = np.float32(2.0**-60)  # products of two scales stay normal float32 numbers
SCALE_OF_NOTHING = np.float32(2.0**-8)  # of a tensor that is always 0

_CONTAINERS = {4: DType.S8, 8: DType.S8, 16: DType.S16, 32: DType.S32}


@dataclass(frozen=True, eq=False)
class QuantParams:
    """Scale and zero point of a tensor.

    Shapes: `scale` is () or, for constants with a scale for each slice along `axis`, (slices,).
    `low` and `high` bound the integers, inclusive. 4 bits are held in int8.
    """

    scale: Array
    zero: int
    bits: int
    low: int
    high: int
    axis: int | None = None

    @property
    def dtype(self) -> DType:
        """The type that holds the integers here."""
        return _CONTAINERS[self.bits]

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest real number that a tensor with one scale can hold."""
        step = float(self.scale)
        return (self.low - self.zero) * step, (self.high - self.zero) * step

    def spread(self, rank: int) -> Array:
        """Return the scale in a shape that broadcasts to a tensor of some rank."""
        if self.axis is None:
            return self.scale
        return self.scale.reshape(tuple(-1 if i == self.axis else 1 for i in range(rank)))

    def to_integers(self, values: Array) -> Array:
        """Round to the nearest integers, half to even, within low and high."""
        steps = np.asarray(values, np.float32) / self.spread(np.ndim(values))
        bounded = np.clip(np.rint(steps), self.low - self.zero, self.high - self.zero)
        return (bounded + np.float32(self.zero)).astype(self.dtype.numpy)

    def to_real(self, integers: Array) -> Array:
        """Return what integers stand for, in float32."""
        wide = integers.astype(np.int64) - self.zero
        return wide.astype(np.float32) * self.spread(integers.ndim)

    def rounded(self, values: Array) -> Array:
        """Return float32 values as they are after a way through integers."""
        values = np.asarray(values, np.float32)
        scale = self.spread(values.ndim)
        steps = np.rint(values / scale)
        np.clip(steps, self.low - self.zero, self.high - self.zero, out=steps)
        steps *= scale
        return steps


@dataclass(frozen=True, eq=False)
class IntegerConstant:
    """A constant as integers."""

    values: Array
    params: QuantParams

    @property
    def real(self) -> Array:
        """What it stands for, in float32."""
        return self.params.to_real(self.values)


@dataclass(frozen=True, eq=False)
class Quantization:
    """What was decided for a graph: tensors and constants that are in neither mapping stay float."""

    activations: Mapping[str, QuantParams]
    constants: Mapping[str, IntegerConstant]
    integer_io: bool = False  # the model's own inputs and outputs are integers
    notes: Mapping[str, str] = field(default_factory=dict)  # by node: what is special about it


def _checked_scale(step: float, what: str) -> Array:
    if not math.isfinite(step):
        raise QuantizationError(f"{what}: its range is not finite")
    scale = np.float32(max(step, float(SMALLEST_SCALE)))
    if not np.isfinite(scale):
        raise QuantizationError(f"{what}: its scale {step:.3g} does not fit float32")
    return np.array(scale, np.float32)


def activation_params(low: float, high: float, bits: int, what: str) -> QuantParams:
    """Return the parameters that hold [low, high] and, exactly, 0.

    8 bits are asymmetric; 16 bits are symmetric, so that a product needs no correction for the zero point.
    Raises: QuantizationError, with `what` in it, where the range is not finite.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if bits == 16:
        top = 2**15 - 1
        reach = max(-low, high)
        scale = _checked_scale(reach / top, what) if reach else np.array(SCALE_OF_NOTHING, np.float32)
        return QuantParams(scale, 0, 16, -top - 1, top)
    if high == low:
        return QuantParams(np.array(SCALE_OF_NOTHING, np.float32), 0, 8, -128, 127)
    scale = _checked_scale((high - low) / 255, what)
    zero = int(np.clip(np.rint(-128 - low / float(scale)), -128, 127))
    return QuantParams(scale, zero, 8, -128, 127)


def fixed_params(low: int, bits: int) -> QuantParams:
    """Return the parameters of a function whose range is [low, 1], with low 0 or -1: steps of a power of two."""
    if bits == 16:
        return QuantParams(np.array(2.0**-15, np.float32), 0, 16, -(2**15), 2**15 - 1)
    step, zero = (2.0**-8, -128) if low == 0 else (2.0**-7, 0)
    return QuantParams(np.array(step, np.float32), zero, 8, -128, 127)


def weight_limits(bits: int) -> tuple[int, int]:
    """Return the integers that weights may be: symmetric in 8 bits, so that sums of two products fit 16 bits; all in 4.

    -128 is left out because (-128)^2 * 2 leaves int16, which some processors' multipliers saturate to.
    """
    return (-8, 7) if bits == 4 else (-(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1)


def constant_params(values: Array, axis: int | None = None) -> QuantParams:
    """Return symmetric 8-bit parameters of a constant, with a scale for each slice along `axis` where that is given."""
    low, high = weight_limits(8)
    others = tuple(i for i in range(values.ndim) if i != axis)
    reach = np.abs(values.astype(np.float64)).max(axis=None if axis is None else others, initial=0.0)
    steps = np.maximum(np.where(reach > 0, reach / high, SCALE_OF_NOTHING), SMALLEST_SCALE)
    if not np.isfinite(steps.astype(np.float32)).all():
        raise QuantizationError("a constant's range is not finite")
    return QuantParams(steps.astype(np.float32), 0, 8, low, high, axis)

"""Tensors that operators make of a few constants, at import: Range, ConstantOfShape, windows, MelWeightMatrix.

On a device they would have another size each time. Where a model takes the constants as inputs, `--bind` gives them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgewright.errors import ShapeError, UnsupportedError
from edgewright.ir import Array, DType
from edgewright.ops.core import Case, cases, from_onnx, ints, refuse

_MOST = 1 << 25  # elements of a constant; onnx_folding has the same limit
_ELEM_TYPES: Mapping[int, DType] = {  # of output_datatype; onnx.TensorProto.DataType
    1: DType.F32, 2: DType.U8, 3: DType.S8, 4: DType.U16, 5: DType.S16, 6: DType.S32, 7: DType.S64, 10: DType.F16,
    11: DType.F64, 12: DType.U32, 13: DType.U64,
}  # fmt: skip


def _scalar(foreign: Any, index: int, what: str) -> Any:
    values = foreign.constant(index, what)
    if values.size != 1:
        raise ShapeError(f"its '{what}' is {list(values.shape)}, and should be one number")
    return values.reshape(())[()]


def _checked(elements: int) -> int:
    if elements > _MOST:
        raise UnsupportedError(f"it makes a constant of {elements:,} elements; the limit is {_MOST:,}")
    return elements


def _give(foreign: Any, values: Array) -> None:
    """The only output is a constant."""
    name = foreign.add_constant(f"{foreign.name}.value", values)
    foreign.emit("Reshape", [name], final=0, shape=tuple(values.shape))


@from_onnx("Range")
def _range(foreign: Any) -> None:
    """Source: ONNX Range-27: ceil((limit - start) / delta) numbers."""
    start, limit, delta = (_scalar(foreign, index, what) for index, what in enumerate(("start", "limit", "delta")))
    if not (np.isfinite([start, limit, delta]).all() and delta != 0):
        raise ShapeError(f"a range from {start} to {limit} by {delta}")
    count = _checked(max(math.ceil((float(limit) - float(start)) / float(delta)), 0))
    wide = np.float64 if start.dtype.kind == "f" else np.int64
    _give(foreign, (wide(start) + np.arange(count) * wide(delta)).astype(start.dtype))


@from_onnx("ConstantOfShape")
def _constant_of_shape(foreign: Any) -> None:
    """Source: ONNX ConstantOfShape-25."""
    shape = tuple(int(size) for size in foreign.constant(0, "shape").reshape(-1))
    value = np.asarray(foreign.attrs.get("value", np.zeros(1, np.float32)))
    if value.size != 1 or min(shape, default=0) < 0:
        raise ShapeError(f"a constant of shape {list(shape)} and {value.size} values")
    _checked(math.prod(shape))
    _give(foreign, np.full(shape, value.reshape(())))


def _typed(foreign: Any, values: Array) -> Array:
    """The values in the type that output_datatype asks for."""
    number = int(foreign.attrs.get("output_datatype", 1))
    if number not in _ELEM_TYPES:
        foreign.unsupported(f"output_datatype {number}")
    return values.astype(_ELEM_TYPES[number].numpy)


# Each of an angle, which is 2 pi n / N. Source: ONNX HannWindow-17, HammingWindow-17, BlackmanWindow-17.
_WINDOWS: Mapping[str, Callable[[Array], Array]] = {
    "HannWindow": lambda angle: 0.5 - 0.5 * np.cos(angle),
    "HammingWindow": lambda angle: 25 / 46 - 21 / 46 * np.cos(angle),
    "BlackmanWindow": lambda angle: 0.42 - 0.5 * np.cos(angle) + 0.08 * np.cos(2 * angle),
}


@from_onnx(*_WINDOWS)
def _window(foreign: Any) -> None:
    size = _checked(int(_scalar(foreign, 0, "size")))
    period = size if foreign.attrs.get("periodic", 1) else size - 1
    if size < 0 or (size > 0 and period < 1):
        foreign.unsupported(f"a window of {size}, periodic={foreign.attrs.get('periodic', 1)}")
    _give(foreign, _typed(foreign, _WINDOWS[foreign.op_type](2 * np.pi * np.arange(size) / max(period, 1))))


def mel_weights(bins: int, length: int, rate: int, low: float, high: float) -> Array:
    """Triangles of height 1, equally wide on the mel scale, over the bins of a one-sided spectrum of `length` points.

    Units: rate, low and high in Hz. Shapes: [length // 2 + 1, bins]. Raises: ShapeError. Source: ONNX
    MelWeightMatrix-17, whose steps are one (bins + 2)th of the range.
    """
    first, last = (2595 * math.log1p(hertz / 700) / math.log(10) for hertz in (low, high))
    mels = first + np.arange(bins + 2) * (last - first) / (bins + 2)
    places = np.floor((length + 1) * (700 * np.expm1(mels / 2595 * math.log(10))) / rate).astype(int)
    count = length // 2 + 1
    if (np.diff(places) < 0).any() or places[0] < 0 or places[-1] > count or places[-2] >= count:
        raise ShapeError(f"mel bins from {low} to {high} Hz do not fit {length} points at {rate} Hz")
    result = np.zeros((count, bins))
    for column in range(bins):
        left, center, right = places[column : column + 3]
        if left == center:
            result[center, column] = 1
        else:
            result[left : center + 1, column] = np.arange(center - left + 1) / (center - left)
        if right > center:
            result[center:right, column] = np.arange(right - center, 0, -1) / (right - center)
    return result


@from_onnx("MelWeightMatrix")
def _mel_weight_matrix(foreign: Any) -> None:
    names = ("num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz")
    bins, length, rate, low, high = (_scalar(foreign, index, what) for index, what in enumerate(names))
    if bins < 1 or length < 1 or rate < 1 or not 0 <= low < high < math.inf:
        raise ShapeError(f"{bins} mel bins from {low} to {high} Hz, {length} points at {rate} Hz")
    _checked((int(length) // 2 + 1) * int(bins))
    _give(foreign, _typed(foreign, mel_weights(int(bins), int(length), int(rate), float(low), float(high))))


refuse(
    "it draws random numbers", "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
)  # fmt: skip

_F32, _S64 = np.float32, np.int64
_SIZE = np.array(10, np.int32)
cases(
    Case("Range", "floats", (_F32(1), _F32(2.05), _F32(0.25)), opset=11, slow=True),
    Case("Range", "backwards", (_S64(10), _S64(-3), _S64(-4)), opset=11, slow=True),
    Case("ConstantOfShape", "default", (ints(2, 3),), opset=9, slow=True),
    Case("HannWindow", "periodic", (_SIZE,), slow=True),
    Case("HammingWindow", "symmetric", (_SIZE,), {"periodic": 0}, slow=True),
    Case("BlackmanWindow", "periodic", (_SIZE,), slow=True),
    Case("MelWeightMatrix", "plain", (_S64(8), _S64(128), _S64(8192), _F32(20), _F32(4000))),
    Case("MelWeightMatrix", "narrow", (_S64(20), _S64(64), _S64(16000), _F32(0), _F32(8000)), slow=True),
)

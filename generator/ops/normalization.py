"""BatchNormalization. At inference it is a scale and a shift a channel: it is imported as Mul and Add of constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Shape
from edgewright.ops.core import Case, cases, from_onnx, given, weights


@from_onnx("BatchNormalization")
def _batch_normalization(foreign: Any) -> None:
    """Y = (X - mean) / sqrt(var + epsilon) * scale + B. Source: ONNX BatchNormalization-15."""
    if not foreign.attrs.get("spatial", 1):
        foreign.unsupported("spatial=0")
    trains = bool(foreign.attrs.get("training_mode", 0))
    if not trains and any(foreign.output_is_used(i) for i in range(1, foreign.n_outputs)):
        foreign.unsupported("the outputs for training")
    shape = foreign.tensor(0).shape
    channels = shape[1] if len(shape) > 1 else 1
    given_ = [foreign.tensor(i) for i in range(1, 5)]
    if not all(tensor.shape == (channels,) for tensor in given_):
        raise ShapeError(f"its operands do not have one number for each of {channels} channels")
    if trains or any(tensor.data is None for tensor in given_):
        _at_run_time(foreign, trains)
    else:
        _folded(foreign, channels)


def _folded(foreign: Any, channels: int) -> None:
    """A scale and a shift a channel, of constants."""
    x = foreign.tensor(0)
    scale, bias, mean, variance = (
        np.asarray(foreign.constant(i, name), np.float64)
        for i, name in enumerate(("scale", "B", "mean", "var"), start=1)
    )
    spread = variance + float(foreign.attrs.get("epsilon", 1e-5))
    if not (spread > 0).all():
        raise ShapeError("a variance plus epsilon is not positive")
    factor = scale / np.sqrt(spread)
    shape = _one_a_channel(x.shape, channels)
    factors = foreign.add_constant(f"{foreign.name}.scale", factor.astype(np.float32).reshape(shape))
    shifts = foreign.add_constant(f"{foreign.name}.shift", (bias - mean * factor).astype(np.float32).reshape(shape))
    foreign.emit("Add", [foreign.emit("Mul", [x.name, factors]), shifts], final=0)


def _one_a_channel(shape: Shape, channels: int) -> Shape:
    return (channels,) + (1,) * (len(shape) - 2) if len(shape) > 1 else (1,)


def _at_run_time(foreign: Any, trains: bool) -> None:
    """With operands that are computed, or in training mode with the mean and the variance of this very batch."""
    x = foreign.tensor(0)
    if any(foreign.tensor(i).dtype is not x.dtype for i in range(1, 5)):
        foreign.unsupported("operands of several types, computed at run time")

    def number(name: str, value: float) -> str:
        return str(foreign.add_constant(f"{foreign.name}.{name}", np.array(value, x.dtype.numpy)))

    def kept(name: str, final: int) -> None:
        """The running statistic: of `momentum` the old one, for the rest this batch's."""
        old = foreign.emit("Mul", [foreign.tensor(final + 2).name, momentum])
        flat = foreign.emit("Reshape", [name], shape=foreign.tensor(final + 2).shape)
        foreign.emit("Add", [old, foreign.emit("Mul", [flat, rest])], final=final)

    channels = foreign.tensor(1).shape[0]
    shape = _one_a_channel(x.shape, channels)
    scale, bias, mean, variance = (foreign.emit("Reshape", [foreign.tensor(i).name], shape=shape) for i in range(1, 5))
    if trains:
        axes = tuple(axis for axis in range(len(x.shape)) if axis != 1)
        mean = foreign.emit("ReduceMean", [x.name], axes=axes)
    centred = foreign.emit("Sub", [x.name, mean])
    if trains:
        variance = foreign.emit("ReduceMean", [foreign.emit("Mul", [centred, centred])], axes=axes)
        weight = float(foreign.attrs.get("momentum", 0.9))
        momentum, rest = number("momentum", weight), number("rest", 1.0 - weight)
        for final, name in ((1, mean), (2, variance)):
            if foreign.output_is_used(final):
                kept(name, final)
    spread = foreign.emit("Add", [variance, number("epsilon", float(foreign.attrs.get("epsilon", 1e-5)))])
    factor = foreign.emit("Div", [scale, foreign.emit("Sqrt", [spread])])
    foreign.emit("Add", [foreign.emit("Mul", [centred, factor]), bias], final=0)


_CHANNELS = (weights(3), weights(3, seed=2), weights(3, seed=3), np.abs(weights(3, seed=4)) + np.float32(0.1))
cases(
    Case("BatchNormalization", "image", (given(1, 3, 4, 5), *_CHANNELS)),
    Case("BatchNormalization", "flat", (given(2, 3), *_CHANNELS), {"epsilon": 0.01}),
    Case("BatchNormalization", "run_time", (given(2, 3, 4), *[given(3)] * 4), between=(0.5, 2.0)),
    Case(
        "BatchNormalization",
        "training",
        (given(2, 3, 4, 5), *_CHANNELS),
        {"training_mode": 1, "momentum": 0.7},
        outputs=3,
        slow=True,
    ),
)

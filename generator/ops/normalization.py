"""BatchNormalization. At inference it is a scale and a shift a channel: it is imported as Mul and Add of constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ops.core import Case, cases, from_onnx, given, weights


@from_onnx("BatchNormalization")
def _batch_normalization(foreign: Any) -> None:
    """Y = (X - mean) / sqrt(var + epsilon) * scale + B. Source: ONNX BatchNormalization-15, inference mode."""
    if foreign.attrs.get("training_mode", 0) or not foreign.attrs.get("spatial", 1):
        foreign.unsupported("training_mode=1 or spatial=0")
    if any(foreign.output_is_used(i) for i in range(1, foreign.n_outputs)):
        foreign.unsupported("the outputs for training")
    x = foreign.tensor(0)
    scale, bias, mean, variance = (
        np.asarray(foreign.constant(i, name), np.float64)
        for i, name in enumerate(("scale", "B", "mean", "var"), start=1)
    )
    channels = x.shape[1] if len(x.shape) > 1 else 1
    if not all(values.shape == (channels,) for values in (scale, bias, mean, variance)):
        raise ShapeError(f"its constants do not have one number for each of {channels} channels")
    spread = variance + float(foreign.attrs.get("epsilon", 1e-5))
    if not (spread > 0).all():
        raise ShapeError("a variance plus epsilon is not positive")
    factor = scale / np.sqrt(spread)
    shape = (channels,) + (1,) * (len(x.shape) - 2) if len(x.shape) > 1 else (1,)
    factors = foreign.add_constant(f"{foreign.name}.scale", factor.astype(np.float32).reshape(shape))
    shifts = foreign.add_constant(f"{foreign.name}.shift", (bias - mean * factor).astype(np.float32).reshape(shape))
    foreign.emit("Add", [foreign.emit("Mul", [x.name, factors]), shifts], final=0)


_CHANNELS = (weights(3), weights(3, seed=2), weights(3, seed=3), np.abs(weights(3, seed=4)) + np.float32(0.1))
cases(
    Case("BatchNormalization", "image", (given(1, 3, 4, 5), *_CHANNELS)),
    Case("BatchNormalization", "flat", (given(2, 3), *_CHANNELS), {"epsilon": 0.01}),
)

"""Fourier transforms: DFT and STFT, one operator of lines, `Spectrum`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from edgewright.errors import ShapeError, UnsupportedError
from edgewright.ir import Array, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    SCRATCH,
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    check_same_type,
    describe,
    from_onnx,
    given,
    normalize_axis,
    required,
    weights,
)

_MAX_STAGES = 16  # EW_DFT_STAGES_MAX in ew_dft_f32.h
_MAX_POINTS = 1 << 16  # what a place in the table of the order can name


def factors(points: int) -> tuple[int, ...]:
    """The factors that stages of a transform join, the first stage's first: 4s, a 2 where it is left over, primes."""
    found, rest = [], points
    while rest % 4 == 0:
        found.append(4)
        rest //= 4
    divisor = 2
    while rest > 1:
        while rest % divisor == 0:
            found.append(divisor)
            rest //= divisor
        divisor += 1
    return tuple(found)


@cache
def places(points: int) -> Array:
    """The number of the line that each place of the first stage holds. Shapes: uint16 [points]."""
    order = np.zeros(1, np.int64)
    for factor in factors(points):  # a transform of the last factor's lines, each over every factor-th number
        order = (np.arange(factor)[:, None] + factor * order[None, :]).reshape(-1)
    return order.astype(np.uint16)


@cache
def roots(length: int, points: int) -> Array:
    """e^(-2 pi i j / length) for all j that a transform takes. Shapes: float32 [count, 2]."""
    stages, spread = factors(points), length // points
    most, size = points // 2 if spread == 2 else 0, 1  # what joins the halves of a real line
    for factor in stages:
        size *= factor
        most = max(most, (factor - 1) * (size // factor - 1) * (length // size) if factor <= 5 else length - 1)
    angles = -2 * np.pi * np.arange(most + 1) / length
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)


class Spectrum(Operator):
    """The Fourier transform of lines, zeros behind their ends; with `step`, of windows of one line.

    Inputs: x [..., numbers, ..., parts] and a window [length]; parts are 1 (real) or 2 (complex), in the result, too.
    Along the axis the result has `length` numbers or, with onesided, length / 2 + 1; the inverse with onesided takes
    these and gives `length` real ones. With `step`, x is [batch, numbers, parts] and the result [batch, windows, ..].
    """

    name = "Spectrum"
    arity = (1, 2)
    attributes = {"axis": ..., "length": ..., "inverse": False, "onesided": False, "step": 0}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: see the class."""
        x, window = required(inputs[0], node, "input"), inputs[1] if len(inputs) > 1 else None
        axis, length, step = node.attrs["axis"], node.attrs["length"], self.attr(node, "step")
        onesided, inverse = self.attr(node, "onesided"), self.attr(node, "inverse")
        check_same_type(node, x, window)
        if len(x.shape) < 2 or x.shape[-1] not in (1, 2) or not 0 <= axis < len(x.shape) - 1 or length < 1:
            raise ShapeError(f"{describe(node)}: {length} points on axis {axis} of {list(x.shape)}")
        if onesided and x.shape[-1] != (2 if inverse else 1):
            raise UnsupportedError(
                f"{describe(node)}: onesided of {'real' if inverse else 'complex'} numbers, {list(x.shape)}"
            )
        if window is not None and window.shape != (length,):
            raise ShapeError(f"{describe(node)}: a window of {list(window.shape)} for {length} points")
        if length >= _MAX_POINTS:
            raise UnsupportedError(f"{describe(node)}: {length} points; the kernel takes {_MAX_POINTS - 1}")
        real_out = onesided and inverse
        count, parts = (length, 1) if real_out else (length // 2 + 1 if onesided else length, 2)
        if not step:
            return [TensorType((*x.shape[:axis], count, *x.shape[axis + 1 : -1], parts), x.dtype)]
        if len(x.shape) != 3 or axis != 1 or length > x.shape[1]:
            raise ShapeError(f"{describe(node)}: windows of {length} in {list(x.shape)}")
        return [TensorType((x.shape[0], (x.shape[1] - length) // step + 1, count, parts), x.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy's transform, in double precision."""
        x, window = np.asarray(inputs[0]), inputs[1] if len(inputs) > 1 else None
        axis, length, step = node.attrs["axis"], node.attrs["length"], self.attr(node, "step")
        values = x[..., 0] + (1j * x[..., 1] if x.shape[-1] == 2 else 0)
        if step:
            count = (x.shape[1] - length) // step + 1
            values = np.stack([values[:, i * step : i * step + length] for i in range(count)], axis=1)
            axis = 2
        if window is not None:
            values = values * window
        if not self.attr(node, "inverse"):
            y = np.fft.fft(values, length, axis)
            if self.attr(node, "onesided"):
                y = y.take(range(length // 2 + 1), axis)
        elif self.attr(node, "onesided"):
            return [np.fft.irfft(values, length, axis)[..., None].astype(x.dtype)]
        else:
            y = np.fft.ifft(values, length, axis)
        return [np.stack([y.real, y.imag], axis=-1).astype(x.dtype)]

    def _layout(self, node: Node, x: Shape, y: Shape) -> dict[str, ParamValue]:
        """The lines of x and y."""
        axis, step = node.attrs["axis"], self.attr(node, "step")
        x_parts, y_parts = x[-1], y[-1]
        if step:
            return {
                "outer": x[0], "inner": y[1], "x_outer": x[1] * x_parts, "x_inner": step * x_parts, "x_step": x_parts,
                "y_outer": y[1] * y[2] * y_parts, "y_inner": y[2] * y_parts, "y_step": y_parts, "y_count": y[2],
            }  # fmt: skip
        inner = math.prod(x[axis + 1 : -1])
        return {
            "outer": math.prod(x[:axis]), "inner": inner, "x_outer": x[axis] * inner * x_parts, "x_inner": x_parts,
            "x_step": inner * x_parts, "y_outer": y[axis] * inner * y_parts, "y_inner": y_parts,
            "y_step": inner * y_parts, "y_count": y[axis],
        }  # fmt: skip

    def _points(self, node: Node, x: Tensor) -> int:
        """Complex points that are transformed: half of the length where a real line goes as pairs of its numbers."""
        length = int(node.attrs["length"])
        halved = x.shape[-1] == 1 and length % 2 == 0 and not self.attr(node, "inverse")
        return length // 2 if halved else length

    def macs(self, node: Node, graph: Graph) -> int:
        """Two for each number of a butterfly."""
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        layout, points = self._layout(node, x.shape, y.shape), self._points(node, x)
        return int(layout["outer"]) * int(layout["inner"]) * points * 2 * sum(factors(points))  # type: ignore[arg-type]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call, with tables of roots and of the order of numbers."""
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        length, inverse, points = node.attrs["length"], self.attr(node, "inverse"), self._points(node, x)
        stages, mirrored = factors(points), bool(inverse and self.attr(node, "onesided"))
        if len(stages) > _MAX_STAGES:
            raise UnsupportedError(f"{describe(node)}: {length} points, in {len(stages)} stages")
        count = length if self.attr(node, "step") else x.shape[node.attrs["axis"]]
        params: dict[str, ParamValue] = {
            **self._layout(node, x.shape, y.shape), "length": length, "x_parts": x.shape[-1], "y_parts": y.shape[-1],
            "x_count": min(count, length // 2 + 1 if mirrored else length), "inverse": int(inverse),
            "halved": int(points != length), "mirrored": int(mirrored), "points": points, "stages": len(stages),
            "factors": stages + (0,) * (_MAX_STAGES - len(stages)),
            "kinds": sum({1 << factor if factor <= 5 else 1 for factor in stages}),
            "scale": 1.0 / length if inverse else 1.0,
        }  # fmt: skip
        window = node.inputs[1] or None if len(node.inputs) > 1 else None
        arguments = (x.name, window, roots(length, points), places(points), SCRATCH, y.name)
        scratch = 8 * (points + max(stages, default=0))
        return (
            KernelCall("ew_dft_f32", "fourier/ew_dft_f32.h", "ew_dft_f32_params", params, arguments, scratch),
        )  # fmt: skip


@from_onnx("DFT")
def _dft(foreign: Any) -> None:
    """Source: ONNX DFT-20, and DFT-17, where the axis is an attribute."""
    x, rank = foreign.tensor(0), len(foreign.tensor(0).shape)
    if foreign.opset < 20:
        axis = int(foreign.attrs.get("axis", 1))
    else:
        axis = int(foreign.constant(2, "axis").reshape(())) if foreign.has(2) else -2
    axis = normalize_axis(axis, rank, "DFT")
    if axis == rank - 1:
        raise ShapeError(f"axis {axis} of {list(x.shape)} holds the parts of its numbers")
    inverse, onesided = bool(foreign.attrs.get("inverse", 0)), bool(foreign.attrs.get("onesided", 0))
    if foreign.has(1):
        length = int(foreign.constant(1, "dft_length").reshape(()))
    else:
        length = 2 * (x.shape[axis] - 1) if inverse and onesided else x.shape[axis]
    foreign.emit("Spectrum", [x.name], final=0, axis=axis, length=length, inverse=inverse, onesided=onesided)


@from_onnx("STFT")
def _stft(foreign: Any) -> None:
    """Source: ONNX STFT-17."""
    x = foreign.tensor(0)
    if len(x.shape) != 3:
        raise ShapeError(f"a signal of {list(x.shape)}; it has three axes")
    step = int(foreign.constant(1, "frame_step").reshape(()))
    if step < 1:
        raise ShapeError(f"frame_step {step}")
    window = foreign.tensor(2) if foreign.has(2) else None
    length = x.shape[1] if window is None else window.elements
    if foreign.has(3):
        length = int(foreign.constant(3, "frame_length").reshape(()))
    foreign.emit(
        "Spectrum", [x.name, *([] if window is None else [window.name])], final=0, axis=1, length=length, step=step,
        onesided=bool(foreign.attrs.get("onesided", 1)),
    )  # fmt: skip


def _number(value: int) -> Array:
    return np.array(value, np.int64)


cases(
    Case("DFT", "real", (given(2, 16, 1),), {"axis": 1}, slow=True),
    Case("DFT", "onesided", (given(2, 24, 1),), {"axis": -2, "onesided": 1}),
    Case("DFT", "complex", (given(1, 60, 3, 2),), {"axis": 1}),
    Case("DFT", "inverse", (given(2, 32, 2), None, _number(1)), {"inverse": 1}, opset=20, slow=True),
    Case("DFT", "padded", (given(1, 5, 1), _number(9)), {"axis": 1}, slow=True),
    Case("DFT", "cut", (given(1, 3, 9, 1), _number(8), _number(-2)), {"onesided": 1}, opset=20, slow=True),
    Case("DFT", "one", (given(3, 1, 2),), {"axis": 1}, slow=True),
    Case("DFT", "two", (given(3, 2, 1),), {"axis": 1}, slow=True),
    Case("DFT", "prime", (given(1, 13, 1),), {"axis": 1, "onesided": 1}, slow=True),
    Case("DFT", "inverse_of_real", (given(1, 12, 1),), {"axis": 1, "inverse": 1}, slow=True),
    Case("DFT", "to_real", (given(2, 9, 2), None, _number(1)), {"inverse": 1, "onesided": 1}, opset=20, slow=True),
    Case("DFT", "to_real_odd", (given(1, 5, 2), _number(11), _number(1)), {"inverse": 1, "onesided": 1}, opset=20,
         slow=True),
    Case("STFT", "window", (given(2, 40, 1), _number(8), weights(16))),
    Case("STFT", "length", (given(1, 40, 1), _number(7), None, _number(15)), {"onesided": 0}, slow=True),
    Case("STFT", "run_time_window", (given(1, 30, 1), _number(5), given(12), _number(12)), slow=True),
    Case("STFT", "complex", (given(1, 30, 2), _number(5), weights(8)), {"onesided": 0}, slow=True),
)  # fmt: skip

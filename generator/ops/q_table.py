"""Integer functions of one 8-bit element by table (QTable), and QSoftmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Node, Tensor, TensorType
from edgewright.ops.core import Operator, describe, normalize_axis, required
from edgewright.ops.q_core import OUTPUT_ATTRIBUTES, Q8, IntegerMatch, from_float, limits, output_type, store

TABLE_ENTRIES = 256


class QTable(Operator):
    """y = table[x - lowest value of x's type]; any function of an 8-bit tensor. Inputs: x, table [256]."""

    name = "QTable"
    zeros = ()
    arity = (2, 2)
    dtypes = Q8
    has_kernel = False
    elementwise = True
    data_inputs = 1

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x, table = required(inputs[0], node, "x"), required(inputs[1], node, "table")
        if table.shape != (TABLE_ENTRIES,):
            raise ShapeError(f"{describe(node)}: a table of shape {list(table.shape)}")
        return [TensorType(x.shape, table.dtype)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        return [np.asarray(inputs[1])[x.astype(np.int64) - int(np.iinfo(x.dtype).min)]]


class QSoftmax(Operator):
    """Over the last axis: e = table[max - x]; clamp(rint((e / sum of e, in order) / y_scale) + y_zero), in float32.

    Inputs: x, table float32 [256] (see `softmax_table`).
    """

    name = "QSoftmax"
    zeros = ()
    arity = (2, 2)
    attributes = {"axis": ..., "y_scale": ..., **OUTPUT_ATTRIBUTES}
    dtypes = Q8
    has_kernel = False

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any with a last axis."""
        x, table = required(inputs[0], node, "x"), required(inputs[1], node, "table")
        if not x.shape or node.attrs["axis"] != len(x.shape) - 1 or table.type != TensorType((256,), DType.F32):
            raise ShapeError(f"{describe(node)} does not fit {list(x.shape)}")
        return [output_type(node, x.shape)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy; the sum is taken element by element, because its order decides its last bit."""
        x = np.asarray(inputs[0]).astype(np.int64)
        e = np.asarray(inputs[1])[x.max(axis=-1, keepdims=True) - x]
        total = np.add.accumulate(e, axis=-1, dtype=np.float32)[..., -1:]
        with np.errstate(over="ignore"):  # infinity saturates
            return [store((e / total) / np.float32(node.attrs["y_scale"]), node)]


def softmax_table(x_scale: float) -> Array:
    """exp(-d * x_scale) for d = 0 to 255, rounded once to float32. Shapes: [256]."""
    return np.exp(-np.arange(TABLE_ENTRIES) * np.float64(np.float32(x_scale))).astype(np.float32)


@from_float("Softmax")
def _softmax(match: IntegerMatch) -> bool:
    x, shape = match.quantized(0), match.shape(0)
    axis = normalize_axis(match.node.attrs["axis"], len(shape), describe(match.node))
    if x is None or x.dtype not in Q8 or axis != len(shape) - 1:
        return False
    table = match.add_constant(f"{match.node.name}.exp", softmax_table(float(x.scale)))
    match.emit("QSoftmax", [x.tensor, table], axis=axis, y_scale=float(match.output.scale), **match.output.attrs)
    return True


def all_values(dtype: DType) -> Array:
    """Every value of an 8-bit type, in the order of a table. Shapes: [256]."""
    low, high = limits(dtype)
    return np.arange(low, high + 1, dtype=dtype.numpy)

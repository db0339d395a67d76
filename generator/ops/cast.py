"""Cast between float32 and the integer types, and between equal types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import Case, KernelCall, Operator, cases, describe, from_onnx, given, ints, required

_WITH_FLOAT = frozenset({DType.S8, DType.U8, DType.S16, DType.S32, DType.S64, DType.B8})


class Cast(Operator):
    """The same numbers in another type; float to integer truncates towards zero and saturates. Source: ONNX Cast-13."""

    name = "Cast"
    arity = (1, 1)
    attributes = {"to": ...}
    dtypes = _WITH_FLOAT | {DType.F32}
    elementwise = True
    rounds_once = True

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any."""
        x, to = required(inputs[0], node, "input"), DType(node.attrs["to"])
        if not self.is_supported(x.dtype, to):
            raise UnsupportedError(f"{describe(node)}: Cast from {x.dtype.value} to {to.value} is not supported")
        return [TensorType(x.shape, to)]

    @staticmethod
    def is_supported(source: DType, to: DType) -> bool:
        """Whether a kernel exists."""
        return (source is DType.F32 and to in _WITH_FLOAT) or (to is DType.F32 and source in _WITH_FLOAT)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, with the saturation that C has."""
        x, to = np.asarray(inputs[0]), DType(node.attrs["to"])
        if x.dtype != np.float32 or to is DType.B8:
            return [x.astype(to.numpy)]
        limits = np.iinfo(to.numpy)
        wide = np.nan_to_num(np.trunc(x.astype(np.float64)), nan=0.0, posinf=np.inf, neginf=-np.inf)
        inside = np.clip(wide, float(limits.min), float(limits.max))
        result = np.where(wide >= float(limits.max), limits.max, np.where(inside < float(limits.max), inside, 0))
        return [np.where(wide <= float(limits.min), limits.min, result).astype(to.numpy)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, y = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        function = f"ew_cast_{x.dtype.suffix}_{y.dtype.suffix}"
        return (KernelCall(function, "cast/ew_cast.h", "ew_cast_params", {"count": x.elements}, (x.name, y.name)),)


@from_onnx("Cast", "CastLike")
def _cast(foreign: Any) -> None:
    x = foreign.tensor(0)
    # the frontend has turned ONNX's number into a DType or a name
    to = foreign.attrs["to"] if foreign.op_type == "Cast" else foreign.tensor(1).dtype
    if foreign.op_type == "CastLike" and foreign.is_four_bit(1):
        foreign.unsupported("a cast to a type of four bits")
    if not isinstance(to, DType):
        foreign.unsupported(f"a cast to {to}")
    if to is x.dtype:
        foreign.emit("Reshape", [x.name], final=0, shape=x.shape)
    elif not Cast.is_supported(x.dtype, to):
        foreign.unsupported(f"a cast from {x.dtype.value} to {to.value}")
    else:
        foreign.emit("Cast", [x.name], final=0, to=to.value)


cases(
    Case("CastLike", "integers", (given(2, 3), ints(1)), opset=19),
    Case("CastLike", "same", (given(2, 3), given(1)), opset=15),
    Case("Cast", "f32_to_s32", (given(3, 4),), {"to": "int32"}),
    Case("Cast", "f32_to_u8", (given(3, 4),), {"to": "uint8"}, positive=True),
    Case("Cast", "f32_to_b8", (given(3, 4),), {"to": "bool"}),
    Case("Cast", "u8_to_f32", (given(3, 4),), {"to": "float32"}, dtype="uint8"),
    Case("Cast", "s64_to_f32", (given(3, 4),), {"to": "float32"}, dtype="int64"),
    Case("Cast", "b8_to_f32", (given(3, 4),), {"to": "float32"}, dtype="bool"),
    Case("Cast", "same", (given(3, 4),), {"to": "float32"}),
    Case("CastLike", "a_constant", (given(3, 4), np.zeros(1, np.int32))),
)

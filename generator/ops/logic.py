"""Truth values and bits of two broadcast operands: And, Or, Xor, BitwiseAnd, BitwiseOr, BitwiseXor, BitShift."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.ir import Array, Graph, Node
from edgewright.ops.core import Case, cases, from_onnx, given
from edgewright.ops.elementwise import BOOL, INTEGERS, Broadcast, define

_LOGIC: dict[str, tuple[str, Any]] = {
    "And": ("and", np.logical_and), "Or": ("or", np.logical_or), "Xor": ("xor", np.logical_xor),
    "BitwiseAnd": ("bitwise_and", np.bitwise_and), "BitwiseOr": ("bitwise_or", np.bitwise_or),
    "BitwiseXor": ("bitwise_xor", np.bitwise_xor),
}  # fmt: skip

for _name, (_kernel, _formula) in _LOGIC.items():
    define(
        Broadcast, _name, f"Source: ONNX {_name}.", dtypes=INTEGERS if _name.startswith("Bitwise") else BOOL,
        formula=staticmethod(_formula), kernel=f"ew_{_kernel}", header="binary/ew_logic.h",
    )  # fmt: skip


def _shifted(a: Array, b: Array, direction: str) -> Array:
    a, b = np.broadcast_arrays(a, b)
    bits = a.dtype.itemsize * 8
    outside = b >= bits
    if a.dtype.kind == "i":
        outside = outside | (b < 0)
    amount = np.where(outside, 0, b).astype(a.dtype)
    if direction == "RIGHT":
        return np.where(outside, np.where(a < 0, -1, 0).astype(a.dtype), np.right_shift(a, amount))
    return np.where(outside, np.zeros_like(a), np.left_shift(a, amount))


class BitShift(Broadcast):
    """a shifted by b bits; to the right with the sign. Source: ONNX BitShift-28."""

    name = "BitShift"
    dtypes = INTEGERS
    attributes = {"direction": ...}
    formula = staticmethod(_shifted)
    kernel = "ew_shift"
    header = "binary/ew_logic.h"

    def function(self, node: Node, graph: Graph) -> str:
        """The C function."""
        return f"ew_shift_{node.attrs['direction'].lower()}_{graph.tensors[node.inputs[0]].dtype.suffix}"


@from_onnx(*_LOGIC, "BitShift")
def _logic(foreign: Any) -> None:
    if foreign.op_type == "BitShift" and foreign.attrs.get("direction") not in ("LEFT", "RIGHT"):
        foreign.unsupported(f"direction '{foreign.attrs.get('direction', '')}'")
    foreign.emit(foreign.op_type, [foreign.tensor(0).name, foreign.tensor(1).name], final=0, **foreign.attrs)


_TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

cases(
    *(Case(name, "broadcast", (given(5, 7), given(7)), dtype="bool", opset=7) for name in ("And", "Or", "Xor")),
    *(Case(name, dtype, (given(5, 7), given(7)), dtype=dtype, opset=18, slow=(name, dtype) != ("BitwiseXor", "int16"))
      for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor") for dtype in _TYPES),
    *(Case("BitShift", f"{direction.lower()}_{dtype}", (given(5, 1), np.array([0, 1, 3, 7, 31, 70], dtype)),
           {"direction": direction}, dtype=dtype, opset=11, slow=(direction, dtype) != ("LEFT", "uint8"))
      for direction in ("LEFT", "RIGHT") for dtype in _TYPES if dtype.startswith("u")),
    *(Case("BitShift", f"{direction.lower()}_{dtype}", (given(5, 1), np.array([0, 1, 3, 7, 31, 70, -1], dtype)),
           {"direction": direction}, dtype=dtype, opset=28, between=(-99, 99),
           slow=(direction, dtype) != ("RIGHT", "int16"))
      for direction in ("LEFT", "RIGHT") for dtype in _TYPES if dtype.startswith("i")),
)  # fmt: skip

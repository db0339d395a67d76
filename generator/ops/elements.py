"""Element types that kernels are told as a number: `ew_element_type` in ew_elements.h."""

from __future__ import annotations

from collections.abc import Mapping

from edgewright.errors import ShapeError
from edgewright.ir import DType, Node, Tensor
from edgewright.ops.core import describe, required

C_ELEMENTS: Mapping[DType, str] = {
    dtype: f"EW_ELEMENT_{dtype.name}"
    for dtype in (
        DType.F32, DType.F64, DType.S8, DType.U8, DType.S16, DType.U16, DType.S32, DType.U32, DType.S64, DType.U64,
    )
}  # fmt: skip
INDICES = frozenset({DType.S32, DType.S64})


def required_indices(tensor: Tensor | None, node: Node) -> Tensor:
    """Return an operand of indices. Raises: ShapeError where it is missing or of another type."""
    indices = required(tensor, node, "indices")
    if indices.dtype not in INDICES:
        raise ShapeError(f"{describe(node)}: indices of {indices.dtype.value}; they are int32 or int64")
    return indices

"""Element types: ONNX's numbers for them, and ours."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.helper

from edgewright.ir import DType


def dtype_of(elem_type: int) -> DType | None:
    """Return our element type for ONNX's, None where there is none."""
    try:
        return DType(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(elem_type)).name)
    except (KeyError, ValueError, TypeError):
        return None


def type_name(elem_type: int) -> str:
    """Return ONNX's name for an element type."""
    known = onnx.TensorProto.DataType.values()
    return str(onnx.TensorProto.DataType.Name(elem_type)) if elem_type in known else f"type number {elem_type}"

"""Computes single ONNX nodes at import where they read constants only and no kernel of ours could: shape arithmetic."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import onnx.helper
import onnx.reference

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir import Array, Tensor

MAX_FOLDED_ELEMENTS = 1 << 25  # a constant computed at import is refused beyond this

_BROADCASTING = frozenset(
    """
    Abs Add And Cast Ceil Cos Div Equal Exp Floor Greater GreaterOrEqual Less LessOrEqual Log Max Min Mod Mul Neg Not Or
    Pow Reciprocal Round Sign Sin Sqrt Sub Sum Where Xor
    """.split()  # noqa: SIM905 - a list of fifty strings is harder to read
)
# What ONNX's own evaluator computes where it reads constants only and we have no kernel for it, or refuse its result,
# which may be empty: the operators of shape arithmetic. Not others: it has been found wrong on pooling, Softmax and
# BatchNormalization of old operator sets.
FOLDED_BY_ONNX = _BROADCASTING | frozenset(
    """
    ArgMax ArgMin Compress Concat Constant ConstantOfShape CumSum Expand Flatten Gather GatherElements GatherND Identity
    NonZero Range ReduceMax ReduceMin ReduceProd ReduceSum Reshape ScatterElements ScatterND Slice Split Squeeze Tile
    Transpose Unique Unsqueeze
    """.split()  # noqa: SIM905
)


def evaluate_node(proto: onnx.NodeProto, tensors: Sequence[Tensor], opset: int) -> dict[str, Array]:
    """Return the outputs of a node by ONNX's own evaluator; `tensors` are its inputs, constants all.

    Raises: UnsupportedError where a result would be huge or is no tensor, ModelError where the node is malformed.
    """
    _check_folded_size(proto, tensors)
    names = [value for value in proto.input if value]
    outputs = [value for value in proto.output if value]
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(t.dtype.numpy), t.shape)
        for name, t in zip(names, tensors, strict=True)
    ]
    results = [onnx.helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = onnx.helper.make_graph([proto], "fold", infos, results)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, of overflows in constants nobody may read
            feeds = {name: t.data for name, t in zip(names, tensors, strict=True)}
            arrays = onnx.reference.ReferenceEvaluator(model).run(None, feeds)
    except NotImplementedError as error:
        raise UnsupportedError(f"operator {proto.op_type} of operator set {opset}, on constants") from error
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise ModelError(f"its constant inputs cannot be evaluated: {str(error).splitlines()[0]}") from error
    if not all(isinstance(array, np.ndarray | np.generic) for array in arrays):
        raise UnsupportedError("it makes a value that is not a tensor")
    return {name: np.asarray(array) for name, array in zip(outputs, arrays, strict=True)}


def _check_folded_size(proto: onnx.NodeProto, tensors: Sequence[Tensor]) -> None:
    """Refuse a huge constant before it is allocated."""
    arrays = [np.asarray(tensor.data) for tensor in tensors]
    if proto.op_type in ("ConstantOfShape", "Expand", "Tile"):
        start = 1 if proto.op_type == "ConstantOfShape" else arrays[0].size
        elements = math.prod([start, *(max(int(v), 1) for v in arrays[-1].reshape(-1))])
    elif proto.op_type == "Range":
        first, limit, delta = (float(a.reshape(())) for a in arrays)
        elements = int(abs((limit - first) / delta)) if delta else 0
    elif proto.op_type.startswith("Gather"):
        elements = arrays[0].size * max(arrays[1].size, 1)
    elif proto.op_type in _BROADCASTING and arrays:
        elements = math.prod(np.broadcast_shapes(*(a.shape for a in arrays)))
    else:  # at most so many numbers, of so many axes each (NonZero)
        elements = sum(a.size * max(a.ndim, 1) for a in arrays)
    check_elements(elements)


def check_elements(elements: int) -> None:
    """Refuse a constant that is too large to be made. Raises: UnsupportedError."""
    if elements > MAX_FOLDED_ELEMENTS:
        raise UnsupportedError(f"it makes a constant of {elements:,} elements; the limit is {MAX_FOLDED_ELEMENTS:,}")

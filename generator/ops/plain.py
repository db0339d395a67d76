"""MatMul and Conv of types other than float32, by simple loops: PlainMatMul and PlainConv.

They are operators of their own, so that no pass takes them for the float32 ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.ir import Array, DType, Graph, Node
from edgewright.ops.conv import Conv
from edgewright.ops.core import Case, KernelCall, cases, given
from edgewright.ops.elementwise import widened
from edgewright.ops.linear import MatMul, batch_params
from edgewright.ops.window import window_params


class PlainMatMul(MatMul):
    """Y = A @ B as MatMul; integers wrap around, float16 is summed in float32. Source: ONNX MatMul-13."""

    name = "PlainMatMul"
    dtypes = frozenset({DType.F64, DType.F16, DType.S32, DType.U32, DType.S64, DType.U64})

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        a, b = (widened(array) for array in inputs)
        return [np.matmul(a, b).astype(np.asarray(inputs[0]).dtype)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call with a stride for each batch axis."""
        function = f"ew_plain_matmul_{graph.tensors[node.output].dtype.suffix}"
        params, arguments = batch_params(node, graph), (*node.inputs, node.output)
        return (KernelCall(function, "matmul/ew_plain_matmul.h", "ew_plain_matmul_params", params, arguments),)


class PlainConv(Conv):
    """Y = conv(X, W) + B; integers wrap around. Source: ONNX Conv-22."""

    name = "PlainConv"
    rows = ""
    fuses_activation = False
    dtypes = frozenset({DType.F64, DType.S32})

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, w, params = graph.tensors[node.inputs[0]], node.inputs[1], window_params(node, graph)
        bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None
        function, arguments = f"ew_plain_conv2d_{x.dtype.suffix}", (x.name, w, bias, node.output)
        return (KernelCall(function, "conv2d/ew_plain_conv2d.h", "ew_plain_conv2d_params", params, arguments),)


def _double(*shape: int) -> Array:
    return np.random.default_rng(3).standard_normal(shape)


cases(
    Case("MatMul", "float64", (given(2, 3, 4), _double(4, 5)), dtype="float64"),
    Case("MatMul", "float16", (given(2, 1, 3, 4), given(3, 4, 2)), dtype="float16"),
    Case("MatMul", "int32", (given(3, 4), given(4, 2)), dtype="int32"),
    *(Case("MatMul", dtype, (given(3, 4), given(4, 2)), dtype=dtype, slow=True)
      for dtype in ("int64", "uint32", "uint64")),
    Case("Gemm", "float64", (given(2, 7), _double(5, 7), _double(5)), {"alpha": 0.5, "transB": 1}, dtype="float64"),
    Case("Conv", "float64", (given(1, 4, 7, 6), _double(6, 2, 3, 3), _double(6)),
         {"group": 2, "strides": [2, 1], "pads": [1, 0, 2, 1]}, dtype="float64"),
    Case("Conv", "float16", (given(1, 2, 6, 6), _double(3, 2, 3, 3).astype(np.float16)), dtype="float16"),
    Case("Einsum", "float64", (given(2, 3, 4), given(2, 4)), {"equation": "bij,bj->bi"}, dtype="float64"),
)  # fmt: skip

"""What element-wise operators of many types share: functions of one element, and of several broadcast operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    ForeignNode,
    KernelCall,
    Operator,
    ParamValue,
    broadcast_shape,
    broadcast_strides,
    check_same_type,
    describe,
    merge_axes,
    padded_to_max_rank,
    required,
)

FLOATS = frozenset({DType.F32, DType.F64, DType.F16})
SIGNED = frozenset({DType.S8, DType.S16, DType.S32, DType.S64})
UNSIGNED = frozenset({DType.U8, DType.U16, DType.U32, DType.U64})
INTEGERS = SIGNED | UNSIGNED
NUMBERS = FLOATS | INTEGERS
BOOL = frozenset({DType.B8})

Formula = Callable[..., Any]  # of arrays, by numpy, and of a node's attributes by name


def widened(values: Array | None) -> Array:
    """float16 as float32, in which the kernels compute; other types as they are."""
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float16 else array


class Elementwise(Operator):
    """An operator of which an element of the result depends on one of each operand, defined by a formula."""

    formula: ClassVar[Formula]
    kernel: ClassVar[str]  # the C function without the type's suffix
    header: ClassVar[str]
    result: ClassVar[DType | None] = None  # None: that of the operands
    same_in_onnx = True

    def values(self, node: Node) -> dict[str, Any]:
        """Attributes as the formula and the kernel take them."""
        return {name: self.attr(node, name) for name in self.attributes}

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        arrays = [np.asarray(array) for array in inputs]
        dtype = self.result.numpy if self.result else arrays[0].dtype
        with np.errstate(all="ignore"):
            values = type(self).formula(*(widened(array) for array in arrays), **self.values(node))
            return [np.asarray(values).astype(dtype)]


class Unary(Elementwise):
    """y = f(x), element by element."""

    arity = (1, 1)
    elementwise = True
    in_place = frozenset({0})
    own_float32: ClassVar[bool] = False  # the float32 kernel has a header of its own, named after it

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any; the output has the input's."""
        x = required(inputs[0], node, "X")
        return [TensorType(x.shape, self.result or x.dtype)]

    def params(self, node: Node) -> Mapping[str, ParamValue]:
        """The kernel's parameters beside the number of elements."""
        return {name: float(value) for name, value in self.values(node).items()}

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, params = graph.tensors[node.inputs[0]], self.params(node)
        function = f"{self.kernel}_{x.dtype.suffix}"
        if self.own_float32 and x.dtype is DType.F32:
            header, params_type = f"unary/{function}.h", f"{function}_params"
        else:
            header, params_type = self.header, "ew_unary_constants_params" if params else "ew_unary_params"
            params = dict(zip(("alpha", "beta"), params.values(), strict=False))
        arguments = (node.inputs[0], node.output)
        return (KernelCall(function, header, params_type, {"count": x.elements, **params}, arguments),)


class Broadcast(Elementwise):
    """y = f(a, b), element by element. Source: ONNX, multidirectional broadcasting."""

    arity = (2, 2)
    rows = "each"
    in_place = frozenset({0, 1})

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any two that broadcast."""
        a, b = required(inputs[0], node, "A"), required(inputs[1], node, "B")
        self.check_types(node, a, b)
        return [TensorType(broadcast_shape(a.shape, b.shape, describe(node)), self.result or a.dtype)]

    def check_types(self, node: Node, a: Tensor, b: Tensor) -> None:
        """Refuse what the kernels do not take. Raises: ShapeError."""
        check_same_type(node, a, b)

    def function(self, node: Node, graph: Graph) -> str:
        """The C function."""
        return f"{self.kernel}_{graph.tensors[node.inputs[0]].dtype.suffix}"

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call over the fewest axes that describe the broadcasting."""
        params = walk(node, graph, ("a", "b"))
        arguments = (*node.inputs, node.output)
        return (KernelCall(self.function(node, graph), self.header, "ew_broadcast_params", params, arguments),)

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """Operands are permuted alike; broadcasting is the pass's concern."""
        return node


def walk(node: Node, graph: Graph, operands: Sequence[str], dense: bool = False) -> dict[str, ParamValue]:
    """The parameters of a loop over all elements of the output, and the strides of each operand.

    With `dense`, on the innermost axis one operand's stride is 1 and none is more.
    """
    shape = graph.tensors[node.output].shape
    dims, strides = merge_axes(shape, *(broadcast_strides(graph.tensors[name].shape, shape) for name in node.inputs))
    if not dims or (dense and max(steps[-1] for steps in strides) != 1):
        dims, strides = (*dims, 1), [(*steps, 0) for steps in strides]
    where = describe(node)
    params: dict[str, ParamValue] = {"rank": len(dims), "dims": padded_to_max_rank(dims, where)}
    for operand, steps in zip(operands, strides, strict=True):
        params[f"{operand}_strides"] = padded_to_max_rank(steps, where)
    return params


def define(base: type[Operator], name: str, doc: str, **members: Any) -> None:
    """Define the operator `name`, which is `base` with these members."""
    type(name, (base,), {"name": name, "__doc__": doc, **members})


def from_the_left(foreign: ForeignNode, op: str, is_final: bool = True) -> str:
    """Add `op` between all operands of a foreign node, from the left; returns the result. One operand is itself."""
    value, *others = [foreign.tensor(index).name for index in range(foreign.n_inputs)]
    if not others:
        return foreign.emit("Reshape", [value], final=0 if is_final else None, shape=foreign.tensor(0).shape)
    for number, name in enumerate(others, 1):
        value = foreign.emit(op, [value, name], final=0 if is_final and number == len(others) else None)
    return value


def one_way(node: Node, a: Tensor, b: Tensor) -> None:
    """Refuse a `b` that does not broadcast to the shape of `a`. Raises: ShapeError."""
    if broadcast_shape(a.shape, b.shape, describe(node)) != a.shape:
        raise ShapeError(f"{describe(node)}: {list(b.shape)} does not broadcast to {list(a.shape)}")

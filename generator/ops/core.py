"""What an operator is: the one place for its shape rule, reference, import, kernels and test cases.

A section of a module in this folder defines a subclass of `Operator` (registered by being defined) and
functions marked `@from_onnx("Name")` that turn ONNX nodes into the project's own. Modules are found by
scanning the folder: adding an operator changes no list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, Protocol

import numpy as np

from edgewright.errors import InternalError, ShapeError, UnsupportedError
from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType

Number = int | float
ParamValue = Number | str | tuple[Number, ...]

FREE = (-math.inf, math.inf)  # an activation clamp that does nothing


class Scratch:
    """The type of `SCRATCH`."""


SCRATCH = Scratch()  # an argument: a pointer to the call's `scratch_bytes` of 16-byte aligned arena memory


# How rows of an output come from rows of the inputs: by the window attributes; each from the one at its place; from
# anywhere, by a node whose attribute `band` (axis, first row, row behind the last) asks for some rows; or another way.
ROWS = ("window", "each", "anywhere", "")


@dataclass(frozen=True, eq=False)
class KernelCall:
    """One call of a C kernel with literal parameters.

    `arguments` stand in the C order: a tensor's name, an array packed for this kernel alone, `SCRATCH`, or None (NULL).
    The node's outputs, which come last, are written; the others are read.
    """

    function: str
    header: str
    params_type: str
    params: Mapping[str, ParamValue]
    arguments: tuple[str | Array | Scratch | None, ...]
    scratch_bytes: int = 0


@dataclass(frozen=True, eq=False)
class Fixed:
    """A graph input of a test case that always has these values: indices, mostly."""

    values: Array


@dataclass(frozen=True, eq=False)
class Case:
    """A test of one ONNX node: `inputs` are graph inputs (a shape or `Fixed`), constants (arrays) or None."""

    op_type: str
    name: str
    inputs: tuple[Any, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    dtype: str = "float32"
    positive: bool = False  # inputs without negative numbers, where ONNX leaves their result open
    dtypes: Mapping[int, str] = field(default_factory=dict)  # of inputs that have another type than `dtype`
    between: tuple[float, float] | None = None  # inputs are drawn uniformly from here, integers with both ends
    special: bool = False  # inputs hold infinities and NaN
    slow: bool = False  # a variant of another case: not in the default run of the tests


class Operator:
    """Base of all operators: subclasses are registered under `name` as one instance each."""

    name: ClassVar[str]
    arity: ClassVar[tuple[int, int]]  # fewest and most inputs
    attributes: ClassVar[Mapping[str, Any]] = {}  # name -> default; `...` where it must be given
    dtypes: ClassVar[frozenset[DType]] = frozenset({DType.F32})  # of the first input
    fuses_activation: ClassVar[bool] = False  # takes act_min and act_max
    elementwise: ClassVar[bool] = False  # unary, and the position of an element does not matter
    moves: ClassVar[bool] = False  # only moves elements, of any type: the output has the inputs' type and scale
    picks: ClassVar[bool] = False  # the same of the first input alone, by what the others say
    rounds_once: ClassVar[bool] = False  # a float result is one float32 operation of elements: the same bits anywhere
    zeros: ClassVar[tuple[str, ...] | None] = None  # attributes: zero points of an integer operator's first inputs
    rows: ClassVar[str] = ""  # how output rows come from input rows: see `ROWS`
    in_place: ClassVar[frozenset[int]] = frozenset()  # inputs of the output's shape that its kernel may write over
    capped_axis: ClassVar[int | None] = None  # along it only the beginning of the result counts: see ops/capped.py
    data_inputs: ClassVar[int | None] = None  # so many leading inputs have the output's axes; None: all of them
    has_kernel: ClassVar[bool] = True  # `lower` gives its one kernel; False: its kernels are in edgewright.kernels
    same_in_onnx: ClassVar[bool] = False  # ONNX has an operator of this name, with these inputs and attributes
    folds_at_import: ClassVar[bool] = True  # a node that reads only constants is computed at once
    registry: ClassVar[dict[str, Operator]] = {}

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            if cls.name in Operator.registry:
                raise InternalError(f"operator {cls.name} is defined twice")
            if cls.fuses_activation:
                cls.attributes = {**cls.attributes, "act_min": FREE[0], "act_max": FREE[1]}
            Operator.registry[cls.name] = cls()

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Return the types of the outputs.

        Raises: ShapeError where the inputs do not fit, UnsupportedError where no kernel could take them.
        """
        raise InternalError(f"{self.name} has no shape rule")

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """Return the outputs, by numpy."""
        raise InternalError(f"{self.name} has no numpy reference")

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """Choose the C kernels that do the work."""
        raise InternalError(f"{self.name} has no kernel")

    def macs(self, node: Node, graph: Graph) -> int:
        """Multiply-accumulates of one inference."""
        return 0

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """Return the node that does the same to operands whose axes are permuted by `perm`, or None.

        `perm` is ONNX's: axis i of the permuted operand is axis perm[i] of the present one.
        """
        return node if self.elementwise else None

    def attr(self, node: Node, name: str) -> Any:
        """Return an attribute, or its default."""
        return node.attrs.get(name, self.attributes[name])


def moved_inputs(node: Node) -> tuple[str, ...]:
    """The inputs whose elements the node only moves: the output has their type and scale. None for what computes."""
    rule = operator(node.op)
    return node.inputs if rule.moves else node.inputs[:1] if rule.picks else ()


def operator(name: str) -> Operator:
    """Return the operator called `name`."""
    try:
        return Operator.registry[name]
    except KeyError:
        raise InternalError(f"no operator is called '{name}'") from None


class ForeignNode(Protocol):
    """What an importer sees of a node of a foreign format, and how it adds the project's own nodes."""

    op_type: str
    name: str
    opset: int
    attrs: Mapping[str, Any]
    n_inputs: int
    n_outputs: int

    def has(self, index: int) -> bool:
        """Whether the optional input is there."""
        ...

    def tensor(self, index: int) -> Tensor:
        """Return an input."""
        ...

    def constant(self, index: int, what: str) -> Array:
        """Return an input that has to be a constant; `what` names it in the error."""
        ...

    def add_constant(self, hint: str, data: Array) -> str:
        """Add a constant."""
        ...

    def emit(self, op: str, inputs: Sequence[str], final: int | None = None, **attrs: Any) -> str:
        """Add a node; with `final`, its output is that output of the foreign node. Returns the output's name."""
        ...

    def emit_all(self, op: str, inputs: Sequence[str], **attrs: Any) -> None:
        """Add a node whose outputs are all of the foreign node's, in order; those that nobody reads are left out."""
        ...

    def type_of(self, name: str) -> TensorType:
        """Shape and type of a tensor emitted so far."""
        ...

    def output_is_used(self, index: int) -> bool:
        """Whether anything reads that output."""
        ...

    def unsupported(self, reason: str) -> NoReturn:
        """Refuse the node."""
        ...


Importer = Callable[[Any], None]
ONNX_IMPORTERS: dict[str, Importer] = {}
REFUSED: dict[str, str] = {}  # ONNX operators that no static program can have, and why
CASES: list[Case] = []


def from_onnx(*op_types: str) -> Callable[[Importer], Importer]:
    """Register a function as the way in for these ONNX operators ("domain.Name" outside ONNX's own domain)."""

    def register(function: Importer) -> Importer:
        for op_type in op_types:
            if op_type in ONNX_IMPORTERS:
                raise InternalError(f"ONNX operator {op_type} has two importers")
            ONNX_IMPORTERS[op_type] = function
        return function

    return register


def refuse(reason: str, *op_types: str) -> None:
    """Say why these ONNX operators have no importer."""
    REFUSED.update(dict.fromkeys(op_types, reason))


def cases(*items: Case) -> None:
    """Add test cases."""
    CASES.extend(items)


def given(*shape: int) -> Shape:
    """A graph input of a test case."""
    return shape


def weights(*shape: int, seed: int = 1, scale: float = 0.5) -> Array:
    """A constant of a test case: seeded normal numbers."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def ints(*values: int) -> Array:
    """A constant of a test case: int64 values."""
    return np.array(values, dtype=np.int64)


def required(tensor: Tensor | None, node: Node, what: str) -> Tensor:
    """Return the tensor, or refuse its absence."""
    if tensor is None:
        raise ShapeError(f"{describe(node)}: its input '{what}' is missing")
    return tensor


def check_same_type(node: Node, *tensors: Tensor | None) -> None:
    """Refuse operands of several types (absent ones are None). Raises: ShapeError."""
    types = list(dict.fromkeys(tensor.dtype.value for tensor in tensors if tensor is not None))
    if len(types) > 1:
        raise ShapeError(f"{describe(node)}: operands of {' and '.join(types)}")


def describe(node: Node) -> str:
    """How messages name a node."""
    return f"{node.op} '{node.name}'"


def normalize_axis(axis: int, rank: int, where: str) -> int:
    """Return the axis counted from the front; ShapeError outside [-rank, rank)."""
    if not -rank <= axis < rank:
        raise ShapeError(f"{where}: axis {axis} is outside a tensor of rank {rank}")
    return axis % rank if rank else 0


def broadcast_shape(a: Shape, b: Shape, where: str) -> Shape:
    """Return the shape two operands broadcast to. Source: ONNX, multidirectional broadcasting."""
    try:
        return tuple(int(d) for d in np.broadcast_shapes(a, b))
    except ValueError:
        raise ShapeError(f"{where}: shapes {list(a)} and {list(b)} do not broadcast") from None


def dense_strides(shape: Shape) -> Shape:
    """Strides, in elements, of a dense row-major tensor."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def broadcast_strides(shape: Shape, to: Shape) -> Shape:
    """Strides, in elements, that walk a dense tensor as if it had shape `to`: 0 on broadcast axes."""
    padded = (1,) * (len(to) - len(shape)) + shape
    return tuple(
        0 if size == 1 and target != 1 else stride
        for size, target, stride in zip(padded, to, dense_strides(padded), strict=True)
    )


def merge_axes(dims: Shape, *strides: Shape) -> tuple[Shape, list[Shape]]:
    """Join neighbouring axes that all operands walk as one, and drop axes of size 1.

    Fewer loops run on the device: two equal shapes become one axis.
    """
    kept: list[tuple[int, tuple[int, ...]]] = []
    for size, steps in zip(dims, zip(*strides, strict=True), strict=True):
        if size == 1:
            continue
        if kept:
            outer_size, outer_steps = kept[-1]
            if all(outer == step * size for outer, step in zip(outer_steps, steps, strict=True)):
                kept[-1] = (outer_size * size, steps)
                continue
        kept.append((size, steps))
    return (
        tuple(size for size, _ in kept),
        [tuple(steps[i] for _, steps in kept) for i in range(len(strides))],
    )


MAX_RANK = 8  # EW_MAX_RANK in ew_base.h


def padded_to_max_rank(values: Sequence[int], where: str, fill: int = 0) -> tuple[int, ...]:
    """Fill an array parameter of a kernel up to its fixed length."""
    if len(values) > MAX_RANK:
        raise UnsupportedError(f"{where}: {len(values)} separate axes; the kernels take {MAX_RANK}")
    return tuple(values) + (fill,) * (MAX_RANK - len(values))


def activation_params(op: Operator, node: Node) -> dict[str, ParamValue]:
    """The clamp parameters of a kernel that has a fused activation."""
    return {"act_min": float(op.attr(node, "act_min")), "act_max": float(op.attr(node, "act_max"))}


def narrowed(inner: tuple[float, float], outer: tuple[float, float]) -> tuple[float, float]:
    """Return the one clamp that clamping to `inner`, then to `outer`, comes to."""
    return min(max(inner[0], outer[0]), outer[1]), max(min(inner[1], outer[1]), outer[0])


def clamped(values: Array, op: Operator, node: Node) -> Array:
    """Apply a fused activation, as the C kernels do: NaN passes through."""
    low, high = op.attr(node, "act_min"), op.attr(node, "act_max")
    if (low, high) == FREE:
        return values
    return np.where(values < low, values.dtype.type(low), np.where(values > high, values.dtype.type(high), values))

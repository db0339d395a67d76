"""What a legal graph is, as a table of rules; the pipeline runs it between passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgewright.errors import EdgewrightError, InternalError, MemoryPlanError
from edgewright.ir import DType, Graph
from edgewright.ops import Operator, operator
from edgewright.ops.core import describe

MAX_TENSOR_BYTES = 2**31 - 1


def _names(graph: Graph) -> Iterator[str]:
    for name, tensor in graph.tensors.items():
        if name != tensor.name:
            yield f"tensor '{tensor.name}' is filed under '{name}'"
    for name in (*graph.inputs, *graph.outputs):
        if name not in graph.tensors:
            yield f"graph input or output '{name}' is not a tensor"
    for node in graph.nodes:
        for name in (*node.inputs, *node.outputs):
            if name and name not in graph.tensors:
                yield f"{describe(node)}: '{name}' is not a tensor"


def _single_assignment_in_order(graph: Graph) -> Iterator[str]:
    made = {*graph.inputs} | {name for name, tensor in graph.tensors.items() if tensor.data is not None}
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in made:
                yield f"{describe(node)} reads '{name}' before anything makes it"
        for name in filter(None, node.outputs):
            if name in made:
                yield f"{describe(node)} makes '{name}' a second time"
            made.add(name)
    by_nodes = {name for node in graph.nodes for name in node.outputs}
    for index, name in enumerate(graph.outputs):
        if name not in by_nodes or name in graph.outputs[:index]:
            yield f"the output '{name}' is not made by a node, or is listed twice"


def _constants(graph: Graph) -> Iterator[str]:
    for tensor in graph.tensors.values():
        if tensor.data is None:
            continue
        if tuple(tensor.data.shape) != tensor.shape or DType.of(tensor.data) is not tensor.dtype:
            yield f"constant '{tensor.name}' holds {tensor.data.dtype} {tensor.data.shape}"
        if tensor.data.flags.writeable:
            yield f"constant '{tensor.name}' can be written to"


def _signatures(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.op not in Operator.registry:
            yield f"{describe(node)}: no such operator"
            continue
        rule = operator(node.op)
        if not rule.arity[0] <= len(node.inputs) <= rule.arity[1]:
            yield f"{describe(node)} has {len(node.inputs)} inputs"
        for name in node.attrs:
            if name not in rule.attributes:
                yield f"{describe(node)} has no attribute '{name}'"
        for name, default in rule.attributes.items():
            if default is ... and name not in node.attrs:
                yield f"{describe(node)} lacks its attribute '{name}'"
        first = next((name for name in node.inputs if name), None)
        if first is not None and graph.tensors[first].dtype not in rule.dtypes:
            yield f"{describe(node)} does not take {graph.tensors[first].dtype.value}"


def _shapes(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        inputs = [graph.tensors[name] if name else None for name in node.inputs]
        try:
            types = operator(node.op).infer(node, inputs)
        except EdgewrightError as error:
            yield str(error)
            continue
        for name, type_ in zip(node.outputs, types, strict=True):
            if name and graph.tensors[name].type != type_:
                yield f"{describe(node)}: '{name}' is {graph.tensors[name].type}, and the shape rule says {type_}"


def _capped(graph: Graph) -> Iterator[str]:
    capped = {name for node in graph.nodes if operator(node.op).capped_axis is not None for name in node.outputs}
    for node in graph.nodes:
        for name in capped.intersection(node.inputs):
            yield f"{describe(node)} reads '{name}', whose size only the device knows"


RULES: tuple[Callable[[Graph], Iterator[str]], ...] = (
    _names,
    _single_assignment_in_order,
    _constants,
    _signatures,
    _shapes,
    _capped,
)


def verify(graph: Graph, after: str) -> Graph:
    """Return the graph if it is legal; `after` names the stage or pass that made it.

    Raises: InternalError naming the first offenders.
    """
    for rule in RULES:
        problems = list(rule(graph))
        if problems:
            raise InternalError(f"illegal graph after {after}: " + "; ".join(problems[:3]))
    return graph


def check_tensor_sizes(graph: Graph) -> None:
    """Raise MemoryPlanError for a tensor that no kernel can count through. Passes may make one that is larger."""
    for tensor in graph.tensors.values():
        if tensor.size_bytes > MAX_TENSOR_BYTES:
            raise MemoryPlanError(
                f"tensor '{tensor.name}' of shape {list(tensor.shape)} takes {tensor.size_bytes:,} B; "
                f"the kernels count in 32 bits, up to {MAX_TENSOR_BYTES:,} B"
            )

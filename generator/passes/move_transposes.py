"""Moves Transposes towards the outputs until they meet another and cancel, or are absorbed.

Rules, applied until none fits: two in a row are one; two that do the same are one; an operator that does not
care for the order of axes goes before its Transpose; one that is flattened into a fully connected layer goes into
that layer's weights. A Reshape likewise goes behind element-wise operators, so that the pairs around
one-dimensional convolutions meet. At the end, a Transpose that only moves axes of size 1 is a Reshape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from edgewright.ir import Editor, Graph, Node, Shape, TensorType, live_nodes
from edgewright.ops import operator
from edgewright.ops.window import TO_NCHW
from edgewright.passes.remove_noops import remove_noops


def move_transposes(graph: Graph) -> Graph:
    """Return the graph with as few Transposes as the rules leave."""
    moved = _until_none_fits(graph, _rewrite)
    return _until_none_fits(moved, lambda editor, node, producers: node.op == "Transpose" and _as_reshape(editor, node))


def _until_none_fits(graph: Graph, rule: Callable[[Editor, Node, dict[str, Node]], bool]) -> Graph:
    while True:
        editor = Editor(remove_noops(graph))
        changed = editor.sweep(partial(rule, editor))
        graph = editor.graph()
        if not changed:
            return replace(graph, nodes=tuple(live_nodes(graph)))


def _rewrite(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    """Apply the first rule that fits this node."""
    if node.op == "Transpose":
        return _joined(editor, node, producers) or _shared(editor, node)
    if node.op in ("FullyConnected", "QFullyConnected"):
        return _into_weights(editor, node, producers)
    return _behind(editor, node, producers)


def _as_reshape(editor: Editor, node: Node) -> bool:
    shape = editor.tensors[node.inputs[0]].shape
    moved = [axis for axis in node.attrs["perm"] if shape[axis] != 1]
    if moved != sorted(moved):
        return False
    result = editor.tensors[node.output].shape
    editor.replace_node(node, [replace(node, op="Reshape", attrs={"shape": result})])
    return True


def _joined(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    before = producers.get(node.inputs[0])
    if before is None or before.op != "Transpose":
        return False
    perm = tuple(_perm(before)[axis] for axis in _perm(node))
    editor.replace_node(node, [replace(node, inputs=before.inputs, attrs={"perm": perm})])
    return True


def _shared(editor: Editor, node: Node) -> bool:
    """Read the result of an earlier Transpose that does the same."""
    twin = next(n for n in editor.nodes if n.op == "Transpose" and n.inputs == node.inputs and _perm(n) == _perm(node))
    if twin is node or node.output in editor.outputs:
        return False
    editor.replace_node(node, [])
    editor.redirect(node.output, twin.output)
    return True


def _perm(node: Node) -> Shape:
    return tuple(node.attrs["perm"])


def _into_weights(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    """Transpose, then Reshape to rows, then FullyConnected: permute the columns of the weights instead."""
    flat = producers.get(node.inputs[0])
    before = producers.get(flat.inputs[0]) if flat is not None and flat.op == "Reshape" else None
    weights = editor.tensors[node.inputs[1]].data
    if flat is None or before is None or before.op != "Transpose" or weights is None:
        return False
    perm, shape = before.attrs["perm"], editor.tensors[before.output].shape
    if perm[0] != 0 or math.prod(shape[1:]) != weights.shape[1]:
        return False
    back = np.argsort(perm)[1:]  # axes of the Transpose's output in the order of its input
    columns = weights.reshape(-1, *shape[1:]).transpose(0, *(int(axis) for axis in back))
    new_weights = editor.add_constant(f"{node.inputs[1]}.permuted", columns.reshape(weights.shape))
    rows = editor.add_tensor(f"{flat.output}.direct", editor.tensors[flat.output].type)
    reshape = Node("Reshape", f"{flat.name}.direct", before.inputs, (rows,), flat.attrs)
    editor.replace_node(node, [reshape, replace(node, inputs=(rows, new_weights, *node.inputs[2:]))])
    return True


def _behind(editor: Editor, node: Node, producers: dict[str, Node]) -> bool:
    """Put the node before the Transposes (or, if it is element-wise, before the Reshape) that it reads."""
    if [name for name in node.outputs if name] != [node.outputs[0]]:  # what its other outputs become, no rule says
        return False
    operands = node.inputs[: operator(node.op).data_inputs]
    variable = [(name, producers.get(name)) for name in operands if name and editor.tensors[name].data is None]
    if not variable:
        return False
    transposed = (maker for _, maker in variable if maker is not None and maker.op == "Transpose")
    first = next(transposed, variable[0][1])
    if first is not None and first.op == "Reshape" and operator(node.op).elementwise:
        _swap(editor, node, (first.inputs[0], *node.inputs[1:]), node, first)
        return True
    if first is None or first.op != "Transpose":
        return False
    perm = _perm(first)
    rank = len(perm)
    inverse = tuple(int(axis) for axis in np.argsort(perm))
    moved = operator(node.op).permuted(node, inverse)
    if moved is None:
        return False
    shapes = [editor.tensors[name].shape for name in (*operands, node.output)]
    if len(shapes[-1]) != rank or any(len(shape) > rank for shape in shapes):
        return False
    sources = {name: _before_transpose(editor, node, name, maker, perm, inverse) for name, maker in variable}
    if any(source is None for source in sources.values()):
        return False
    inputs = tuple(sources.get(name) or _permuted_constant(editor, name, inverse, rank) for name in operands)
    _swap(editor, node, (*inputs, *node.inputs[len(operands) :]), moved, first)
    return True


def _before_transpose(
    editor: Editor, node: Node, name: str, maker: Node | None, perm: Shape, inverse: Shape
) -> str | None:
    """Return the tensor of which `name` is the Transpose by `perm`, where it is there already.

    Where `name` itself is read in NHWC by somebody else, that Transpose serves (and comes to stand before `node`).
    Only in this direction, or two Transposes could be exchanged for ever.
    """
    if maker is not None and maker.op == "Transpose" and _perm(maker) == perm:
        return maker.inputs[0]
    if perm != TO_NCHW:
        return None
    place = next(i for i, n in enumerate(editor.nodes) if n is node)
    for i, other in enumerate(editor.nodes):
        if other.op == "Transpose" and other.inputs == (name,) and _perm(other) == inverse:
            if other.output in node.inputs:
                return None
            if i > place:
                editor.nodes.insert(place, editor.nodes.pop(i))
            return other.output
    return None


def _permuted_constant(editor: Editor, name: str, inverse: Shape, rank: int) -> str:
    data = np.asarray(editor.tensors[name].data)
    wide = data.reshape((1,) * (rank - data.ndim) + data.shape)
    return editor.add_constant(f"{name}.permuted", wide.transpose(inverse))


def _swap(editor: Editor, node: Node, inputs: tuple[str, ...], moved: Node, mover: Node) -> None:
    """Write `moved` on `inputs`, then what `mover` did, in place of `node`."""
    tensors = [editor.tensors[name] for name in inputs]
    result, *others = operator(moved.op).infer(moved, tensors)
    between = editor.add_tensor(f"{node.output}.before", TensorType(result.shape, result.dtype))
    attrs = mover.attrs
    after = Node(mover.op, f"{node.name}.{mover.op.lower()}", (between,), (node.output,), attrs)
    editor.replace_node(node, [replace(moved, inputs=inputs, outputs=(between, *("" for _ in others))), after])

"""Operators on float16 and bfloat16 that have no kernel for them: what of a node has to be narrow again.

Its operands become float32 by Cast, the node computes in float32, and a Cast rounds each result once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx
import onnx.defs

from edgewright.ir import DType, Editor

NARROW_FLOATS = frozenset({DType.F16, DType.BF16})


def narrow_types(proto: onnx.NodeProto, opset: int, inputs: Sequence[DType | None]) -> dict[int, DType]:
    """Return the narrow type of each output that has one: that of the inputs with the same type in the standard.

    `inputs` are the types of the node's inputs; None stands for an absent one.
    """
    try:
        schema = onnx.defs.get_schema(proto.op_type, opset, "" if proto.domain == "ai.onnx" else proto.domain)
    except onnx.defs.SchemaError:  # of another domain: one type for all
        first = next((dtype for dtype in inputs if dtype in NARROW_FLOATS), None)
        return {} if first is None else dict.fromkeys(range(len(proto.output)), first)
    found: dict[str, DType] = {}
    for index, dtype in enumerate(inputs):
        if dtype is not None and dtype in NARROW_FLOATS:  # the last parameter may stand for several inputs
            found.setdefault(schema.inputs[min(index, len(schema.inputs) - 1)].type_str, dtype)
    outputs = {i: schema.outputs[min(i, len(schema.outputs) - 1)].type_str for i in range(len(proto.output))}
    return {index: found[name] for index, name in outputs.items() if name in found}


def rename(editor: Editor, old: str, hint: str, first: int) -> str:
    """Give a tensor that the nodes from `first` on make another name; returns it."""
    new = editor.fresh(hint)
    editor.tensors[new] = replace(editor.tensors.pop(old), name=new)
    for index in range(first, len(editor.nodes)):
        node = editor.nodes[index]
        inputs, outputs = (tuple(new if n == old else n for n in names) for names in (node.inputs, node.outputs))
        editor.nodes[index] = replace(node, inputs=inputs, outputs=outputs)
    return new

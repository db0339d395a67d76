"""An ONNX node as the importers in ops/ see it, and how it becomes nodes of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper

from edgewright.errors import ShapeError, UnsupportedError
from edgewright.frontends.onnx_elements import dtype_of, type_name
from edgewright.frontends.onnx_folding import check_elements
from edgewright.frontends.onnx_scope import Scope, Value
from edgewright.ir import Array, Node, Tensor, TensorType
from edgewright.ops import operator

if TYPE_CHECKING:
    from edgewright.frontends.onnx_graph import GraphImporter


class Foreign:
    """A node of an ONNX graph (`ForeignNode`), or of a definition or a body."""

    def __init__(self, importer: GraphImporter, scope: Scope, proto: onnx.NodeProto, name: str) -> None:
        self._importer = importer
        self._scope = scope
        self._proto = proto
        self.op_type = str(proto.op_type)
        self.name = name
        self.opset = scope.opset(proto.domain)
        self.n_inputs = len(proto.input)
        self.n_outputs = len(proto.output)
        self.attrs = {a.name: _attribute(a) for a in proto.attribute}
        self._emitted = 0

    def has(self, index: int) -> bool:
        """Whether the optional input is there."""
        return index < len(self._proto.input) and bool(self._proto.input[index])

    def value(self, index: int) -> Value:
        """Return an input, which may be a sequence, or an optional."""
        if not self.has(index):
            raise ShapeError(f"input number {index} is missing")
        return self._scope.find(self._proto.input[index])

    def tensor(self, index: int) -> Tensor:
        """Return an input."""
        value = self.value(index)
        if not isinstance(value, str):
            self.unsupported(f"its input number {index} is {'an empty optional' if value is None else 'a sequence'}")
        return self._importer.editor.tensors[value]

    def is_four_bit(self, index: int) -> bool:
        """Whether an input came as int4 or uint4."""
        return self.has(index) and self.value(index) in self._importer.four_bit

    def constant(self, index: int, what: str) -> Array:
        """Return an input that has to be a constant; `what` names it in the error."""
        tensor = self.tensor(index)
        if tensor.data is None:
            self._importer.need(tensor.name)
            hint = f": --bind {tensor.name}=VALUE makes it one" if tensor.name in self._importer.editor.inputs else ""
            self.unsupported(f"its '{what}' is computed at run time; it has to be a constant{hint}")
        return tensor.data

    def add_constant(self, hint: str, data: Array) -> str:
        """Add a constant."""
        return self._importer.editor.add_constant(hint, data)

    def emit(self, op: str, inputs: Sequence[str], final: int | None = None, **attrs: Any) -> str:
        """Add a node; with `final`, its output is that output of this one. Returns the output's name."""
        hint = f"{self.name}/{op}" if final is None else self._scope.prefix + self._proto.output[final]
        output = self._emit(op, inputs, [hint], attrs)[0]
        if final is not None:
            self.give(final, output)
        return output

    def emit_all(self, op: str, inputs: Sequence[str], **attrs: Any) -> None:
        """Add a node whose outputs are all of this one's, in order; those that nobody reads are left out."""
        used = [self.output_is_used(index) for index in range(self.n_outputs)]
        hints = [self._scope.prefix + name if is_used else ""
                 for name, is_used in zip(self._proto.output, used, strict=True)]  # fmt: skip
        outputs = self._emit(op, inputs, hints, attrs)
        for index, (is_used, name) in enumerate(zip(used, outputs, strict=False)):
            if is_used:
                self.give(index, name)

    def give(self, index: int, value: Value) -> None:
        """Say what an output is."""
        if index < len(self._proto.output) and self._proto.output[index]:
            self._scope.values[self._proto.output[index]] = value

    def _emit(self, op: str, inputs: Sequence[str], hints: Sequence[str], attrs: Mapping[str, Any]) -> list[str]:
        """Add a node, or compute it where it reads only constants; returns its outputs, "" where there is no hint.

        A tensor without elements is a constant.
        """
        editor = self._importer.editor
        rule = operator(op)
        suffix = f".{self._emitted}" if self._emitted else ""
        self._emitted += 1
        node = Node(op, self.name + suffix, tuple(inputs), ("",), attrs)
        tensors = [editor.tensors[name] if name else None for name in inputs]
        first = next((t for t in tensors if t is not None), None)
        if first is not None and first.dtype not in rule.dtypes:
            self.unsupported(f"{self.op_type} on {first.dtype.value}")
        results = rule.infer(node, tensors)
        wanted = [*hints, *[""] * (len(results) - len(hints))]
        folds = rule.folds_at_import and all(tensor is None or tensor.data is not None for tensor in tensors)
        empty = [prod(result.shape) == 0 for result in results]
        if folds or all(empty):
            check_elements(sum(prod(result.shape) for result in results))
            if all(empty):
                arrays = [np.zeros(result.shape, result.dtype.numpy) for result in results]
            else:
                arrays = rule.evaluate(node, [None if tensor is None else tensor.data for tensor in tensors])
            return [hint and editor.add_constant(hint, array) for hint, array in zip(wanted, arrays, strict=True)]
        if any(empty) or any(tensor is not None and not tensor.elements for tensor in tensors):
            shapes = [list(t.shape) for t in (*tensors, *results) if t is not None and not prod(t.shape)]
            self.unsupported(f"a tensor of shape {shapes[0]}, no elements, beside others that have some")
        outputs = [hint and editor.add_tensor(hint, result) for hint, result in zip(wanted, results, strict=True)]
        if any(outputs):
            editor.nodes.append(replace(node, outputs=tuple(outputs)))
        return outputs

    def type_of(self, name: str) -> TensorType:
        """Shape and type of a tensor emitted so far."""
        return self._importer.editor.tensors[name].type

    def output_is_used(self, index: int) -> bool:
        """Whether anything reads that output."""
        name = self._proto.output[index] if index < len(self._proto.output) else ""
        return bool(name) and name in self._scope.used

    def unsupported(self, reason: str) -> NoReturn:
        """Refuse the node."""
        raise UnsupportedError(reason)


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if attribute.name in ("to", "dtype") and isinstance(value, int):
        return dtype_of(value) or type_name(value)
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value

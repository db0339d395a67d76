"""An ONNX node as the importers in ops/ see it, and how it becomes nodes of ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import onnx
import onnx.helper
import onnx.numpy_helper

from edgewright.errors import ShapeError, UnsupportedError
from edgewright.frontends.onnx_folding import check_elements
from edgewright.frontends.onnx_types import dtype_of, type_name
from edgewright.ir import Array, Node, Tensor, TensorType
from edgewright.ops import operator

if TYPE_CHECKING:
    from edgewright.frontends.onnx_graph import GraphImporter


class Foreign:
    """An ONNX node as the importers in ops/ see it (`ForeignNode`)."""

    def __init__(self, importer: GraphImporter, proto: onnx.NodeProto, name: str) -> None:
        self._importer = importer
        self._proto = proto
        self.op_type = str(proto.op_type)
        self.name = name
        self.opset = importer.opset
        self.n_inputs = len(proto.input)
        self.n_outputs = len(proto.output)
        self.attrs = {a.name: self._attribute(a) for a in proto.attribute}
        self._emitted = 0

    def _attribute(self, attribute: onnx.AttributeProto) -> Any:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if attribute.name in ("to", "dtype") and isinstance(value, int):
            return dtype_of(value) or type_name(value)
        if isinstance(value, onnx.TensorProto):
            return onnx.numpy_helper.to_array(value)
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value

    def has(self, index: int) -> bool:
        """Whether the optional input is there."""
        return index < len(self._proto.input) and bool(self._proto.input[index])

    def tensor(self, index: int) -> Tensor:
        """Return an input."""
        if not self.has(index):
            raise ShapeError(f"input number {index} is missing")
        return self._importer.editor.tensors[self._importer.names[self._proto.input[index]]]

    def is_four_bit(self, index: int) -> bool:
        """Whether an input came as int4 or uint4."""
        return self.has(index) and self._proto.input[index] in self._importer.four_bit

    def constant(self, index: int, what: str) -> Array:
        """Return an input that has to be a constant; `what` names it in the error."""
        tensor = self.tensor(index)
        if tensor.data is None:
            value = self._proto.input[index]
            self._importer.needed.add(value)
            hint = f": --bind {value}=VALUE makes it one" if tensor.name in self._importer.editor.inputs else ""
            self.unsupported(f"its '{what}' is computed at run time; it has to be a constant{hint}")
        return tensor.data

    def add_constant(self, hint: str, data: Array) -> str:
        """Add a constant."""
        return self._importer.editor.add_constant(hint, data)

    def emit(self, op: str, inputs: Sequence[str], final: int | None = None, **attrs: Any) -> str:
        """Add a node; with `final`, its output is that output of this one. Returns the output's name."""
        hint = f"{self.name}/{op}" if final is None else self._proto.output[final]
        output = self._emit(op, inputs, [hint], attrs)[0]
        if final is not None:
            self._importer.names[self._proto.output[final]] = output
        return output

    def emit_all(self, op: str, inputs: Sequence[str], **attrs: Any) -> None:
        """Add a node whose outputs are all of this one's, in order; those that nobody reads are left out."""
        hints = [name if name in self._importer.used else "" for name in self._proto.output]
        outputs = self._emit(op, inputs, hints, attrs)
        self._importer.names.update((hint, name) for hint, name in zip(hints, outputs, strict=False) if hint)

    def _emit(self, op: str, inputs: Sequence[str], hints: Sequence[str], attrs: Mapping[str, Any]) -> list[str]:
        """Add a node, or compute it where it reads only constants; returns its outputs, "" where there is no hint."""
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
        empty = next((result.shape for result in results if math.prod(result.shape) == 0), None)
        if empty is not None and not folds:
            self.unsupported(f"its result has shape {list(empty)}, no elements")
        if folds:
            check_elements(sum(math.prod(result.shape) for result in results))
            arrays = rule.evaluate(node, [None if tensor is None else tensor.data for tensor in tensors])
            return [hint and editor.add_constant(hint, array) for hint, array in zip(wanted, arrays, strict=True)]
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
        return bool(name) and name in self._importer.used

    def unsupported(self, reason: str) -> NoReturn:
        """Refuse the node."""
        raise UnsupportedError(reason)

"""ONNX's standard backend interface on the host: `prepare(model).run(inputs)`, for BackendTest and for comparisons.

    from edgewright import backend
    y, = backend.prepare(onnx.load("model.onnx")).run([x])

The model is compiled as for a board, with portable kernels, and each inference runs in a process of its own. What has
to be constant at import (dimensions that the model leaves open, operands like the shape of Reshape) is taken from the
inputs of a run; the compiled program is kept for the next run with the same ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.shape_inference
from onnx.backend.base import Backend, BackendRep, namedtupledict
from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt

from edgewright.conformance.lower import Lowered, Refusal, is_open, lower_model
from edgewright.errors import DataError, UnsupportedError
from edgewright.frontends.onnx_bind import graph_inputs
from edgewright.ir import Array
from edgewright.native import compile_models
from edgewright.native import run_model as run_native

DEVICE = "CPU"
_PREFIX = "model"
_TIMEOUT_S = 120.0


class RefusedModelError(UnsupportedError, BackendIsNotSupposedToImplementIt):  # type: ignore[misc]
    """The model asks for something that edgewright does not do; BackendTest skips the test."""


class HostRep(BackendRep):  # type: ignore[misc]
    """A model that is ready to run; what was compiled for it is kept as long as it is."""

    def __init__(self, model: onnx.ModelProto, timeout_s: float = _TIMEOUT_S) -> None:
        self._model = model
        self._timeout_s = timeout_s
        self._inputs = graph_inputs(model)
        self._open = [value.name for value in self._inputs if is_open(value)]
        self._outputs = [value.name for value in model.graph.output]
        self._scratch = tempfile.TemporaryDirectory(prefix="edgewright-")
        self._programs: dict[object, tuple[Path, Lowered]] = {}
        self._needed: frozenset[str] = frozenset()  # inputs whose elements became constants
        lowered = _prepared(model)
        if lowered is not None:
            self._compiled(lowered, self._key({}))

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Run one inference.

        Shapes: `inputs` is a list in the model's order, a mapping by name, or one array; each has its input's shape.
        Raises: DataError for inputs that do not fit, RefusedModelError, ToolError where compiler or program fails.
        """
        values = self._checked(inputs)
        found = self._programs.get(self._key(values))
        if found is None:
            lowered = lower_model(self._model, values, _PREFIX)
            if isinstance(lowered, Refusal):
                raise RefusedModelError(lowered.reason)
            self._needed |= frozenset(lowered.bound)
            found = self._compiled(lowered, self._key(values))
        program, lowered = found
        given = [values[port.name] for port in lowered.native.inputs]
        made = run_native(program, lowered.native, given, self._timeout_s)
        results: tuple[Any, ...] = namedtupledict("Outputs", self._outputs)(*made)
        return results

    def _key(self, values: Mapping[str, Array]) -> object:
        """What a compiled program depends on: shapes that the model leaves open, elements of bound inputs."""
        shapes = tuple(None if name not in values else values[name].shape for name in self._open)
        bound = tuple((name, values[name].tobytes()) for name in sorted(self._needed & set(values)))
        return shapes, bound

    def _compiled(self, lowered: Lowered, key: object) -> tuple[Path, Lowered]:
        folder = Path(self._scratch.name) / str(len(self._programs))
        folder.mkdir()
        self._programs[key] = compile_models([lowered.native], folder), lowered
        return self._programs[key]

    def _checked(self, inputs: Any) -> dict[str, Array]:
        names = [value.name for value in self._inputs]
        if isinstance(inputs, Mapping):
            given = dict(inputs)
        else:
            several = isinstance(inputs, Sequence) and not isinstance(inputs, str)
            listed = list(inputs) if several else [inputs]
            if len(listed) != len(names):
                raise DataError(f"{len(listed)} inputs; the model has {len(names)}: {', '.join(names)}")
            given = dict(zip(names, listed, strict=True))
        if set(given) != set(names):
            raise DataError(f"inputs {', '.join(map(str, given))}; the model's are {', '.join(names)}")
        return {value.name: _fitted(given[value.name], value) for value in self._inputs}


def _prepared(model: onnx.ModelProto) -> Lowered | None:
    """Lower a model without values; None where it needs those of a run. Raises: RefusedModelError."""
    if any(is_open(value) for value in graph_inputs(model)):
        return None
    lowered = lower_model(model, {}, _PREFIX)
    if isinstance(lowered, Lowered):
        return lowered
    if not lowered.needed:
        raise RefusedModelError(lowered.reason)
    return None


def _fitted(given: Any, info: onnx.ValueInfoProto) -> Array:
    """Return an input as an array. Raises: DataError where its type or shape is not the model's."""
    if not info.type.HasField("tensor_type"):
        raise RefusedModelError(f"input '{info.name}' is not a tensor")
    array, kind = np.asarray(given), info.type.tensor_type
    wanted = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if array.dtype != wanted:
        raise DataError(f"input '{info.name}' has type {array.dtype}; the model's is {wanted}")
    if kind.HasField("shape"):
        dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
        if len(dims) != array.ndim or any(d not in (None, n) for d, n in zip(dims, array.shape, strict=True)):
            shown = ", ".join("?" if d is None else str(d) for d in dims)
            raise DataError(f"input '{info.name}' has shape {list(array.shape)}; the model's is [{shown}]")
    return array


class EdgewrightBackend(Backend):  # type: ignore[misc]
    """The backend; the functions of this module are its methods."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = DEVICE, **kwargs: Any) -> bool:
        """Whether the model can be prepared."""
        try:
            _prepared(model)
        except RefusedModelError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = DEVICE, **kwargs: Any) -> HostRep:
        """Import and compile a model. Raises: RefusedModelError, ToolError where there is no compiler."""
        if not cls.supports_device(device):
            raise RefusedModelError(f"device '{device}': only {DEVICE} is supported")
        return HostRep(model)

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = DEVICE, **kwargs: Any) -> tuple[Any, ...]:
        """Prepare a model and run it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = DEVICE, outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """Run one operator, in operator set `opset_version` or the newest.

        Shapes: `inputs` are those that the node names, in its order.
        """
        opset = int(kwargs.pop("opset_version", onnx.defs.onnx_opset_version()))
        arrays = [np.asarray(x) for x in (inputs if isinstance(inputs, Sequence) else [inputs])]
        names = [name for name in node.input if name]
        if len(arrays) != len(names):
            raise DataError(f"{len(arrays)} inputs; the node reads {len(names)}: {', '.join(names)}")
        infos = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays, strict=True)
        ]
        outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "node", infos, outputs)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, opset)])
        inferred = onnx.shape_inference.infer_shapes(model)
        return cls.prepare(inferred, device, **kwargs).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether a device is the host."""
        return device.partition(":")[0] == DEVICE


is_compatible = EdgewrightBackend.is_compatible
prepare = EdgewrightBackend.prepare
run_model = EdgewrightBackend.run_model
run_node = EdgewrightBackend.run_node
supports_device = EdgewrightBackend.supports_device

"""What a model ought to give: its outputs by ONNX Runtime or, where that is not installed, by ONNX's own evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.version_converter
from onnx.reference import ReferenceEvaluator

from edgewright.errors import ModelError, ToolError
from edgewright.frontends.onnx import decode_model
from edgewright.ir import Array, Shape
from edgewright.ops.capped import filled


@dataclass(frozen=True, eq=False)
class ReferenceRun:
    """The outputs in the model's order, each stacked over the samples, and who computed them."""

    source: str  # "onnxruntime" or "onnx-reference"
    note: str | None  # why it is not ONNX Runtime
    outputs: tuple[Array, ...]


def run_reference(
    serialized: bytes, inputs: Mapping[str, Array], on_progress: Callable[[int], None] | None = None,
    capped: Sequence[Shape | None] = (),
) -> ReferenceRun:  # fmt: skip
    """Run the model on each sample.

    Shapes: `inputs[name]` is (n, *the model's input shape), the leading batch of 1 included; likewise the outputs. A
    model without inputs runs once. `capped` are the shapes of capped outputs, which are filled up to them; None for
    others.
    Raises: ToolError where neither evaluator can run the model.
    """
    model = decode_model(serialized, "the model to compare with is damaged")
    _check_inputs(model, inputs)
    source, note, run = _evaluator(serialized, model)
    count = len(next(iter(inputs.values()))) if inputs else 1
    results: list[list[Array]] = []
    for index in range(count):
        made = [np.asarray(y) for y in run({name: np.asarray(x[index]) for name, x in inputs.items()})]
        shapes = (*capped, *[None] * (len(made) - len(capped)))
        results.append([y if shape is None else filled(y, shape) for y, shape in zip(made, shapes, strict=True)])
        if on_progress is not None:
            on_progress(index + 1)
    return ReferenceRun(source, note, tuple(np.stack(values) for values in zip(*results, strict=True)))


# Before, its Softmax and BatchNormalization are not what the standard says (onnx 1.23).
_OLDEST_OPSET_OF_ONNX_REFERENCE = 17


def _no_reference(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return f"ONNX's own evaluator cannot run this model ({lines[0]}): pip install 'edgewright[ort]'"


def _check_inputs(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> None:
    """Make sure that this is the model the inputs are for. Raises: ModelError."""
    known = {initializer.name for initializer in model.graph.initializer}
    wanted = {value.name for value in model.graph.input} - known
    if wanted != set(inputs):
        raise ModelError(f"the model to compare with has inputs {sorted(wanted)}, the data {sorted(inputs)}")


Evaluator = Callable[[Mapping[str, Array]], Sequence[Array]]


# The types of inputs and outputs that ONNX Runtime's interface has arrays for: the last of numpy's own is UINT64.
_ARRAYS_OF_ORT = frozenset(range(onnx.TensorProto.FLOAT, onnx.TensorProto.UINT64 + 1))


def _evaluator(serialized: bytes, model: onnx.ModelProto) -> tuple[str, str | None, Evaluator]:
    ends = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    if ends - _ARRAYS_OF_ORT:
        names = ", ".join(onnx.TensorProto.DataType.Name(number) for number in sorted(ends - _ARRAYS_OF_ORT))
        return "onnx-reference", f"ONNX Runtime takes no arrays of {names}", _onnx_reference(model)
    try:
        import onnxruntime
    except ImportError:
        return "onnx-reference", "ONNX Runtime is not installed", _onnx_reference(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if any(node.op_type == "If" for node in model.graph.node):
        # 1.32 crashes as it optimizes a branch that the fixed shapes do not fit, and that is never taken
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no common public base
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        note = f"ONNX Runtime refuses the model: {str(error).splitlines()[0]}"  # too new an operator set, mostly
        return "onnx-reference", note, _onnx_reference(model)

    def run(feeds: Mapping[str, Array]) -> Sequence[Array]:
        results: Sequence[Array] = session.run([output.name for output in session.get_outputs()], dict(feeds))
        return results

    return "onnxruntime", None, run


def _onnx_reference(model: onnx.ModelProto) -> Evaluator:
    failures = (NotImplementedError, RuntimeError, ValueError, TypeError, IndexError, KeyError)
    try:
        opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        if opset < _OLDEST_OPSET_OF_ONNX_REFERENCE:
            model = onnx.version_converter.convert_version(model, _OLDEST_OPSET_OF_ONNX_REFERENCE)
        evaluator = ReferenceEvaluator(model)
    except failures as error:
        raise ToolError(_no_reference(error)) from error

    def run(feeds: Mapping[str, Array]) -> Sequence[Array]:
        try:
            results: Sequence[Array] = evaluator.run(None, dict(feeds))
            return results
        except failures as error:
            raise ToolError(_no_reference(error)) from error

    return run

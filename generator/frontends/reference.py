"""What a model ought to give: its outputs by ONNX Runtime or, where that is not installed, by ONNX's own evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgewright.errors import ToolError
from edgewright.ir import Array


@dataclass(frozen=True, eq=False)
class ReferenceRun:
    """Outputs by name, stacked over the samples, and who computed them."""

    source: str  # "onnxruntime" or "onnx-reference"
    outputs: Mapping[str, Array]


def run_reference(
    serialized: bytes, inputs: Mapping[str, Array], on_progress: Callable[[int], None] | None = None
) -> ReferenceRun:
    """Run the model on each sample.

    Shapes: `inputs[name]` is (n, *the model's input shape), the leading batch of 1 included; likewise the outputs.
    Raises: ToolError where neither evaluator can run the model.
    """
    source, run = _evaluator(serialized)
    count = len(next(iter(inputs.values())))
    results: dict[str, list[Array]] = {}
    for index in range(count):
        for name, value in run({key: values[index] for key, values in inputs.items()}).items():
            results.setdefault(name, []).append(np.asarray(value))
        if on_progress is not None:
            on_progress(index + 1)
    return ReferenceRun(source, {name: np.stack(values) for name, values in results.items()})


Evaluator = Callable[[Mapping[str, Array]], dict[str, Array]]


def _evaluator(serialized: bytes) -> tuple[str, Evaluator]:
    try:
        import onnxruntime
    except ImportError:
        return "onnx-reference", _onnx_reference(serialized)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no common public base
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        return "onnx-reference", _onnx_reference(serialized)  # an operator set newer than the runtime's
    names = [output.name for output in session.get_outputs()]

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))

    return "onnxruntime", run


def _onnx_reference(serialized: bytes) -> Evaluator:
    import onnx
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(onnx.load_model_from_string(serialized))
    except (NotImplementedError, RuntimeError) as error:
        raise ToolError(f"no reference can run this model: {str(error).splitlines()[0]}") from error

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(evaluator.output_names, evaluator.run(None, dict(feeds)), strict=True))

    return run

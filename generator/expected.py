"""What a firmware's outputs ought to be: the model it was made from, run by its definition on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.build import Firmware
from edgewright.errors import ModelError, ToolError
from edgewright.frontends.onnx import Model, decode_model, import_onnx
from edgewright.frontends.reference import ReferenceRun, run_reference
from edgewright.ir import Array
from edgewright.ops.capped import capped_shapes
from edgewright.passes import run_passes
from edgewright.report.measures import MIXED_TOLERANCE, RELATIVE_TOLERANCE
from edgewright.samples import DataSet
from edgewright.simulate import is_exact, output_steps, rounds_inexact, simulate

REFERENCE = "reference.onnx"


@dataclass(frozen=True, eq=False)
class Expected:
    """What a firmware's outputs are compared with.

    `definition`: the numpy integer reference where the model is quantized, else ONNX Runtime (or ONNX's evaluator).
    `onnxruntime`: what that gives for a quantized model; None for float models, or where it does not take the model.
    """

    definition: ReferenceRun
    onnxruntime: ReferenceRun | None = None
    steps: tuple[float | None, ...] = ()  # of each output: the size of one quantization step
    tolerance: float = RELATIVE_TOLERANCE  # of an output's range; 0 where outputs are defined to the bit


def expect(firmware: Firmware, data: DataSet, on_progress: Callable[[int, int], None] | None = None) -> Expected:
    """What the model the firmware was made from ought to give on the same inputs."""
    path = firmware.folder / REFERENCE
    serialized = _serialized(path)
    shapes = {port.name: port.shape for port in firmware.manifest.inputs}
    inputs = {name: values.reshape(len(values), *shapes[name]) for name, values in data.inputs.items()}
    report = None if on_progress is None else (lambda done: on_progress(done, data.samples))
    if firmware.manifest.quantized:
        return _integer_reference(serialized, path, inputs, report)
    capped = [None if port.capped_axis is None else port.shape for port in firmware.manifest.outputs]
    expected = run_reference(serialized, inputs, report, capped)
    if len(expected.outputs) != len(firmware.manifest.outputs):
        raise ModelError(f"'{path}' has {len(expected.outputs)} outputs, the firmware {len(firmware.manifest.outputs)}")
    return Expected(expected)


def read_reference(folder: Path) -> Model:
    """Import the model that a project was made from. Raises: ModelError where it is not there, or damaged."""
    path = folder / REFERENCE
    return _imported(_serialized(path), path)


def _serialized(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read '{path}', the model to compare with: {error.strerror}") from error


def _imported(serialized: bytes, path: Path) -> Model:
    return import_onnx(decode_model(serialized, f"'{path}' is damaged"), "reference", "0" * 64, {}, where=str(path))


def _integer_reference(
    serialized: bytes, path: Path, inputs: Mapping[str, Array], report: Callable[[int], None] | None
) -> Expected:
    graph = run_passes(_imported(serialized, path).graph)
    if set(graph.inputs) != set(inputs):
        raise ModelError(f"'{path}' has inputs {sorted(graph.inputs)}, the data {sorted(inputs)}")
    definition = ReferenceRun("numpy-integer", None, simulate(graph, inputs, report))
    try:
        onnxruntime = run_reference(serialized, inputs, report, capped_shapes(graph))
    except ToolError:
        onnxruntime = None
    if onnxruntime is not None and onnxruntime.source != "onnxruntime":
        onnxruntime = None
    floats = MIXED_TOLERANCE if rounds_inexact(graph) else RELATIVE_TOLERANCE
    tolerance = 0.0 if is_exact(graph) else floats
    return Expected(definition, onnxruntime, output_steps(graph), tolerance)

"""Which layer is wrong: what each layer made on the device, against the numpy reference of its operator.

In: a built firmware and one sample's tensors as they came off the device. Out: one record a layer. A layer's
reference is computed from what the device itself gave it, so that one wrong layer does not make all behind it wrong;
integers have to be equal, floats nearly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.build import Firmware
from edgewright.errors import ModelError
from edgewright.expected import read_reference
from edgewright.ir import Array, DType
from edgewright.kernels import Core
from edgewright.ops import operator
from edgewright.passes import run_passes
from edgewright.plan.planner import graph_for
from edgewright.report.measures import RELATIVE_TOLERANCE, errors_of
from edgewright.samples import check_data

_ROUNDED = {DType.F16: 2.0**-9, DType.BF16: 2.0**-6}  # of the range: two of their smallest steps


@dataclass(frozen=True)
class LayerCheck:
    """How far one tensor is from its reference. `step` is its layer's number in the manifest's `steps`.

    `max_error` is in the tensor's own units; None where there was nothing to compare with.
    """

    step: int
    op: str
    layer: str
    tensor: str
    dtype: str
    shape: tuple[int, ...]
    differing: int
    max_error: float | None

    @property
    def where(self) -> str:
        """The layer, for a message."""
        return f"step {self.step}, {self.op} '{self.layer}'"

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "step": self.step, "op": self.op, "name": self.layer, "tensor": self.tensor, "dtype": self.dtype,
            "shape": list(self.shape), "differing_elements": self.differing, "max_abs_error": self.max_error,
        }  # fmt: skip


def check_layers(
    firmware: Firmware, inputs: Array | Mapping[str, Array], made: Mapping[str, Array]
) -> list[LayerCheck]:
    """Compare every tensor, in the order in which the device made them.

    Shapes: `inputs` (1, *shape of one sample), or such an array for each input by name; `made` as `steps.tensors`
    gives it for the same sample and all names. Raises: ModelError where the project's model is not the one that the
    firmware was made from.
    """
    manifest = firmware.manifest
    arrays = inputs if isinstance(inputs, Mapping) else {manifest.inputs[0].name: np.asarray(inputs)}
    expected = _expected(firmware, check_data(arrays, manifest.inputs).inputs, made)
    checks, seen = [], set[str]()
    for traced in manifest.trace:
        step = manifest.steps[traced.step]
        for part in traced.made:
            name = part.name
            if name in seen or name not in made:
                continue
            seen.add(name)
            got, wanted = made[name], expected.get(name)
            if wanted is None and part.copy_of is not None:
                wanted = made.get(part.copy_of, expected.get(part.copy_of))
            differing, worst = (0, None) if wanted is None else _difference(got, wanted, part.dtype, name)
            checks.append(LayerCheck(
                traced.step, step.op, step.name, name, part.dtype.value, got.shape, differing, worst
            ))  # fmt: skip
    return checks


def first_difference(checks: list[LayerCheck]) -> LayerCheck | None:
    """The first layer that differs; None where none does."""
    return next((check for check in checks if check.differing), None)


def _expected(firmware: Firmware, inputs: Mapping[str, Array], made: Mapping[str, Array]) -> dict[str, Array]:
    """What each layer ought to have made of what the device gave it."""
    graph = graph_for(run_passes(read_reference(firmware.folder).graph), Core(frozenset(firmware.target.features)))
    if set(graph.inputs) != set(inputs):
        raise ModelError(
            f"'{firmware.folder}': the model has inputs {sorted(graph.inputs)}, the firmware {sorted(inputs)}"
        )
    values = {name: tensor.data for name, tensor in graph.tensors.items() if tensor.data is not None}
    values.update({name: np.asarray(inputs[name]).reshape(graph.tensors[name].shape) for name in graph.inputs})
    expected: dict[str, Array] = {}
    for node in graph.nodes:
        arrays = [values[name] if name else None for name in node.inputs]
        with np.errstate(all="ignore"):
            results = operator(node.op).evaluate(node, arrays)
        for name, result in zip(node.outputs, results, strict=True):
            expected[name] = np.asarray(result)
            values[name] = made.get(name, expected[name])
    return expected


def _difference(got: Array, wanted: Array, dtype: DType, name: str) -> tuple[int, float]:
    """How many elements differ, and by how much at most."""
    if got.size != wanted.size or got.dtype != wanted.dtype:
        raise ModelError(
            f"'{name}' is {got.dtype}{list(got.shape)} on the device and {wanted.dtype}{list(wanted.shape)} by its "
            "model: generate and build the project again"
        )
    tolerance = _ROUNDED.get(dtype, RELATIVE_TOLERANCE)
    error, allowed, _ = errors_of(got.reshape(wanted.shape), wanted, tolerance)
    return int(np.count_nonzero(~(error <= allowed))), float(error.max()) if error.size else 0.0

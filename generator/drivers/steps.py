"""An inference step by step: what each step takes by the device's timer, and what it made.

In: a device whose firmware was generated with the trace, and samples. Out: times by step, tensors by name. Nothing is
added to the firmware for it, and no tensor is kept for it: the device stops behind a step, and what that made is read
where it lies.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from edgewright.drivers.device import Device
from edgewright.errors import DataError, TargetError
from edgewright.ir import Array
from edgewright.manifest import MadeFacts, Manifest
from edgewright.samples import DataSet, check_data, pack


def check_traced(manifest: Manifest) -> None:
    """Raise TargetError for a firmware that cannot run single steps."""
    if not manifest.trace:
        raise TargetError(
            f"the firmware of '{manifest.model.name}' cannot run single steps: it has none, was generated with "
            "--no-trace or by an older edgewright, or speaks MLPerf's protocol"
        )


def step_ticks(device: Device, x: Array | Mapping[str, Array]) -> Array:
    """Run each sample step by step; return the ticks that each step took, of the timer at `device.timer_hz`.

    Shapes: `x` is (n, *shape of one sample), or such an array for each input by name; the result (n, steps of the
    manifest's trace). Raises: DataError, TargetError, DeviceError.
    """
    packed = _packed(device, x)
    count = len(device.firmware.manifest.trace)
    return np.stack([device.run_steps(sample, 0, count)[0] for sample in packed])


def tensors(
    device: Device, x: Array | Mapping[str, Array], names: Collection[str] | None = None
) -> dict[str, Array]:  # fmt: skip
    """Run one sample, and return tensors that its layers make, in the order in which they were made.

    `names`: which; None: all. A layer that runs in bands of rows is put together. Shapes: `x` is (1, *shape of one
    sample), or such an array for each input by name; a result has the shape that the device gives it: images NHWC.
    Raises: DataError for samples that do not fit, or names that no layer has; TargetError, DeviceError.
    """
    packed = _packed(device, x)
    if len(packed) != 1:
        raise DataError(f"tensors are read of one sample at a time; there are {len(packed)}")
    trace = device.firmware.manifest.trace
    known = {made.name for step in trace for made in step.made}
    unknown = sorted(set(names or ()) - known)
    if unknown:
        raise DataError(f"no layer makes a tensor '{unknown[0]}'; there are {', '.join(sorted(known))}")
    parts: dict[str, list[tuple[MadeFacts, Array]]] = {}
    done = 0
    for number, step in enumerate(trace):
        wanted = [made for made in step.made if names is None or made.name in names]
        if wanted:
            _, found = device.run_steps(None if done else packed[0], done, number + 1, wanted)
            done = number + 1
            for made, values in zip(wanted, found, strict=True):
                parts.setdefault(made.name, []).append((made, values))
    return {name: _joined(pieces) for name, pieces in parts.items()}


def _packed(device: Device, x: Array | Mapping[str, Array]) -> Array:
    manifest = device.firmware.manifest
    check_traced(manifest)
    arrays = x if isinstance(x, Mapping) else {manifest.inputs[0].name: np.asarray(x)}
    data: DataSet = check_data(arrays, manifest.inputs)
    return pack(data, manifest)


def _joined(pieces: list[tuple[MadeFacts, Array]]) -> Array:
    """Put the bands of a layer together, which may have been made from the last one up."""
    if pieces[0][0].axis is None:
        return pieces[-1][1]
    ordered = sorted(pieces, key=lambda piece: piece[0].first)
    return np.concatenate([values for _, values in ordered], axis=pieces[0][0].axis)

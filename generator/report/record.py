"""The result of a run: what was built, what ran, how near it came to what was expected, in the records of `result`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from edgewright.build import Firmware
from edgewright.drivers.device import DeviceRun
from edgewright.errors import UnsupportedError
from edgewright.expected import Expected
from edgewright.frontends.reference import ReferenceRun
from edgewright.ir import Array
from edgewright.manifest import Manifest
from edgewright.profile import profile
from edgewright.report.energy import energy_fields
from edgewright.report.measures import fidelity, kpis, percentiles
from edgewright.report.result import (
    BuildRecord,
    FidelityRecord,
    LinkRecord,
    ModelRecord,
    RegionRecord,
    ResetRecord,
    Result,
    RunRecord,
    TargetRecord,
)
from edgewright.samples import DataSet, sample_shape
from edgewright.version import VERSION


def result_of(
    firmware: Firmware, data: DataSet, done: DeviceRun, expected: Expected, seconds: Mapping[str, float]
) -> Result:
    """Put together what was measured. Units: `seconds` of each stage."""
    manifest, target = firmware.manifest, firmware.target
    definition = expected.definition
    by_port = _reference_by_port(manifest, definition)
    first = manifest.outputs[0].name
    labels = data.labels
    return Result(
        generator=f"edgewright {VERSION}",
        model=ModelRecord(**manifest.model.model_dump()),
        target=TargetRecord(name=target.name, cpu=target.cpu, clock_hz=target.clock_hz, evidence=target.evidence),
        build=_build_record(firmware, done),
        run=_run_record(firmware, done),
        link=_link_record(done),
        fidelity=fidelity(
            done.outputs, by_port, definition.source, definition.note,
            tolerance=expected.tolerance,
        ),
        fidelity_onnxruntime=_fidelity_onnxruntime(manifest, done, expected),
        kpi=None if labels is None else kpis(done.outputs[first], by_port[first], labels),
        profile=profile(firmware, done),
        seconds={name: round(taken, 4) for name, taken in seconds.items()},
    )  # fmt: skip


def _fidelity_onnxruntime(manifest: Manifest, done: DeviceRun, expected: Expected) -> FidelityRecord | None:
    """In output steps, where all outputs have one; else in their own units."""
    if expected.onnxruntime is None:
        return None
    theirs = _reference_by_port(manifest, expected.onnxruntime)
    names = [port.name for port in manifest.outputs]
    steps = {name: step for name, step in zip(names, expected.steps, strict=True) if step is not None}
    return fidelity(done.outputs, theirs, "onnxruntime", steps=steps if len(steps) == len(names) else None)


def _reference_by_port(manifest: Manifest, expected: ReferenceRun) -> dict[str, Array]:
    """The reference's outputs under our names (the order is the same), shaped like ours."""
    result = {}
    for port, array in zip(manifest.outputs, expected.outputs, strict=True):
        if array[0].shape != port.shape:
            raise UnsupportedError(
                f"output '{port.name}' has shape {list(port.shape)} by the ONNX standard and {list(array[0].shape)} by "
                f"{expected.source}: they cannot be compared"
            )
        result[port.name] = array.reshape(len(array), *sample_shape(port))
    return result


def _build_record(firmware: Firmware, done: DeviceRun) -> BuildRecord:
    memory, stack, sizes = firmware.manifest.memory, firmware.target.stack, firmware.sizes
    return BuildRecord(
        flash_bytes=sizes.flash_bytes, code_bytes=sizes.code_bytes, weights_bytes=memory.weights_bytes,
        raw_weights_bytes=memory.raw_weights_bytes,
        ram_bytes=sizes.ram_bytes, arena_bytes=memory.arena_bytes,
        arena_lower_bound_bytes=memory.arena_lower_bound_bytes,
        regions=[RegionRecord(**asdict(region)) for region in sizes.regions], stack_bytes=done.stack_used_bytes,
        stack_reserved_bytes=stack.bytes if stack else None, stack_bound_bytes=firmware.stack.total_bytes,
        stack_bound_note=firmware.stack.note, inference_stack_bytes=firmware.stack.inference_bytes,
        compiler=firmware.compiler, flags=firmware.flags, optimize=firmware.manifest.optimize,
    )  # fmt: skip


def _run_record(firmware: Firmware, done: DeviceRun) -> RunRecord:
    instructions, cycles = done.instructions, done.cycles
    return RunRecord(
        samples=done.samples, batches=done.batches, seconds=round(done.seconds, 4),
        instructions_per_inference=None if instructions is None else float(np.mean(instructions)),
        instructions_min=None if instructions is None else int(instructions.min()),
        instructions_max=None if instructions is None else int(instructions.max()),
        instructions_source=done.instructions_source,
        cycles_per_inference=None if cycles is None else float(np.mean(cycles)),
        cycles_source=done.cycles_source, cycle_model=done.cycle_model,
        latency_us=None if done.latency_us is None else percentiles(done.latency_us),
        **energy_fields(done, firmware.target),
    )  # fmt: skip


def _link_record(done: DeviceRun) -> LinkRecord | None:
    link = done.link
    if link is None:
        return None
    return LinkRecord(
        frames=link.frames_sent + link.frames_received, retransmits=link.retransmits, crc_errors=link.crc_errors,
        framing_errors=link.framing_errors, payload_bytes=link.payload_bytes,
        payload_bytes_per_second=link.payload_bytes_per_second, line_utilisation=link.line_utilisation,
        resets=[ResetRecord(batch=reset.batch, cause=reset.cause.name.lower()) for reset in done.resets],
    )  # fmt: skip

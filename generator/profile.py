"""Where an inference spends its time: an emulator's counts, or a board's timer, split by the steps of the network.

In: a built firmware, and what was counted: on an emulated board instructions, by where the ELF file says that each
step's function lies (what a step calls counts to the step); on a board, or this computer, ticks around each step of
some samples that are run once more for it. Out: one record a step. The firmware is the one that is deployed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewright.boards import Target
from edgewright.build import Firmware
from edgewright.drivers.crash import THUMB_BIT, functions
from edgewright.drivers.device import Device, DeviceRun
from edgewright.drivers.icount import Part, Parts
from edgewright.drivers.steps import check_traced, step_ticks
from edgewright.errors import DeviceError, TargetError, ToolError
from edgewright.ir import Array
from edgewright.report.result import ProfileRecord
from edgewright.samples import DataSet

TIMED_SAMPLES = 20  # that are run step by step, behind a run on a board


def check_profile(target: Target, port: str | None = None) -> None:
    """Refuse to profile on an emulated board where nothing counts instructions. Raises: TargetError."""
    if target.emulator is None:
        return
    if target.emulator.counting is None:
        raise TargetError(f"a profile needs an emulator that counts instructions; that of '{target.name}' does not")
    if port is not None:
        raise TargetError("a profile needs the emulator that edgewright starts itself: leave out --port")


def step_parts(firmware: Firmware, port: str | None = None) -> Parts | None:
    """Return how the emulator's plugin has to split an inference: a part a step, and the last for all the rest.

    None where it is the timer that tells. Raises: TargetError where nothing counts instructions or runs single
    steps, ToolError where the build does not have the steps' functions.
    """
    check_profile(firmware.target, port)
    if firmware.target.emulator is None:
        check_traced(firmware.manifest)
        return None
    steps = firmware.manifest.steps
    names = {step.function: number for number, step in enumerate(steps)}
    names.update((f"{firmware.manifest.c_prefix}_{name}", len(steps)) for name in ("run", "run_in"))
    ranges = [
        Part(address & ~THUMB_BIT, (address & ~THUMB_BIT) + size, names[name])
        for name, address, size in functions(firmware.elf)
        if name in names
    ]
    if not steps or {part.number for part in ranges} != set(names.values()):
        raise ToolError(f"'{firmware.folder}' does not say where its steps are: generate and build it again")
    return Parts(ranges, len(steps) + 1)


def timed(device: Device, data: DataSet, done: DeviceRun) -> DeviceRun:
    """Add what each step takes by the device's timer, over the first samples; a run that was split already stays."""
    if done.parts is not None or device.firmware.target.emulator is not None:
        return done
    few = {name: values[:TIMED_SAMPLES] for name, values in data.inputs.items()}
    return replace(done, step_ticks=step_ticks(device, few), timer_hz=device.timer_hz)


def _timed(firmware: Firmware, ticks: Array, timer_hz: int) -> list[ProfileRecord]:
    """Means over the samples; the cycles of the core where the timer runs at its clock."""
    manifest, target = firmware.manifest, firmware.target
    times = np.zeros(len(manifest.steps))
    for traced, mean in zip(manifest.trace, ticks.mean(axis=0), strict=True):
        times[traced.step] += mean / timer_hz * 1e6
    total = float(times.sum()) or 1.0
    has_cycles = target.evidence == "hardware" and target.clock_hz == timer_hz
    records = []
    for number, (step, time_us) in enumerate(zip(manifest.steps, times.tolist(), strict=True)):
        cycles = time_us * timer_hz / 1e6 if has_cycles else None
        records.append(ProfileRecord(
            step=number, name=step.name, op=step.op, kernel=step.kernel, macs=step.macs, instructions=None,
            cycles=cycles, time_us=time_us, macs_per_cycle=step.macs / cycles if cycles else None,
            share=time_us / total, moved_bytes=step.moved_bytes,
        ))  # fmt: skip
    return records


def profile(firmware: Firmware, done: DeviceRun) -> list[ProfileRecord] | None:
    """Return means over the samples, a record a step and one for the rest; None where a run was not split.

    Raises: DeviceError where the counts are another network's.
    """
    if done.step_ticks is not None and done.timer_hz:
        return _timed(firmware, done.step_ticks, done.timer_hz)
    if done.parts is None:
        return None
    steps = firmware.manifest.steps
    if done.parts.shape[1] != len(steps) + 1:
        raise DeviceError(f"{done.parts.shape[1]} parts were counted, for {len(steps)} steps")
    means = np.mean(done.parts, axis=0)
    has_cycles = done.cycles is not None
    cost = means[:, 1] if has_cycles else means[:, 0]
    total = float(cost.sum()) or 1.0
    records = []
    for number, (instructions, cycles) in enumerate(means.tolist()):
        step = steps[number] if number < len(steps) else None
        macs = step.macs if step else 0
        records.append(ProfileRecord(
            step=number if step else None, name=step.name if step else "", op=step.op if step else "rest",
            kernel=step.kernel if step else "", macs=macs, instructions=instructions,
            cycles=cycles if has_cycles else None, macs_per_cycle=macs / cycles if has_cycles and cycles else None,
            share=float(cost[number]) / total, moved_bytes=step.moved_bytes if step else 0,
        ))  # fmt: skip
    return records

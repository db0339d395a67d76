"""Where an inference spends its instructions: the emulator's counts, split by the steps of the network.

In: a built firmware, whose ELF file says where each step's function lies; then what was counted. Out: one record a
step. The firmware is the one that is deployed: nothing is added to it. What a step calls counts to the step.
"""

from __future__ import annotations

import numpy as np

from edgewright.boards import Target
from edgewright.build import Firmware
from edgewright.drivers.crash import THUMB_BIT, functions
from edgewright.drivers.device import DeviceRun
from edgewright.drivers.icount import Part, Parts
from edgewright.errors import DeviceError, TargetError, ToolError
from edgewright.report.result import ProfileRecord


def check_profile(target: Target, port: str | None = None) -> None:
    """Refuse to profile where nothing counts instructions. Raises: TargetError."""
    if target.emulator is None or target.emulator.counting is None:
        raise TargetError(f"a profile needs an emulated board that counts instructions; '{target.name}' is none")
    if port is not None:
        raise TargetError("a profile needs the emulator that edgewright starts itself: leave out --port")


def step_parts(firmware: Firmware, port: str | None = None) -> Parts:
    """Return how the emulator's plugin has to split an inference: a part a step, and the last for all the rest.

    Raises: TargetError where nothing counts instructions, ToolError where the build does not have the steps' functions.
    """
    check_profile(firmware.target, port)
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


def profile(firmware: Firmware, done: DeviceRun) -> list[ProfileRecord] | None:
    """Return means over the samples, a record a step and one for the rest; None where a run was not split.

    Raises: DeviceError where the counts are another network's.
    """
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

"""The stages in order, each a function: import, passes, quantize, plan, emit, build, flash, run.

What comes back is compared in `expected` and put together in `report.record`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgewright.boards import Memory, Target, load_target
from edgewright.build import Firmware, build, read_firmware, write_project
from edgewright.drivers.device import INFERENCE_TIMEOUT_S, Device, DeviceRun, open_device
from edgewright.drivers.flashing import FlashOptions, flash_and_open
from edgewright.drivers.meters.core import Meter, MeterOptions
from edgewright.drivers.meters.registry import check_meter, open_meter, run_measured
from edgewright.emit import SourceTree, emit
from edgewright.errors import MemoryPlanError
from edgewright.frontends.onnx import Model, load_onnx
from edgewright.frontends.onnx_bind import Bindings
from edgewright.fronts import front_of
from edgewright.ir import Array, Graph
from edgewright.kernels import Core
from edgewright.manifest import Manifest, Optimize, Ports, read_manifest
from edgewright.passes import run_passes
from edgewright.plan import Placement, Plan, PlanOptions, Region, finish, make_plan
from edgewright.plan.regions import NoRoomError
from edgewright.profile import step_parts, timed
from edgewright.report.measures import (
    check_labels,
)
from edgewright.samples import DataSet, check_data, sample_shape
from edgewright.watchdogs import watched
from edgewright.weights import Weights

Pins = Mapping[str, Sequence[int]]
OnStage = Callable[[str], None]
OnProgress = Callable[[int, int], None]


@dataclass
class Clock:
    """How long each stage took. Units: seconds."""

    started: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)
    on_stage: OnStage = lambda stage: None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block, and tell the observer what begins."""
        self.on_stage(name)
        begin = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begin


def load(path: Path, pins: Pins | None = None, bindings: Bindings | None = None) -> Model:
    """Import: a model file becomes a Graph."""
    return load_onnx(path, pins, bindings)


CODE_RESERVE_BYTES = 20 * 1024  # of flash, beside the weights: kernels, the link, the start-up code
_LINK_RAM_BYTES = 256  # of the serial link and the port, beside their buffers
_LINK_BUFFERS = re.compile(r"-D(EW_PORT_RX_BUFFER_BYTES|EW_LINK_MAX_BODY)=([0-9]{1,9})")


@dataclass(frozen=True)
class Settings:
    """What a project is generated for. Units: bytes.

    `flash_limit`: what the firmware may take in all; the board's flash, if not given. `ram_limit`: what the arena may
    take; what the board's RAM leaves, if not given. `io`: who holds inputs and outputs, "caller" or "arena". `place`:
    names of tensors, constants or operators, each with the memory region that it is to lie in. `stage_weights`: the RAM
    region that weights in slower memory are copied to while the layer before theirs runs. `weights`: written as
    C arrays ("c"), into a file ("binary"), or by their size. `front`: what the firmware speaks on its line, "link",
    "mlperf" or "mlperf-energy", and `mlperf_model`, as which model the latter two answer. `watchdog`: the period of the
    board's watchdog in seconds; None: it stays off. `trace`: the link can run single steps.
    """

    optimize: Optimize = "balanced"
    flash_limit: int | None = None
    ram_limit: int | None = None
    io: Ports = "caller"
    place: Mapping[str, str] = field(default_factory=dict)
    stage_weights: str | None = None
    weights: Weights = "auto"
    front: str = "link"
    mlperf_model: str | None = None
    watchdog: float | None = None
    trace: bool = True

    def options(self, target: Target | None) -> PlanOptions:
        """What the planner makes of them on a board: kernels do not pack weights to more than the code's flash has."""
        flash = self.flash_limit or (target.code_memory.bytes if target is not None and target.code_memory else None)
        weights = None if flash is None else max(flash - CODE_RESERVE_BYTES, 0)
        return PlanOptions(self.optimize, weights, self.ram_limit, self.io == "arena")

    def placement(self, target: Target | None, graph: Graph) -> Placement:
        """The board's regions, with what they leave to the network. Raises: MemoryPlanError."""
        wanted = [*((f"place {name}={region}", region) for name, region in self.place.items()),
                  *([(f"stage weights in {self.stage_weights}", self.stage_weights)] if self.stage_weights else [])]
        regions = {region.name: region for region in target.memory} if target is not None else {}
        for wish, name in wanted:
            if name not in regions:
                there = f"it has {', '.join(regions)}" if regions else "it has none"
                raise MemoryPlanError(f"{wish}: '{target.name if target else 'host'}' has no region '{name}'; {there}")
        if self.stage_weights and regions[self.stage_weights].kind != "ram":
            ram = ", ".join(name for name, region in regions.items() if region.kind == "ram")
            raise MemoryPlanError(f"stage weights in {self.stage_weights}: that is flash; there is RAM in {ram}")
        if target is None or target.data_memory is None or target.code_memory is None:
            return Placement(limit=self.ram_limit)
        data = _stack_bytes(target) + _sample_bytes(graph)
        if len(target.ram_regions) > 1:
            data += _link_ram_bytes(target)
        used = {target.data_memory.name: data, target.code_memory.name: CODE_RESERVE_BYTES}

        def left(memory: Memory) -> Region:
            return Region(memory.name, max(memory.bytes - used.get(memory.name, 0), 0), memory.wait)

        return Placement(
            tuple(map(left, target.ram_regions)), tuple(map(left, target.flash_regions)), self.place,
            self.stage_weights or "", self.ram_limit,
        )  # fmt: skip


def plan(model: Model, target: Target | None = None, settings: Settings | Optimize = "balanced") -> Plan:
    """Passes and planning: a Graph becomes a Plan, for a board's core or for any.

    Settings given as text are what to optimize for. Where the fastest plan does not fit the board's RAM, and no limit
    was asked for, the fastest one that does is taken. Raises: MemoryPlanError where none does.
    """
    settings = Settings(settings) if isinstance(settings, str) else settings
    core = Core(frozenset(target.features)) if target is not None else None
    graph, options = run_passes(model.graph), settings.options(target)
    placement = settings.placement(target, graph)
    try:
        planned = make_plan(graph, core, options, placement)
    except NoRoomError:
        rooms = [region.room or 0 for region in placement.ram]
        if settings.ram_limit is not None:
            raise
        for limit in (sum(rooms), sum(rooms) * 3 // 4, max(rooms)):
            with suppress(MemoryPlanError):
                return make_plan(graph, core, replace(options, ram_limit=limit), placement)
        raise
    spare = _spare_ram(planned, target)
    if target is None or spare is None or settings.ram_limit is not None or len(placement.ram) > 1:
        return planned
    missing = _link_ram_bytes(target) - spare
    if missing <= 0:
        return planned
    with suppress(MemoryPlanError):
        return make_plan(graph, core, replace(options, ram_limit=max(planned.arena_bytes - missing, 0)), placement)
    least = make_plan(graph, core, replace(options, optimize="ram"), placement)  # `check_fits` says what is missing
    return min(planned, least, key=lambda plan: plan.arena_bytes)


def _spare_ram(planned: Plan, target: Target | None) -> int | None:
    """Bytes of a board's first RAM beside what the plan puts there, stack and one sample: negative where it does not
    fit; None without a board."""
    if target is None or target.data_memory is None:
        return None
    region = target.data_memory
    taken = planned.arena_bytes_in(region.name) + planned.weights_bytes_in(region.name)
    return region.bytes - taken - _sample_bytes(planned.graph) - _stack_bytes(target)


def _sample_bytes(graph: Graph) -> int:
    return sum(graph.tensors[name].size_bytes for name in (*graph.inputs, *graph.outputs))


def _stack_bytes(target: Target) -> int:
    return target.stack.bytes if target.stack else 0


def _link_ram_bytes(target: Target) -> int:
    """What the link takes beside stack, arena and samples: the port's buffer and two frames (ew_port.h, ew_link.h)."""
    sizes = {"EW_PORT_RX_BUFFER_BYTES": 4096, "EW_LINK_MAX_BODY": 1024}
    sizes |= {m[1]: int(m[2]) for flag in target.build.flags if (m := _LINK_BUFFERS.fullmatch(flag))}
    return sizes["EW_PORT_RX_BUFFER_BYTES"] + 2 * sizes["EW_LINK_MAX_BODY"] + _LINK_RAM_BYTES


def generate(model: Model, planned: Plan, target: Target, settings: Settings | Optimize) -> SourceTree:
    """Emit: a Plan becomes a source tree. Raises: MemoryPlanError where the board is too small for it."""
    settings = Settings(settings) if isinstance(settings, str) else settings
    front = front_of(settings.front, settings.mlperf_model, model.name)
    check_fits(planned, target)
    return emit(
        planned, model.name, watched(target, settings.watchdog), settings.optimize, model.sha256, model.serialized,
        settings.weights, front, settings.trace,
    )  # fmt: skip


def check_fits(planned: Plan, target: Target) -> None:
    """Refuse, before anything is compiled, what cannot fit the memory map.

    Raises: MemoryPlanError with the numbers and where the peak is.
    """
    graph, spare = planned.graph, _spare_ram(planned, target)
    ram, flash = target.data_memory, target.code_memory
    if ram is not None and spare is not None and spare < 0:
        peak = planned.peak
        where = f" The arena's peak is at {peak.node.op} '{peak.node.name}'." if peak is not None else ""
        place = f" in '{ram.name}'" if len(target.ram_regions) > 1 else ""
        raise MemoryPlanError(
            f"the plan needs {ram.bytes - spare:,} B of RAM{place} "
            f"(arena {planned.arena_bytes_in(ram.name):,}, one sample {_sample_bytes(graph):,}, "
            f"stack {_stack_bytes(target):,}); '{target.name}' has {ram.bytes:,} B, {-spare:,} B too few.{where} "
            "Try a smaller input or a larger board."
        )
    weights = sum(tensor.size_bytes for tensor in graph.tensors.values() if tensor.data is not None)
    if flash is not None and len(target.flash_regions) == 1 and weights > flash.bytes:
        largest = max((t for t in graph.tensors.values() if t.data is not None), key=lambda t: t.size_bytes)
        raise MemoryPlanError(
            f"the weights need {weights:,} B of flash; '{target.name}' has {flash.bytes:,} B, "
            f"{weights - flash.bytes:,} B too few. The largest is '{largest.name}' with {largest.size_bytes:,} B. "
            "Try a smaller model or a larger board."
        )


def check_fits_on(planned: Plan, target: Target) -> None:
    """The same for a plan that was made for no board in particular: its pieces are laid out in the board's memory.

    Raises: MemoryPlanError.
    """
    check_fits(finish(planned.draft, Settings().placement(target, planned.graph)), target)


def compile_tree(tree: SourceTree, target: Target, folder: Path, clock: Clock, *, force: bool = False) -> Firmware:
    """Write the source tree and build it."""
    with clock.stage("emit"):
        write_project(tree, folder, force=force)
    with clock.stage("build"):
        return build(folder, tree.manifest, target)


def load_firmware(folder: Path, target: str | None = None) -> Firmware:
    """Read back a project that was built before; `target` is a folder for a board of the user's own."""
    return read_firmware(folder, *load_project(folder, target))


def load_project(folder: Path, target: str | None = None) -> tuple[Manifest, Target]:
    """Read back a generated project."""
    manifest = read_manifest(folder)
    return manifest, load_target(target or manifest.target)


@dataclass(frozen=True)
class RunOptions:
    """How samples are driven through a device. Units: seconds. `flash`: how it is flashed first; None: it is not.

    `overlap` and `fast_baud` as in `open_device`. `meter`: what measures meanwhile.
    """

    port: str | None = None
    batch_size: int | None = None
    baudrate: int = 115200
    inference_timeout_s: float = INFERENCE_TIMEOUT_S
    profile: bool = False
    flash: FlashOptions | None = None
    overlap: bool = False
    fast_baud: int | None = None
    meter: MeterOptions | None = None


def open_board_meter(firmware: Firmware, options: RunOptions, clock: Clock) -> Meter | None:
    """Open the meter, where one is asked for: before the board, which it may feed. Raises: MeterError, ToolError."""
    if options.meter is None:
        return None
    check_meter(options.meter, firmware.target, options.port)
    with clock.stage("meter"):
        return open_meter(options.meter)


def open_board(firmware: Firmware, options: RunOptions, clock: Clock) -> Device:
    """Flash, where that is asked for, and open the device: it runs this very firmware."""
    parts = step_parts(firmware, options.port) if options.profile else None
    how: dict[str, Any] = {
        "baudrate": options.baudrate, "inference_timeout_s": options.inference_timeout_s, "overlap": options.overlap,
        "fast_baud": options.fast_baud,
    }  # fmt: skip
    with clock.stage("flash"):
        if options.flash is None:
            return open_device(firmware, options.port, parts=parts, **how)
        return flash_and_open(firmware, options.port, options.flash, clock.on_stage, **how)[1]


def run(
    firmware: Firmware, data: DataSet, options: RunOptions, clock: Clock, on_progress: OnProgress | None = None
) -> DeviceRun:
    """Flash and run: all samples on the device that the firmware is for."""
    with ExitStack() as held:
        meter = open_board_meter(firmware, options, clock)
        if meter is not None:
            held.enter_context(meter)
        device = held.enter_context(open_board(firmware, options, clock))
        with clock.stage("run"):
            done = run_on(device, data, options.batch_size, clock, on_progress, meter)
            return timed(device, data, done) if options.profile else done


def run_on(
    device: Device, data: DataSet, batch_size: int | None, clock: Clock, on_progress: OnProgress | None = None,
    meter: Meter | None = None,
) -> DeviceRun:  # fmt: skip
    """Run all samples on an open device, where there is a meter one a batch: the marker rests while samples travel."""
    total = data.samples
    report = None if on_progress is None else (lambda done: on_progress(done, total))
    if meter is None:
        done = device.run(data, batch_size, report)
    else:
        done = run_measured(meter, lambda: device.run(data, batch_size or 1, report))
    clock.seconds["first_result"] = done.first_result_at - clock.started
    return done


def read_data(manifest: Manifest, arrays: Mapping[str, Array]) -> DataSet:
    """Check the user's arrays against the model's inputs, and the labels, before anything runs. Raises: DataError."""
    data = check_data(arrays, manifest.inputs)
    if data.labels is not None:
        first = manifest.outputs[0]
        check_labels(data.labels, sample_shape(first), first.dtype.numpy)
    return data

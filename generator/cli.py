"""The command line: one subcommand is one call into pipeline.py, and a table or a JSON file of what it gave.

Exit status: 0 done; 1 the comparison with the reference failed; 2 the user's input or set-up is at fault;
3 the device failed. Errors are plain lines on standard error, never a traceback.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewright import pipeline
from edgewright.arguments import (
    Batch,
    Baud,
    Bind,
    BoardOf,
    Calibration,
    CompareFloat,
    Curve,
    DataFile,
    FastBaud,
    FlashLimit,
    FlashTool,
    FlashValues,
    Force,
    FrontOption,
    JsonFile,
    MapFile,
    MaybeTarget,
    MeterMarker,
    MeterName,
    MlperfModel,
    ModelFile,
    NoFlash,
    NoTrace,
    OptimizeFor,
    Overlap,
    Pin,
    Places,
    Port,
    PortsIn,
    Profile,
    ProjectDir,
    Quiet,
    RamLimit,
    SchemeName,
    StageWeights,
    Supply,
    TargetName,
    TimeLimit,
    WatchdogPeriod,
    WeightsAs,
    check_json,
    check_map,
    flash_options,
    input_pins,
    meter_options,
    plan_settings,
    write_json,
    write_map,
)
from edgewright.boards import Target, load_target
from edgewright.build import Firmware, write_project
from edgewright.build import build as build_project
from edgewright.cli_boards import add_boards
from edgewright.cli_quantize import add_quantize, load_model
from edgewright.cli_trace import add_trace
from edgewright.console import Screen
from edgewright.doctor import examine
from edgewright.drivers.device import INFERENCE_TIMEOUT_S, open_device
from edgewright.drivers.flashing import check_flash, flash_and_open
from edgewright.drivers.meters.registry import check_meter
from edgewright.emit import SourceTree
from edgewright.entry import INTERRUPTED
from edgewright.errors import EdgewrightError, MemoryPlanError, MeterError, UnsupportedError
from edgewright.expected import expect
from edgewright.frontends.onnx import Model
from edgewright.frontends.onnx_bind import parse_bindings
from edgewright.inspection import imported_record, imported_table, inspect_model
from edgewright.profile import check_profile
from edgewright.report.comparison import comparison_table
from edgewright.report.record import result_of
from edgewright.report.result import Result
from edgewright.report.tables import planned_rows, profile_tables, region_rows, result_table, two_columns
from edgewright.samples import DataSet, load_npz
from edgewright.version import VERSION
from edgewright.watchdogs import watched

# typer's own copy of click, or click itself: the class has no public name in typer
_USAGE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    help="From model.onnx to measured predictions on a board.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def inspect(
    model: ModelFile, target: MaybeTarget = None, pin: Pin = None, bind: Bind = None,
    optimize: OptimizeFor = "balanced", flash_limit: FlashLimit = None, ram_limit: RamLimit = None,
    io: PortsIn = "caller", map_file: MapFile = None, curve: Curve = False, json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Show a model's operators and how each came in, MACs, parameters, RAM, what sets its peak, the boards it fits."""
    check_json(json_file, model)
    check_map(map_file, model, json_file=json_file)
    settings = plan_settings(optimize, flash_limit, ram_limit, io)
    board = None if target is None else load_target(target)
    screen, clock = Screen(quiet or "-" in (str(json_file), str(map_file))), pipeline.Clock()
    with screen.stages() as on_stage:
        clock.on_stage = on_stage
        with clock.stage("import"):
            try:
                loaded = pipeline.load(model, input_pins(pin), parse_bindings(bind))
            except UnsupportedError as error:
                if error.ways:
                    screen.show(imported_table(error.ways))
                    write_json(json_file, {"schema_version": 1, "imported": imported_record(error.ways)})
                raise
        facts = inspect_model(loaded, board, settings, with_curve=curve, clock=clock)
    screen.show(*facts.tables())
    write_json(json_file, facts.record())
    write_map(map_file, facts.planned, facts.title)


@app.command()
def generate(
    model: ModelFile,
    target: TargetName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The project's folder (MODEL-TARGET, if not given).",
                                  show_default=False)] = None,
    pin: Pin = None,
    bind: Bind = None,
    calibration: Calibration = None,
    scheme: SchemeName = "int8",
    optimize: OptimizeFor = "balanced",
    flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None,
    io: PortsIn = "caller",
    map_file: MapFile = None,
    place: Places = None,
    stage_weights: StageWeights = None,
    weights: WeightsAs = "auto",
    front: FrontOption = "link",
    mlperf_model: MlperfModel = None,
    watchdog: WatchdogPeriod = None,
    no_trace: NoTrace = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write the C project that runs a model on a board; CMake alone builds it."""
    settings = plan_settings(
        optimize, flash_limit, ram_limit, io, place, stage_weights, weights, front, mlperf_model, watchdog, no_trace
    )
    clock = pipeline.Clock()
    screen, board = Screen(quiet or str(map_file) == "-"), load_target(target)
    watched(board, watchdog)  # refused before the work
    folder = output or Path(f"{model.stem}-{board.name}")
    check_map(map_file, model, calibration, folder=folder)
    loaded = load_model(model, input_pins(pin), parse_bindings(bind), calibration, scheme, screen, clock)
    tree = _generate(loaded, board, settings, clock, map_file)
    write_project(tree, folder, force=force)
    memory = tree.manifest.memory
    screen.show(two_columns(f"{tree.manifest.model.name} for {board.name}", [
        ("project", str(folder)),
        ("files", str(len(tree.files) + len(tree.large_files))),
        ("weights", f"{memory.weights_bytes:,} B ({memory.raw_weights_bytes or 0:,} B before packing)"),
        ("arena", f"{memory.arena_bytes:,} B (lower bound {memory.arena_lower_bound_bytes:,} B)"),
        *planned_rows(memory.regions),
        ("next", f"edgewright build {folder}{_own_board(target)}"),
    ]))  # fmt: skip


def _own_board(target: str | None) -> str:
    """What later commands need in addition where the board is a folder of the user's own."""
    return f" --target {target}" if target is not None and Path(target).exists() else ""


def _generate(
    model: Model, board: Target, settings: pipeline.Settings, clock: pipeline.Clock, map_file: Path | None = None
) -> SourceTree:
    """Plan and emit; the memory map is written even where the board is too small for the plan."""
    with clock.stage("plan"):
        planned = pipeline.plan(model, board, settings)
    write_map(map_file, planned, f"{model.name} for {board.name}")
    with clock.stage("emit"):
        return pipeline.generate(model, planned, board, settings)


@app.command()
def build(project: ProjectDir, target: BoardOf = None, quiet: Quiet = False) -> None:
    """Compile a generated project by CMake."""
    screen = Screen(quiet)
    manifest, board = pipeline.load_project(project, target)
    with screen.stages() as on_stage:
        on_stage("build")
        firmware = build_project(project, manifest, board)
    stack = firmware.stack
    measured = firmware.sizes
    sizes = (("flash", measured.flash_bytes), ("code", measured.code_bytes), ("RAM", measured.ram_bytes),
             ("stack bound", stack.total_bytes), ("stack of an inference", stack.inference_bytes))  # fmt: skip
    screen.show(two_columns(f"{manifest.model.name} for {board.name}", [
        ("firmware", str(firmware.elf)),
        *((name, "-" if size is None else f"{size:,} B") for name, size in sizes),
        *region_rows(measured.regions),
        ("compiler", f"{firmware.compiler} {firmware.flags}"),
        ("next", f"edgewright run {project} --data X.npz{_own_board(target)}"),
    ]))  # fmt: skip


@app.command()
def flash(
    project: ProjectDir, port: Port = None, baud: Baud = 115200, tool: FlashTool = None, values: FlashValues = None,
    target: BoardOf = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Put a built project on its board, and check by the build id that it runs there.

    An emulated board starts anew for each run; there, and in-process, this only proves that it would.
    """
    screen = Screen(quiet)
    firmware = pipeline.load_firmware(project, target)
    is_board = firmware.target.device == "serial" or tool is not None
    rows = [("build id", firmware.manifest.build_id), ("answered", port or firmware.target.device)]
    with screen.stages() as on_stage:
        on_stage("flash")
        if is_board:
            done, device = flash_and_open(firmware, port, flash_options(tool, values), on_stage, baudrate=baud)
            rows.append(("flashed by", f"{done.tool}, attempt {done.attempts}, {done.seconds:.1f} s"))
        else:
            device = open_device(firmware, port, baudrate=baud)
        device.close()
    screen.show(two_columns(f"{firmware.manifest.model.name} on {firmware.target.name}", rows))


@app.command()
def run(
    project: ProjectDir, data: DataFile, port: Port = None, batch: Batch = None, baud: Baud = 115200,
    fast_baud: FastBaud = None, overlap: Overlap = False, timeout: TimeLimit = INFERENCE_TIMEOUT_S,
    profile: Profile = False, meter: MeterName = None, supply: Supply = None, meter_marker: MeterMarker = None,
    target: BoardOf = None,
    json_file: JsonFile = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Run samples on the board of a built project, compare with the reference, and report."""
    check_json(json_file, data)
    screen = Screen(quiet or str(json_file) == "-")
    clock = pipeline.Clock()
    firmware = pipeline.load_firmware(project, target)
    samples = pipeline.read_data(firmware.manifest, load_npz(data))
    measures = meter_options(meter, supply, meter_marker)
    options = pipeline.RunOptions(port, batch, baud, timeout, profile, None, overlap, fast_baud, measures)
    _finish(screen, clock, firmware, samples, options, json_file)


@app.command()
def deploy(
    model: ModelFile, target: TargetName, data: DataFile,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the project here.", show_default=False)] = None,
    pin: Pin = None, bind: Bind = None, calibration: Calibration = None, scheme: SchemeName = "int8",
    compare_float: CompareFloat = False, optimize: OptimizeFor = "balanced", flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None, io: PortsIn = "caller", place: Places = None, stage_weights: StageWeights = None,
    weights: WeightsAs = "auto", front: FrontOption = "link", mlperf_model: MlperfModel = None,
    watchdog: WatchdogPeriod = None, no_trace: NoTrace = False, port: Port = None, batch: Batch = None,
    baud: Baud = 115200, fast_baud: FastBaud = None, overlap: Overlap = False, timeout: TimeLimit = INFERENCE_TIMEOUT_S,
    profile: Profile = False, meter: MeterName = None, supply: Supply = None, meter_marker: MeterMarker = None,
    no_flash: NoFlash = False,
    tool: FlashTool = None, values: FlashValues = None, json_file: JsonFile = None,
    force: Force = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """All of it: import, generate, build, flash, run, compare with the reference, report."""
    check_json(json_file, model, data, calibration)
    settings = plan_settings(
        optimize, flash_limit, ram_limit, io, place, stage_weights, weights, front, mlperf_model, watchdog, no_trace
    )
    screen = Screen(quiet or str(json_file) == "-")
    clock = pipeline.Clock()
    board = load_target(target)
    watched(board, watchdog)
    if profile:
        check_profile(board, port)
    if front == "mlperf-energy":
        raise EdgewrightError("--front mlperf-energy: nothing can be deployed there, it is for a power meter's runner")
    how, measures = flash_options(tool, values), meter_options(meter, supply, meter_marker)
    if measures is not None:
        check_meter(measures, board, port)
    writes = not no_flash and (board.device == "serial" or tool is not None)
    if writes:
        check_flash(board, port, how)
    if compare_float and calibration is None:
        raise EdgewrightError("--compare-float needs --calibration: without it the model is the float one")
    arrays, pins, bindings = load_npz(data), input_pins(pin), parse_bindings(bind)
    flash = how if writes else None
    options = pipeline.RunOptions(port, batch, baud, timeout, profile, flash, overlap, fast_baud, measures)
    loaded = load_model(model, pins, bindings, calibration, scheme, screen, clock)
    with tempfile.TemporaryDirectory(prefix="edgewright-") as scratch:

        def deployed(what: Model, folder: Path, time: pipeline.Clock) -> tuple[Firmware, DataSet]:
            with screen.stages() as on_stage:
                time.on_stage = on_stage
                tree = _generate(what, board, settings, time)
                samples = pipeline.read_data(tree.manifest, arrays)
                return pipeline.compile_tree(tree, board, folder, time, force=force), samples

        firmware, samples = deployed(loaded, output or Path(scratch) / "project", clock)
        result = _finish(screen, clock, firmware, samples, options, json_file)
        if not compare_float:
            return
        try:
            base = deployed(pipeline.load(model, pins, bindings), Path(scratch) / "float", pipeline.Clock())
        except MemoryPlanError as error:
            screen.warning(f"nothing to compare with, the float model does not fit: {error}")
            return
        other, meter_error = _measured(screen, pipeline.Clock(), *base, options)
        screen.show(comparison_table({"float": other, scheme: result}))
        if meter_error is not None:
            raise MeterError(meter_error)


def _finish(
    screen: Screen, clock: pipeline.Clock, firmware: Firmware, samples: DataSet,
    options: pipeline.RunOptions, json_file: Path | None,
) -> Result:  # fmt: skip
    """Run, compare, report."""
    result, meter_error = _measured(screen, clock, firmware, samples, options)
    write_json(json_file, result)
    screen.show(result_table(result), *profile_tables(result, screen.room))
    if not result.fidelity.passed:
        screen.error(
            f"{result.fidelity.mismatching_elements:,} of {result.fidelity.elements:,} output elements differ from "
            f"{result.fidelity.reference} by up to {result.fidelity.max_abs_error:.3g}"
        )
    if meter_error is not None:  # what was predicted has been compared, shown and written all the same
        screen.error(meter_error)
    if meter_error is not None or not result.fidelity.passed:
        raise typer.Exit(1 if not result.fidelity.passed else MeterError.exit_status)
    return result


def _measured(
    screen: Screen, clock: pipeline.Clock, firmware: Firmware, samples: DataSet, options: pipeline.RunOptions
) -> tuple[Result, str | None]:
    """Run and compare with the reference; also return why a meter that was asked for has no energy."""
    with screen.progress() as bars:
        clock.on_stage = bars.begin
        done = pipeline.run(firmware, samples, options, clock, bars.advance)
        with clock.stage("reference"):
            expected = expect(firmware, samples, bars.advance)
    return result_of(firmware, samples, done, expected, clock.seconds), done.meter_error


@app.command()
def doctor(json_file: JsonFile = None, quiet: Quiet = False) -> None:
    """Show which tools are installed, and how to get the others."""
    check_json(json_file)
    findings = examine()
    Screen(quiet or str(json_file) == "-").grid("doctor", ("tool", "for", "found"), [
        (f.name, f.purpose, f.version or f"missing: {f.remedy}") for f in findings
    ])  # fmt: skip
    write_json(json_file, [finding.record() for finding in findings])


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"edgewright {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """From model.onnx to measured predictions on a board."""


add_quantize(app)
add_boards(app)
add_trace(app)


def main() -> None:
    """Run the command line; `entry.py` has taken care of signals."""
    run_app(app, "edgewright")


def run_app(command: typer.Typer, name: str) -> None:
    """Run a command line called `name`, and end the program with its exit status."""
    screen = Screen(quiet=False)
    try:
        status = command(standalone_mode=False)  # what a command raised as typer.Exit comes back as its number
    except EdgewrightError as error:
        screen.error(str(error))
        sys.exit(error.exit_status)
    except OSError as error:  # a path too long, a disk full: what the system says, and of which file
        screen.error(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        sys.exit(2)
    except _USAGE_ERROR as error:
        text = error.format_message().rstrip(".")
        if text:  # else it was the help that was shown
            screen.error(f"{text}. See `{name} --help`.")
        sys.exit(error.exit_code)
    except typer.Abort as abort:
        raise KeyboardInterrupt from abort
    if status == INTERRUPTED:  # typer made an exit of the KeyboardInterrupt
        raise KeyboardInterrupt
    sys.exit(status if isinstance(status, int) else 0)

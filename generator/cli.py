"""The command line: one subcommand is one call into pipeline.py, and a table or a JSON file of what it gave.

Exit status: 0 done; 1 the comparison with the reference failed; 2 the user's input or set-up is at fault;
3 the device failed. Errors are plain lines on standard error, never a traceback.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from edgewright import pipeline
from edgewright.boards import Target, list_targets, load_target
from edgewright.build import Firmware, write_project
from edgewright.build import build as build_project
from edgewright.console import Screen
from edgewright.doctor import examine
from edgewright.drivers.device import INFERENCE_TIMEOUT_S, open_device
from edgewright.emit import SourceTree
from edgewright.entry import INTERRUPTED
from edgewright.errors import EdgewrightError
from edgewright.files import write_text
from edgewright.inspection import inspect_model
from edgewright.manifest import Optimize
from edgewright.report.result import Result
from edgewright.report.tables import result_table, two_columns
from edgewright.samples import DataSet, load_npz
from edgewright.version import VERSION

# typer's own copy of click, or click itself: the class has no public name in typer
_USAGE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    help="From model.onnx to measured predictions on a board.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelFile = Annotated[Path, typer.Argument(help="The trained model, an ONNX file.", show_default=False)]
ProjectDir = Annotated[Path, typer.Argument(help="A generated project.", show_default=False)]
TargetName = Annotated[
    str, typer.Option("--target", "-t", help="A board (see `edgewright targets`), or a folder with a target.toml.",
                      show_default=False)]  # fmt: skip
Pin = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=DIMS", help="Pin an input's shape, as in --input x=1,3,32,32. Repeatable.",
                 show_default=False)]  # fmt: skip
OptimizeFor = Annotated[str, typer.Option("--optimize", help="speed, balanced, size or ram.")]
DataFile = Annotated[
    Path, typer.Option("--data", "-d", help="An .npz: 'x' (or an array an input), samples first; 'y' for accuracy.",
                       show_default=False)]  # fmt: skip
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the result to this file ('-': standard output).",
                              show_default=False)]  # fmt: skip
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No tables and no progress; errors only.")]
Port = Annotated[
    str | None, typer.Option("--port", help="A pyserial URL or device; on the host also 'pty'.", show_default=False)]
Batch = Annotated[
    int | None, typer.Option("--batch", min=1, help="Samples a batch; as many as fit in the board, if not given.",
                             show_default=False)]  # fmt: skip
Baud = Annotated[int, typer.Option("--baud", min=1, help="Baud rate of a real port.")]
TimeLimit = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds that one inference may take.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a folder that holds something else.")]
BoardOf = Annotated[
    str | None, typer.Option("--target", "-t", help="The board's folder, where it is one of your own.",
                             show_default=False)]  # fmt: skip


def _optimize(text: str) -> Optimize:
    if text not in get_args(Optimize):
        raise EdgewrightError(f"--optimize {text}: expected one of {', '.join(get_args(Optimize))}")
    return cast(Optimize, text)


def _pins(pins: list[str] | None) -> dict[str, list[int]]:
    result = {}
    for pin in pins or []:
        name, _, dims = pin.rpartition("=")
        try:
            sizes = [int(d) for d in dims.split(",") if d.strip()] if dims.strip() else []
        except ValueError:
            sizes = [0]
        if not name or any(size < 1 for size in sizes):
            raise EdgewrightError(f"--input {pin}: expected NAME=DIMS with positive numbers, as in x=1,3,32,32")
        result[name] = sizes
    return result


def _write_json(path: Path | None, content: Any) -> None:
    if path is None:
        return
    text = content.model_dump_json(indent=2) if isinstance(content, Result) else json.dumps(content, indent=2)
    if str(path) == "-":
        sys.stdout.write(text + "\n")
    else:
        write_text(path, text + "\n")


def _check_json(path: Path | None) -> None:
    """Find out before the work, not after it, that its result cannot be written."""
    if path is not None and str(path) != "-" and (path.is_dir() or not path.resolve().parent.is_dir()):
        raise EdgewrightError(f"--json {path}: that is a folder, or its folder does not exist")


@app.command()
def inspect(model: ModelFile, pin: Pin = None, json_file: JsonFile = None, quiet: Quiet = False) -> None:
    """Show a model's operators, MACs, parameters, RAM lower bound, and the boards it fits."""
    _check_json(json_file)
    facts = inspect_model(pipeline.load(model, _pins(pin)))
    Screen(quiet or str(json_file) == "-").show(*facts.tables())
    _write_json(json_file, facts.record())


@app.command()
def generate(
    model: ModelFile,
    target: TargetName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The project's folder (MODEL-TARGET, if not given).",
                                  show_default=False)] = None,
    pin: Pin = None,
    optimize: OptimizeFor = "balanced",
    force: Force = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write the C project that runs a model on a board; CMake alone builds it."""
    level, screen, clock = _optimize(optimize), Screen(quiet), pipeline.Clock()
    board = load_target(target)
    tree = _generate(model, pin, board, level, clock)
    folder = output or Path(f"{model.stem}-{board.name}")
    write_project(tree, folder, force=force)
    memory = tree.manifest.memory
    screen.show(two_columns(f"{tree.manifest.model.name} for {board.name}", [
        ("project", str(folder)),
        ("files", str(len(tree.files))),
        ("weights", f"{memory.weights_bytes:,} B"),
        ("arena", f"{memory.arena_bytes:,} B (lower bound {memory.arena_lower_bound_bytes:,} B)"),
        ("next", f"edgewright build {folder}{_own_board(target)}"),
    ]))  # fmt: skip


def _own_board(target: str | None) -> str:
    """What later commands need in addition where the board is a folder of the user's own."""
    return f" --target {target}" if target is not None and Path(target).exists() else ""


def _generate(
    model: Path, pin: list[str] | None, board: Target, level: Optimize, clock: pipeline.Clock
) -> SourceTree:
    with clock.stage("import"):
        loaded = pipeline.load(model, _pins(pin))
    with clock.stage("plan"):
        planned = pipeline.plan(loaded)
    with clock.stage("emit"):
        return pipeline.generate(loaded, planned, board, level)


@app.command()
def build(project: ProjectDir, target: BoardOf = None, quiet: Quiet = False) -> None:
    """Compile a generated project by CMake."""
    screen = Screen(quiet)
    manifest, board = pipeline.load_project(project, target)
    with screen.stages() as on_stage:
        on_stage("build")
        firmware = build_project(project, manifest, board)
    sizes = (("flash", firmware.flash_bytes), ("code", firmware.code_bytes), ("RAM", firmware.ram_bytes))
    screen.show(two_columns(f"{manifest.model.name} for {board.name}", [
        ("firmware", str(firmware.elf)),
        *((name, "-" if size is None else f"{size:,} B") for name, size in sizes),
        ("compiler", f"{firmware.compiler} {firmware.flags}"),
        ("next", f"edgewright run {project} --data X.npz{_own_board(target)}"),
    ]))  # fmt: skip


@app.command()
def flash(
    project: ProjectDir, port: Port = None, baud: Baud = 115200, target: BoardOf = None, quiet: Quiet = False
) -> None:
    """Put a built project on its board, and check by the build id that it runs there.

    An emulated board starts anew for each run; there, and in-process, this only proves that it would.
    """
    screen = Screen(quiet)
    firmware = pipeline.load_firmware(project, target)
    with screen.stages() as on_stage:
        on_stage("flash")
        with open_device(firmware, port, baudrate=baud):
            pass
    screen.show(two_columns(f"{firmware.manifest.model.name} on {firmware.target.name}", [
        ("build id", firmware.manifest.build_id), ("answered", port or firmware.target.device),
    ]))  # fmt: skip


@app.command()
def run(
    project: ProjectDir, data: DataFile, port: Port = None, batch: Batch = None, baud: Baud = 115200,
    timeout: TimeLimit = INFERENCE_TIMEOUT_S, target: BoardOf = None, json_file: JsonFile = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Run samples on the board of a built project, compare with the reference, and report."""
    _check_json(json_file)
    screen = Screen(quiet or str(json_file) == "-")
    clock = pipeline.Clock()
    firmware = pipeline.load_firmware(project, target)
    samples = pipeline.read_data(firmware.manifest, load_npz(data))
    options = pipeline.RunOptions(port, batch, baud, timeout)
    _finish(screen, clock, firmware, samples, options, json_file)


@app.command()
def deploy(
    model: ModelFile, target: TargetName, data: DataFile,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the project here.", show_default=False)] = None,
    pin: Pin = None, optimize: OptimizeFor = "balanced", port: Port = None, batch: Batch = None, baud: Baud = 115200,
    timeout: TimeLimit = INFERENCE_TIMEOUT_S, json_file: JsonFile = None, force: Force = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """All of it: import, generate, build, flash, run, compare with the reference, report."""
    _check_json(json_file)
    level = _optimize(optimize)
    screen = Screen(quiet or str(json_file) == "-")
    clock = pipeline.Clock()
    board = load_target(target)
    arrays = load_npz(data)
    with tempfile.TemporaryDirectory(prefix="edgewright-") as scratch:
        with screen.stages() as on_stage:
            clock.on_stage = on_stage
            tree = _generate(model, pin, board, level, clock)
            samples = pipeline.read_data(tree.manifest, arrays)
            folder = output or Path(scratch) / "project"
            firmware = pipeline.compile_tree(tree, board, folder, clock, force=force)
        _finish(screen, clock, firmware, samples, pipeline.RunOptions(port, batch, baud, timeout), json_file)


def _finish(
    screen: Screen, clock: pipeline.Clock, firmware: Firmware, samples: DataSet,
    options: pipeline.RunOptions, json_file: Path | None,
) -> None:  # fmt: skip
    """Run, compare, report."""
    with screen.progress() as bars:
        clock.on_stage = bars.begin
        done = pipeline.run(firmware, samples, options, clock, bars.advance)
        with clock.stage("reference"):
            expected = pipeline.reference(firmware, samples, bars.advance)
    result = pipeline.report(firmware, samples, done, expected, clock)
    _write_json(json_file, result)
    screen.show(result_table(result))
    if not result.fidelity.passed:
        screen.error(
            f"{result.fidelity.mismatching_elements:,} of {result.fidelity.elements:,} output elements differ from "
            f"{result.fidelity.reference} by up to {result.fidelity.max_abs_error:.3g}"
        )
        raise typer.Exit(1)


@app.command()
def targets(json_file: JsonFile = None, quiet: Quiet = False) -> None:
    """List the boards."""
    _check_json(json_file)
    boards = list_targets()
    rows = [
        {"name": b.name, "description": b.description, "cpu": b.cpu, "clock_hz": b.clock_hz, "evidence": b.evidence,
         "device": b.device, "flash_bytes": b.flash_bytes, "ram_bytes": b.ram_bytes}
        for b in boards
    ]  # fmt: skip
    Screen(quiet or str(json_file) == "-").grid("targets", ("name", "cpu", "evidence", "flash", "RAM", "description"), [
        (b.name, b.cpu, b.evidence, *("-" if size is None else f"{size:,} B" for size in (b.flash_bytes, b.ram_bytes)),
         b.description)
        for b in boards
    ])  # fmt: skip
    _write_json(json_file, rows)


@app.command()
def doctor(json_file: JsonFile = None, quiet: Quiet = False) -> None:
    """Show which tools are installed, and how to get the others."""
    _check_json(json_file)
    findings = examine()
    Screen(quiet or str(json_file) == "-").grid("doctor", ("tool", "for", "found"), [
        (f.name, f.purpose, f.version or f"missing: {f.remedy}") for f in findings
    ])  # fmt: skip
    _write_json(json_file, [finding.record() for finding in findings])


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"edgewright {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """From model.onnx to measured predictions on a board."""


def main() -> None:
    """Run the command line; `entry.py` has taken care of signals."""
    screen = Screen(quiet=False)
    try:
        status = app(standalone_mode=False)  # what a command raised as typer.Exit comes back as its number
    except EdgewrightError as error:
        screen.error(str(error))
        sys.exit(error.exit_status)
    except OSError as error:  # a path too long, a disk full: what the system says, and of which file
        screen.error(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        sys.exit(2)
    except _USAGE_ERROR as error:
        text = error.format_message().rstrip(".")
        if text:  # else it was the help that was shown
            screen.error(f"{text}. See `edgewright --help`.")
        sys.exit(error.exit_code)
    except typer.Abort as abort:
        raise KeyboardInterrupt from abort
    if status == INTERRUPTED:  # typer made an exit of the KeyboardInterrupt
        raise KeyboardInterrupt
    sys.exit(status if isinstance(status, int) else 0)

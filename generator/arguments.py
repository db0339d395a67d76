"""What the commands have in common: options and arguments, and how they are read and checked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from edgewright.drivers.flashing import FlashOptions
from edgewright.drivers.meters.core import MeterOptions
from edgewright.errors import EdgewrightError
from edgewright.files import write_text
from edgewright.manifest import Optimize, Ports
from edgewright.pipeline import Settings
from edgewright.plan import Plan
from edgewright.report.memory_map import memory_map
from edgewright.report.memory_svg import svg_map
from edgewright.report.memory_text import text_map
from edgewright.report.result import Result
from edgewright.weights import Weights

ModelFile = Annotated[Path, typer.Argument(help="The trained model, an ONNX file.", show_default=False)]
ProjectDir = Annotated[Path, typer.Argument(help="A generated project.", show_default=False)]
TargetName = Annotated[
    str, typer.Option("--target", "-t", help="A board (see `edgewright targets`), or a folder with a target.toml.",
                      show_default=False)]  # fmt: skip
MaybeTarget = Annotated[
    str | None, typer.Option("--target", "-t", show_default=False,
                             help="A board, or a folder with a target.toml; any, if not given.")]  # fmt: skip
Pin = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=DIMS", help="Pin an input's shape, as in --input x=1,3,32,32. Repeatable.",
                 show_default=False)]  # fmt: skip
Bind = Annotated[
    list[str] | None,
    typer.Option("--bind", metavar="NAME=VALUE", show_default=False,
                 help="Make an input a constant: --bind shape=[1,-1] or shape=file.npy. Repeatable.")]  # fmt: skip
OptimizeFor = Annotated[str, typer.Option("--optimize", help="speed, balanced, size or ram.")]
DataFile = Annotated[
    Path, typer.Option("--data", "-d", help="An .npz: 'x' (or an array an input), samples first; 'y' for accuracy.",
                       show_default=False)]  # fmt: skip
FlashLimit = Annotated[
    int | None, typer.Option("--flash-limit", min=1, metavar="BYTES", show_default=False,
                             help="Flash that the firmware may take: packed weights are chosen to fit.")]  # fmt: skip
RamLimit = Annotated[
    int | None, typer.Option("--ram-limit", min=1, metavar="BYTES", show_default=False,
                             help="RAM that the arena may take: the fastest plan that fits is made.")]  # fmt: skip
WeightsAs = Annotated[
    str, typer.Option("--weights", help="Write weights as C arrays (c), as a file for the assembler (binary), or auto: "
                                        "binary from 1 MiB on.")]  # fmt: skip
PortsIn = Annotated[str, typer.Option("--io", help="Who holds inputs and outputs: the caller, or the arena.")]
Places = Annotated[
    list[str] | None,
    typer.Option("--place", metavar="NAME=REGION", show_default=False,
                 help="Where a tensor, a constant, or an operator's constants lie. Repeatable.")]  # fmt: skip
StageWeights = Annotated[
    str | None, typer.Option("--stage-weights", metavar="REGION", show_default=False,
                             help="RAM that weights in slower memory are copied to, layer by layer.")]  # fmt: skip
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the result to this file ('-': standard output).",
                              show_default=False)]  # fmt: skip
MapFile = Annotated[
    Path | None, typer.Option("--memory-map", metavar="FILE", show_default=False,
                              help="Write what lies where when: an .svg or .txt ('-': standard output).")]  # fmt: skip
Curve = Annotated[bool, typer.Option("--curve", help="Also show plans from the fastest to the smallest in RAM.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No tables and no progress; errors only.")]
Port = Annotated[
    str | None, typer.Option("--port", help="A pyserial URL or device; on the host also 'pty'.", show_default=False)]
FrontOption = Annotated[
    str, typer.Option("--front", help="What the firmware speaks: link, mlperf (performance form) or mlperf-energy.")]
MlperfModel = Annotated[
    str | None, typer.Option("--mlperf-model", metavar="ID", show_default=False,
                             help="The model as MLPerf Tiny knows it: kws01 ...; else its own name.")]  # fmt: skip
WatchdogPeriod = Annotated[
    float | None, typer.Option("--watchdog", metavar="SECONDS", show_default=False,
                               help="Have the board's watchdog reset it where an inference takes longer.")]  # fmt: skip
FlashTool = Annotated[
    str | None, typer.Option("--tool", help="The tool to flash with; the board's first that is there, if not given.",
                             show_default=False)]  # fmt: skip
FlashValues = Annotated[
    list[str] | None, typer.Option("--with", metavar="NAME=VALUE", show_default=False,
                                   help="A value of the tool, as --with probe=SERIAL. Repeatable.")]  # fmt: skip
NoFlash = Annotated[bool, typer.Option("--no-flash", help="The board has this firmware already: do not flash it.")]
Batch = Annotated[
    int | None, typer.Option("--batch", min=1, help="Samples a batch; as many as fit in the board, if not given.",
                             show_default=False)]  # fmt: skip
Baud = Annotated[int, typer.Option("--baud", min=1, help="Baud rate of a real port.")]
FastBaud = Annotated[
    int | None, typer.Option("--baud-fast", min=0, show_default=False,
                             help="Rate to go on at, if both ends can; the board's, if not given; 0: none."),
]  # fmt: skip
Overlap = Annotated[
    bool, typer.Option("--overlap/--no-overlap", help="Send the next batch while one is computed.")]  # fmt: skip
Profile = Annotated[bool, typer.Option("--profile", help="Also show what each step takes.")]
NoTrace = Annotated[bool, typer.Option("--no-trace", help="Leave out what runs single steps for the link.")]
TimeLimit = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds that one inference may take.")]
MeterName = Annotated[
    str | None, typer.Option("--meter", metavar="METER[:ADDRESS]", show_default=False,
                             help="Measure energy: ppk2, ppk2-ampere, joulescope, lpm01a or otii.")]  # fmt: skip
Supply = Annotated[
    float | None, typer.Option("--supply", metavar="VOLTS", show_default=False,
                               help="With --meter: what it feeds the board with.")]  # fmt: skip
MeterMarker = Annotated[
    str | None, typer.Option("--meter-marker", metavar="CHANNEL", show_default=False,
                             help="With --meter: its input with the board's marker pin; else the first.")]  # fmt: skip
Force = Annotated[bool, typer.Option("--force", help="Overwrite a folder that holds something else.")]
Calibration = Annotated[
    Path | None, typer.Option("--calibration", "-c", show_default=False,
                              help="Quantize first, with samples of this .npz ('x'; 'y' for accuracy).")]  # fmt: skip
CompareFloat = Annotated[
    bool, typer.Option("--compare-float", help="With --calibration: deploy the float model too, and show both.")]
SchemeName = Annotated[str, typer.Option("--scheme", help="int8, int16x8 or int4: see `edgewright quantize`.")]
BoardOf = Annotated[
    str | None, typer.Option("--target", "-t", help="The board's folder, where it is one of your own.",
                             show_default=False)]  # fmt: skip


def optimize_level(text: str) -> Optimize:
    """Check --optimize. Raises: EdgewrightError."""
    if text not in get_args(Optimize):
        raise EdgewrightError(f"--optimize {text}: expected one of {', '.join(get_args(Optimize))}")
    return cast(Optimize, text)


def plan_settings(
    optimize: str, flash_limit: int | None, ram_limit: int | None, io: str, place: list[str] | None = None,
    stage_weights: str | None = None, weights: str = "auto", front: str = "link", mlperf_model: str | None = None,
    watchdog: float | None = None, no_trace: bool = False,
) -> Settings:  # fmt: skip
    """Check the options that a plan depends on. Raises: EdgewrightError."""
    if io not in get_args(Ports):
        raise EdgewrightError(f"--io {io}: expected one of {', '.join(get_args(Ports))}")
    if weights not in get_args(Weights):
        raise EdgewrightError(f"--weights {weights}: expected one of {', '.join(get_args(Weights))}")
    return Settings(
        optimize_level(optimize), flash_limit, ram_limit, cast(Ports, io), places(place), stage_weights,
        cast(Weights, weights), front, mlperf_model, watchdog, not no_trace,
    )  # fmt: skip


def flash_options(tool: str | None, values: list[str] | None) -> FlashOptions:
    """Read --tool and --with. Raises: EdgewrightError."""
    pairs = {}
    for text in values or []:
        name, found, value = text.partition("=")
        if not found or not name or not value:
            raise EdgewrightError(f"--with {text}: expected NAME=VALUE")
        pairs[name] = value
    return FlashOptions(tool, pairs)


def meter_options(meter: str | None, supply_v: float | None, marker: str | None) -> MeterOptions | None:
    """Read --meter, --supply and --meter-marker. Raises: EdgewrightError."""
    if meter is None:
        for option, value in (("--supply", supply_v), ("--meter-marker", marker)):
            if value is not None:
                raise EdgewrightError(f"{option} {value}: it is for --meter")
        return None
    name, _, address = meter.partition(":")
    return MeterOptions(name, address or None, supply_v, marker)


def places(wishes: list[str] | None) -> dict[str, str]:
    """Read --place. Raises: EdgewrightError."""
    result: dict[str, str] = {}
    for wish in wishes or []:
        name, _, region = wish.rpartition("=")
        if not name or not region:
            raise EdgewrightError(f"--place {wish}: expected NAME=REGION")
        if result.setdefault(name, region) != region:
            raise EdgewrightError(f"--place {wish}: '{name}' was placed in '{result[name]}' before")
    return result


def input_pins(pins: list[str] | None) -> dict[str, list[int]]:
    """Read --input. Raises: EdgewrightError."""
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


def write_json(path: Path | None, content: Any) -> None:
    """Write a result: a file, or standard output for '-'."""
    if path is None:
        return
    text = content.model_dump_json(indent=2) if isinstance(content, Result) else json.dumps(content, indent=2)
    if str(path) == "-":
        sys.stdout.write(text + "\n")
    else:
        write_text(path, text + "\n")


def check_json(path: Path | None, *taken: Path | None, option: str = "--json") -> None:
    """Find out before the work, not after it, that its result cannot be written, or would replace what is `taken`."""
    if path is not None and str(path) != "-":
        check_written(path, *taken, option=option)


def check_map(
    path: Path | None, *taken: Path | None, json_file: Path | None = None, folder: Path | None = None
) -> None:
    """Check --memory-map before the work: see `check_json`. `folder` is replaced. Raises: EdgewrightError."""
    if path is None:
        return
    if str(path) == "-":
        if str(json_file) == "-":
            raise EdgewrightError("--memory-map - and --json -: only one of them can go to standard output")
        return
    if path.suffix.lower() not in (".svg", ".txt"):
        raise EdgewrightError(f"--memory-map {path}: expected a name that ends with .svg or .txt, or '-'")
    if folder is not None and folder.resolve() in path.resolve().parents:
        raise EdgewrightError(f"--memory-map {path}: it would be lost in '{folder}', which is written as a whole")
    check_written(path, *taken, json_file, option="--memory-map")


def write_map(path: Path | None, planned: Plan, title: str) -> None:
    """Write the memory map of a plan: a drawing or text, by the file's suffix; text to standard output for '-'."""
    if path is None:
        return
    memory = memory_map(planned, title)
    if str(path) == "-":
        sys.stdout.write(text_map(memory))
    else:
        write_text(path, svg_map(memory) if path.suffix.lower() == ".svg" else text_map(memory))


def check_written(path: Path, *taken: Path | None, option: str) -> None:
    """Refuse a folder, a file in a folder that is not there, and files that are `taken`. Raises: EdgewrightError."""
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise EdgewrightError(f"{option} {path}: that is a folder, or its folder does not exist")
    if any(other is not None and other.resolve() == path.resolve() for other in taken):
        raise EdgewrightError(f"{option} {path}: another file of this command is there, and would be lost")

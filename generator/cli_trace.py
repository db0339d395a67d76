"""`edgewright trace`: what each layer made of one sample on the device, against its reference."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from edgewright import pipeline
from edgewright.arguments import (
    Baud,
    BoardOf,
    DataFile,
    JsonFile,
    Port,
    ProjectDir,
    Quiet,
    TimeLimit,
    check_json,
    check_written,
    write_json,
)
from edgewright.console import Screen
from edgewright.drivers.device import INFERENCE_TIMEOUT_S, open_device
from edgewright.drivers.steps import check_traced, tensors
from edgewright.errors import DataError, EdgewrightError
from edgewright.ir import Array
from edgewright.samples import load_npz
from edgewright.tracing import LayerCheck, check_layers, first_difference


def add_trace(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(trace)


def trace(
    project: ProjectDir, data: DataFile, port: Port = None, baud: Baud = 115200,
    sample: Annotated[int, typer.Option("--sample", min=0, help="Which of the samples, from 0 on.")] = 0,
    tensor: Annotated[
        list[str] | None, typer.Option("--tensor", metavar="NAME", show_default=False,
                                       help="Only fetch this tensor, and compare nothing. Repeatable.")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", show_default=False,
                                  help="Write the tensors to this .npz file.")] = None,
    timeout: TimeLimit = INFERENCE_TIMEOUT_S, target: BoardOf = None, json_file: JsonFile = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Run one sample, compare what each layer made with its reference, and name the first that differs."""
    check_json(json_file, data)
    if save is not None:
        check_written(save, data, json_file, option="--save")
    if tensor and (save is None or json_file is not None):
        raise EdgewrightError("--tensor only fetches tensors: say where to with --save, and leave out --json")
    screen = Screen(quiet or str(json_file) == "-")
    firmware = pipeline.load_firmware(project, target)
    check_traced(firmware.manifest)
    samples = pipeline.read_data(firmware.manifest, load_npz(data))
    if sample >= samples.samples:
        raise DataError(f"--sample {sample}: '{data}' has {samples.samples}")
    one = {name: values[sample : sample + 1] for name, values in samples.inputs.items()}
    with screen.stages() as on_stage:
        on_stage("run")
        with open_device(firmware, port, baudrate=baud, inference_timeout_s=timeout) as device:
            made = tensors(device, one, tensor or None)
        on_stage("reference")
        checks = [] if tensor else check_layers(firmware, one, made)
    if save is not None:
        _save(made, save)
    if tensor:
        return
    found = first_difference(checks)
    write_json(json_file, {"schema_version": 1, "sample": sample, "layers": [check.record() for check in checks],
                           "first_difference": None if found is None else found.record()})  # fmt: skip
    screen.grid(f"{firmware.manifest.model.name} on {firmware.target.name}, sample {sample}",
                ("step", "operator", "name", "tensor", "type", "shape", "error"),
                [_row(check) for check in checks])  # fmt: skip
    if found is not None:
        screen.error(
            f"the first layer that differs is {found.where}: {found.differing:,} of "
            f"{np.prod(found.shape, dtype=int):,} elements of '{found.tensor}', by up to {found.max_error:.3g}"
        )
        raise typer.Exit(1)


def _row(check: LayerCheck) -> tuple[str, ...]:
    shape = "x".join(map(str, check.shape))
    verdict = "-" if check.max_error is None else f"{check.max_error:.3g}"
    if check.differing:
        verdict += f" DIFFERS: {check.differing:,}"
    return str(check.step), check.op, check.layer, check.tensor, check.dtype, shape, verdict


def _save(made: Mapping[str, Array], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:  # np.savez takes no array called 'file'
        for name, values in made.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(values), allow_pickle=False)

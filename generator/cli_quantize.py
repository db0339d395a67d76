"""The command `quantize`, and what `--calibration` does for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewright import pipeline
from edgewright.arguments import ModelFile, Pin, Quiet, check_json, check_written, input_pins, write_json
from edgewright.console import Screen
from edgewright.errors import EdgewrightError
from edgewright.frontends.onnx import Model
from edgewright.frontends.onnx_bind import Bindings
from edgewright.quantization.options import Options
from edgewright.quantization.post_training import Progress
from edgewright.quantizer import QuantizedModel, quantize_model
from edgewright.samples import load_npz

Samples = Annotated[
    Path, typer.Option("--calibration", "-c", show_default=False,
                       help="An .npz of real samples: 'x' (or an array an input); 'y' for accuracy.")]  # fmt: skip
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The QDQ ONNX file (MODEL_SCHEME.onnx, if not given).",
                              show_default=False)]  # fmt: skip
Scheme = Annotated[
    str, typer.Option("--scheme", help="int8; int16x8: int16 activations, int8 weights; int4: int4 weights, "
                                       "int8 activations.")]  # fmt: skip
ObserverName = Annotated[
    str, typer.Option("--observer", help="How ranges are chosen: minmax, percentile, mse, kl; auto tries them all.")]
Percentile = Annotated[float, typer.Option("--percentile", help="Share of the values inside, for that observer.")]
PerTensor = Annotated[bool, typer.Option("--per-tensor", help="One scale for all weights of a layer.")]
Equalize = Annotated[str, typer.Option("--equalize", help="Cross-layer equalization: auto, on or off.")]
RoundingName = Annotated[str, typer.Option("--rounding", help="adaround, or nearest.")]
NoBias = Annotated[bool, typer.Option("--no-bias-correction", help="Leave the mean error of each channel as it is.")]
MaxDrop = Annotated[
    float | None, typer.Option("--max-drop", metavar="POINTS", show_default=False,
                               help="Budget, in points of accuracy; layers keep more bits to hold it.")]  # fmt: skip
MinSqnr = Annotated[
    float | None, typer.Option("--sqnr", metavar="DB", show_default=False,
                               help="Budget: signal to noise at the outputs, at least.")]  # fmt: skip
Mixed = Annotated[str, typer.Option("--mixed", help="What layers are kept in under a budget: int16 or float.")]
KeepFloat = Annotated[
    list[str] | None, typer.Option("--keep-float", metavar="LAYER", help="Keep a layer in float. Repeatable.",
                                   show_default=False)]  # fmt: skip
KeepInt16 = Annotated[
    list[str] | None, typer.Option("--keep-int16", metavar="LAYER", show_default=False,
                                   help="Keep a layer's activations in int16. Repeatable.")]  # fmt: skip
Io = Annotated[str, typer.Option("--io", help="Types of the model's own inputs and outputs: float or int8.")]
Seconds = Annotated[
    float, typer.Option("--time-limit", metavar="S", help="Seconds after which weights are rounded to the nearest.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write the report as JSON to this file ('-': standard output).",
                              show_default=False)]  # fmt: skip


def _quantize(
    model: ModelFile, calibration: Samples, output: Output = None, pin: Pin = None, scheme: Scheme = "int8",
    observer: ObserverName = "auto", percentile: Percentile = 99.99, per_tensor: PerTensor = False,
    equalize: Equalize = "auto", rounding: RoundingName = "adaround", no_bias_correction: NoBias = False,
    max_drop: MaxDrop = None, sqnr: MinSqnr = None, mixed: Mixed = "int16", keep_float: KeepFloat = None,
    keep_int16: KeepInt16 = None, io: Io = "float", time_limit: Seconds = 300.0, report: ReportFile = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Turn a float model into integers with some of your samples: QDQ ONNX, which ONNX Runtime runs as well."""
    options: Any = {
        "scheme": scheme, "observer": observer, "percentile": percentile, "per_tensor": per_tensor,
        "equalize": equalize, "rounding": rounding, "bias_correction": not no_bias_correction, "max_drop": max_drop,
        "min_sqnr": sqnr, "mixed": mixed, "keep_float": tuple(keep_float or ()),
        "keep_int16": tuple(keep_int16 or ()), "io": io, "time_limit_s": time_limit,
    }  # fmt: skip
    chosen = Options(**options)
    path = output or Path(f"{model.stem}_{scheme}.onnx")
    check_written(path, model, calibration, option="--output")
    check_json(report, model, calibration, path, option="--report")
    screen = Screen(quiet or str(report) == "-")
    loaded = pipeline.load(model, input_pins(pin))
    done = quantized(loaded, calibration, chosen, screen)
    done.save(path)
    write_json(report, done.report.record())
    screen.show(*done.report.tables())
    screen.note(f"written: {path}")


def add_quantize(app: typer.Typer) -> None:
    """Add the command."""
    app.command("quantize")(_quantize)


def quantized(model: Model, calibration: Path, options: Options, screen: Screen) -> QuantizedModel:
    """Quantize with progress bars; warnings go to standard error."""
    arrays = load_npz(calibration)
    with screen.progress() as bars:
        done = quantize_model(model, arrays, options, Progress(bars.begin, bars.advance))
    for text in done.report.warnings:
        screen.warning(text)
    return done


def load_model(
    path: Path, pins: Mapping[str, Sequence[int]], bindings: Bindings, calibration: Path | None, scheme: str,
    screen: Screen, clock: pipeline.Clock,
) -> Model:  # fmt: skip
    """Import a model and, where there are calibration samples, quantize it and show what that gave."""
    options: Any = {"scheme": scheme}
    chosen = Options(**options)
    if calibration is None and scheme != "int8":
        raise EdgewrightError(f"--scheme {scheme} needs --calibration, samples to quantize with")
    with clock.stage("import"):
        model = pipeline.load(path, pins, bindings)
    if calibration is None:
        return model
    with clock.stage("quantize"):
        done = quantized(model, calibration, chosen, screen)
    screen.show(done.report.tables()[0])
    return done

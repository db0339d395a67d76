"""The Python interface: each object has the next stage as a method. `import edgewright as ew`.

    model = ew.load("model.onnx")
    built = ew.generate(model, target="mps2-an386").build()
    with built.flash() as board:
        result = board.predict(x, batch_size=32)
    result.report(y).save("result.json")
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from edgewright import pipeline
from edgewright.boards import Target, load_target
from edgewright.build import Firmware, write_project
from edgewright.closing import Closing
from edgewright.drivers.device import INFERENCE_TIMEOUT_S, Device, DeviceRun
from edgewright.drivers.flashing import FlashOptions
from edgewright.drivers.meters.core import Meter, MeterOptions
from edgewright.drivers.steps import step_ticks, tensors
from edgewright.emit import SourceTree
from edgewright.errors import EdgewrightError, QuantizationError
from edgewright.expected import expect
from edgewright.frontends.onnx import Model
from edgewright.ir import Array
from edgewright.manifest import Manifest, Optimize
from edgewright.pipeline import Clock, Settings
from edgewright.profile import timed
from edgewright.quantization.options import Options
from edgewright.quantizer import QuantizedModel, quantize_model
from edgewright.report.record import result_of
from edgewright.report.result import Result as Report
from edgewright.samples import LABELS, SINGLE_INPUT, DataSet, check_data
from edgewright.tracing import LayerCheck, check_layers

LOG = logging.getLogger(__name__)


def load(
    path: str | Path, inputs: Mapping[str, Sequence[int]] | None = None, bind: Mapping[str, Any] | None = None
) -> Model:
    """Import an ONNX file.

    `inputs` pins the shapes of dynamic inputs by name; `bind` makes inputs constants, with these values.
    Raises: EdgewrightError.
    """
    return pipeline.load(Path(path), inputs, bind)


def quantize(
    model: Model, calibration: Array | Mapping[str, Array], labels: Array | None = None,
    options: Options | None = None, **choices: Any,
) -> QuantizedModel:  # fmt: skip
    """Quantize a float model with samples like the real ones.

    `choices` are the fields of `Options`: scheme="int4", max_drop=1.0, ...
    Shapes: calibration (n, *shape of one sample), or such an array for each input by name; labels (n,).
    Raises: EdgewrightError.
    """
    if options is not None and choices:
        raise QuantizationError("give either options or single choices, not both")
    known = {each.name for each in fields(Options)}
    unknown = sorted(set(choices) - known)
    if unknown:
        raise QuantizationError(f"no option is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    arrays = dict(calibration) if isinstance(calibration, Mapping) else {SINGLE_INPUT: calibration}
    if labels is not None:
        arrays[LABELS] = np.asarray(labels)
    return quantize_model(model, arrays, options or Options(**choices))


def generate(model: Model, target: str | Target, optimize: Optimize = "balanced", **choices: Any) -> Generated:
    """Lower a model to C for a board. `choices` are fields of `pipeline.Settings`: ram_limit=20_000, io="arena", ...

    Raises: EdgewrightError.
    """
    known = {each.name for each in fields(Settings)}
    unknown = sorted(set(choices) - known)
    if unknown:
        raise EdgewrightError(f"no setting is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    settings, clock = Settings(optimize, **choices), Clock()
    board = target if isinstance(target, Target) else load_target(target)
    with clock.stage("plan"):
        planned = pipeline.plan(model, board, settings)
    with clock.stage("emit"):
        tree = pipeline.generate(model, planned, board, settings)
    return Generated(tree, board, clock)


@dataclass(frozen=True, eq=False)
class Generated:
    """A source tree that is not on disk yet."""

    tree: SourceTree
    target: Target
    clock: Clock

    @property
    def manifest(self) -> Manifest:
        """Inputs, outputs, memory, hashes."""
        return self.tree.manifest

    def write(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write the C project; CMake alone builds it."""
        write_project(self.tree, Path(folder), force=force)
        return Path(folder)

    def build(self, folder: str | Path | None = None, *, force: bool = False) -> Built:
        """Compile; without a folder, in a temporary one that lives as long as the result."""
        scratch = None if folder is not None else tempfile.TemporaryDirectory(prefix="edgewright-")
        where = Path(folder) if folder is not None else Path(scratch.name) / "project"  # type: ignore[union-attr]
        firmware = pipeline.compile_tree(self.tree, self.target, where, self.clock, force=force)
        return Built(firmware, self.clock, scratch)


@dataclass(frozen=True, eq=False)
class Built:
    """A firmware; its sizes are in `firmware`."""

    firmware: Firmware
    clock: Clock
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def flash(
        self, port: str | None = None, *, baudrate: int = 115200, inference_timeout_s: float = INFERENCE_TIMEOUT_S,
        profile: bool = False, write: bool | None = None, tool: str | None = None,
        values: Mapping[str, str] | None = None, overlap: bool = False, fast_baud: int | None = None,
        meter: MeterOptions | None = None,
    ) -> Board:  # fmt: skip
        """Put it on its board: None is the target's emulator, or in-process on the host.

        `profile` splits what is measured by step. `write`: whether its flash is written, by default exactly if
        it is a board at a serial port; with which `tool`, and which of the tool's `values` are not the target's.
        `overlap`: the next batch travels while one is computed. `fast_baud`: the rate that the line is raised to; None:
        the board's. `meter` measures the energy of what is predicted.
        Raises: EdgewrightError.
        """
        writes = self.firmware.target.device == "serial" if write is None else write
        how = FlashOptions(tool, values or {}) if writes or tool is not None else None
        options = pipeline.RunOptions(
            port, None, baudrate, inference_timeout_s, profile, how, overlap, fast_baud, meter
        )
        with ExitStack() as held:
            opened = pipeline.open_board_meter(self.firmware, options, self.clock)
            if opened is not None:
                held.enter_context(opened)
            board = Board(pipeline.open_board(self.firmware, options, self.clock), self, profile, opened)
            held.pop_all()
            return board


@dataclass(frozen=True, eq=False)
class Board(Closing):
    """A device that runs the firmware; a context manager."""

    device: Device
    built: Built
    profile: bool = False
    meter: Meter | None = None

    def close(self) -> None:
        """Let go of the device, and of the meter."""
        try:
            self.device.close()
        finally:
            if self.meter is not None:
                self.meter.close()

    def is_alive(self) -> bool:
        """Whether the device answers."""
        return self.device.is_alive()

    def predict(self, x: Array | Mapping[str, Array], batch_size: int | None = None) -> Predictions:
        """Run all samples. Shapes: (n, *shape of one sample), or such an array for each input by name.

        Where a meter failed meanwhile, `run.meter_error` of what is returned says why.
        """
        ports = self.built.firmware.manifest.inputs
        data = check_data(x if isinstance(x, Mapping) else {ports[0].name: x}, ports)
        with self.built.clock.stage("run"):
            done = pipeline.run_on(self.device, data, batch_size, self.built.clock, meter=self.meter)
            done = timed(self.device, data, done) if self.profile else done
        if done.meter_error is not None:
            LOG.warning("no energy: %s", done.meter_error)
        return Predictions(done, data, self.built)

    def layer_times(self, x: Array | Mapping[str, Array]) -> Array:
        """Run samples step by step; return what each step took, in microseconds of the device's timer.

        An emulated board's timer tells nothing: profile there. Shapes: `x` as in `predict`; the result is (n, steps),
        of `built.firmware.manifest.trace`. Raises: EdgewrightError.
        """
        return step_ticks(self.device, x).astype(np.float64) / self.device.timer_hz * 1e6

    def tensors(self, x: Array | Mapping[str, Array], names: Collection[str] | None = None) -> dict[str, Array]:
        """Run one sample, and return what its layers made, by name; `names`: which, None: all.

        Shapes: `x` (1, *shape of one sample); what comes is as the device has it, images NHWC. Raises: EdgewrightError.
        """
        return tensors(self.device, x, names)

    def check_layers(self, x: Array | Mapping[str, Array]) -> list[LayerCheck]:
        """Run one sample, and compare what each layer made with its reference. Shapes: (1, *shape of one sample)."""
        return check_layers(self.built.firmware, x, tensors(self.device, x))


@dataclass(frozen=True, eq=False)
class Predictions:
    """What came back; `run` has instructions, latency, energy and link statistics."""

    run: DeviceRun
    data: DataSet
    built: Built = field(repr=False)

    @property
    def outputs(self) -> Mapping[str, Array]:
        """Outputs by name. Shapes: (n, *shape of one sample)."""
        return self.run.outputs

    def report(self, y: Array | None = None) -> Report:
        """Compare with the reference and, given class numbers, with the labels."""
        ports = self.built.firmware.manifest.inputs
        data = self.data if y is None else check_data(self.data.inputs, ports, y)
        with self.built.clock.stage("reference"):
            expected = expect(self.built.firmware, data)
        return result_of(self.built.firmware, data, self.run, expected, self.built.clock.seconds)

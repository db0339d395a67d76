"""One device, with one face for all: real, emulated, or this computer. `import edgewright as ew`.

    with ew.Device("mps2-an386") as device:
        device.prepare_for_inference("model.onnx")
        outputs, profile = device.infer(x, batch_size=32)

Thin over `api`, for whoever wants predictions and not the stages between.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright import api
from edgewright.boards import Target, load_target
from edgewright.closing import Closing
from edgewright.drivers.device import INFERENCE_TIMEOUT_S, DeviceRun
from edgewright.drivers.meters.core import MeterOptions
from edgewright.errors import DeviceError
from edgewright.frontends.onnx import Model
from edgewright.ir import Array

Samples = Array | Mapping[str, Array]


class Device(Closing):
    """A board, or a twin of it: a context manager. The model is the one that was prepared last.

    `target`: a board's name, a folder with a target.toml, or a `Target`. `port`: as --port; None for an emulated
    board's own emulator, and in-process on the host. `flash`: whether flash is written; None: exactly if it is a board
    at a serial port. `tool`, `values`, `overlap` and `fast_baud` as --tool, --with,
    --overlap and --baud-fast. `meter` measures the energy of each inference.
    """

    def __init__(
        self, target: str | Target, port: str | None = None, *, baudrate: int = 115200,
        inference_timeout_s: float = INFERENCE_TIMEOUT_S, flash: bool | None = None, tool: str | None = None,
        values: Mapping[str, str] | None = None, overlap: bool = False, fast_baud: int | None = None,
        meter: MeterOptions | None = None,
    ) -> None:  # fmt: skip
        self.target = target if isinstance(target, Target) else load_target(target)
        self._port = port
        self._how: dict[str, Any] = {
            "baudrate": baudrate, "inference_timeout_s": inference_timeout_s, "write": flash, "tool": tool,
            "values": values, "overlap": overlap, "fast_baud": fast_baud, "meter": meter,
        }  # fmt: skip
        self._board: api.Board | None = None

    def prepare_for_inference(self, model: str | Path | Model | api.Built, **choices: Any) -> None:
        """Import, generate, build and flash, as far as that is still to do; another model's place is taken.

        `choices`: those of `generate`, as optimize="speed". Raises: EdgewrightError.
        """
        self.close()
        if isinstance(model, str | Path):
            model = api.load(model)
        if isinstance(model, api.Built):
            if model.firmware.target.name != self.target.name:
                raise DeviceError(f"that was built for '{model.firmware.target.name}', this is '{self.target.name}'")
            built = model
        else:
            built = api.generate(model, self.target, **choices).build()
        self._board = built.flash(self._port, **self._how)

    def infer(self, x: Samples, batch_size: int | None = None) -> tuple[Mapping[str, Array], DeviceRun]:
        """Return all outputs by name, and what was measured: instructions, cycles, latency, link.

        Shapes: `x` is (n, *shape of one sample), or such an array for each input by name; outputs likewise.
        Raises: DataError for data that do not fit, DeviceError.
        """
        run = self._ready().predict(x, batch_size).run
        return run.outputs, run

    def predict(self, x: Samples, batch_size: int | None = None) -> Array:
        """Return the first output. Shapes: as `infer`. Raises: DataError, DeviceError."""
        return next(iter(self.infer(x, batch_size)[0].values()))

    def is_alive(self) -> bool:
        """Whether a model was prepared and the device answers with it."""
        return self._board is not None and self._board.is_alive()

    def close(self) -> None:
        """Let go of the device; an emulator ends. Harmless when repeated."""
        board, self._board = self._board, None
        if board is not None:
            board.close()

    def _ready(self) -> api.Board:
        if self._board is None:
            raise DeviceError(f"'{self.target.name}' has no model yet: call prepare_for_inference")
        return self._board

"""The errors a user can meet: one root, a small family, an exit status each.

A message says what, where, the numbers, and the next step. The command line prints it as one line
(or one line a problem) without a traceback; a Python caller catches `EdgewrightError`.
"""

from __future__ import annotations

from collections.abc import Mapping


class EdgewrightError(Exception):
    """Root of all errors that edgewright raises on purpose; `exit_status` is the command line's."""

    exit_status = 2


class ModelError(EdgewrightError):
    """The model file is missing, damaged, or not a model."""


class UnsupportedError(EdgewrightError):
    """The model is legal and asks for something that edgewright does not do.

    `ways`, from the import of a whole model: for each operator, how often its nodes were imported in which way.
    """

    def __init__(self, text: str, ways: Mapping[str, Mapping[str, int]] | None = None) -> None:
        super().__init__(text)
        self.ways = ways or {}


class NeedsConstantError(UnsupportedError):
    """The model computes what has to be a constant here, from its inputs `values`: as constants, they would do."""

    def __init__(self, text: str, values: frozenset[str], ways: Mapping[str, Mapping[str, int]] | None = None) -> None:
        super().__init__(text, ways)
        self.values = values


class ShapeError(EdgewrightError):
    """Shapes or data types do not fit each other, or a dimension is not known."""


class QuantizationError(EdgewrightError):
    """A calibration or an integer range is at fault."""


class MemoryPlanError(EdgewrightError):
    """The model does not fit the board's memory."""


class TargetError(EdgewrightError):
    """A target is unknown, or its description is at fault."""


class ToolError(EdgewrightError):
    """A compiler, builder, emulator or flasher is missing or failed."""


class TimeLimitError(ToolError):
    """A program did not finish in time."""


class DataError(EdgewrightError):
    """The data file given by the user does not fit the model."""


class PortError(EdgewrightError):
    """A port does not exist, or nothing answers on it."""


class DeviceError(EdgewrightError):
    """A device that had answered failed, went silent, or sent nonsense."""

    exit_status = 3


class MeterError(EdgewrightError):
    """A power meter is not there, failed, or saw something else than one pulse an inference."""

    exit_status = 3


class InternalError(EdgewrightError):
    """A stage broke its own promise (the verifier found an illegal graph or plan): a bug here, not there."""

    exit_status = 3

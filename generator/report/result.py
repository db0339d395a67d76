"""The result of a run: one object with a versioned schema (docs/RESULT.md). A field that was not measured is null."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgewright.errors import EdgewrightError
from edgewright.files import write_text

SCHEMA_VERSION: Literal[1] = 1


class _Table(BaseModel):
    # an error that is infinite (NaN where the reference has a number) is the string "Infinity": null is "not measured"
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class ModelRecord(_Table):
    """The network."""

    name: str
    sha256: str
    macs: int
    parameters: int


class TargetRecord(_Table):
    """Where it ran; `evidence` says what kind of place that is."""

    name: str
    cpu: str
    clock_hz: int | None
    evidence: Literal["host", "built", "emulated", "hardware"]


class RegionRecord(_Table):
    """What lies in one region of the board's memory, by the linked program. Units: bytes.

    `used_bytes` is everything, initial values of RAM that are stored in flash included.
    """

    name: str
    kind: Literal["flash", "ram"]
    bytes: int
    used_bytes: int
    arena_bytes: int
    weights_bytes: int


class BuildRecord(_Table):
    """What the linker made of it. Units: bytes.

    On a board, flash is all that is stored and RAM all that is writable, stack included (batch memory is not);
    on the host both are the model's shared library alone, and code is flash less weights.
    """

    flash_bytes: int | None
    code_bytes: int | None
    weights_bytes: int
    raw_weights_bytes: int | None
    ram_bytes: int | None
    arena_bytes: int
    arena_lower_bound_bytes: int
    regions: list[RegionRecord] = []  # none on the host
    stack_bytes: int | None  # the high-water mark, measured
    stack_reserved_bytes: int | None
    stack_bound_bytes: int | None = None  # what it can be at most, by analysis
    stack_bound_note: str | None = None  # why there is no bound
    inference_stack_bytes: int | None = None  # of one call of the model's run function, by analysis
    compiler: str
    flags: str
    optimize: str


class Percentiles(_Table):
    """Of one figure over the samples."""

    p50: float
    p95: float
    p99: float


class EnergyRecord(_Table):
    """What a power meter saw of the inferences, each in a window of its own. Units: uJ, mW, us, V, Hz."""

    meter: str
    marker: str  # the meter's input that the board's pin is on
    windows: int  # one an inference
    percentiles_uj: Percentiles
    min_uj: float
    max_uj: float
    power_mw: float  # mean within the windows
    idle_mw: float | None  # mean outside of them
    supply_v: float
    window_us: float  # mean
    sample_rate_hz: float


class RunRecord(_Table):
    """What the inferences took. `instructions_per_inference` is the mean; min and max tell whether it varies."""

    samples: int
    batches: int
    seconds: float
    instructions_per_inference: float | None
    instructions_min: int | None
    instructions_max: int | None
    instructions_source: str | None
    cycles_per_inference: float | None
    cycles_source: Literal["timer", "model"] | None
    cycle_model: str | None = None  # the rules by which cycles were modelled
    latency_us: Percentiles | None
    energy_uj: float | None  # mean
    energy_source: str | None
    energy: EnergyRecord | None = None  # where it was measured


class ProfileRecord(_Table):
    """What one step of an inference took, a mean over the samples. The last record, without a step, is the rest."""

    step: int | None
    name: str
    op: str
    kernel: str
    macs: int
    instructions: float | None
    cycles: float | None  # modelled; on a board those of the timer, where that runs at the core's clock
    time_us: float | None = None  # by the device's timer; None on an emulated board
    macs_per_cycle: float | None
    share: float  # of the cycles; of the time or the instructions where there are no cycles
    moved_bytes: int


class ResetRecord(_Table):
    """A reset of the board in mid-run: in which batch (from 0), and why, in the words of ew_port.h."""

    batch: int
    cause: str


class LinkRecord(_Table):
    """What happened on the line."""

    frames: int
    retransmits: int
    crc_errors: int
    framing_errors: int
    payload_bytes: int
    payload_bytes_per_second: float | None
    line_utilisation: float | None
    resets: list[ResetRecord] = []


class FidelityRecord(_Table):
    """How far the outputs are from the reference on the same inputs.

    An element mismatches when it is farther off than `tolerance`, which is `relative_tolerance` of the output's range.
    """

    reference: str
    reference_note: str | None  # why the reference is not ONNX Runtime
    elements: int
    mismatching_elements: int
    max_abs_error: float
    max_error_of_range: float
    relative_tolerance: float | None  # None: errors are in quantization steps
    argmax_differences: int | None
    passed: bool


class KpiRecord(_Table):
    """What the user's labels say. Rows of `confusion` are the true classes, columns the predicted ones."""

    accuracy: float
    correct: int
    reference_accuracy: float
    reference_correct: int
    top5: float | None
    classes: list[int]
    confusion: list[list[int]]


class Result(_Table):
    """The whole result."""

    schema_version: Literal[1] = SCHEMA_VERSION
    generator: str
    model: ModelRecord
    target: TargetRecord
    build: BuildRecord
    run: RunRecord
    link: LinkRecord | None
    fidelity: FidelityRecord
    fidelity_onnxruntime: FidelityRecord | None
    kpi: KpiRecord | None
    profile: list[ProfileRecord] | None = None
    seconds: dict[str, float]  # what each stage took; `first_result` counts from the start

    def save(self, path: str | Path) -> None:
        """Write the result as JSON. Raises: EdgewrightError."""
        if "://" in str(path):
            raise EdgewrightError(f"'{path}': results are saved as JSON files; there is no database yet")
        write_text(Path(path), self.model_dump_json(indent=2) + "\n")

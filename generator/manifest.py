"""edgewright.json: what a generated project is, for whoever loads it later. Read back, it is untrusted and checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgewright.boards import Target
from edgewright.errors import ModelError
from edgewright.fronts import FrontName
from edgewright.ir import Array, DType, Tensor
from edgewright.ops.capped import capped_axis
from edgewright.plan import Plan, Step
from edgewright.simulate import is_quantized
from edgewright.version import VERSION

MANIFEST = "edgewright.json"
SCHEMA: Literal[1] = 1
MIN_SAMPLE_BYTES = 8  # also where there are no ports, or none has elements
MAX_PADDING_BYTES = 7  # behind the last port of a sample, which has a multiple of 8 bytes
Optimize = Literal["speed", "balanced", "size", "ram"]
Ports = Literal["caller", "arena"]  # who holds inputs and outputs
NonNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Port(_Table):
    """An input or output of the model. Units: bytes; `offset_bytes` counts from the start of a packed sample."""

    name: str
    c_name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    dtype: DType
    shape: tuple[NonNegative, ...]
    layout: str  # "model": the axes are the model's own, in row-major order
    offset_bytes: NonNegative
    size_bytes: NonNegative
    scale: float | None = None
    zero_point: int | None = None
    capped_axis: NonNegative | None = None  # along it only the beginning counts, which the device knows; the rest is -1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size_bytes != math.prod(self.shape) * self.dtype.size_bytes:
            raise ValueError(f"size_bytes of '{self.c_name}' does not fit its shape")
        return self


class Memory(_Table):
    """What is known of memory before linking. Units: bytes."""

    arena_bytes: NonNegative
    arena_lower_bound_bytes: NonNegative
    weights_bytes: NonNegative
    raw_weights_bytes: NonNegative | None = None
    regions: tuple[RegionFacts, ...] = ()  # none on the host, or in a project of an older version


class RegionFacts(_Table):
    """What the plan puts into one region of the board's memory. Units: bytes."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    kind: Literal["flash", "ram"]
    bytes: Positive
    arena_bytes: NonNegative
    arena_lower_bound_bytes: NonNegative
    weights_bytes: NonNegative


class StepFacts(_Table):
    """One step of an inference, or several bands of one layer: a C function of model.c.

    Units: bytes. `moved_bytes` are those of a call's inputs, outputs and weights, each once, for all calls together.
    """

    function: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    name: str
    op: str
    kernel: str
    macs: NonNegative
    moved_bytes: NonNegative
    calls: Positive = 1  # in one inference


class MadeFacts(_Table):
    """What one step of an inference makes: a tensor, or rows of it, and where that lies when the step is done.

    Units: bytes. `number` is an arena's; in buffer "output" `offset_bytes` counts from the start of a packed sample.
    `axis`: the one that rows lie along, and `first` the first of them; None for the whole tensor. `copy_of`: the tensor
    of which this is a copy that the network does not have.
    """

    name: str
    dtype: DType
    shape: tuple[Positive, ...]
    buffer: Literal["arena", "output"]
    number: NonNegative
    offset_bytes: NonNegative
    axis: NonNegative | None = None
    first: NonNegative = 0
    copy_of: str | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes in memory."""
        return math.prod(self.shape) * self.dtype.size_bytes

    def values(self, data: bytes) -> Array:
        """Read the elements out of `size_bytes` bytes of memory."""
        return self.dtype.from_memory(np.frombuffer(data, self.dtype.stored).reshape(self.shape))


class TracedStep(_Table):
    """One call of a step's function in an inference; `step` is its number in `steps`."""

    step: NonNegative
    made: tuple[MadeFacts, ...]


class ModelFacts(_Table):
    """The network."""

    name: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    macs: NonNegative
    parameters: NonNegative


class Manifest(_Table):
    """The whole file."""

    schema_version: Literal[1] = SCHEMA
    generator: str
    build_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    c_prefix: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    target: str
    optimize: Optimize
    quantized: bool = False
    front: FrontName = "link"
    model: ModelFacts
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    input_bytes: Positive
    output_bytes: Positive
    memory: Memory
    steps: tuple[StepFacts, ...] = ()  # a project of an older version has none
    trace: tuple[TracedStep, ...] = ()  # what the link can be asked to run one by one

    @model_validator(mode="after")
    def _check(self) -> Self:
        for side, ports, sample_bytes in (
            ("inputs", self.inputs, self.input_bytes),
            ("outputs", self.outputs, self.output_bytes),
        ):
            end = 0
            for port in ports:
                if port.offset_bytes < end:
                    raise ValueError(f"{side}: '{port.c_name}' overlaps another")
                end = port.offset_bytes + port.size_bytes
            if not end <= sample_bytes <= max(end + MAX_PADDING_BYTES, MIN_SAMPLE_BYTES):
                raise ValueError(f"{side} do not fill a sample of {sample_bytes} bytes")
        if any(traced.step >= len(self.steps) for traced in self.trace):
            raise ValueError("trace: a step that is none")
        return self


def manifest_of(
    *, name: str, prefix: str, plan: Plan, target: Target, optimize: Optimize,
    inputs: Sequence[tuple[Tensor, str, int]], outputs: Sequence[tuple[Tensor, str, int]],
    input_bytes: int, output_bytes: int, model_sha256: str, build_id: str,
    functions: Sequence[tuple[str, Sequence[Step]]], front: FrontName = "link",
    traced: Sequence[Sequence[MadeFacts]] = (),
) -> Manifest:  # fmt: skip
    """Return the manifest of a generated project."""
    def ports(items: Sequence[tuple[Tensor, str, int]]) -> tuple[Port, ...]:
        return tuple(
            Port(name=tensor.name, c_name=identifier, dtype=tensor.dtype, shape=tensor.shape, layout="model",
                 offset_bytes=offset, size_bytes=tensor.size_bytes, capped_axis=capped_axis(plan.graph, tensor.name))
            for tensor, identifier, offset in items
        )  # fmt: skip

    numbers = {step.index: number for number, (_, steps) in enumerate(functions) for step in steps}
    return Manifest(
        generator=f"edgewright {VERSION}", build_id=build_id, c_prefix=prefix, target=target.name, optimize=optimize,
        quantized=is_quantized(plan.graph), front=front,
        model=ModelFacts(name=name, sha256=model_sha256, macs=plan.macs, parameters=plan.graph.parameters),
        inputs=ports(inputs), outputs=ports(outputs), input_bytes=input_bytes, output_bytes=output_bytes,
        memory=Memory(arena_bytes=plan.arena_bytes, arena_lower_bound_bytes=plan.lower_bound_bytes,
                      weights_bytes=sum(constant.size_bytes for constant in plan.constants),
                      raw_weights_bytes=plan.raw_weights_bytes, regions=_regions(plan, target)),
        steps=tuple(
            StepFacts(function=function, name=steps[0].node.name, op=steps[0].node.op, kernel=steps[0].kernel,
                      macs=sum(step.macs for step in steps), calls=len(steps),
                      moved_bytes=sum(step.moved_bytes(plan.graph) for step in steps))
            for function, steps in functions
        ),
        trace=tuple(TracedStep(step=numbers[index], made=tuple(made)) for index, made in enumerate(traced)),
    )  # fmt: skip


def _regions(plan: Plan, target: Target) -> tuple[RegionFacts, ...]:
    bounds = {arena.region: arena.lower_bound_bytes for arena in plan.arenas}
    return tuple(
        RegionFacts(name=region.name, kind=region.kind, bytes=region.bytes,
                    arena_bytes=plan.arena_bytes_in(region.name), arena_lower_bound_bytes=bounds.get(region.name, 0),
                    weights_bytes=plan.weights_bytes_in(region.name))
        for region in target.memory
    )  # fmt: skip


def read_manifest(folder: Path) -> Manifest:
    """Read DIR/edgewright.json. Raises: ModelError where DIR is not a generated project."""
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ModelError(f"'{folder}' is not a generated project: cannot read {MANIFEST}: {reason}") from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"'{path}' is damaged: {where or 'it'}: {first['msg']}") from error

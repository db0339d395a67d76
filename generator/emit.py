"""Plan in, source tree out, through templates/. Decides nothing; the same input gives the same bytes.

No timestamps, no absolute paths; text from the model file reaches the output only through identifiers.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import edgewright.version
from edgewright.boards import Target
from edgewright.errors import InternalError, UnsupportedError
from edgewright.fronts import Front
from edgewright.identifiers import c_identifier, comment_text, unique_identifiers
from edgewright.ir import Array, DType, Tensor
from edgewright.literals import literal
from edgewright.manifest import Manifest, Optimize, manifest_of
from edgewright.ops import KernelCall
from edgewright.ops.capped import capped_axis
from edgewright.ops.core import Scratch
from edgewright.plan import Plan, Step
from edgewright.plan.touches import Key
from edgewright.resources import resource_dir
from edgewright.runtime_files import RuntimeFiles
from edgewright.traced import traced_steps
from edgewright.weights import Constant, Weights, in_binary, in_c, is_binary

C_TYPES = {
    DType.F32: "float", DType.F64: "double", DType.S8: "int8_t", DType.U8: "uint8_t", DType.S16: "int16_t",
    DType.U16: "uint16_t", DType.S32: "int32_t", DType.U32: "uint32_t", DType.S64: "int64_t", DType.U64: "uint64_t",
    DType.B8: "uint8_t", DType.F16: "uint16_t", DType.BF16: "uint16_t", DType.F8E4M3FN: "uint8_t",
    DType.F8E4M3FNUZ: "uint8_t", DType.F8E5M2: "uint8_t", DType.F8E5M2FNUZ: "uint8_t", DType.F8E8M0: "uint8_t",
    DType.F4E2M1: "uint8_t", DType.S4: "int8_t", DType.U4: "uint8_t", DType.S2: "int8_t", DType.U2: "uint8_t",
}  # fmt: skip
_LINK_CODES = {
    DType.F32: "EW_LINK_F32", DType.F16: "EW_LINK_F16", DType.S8: "EW_LINK_S8", DType.U8: "EW_LINK_U8",
    DType.S16: "EW_LINK_S16", DType.S32: "EW_LINK_S32", DType.S64: "EW_LINK_S64", DType.B8: "EW_LINK_B1",
    DType.F64: "EW_LINK_F64", DType.U16: "EW_LINK_U16", DType.U32: "EW_LINK_U32", DType.U64: "EW_LINK_U64",
    **{dtype: f"EW_LINK_{dtype.name}" for dtype in (
        DType.BF16, DType.F8E4M3FN, DType.F8E4M3FNUZ, DType.F8E5M2, DType.F8E5M2FNUZ, DType.F8E8M0, DType.F4E2M1,
        DType.S4, DType.U4, DType.S2, DType.U2,
    )},
}  # fmt: skip
LINK = Front()
_SETS_BAUD = b"void ew_port_set_baud("  # a port that has it can change its baud rate
MAX_TRACED_STEPS = 65535  # a u16 of HELLO
SAMPLE_ALIGN_BYTES = 8  # the widest element (float64, int64); docs/PROTOCOL.md


@dataclass(frozen=True)
class SourceTree:
    """The generated project: file contents by path, those of large ones in pieces, and its manifest."""

    files: Mapping[str, bytes]
    manifest: Manifest
    large_files: Mapping[str, Sequence[bytes | memoryview]] = field(default_factory=dict)


@dataclass(frozen=True)
class Port:
    """A graph input or output in the C API and in a packed sample. Units: bytes."""

    tensor: Tensor
    identifier: str
    offset_bytes: int
    capped_axis: int | None = None  # see ops/capped.py

    @property
    def c_type(self) -> str:
        """The C element type."""
        return C_TYPES[self.tensor.dtype]

    @property
    def link_code(self) -> str:
        """The element type in the serial protocol."""
        return _LINK_CODES[self.tensor.dtype]

    @property
    def mlperf_kind(self) -> str:
        """How the MLPerf front prints an element. Raises: UnsupportedError where it cannot."""
        dtype = self.tensor.dtype
        if dtype is DType.F32:
            return "EW_MLPERF_FLOAT32"
        if not dtype.is_integer and dtype is not DType.B8:
            raise UnsupportedError(f"--front mlperf prints numbers: output '{self.tensor.name}' is {dtype.value}")
        return "EW_MLPERF_SIGNED" if dtype.numpy.kind == "i" else "EW_MLPERF_UNSIGNED"

    @property
    def shape_text(self) -> str:
        """The shape as a comment has it."""
        return "[" + ", ".join(str(size) for size in self.tensor.shape) + "]"


@dataclass(frozen=True)
class ArenaCode:
    """One region's arena in C. Units: bytes; `section` is empty where the compiler chooses it."""

    variable: str
    parameter: str
    macro: str
    region: str
    bytes: int
    section: str


@dataclass(frozen=True)
class Call:
    """A kernel call in model.c."""

    function: str
    params_type: str
    params: tuple[tuple[str, str], ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class StepCode:
    """A C function of model.c, and what run() gives it: a tuple of arguments for each of the steps that it does."""

    identifier: str
    comment: str
    parameters: tuple[str, ...]
    calls: tuple[Call, ...]
    steps: tuple[Step, ...]


@cache
def templates() -> jinja2.Environment:
    """The templates of C files, CMake files and documents: compiled once."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([resource_dir("templates"), resource_dir("targets")]),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - this is C, not HTML
    )  # fmt: skip


def emit(
    plan: Plan, name: str, target: Target, optimize: Optimize, model_sha256: str, reference: bytes,
    weights: Weights = "auto", front: Front = LINK, trace: bool = False,
) -> SourceTree:  # fmt: skip
    """Return the whole generated project; `reference` is the model to compare the board with.

    `trace`: the link can run single steps.
    """
    return _Emitter(plan, name, front.on(target), optimize, front, trace).tree(model_sha256, reference, weights)


class _Emitter:
    def __init__(
        self, plan: Plan, name: str, target: Target, optimize: Optimize, front: Front, trace: bool
    ) -> None:  # fmt: skip
        self.plan = plan
        self.front = front
        self.target = target
        self.optimize = optimize
        self.name = name
        self.prefix = c_identifier(name, "model")
        self.planned = {constant.key: constant for constant in plan.constants}
        self.constants: dict[Key, Constant] = {}
        graph = plan.graph
        self.arenas = self._arenas()
        taken = frozenset({"status", *(word for arena in self.arenas for word in (arena.variable, arena.parameter))})
        identifiers = unique_identifiers([*graph.inputs, *graph.outputs], taken)
        self.inputs = self._ports(graph.inputs, identifiers[: len(graph.inputs)])
        self.outputs = self._ports(graph.outputs, identifiers[len(graph.inputs) :])
        self.arena_ports = any(plan.storage[name].kind == "arena" for name in (*graph.inputs, *graph.outputs))
        self.port_names = {port.tensor.name: port.identifier for port in (*self.inputs, *self.outputs)}
        self.steps: list[StepCode] = []
        self.program: list[list[tuple[str, tuple[str, ...]]]] = []  # what run() calls in each step, and how
        self._functions()
        self.traced = trace and not front.is_mlperf and 0 < len(self.program) <= MAX_TRACED_STEPS

    def _arenas(self) -> list[ArenaCode]:
        """The first is called as if it were the only one; the others by their regions."""
        result = []
        for number, arena in enumerate(self.plan.arenas):
            suffix = f"_{arena.region}" if number else ""
            macro = f"{self.prefix.upper()}{suffix.upper()}_ARENA_BYTES"
            section = self._section(".bss.ew_arena", arena.region)
            result.append(ArenaCode(f"arena{suffix}", f"memory{suffix}", macro, arena.region, arena.bytes, section))
        return result

    def _section(self, what: str, region: str) -> str:
        """The linker section for a region; empty where the target has no such region (a host has none)."""
        return f"{what}.{region}" if any(memory.name == region for memory in self.target.memory) else ""

    def _ports(self, names: Sequence[str], identifiers: Sequence[str]) -> list[Port]:
        ports, offset = [], 0
        for name, identifier in zip(names, identifiers, strict=True):
            tensor = self.plan.graph.tensors[name]
            ports.append(Port(tensor, identifier, offset, capped_axis(self.plan.graph, name)))
            offset += -(-tensor.size_bytes // SAMPLE_ALIGN_BYTES) * SAMPLE_ALIGN_BYTES
        return ports

    # ---- model.c

    def _functions(self) -> None:
        """A function for each step; bands of a layer that differ in their addresses alone share one."""
        known: dict[object, int] = {}
        digits = len(str(len(self.plan.steps)))
        for step in self.plan.steps:
            label = f"step_{step.index:0{digits}d}_{step.node.op.lower()}"
            parameters, arguments, calls = self._step(step)
            key = step.layer, parameters, calls
            if key not in known:
                known[key] = len(self.steps)
                self.steps.append(StepCode(label, self._comment(step), parameters, calls, ()))
            code = self.steps[known[key]]
            self.steps[known[key]] = replace(code, steps=(*code.steps, step))
            ends: list[tuple[str, tuple[str, ...]]] = [("ew_fetch_end", ())]
            first = self._fetches(0) if step.index == 0 else []
            ahead = self._fetches(step.index + 1)
            self.program.append([
                *first, *(ends if first else []), *ahead, (code.identifier, arguments), *(ends if ahead else []),
            ])  # fmt: skip

    def _comment(self, step: Step) -> str:
        graph = self.plan.graph
        shapes = [str(list(graph.tensors[name].shape)) for name in step.node.inputs if name]
        result = graph.tensors[step.node.output]
        text = f"{step.node.op} {comment_text(step.node.name)}: {' '.join(shapes)} to {list(result.shape)}"
        return text + (f", {step.macs:,} MACs" if step.macs else "")

    def _step(self, step: Step) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Call, ...]]:
        """Parameters and calls of a step's function, and the arguments that run() gives it."""
        graph, storage = self.plan.graph, self.plan.storage
        variables: dict[str, str] = {}  # a buffer in memory -> its parameter
        fetched: dict[Key, str] = {}  # a constant that was fetched -> its parameter
        parameters, arguments = [], []

        def parameter(tensor: str) -> str:
            written = tensor in step.node.outputs
            if tensor not in variables:
                number = sum(v.startswith("y" if written else "x") for v in variables.values())
                variables[tensor] = f"x{number}" if not written else f"y{number}" if number else "y"
                c_type = C_TYPES[graph.tensors[tensor].dtype]
                parameters.append(f"{'' if written else 'const '}{c_type} *{variables[tensor]}")
                arguments.append(self._location(tensor, written))
            return variables[tensor]

        def scratch() -> str:
            if "scratch" not in variables.values():
                variables[step.scratch] = "scratch"
                parameters.append("void *scratch")
                arguments.append(self._at(step.scratch, self.plan.offsets[step.scratch]))
            return "scratch"

        def constant(values: Array) -> str:
            """The array in weights.c, or the parameter for where it was fetched to."""
            key = self.plan.draft.keys.of(values)
            name = self._constant(key)
            stage = self.plan.stages.get(step.index)
            if stage is None or (offset := stage.constants.get(key)) is None:
                return name
            if key not in fetched:
                fetched[key] = f"w{len(fetched)}"
                parameters.append(f"const {C_TYPES[DType.of(values)]} *{fetched[key]}")
                at = self._at(stage.piece, self.plan.offsets[stage.piece] + offset)
                arguments.append(f"(const {C_TYPES[DType.of(values)]} *)(const void *){at}")
            return fetched[key]

        calls = []
        for call in step.calls:
            words = []
            for argument in call.arguments:
                if argument is None:
                    words.append("NULL")
                elif isinstance(argument, Scratch):
                    words.append(scratch())
                elif not isinstance(argument, str):
                    words.append(constant(argument))
                elif storage[argument].kind == "constant":
                    root = storage[argument].root
                    words.append(constant(np.asarray(graph.constant(root))))
                else:
                    words.append(parameter(argument))
            calls.append(Call(call.function, call.params_type, self._params(call), tuple(words)))
        return tuple(parameters), tuple(arguments), tuple(calls)

    def _location(self, tensor: str, written: bool) -> str:
        """The C expression for a tensor's buffer, seen from run()."""
        storage, tensors = self.plan.storage[tensor], self.plan.graph.tensors
        if storage.kind == "arena":
            c_type = C_TYPES[tensors[tensor].dtype]
            at = self._at(storage.root, self.plan.address(tensor))
            return f"({'' if written else 'const '}{c_type} *)(void *){at}"
        if tensors[tensor].dtype is not tensors[storage.root].dtype:
            raise InternalError(f"'{tensor}' is a view of '{storage.root}' with another data type")
        first = storage.offset_bytes // tensors[tensor].dtype.size_bytes
        return self.port_names[storage.root] + (f" + {first}" if first else "")

    def _at(self, root: str, address: int) -> str:
        """The C expression for a byte in the arena of a root."""
        arena = self.plan.arena(root)
        variable = next(code.variable for code in self.arenas if code.region == arena.region)
        return f"&{variable}[{address - arena.start}]"

    def _fetches(self, step: int) -> list[tuple[str, tuple[str, ...]]]:
        """Calls that begin to copy a step's weights into its piece of an arena; none where it has none."""
        stage = self.plan.stages.get(step)
        if stage is None:
            return []
        calls: list[tuple[str, tuple[str, ...]]] = []
        for key, offset in stage.constants.items():
            at = self._at(stage.piece, self.plan.offsets[stage.piece] + offset)
            calls.append(("ew_fetch_begin", (at, self._constant(key), str(self.planned[key].size_bytes))))
        return calls

    def _params(self, call: KernelCall) -> tuple[tuple[str, str], ...]:
        fields = []
        for key, value in call.params.items():
            if isinstance(value, tuple):
                fields.append((key, "{" + ", ".join(literal(v) for v in value) + "}"))
            else:
                fields.append((key, value if isinstance(value, str) else literal(value)))
        return tuple(fields)

    def _constant(self, key: Key) -> str:
        """The name of an array in weights.c, which is numbered as it is first asked for."""
        if key not in self.constants:
            source = self.planned[key]
            comment = f"{comment_text(source.origin)} {list(source.values.shape)}"
            code = self.target.code_memory
            is_default = code is not None and source.region == code.name
            section = "" if is_default else self._section(".ew_weights", source.region)
            c_type = C_TYPES[DType.of(source.values)]
            self.constants[key] = Constant(
                f"{self.prefix}_w{len(self.constants)}", c_type, source.values, comment, section
            )
        return self.constants[key].identifier

    # ---- the tree

    def tree(self, model_sha256: str, reference: bytes, weights: Weights) -> SourceTree:
        files: dict[str, bytes] = {}
        large_files: dict[str, Sequence[bytes | memoryview]] = {}
        runtime = RuntimeFiles()
        context = self._context()
        constants = list(self.constants.values())
        context["binary"] = is_binary(weights, constants, self.target)
        if context["binary"]:
            context["constants"], large_files["weights.bin"] = in_binary(constants)
        else:
            context["constants"] = in_c(constants)
        headers = sorted({Path(call.header).name for step in self.plan.steps for call in step.calls}
                         | ({"ew_fetch.h"} if self.plan.stages else set()))  # fmt: skip
        context["headers"] = headers
        for out, template in (("model.h", "model.h.j2"), ("model.c", "model.c.j2"), ("arena.c", "arena.c.j2"),
                              ("weights.h", "weights.h.j2"), ("weights.c", "weights.c.j2")):  # fmt: skip
            files[out] = self._render(template, context)
        folder, main = ("mlperf", "main_mlperf.c.j2") if self.front.is_mlperf else ("link", "main.c.j2")
        link_sources = runtime.sources(folder)
        for header in (*headers, f"ew_{folder}.h", "ew_port.h"):
            runtime.need(header)
        for source in link_sources:
            runtime.need(source)
        for file in self.target.file:
            files[f"target/{file.out_name}"] = self._target_file(file.source, file.rendered, context)
        for body in [content for path, content in files.items() if path.startswith("target/")]:
            runtime.need_included(body, optional=True)
        toolchain = self.target.toolchain.file
        files["target/toolchain.cmake"] = self._target_file(toolchain, toolchain.endswith(".j2"), context)
        files.update({f"ew/{name}": body for name, body in runtime.files.items()})
        context["link_sources"] = sorted(f"ew/{name}" for name in link_sources)
        context["target_sources"] = sorted(f"target/{f.out_name}" for f in self.target.file if f.compiled)
        context["definitions"] = self._definitions(files)
        has_assembly = any(path.endswith(".S") for path in context["target_sources"])
        context["languages"] = "C ASM" if has_assembly else "C"
        files["CMakeLists.txt"] = self._render("CMakeLists.txt.j2", context)
        files["reference.onnx"] = reference
        context["model_sha256_bytes"] = list(bytes.fromhex(model_sha256))
        context["build_id_bytes"], context["build_id_text"] = [], ""
        draft = self._render(main, context)
        build_id = _tree_hash({**files, "main.c": draft}, large_files)[:32]
        context["build_id_bytes"], context["build_id_text"] = list(bytes.fromhex(build_id)), build_id
        files["main.c"] = self._render(main, context)
        manifest = manifest_of(
            name=self.name, prefix=self.prefix, plan=self.plan, target=self.target, optimize=self.optimize,
            inputs=[(port.tensor, port.identifier, port.offset_bytes) for port in self.inputs],
            outputs=[(port.tensor, port.identifier, port.offset_bytes) for port in self.outputs],
            input_bytes=_sample_bytes(self.inputs), output_bytes=_sample_bytes(self.outputs),
            model_sha256=model_sha256, build_id=build_id,
            functions=[(code.identifier, code.steps) for code in self.steps], front=self.front.name,
            traced=traced_steps(self.plan, {port.tensor.name: port.offset_bytes for port in self.outputs})
            if self.traced else [],
        )  # fmt: skip
        context["manifest"] = manifest
        files["README.md"] = self._render("README.md.j2", context)
        text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=True)
        files["edgewright.json"] = (text + "\n").encode()
        return SourceTree(dict(sorted(files.items())), manifest, large_files)

    def _definitions(self, files: Mapping[str, bytes]) -> list[str]:
        """What the firmware is compiled with: what its port can do, and how many steps the link may ask for."""
        has_baud = any(_SETS_BAUD in body for path, body in files.items() if path.startswith("target/"))
        return [*(["EW_PORT_HAS_BAUD"] if has_baud else []),
                *([f"EW_LINK_STEPS={len(self.program)}"] if self.traced else [])]  # fmt: skip

    def _context(self) -> dict[str, Any]:
        stack = self.target.stack.bytes if self.target.stack else 0
        ports = (*self.inputs, *self.outputs)
        return {
            "name": comment_text(self.name), "prefix": self.prefix, "upper": self.prefix.upper(),
            "inputs": self.inputs, "outputs": self.outputs, "steps": self.steps, "program": self.program,
            "target": self.target,
            "traced": self.traced, "unread": [] if self.arena_ports else list(self.port_names.values()),
            "arena_ports": self.arena_ports, "port_parameters": self._port_parameters(),
            "port_offsets": {port.identifier: self._port_place(port) for port in ports} if self.arena_ports else {},
            "weights_regions": sorted({constant.region for constant in self.plan.constants}), "arenas": self.arenas,
            "arena_parameters": [f"void *{arena.parameter}" for arena in self.arenas],
            "arena_bytes": self.plan.arena_bytes, "lower_bound_bytes": self.plan.lower_bound_bytes,
            "front": self.front, "load_bytes": _load_bytes(self.inputs),
            "input_bytes": _sample_bytes(self.inputs), "output_bytes": _sample_bytes(self.outputs),
            "optimize": self.optimize, "compile_flags": OPTIMIZE_FLAGS[self.optimize],
            "stack_bytes": stack, "version": edgewright.version.VERSION,
        }  # fmt: skip

    def _port_place(self, port: Port) -> tuple[ArenaCode, int]:
        """The arena that a port lies in, and its first byte there; any, for one without elements."""
        if not port.tensor.elements:
            return self.arenas[0], 0
        arena = self.plan.arena(self.plan.storage[port.tensor.name].root)
        code = next(code for code in self.arenas if code.region == arena.region)
        return code, self.plan.address(port.tensor.name) - arena.start

    def _port_parameters(self) -> list[str]:
        """Parameters of run_in() for inputs and outputs that the caller holds."""
        if self.arena_ports:
            return []
        inputs = [f"const {port.c_type} *{port.identifier}" for port in self.inputs]
        return inputs + [f"{port.c_type} *{port.identifier}" for port in self.outputs]

    def _render(self, template: str, context: Mapping[str, Any]) -> bytes:
        return templates().get_template(template).render(context).encode()

    def _target_file(self, source: str, rendered: bool, context: Mapping[str, Any]) -> bytes:
        path = self.target.resolve(source)
        if not rendered:
            return path.read_bytes()
        return templates().from_string(path.read_text(encoding="utf-8")).render(context).encode()


OPTIMIZE_FLAGS: dict[Optimize, tuple[str, ...]] = {
    "speed": ("-O3",),
    "balanced": ("-O2",),
    "size": ("-Os",),
    "ram": ("-O2",),
}


def _tree_hash(files: Mapping[str, bytes], large_files: Mapping[str, Sequence[bytes | memoryview]]) -> str:
    digest = hashlib.sha256()
    pieces = {**{path: [body] for path, body in files.items()}, **large_files}
    for path, bodies in sorted(pieces.items()):
        digest.update(f"{path}\0{sum(map(len, bodies))}\0".encode())
        for body in bodies:
            digest.update(body)
    return digest.hexdigest()


def _load_bytes(ports: Sequence[Port]) -> int:
    """What a host sends for one inference: a packed sample without the padding at its end."""
    return max((port.offset_bytes + port.tensor.size_bytes for port in ports), default=0)


def _sample_bytes(ports: Sequence[Port]) -> int:
    """At least one unit of alignment: the link has no empty samples."""
    sizes = [-(-port.tensor.size_bytes // SAMPLE_ALIGN_BYTES) * SAMPLE_ALIGN_BYTES for port in ports]
    return max(sum(sizes), SAMPLE_ALIGN_BYTES)

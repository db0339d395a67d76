"""Runs generated C on this computer without CMake: many models a program, each inference in a process of its own.

What the conformance runner and the ONNX backend stand on. A program holds some models and runs the one it is asked
for, between canaries; whatever goes wrong in it ends that process alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.drivers.process import find_tool, run
from edgewright.emit import C_TYPES, SourceTree, templates
from edgewright.errors import EdgewrightError, ToolError
from edgewright.files import write_text
from edgewright.ir import Array, DType
from edgewright.manifest import Port
from edgewright.resources import resource_dir

FLAGS = ("-std=c11", "-O1", "-fno-strict-aliasing")
COMPILER = "cc"
_COMPILE_TIMEOUT_S = 600.0
_DRIVER = "native_driver.c.j2"
OWN_FILES = ("weights.c", "arena.c", "model.c")
_SUFFIXES = (".c", ".h", ".S", ".ld")
_KEPT_S = 30 * 24 * 3600.0  # programs in the cache that were not used for so long are deleted
_PROGRAM = "run"


@dataclass(frozen=True, eq=False)
class NativeModel:
    """The C of one model, and of its board; `prefix`, of its functions, has to differ between models of a program.

    Units: bytes of the packed inputs, and of the packed outputs.
    """

    prefix: str
    files: Mapping[str, bytes]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    input_bytes: int
    output_bytes: int

    @property
    def digest(self) -> str:
        """A hash of all that is compiled."""
        whole = hashlib.sha256(repr((self.prefix, self.inputs, self.outputs)).encode())
        for name, body in sorted(self.files.items()):
            whole.update(f"{name}\0{len(body)}\0".encode())
            whole.update(body)
        return whole.hexdigest()


def native_model(tree: SourceTree) -> NativeModel:
    """Take what is needed out of a generated project: no link and no main program."""
    files = {
        name: body
        for name, body in tree.files.items()
        if name.rpartition("/")[0] in ("", "ew", "target") and name.endswith(_SUFFIXES) and name != "main.c"
    }
    manifest = tree.manifest
    ports = tuple(manifest.inputs), tuple(manifest.outputs)
    return NativeModel(manifest.c_prefix, files, *ports, manifest.input_bytes, manifest.output_bytes)


def write_model(model: NativeModel, folder: Path) -> None:
    """Write a model's files to a folder of its own in `folder`; all models share the kernels in ew/, and the board."""
    for name, body in model.files.items():
        path = folder / name if "/" in name else folder / model.prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def compile_models(models: Sequence[NativeModel], folder: Path, flags: Sequence[str] = FLAGS) -> Path:
    """Compile models into one program in an empty folder and return its path.

    Raises: ToolError where there is no compiler, or it fails.
    """
    sources = ["driver.c"]
    for model in models:
        write_model(model, folder)
        source = f"{model.prefix}.c"
        text = "".join(f'#include "{model.prefix}/{name}"\n' for name in OWN_FILES)
        (folder / source).write_text(text, encoding="utf-8")
        sources.append(source)
    (folder / "driver.c").write_text(_driver(models), encoding="utf-8")
    run([COMPILER, *flags, "-I.", "-Iew", *sources, "-lm", "-o", _PROGRAM], cwd=folder, timeout_s=_COMPILE_TIMEOUT_S)
    return folder / _PROGRAM


def _driver(models: Sequence[NativeModel]) -> str:
    return templates().get_template(_DRIVER).render(models=models, c_types=C_TYPES)


def run_model(program: Path, model: NativeModel, inputs: Sequence[Array], timeout_s: float) -> list[Array]:
    """Run one inference in a new process.

    Shapes: inputs and outputs have the model's own. Raises: ToolError where it crashes, writes where it must not or
    gives other results the second time; TimeLimitError, one of them, where it does not end in time.
    """
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        given, made = Path(name) / "inputs", Path(name) / "outputs"
        with given.open("wb") as stream:
            for port, values in zip(model.inputs, inputs, strict=True):
                stream.write(np.ascontiguousarray(values, port.dtype.numpy).tobytes())
        run([program, model.prefix, given, made], timeout_s=timeout_s)
        raw = made.read_bytes()
    outputs, at = [], 0
    for port in model.outputs:
        outputs.append(decode_output(port, raw[at : at + port.size_bytes]))
        at += port.size_bytes
    return outputs


def decode_output(port: Port, raw: bytes) -> Array:
    """Return an output's elements. Raises: ToolError for a bool that is neither 0 nor 1."""
    dtype = np.dtype(np.uint8) if port.dtype is DType.B8 else port.dtype.numpy
    values = np.frombuffer(raw, dtype).reshape(port.shape).copy()
    if port.dtype is DType.B8:
        if values.size and values.max() > 1:
            raise ToolError(f"output '{port.name}' is of type bool and holds {values.max()}")
        return values.astype(bool)
    return values


@cache
def compiler_identity() -> str:
    """What distinguishes this compiler from another one. Raises: ToolError where there is none."""
    return f"{find_tool(COMPILER)} {run([COMPILER, '--version'], timeout_s=60).stdout.splitlines()[0]}"


@dataclass(frozen=True)
class CompileCache:
    """Programs compiled before, by a hash of the generated files, the driver, the compiler and its flags."""

    folder: Path
    flags: Sequence[str] = FLAGS

    def find(self, model: NativeModel) -> Path | None:
        """Return a program that holds this very model."""
        with contextlib.suppress(OSError):
            program = self.folder / self._entry(model).read_text(encoding="utf-8") / _PROGRAM
            if program.is_file():
                program.parent.touch()
                return program
        return None

    def add(self, models: Sequence[NativeModel]) -> Path:
        """Compile models into one program and keep it. Raises: ToolError where the compiler fails."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".compiling-", dir=self.folder) as scratch:
                built = compile_models(models, Path(scratch), self.flags)
                name = hashlib.sha256("".join(map(self._key, models)).encode()).hexdigest()[:32]
                kept = self.folder / "programs" / name
                kept.mkdir(parents=True, exist_ok=True)
                built.replace(kept / _PROGRAM)
            for model in models:
                entry = self._entry(model)
                entry.parent.mkdir(parents=True, exist_ok=True)
                write_text(entry, f"programs/{name}")
        except OSError as error:
            raise EdgewrightError(f"cannot write to the cache '{self.folder}': {error.strerror}") from error
        return kept / _PROGRAM

    def prune(self) -> None:
        """Delete what was not used for a month."""
        oldest = time.time() - _KEPT_S
        for kind in ("programs", "models"):
            for path in (self.folder / kind).glob("*"):
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < oldest:
                        (path / _PROGRAM).unlink() if path.is_dir() else path.unlink()
                        path.rmdir() if path.is_dir() else None

    def _entry(self, model: NativeModel) -> Path:
        return self.folder / "models" / self._key(model)

    def _key(self, model: NativeModel) -> str:
        driver = (resource_dir("templates") / _DRIVER).read_bytes()
        parts: tuple[Any, ...] = (model.digest, compiler_identity(), tuple(self.flags), hashlib.sha256(driver).digest())
        return hashlib.sha256(repr(parts).encode()).hexdigest()

"""Compiles generated projects straight with a compiler (no CMake), many models a library, and runs them."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgewright.boards import load_target
from edgewright.build import write_project
from edgewright.emit import SourceTree
from edgewright.frontends.onnx import Model
from edgewright.pipeline import Settings, generate, plan
from edgewright.samples import DataSet, pack, unpack


def emitted(model: Model, target: str = "host", settings: Settings | str = "balanced") -> SourceTree:
    board = load_target(target)
    given = Settings(settings) if isinstance(settings, str) else settings  # type: ignore[arg-type]
    return generate(model, plan(model, board, given), board, given.optimize)


def compile_model(tree: SourceTree, folder: Path, flags: Sequence[str] = ("-O1",), compiler: str = "gcc") -> Path:
    """Compile model.c and weights.c into a shared library; the command's own words are in the error."""
    write_project(tree, folder)
    library = folder / "model.so"
    command = [compiler, "-std=c11", "-shared", "-fPIC", "-fno-strict-aliasing", *flags, "-I.", "-Iew",
               "model.c", "arena.c", "weights.c", "-lm", "-o", library.name]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-4000:]}"
    return library


def run_library(tree: SourceTree, library: Path, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Run samples with canaries around the output. Shapes: inputs (n, *shape of the graph input); outputs likewise."""
    manifest = tree.manifest
    data = DataSet(inputs, None)
    count, packed = data.samples, pack(data, manifest)
    outputs = np.zeros((count, manifest.output_bytes), np.uint8)
    function = getattr(ctypes.CDLL(str(library)), f"{manifest.c_prefix}_run")
    function.argtypes = [ctypes.c_void_p] * (len(manifest.inputs) + len(manifest.outputs))
    for index in range(count):
        sample = packed[index].copy()
        buffers = [np.full(port.size_bytes + 64, 0xA5, np.uint8) for port in manifest.outputs]
        arguments = [sample.ctypes.data + port.offset_bytes for port in manifest.inputs]
        arguments += [buffer.ctypes.data + 32 for buffer in buffers]
        assert function(*arguments) == 0
        assert (sample == packed[index]).all(), "the input was written to"
        for port, buffer in zip(manifest.outputs, buffers, strict=True):
            assert (buffer[:32] == 0xA5).all(), f"written before the output '{port.name}'"
            assert (buffer[32 + port.size_bytes :] == 0xA5).all(), f"written behind the output '{port.name}'"
            outputs[index, port.offset_bytes : port.offset_bytes + port.size_bytes] = buffer[32:-32]
    return list(unpack(outputs, manifest).values())


def assert_close(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> None:
    """Floats within 1e-5 of the output's range, float16 within 1e-3, everything else equal; NaN is equal to NaN."""
    assert len(got) == len(wanted)
    for mine, theirs in zip(got, wanted, strict=True):
        mine = mine.reshape(theirs.shape)
        if theirs.dtype.kind != "f":
            np.testing.assert_array_equal(mine, theirs)
            continue
        finite = theirs[np.isfinite(theirs)].astype(np.float64)
        span = max(float(np.ptp(finite)), float(np.abs(finite).max()), 1e-6) if finite.size else 1e-6
        precision = 1e-3 if theirs.dtype == np.float16 else 1e-5  # one unit of float16 in its last place
        np.testing.assert_allclose(
            mine.astype(np.float64), theirs.astype(np.float64), rtol=precision, atol=precision * span
        )

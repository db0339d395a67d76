"""What quantization costs in accuracy: the project's trained networks in each scheme, on samples they never saw.

    python benchmarks/quantization.py [--write] [--networks digits,keywords,shapes]

Each network is quantized with samples that the test does not use, and with no option but those in the table, then run
by ONNX Runtime without graph rewrites. A row that is outside its budget makes the exit status 1, and nothing is
written. With --write the table replaces the one in docs/BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: processor seconds are then those of the work alone

import numpy as np
import onnxruntime
from document import REPOSITORY, write_table

import edgewright as ew

CALIBRATION_SEED, CALIBRATION_SAMPLES = 2, 300  # training has seeds from 1000 on
TEST_SEED, TEST_SAMPLES = 1, 3000


@dataclass(frozen=True)
class Row:
    """One way to quantize, and how many points of accuracy it may cost. Units: points."""

    name: str
    options: Mapping[str, Any]
    budget: float


ROWS = (
    Row("int8", {}, 0.5),
    Row("int8, one scale a tensor", {"per_tensor": True}, 1.0),
    Row("int16x8", {"scheme": "int16x8"}, 0.2),
    Row("int4", {"scheme": "int4"}, 1.5),
    Row("int4, nearest, uncorrected", {"scheme": "int4", "rounding": "nearest", "bias_correction": False}, 10.0),
    Row("int4, --sqnr 28", {"scheme": "int4", "min_sqnr": 28.0}, 1.0),
)


@dataclass(frozen=True, eq=False)
class Data:
    """A network and its samples."""

    model: Path
    calibration: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def load(name: str) -> Data:
    folder = REPOSITORY / "examples" / name
    model = folder / f"{name}.onnx"
    if name == "digits":
        sets = []
        for part in ("calibration", "test"):
            with np.load(folder / f"digits_{part}.npz") as data:
                sets.append((data["x"], data["y"]))
        return Data(model, sets[0], sets[1])
    spec = importlib.util.spec_from_file_location(f"{name}_data", folder / "data.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"there is no {folder / 'data.py'}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Data(model, module.make(CALIBRATION_SAMPLES, CALIBRATION_SEED), module.make(TEST_SAMPLES, TEST_SEED))


def classes(model: bytes, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    # fused int8 kernels saturate on processors without VNNI: the file is run as it says
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    parts = [session.run(None, {entry: x[i : i + 100]})[0].argmax(axis=1) for i in range(0, len(x), 100)]
    return np.concatenate(parts)


def rows(name: str) -> Iterator[tuple[str, bool]]:
    """Lines of the table, and whether each is within its budget."""
    data = load(name)
    model = ew.load(data.model)
    x, y = data.test
    real = classes(data.model.read_bytes(), x)
    accuracy = 100 * float((real == y).mean())
    size = sum(t.size_bytes for t in model.graph.tensors.values() if t.data is not None)
    yield f"| {name} | float | {accuracy:.2f} |  |  |  |  | {size:,} |  |", True
    for row in ROWS:
        begin = time.process_time()
        done = ew.quantize(model, data.calibration[0], data.calibration[1], **row.options)
        seconds = time.process_time() - begin
        got = classes(done.onnx, x)
        mine = 100 * float((got == y).mean())
        report = done.report
        yield (
            f"| {name} | {row.name} | {mine:.2f} | {accuracy - mine:+.2f} | {row.budget:g} | "
            f"{100 * float((got == real).mean()):.2f} | {report.scores.sqnr_db:.1f} | {report.quantized_bytes:,} | "
            f"{seconds:.1f} |"
        ), accuracy - mine <= row.budget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the table in docs/BENCHMARKS.md")
    parser.add_argument("--networks", default="digits,keywords,shapes")
    options = parser.parse_args()
    lines = [
        f"Made by `python benchmarks/quantization.py --write` on {platform.machine()}, onnxruntime "
        f"{onnxruntime.__version__}. Accuracy, drop and budget in percent and points; *same* is the share of samples "
        "with the float network's class; SQNR at the outputs, on the calibration samples, in dB; processor seconds on "
        "this computer.", "",
        "| network | scheme | accuracy | drop | budget | same | SQNR | weights B | s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    kept = True
    for name in options.networks.split(","):
        for line, within in rows(name):
            print(line, "" if within else "OUTSIDE ITS BUDGET", flush=True)
            lines.append(line)
            kept = kept and within
    if options.write and kept:
        write_table("quantization", "\n".join(lines))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()

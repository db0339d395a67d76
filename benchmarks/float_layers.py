"""Single float layers on the emulated Cortex-M4F: instructions a MAC, by kernel.

    python benchmarks/float_layers.py [--write]

Each layer is an ONNX model of one node with seeded weights, deployed like any other. A tap in the padding is a MAC too.
With --write the table replaces the one in docs/BENCHMARKS.md.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from document import write_table
from onnx import TensorProto, helper, numpy_helper

import edgewright as ew

SEED = 20260101
PAD = {"pads": [1, 1, 1, 1]}

# name, operator, input, weights, attributes
LAYERS = (
    ("3x3, 16 to 16 channels, 32x32", "Conv", (1, 16, 32, 32), (16, 16, 3, 3), PAD),
    ("3x3 stride 2, 16 to 32 channels, 32x32", "Conv", (1, 16, 32, 32), (32, 16, 3, 3), {**PAD, "strides": [2, 2]}),
    ("1x1, 64 to 64 channels, 25x5", "Conv", (1, 64, 25, 5), (64, 64, 1, 1), {}),
    ("10x4 stride 2, 1 to 64 channels, 49x10", "Conv", (1, 1, 49, 10), (64, 1, 10, 4),
     {"pads": [4, 1, 5, 1], "strides": [2, 2]}),
    ("depthwise 3x3, 64 channels, 25x5", "Conv", (1, 64, 25, 5), (64, 1, 3, 3), {**PAD, "group": 64}),
    ("fully connected, 640 to 128", "MatMul", (1, 640), (640, 128), {}),
)  # fmt: skip


def layer(op: str, shape: tuple[int, ...], weights: tuple[int, ...], attrs: dict[str, object]) -> onnx.ModelProto:
    array = np.random.default_rng(SEED).standard_normal(weights).astype(np.float32)
    node = helper.make_node(op, ["x", "w"], ["y"], name="layer", **attrs)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "layer", [value], [result], [numpy_helper.from_array(array, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def measure(proto: onnx.ModelProto, optimize: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(proto, Path(folder) / "layer.onnx")
        model = ew.load(Path(folder) / "layer.onnx")
    shape = model.graph.tensors["x"].shape
    x = np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)
    with ew.generate(model, "mps2-an386", optimize=optimize).build().flash() as board:  # type: ignore[arg-type]
        report = board.predict(x).report()
    if not report.fidelity.passed or report.run.instructions_per_inference is None:
        raise SystemExit("wrong outputs, or nothing counted")
    return report.run.instructions_per_inference / report.model.macs


def main() -> None:
    rows = []
    for name, op, shape, weights, attrs in LAYERS:
        figures = [measure(layer(op, shape, weights, attrs), level) for level in ("speed", "balanced", "size")]
        rows.append(f"| {name} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |")
        print(rows[-1], file=sys.stderr)
    text = "\n".join([
        "Made by `python benchmarks/float_layers.py --write`; a transpose of the input to NHWC is included.", "",
        "| layer | speed | balanced | size |", "| --- | ---: | ---: | ---: |", *rows, "",
    ])  # fmt: skip
    print(text)
    if "--write" in sys.argv[1:]:
        write_table("float_layers", text)


if __name__ == "__main__":
    main()

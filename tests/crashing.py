"""Firmware that fails on purpose: in a step of a generated network, for samples that ask for it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

import edgewright as ew
from edgewright.api import Built
from edgewright.boards import Target

# What a sample asks for by its elements, which are all the same: to fail so, always or (with ONCE) if none failed yet.
FAULT, OVERFLOW, HANG, DAMAGE, ONCE = 1000, 2000, 3000, 4000, 500

# `did_before` is in RAM that outlives a reset, behind the note of the cause.
HELPERS = r"""
extern volatile uint32_t ew_reset_note[];
extern uint32_t ew_stack_bottom[];
static int __attribute__((noinline)) recurse(int depth)
{
    volatile char taken[40];
    taken[depth % 40] = (char)depth;
    return depth > 100000 ? 0 : recurse(depth + 1) + taken[depth % 40];
}
static volatile int forever = 1;
static void __attribute__((noinline)) fail(int asked)
{
    const int did_before = ew_reset_note[2] == 0xC0FFEEu;
    if (asked < 1000 || (asked % 1000 != 0 && did_before)) {
        return;
    }
    ew_reset_note[2] = 0xC0FFEEu;
    switch (asked / 1000) {
    case 1:
#if defined(__riscv)
        __asm__ volatile("unimp");
#else
        __asm__ volatile("udf #0xde");
#endif
        break;
    case 2: forever = recurse(1) != 12345; break;
    case 3:
        while (forever) {
        }
        break;
    default: ((volatile uint32_t *)ew_stack_bottom)[1] = 7u; break;
    }
}
"""


def network(folder: Path) -> Path:
    """Two MatMuls with a matrix of ones; the second one's input is four times the sum of the network's."""
    node = onnx.helper.make_node
    shape = onnx.helper.make_tensor_value_info
    weights = [onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), f"w{i}") for i in range(2)]
    graph = onnx.helper.make_graph(
        [node("MatMul", ["x", "w0"], ["a"], "first"), node("MatMul", ["a", "w1"], ["y"], "second")],
        "crashes", [shape("x", 1, [1, 4])], [shape("y", 1, [1, 4])], weights,
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), folder / "m.onnx")
    return folder / "m.onnx"


def build_failing(folder: Path, target: str | Target, **choices: object) -> Built:
    """Return the network, which fails where its second step begins if a sample asks for it."""
    made = ew.generate(ew.load(network(folder)), target, **choices)
    text = made.tree.files["model.c"].decode()
    step = made.manifest.steps[1].function
    start = re.search(rf"^[^;\n]*\b{step}\([^;{{]*\)\s*\{{", text, re.M)
    assert start is not None, text
    include = text.index("\n", text.rindex("#include")) + 1
    text = f"{text[:include]}{HELPERS}{text[include : start.end()]}\nfail((int)x0[0] / 4);\n{text[start.end() :]}"
    files = {**made.tree.files, "model.c": text.encode()}
    return replace(made, tree=replace(made.tree, files=files)).build(folder / "project")


def samples(count: int, asks: dict[int, int] | None = None) -> np.ndarray:
    """Return inputs (count, 1, 4) of small integers; `asks`: how samples of these numbers are to fail."""
    x = np.random.default_rng(1).integers(-9, 9, (count, 1, 4)).astype(np.float32)
    for index, asked in (asks or {}).items():
        x[index] = asked
    return x


def expected(x: np.ndarray) -> np.ndarray:
    """Return the outputs of the network where it does not fail."""
    return np.repeat(4 * x.sum(-1, keepdims=True), 4, axis=-1)

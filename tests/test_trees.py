"""Ensembles of trees from ai.onnx.ml: random ones against ONNX Runtime; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import WARNINGS, need
from harness import assert_close, compile_model, emitted, run_library
from networks import expected, imported, value
from onnx import TensorProto, helper

from edgewright.errors import UnsupportedError
from edgewright.passes import run_passes
from edgewright.simulate import run_once

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
FEATURES, ROWS = 5, 16


class Forest:
    """Seeded trees of any shape, with thresholds that inputs meet exactly now and then."""

    def __init__(self, prefix: str, targets: tuple[int, ...], seed: int, low: float = -1.0) -> None:
        self.prefix, self.targets, self.low = prefix, targets, low
        self.rng = np.random.default_rng(seed)
        self.modes = MODES if seed % 2 else MODES[:1]
        self.attrs: dict[str, list[Any]] = {}
        for tree in range(int(self.rng.integers(1, 12))):
            self.count = 0
            self.grow(tree, int(self.rng.integers(0, 7)))

    def add(self, **entries: Any) -> None:
        for key, entry in entries.items():
            self.attrs.setdefault(key, []).append(entry)

    def grow(self, tree: int, depth: int) -> int:
        node, self.count = self.count, self.count + 1
        is_leaf = depth == 0 or self.rng.random() < 0.15
        self.add(
            nodes_treeids=tree, nodes_nodeids=node, nodes_featureids=int(self.rng.integers(FEATURES)),
            nodes_values=float(self.rng.integers(-4, 5)) / 2, nodes_truenodeids=0, nodes_falsenodeids=0,
            nodes_modes="LEAF" if is_leaf else str(self.rng.choice(self.modes)),
            nodes_missing_value_tracks_true=int(self.rng.integers(2)),
        )  # fmt: skip
        place = len(self.attrs["nodes_nodeids"]) - 1
        if is_leaf:
            for target in self.targets:
                weight = float(np.float32(self.rng.uniform(self.low, 1)))
                self.add(**{f"{self.prefix}_treeids": tree, f"{self.prefix}_nodeids": node,
                            f"{self.prefix}_ids": target, f"{self.prefix}_weights": weight})  # fmt: skip
        else:
            self.attrs["nodes_truenodeids"][place] = self.grow(tree, depth - 1)
            self.attrs["nodes_falsenodeids"][place] = self.grow(tree, depth - 1)
        return node


def model(op: str, attrs: dict[str, Any], outputs: dict[str, tuple[int, list[int]]]) -> onnx.ModelProto:
    node = helper.make_node(op, ["x"], list(outputs), name="trees", domain="ai.onnx.ml", **attrs)
    results = [value(name, shape, kind) for name, (kind, shape) in outputs.items()]
    graph = helper.make_graph([node], "net", [value("x", [ROWS, FEATURES])], results)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def scores(count: int) -> dict[str, tuple[int, list[int]]]:
    return {"scores": (TensorProto.FLOAT, [ROWS, count])}


def classes(count: int) -> dict[str, tuple[int, list[int]]]:
    return {"label": (TensorProto.INT64, [ROWS]), **scores(count)}


def random_model(seed: int) -> onnx.ModelProto:
    rng = np.random.default_rng(seed)
    kind = seed % 5
    if kind == 0:
        post = str(rng.choice(["NONE", "SOFTMAX", "LOGISTIC"]))
        attrs = {**Forest("class", (0, 1, 2), seed).attrs, "classlabels_int64s": [2, 0, 5], "post_transform": post}
        return model("TreeEnsembleClassifier", attrs, classes(3))
    if kind in (1, 2):
        post = "NONE" if kind == 1 else "LOGISTIC"
        trees = Forest("class", (0,), seed, low=0.0 if kind == 1 else -1.0)
        attrs = {**trees.attrs, "classlabels_int64s": [0, 1], "post_transform": post, "base_values": [0.125]}
        return model("TreeEnsembleClassifier", attrs, classes(2))
    aggregate = str(rng.choice(["SUM", "AVERAGE", "MIN", "MAX"]))
    targets = (0,) if kind == 3 else (0, 1, 2)
    extra = {"n_targets": len(targets), "aggregate_function": aggregate if kind == 3 else "AVERAGE"}
    base = {"base_values": [0.5 * i - 0.25 for i in targets]}
    return model("TreeEnsembleRegressor", {**Forest("target", targets, seed).attrs, **extra, **base},
                 scores(len(targets)))  # fmt: skip


def inputs(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = (rng.integers(-6, 7, (ROWS, FEATURES)) / 2).astype(np.float32)
    return np.where(rng.random(x.shape) < 0.1, np.float32(np.nan), x)


@pytest.mark.parametrize("seed", range(40))
def test_random_trees_against_onnx_runtime(seed: int) -> None:
    found, x = imported(random_model(seed)), inputs(seed)
    wanted = expected(found, {"x": x[None]})
    assert_close(run_once(run_passes(found.graph), {"x": x}), [y[0] for y in wanted])


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(5, marks=pytest.mark.slow)])
def test_random_trees_in_c(seed: int, tmp_path: Path) -> None:
    need("gcc")
    found, x = imported(random_model(seed)), inputs(seed)
    tree = emitted(found)
    library = compile_model(tree, tmp_path / "project", ("-O1", *WARNINGS))
    assert_close(run_library(tree, library, {"x": x[None]}), expected(found, {"x": x[None]}))


LABELS = {"classlabels_int64s": [0, 1]}
ONE = Forest("class", (0,), 3).attrs


@pytest.mark.parametrize(("attrs", "word"), [
    ({**Forest("class", (0, 1), 3).attrs, **LABELS}, "votes for both"),
    ({**ONE, "classlabels_strings": ["a", "b"]}, "strings"),
    ({**ONE, **LABELS, "post_transform": "PROBIT"}, "PROBIT"),
    ({**ONE, **LABELS, "base_values": [1.0, 2.0]}, "base_values"),
])  # fmt: skip
def test_refused(attrs: dict[str, Any], word: str) -> None:
    with pytest.raises(UnsupportedError, match=word):
        imported(model("TreeEnsembleClassifier", attrs, classes(2)))


def test_a_list_of_maps_is_refused_with_the_way_out() -> None:
    proto = model("TreeEnsembleClassifier", {**ONE, **LABELS}, classes(2))
    proto.graph.node.append(helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml",
                                             classlabels_int64s=[0, 1]))  # fmt: skip
    with pytest.raises(UnsupportedError, match="zipmap"):
        imported(proto)

"""Ensembles of trees from ai.onnx.ml: TreeEnsemble, TreeEnsembleClassifier, TreeEnsembleRegressor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array
from edgewright.ops.core import Case, cases, from_onnx, given
from edgewright.ops.ml_common import (
    as_floats,
    best_label,
    class_labels,
    constant,
    give,
    label_of_two,
    narrowed,
    numbers,
    rows,
    transformed,
    with_second_class,
)
from edgewright.ops.trees import MODES, Branch, Leaf, Tables

_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")  # as TreeEnsemble numbers them
_POST_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def _column(attrs: Mapping[str, Any], name: str, count: int, default: Any = None) -> list[Any]:
    """An attribute that has an entry for each of `count` nodes or leaves. Raises: ShapeError."""
    values = attrs.get(name)
    if (values is None or not len(values)) and default is not None:
        return [default] * count
    if values is None or len(values) != count:
        raise ShapeError(f"{name} has {0 if values is None else len(values)} entries for {count}")
    return list(values)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _votes(attrs: Mapping[str, Any], weights: Array, prefix: str) -> dict[tuple[int, int], Leaf]:
    """The votes of each leaf, which is a tree and a node in it."""
    found: dict[tuple[int, int], Leaf] = {}
    keys = [_column(attrs, f"{prefix}_{what}", len(weights)) for what in ("treeids", "nodeids", "ids")]
    for tree, node, target, weight in zip(*keys, weights.tolist(), strict=True):
        found[tree, node] = (*found.get((tree, node), ()), (int(target), weight))
    return found


def _read_trees(foreign: Any, votes: Mapping[tuple[int, int], Leaf]) -> Tables:
    """The trees of TreeEnsembleClassifier and TreeEnsembleRegressor."""
    attrs, values = foreign.attrs, numbers(foreign, "nodes_values")
    count = len(values)
    names = ("treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids")
    tree_ids, node_ids, features, modes, true, false = (_column(attrs, f"nodes_{name}", count) for name in names)
    tracks = _column(attrs, "nodes_missing_value_tracks_true", count, 0)
    nodes: dict[tuple[int, int], Branch | Leaf] = {}
    for i, (tree, node, mode) in enumerate(zip(tree_ids, node_ids, map(_text, modes), strict=True)):
        if (tree, node) in nodes:
            raise ShapeError(f"node {node} of tree {tree} is there twice")
        if mode == "LEAF":
            nodes[tree, node] = votes.get((tree, node), ())
            continue
        kind = mode.removeprefix("BRANCH_")
        if kind not in MODES or features[i] < 0:
            raise ShapeError(f"mode {mode} of feature {features[i]}")
        ways = (tree, true[i]), (tree, false[i])
        nodes[tree, node] = Branch(int(features[i]), kind, (float(values[i]),), *ways, bool(tracks[i]))
    tables = Tables()
    children = {way for node in nodes.values() if isinstance(node, Branch) for way in (node.true, node.false)}
    if not children <= set(nodes):
        raise ShapeError("a branch to a node that is not there")
    for tree in dict.fromkeys(tree_ids):
        roots = [key for key in nodes if key[0] == tree and key not in children]
        if len(roots) != 1:
            raise ShapeError(f"tree {tree} has {len(roots)} roots")
        tables.add(roots[0], lambda name: nodes[name] or ((0, 0.0),))
    return tables


def _emit(foreign: Any, tables: Tables, targets: int, aggregate: str) -> str:
    """Add the operator; an average is the sum of smaller votes. Shapes of the result: [rows, targets]."""
    flags = np.array(tables.jumps) == 0
    places = np.array(tables.features)[flags] & 0x7FFF
    if not 1 <= targets <= 0x7FFF or places.max(initial=0) >= targets:
        raise ShapeError(f"votes for target {places.max(initial=0)}, of {targets}")
    if aggregate in ("MIN", "MAX") and targets > 1:
        foreign.unsupported(f"aggregate_function {aggregate} of {targets} targets")
    x = rows(foreign, as_floats(foreign, wide=True))
    values, *rest = tables.arrays(foreign.type_of(x).dtype.numpy)
    if aggregate == "AVERAGE":
        values = np.where(flags, values / len(tables.roots), values).astype(values.dtype)
    hints = [f"{foreign.name}.{what}" for what in ("values", "features", "jumps", "roots")]
    names = [foreign.add_constant(hint, array) for hint, array in zip(hints, (values, *rest), strict=True)]
    kind = "SUM" if aggregate == "AVERAGE" else aggregate
    return str(foreign.emit("Trees", [x, *names], targets=targets, aggregate=kind))


def _with_base(foreign: Any, scores: str, base: Array) -> str:
    return str(foreign.emit("Add", [scores, constant(foreign, "base", base, base.dtype)])) if base.any() else scores


@from_onnx("ai.onnx.ml.TreeEnsembleRegressor")
def _regressor(foreign: Any) -> None:
    aggregate, targets = foreign.attrs.get("aggregate_function", "SUM"), int(foreign.attrs.get("n_targets", 1))
    if aggregate not in _AGGREGATES:
        foreign.unsupported(f"aggregate_function {aggregate}")
    votes = _votes(foreign.attrs, numbers(foreign, "target_weights"), "target")
    if aggregate in ("MIN", "MAX") and any(len(leaf) != 1 for leaf in votes.values()):
        foreign.unsupported(f"aggregate_function {aggregate} with several votes of a leaf")
    tables = _read_trees(foreign, votes)
    base = numbers(foreign, "base_values")
    if len(base) not in (0, targets):
        raise ShapeError(f"{len(base)} base_values for {targets} targets")
    scores = _with_base(foreign, _emit(foreign, tables, targets, aggregate), base)
    give(foreign, 0, transformed(foreign, narrowed(foreign, scores), foreign.attrs.get("post_transform", "NONE")))


@from_onnx("ai.onnx.ml.TreeEnsembleClassifier")
def _classifier(foreign: Any) -> None:
    """Two classes with votes for the first number alone: these are votes for the second class."""
    labels, post = class_labels(foreign, "classlabels_int64s"), foreign.attrs.get("post_transform", "NONE")
    weights, base = numbers(foreign, "class_weights"), numbers(foreign, "base_values")
    votes = _votes(foreign.attrs, weights, "class")
    tables = _read_trees(foreign, votes)
    if len(labels) == 2 and {target for leaf in votes.values() for target, _ in leaf} == {0}:
        if len(base) > 1 or post not in ("NONE", "LOGISTIC"):
            foreign.unsupported(f"one score of two classes, with {len(base)} base_values and post_transform {post}")
        positive = bool((weights >= 0).all())
        score = _with_base(foreign, _emit(foreign, tables, 1, "SUM"), base)
        if foreign.output_is_used(0):
            if positive and post != "NONE":
                foreign.unsupported(f"labels of two classes by votes that are all positive, with post_transform {post}")
            give(foreign, 0, label_of_two(foreign, score, 0.5 if positive else 0.0, labels))
        both = with_second_class(foreign, narrowed(foreign, score), positive and post == "NONE")
        give(foreign, 1, transformed(foreign, both, post))
        return
    if len(base) not in (0, len(labels)) or (len(labels) == 2 and len(base)):
        foreign.unsupported(f"{len(base)} base_values for {len(labels)} classes")
    if len(labels) == 2 and foreign.output_is_used(0):  # ONNX Runtime's answer is not the class with the most points
        foreign.unsupported("labels of two classes by votes for both: take the scores, or leave out the first's votes")
    scores = _with_base(foreign, _emit(foreign, tables, len(labels), "SUM"), base)
    if foreign.output_is_used(0):
        give(foreign, 0, best_label(foreign, scores, labels))
    give(foreign, 1, transformed(foreign, narrowed(foreign, scores), post))


def _members(foreign: Any, modes: Sequence[int]) -> dict[int, tuple[float, ...]]:
    """The sets of the nodes that test for membership: a NaN ends each."""
    sets: list[tuple[float, ...]] = [()]
    for value in np.asarray(foreign.attrs.get("membership_values", np.zeros(0))).reshape(-1).tolist():
        sets[-1:] = [sets[-1], ()] if value != value else [(*sets[-1], value)]
    places = [i for i, mode in enumerate(modes) if mode == len(MODES)]
    sets = sets if sets[-1] else sets[:-1]
    if len(sets) != len(places) or not all(sets):
        raise ShapeError(f"{len(sets)} sets in membership_values for {len(places)} nodes")
    return dict(zip(places, sets, strict=True))


@from_onnx("ai.onnx.ml.TreeEnsemble")
def _ensemble(foreign: Any) -> None:
    """Source: ai.onnx.ml TreeEnsemble-5: inner nodes and leaves are numbered apart."""
    attrs, splits = foreign.attrs, np.asarray(foreign.attrs["nodes_splits"]).reshape(-1)
    weights = np.asarray(attrs["leaf_weights"]).reshape(-1)
    if {splits.dtype, weights.dtype} != {foreign.tensor(0).dtype.numpy}:
        foreign.unsupported(f"splits of {splits.dtype.name}, weights of {weights.dtype.name}")
    count = len(splits)
    modes = [int(mode) for mode in _column(attrs, "nodes_modes", count)]
    names = ("featureids", "truenodeids", "falsenodeids", "trueleafs", "falseleafs")
    features, true, false, true_leaf, false_leaf = (_column(attrs, f"nodes_{name}", count) for name in names)
    tracks = _column(attrs, "nodes_missing_value_tracks_true", count, 0)
    leaves = [((int(target), float(weight)),) for target, weight in
              zip(_column(attrs, "leaf_targetids", len(weights)), weights, strict=True)]  # fmt: skip
    members = _members(foreign, modes)

    def node_at(name: tuple[bool, int]) -> Branch | Leaf:
        is_leaf, i = name
        if not 0 <= i < (len(leaves) if is_leaf else count):
            raise ShapeError(f"{'leaf' if is_leaf else 'node'} {i}, which is not there")
        if is_leaf:
            return leaves[i]
        mode = "MEMBER" if i in members else MODES[modes[i]]
        if tracks[i] and i in members:
            foreign.unsupported("nodes_missing_value_tracks_true at a test for membership")
        ways = (bool(true_leaf[i]), true[i]), (bool(false_leaf[i]), false[i])
        return Branch(int(features[i]), mode, members.get(i, (float(splits[i]),)), *ways, bool(tracks[i]))

    tables = Tables()
    for root in attrs["tree_roots"]:
        if not 0 <= root < count:
            raise ShapeError(f"root {root} of {count} nodes")
        is_one_leaf = true_leaf[root] and false_leaf[root] and true[root] == false[root]
        tables.add((True, true[root]) if is_one_leaf else (False, root), node_at)
    aggregate, post = int(attrs.get("aggregate_function", 1)), int(attrs.get("post_transform", 0))
    scores = _emit(foreign, tables, int(attrs["n_targets"]), _AGGREGATES[aggregate])
    give(foreign, 0, transformed(foreign, scores, _POST_TRANSFORMS[post]))


def _forest(
    prefix: str, targets: Sequence[int], *, seed: int, trees: int = 3, depth: int = 3, low: float = -1.0,
    modes: Sequence[str] = ("BRANCH_LEQ",), tracks: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Attributes of seeded full trees of four features, whose leaves vote for all `targets`."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[Any]] = {}

    def add(**entries: Any) -> None:
        for key, value in entries.items():
            found.setdefault(key, []).append(value)

    for tree in range(trees):
        inner = 2**depth - 1
        for node in range(2 * inner + 1):
            is_leaf = node >= inner
            add(
                nodes_treeids=tree, nodes_nodeids=node, nodes_featureids=int(rng.integers(4)),
                nodes_values=float(np.float32(rng.standard_normal())),
                nodes_modes="LEAF" if is_leaf else str(rng.choice(modes)),
                nodes_truenodeids=0 if is_leaf else 2 * node + 1, nodes_falsenodeids=0 if is_leaf else 2 * node + 2,
            )  # fmt: skip
            if tracks:
                add(nodes_missing_value_tracks_true=int(rng.integers(2)))
            for target in targets if is_leaf else ():
                add(**{f"{prefix}_treeids": tree, f"{prefix}_nodeids": node, f"{prefix}_ids": target,
                       f"{prefix}_weights": float(np.float32(rng.uniform(low, 1) / trees))})  # fmt: skip
    return found


def _case(op: str, name: str, attrs: Mapping[str, Any], **more: Any) -> Case:
    return Case(f"ai.onnx.ml.{op}", name, (given(6, 4),), attrs, **more)


_ALL_MODES = tuple(f"BRANCH_{mode}" for mode in MODES)
_SMALL: dict[str, Any] = {
    "n_targets": 2, "aggregate_function": 1, "nodes_featureids": [0, 1, 0],
    "nodes_modes": np.array([0, 6, 3], np.uint8), "nodes_splits": np.array([0.5, 0, -0.5], np.float32),
    "nodes_truenodeids": [1, 0, 1], "nodes_falsenodeids": [2, 1, 2], "nodes_trueleafs": [0, 1, 1],
    "nodes_falseleafs": [0, 1, 1], "leaf_targetids": [0, 1, 0], "tree_roots": [0],
    "leaf_weights": np.array([5.5, 2.25, -3.0], np.float32),
    "membership_values": np.array([1.0, 3.0, np.nan], np.float32),
}  # fmt: skip
_THREE = {"classlabels_int64s": [7, 3, 5]}
_TWO = {"classlabels_int64s": [4, 9]}
cases(
    _case("TreeEnsembleRegressor", "sum", {**_forest("target", (0,), seed=1), "n_targets": 1, "base_values": [0.25]},
          slow=True),
    _case("TreeEnsembleRegressor", "average", {
        **_forest("target", (0, 1), seed=2, modes=_ALL_MODES, tracks=True), "n_targets": 2,
        "aggregate_function": "AVERAGE", "post_transform": "LOGISTIC"}, special=True),
    _case("TreeEnsembleRegressor", "least", {
        **_forest("target", (0,), seed=3), "n_targets": 1, "aggregate_function": "MIN"}, slow=True),
    _case("TreeEnsembleClassifier", "integers", {**_forest("class", (0, 1, 2), seed=4, modes=_ALL_MODES), **_THREE},
          outputs=2, dtype="int64", between=(-2, 2), slow=True),
    _case("TreeEnsembleClassifier", "three", {**_forest("class", (0, 1, 2), seed=5), **_THREE}, outputs=2, slow=True),
    _case("TreeEnsembleClassifier", "softmax", {
        **_forest("class", (0, 1, 2), seed=6), **_THREE, "post_transform": "SOFTMAX", "base_values": [0.1, 0.2, 0.4]},
        outputs=2, slow=True),
    _case("TreeEnsembleClassifier", "two", {**_forest("class", (0,), seed=7, low=0), **_TWO}, outputs=2),
    _case("TreeEnsembleClassifier", "boosted", {
        **_forest("class", (0,), seed=8), **_TWO, "post_transform": "LOGISTIC", "base_values": [0.05]}, outputs=2,
        slow=True),
    _case("TreeEnsemble", "members", _SMALL, between=(-1, 3), slow=True),
    _case("TreeEnsemble", "float64", {
        key: v.astype(np.float64) if key in ("nodes_splits", "leaf_weights", "membership_values") else v
        for key, v in _SMALL.items()}, dtype="float64", slow=True),
)  # fmt: skip

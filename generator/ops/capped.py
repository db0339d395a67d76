"""Operators whose result has a number of rows that only the device knows: NonMaxSuppression, NonZero.

The result has room for all there could be (its capacity), and what is behind those there are is -1, which stands for
nothing else. Nothing in a network can read such a result (the importer refuses it), only its user: see `trimmed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    SCRATCH,
    Case,
    KernelCall,
    Operator,
    ParamValue,
    cases,
    check_same_type,
    describe,
    from_onnx,
    given,
    ints,
    operator,
    padded_to_max_rank,
    required,
)

UNUSED = -1


def capped_axis(graph: Graph, name: str) -> int | None:
    """Return the axis along which only the beginning of a tensor counts; None where all of it does."""
    return next((operator(node.op).capped_axis for node in graph.nodes if name in node.outputs), None)


def capped_shapes(graph: Graph) -> list[Shape | None]:
    """Return the shape of each output that is capped, None for the others."""
    return [None if capped_axis(graph, name) is None else graph.tensors[name].shape for name in graph.outputs]


def trimmed(values: Array, axis: int | None) -> Array:
    """Return what counts of a capped result."""
    if axis is None:
        return values
    rows = np.moveaxis(values, axis, 0)
    count = int((rows.reshape(len(rows), -1) != UNUSED).any(axis=1).sum())
    return np.ascontiguousarray(np.moveaxis(rows[:count], 0, axis))


def filled(values: Array, shape: Shape) -> Array:
    """Return a result of ONNX's size as a capped one of `shape` has it."""
    whole = np.full(shape, UNUSED, values.dtype)
    whole[tuple(slice(size) for size in values.shape)] = values
    return whole


class NonMaxSuppression(Operator):
    """Boxes by falling score, without those that overlap a better one. Source: ONNX NonMaxSuppression-11.

    `most` is the number of boxes that are picked of one class of one image, at most; a `score_threshold` of None lets
    all pass. A box is `centred` (x and y of its centre, width, height), or y and x of two opposite corners.
    """

    name = "NonMaxSuppression"
    arity = (2, 2)
    attributes = {"most": ..., "iou_threshold": 0.0, "score_threshold": None, "centred": 0}
    capped_axis = 0
    folds_at_import = False  # a constant of this size would no longer be a capped result

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: boxes [n, b, 4], scores [n, classes, b] -> [n * classes * most, 3]: image, class, box."""
        boxes, scores = required(inputs[0], node, "boxes"), required(inputs[1], node, "scores")
        check_same_type(node, boxes, scores)
        fits = len(boxes.shape) == len(scores.shape) == 3 and boxes.shape[2] == 4
        if not fits or scores.shape[::2] != boxes.shape[:2] or not 0 <= node.attrs["most"] <= boxes.shape[1]:
            raise ShapeError(f"{describe(node)}: scores {list(scores.shape)} of boxes {list(boxes.shape)}")
        return [TensorType((scores.shape[0] * scores.shape[1] * node.attrs["most"], 3), DType.S64)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, box by box."""
        boxes, scores = (np.asarray(values) for values in inputs)
        most, threshold = node.attrs["most"], self.attr(node, "score_threshold")
        if self.attr(node, "centred"):
            half = boxes[..., 2:] / np.float32(2)
            corners = np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)
        else:
            pairs = boxes[..., [1, 0, 3, 2]].reshape(*boxes.shape[:2], 2, 2)
            corners = np.concatenate([pairs.min(axis=2), pairs.max(axis=2)], axis=-1)
        rows: list[tuple[int, int, int]] = []
        for image, kind in np.ndindex(*scores.shape[:2]):
            picked: list[int] = []
            for box in np.argsort(-scores[image, kind], kind="stable").tolist():
                if len(picked) == most or (threshold is not None and not scores[image, kind, box] > threshold):
                    break
                if not self._overlaps(node, corners[image, box], corners[image, picked]).any():
                    picked.append(box)
            rows += [(image, kind, box) for box in picked]
        found = np.array(rows, np.int64).reshape(-1, 3)
        return [filled(found, (scores.shape[0] * scores.shape[1] * most, 3))]

    def _overlaps(self, node: Node, box: Array, others: Array) -> Array:
        """Whether a box overlaps each of others by more than the threshold."""
        sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
        shared = np.where((sides > 0).all(axis=1), sides.prod(axis=1), 0)
        area, areas = np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1)
        together = area + areas - shared
        is_area = (shared > 0) & (area > 0) & (areas > 0) & (together > 0)
        ratio = shared / np.where(is_area, together, 1)
        return np.asarray(is_area & (ratio > np.float32(self.attr(node, "iou_threshold"))))

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call; a byte of scratch memory for each box."""
        scores, threshold = graph.tensors[node.inputs[1]], self.attr(node, "score_threshold")
        params: dict[str, ParamValue] = {
            "batch": scores.shape[0], "classes": scores.shape[1], "boxes": scores.shape[2], "most": node.attrs["most"],
            "centred": int(self.attr(node, "centred")), "has_score_threshold": int(threshold is not None),
            "iou_threshold": float(self.attr(node, "iou_threshold")), "score_threshold": float(threshold or 0.0),
        }  # fmt: skip
        function = "ew_non_max_suppression_f32"
        return (
            KernelCall(
                function, f"detection/{function}.h", f"{function}_params", params,
                (*node.inputs, SCRATCH, node.output), scores.shape[2],
            ),
        )  # fmt: skip


@from_onnx("NonMaxSuppression")
def _non_max_suppression(foreign: Any) -> None:
    boxes, scores = foreign.tensor(0), foreign.tensor(1)
    given_most = int(foreign.constant(2, "max_output_boxes_per_class").reshape(-1)[0]) if foreign.has(2) else 0
    iou = float(foreign.constant(3, "iou_threshold").reshape(-1)[0]) if foreign.has(3) else 0.0
    score = float(foreign.constant(4, "score_threshold").reshape(-1)[0]) if foreign.has(4) else None
    most = min(max(given_most, 0), scores.shape[-1])
    foreign.emit(
        "NonMaxSuppression", [boxes.name, scores.name], final=0, most=most, iou_threshold=iou, score_threshold=score,
        centred=int(foreign.attrs.get("center_point_box", 0)),
    )  # fmt: skip


class NonZero(Operator):
    """Places of the elements that are not zero, in row-major order, a column each. Source: ONNX NonZero-13."""

    name = "NonZero"
    arity = (1, 1)
    dtypes = frozenset(DType)
    capped_axis = 1

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any of rank 1 or more -> [rank, elements]."""
        x = required(inputs[0], node, "X")
        if not x.shape:
            raise ShapeError(f"{describe(node)}: a scalar has no axes")
        return [TensorType((len(x.shape), x.elements), DType.S64)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x = np.asarray(inputs[0])
        return [filled(np.array(np.nonzero(x), np.int64), (x.ndim, x.size))]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x = graph.tensors[node.inputs[0]]
        params: dict[str, ParamValue] = {
            "rank": len(x.shape), "dims": padded_to_max_rank(x.shape, describe(node)), "count": x.elements,
        }  # fmt: skip
        function = f"ew_nonzero_{x.dtype.suffix}"
        return (KernelCall(function, "gather/ew_nonzero.h", "ew_nonzero_params", params, (x.name, node.output)),)


@from_onnx("NonZero")
def _nonzero(foreign: Any) -> None:
    x = foreign.tensor(0)
    if x.data is not None:  # ONNX's evaluator folds it, to the size that it has
        foreign.unsupported("NonZero of a constant")
    foreign.emit("NonZero", [x.name], final=0)


_SCORES = (given(2, 9, 4), given(2, 3, 9), ints(4))
cases(
    Case("NonMaxSuppression", "corners", (*_SCORES, np.array([0.2], np.float32), np.array([0.4], np.float32)),
         opset=11, between=(0.0, 1.0)),
    Case("NonMaxSuppression", "centred", (*_SCORES, np.array([0.1], np.float32)), {"center_point_box": 1}, opset=11,
         between=(0.0, 1.0), slow=True),
    Case("NonZero", "booleans", (given(3, 4, 2),), dtype="bool"),
    Case("NonZero", "integers", (given(5, 4),), dtype="int64", between=(0, 2), slow=True),
)  # fmt: skip

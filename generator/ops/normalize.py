"""Normalization over axes of a tensor: LayerNormalization, InstanceNormalization, GroupNormalization, RMSNormalization,
MeanVarianceNormalization and LpNormalization are one operator, `Normalize`. LRN."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, Graph, Node, Shape, Tensor, TensorType
from edgewright.ops.core import (
    Case,
    KernelCall,
    Operator,
    ParamValue,
    broadcast_shape,
    broadcast_strides,
    cases,
    check_same_type,
    dense_strides,
    describe,
    from_onnx,
    given,
    merge_axes,
    normalize_axis,
    padded_to_max_rank,
    required,
    weights,
)

_CENTERED = ("variance", "deviation")
_KINDS: Mapping[str, str] = {
    kind: f"EW_NORMALIZE_{kind.upper()}" for kind in (*_CENTERED, "rms", "l1", "l2")
}  # enum ew_normalize_kind


class Normalize(Operator):
    """y = (x - mean) * factor * scale + bias, where mean and factor are taken over `axes`; also mean and factor.

    The factor, by `kind`: variance: 1 / sqrt(var + epsilon); deviation: 1 / (sqrt(var) + epsilon); rms:
    1 / sqrt(mean(x^2) + epsilon); l1: 1 / sum(|x|); l2: 1 / sqrt(sum(x^2)), both 0 where the sum is. The mean counts
    as 0 for the last three.
    """

    name = "Normalize"
    arity = (1, 3)
    attributes = {"axes": ..., "kind": ..., "epsilon": 0.0}
    in_place = frozenset({0})

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: scale and bias broadcast to x; mean and factor are of x's shape with 1 on `axes`."""
        x = required(inputs[0], node, "X")
        check_same_type(node, *inputs)
        axes = {normalize_axis(axis, len(x.shape), describe(node)) for axis in node.attrs["axes"]}
        for operand in inputs[1:]:
            if operand is not None and broadcast_shape(operand.shape, x.shape, describe(node)) != x.shape:
                raise ShapeError(f"{describe(node)}: {list(operand.shape)} does not broadcast to {list(x.shape)}")
        group = TensorType(tuple(1 if i in axes else d for i, d in enumerate(x.shape)), x.dtype)
        return [x.type, group, group]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        x, axes, kind = np.asarray(inputs[0]), tuple(node.attrs["axes"]), node.attrs["kind"]
        epsilon = x.dtype.type(self.attr(node, "epsilon"))
        mean = x.mean(axis=axes, keepdims=True)
        mean = mean if kind in _CENTERED else np.zeros_like(mean)
        centered = x - mean
        with np.errstate(divide="ignore", invalid="ignore"):
            if kind in ("l1", "l2"):
                sums = (np.abs(x) if kind == "l1" else x * x).sum(axis=axes, keepdims=True)
                sums = sums if kind == "l1" else np.sqrt(sums)
                factor = np.where(sums == 0, x.dtype.type(0), 1 / sums)
            else:
                squares = (centered * centered).mean(axis=axes, keepdims=True)
                factor = 1 / (np.sqrt(squares) + epsilon if kind == "deviation" else np.sqrt(squares + epsilon))
            y = centered * factor
            for operand, join in zip(inputs[1:], (np.multiply, np.add), strict=False):
                y = y if operand is None else join(y, operand)
        return [np.asarray(v, x.dtype) for v in (y, mean, factor)]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call: a walk over the groups, and inside it one over a group's elements."""
        x, where, axes = graph.tensors[node.inputs[0]], describe(node), set(node.attrs["axes"])
        names = [*(name or None for name in node.inputs), None, None][:3]
        steps = [dense_strides(x.shape)]
        for name in names[1:]:
            shape = graph.tensors[name].shape if name else ()
            steps.append(broadcast_strides(shape, x.shape))
        params: dict[str, ParamValue] = {}
        for walk, chosen in (
            ("outer", [i for i in range(len(x.shape)) if i not in axes]),
            ("inner", sorted(axes)),
        ):
            dims, strides = merge_axes(tuple(x.shape[i] for i in chosen), *(tuple(s[i] for i in chosen) for s in steps))
            if walk == "inner" and not dims:  # axes of size 1: groups of one element
                dims, strides = (1,), [(0,)] * 3
            params[f"{walk}_rank"] = len(dims)
            params[f"{walk}_dims"] = padded_to_max_rank(dims, where)
            for what, values in zip(("", "scale_", "bias_"), strides, strict=True):
                params[f"{walk}_{what}strides"] = padded_to_max_rank(values, where)
        params.update(kind=_KINDS[node.attrs["kind"]], epsilon=float(self.attr(node, "epsilon")))
        outputs = [*(name or None for name in node.outputs), None, None][:3]
        return (
            KernelCall(
                "ew_normalize_f32", "normalize/ew_normalize_f32.h", "ew_normalize_f32_params", params,
                (*names, *outputs),
            ),
        )  # fmt: skip

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The axes move along; means and factors do not."""
        if any(node.outputs[1:]):
            return None
        return node.with_attrs(axes=tuple(sorted(perm.index(axis) for axis in node.attrs["axes"])))


def _check_stash_type(foreign: Any) -> None:
    if int(foreign.attrs.get("stash_type", 1)) != 1:
        foreign.unsupported(f"stash_type={foreign.attrs['stash_type']}")


@from_onnx("LayerNormalization", "RMSNormalization")
def _layer_normalization(foreign: Any) -> None:
    """Source: ONNX LayerNormalization-17, RMSNormalization-23."""
    _check_stash_type(foreign)
    x = foreign.tensor(0)
    axis = normalize_axis(int(foreign.attrs.get("axis", -1)), len(x.shape), foreign.op_type)
    operands = [x.name, foreign.tensor(1).name, *([foreign.tensor(2).name] if foreign.has(2) else [])]
    kind = "variance" if foreign.op_type == "LayerNormalization" else "rms"
    foreign.emit_all(
        "Normalize", operands, axes=tuple(range(axis, len(x.shape))), kind=kind,
        epsilon=float(foreign.attrs.get("epsilon", 1e-5)),
    )  # fmt: skip


def _reshaped(foreign: Any, index: int, count: int, shape: Shape) -> str:
    """Return an operand of one number a channel under another shape."""
    operand = foreign.tensor(index)
    if operand.shape != (count,):
        raise ShapeError(f"its input number {index} is {list(operand.shape)}, for {count} channels")
    return str(foreign.emit("Reshape", [operand.name], shape=shape))


@from_onnx("InstanceNormalization")
def _instance_normalization(foreign: Any) -> None:
    """Source: ONNX InstanceNormalization-6."""
    x = foreign.tensor(0)
    if len(x.shape) < 3:
        raise ShapeError(f"an input of shape {list(x.shape)} has no channels with something in them")
    channels = (x.shape[1], *[1] * (len(x.shape) - 2))
    operands = [x.name, *(_reshaped(foreign, index, x.shape[1], channels) for index in (1, 2))]
    foreign.emit(
        "Normalize", operands, final=0, axes=tuple(range(2, len(x.shape))), kind="variance",
        epsilon=float(foreign.attrs.get("epsilon", 1e-5)),
    )  # fmt: skip


@from_onnx("GroupNormalization")
def _group_normalization(foreign: Any) -> None:
    """Source: ONNX GroupNormalization-21."""
    if foreign.opset < 21:
        foreign.unsupported("the version of operator sets 18 to 20, which ONNX has withdrawn")
    _check_stash_type(foreign)
    x, groups = foreign.tensor(0), int(foreign.attrs["num_groups"])
    if len(x.shape) < 2 or groups < 1 or x.shape[1] % groups:
        raise ShapeError(f"{groups} groups do not divide the channels of {list(x.shape)}")
    each, rest = x.shape[1] // groups, math.prod(x.shape[2:])
    split = foreign.emit("Reshape", [x.name], shape=(x.shape[0], groups, each, rest))
    operands = [split, *(_reshaped(foreign, index, x.shape[1], (groups, each, 1)) for index in (1, 2))]
    result = foreign.emit(
        "Normalize", operands, axes=(2, 3), kind="variance", epsilon=float(foreign.attrs.get("epsilon", 1e-5))
    )
    foreign.emit("Reshape", [result], final=0, shape=x.shape)


@from_onnx("MeanVarianceNormalization")
def _mean_variance_normalization(foreign: Any) -> None:
    """Source: ONNX MeanVarianceNormalization-13, whose function adds 1e-9 to the deviation."""
    x = foreign.tensor(0)
    axes = tuple(normalize_axis(int(a), len(x.shape), "axes") for a in foreign.attrs.get("axes", (0, 2, 3)))
    foreign.emit("Normalize", [x.name], final=0, axes=tuple(sorted(set(axes))), kind="deviation", epsilon=1e-9)


@from_onnx("LpNormalization")
def _lp_normalization(foreign: Any) -> None:
    """Source: ONNX LpNormalization-22; a norm of 0 gives 0."""
    x, p = foreign.tensor(0), int(foreign.attrs.get("p", 2))
    if p not in (1, 2):
        foreign.unsupported(f"p={p}")
    axis = normalize_axis(int(foreign.attrs.get("axis", -1)), len(x.shape), "LpNormalization")
    foreign.emit("Normalize", [x.name], final=0, axes=(axis,), kind=f"l{p}")


class LRN(Operator):
    """x / (bias + alpha / size * the sum of squares over `size` channels around it)^beta. Source: ONNX LRN-13."""

    name = "LRN"
    arity = (1, 1)
    attributes = {"axis": ..., "size": ..., "alpha": ..., "beta": ..., "bias": ...}

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: any; channels on `axis`."""
        x = required(inputs[0], node, "X")
        normalize_axis(node.attrs["axis"], len(x.shape), describe(node))
        if node.attrs["size"] < 1:
            raise ShapeError(f"{describe(node)}: size {node.attrs['size']}")
        return [x.type]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy."""
        a, x = node.attrs, np.moveaxis(np.asarray(inputs[0]), node.attrs["axis"], 0)
        before, after = (a["size"] - 1) // 2, a["size"] // 2
        sums = np.stack([(x[max(0, c - before) : c + after + 1] ** 2).sum(axis=0) for c in range(len(x))])
        y = x / (x.dtype.type(a["bias"]) + x.dtype.type(a["alpha"] / a["size"]) * sums) ** x.dtype.type(a["beta"])
        return [np.moveaxis(y, 0, a["axis"])]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        shape, a = graph.tensors[node.output].shape, node.attrs
        params: dict[str, ParamValue] = {
            "outer": math.prod(shape[: a["axis"]]), "channels": shape[a["axis"]],
            "inner": math.prod(shape[a["axis"] + 1 :]), "before": (a["size"] - 1) // 2, "after": a["size"] // 2,
            "alpha": a["alpha"] / a["size"], "beta": a["beta"], "bias": a["bias"],
        }  # fmt: skip
        return (
            KernelCall(
                "ew_lrn_f32", "normalize/ew_lrn_f32.h", "ew_lrn_f32_params", params, (node.inputs[0], node.output)
            ),
        )

    def permuted(self, node: Node, perm: Shape) -> Node | None:
        """The axis moves along."""
        return node.with_attrs(axis=perm.index(node.attrs["axis"]))


@from_onnx("LRN")
def _lrn(foreign: Any) -> None:
    defaults = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    attrs = {key: float(foreign.attrs.get(key, value)) for key, value in defaults.items()}
    foreign.emit("LRN", [foreign.tensor(0).name], final=0, axis=1, size=int(foreign.attrs["size"]), **attrs)


_SCALES = (weights(6), weights(6, seed=2))
cases(
    Case("LayerNormalization", "last", (given(2, 5, 6), *_SCALES)),
    Case("LayerNormalization", "no_bias", (given(3, 6), weights(6)), {"epsilon": 0.1}),
    Case("LayerNormalization", "two_axes", (given(2, 3, 6), weights(3, 6), weights(3, 6, seed=2)), {"axis": 1}),
    Case("LayerNormalization", "run_time_scale", (given(2, 6), given(6), given(6))),
    Case("LayerNormalization", "long", (given(2, 700), weights(700), weights(700, seed=2))),
    Case("RMSNormalization", "last", (given(2, 5, 6), weights(6)), opset=23),
    Case("InstanceNormalization", "image", (given(2, 6, 3, 4), *_SCALES)),
    Case("InstanceNormalization", "sequence", (given(1, 6, 9), *_SCALES), {"epsilon": 0.01}, opset=7),
    Case("GroupNormalization", "batch", (given(2, 4, 3, 2), weights(4), weights(4, seed=2)), {"num_groups": 2}, 21),
    Case("GroupNormalization", "channels", (given(1, 6, 4, 3), *_SCALES), {"num_groups": 3}, opset=21),
    Case("MeanVarianceNormalization", "default", (given(2, 3, 4, 5),)),
    Case("MeanVarianceNormalization", "axes", (given(2, 3, 4),), {"axes": [0, -1]}),
    Case("LpNormalization", "default", (given(3, 5),)),
    Case("LpNormalization", "l1", (given(3, 5, 2),), {"p": 1, "axis": 1}),
    Case("LRN", "odd", (given(5, 5, 3, 2),), {"size": 3, "alpha": 0.5, "bias": 2.0}),
    Case("LRN", "even", (given(5, 5, 2, 2),), {"size": 4, "alpha": 2.0, "beta": 0.6}),
)

"""Portable kernels of element-wise integer operators: sums, products, tables, rescaling, to and from float."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

import numpy as np

from edgewright.ir import Array, DType, Graph, Node
from edgewright.kernels.core import Kernel, KernelCall
from edgewright.kernels.portable import dtype_of, output_params
from edgewright.ops import operator
from edgewright.ops.core import ParamValue, broadcast_strides, describe, merge_axes, padded_to_max_rank
from edgewright.ops.q_core import C_QTYPES, INT32_MAX, Q8, limits
from edgewright.ops.q_table import all_values

_MAX_SHIFT, _MIN_SHIFT, _NEAR = 22, 15, 4  # where integer_sum looks for its factors


def _binary_params(node: Node, graph: Graph) -> dict[str, ParamValue]:
    """The fewest axes that describe the broadcasting, types, and zero points."""
    shape = graph.tensors[node.output].shape
    steps = [broadcast_strides(graph.tensors[name].shape, shape) for name in node.inputs]
    dims, (a, b) = merge_axes(shape, *steps)
    if not dims or max(a[-1], b[-1]) > 1 or a[-1] == b[-1] == 0:  # the kernel's innermost axis is dense
        dims, a, b = (*dims, 1), (*a, 0), (*b, 0)
    where = describe(node)
    return {
        "rank": len(dims), "dims": padded_to_max_rank(dims, where),
        "a_strides": padded_to_max_rank(a, where), "b_strides": padded_to_max_rank(b, where),
        "a_type": C_QTYPES[dtype_of(node, graph)], "b_type": C_QTYPES[dtype_of(node, graph, 1)],
        "a_zero": node.attrs["a_zero"], "b_zero": node.attrs["b_zero"], **output_params(node, graph),
    }  # fmt: skip


@lru_cache(maxsize=64)
def integer_sum(
    a: DType, a_zero: int, a_scale: float, b: DType, b_zero: int, b_scale: float, y_scale: float, y_zero: int,
    act_min: int, act_max: int,
) -> dict[str, int] | None:  # fmt: skip
    """Return factors with clamp((a * a_factor + b * b_factor + offset) >> shift) equal to the float32 sum, or None.

    Equal for every pair of values of two 8-bit types, by trying them all; a negative b_scale subtracts.
    """
    qa, qb = (grid.reshape(-1).astype(np.int64) for grid in np.meshgrid(all_values(a), all_values(b), indexing="ij"))
    left = (qa - a_zero).astype(np.float32) * np.float32(a_scale)
    right = (qb - b_zero).astype(np.float32) * np.float32(b_scale)
    steps = np.rint((left + right) / np.float32(y_scale)).astype(np.float64)
    wanted = np.clip(steps + y_zero, act_min, act_max).astype(np.int64)
    for shift in range(_MAX_SHIFT, _MIN_SHIFT, -1):
        middle = [round(scale / y_scale * 2**shift) for scale in (a_scale, b_scale)]
        reach = sum(int(np.abs(q).max()) * (abs(m) + _NEAR) for q, m in zip((qa, qb), middle, strict=True))
        if reach > INT32_MAX:
            continue
        for a_factor, b_factor in _neighbours(*middle):
            # What the offset has to be for each pair; a clamped output leaves it free on one side.
            rest = (wanted << shift) - qa * a_factor - qb * b_factor
            low = int(rest[wanted > act_min].max(initial=-(2**40)))
            high = int(rest[wanted < act_max].min(initial=2**40)) + 2**shift - 1
            offset = 2 ** (shift - 1) + y_zero * 2**shift - a_zero * a_factor - b_zero * b_factor
            offset = min(max(offset, low), high)
            if reach + abs(offset) > INT32_MAX:
                break  # the neighbours hardly differ
            if low <= high:
                return {"shift": shift, "a_factor": a_factor, "b_factor": b_factor, "offset": offset}
    return None


def _neighbours(a: int, b: int) -> Iterator[tuple[int, int]]:
    """Pairs of integers around (a, b), the nearest first."""
    steps = range(-_NEAR, _NEAR + 1)
    for i, j in sorted(product(steps, steps), key=lambda step: step[0] ** 2 + step[1] ** 2):
        yield a + i, b + j


class Add(Kernel):
    """By integers where that is proven to give the same, else by float32."""

    op = "QAdd"
    name = "add"
    in_place = frozenset({0, 1})
    sign = 1

    def factors(self, node: Node, graph: Graph) -> dict[str, int] | None:
        """See `integer_sum`; None for 16-bit operands."""
        types, t = [dtype_of(node, graph, i) for i in range(2)], node.attrs
        if not Q8.issuperset(types):
            return None
        return integer_sum(
            types[0], t["a_zero"], t["a_scale"], types[1], t["b_zero"], self.sign * t["b_scale"], t["y_scale"],
            t["y_zero"], t["act_min"], t["act_max"],
        )  # fmt: skip

    def cost(self, node: Node, graph: Graph) -> int:
        """Integers: two products; floats: a division besides."""
        return graph.tensors[node.output].elements * (18 if self.factors(node, graph) else 40)

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        a = node.attrs
        params = {
            **_binary_params(node, graph), "a_scale": float(a["a_scale"]), "b_scale": float(self.sign * a["b_scale"]),
            "y_scale": float(a["y_scale"]), **(self.factors(node, graph) or {"shift": 0}),
        }  # fmt: skip
        return (KernelCall("ew_add_q", "binary/ew_add_q.h", "ew_binary_q_params", params, (*node.inputs, node.output)),)


class Sub(Add):
    """The sum with a negative scale."""

    op = "QSub"
    name = "sub"
    sign = -1


class Mul(Kernel):
    """Exact products."""

    op = "QMul"
    name = "mul"
    in_place = frozenset({0, 1})

    def cost(self, node: Node, graph: Graph) -> int:
        """A product and its requantization."""
        return graph.tensors[node.output].elements * 22

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        reach = 1
        for index, zero in enumerate(("a_zero", "b_zero")):
            reach *= max(abs(edge - node.attrs[zero]) for edge in limits(dtype_of(node, graph, index)))
        params = {**_binary_params(node, graph), "scale": float(node.attrs["scale"]), "wide": int(reach > INT32_MAX)}
        return (KernelCall("ew_mul_q", "binary/ew_mul_q.h", "ew_binary_q_params", params, (*node.inputs, node.output)),)


class Table(Kernel):
    """One look-up an element."""

    op = "QTable"
    name = "table"
    in_place = frozenset({0})

    def cost(self, node: Node, graph: Graph) -> int:
        """Two loads and a store."""
        return graph.tensors[node.output].elements * 9

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        return _table_call(node, graph, node.inputs[1])


def _table_call(node: Node, graph: Graph, table: str | Array) -> tuple[KernelCall, ...]:
    y = graph.tensors[node.output]
    params: dict[str, ParamValue] = {
        "count": y.elements, "x_type": C_QTYPES[dtype_of(node, graph)], "y_type": C_QTYPES[y.dtype]
    }  # fmt: skip
    return (
        KernelCall(
            "ew_table_q", "table/ew_table_q.h", "ew_table_q_params", params, (node.inputs[0], table, node.output)
        ),
    )


class Rescale(Kernel):
    """By float32."""

    op = "QRescale"
    name = "rescale"
    in_place = frozenset({0})

    def cost(self, node: Node, graph: Graph) -> int:
        """A multiplication and a division."""
        return graph.tensors[node.output].elements * 34

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        params: dict[str, ParamValue] = {
            "count": graph.tensors[node.output].elements, "x_type": C_QTYPES[dtype_of(node, graph)],
            "x_zero": node.attrs["x_zero"], "x_scale": float(node.attrs["x_scale"]),
            "y_scale": float(node.attrs["y_scale"]), **output_params(node, graph),
        }  # fmt: skip
        return (
            KernelCall(
                "ew_rescale_q", "quantize/ew_rescale_q.h", "ew_rescale_q_params", params, (node.inputs[0], node.output)
            ),
        )


class RescaleByTable(Kernel):
    """8-bit elements: one look-up each."""

    op = "QRescale"
    name = "rescale_by_table"
    in_place = frozenset({0})

    def fits(self, node: Node, graph: Graph) -> bool:
        """A table has 256 entries."""
        return dtype_of(node, graph) in Q8

    def cost(self, node: Node, graph: Graph) -> int:
        """As Table's."""
        return graph.tensors[node.output].elements * 9

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """The table is the operator's reference, asked about every value."""
        (table,) = operator(node.op).evaluate(node, [all_values(dtype_of(node, graph))])
        return _table_call(node, graph, table)


class Quantize(Kernel):
    """From float32."""

    op = "Quantize"
    name = "quantize"

    def cost(self, node: Node, graph: Graph) -> int:
        """A division an element."""
        return graph.tensors[node.output].elements * 30

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        dtype: DType = node.attrs["dtype"]
        low, high = limits(dtype)
        params: dict[str, ParamValue] = {
            "count": graph.tensors[node.output].elements, "y_type": C_QTYPES[dtype],
            "scale": float(node.attrs["scale"]), "zero": node.attrs["zero"], "act_min": low, "act_max": high,
        }  # fmt: skip
        return (
            KernelCall(
                "ew_quantize_q", "quantize/ew_quantize_q.h", "ew_quantize_q_params", params,
                (node.inputs[0], node.output),
            ),
        )  # fmt: skip


class Dequantize(Kernel):
    """To float32, with one scale."""

    op = "Dequantize"
    name = "dequantize"

    def fits(self, node: Node, graph: Graph) -> bool:
        """One scale and zero point; arrays of them are for constants, which the passes compute."""
        return len(node.inputs) == 1 and dtype_of(node, graph) in C_QTYPES

    def cost(self, node: Node, graph: Graph) -> int:
        """A multiplication an element."""
        return graph.tensors[node.output].elements * 12

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        params: dict[str, ParamValue] = {
            "count": graph.tensors[node.output].elements, "x_type": C_QTYPES[dtype_of(node, graph)],
            "scale": float(node.attrs["scale"]), "zero": int(node.attrs["zero"]),
        }  # fmt: skip
        return (
            KernelCall(
                "ew_dequantize_q", "quantize/ew_dequantize_q.h", "ew_dequantize_q_params", params,
                (node.inputs[0], node.output),
            ),
        )  # fmt: skip

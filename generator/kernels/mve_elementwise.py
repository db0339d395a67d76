"""Element by element on Arm MVE: sums and differences of equal shapes, tables."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from edgewright.ir import DType, Graph, Node
from edgewright.kernels.core import Kernel, KernelCall
from edgewright.kernels.mve_common import MVE, is_int8, output
from edgewright.kernels.portable import given_constant
from edgewright.kernels.portable_elementwise import integer_sum
from edgewright.ops.core import ParamValue
from edgewright.ops.q_core import Q8
from edgewright.ops.q_table import TABLE_ENTRIES, all_values

_INT16_LIMIT = 32767


@lru_cache(maxsize=64)
def inverse_works(a_zero: int, a_scale: float, b_zero: int, b_scale: float, y_scale: float) -> float | None:
    """Return the float32 inverse of y_scale where multiplying by it rounds like dividing, for all int8 pairs."""
    values = all_values(DType.S8).astype(np.int64)
    left = (values - a_zero).astype(np.float32)[:, None] * np.float32(a_scale)
    right = (values - b_zero).astype(np.float32)[None, :] * np.float32(b_scale)
    inverse = np.float32(1) / np.float32(y_scale)
    if not np.isfinite(inverse):
        return None
    same = np.array_equal(np.rint((left + right) / np.float32(y_scale)), np.rint((left + right) * inverse))
    return float(inverse) if same else None


class AddMve(Kernel):
    """By integers where that is proven to give the same, else by float32 with an inverse that is."""

    op = "QAdd"
    name = "add__mve"
    in_place = frozenset({0, 1})
    isa = MVE
    sign = 1

    def fits(self, node: Node, graph: Graph) -> bool:
        """Equal shapes, and one of the two proofs."""
        a, b = (graph.tensors[name] for name in node.inputs)
        return is_int8(node, graph, 2) and a.shape == b.shape and self._way(node) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """Four elements in ten cycles; in 38 by floats."""
        way = self._way(node)
        return int(graph.tensors[node.output].elements * (2.5 if way and way["shift"] else 9.5)) + 30

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        params: dict[str, ParamValue] = {"count": graph.tensors[node.output].elements, **(self._way(node) or {})}
        return (
            KernelCall(
                "ew_add_q8__mve", "binary/ew_add_q8__mve.h", "ew_add_q8__mve_params", params,
                (*node.inputs, node.output),
            ),
        )  # fmt: skip

    def _way(self, node: Node) -> dict[str, Any] | None:
        """The parameters that say how to add; None where the definition's own division is needed."""
        t = node.attrs
        b_scale = self.sign * t["b_scale"]
        reach = sum(255 * t[f"{name}_scale"] / t["y_scale"] for name in "ab")
        found = integer_sum(
            DType.S8, t["a_zero"], t["a_scale"], DType.S8, t["b_zero"], b_scale, t["y_scale"], t["y_zero"],
            t["act_min"], t["act_max"],
        )  # fmt: skip
        if found is not None and reach + 256 <= _INT16_LIMIT:
            return {**found, "out": output(node, reach)}
        inverse = inverse_works(t["a_zero"], t["a_scale"], t["b_zero"], b_scale, t["y_scale"])
        if inverse is None:
            return None
        return {
            "shift": 0, "a_zero": t["a_zero"], "b_zero": t["b_zero"], "a_scale": float(t["a_scale"]),
            "b_scale": float(b_scale), "inverse": inverse, "out": output(node, reach),
        }  # fmt: skip


class SubMve(AddMve):
    """The sum with a negative scale."""

    op = "QSub"
    name = "sub__mve"
    sign = -1


class TableMve(Kernel):
    """Sixteen look-ups an instruction."""

    op = "QTable"
    name = "table__mve"
    in_place = frozenset({0})
    isa = MVE

    def fits(self, node: Node, graph: Graph) -> bool:
        """8 bits in, 8 bits out."""
        types = {graph.tensors[name].dtype for name in (node.inputs[0], node.output)}
        return types <= Q8 and graph.constant(node.inputs[1]) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """A gather takes a cycle an element on a Cortex-M55."""
        return int(graph.tensors[node.output].elements * 1.25) + 20

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call; a table for int8 starts at 0, not at -128."""
        table = given_constant(node, graph, 1)
        if graph.tensors[node.inputs[0]].dtype is DType.S8:
            table = np.roll(table, TABLE_ENTRIES // 2)
        return (
            KernelCall(
                "ew_table_q8__mve", "table/ew_table_q8__mve.h", "ew_table_q8__mve_params",
                {"count": graph.tensors[node.output].elements}, (node.inputs[0], table, node.output),
            ),
        )  # fmt: skip

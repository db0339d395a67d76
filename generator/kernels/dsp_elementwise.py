"""Element-wise sums and products on Arm DSP cores, and the proof that integers give what float32 does.

ew_add_q8__dsp.h, ew_mul_q8__dsp.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import ClassVar

import numpy as np

from edgewright.errors import InternalError
from edgewright.ir import Array, Graph, Node
from edgewright.kernels.core import Kernel, KernelCall
from edgewright.kernels.dsp_gained_line import find_gained_line
from edgewright.kernels.dsp_gemm import flip
from edgewright.ops.core import describe
from edgewright.ops.q_core import C_QTYPES, Q8

_WIDE_SHIFT = 7  # operands are widened times 2^7
_SHIFT = 16
_TRIES = 600
_REACH = 48  # of the factors around the exact ones
_CLOSE = 2.0**-8  # pairs whose sum is nearer than that to a step decide which factors are right


@lru_cache(maxsize=64)
def integer_sum(
    a_zero: int, a_scale: float, b_zero: int, b_scale: float, y_zero: int, y_scale: float, act_min: int, act_max: int
) -> tuple[int, int, int] | None:
    """Return (a_factor, b_factor, offset) of ew_add_q8__dsp_params, or None.

    With every pair of uint8 operands it gives the definition. Domain of zeros and limits: 0..255; a negative b_scale
    subtracts.
    """
    a, b = (grid.reshape(-1) for grid in np.meshgrid(np.arange(256), np.arange(256), indexing="ij"))
    left = (a - a_zero).astype(np.float32) * np.float32(a_scale)
    right = (b - b_zero).astype(np.float32) * np.float32(b_scale)
    steps = np.rint((left + right) / np.float32(y_scale)).astype(np.float64)
    wanted = np.clip(steps + y_zero, act_min, act_max).astype(np.int64)
    real = ((a - a_zero) * a_scale + (b - b_zero) * b_scale) / y_scale
    close = np.abs(real - np.floor(real) - 0.5) < _CLOSE
    factors = [round(scale / y_scale * 2.0 ** (2 * _SHIFT - _WIDE_SHIFT)) for scale in (a_scale, b_scale)]
    if max(abs(f) for f in factors) >= 2**31 - _REACH:
        return None
    wide_a, wide_b = (v.astype(np.int64) << _WIDE_SHIFT for v in (a, b))

    def offsets(a_factor: int, b_factor: int, some: Array) -> tuple[int, int]:
        """The least and the largest offset that are right for some of the pairs."""
        total = (wide_a[some] * a_factor >> _SHIFT) + (wide_b[some] * b_factor >> _SHIFT)
        want = wanted[some]
        least = ((want << _SHIFT) - total)[want > act_min].max(initial=-(2**40))
        most = ((want + 1 << _SHIFT) - 1 - total)[want < act_max].min(initial=2**40)
        return int(least), int(most)

    for a_factor, b_factor in _near(*factors):
        least, most = offsets(a_factor, b_factor, close)
        if least > most:
            continue
        least, most = offsets(a_factor, b_factor, np.ones_like(close))
        offset = (least + most) // 2
        reach = abs(offset) + (255 << _WIDE_SHIFT) * (abs(a_factor) + abs(b_factor) + 2 * _REACH >> _SHIFT)
        if least <= most and reach < 2**31 - 2**18:  # results are halfwords before they saturate
            return a_factor, b_factor, offset
    return None


def _near(a: int, b: int) -> Iterator[tuple[int, int]]:
    yield a, b
    for i, j in np.random.default_rng(0).integers(-_REACH, _REACH + 1, (_TRIES, 2)):
        yield a + int(i), b + int(j)


class _SameShape(Kernel):
    """Two tensors of 8 bits and one shape."""

    isa = frozenset({"dsp", "fpu"})
    in_place = frozenset({0, 1})
    function: ClassVar[str]
    cycles: ClassVar[tuple[float, float]]  # an element; the second where results are clamped or types are mixed

    def numbers(self, node: Node, graph: Graph) -> dict[str, int] | None:
        """What stands for scales and zero points in the kernel's parameters; None where there is nothing right."""
        raise InternalError(f"kernel {self.name} has no numbers")

    def fits(self, node: Node, graph: Graph) -> bool:
        """Same shapes, 8 bits, and numbers that give the definition."""
        tensors = [graph.tensors[name] for name in (*node.inputs, node.output)]
        same = all(t.shape == tensors[2].shape and t.dtype in Q8 for t in tensors)
        return same and self.numbers(node, graph) is not None

    def cost(self, node: Node, graph: Graph) -> int:
        """Modelled cycles of a Cortex-M4, measured."""
        unsigned = all(flip(graph.tensors[name].dtype) == 0 for name in (*node.inputs, node.output))
        plain = unsigned and (node.attrs["act_min"], node.attrs["act_max"]) == (0, 255)
        return int(graph.tensors[node.output].elements * self.cycles[0 if plain else 1]) + 100

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        numbers = self.numbers(node, graph)
        if numbers is None:
            raise InternalError(f"{describe(node)}: a kernel was chosen that does not fit")
        types = [graph.tensors[name].dtype for name in (*node.inputs, node.output)]
        params = {
            "count": graph.tensors[node.output].elements, **numbers,
            "a_type": C_QTYPES[types[0]], "b_type": C_QTYPES[types[1]], "y_type": C_QTYPES[types[2]],
            "act_min": node.attrs["act_min"] + flip(types[2]), "act_max": node.attrs["act_max"] + flip(types[2]),
        }  # fmt: skip
        return (
            KernelCall(
                self.function, f"binary/{self.function}.h", f"{self.function}_params", params,
                (*node.inputs, node.output),
            ),
        )  # fmt: skip


class AddDsp(_SameShape):
    """Five instructions an element."""

    op = "QAdd"
    name = "add__dsp"
    function = "ew_add_q8__dsp"
    cycles = (5.8, 10.0)
    sign = 1

    def numbers(self, node: Node, graph: Graph) -> dict[str, int] | None:
        """See `integer_sum`."""
        t = node.attrs
        a, b, y = (flip(graph.tensors[name].dtype) for name in (*node.inputs, node.output))
        factors = integer_sum(
            t["a_zero"] + a, float(np.float32(t["a_scale"])),
            t["b_zero"] + b, self.sign * float(np.float32(t["b_scale"])),
            t["y_zero"] + y, float(np.float32(t["y_scale"])), t["act_min"] + y, t["act_max"] + y,
        )  # fmt: skip
        return None if factors is None else dict(zip(("a_factor", "b_factor", "offset"), factors, strict=True))


class SubDsp(AddDsp):
    """The sum with a negative factor."""

    op = "QSub"
    name = "sub__dsp"
    sign = -1


class MulDsp(_SameShape):
    """Six to seven instructions an element."""

    op = "QMul"
    name = "mul__dsp"
    function = "ew_mul_q8__dsp"
    cycles = (7.4, 11.0)

    def numbers(self, node: Node, graph: Graph) -> dict[str, int] | None:
        """Zero points, and a line for every product."""
        t = node.attrs
        a, b, y = (flip(graph.tensors[name].dtype) for name in (*node.inputs, node.output))
        zeros = t["a_zero"] + a, t["b_zero"] + b
        ends = [p * q for p in (-zeros[0], 255 - zeros[0]) for q in (-zeros[1], 255 - zeros[1])]
        line = find_gained_line(
            np.float32(t["scale"]), min(ends), max(ends), 0, t["y_zero"] + y, 1 << 2 * _WIDE_SHIFT, _SHIFT
        )
        if line is None:
            return None
        return {"a_zero": zeros[0], "b_zero": zeros[1], "multiplier": line.multiplier, "offset": line.offset}

"""The fixed-point numbers of integer recurrent layers (docs/ARITHMETIC.md): activations by table, states.

A sum that goes into an activation counts 2^-16; a hyperbolic tangent 2^-16, a logistic function 2^-17; the cell of an
LSTM and the state of a GRU 2^-20.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from edgewright.ir import Array, DType
from edgewright.ops.q_core import Q8

SUM_BITS = 16  # of a sum below one
TANH_BITS = 16  # likewise, of a hyperbolic tangent
STATE_BITS = 20  # of a cell or a GRU's state
STATE_LIMIT = 1 << 30
PRODUCT_BITS = 22  # of output gate * tanh(cell)
_NODE_BITS = 10  # of a sum below a table entry's distance, 1/64
_END = 6  # the table's last argument; tanh is 1 from there on
RESET_BITS_8 = 6  # of reset gate * h below a step of h where h has 8 bits; 0 with 16


def tanh_nodes() -> Array:
    """The tanh at multiples of 1/64 up to 6, moved by half of what the lines between them are off. Shapes: [385]."""
    distance = 2.0 ** (_NODE_BITS - SUM_BITS)
    ends = np.tanh(np.arange(_END / distance + 1) * distance)
    sagitta = np.tanh((np.arange(_END / distance) + 0.5) * distance) - (ends[1:] + ends[:-1]) / 2
    ends[1:-1] += (sagitta[1:] + sagitta[:-1]) / 4
    return np.asarray(ends)


@cache
def tanh_table() -> Array:
    """The nodes as multiples of 2^-16. Shapes: uint16 [385]."""
    return np.asarray(np.rint(tanh_nodes() * 2**TANH_BITS), np.uint16)


def tanh_q(u: Array) -> Array:
    """2^16 * tanh(2^-16 * u) by the table. Shapes: int64, any."""
    table = tanh_table().astype(np.int64)
    size = np.minimum(np.abs(u), (_END << SUM_BITS) - 1)
    at, rest = size >> _NODE_BITS, size & ((1 << _NODE_BITS) - 1)
    value = table[at] + (((table[at + 1] - table[at]) * rest + (1 << (_NODE_BITS - 1))) >> _NODE_BITS)
    value = np.where(np.abs(u) >= _END << SUM_BITS, 1 << TANH_BITS, value)
    return np.asarray(np.where(u < 0, -value, value))


def logistic_q(u: Array) -> Array:
    """2^17 * logistic(2^-15 * u). Shapes: int64, any."""
    return (1 << TANH_BITS) + tanh_q(u)


def next_state(keep: Array, state: Array, more: Array) -> Array:
    """The new cell or state: (keep * state + more) / 2^17, rounded half up. Shapes: int64, any."""
    return np.asarray(np.clip((keep * state + more + (1 << 16)) >> 17, -STATE_LIMIT, STATE_LIMIT))


def state_from_float(values: Array) -> Array:
    """rint(2^20 * x), half to even, clamped; NaN becomes 0. Shapes: any."""
    with np.errstate(over="ignore"):
        scaled = np.asarray(values, np.float32) * np.float32(2**STATE_BITS)
    bounded = np.clip(np.where(np.isnan(scaled), np.float32(0), scaled), -STATE_LIMIT, STATE_LIMIT)
    return np.asarray(np.rint(bounded.astype(np.float64)), np.int64)


def state_to_float(state: Array) -> Array:
    """float32(state) * 2^-20. Shapes: any."""
    return np.asarray(state.astype(np.float32) * np.float32(2.0**-STATE_BITS))


def reset_bits(dtype: DType) -> int:
    """Bits that reset gate * h keeps below a step of h."""
    return RESET_BITS_8 if dtype in Q8 else 0

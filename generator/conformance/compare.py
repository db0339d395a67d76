"""Whether outputs are what the standard says: as many, of the same types and shapes, integers to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.ir import Array


def difference(made: Sequence[Array], wanted: Sequence[Any], rtol: float, atol: float) -> str:
    """Return what is wrong with outputs, in one line; nothing where they are right."""
    if len(made) != len(wanted):
        return f"{len(made)} outputs; expected {len(wanted)}"
    for index, (mine, theirs) in enumerate(zip(made, wanted, strict=True)):
        if not isinstance(theirs, np.ndarray | np.generic):
            return f"output {index} is a tensor; expected {type(theirs).__name__}"
        expected = np.asarray(theirs)
        if mine.dtype != expected.dtype:
            return f"output {index} has type {mine.dtype}; expected {expected.dtype}"
        if mine.shape != expected.shape:
            return f"output {index} has shape {list(mine.shape)}; expected {list(expected.shape)}"
        text = _elements(mine, expected, rtol, atol)
        if text:
            return f"output {index}: {text}"
    return ""


def _elements(mine: Array, expected: Array, rtol: float, atol: float) -> str:
    if expected.dtype.kind in "biu":
        bad = mine != expected
    else:
        left, right = mine.astype(np.float64), expected.astype(np.float64)
        bad = ~np.isclose(left, right, rtol=rtol, atol=atol, equal_nan=True)
    if not bad.any():
        return ""
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    return (
        f"{int(bad.sum()):,} of {bad.size:,} elements differ; the first, {list(first)}, is {mine[first]}, "
        f"expected {expected[first]}"
    )

"""Numbers as C has them: every one comes back from the compiler as it was."""

from __future__ import annotations

import numpy as np

from edgewright.ir import Array, DType


def literal(value: float) -> str:
    """A number as C has it: floats exactly, with their suffix."""
    if isinstance(value, int):
        return str(int(value))
    return float_literals(np.array([value], np.float32))[0]


def float_literals(values: Array) -> list[str]:
    """Shortest decimal that gives the same float32 again."""
    words = []
    for value, text in zip(values.tolist(), map(str, values), strict=True):
        if value != value:
            words.append("NAN")
        elif value in (float("inf"), float("-inf")):
            words.append("INFINITY" if value > 0 else "-INFINITY")
        else:
            words.append(f"{text}f" if "." in text or "e" in text else f"{text}.0f")
    return words


def c_rows(values: Array, per_row: int = 8) -> list[str]:
    """The elements of an initializer, a few a row."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype.isbuiltin != 1:  # of ml_dtypes
        flat = DType.of(flat).to_memory(flat)
    if flat.dtype == np.float32:
        words = float_literals(flat)
    elif flat.dtype == np.float64:
        words = [repr(float(v)) if np.isfinite(v) else ("NAN" if v != v else "INFINITY" if v > 0 else "-INFINITY")
                 for v in flat]  # fmt: skip
    elif flat.dtype == np.float16:
        words = [f"0x{v:04x}" for v in flat.view(np.uint16)]
    elif flat.dtype == np.int64:
        words = ["INT64_MIN" if v == np.iinfo(np.int64).min else f"INT64_C({v})" for v in flat]
    elif flat.dtype == np.int32:
        words = ["INT32_MIN" if v == np.iinfo(np.int32).min else str(v) for v in flat]
    elif flat.dtype == np.uint64:
        words = [f"UINT64_C({v})" for v in flat]
    else:
        words = [str(int(v)) for v in flat]
    return [", ".join(words[i : i + per_row]) for i in range(0, len(words), per_row)]

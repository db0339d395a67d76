"""Comparison of two broadcast operands: Equal, Greater, GreaterOrEqual, Less, LessOrEqual."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.ir import DType
from edgewright.ops.core import Case, cases, from_onnx, given
from edgewright.ops.elementwise import BOOL, NUMBERS, Broadcast, define

_COMPARISONS: dict[str, tuple[str, Any]] = {
    "Equal": ("equal", np.equal), "Greater": ("greater", np.greater),
    "GreaterOrEqual": ("greater_or_equal", np.greater_equal), "Less": ("less", np.less),
    "LessOrEqual": ("less_or_equal", np.less_equal),
}  # fmt: skip

for _name, (_kernel, _formula) in _COMPARISONS.items():
    define(
        Broadcast, _name, f"False where an operand is NaN. Source: ONNX {_name}.", rounds_once=True,
        dtypes=NUMBERS | BOOL if _name == "Equal" else NUMBERS, formula=staticmethod(_formula),
        kernel=f"ew_{_kernel}", header="binary/ew_compare.h", result=DType.B8,
    )  # fmt: skip


@from_onnx(*_COMPARISONS)
def _compare(foreign: Any) -> None:
    foreign.emit(foreign.op_type, [foreign.tensor(0).name, foreign.tensor(1).name], final=0)


cases(
    *(Case(name, "nan", (given(5, 7), given(7)), special=True, slow=name not in ("Equal", "Less"))
      for name in _COMPARISONS),
    *(Case(name, dtype, (given(5, 7), given(7)), dtype=dtype, between=(-3, 3), slow=(name, dtype) != ("Equal", "int64"))
      for name in _COMPARISONS for dtype in ("int8", "int16", "int32", "int64", "float64", "float16")),
    *(Case(name, dtype, (given(5, 7), given(7)), dtype=dtype, between=(0, 3), slow=True)
      for name in _COMPARISONS for dtype in ("uint8", "uint16", "uint32", "uint64")),
    Case("Equal", "bool", (given(5, 7), given(7)), dtype="bool"),
    Case("Less", "opset_7", (given(5, 7), given(5, 1)), opset=7),
)  # fmt: skip

"""Max and Min of any number of broadcast operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.ops.core import Case, cases, from_onnx, given, weights
from edgewright.ops.elementwise import NUMBERS, Broadcast, define, from_the_left

for _name, _formula in (("Max", np.maximum), ("Min", np.minimum)):
    define(
        Broadcast, _name, f"Of two operands; NaN where one is NaN. Source: ONNX {_name}-13.", dtypes=NUMBERS,
        rounds_once=True, formula=staticmethod(_formula), kernel=f"ew_{_name.lower()}",
        header="binary/ew_arithmetic.h",
    )  # fmt: skip


@from_onnx("Max", "Min")
def _extreme(foreign: Any) -> None:
    from_the_left(foreign, foreign.op_type)


cases(
    Case("Max", "one", (given(2, 3),)),
    Case("Max", "two", (given(2, 3, 4), given(2, 3, 4)), opset=8),
    Case("Max", "nan", (given(5, 7), given(7)), special=True),
    Case("Min", "three_broadcast", (given(2, 3, 4), given(4), weights(3, 1))),
    Case("Min", "nan", (given(5, 7), given(7)), special=True),
    *(Case(name, dtype, (given(3, 4), given(4)), dtype=dtype, between=(-99, 99), slow=(name, dtype) != ("Max", "int64"))
      for name in ("Max", "Min") for dtype in ("int8", "int16", "int32", "int64", "float64", "float16")),
    *(Case(name, dtype, (given(3, 4), given(4)), dtype=dtype, slow=True) for name in ("Max", "Min")
      for dtype in ("uint8", "uint16", "uint32", "uint64")),
)  # fmt: skip

"""What a target.toml says of a board's power: the marker pin, by names in [defines], and a datasheet's current.

In: tables. Out: the checked `Power`, and an estimate from it, which is marked as one wherever it is shown.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MARKS = ("EW_MARK_INIT", "EW_MARK_LOW", "EW_MARK_HIGH")  # C statements that set the marker pin up, low and high
_Positive = Annotated[float, Field(gt=0)]


class Power(BaseModel):
    """The supply current while the core computes, by a datasheet. Units: V, mA, mA per MHz of the core's clock."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    supply_v: _Positive
    active_ma: _Positive | None = None
    active_ma_per_mhz: _Positive | None = None
    source: Annotated[str, Field(strict=True, min_length=1)]  # which datasheet, which table

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.active_ma is None) == (self.active_ma_per_mhz is None):
            raise ValueError("expected either active_ma or active_ma_per_mhz")
        return self

    def milliamperes(self, clock_hz: int | None) -> float | None:
        """The current at a core clock; None where it depends on the clock, and that is not known."""
        if self.active_ma is not None:
            return self.active_ma
        if self.active_ma_per_mhz is None or clock_hz is None:
            return None
        return self.active_ma_per_mhz * clock_hz / 1e6

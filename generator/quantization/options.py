"""What the user can choose, checked; every default is meant to do well without a thought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from edgewright.errors import QuantizationError

SchemeName = Literal["int8", "int16x8", "int4"]
Observer = Literal["auto", "minmax", "percentile", "mse", "kl"]
Choice = Literal["auto", "on", "off"]
Rounding = Literal["adaround", "nearest"]
MixedKind = Literal["int16", "float"]
Io = Literal["float", "int8"]


@dataclass(frozen=True)
class Scheme:
    """Bits of activations and of weights."""

    name: SchemeName
    activation_bits: int
    weight_bits: int


SCHEMES: dict[str, Scheme] = {
    "int8": Scheme("int8", 8, 8),
    "int16x8": Scheme("int16x8", 16, 8),
    "int4": Scheme("int4", 8, 4),
}


@dataclass(frozen=True)
class Options:
    """How to quantize. Units: `percentile` and `max_drop` in percent, `min_sqnr` in dB, `time_limit_s` in seconds."""

    scheme: SchemeName = "int8"
    observer: Observer = "auto"
    percentile: float = 99.99
    per_tensor: bool = False
    equalize: Choice = "auto"
    bias_correction: bool = True
    rounding: Rounding = "adaround"
    max_drop: float | None = None
    min_sqnr: float | None = None
    mixed: MixedKind = "int16"
    keep_float: tuple[str, ...] = ()
    keep_int16: tuple[str, ...] = ()
    io: Io = "float"
    time_limit_s: float = 300.0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("scheme", SchemeName), ("observer", Observer), ("equalize", Choice), ("rounding", Rounding),
            ("mixed", MixedKind), ("io", Io),
        ):  # fmt: skip
            if getattr(self, name) not in get_args(allowed):
                raise QuantizationError(f"{name} '{getattr(self, name)}': expected {', '.join(get_args(allowed))}")
        if not 50.0 <= self.percentile <= 100.0:
            raise QuantizationError(f"percentile {self.percentile}: expected 50 to 100")
        if self.max_drop is not None and not 0.0 <= self.max_drop <= 100.0:
            raise QuantizationError(f"max_drop {self.max_drop}: expected 0 to 100, in points of accuracy")
        if self.min_sqnr is not None and not 0.0 < self.min_sqnr <= 200.0:
            raise QuantizationError(f"sqnr {self.min_sqnr}: expected a number of dB above 0, up to 200")
        if not self.time_limit_s > 0.0:
            raise QuantizationError(f"time_limit {self.time_limit_s}: expected seconds above 0")

    @property
    def bits(self) -> Scheme:
        """The scheme's bits."""
        return SCHEMES[self.scheme]

    @property
    def has_budget(self) -> bool:
        """Whether layers may be kept in more bits until a budget holds."""
        return self.max_drop is not None or self.min_sqnr is not None

"""What a firmware speaks on its line: edgewright's own link, or the protocol of MLPerf Tiny. The network is the same.

In: a front's name and a target. Out: a checked `Front`, and the target with the baud rate that the front asks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from edgewright.boards import Target
from edgewright.boards.power import MARKS
from edgewright.errors import EdgewrightError, TargetError

FrontName = Literal["link", "mlperf", "mlperf-energy"]
ENERGY_BAUD = 9600  # EEMBC's, between the interface board and the device
_BAUD, _PULSES = "EW_UART_BAUD", "EW_MARK_PULSES"
_MODEL = re.compile(r"[A-Za-z0-9_.-]{1,32}")


@dataclass(frozen=True)
class Front:
    """`model` is what the MLPerf front answers to `profile`: kws01, ic01, ad01, vww01 or one's own."""

    name: FrontName = "link"
    model: str = ""

    @property
    def is_mlperf(self) -> bool:
        """Whether it is one of the two forms of MLPerf Tiny's protocol."""
        return self.name != "link"

    @property
    def energy(self) -> bool:
        """Whether timestamps are pulses on a pin, for a power meter."""
        return self.name == "mlperf-energy"

    def on(self, target: Target) -> Target:
        """Return the target as the front needs it. Raises: TargetError where it says of no pin for the energy form."""
        if not self.energy:
            return target
        missing = [name for name in MARKS if name not in target.defines]
        if missing:
            raise TargetError(
                f"--front {self.name}: '{target.name}' has no {', '.join(missing)} in its [defines]: C statements that "
                "set the pin of a power meter up, low and high (targets/README.md)"
            )
        defines = {**target.defines, _PULSES: 1, **({_BAUD: ENERGY_BAUD} if _BAUD in target.defines else {})}
        changed = target.model_copy(update={"defines": defines})
        changed._folder = target.folder
        return changed


def front_of(name: str, model: str | None, network: str) -> Front:
    """Check --front and --mlperf-model; `network` is the model's name, taken where no other is given."""
    if name not in get_args(FrontName):
        raise EdgewrightError(f"--front {name}: expected one of {', '.join(get_args(FrontName))}")
    if name == "link":
        if model is not None:
            raise EdgewrightError(f"--mlperf-model {model}: it is for --front mlperf")
        return Front()
    chosen = network if model is None else model
    if not _MODEL.fullmatch(chosen):
        raise EdgewrightError(f"--mlperf-model {chosen}: expected at most 32 letters, digits, '_', '-' and '.'")
    return Front(cast(FrontName, name), chosen)

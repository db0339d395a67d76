"""Which power meters there are, which boards they can measure, and a run with one of them recording.

Packages that a meter needs are imported when it is opened, and are no dependency of edgewright's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from edgewright.boards import Target
from edgewright.boards.power import MARKS
from edgewright.drivers.device import DeviceRun
from edgewright.drivers.meters.core import Meter, MeterOptions
from edgewright.drivers.meters.joulescope import Joulescope
from edgewright.drivers.meters.lpm01a import Lpm01a
from edgewright.drivers.meters.otii import Otii
from edgewright.drivers.meters.ppk2 import Ppk2, Ppk2Ampere
from edgewright.drivers.meters.windows import energy_of
from edgewright.errors import MeterError

METERS: dict[str, type[Meter]] = {
    "ppk2": Ppk2, "ppk2-ampere": Ppk2Ampere, "joulescope": Joulescope, "lpm01a": Lpm01a, "otii": Otii,
}  # fmt: skip


def check_meter(options: MeterOptions, target: Target, port: str | None) -> None:
    """Refuse, before any work, a meter that is not known, and a board that it could not measure. Raises: MeterError."""
    if options.name not in METERS:
        raise MeterError(f"--meter {options.name}: expected one of {', '.join(METERS)}, and perhaps :ADDRESS")
    if target.device != "serial":
        raise MeterError(f"--meter {options.name}: '{target.name}' is no board on a desk, there is nothing to measure")
    if port is None:
        raise MeterError(f"'{target.name}' is a board: say which port it is on with --port")
    missing = [name for name in MARKS if name not in target.defines]
    if missing:
        raise MeterError(
            f"--meter {options.name}: '{target.name}' has no {', '.join(missing)} in its [defines]: C statements that "
            "set the marker pin up, low and high (docs/ENERGY.md)"
        )
    METERS[options.name].check(options)


def open_meter(options: MeterOptions) -> Meter:
    """Open a meter; where it feeds the board, the board is on then. Raises: MeterError, ToolError."""
    return METERS[options.name](options)


def run_measured(meter: Meter, run: Callable[[], DeviceRun]) -> DeviceRun:
    """Record while `run` runs inferences, and add what they took to what it returns.

    Where the meter fails meanwhile, or did not see each inference, `energy` stays None and `meter_error` says why: the
    predictions are not lost. Raises: MeterError where it does not start; what `run` raises.
    """
    meter.start()
    try:
        done = run()
    except BaseException:
        with contextlib.suppress(MeterError):
            meter.stop()
        raise
    durations_s = None if done.latency_us is None else done.latency_us / 1e6
    try:
        return replace(done, energy=energy_of(meter.stop(), done.samples, durations_s))
    except MeterError as error:
        return replace(done, meter_error=str(error))

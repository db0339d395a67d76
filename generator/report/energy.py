"""The energy of an inference in a result: measured by a meter, estimated from a datasheet, or null.

In: a run, and the board it was on. Out: fields of a RunRecord. An emulator's time is never believed, and so gives no
estimate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.boards import Target
from edgewright.drivers.device import DeviceRun
from edgewright.drivers.meters.windows import Energy
from edgewright.report.measures import percentiles
from edgewright.report.result import EnergyRecord


def energy_fields(done: DeviceRun, target: Target) -> dict[str, Any]:
    """Return `energy_uj`, `energy_source` and `energy`. Units: uJ an inference."""
    seen = done.energy
    if seen is not None and len(seen.uj):
        source = f"measured: {seen.meter}, marker on {seen.channel}"
        return {"energy_uj": float(np.mean(seen.uj)), "energy_source": source, "energy": _record(seen)}
    estimate = None if done.meter_error is not None else _estimate(done, target)
    if estimate is None or target.power is None:
        return {"energy_uj": None, "energy_source": None, "energy": None}
    return {"energy_uj": estimate, "energy_source": f"estimated: {target.power.source}", "energy": None}


def _estimate(done: DeviceRun, target: Target) -> float | None:
    """A datasheet's supply current times the mean latency; None where that was not measured on hardware."""
    power = target.power
    if power is None or target.evidence != "hardware" or done.latency_us is None:
        return None
    milliamperes = power.milliamperes(target.clock_hz)
    return None if milliamperes is None else power.supply_v * milliamperes * 1e-3 * float(np.mean(done.latency_us))


def _record(seen: Energy) -> EnergyRecord:
    return EnergyRecord(
        meter=seen.meter, marker=seen.channel, windows=len(seen.uj), percentiles_uj=percentiles(seen.uj),
        min_uj=float(seen.uj.min()), max_uj=float(seen.uj.max()), power_mw=seen.power_mw, idle_mw=seen.idle_mw,
        supply_v=seen.voltage_v, window_us=float(np.mean(seen.seconds)) * 1e6, sample_rate_hz=seen.sample_hz,
    )  # fmt: skip

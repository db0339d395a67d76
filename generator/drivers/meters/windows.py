"""From what a meter recorded to the energy of each inference: windows between the edges of a marker pin.

In: a `Recording`, how many inferences there were, and how long the board's own timer says each took. Out: an `Energy`,
or a MeterError that says how many pulses were seen: a figure is never made up. No meter is known here, and no board.

Sample k of a recording stands for the time from k to k + 1 periods; power is constant in it. A window may begin and end
within samples, of which it then gets its share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.errors import MeterError
from edgewright.ir import Array

BOUNCE_SAMPLES = 2  # a level that does not last as long is no pulse, and no pause between two
FEWEST_SAMPLES = 10  # in a window whose begin was not seen: its edges are a sample off, and may be both
_TOLERANCE = 0.25  # between a pulse's length and the board's timer


@dataclass(frozen=True, eq=False)
class Recording:
    """What a meter saw. Units: A, V, s.

    Shapes: `current_a` (n,); `voltage_v` (n,), or one figure where the meter does not measure it; `edges_s` (m,), when
    the marker changed, from the first sample on. `starts_high`: its level before the first edge; edges alternate.
    `ends_only`: the meter sees falling edges only, and `edges_s` are these.
    `meter` and `channel` are for people: which meter, and which of its inputs the marker is on.
    """

    current_a: Array
    voltage_v: Array | float
    period_s: float
    edges_s: Array
    starts_high: bool
    meter: str
    channel: str
    ends_only: bool = False


@dataclass(frozen=True, eq=False)
class Energy:
    """What `n` inferences took. Units: uJ, s, mW, V, Hz.

    Shapes: `uj` and `seconds` (n,), each inference's energy and window. `power_mw`: mean within the windows, `idle_mw`
    outside of them, None where nothing was recorded there; `voltage_v`: mean within them.
    """

    meter: str
    channel: str
    uj: Array
    seconds: Array
    power_mw: float
    idle_mw: float | None
    voltage_v: float
    sample_hz: float


def edges_of_samples(line: Array, period_s: float) -> tuple[Array, bool]:
    """Return when a sampled line changes, in seconds, and whether it begins high. Shapes: `line` (n,), 0 or not."""
    high = np.asarray(line, dtype=bool)
    changes = np.flatnonzero(high[1:] != high[:-1]) + 1
    return changes * period_s, bool(high[0]) if high.size else False


def without_bounces(edges_s: Array, end_s: float, shortest_s: float) -> Array:
    """Drop levels that last less than `shortest_s`: each becomes part of the level that was kept before it.

    The first and the last level stay, however short: the recording, which ends at `end_s`, cut them.
    """
    kept: list[float] = []
    lengths = np.diff(np.append(edges_s, end_s))
    for index, (edge, length) in enumerate(zip(edges_s.tolist(), lengths.tolist(), strict=True)):
        is_new = len(kept) % 2 == index % 2  # else the level before was dropped, and this one goes on
        if is_new and (length >= shortest_s or index == len(lengths) - 1):
            kept.append(edge)
    return np.asarray(kept, dtype=np.float64)


def cut(recording: Recording, count: int, durations_s: Array | None = None) -> tuple[Array, Array]:
    """Return when each of `count` inferences began and ended, in seconds. Shapes: (count,) both; `durations_s` too.

    `durations_s`, from the board's timer: needed where the meter does not see where a pulse begins.
    Raises: MeterError where there is not exactly one whole pulse an inference; pulses that the recording cut are none.
    """
    end_s = len(recording.current_a) * recording.period_s
    if recording.ends_only:
        return _before(recording, count, durations_s)
    edges = without_bounces(recording.edges_s, end_s, (BOUNCE_SAMPLES - 0.5) * recording.period_s)
    begins, ends = (edges[1::2], edges[2::2]) if recording.starts_high else (edges[::2], edges[1::2])
    cuts = ["the first was cut"] if recording.starts_high else []
    if len(begins) > len(ends):
        begins = begins[:-1]
        cuts.append("the last was cut")
    if len(begins) != count:
        raise MeterError(_wrong_count(recording, len(begins), count, cuts))
    return begins, ends


def _before(recording: Recording, count: int, durations_s: Array | None) -> tuple[Array, Array]:
    """Windows that end at the edges, as long as the board's timer says."""
    ends = recording.edges_s
    where = f"{recording.meter} sees only where a pulse ends"
    if len(ends) != count:
        raise MeterError(_wrong_count(recording, len(ends), count, []))
    if durations_s is None:
        raise MeterError(f"{where}, and nothing says how long an inference took: no timer of this board is believed")
    shortest = float(np.min(durations_s)) / recording.period_s if count else FEWEST_SAMPLES
    if shortest < FEWEST_SAMPLES:
        raise MeterError(
            f"{where}, and takes {1 / recording.period_s:,.0f} samples a second: an inference of "
            f"{float(np.min(durations_s)) * 1e6:,.0f} us is too short for that. {FEWEST_SAMPLES} samples are needed"
        )
    begins = ends - durations_s
    if count and (begins[0] < 0 or np.any(begins[1:] < ends[:-1])):
        raise MeterError(f"{where}; by the board's timer, inferences overlap or began before the recording")
    return begins, ends


def _wrong_count(recording: Recording, seen: int, count: int, cuts: list[str]) -> str:
    also = f" ({', '.join(cuts)})" if cuts else ""
    hint = "Is that input wired to the board's marker pin, and does the meter share its ground?"
    if seen or cuts:
        hint = (
            f"A pulse shorter than {BOUNCE_SAMPLES} samples ({BOUNCE_SAMPLES * recording.period_s * 1e6:,.0f} us) is "
            "not seen, and pulses with a shorter pause between them are one: leave out --batch."
        )
    where = f"{recording.meter} saw {seen} pulses on {recording.channel}{also}"
    return f"{where}, and there were {count} inferences. {hint}"


def energy_of(recording: Recording, count: int, durations_s: Array | None = None) -> Energy:
    """Cut a recording into `count` windows and integrate voltage times current over each.

    `durations_s`, from the board's timer, are held against the pulses: another signal on the same input would do
    otherwise. Raises: MeterError as `cut`, and where they are far apart.
    """
    begins, ends = cut(recording, count, durations_s)
    seconds = ends - begins
    if durations_s is not None and count:
        pulse, timer = float(np.median(seconds)), float(np.median(durations_s))
        if abs(pulse - timer) > _TOLERANCE * timer + 2 * BOUNCE_SAMPLES * recording.period_s:
            raise MeterError(
                f"the pulses that {recording.meter} saw on {recording.channel} last {pulse * 1e6:,.0f} us, and by the "
                f"board's timer an inference takes {timer * 1e6:,.0f} us: is that the marker pin?"
            )
    power = recording.current_a.astype(np.float64) * recording.voltage_v
    joules = _integrals(power, recording.period_s, begins, ends)
    volts = np.broadcast_to(np.asarray(recording.voltage_v, dtype=np.float64), power.shape)
    total_s, whole_s = float(seconds.sum()), len(power) * recording.period_s
    idle_s, idle_j = whole_s - total_s, float(power.sum() * recording.period_s - joules.sum())
    return Energy(
        meter=recording.meter, channel=recording.channel, uj=joules * 1e6, seconds=seconds,
        power_mw=float(joules.sum()) / total_s * 1e3 if total_s else 0.0,
        idle_mw=idle_j / idle_s * 1e3 if idle_s > recording.period_s / 2 else None,
        voltage_v=float(_integrals(volts, recording.period_s, begins, ends).sum()) / total_s if total_s else 0.0,
        sample_hz=1 / recording.period_s,
    )  # fmt: skip


def _integrals(values: Array, period_s: float, begins: Array, ends: Array) -> Array:
    """Integrate what is constant in each sample from each begin to its end; sums are exact but for rounding."""
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64))) * period_s
    at = np.arange(len(sums)) * period_s
    integrals: Array = np.interp(ends, at, sums) - np.interp(begins, at, sums)
    return integrals

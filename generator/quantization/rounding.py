"""Weights to integers: the scale of each output channel, and for each weight whether it is rounded up or down.

Rounding each weight to the nearest integer does not give the nearest outputs. As AdaRound (Nagel et al., 2020) does,
each weight is rounded up or down such that the layer's outputs on the calibration data change least. The error is a
quadratic function of the weights, given by the second moments of the layer's inputs; here it is lowered by exact
coordinate descent over the two choices of each weight, all output channels at once, from the nearest rounding. Each
step lowers the error or leaves it, so the result is never worse than the nearest rounding on the same moments.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array
from edgewright.quantization.layers import Moments, error_energy
from edgewright.quantization.params import SMALLEST_SCALE, weight_limits

DAMPING = 0.01  # of the mean second moment: what keeps few samples from deciding
MAX_SWEEPS = 12
MAX_INPUTS = 4096  # weights a channel, beyond which rounding is to the nearest: the moments would not fit


@dataclass(frozen=True, eq=False)
class Rounded:
    """Integers and their scales. Shapes: integers [groups, outputs, inputs] (int64), scale [groups, outputs]."""

    integers: Array
    scale: Array
    method: str  # "adaround" or "nearest"
    gain_db: float  # by how much the error of the layer's outputs is lower than with the nearest rounding


def damped(m: Moments) -> Moments:
    """Add a little of the identity to the moments, in both, so that weights are drawn to their float values."""
    size = m.gram.shape[1]
    trace = np.einsum("gkk->g", m.gram) / size
    extra = (DAMPING * trace + 1e-12)[:, None, None] * np.eye(size)
    return Moments(m.gram + extra, m.cross + extra, m.real + extra, m.mean_float, m.mean_quantized, m.positions)


def range_scale(weights: Array, bits: int) -> Array:
    """Return the scale with which the largest weight of each channel is the largest integer."""
    high = weight_limits(bits)[1]
    return np.asarray(np.maximum(np.abs(weights).max(axis=2, initial=0.0) / high, float(SMALLEST_SCALE)))


def nearest(weights: Array, scale: Array, bits: int) -> Array:
    """Round to the nearest integers."""
    low, high = weight_limits(bits)
    return np.clip(np.rint(weights / scale[:, :, None]), low, high)


def best_scale(weights: Array, bits: int, m: Moments | None, per_tensor: bool) -> Array:
    """Return scales with the least error after rounding to the nearest: some clipping of large weights may pay.

    Without moments the error is that of the weights themselves.
    """
    full = range_scale(weights, bits)
    if per_tensor:
        full = np.full_like(full, full.max())
    ratios = np.linspace(1.0, 0.5, 26) if bits == 4 else np.linspace(1.0, 0.8, 6)
    best, least = full, np.full(full.shape, np.inf)
    for ratio in ratios:
        scale = full * ratio
        integers = nearest(weights, scale, bits)
        if m is None:
            error = ((integers * scale[:, :, None] - weights) ** 2).sum(axis=2)
        else:
            error = error_energy(weights, integers, scale, m)
        if per_tensor:
            error = np.full_like(error, error.sum())
        better = error < least * (1 - 1e-9)
        best, least = np.where(better, scale, best), np.where(better, error, least)
    return best


def round_weights(
    weights: Array, bits: int, m: Moments | None, *, adaptive: bool, per_tensor: bool, deadline: float
) -> Rounded:
    """Choose scales and integers. Units: `deadline` in seconds of time.monotonic().

    Shapes: weights [groups, outputs, inputs], float64.
    """
    usable = m is not None and weights.shape[2] <= MAX_INPUTS
    soft = damped(m) if m is not None and usable else None
    scale = _float32(best_scale(weights, bits, soft, per_tensor))
    integers = nearest(weights, scale, bits)
    if not adaptive or soft is None or time.monotonic() > deadline:
        return Rounded(integers.astype(np.int64), scale, "nearest", 0.0)
    start = error_energy(weights, integers, scale, soft).sum()
    improved = descend(weights, integers, scale, soft, bits, deadline)
    if not per_tensor:
        for _ in range(2 if bits == 4 else 1):
            refitted = _refitted_scale(weights, improved, scale, soft)
            again = descend(weights, nearest(weights, refitted, bits), refitted, soft, bits, deadline)
            better = error_energy(weights, again, refitted, soft) < error_energy(weights, improved, scale, soft)
            improved = np.where(better[:, :, None], again, improved)
            scale = np.where(better, refitted, scale)
    end = error_energy(weights, improved, scale, soft).sum()
    gain = 10 * np.log10(start / end) if end > 0 and start > 0 else 0.0
    return Rounded(improved.astype(np.int64), scale, "adaround", float(gain))


def _float32(scale: Array) -> Array:
    return np.maximum(scale.astype(np.float32), SMALLEST_SCALE).astype(np.float64)


def descend(weights: Array, integers: Array, scale: Array, m: Moments, bits: int, deadline: float) -> Array:
    """Lower the error weight by weight: each takes the better of its two neighbours in integers, given the others.

    Shapes: as in `round_weights`; weights along the inputs are visited in order, all channels together.
    """
    low, high = weight_limits(bits)
    steps = weights / scale[:, :, None]
    floor = np.clip(np.floor(steps), low, high)
    ceil = np.clip(np.ceil(steps), low, high)
    q = np.clip(integers, floor, ceil)
    target = np.matmul(weights, m.cross) / scale[:, :, None]  # in steps: its optimum solves q @ gram = target
    slope = target - np.matmul(q, m.gram)
    diagonal = np.einsum("gkk->gk", m.gram)
    for _ in range(MAX_SWEEPS):
        changed = False
        for k in range(q.shape[2]):
            wanted = q[:, :, k] + slope[:, :, k] / diagonal[:, None, k]
            new = np.clip(np.rint(wanted), floor[:, :, k], ceil[:, :, k])
            change = new - q[:, :, k]
            if change.any():
                slope -= change[:, :, None] * m.gram[:, None, k, :]
                q[:, :, k] = new
                changed = True
        if not changed or time.monotonic() > deadline:
            break
    return q


def _refitted_scale(weights: Array, integers: Array, scale: Array, m: Moments) -> Array:
    """Return the scales that fit the integers best, within 20 % of what they were."""
    shared = np.einsum("gok,gok->go", np.matmul(weights, m.cross), integers)
    own = np.einsum("gok,gok->go", np.matmul(integers, m.gram), integers)
    fitted = np.where(own > 0, shared / np.where(own > 0, own, 1.0), scale)
    return _float32(np.clip(fitted, 0.8 * scale, 1.2 * scale))

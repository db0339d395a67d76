"""Arithmetic on what came back: fidelity against a reference, KPIs against labels, percentiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgewright.errors import DataError
from edgewright.ir import Array, DType
from edgewright.report.result import FidelityRecord, KpiRecord, Percentiles

RELATIVE_TOLERANCE = 1e-4  # of an output's range; float32 in another order of summation stays well below
MIXED_TOLERANCE = 0.02  # where float sums are rounded to integers on the way, which may go either way at a tie


def fidelity(
    outputs: Mapping[str, Array], reference: Mapping[str, Array], source: str, note: str | None = None,
    *, tolerance: float = RELATIVE_TOLERANCE, steps: Mapping[str, float] | None = None,
) -> FidelityRecord:
    """Compare all outputs, element by element.

    `tolerance` is a share of an output's range. With `steps`, the size of one quantization step in each output, errors
    are counted in steps, an element mismatches by half a step or more, and one step is still passed.

    Shapes: `outputs[name]` and `reference[name]` hold as many elements, the samples first.
    Integers and booleans have to be equal. NaN equals NaN, and an infinity itself.
    """
    elements = mismatching = 0
    worst = worst_of_range = 0.0
    for name, expected in reference.items():
        got = np.asarray(outputs[name]).reshape(expected.shape)
        error, allowed, of_range = errors_of(got, expected, tolerance)
        if steps is not None:
            error, allowed = error / steps[name], 0.5
        elements += expected.size
        mismatching += int(np.count_nonzero(~(error <= allowed)))
        worst = max(worst, _largest(error))
        worst_of_range = max(worst_of_range, _largest(of_range))
    first = next(iter(reference))
    return FidelityRecord(
        reference=source, reference_note=note, elements=elements, mismatching_elements=mismatching, max_abs_error=worst,
        max_error_of_range=worst_of_range, relative_tolerance=None if steps is not None else tolerance,
        argmax_differences=_argmax_differences(np.asarray(outputs[first]), reference[first]),
        passed=mismatching == 0 if steps is None else worst < 1.5,
    )  # fmt: skip


def errors_of(got: Array, expected: Array, tolerance: float) -> tuple[Array, float, Array]:
    """Absolute errors, the largest one allowed, and errors as a share of the output's range."""
    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    same = (got == expected) | ((got != got) & (expected != expected))
    error = np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))
    if not DType.of(expected).is_float:
        return error, 0.0 if tolerance <= RELATIVE_TOLERANCE else tolerance * 256, error
    finite = expected[np.isfinite(expected)].astype(np.float64)
    span = float(finite.max() - finite.min()) if finite.size else 0.0
    span = span or (float(np.abs(finite).max()) if finite.size else 0.0) or 1.0
    return error, tolerance * span, error / span


def _largest(values: Array) -> float:
    return float(values.max()) if values.size else 0.0


def _rows(outputs: Array) -> Array | None:
    """Scores by sample and class; None where the first output is no score vector."""
    flat = outputs.reshape(len(outputs), -1)
    return flat if flat.shape[1] > 1 and outputs.dtype.kind in "fi" else None


def _argmax_differences(got: Array, expected: Array) -> int | None:
    a, b = _rows(got), _rows(expected.reshape(len(expected), -1))
    return None if a is None or b is None else int(np.count_nonzero(a.argmax(axis=1) != b.argmax(axis=1)))


def check_labels(labels: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Make sure that labels are class numbers of a model whose first output has this shape a sample.

    Raises: DataError.
    """
    classes = math.prod(shape)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or classes < 2 or dtype.kind not in "fiu":
        raise DataError(
            f"'y' of type {labels.dtype} and shape {list(labels.shape)} cannot be compared with an output of shape "
            f"[n, {', '.join(map(str, shape))}]: expected one class number a sample, and a score for each class"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        where = int(wrong[0])
        raise DataError(f"'y' holds class {labels[where]} (sample {where}); the model has classes 0 to {classes - 1}")


def kpis(outputs: Array, reference: Array, labels: Array) -> KpiRecord:
    """Compare the class with the highest score of the first output with the labels.

    Shapes: `outputs` and `reference` (n, classes, or more axes of size 1), `labels` (n,) of class numbers.
    Raises: DataError as `check_labels`.
    """
    check_labels(labels, outputs.shape[1:], outputs.dtype)
    scores, expected = outputs.reshape(len(outputs), -1), reference.reshape(len(reference), -1)
    n, classes = scores.shape
    labels = labels.astype(np.int64)
    predicted = scores.argmax(axis=1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    correct = int(np.count_nonzero(predicted == labels))
    reference_correct = int(np.count_nonzero(expected.argmax(axis=1) == labels))
    top5 = None
    if classes > 5:
        best = np.argpartition(-scores.astype(np.float64), 5, axis=1)[:, :5]
        top5 = float(np.mean((best == labels[:, None]).any(axis=1)))
    return KpiRecord(
        accuracy=correct / n, correct=correct, reference_accuracy=reference_correct / n,
        reference_correct=reference_correct, top5=top5, classes=list(range(classes)), confusion=confusion.tolist(),
    )  # fmt: skip


def percentiles(values: Array) -> Percentiles:
    """The 50th, 95th and 99th percentile."""
    p50, p95, p99 = (float(v) for v in np.percentile(values, (50, 95, 99)))
    return Percentiles(p50=p50, p95=p95, p99=p99)

"""The activations of float recurrent layers: RNN, LSTM and GRU name theirs. Source: ONNX RNN-22."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.errors import ShapeError, UnsupportedError
from edgewright.ir import Array
from edgewright.ops.core import ParamValue

Activation = tuple[str, float, float]  # name, alpha, beta


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


@dataclass(frozen=True)
class _Rule:
    """An activation: f(x, alpha, beta), and the defaults of the constants that it has; NaN where they have to
    be given, since ONNX names none, or ONNX Runtime has another.
    """

    formula: Callable[[Any, Any, Any], Any]
    alpha: float | None = None
    beta: float | None = None


# In the order of ew_recurrent_activation.
_RULES: Mapping[str, _Rule] = {
    "Sigmoid": _Rule(lambda x, a, b: _sigmoid(x)),
    "Tanh": _Rule(lambda x, a, b: np.tanh(x)),
    "Relu": _Rule(lambda x, a, b: np.maximum(x, 0)),
    "Affine": _Rule(lambda x, a, b: a * x + b, math.nan, math.nan),
    "LeakyRelu": _Rule(lambda x, a, b: np.where(x < 0, a * x, x), 0.01),
    "ThresholdedRelu": _Rule(lambda x, a, b: np.where(x >= a, x, 0), math.nan),
    "ScaledTanh": _Rule(lambda x, a, b: a * np.tanh(b * x), math.nan, math.nan),
    "HardSigmoid": _Rule(lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "Elu": _Rule(lambda x, a, b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x), 1.0),
    "Softsign": _Rule(lambda x, a, b: x / (1 + np.abs(x))),
    "Softplus": _Rule(lambda x, a, b: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
}
_NAMES = {name.lower(): name for name in _RULES}
_NUMBERS = {name: number for number, name in enumerate(_RULES)}


def defaults(names: Sequence[str]) -> tuple[Activation, ...]:
    """The activations with these names and the default constants."""
    return tuple((name, _RULES[name].alpha or 0.0, _RULES[name].beta or 0.0) for name in names)


def activate(x: Array, activation: Activation) -> Array:
    """Return f(x) in the type of x."""
    name, alpha, beta = activation
    with np.errstate(over="ignore"):
        return np.asarray(_RULES[name].formula(x, x.dtype.type(alpha), x.dtype.type(beta)), x.dtype)


def parse(attrs: Mapping[str, Any], wanted: Sequence[str]) -> tuple[Activation, ...]:
    """The activations of a foreign node, or the `wanted` ones where it names none.

    activation_alpha and activation_beta have a number for each activation that takes one, in order; more numbers could
    be meant by place. Raises: ShapeError, UnsupportedError.
    """
    given = [n.decode() if isinstance(n, bytes) else str(n) for n in attrs.get("activations", ())] or list(wanted)
    strange = [name for name in given if name.lower() not in _NAMES]
    if strange:
        raise UnsupportedError(f"activation {', '.join(strange)}")
    if len(given) != len(wanted):
        raise ShapeError(f"{len(given)} activations, {', '.join(given)}; there should be {len(wanted)}")
    names = [_NAMES[name.lower()] for name in given]
    alphas = _constants(names, list(attrs.get("activation_alpha", ())), "alpha")
    betas = _constants(names, list(attrs.get("activation_beta", ())), "beta")
    return tuple(zip(names, alphas, betas, strict=True))


def _constants(names: Sequence[str], values: Sequence[float], which: str) -> list[float]:
    """One number for each activation: the next of `values` where it takes one and there is one, else its default."""
    usual = [getattr(_RULES[name], which) for name in names]
    takers = [place for place, default in enumerate(usual) if default is not None]
    if len(values) > len(takers):
        raise UnsupportedError(
            f"activation_{which} with {len(values)} numbers, where {len(takers)} of {', '.join(names)} take one"
        )
    result = [float(default or 0) for default in usual]
    for place, value in zip(takers, values, strict=False):
        result[place] = float(value)
    for name, value in zip(names, result, strict=True):
        if not math.isfinite(value):
            raise UnsupportedError(f"activation {name} with activation_{which} {value}, or none")
    return result


def as_attributes(activations: Sequence[Activation]) -> dict[str, Any]:
    """The attributes of ONNX that name these activations: what `parse` reads."""
    chosen = [(_RULES[name], alpha, beta) for name, alpha, beta in activations]
    lists = {
        "activation_alpha": [alpha for rule, alpha, _ in chosen if rule.alpha is not None],
        "activation_beta": [beta for rule, _, beta in chosen if rule.beta is not None],
    }
    return {"activations": [name for name, _, _ in activations], **{key: v for key, v in lists.items() if v}}


def activation_params(activations: Sequence[Activation], directions: int) -> dict[str, ParamValue]:
    """The kernels' parameters: three activations a direction, the second three unused where they are the first."""
    each = len(activations) // directions
    sets = [activations[i * each : (i + 1) * each] for i in range(directions)]
    mixed = directions == 2 and sets[0] != sets[1]
    rows = [(_NUMBERS[name], alpha, beta) for chosen in (sets[0], sets[-1]) for name, alpha, beta in _filled(chosen)]
    numbers, alphas, betas = zip(*rows, strict=True)
    return {"second_set": 3 if mixed else 0, "activations": numbers, "alphas": alphas, "betas": betas}


def _filled(chosen: Sequence[Activation]) -> list[Activation]:
    return [*chosen, *defaults(["Sigmoid"] * (3 - len(chosen)))]

"""RNN, LSTM and GRU from ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Shape
from edgewright.ops.core import Case, Fixed, cases, from_onnx, given, weights
from edgewright.ops.recurrent import DIRECTIONS, float_rule
from edgewright.ops.recurrent_activations import defaults, parse


def _attributes(foreign: Any) -> dict[str, Any]:
    """The attributes that all layers have."""
    direction, layout = foreign.attrs.get("direction", "forward"), int(foreign.attrs.get("layout", 0))
    if direction not in DIRECTIONS:
        raise ShapeError(f"direction '{direction}' is none of {', '.join(DIRECTIONS)}")
    if layout not in (0, 1):
        raise ShapeError(f"layout {layout}")
    names = float_rule(foreign.op_type).default_activations * (2 if direction == "bidirectional" else 1)
    activations = parse(foreign.attrs, names)
    hidden = foreign.tensor(2).shape[-1]
    if foreign.attrs.get("hidden_size", hidden) != hidden:
        raise ShapeError(f"hidden_size {foreign.attrs['hidden_size']} and R {list(foreign.tensor(2).shape)} do not fit")
    clip = float(foreign.attrs.get("clip", math.inf))
    if not clip > 0:
        raise ShapeError(f"clip {clip} is not a positive number")
    own = {} if activations == defaults(names) else {"activations": activations}
    return {"direction": direction, "layout": layout, "clip": clip, **own}


def _inputs(foreign: Any, *optional: int) -> list[str]:
    """X, W, R, B, those at `optional`, and the sequences' lengths, where they are not all steps."""
    names = [foreign.tensor(i).name if foreign.has(i) else "" for i in (0, 1, 2, 3, *optional)]
    names.append(_lengths(foreign))
    while not names[-1]:
        names.pop()
    return names


def _lengths(foreign: Any) -> str:
    if not foreign.has(4):
        return ""
    x, lengths = foreign.tensor(0), foreign.tensor(4)
    layout = int(foreign.attrs.get("layout", 0))
    if len(x.shape) != 3 or lengths.data is None:
        return str(lengths.name)
    steps = x.shape[layout]
    if lengths.dtype is not DType.S32 or lengths.data.min() < 0 or lengths.data.max() > steps:
        raise ShapeError(f"sequence_lens {lengths.data.reshape(-1).tolist()}, of {steps} steps")
    return "" if (lengths.data == steps).all() else str(lengths.name)


@from_onnx("RNN")
def _rnn(foreign: Any) -> None:
    foreign.emit_all("RNN", _inputs(foreign, 5), **_attributes(foreign))


@from_onnx("LSTM")
def _lstm(foreign: Any) -> None:
    coupled = bool(foreign.attrs.get("input_forget", 0))
    foreign.emit_all("LSTM", _inputs(foreign, 5, 6, 7), input_forget=coupled, **_attributes(foreign))


@from_onnx("GRU")
def _gru(foreign: Any) -> None:
    linear = bool(foreign.attrs.get("linear_before_reset", 0))
    foreign.emit_all("GRU", _inputs(foreign, 5), linear_before_reset=linear, **_attributes(foreign))


def _case(
    op: str, name: str, gates: int, *, steps: int = 5, batch: int = 1, x: int = 3, hidden: int = 4, d: int = 1,
    bias: bool = True, states: Sequence[Any] = (), lengths: Any = None, outputs: int = 1, opset: int = 17,
    slow: bool = False, **attrs: Any,
) -> Case:  # fmt: skip
    """A node with seeded weights; `states` are inputs 5 and on, as functions of the state's shape."""
    layout = attrs.get("layout", 0)
    w, r = weights(d, gates * hidden, x), weights(d, gates * hidden, hidden, seed=2)
    b = weights(d, 2 * gates * hidden, seed=3) if bias else None
    state = (d, batch, hidden) if layout == 0 else (batch, d, hidden)
    data = given(steps, batch, x) if layout == 0 else given(batch, steps, x)
    inputs = (data, w, r, b, lengths, *(make(state) for make in states))
    return Case(
        op, name, inputs if states or lengths is not None else inputs[:4], {"hidden_size": hidden, **attrs},
        opset=opset, outputs=outputs, slow=slow,
    )  # fmt: skip


def _given(shape: Shape) -> Shape:
    return given(*shape)


def _none(shape: Shape) -> None:
    return None


def _fixed(seed: int) -> Callable[[Shape], Array]:
    return lambda shape: weights(*shape, seed=seed)


def _peepholes(shape: Shape) -> Array:
    return weights(shape[0], 3 * shape[2], seed=6)


_BOTH: dict[str, Any] = {"d": 2, "direction": "bidirectional"}
_SHORT: dict[str, Any] = {"activations": ["Sigmoid", "Tanh"]}
_LENGTHS = np.array([5, 0, 3], np.int32)

cases(
    _case("LSTM", "plain", 4),
    _case("LSTM", "outputs", 4, outputs=3),
    _case("LSTM", "no_bias", 4, bias=False, opset=7),
    _case("LSTM", "batch", 4, batch=3, hidden=5, outputs=3),
    _case("LSTM", "reverse", 4, direction="reverse", outputs=3),
    _case("LSTM", "bidirectional", 4, batch=2, outputs=3, **_BOTH),
    _case("LSTM", "initial", 4, states=(_given, _fixed(5)), outputs=3),
    _case("LSTM", "initial_c", 4, states=(_none, _given), outputs=3, opset=14),
    _case("LSTM", "peepholes", 4, batch=2, states=(_fixed(4), _fixed(5), _peepholes), outputs=3),
    _case("LSTM", "clip", 4, clip=0.25, outputs=3),
    _case("LSTM", "input_forget", 4, input_forget=1, outputs=3),
    _case("LSTM", "layout", 4, batch=2, layout=1, outputs=3, hidden=8),
    _case("LSTM", "one_unit", 4, steps=1, x=1, hidden=1, outputs=3),
    _case("LSTM", "activations", 4, activations=["Sigmoid", "Tanh", "Tanh"]),
    _case("GRU", "plain", 3),
    _case("GRU", "outputs", 3, outputs=2, opset=7),
    _case("GRU", "linear_before_reset", 3, linear_before_reset=1, outputs=2),
    _case("GRU", "no_bias", 3, bias=False, linear_before_reset=1),
    _case("GRU", "bidirectional", 3, batch=2, hidden=5, linear_before_reset=1, outputs=2, **_BOTH),
    _case("GRU", "reverse", 3, direction="reverse", states=(_given,), outputs=2, opset=14),
    _case("GRU", "clip", 3, clip=0.25, outputs=2, **_SHORT),
    _case("GRU", "layout", 3, batch=2, layout=1, states=(_given,), outputs=2, hidden=8),
    _case("LSTM", "lengths", 4, batch=3, lengths=Fixed(_LENGTHS), states=(_fixed(4), _fixed(5)), outputs=3, **_BOTH),
    _case("LSTM", "own_activations", 4, activations=["HardSigmoid", "ScaledTanh", "Softsign"], outputs=3,
          activation_alpha=[0.3, 1.5], activation_beta=[0.4, 0.7], slow=True),
    _case("GRU", "lengths", 3, batch=3, lengths=_LENGTHS, direction="reverse", outputs=2, slow=True),
    _case("GRU", "own_activations", 3, outputs=2, activations=["HardSigmoid", "Elu", "Sigmoid", "LeakyRelu"],
          activation_alpha=[0.3, 0.6, 0.1], activation_beta=[0.4], **_BOTH, slow=True),
    _case("RNN", "plain", 1, slow=True),
    _case("RNN", "both", 1, batch=3, outputs=2, states=(_fixed(4),), lengths=_LENGTHS,
          activations=["Relu", "Affine"], activation_alpha=[0.3], activation_beta=[0.2], clip=0.75, **_BOTH),
    _case("RNN", "reverse", 1, direction="reverse", bias=False, states=(_given,), outputs=2, opset=7, slow=True),
    _case("RNN", "layout", 1, batch=2, layout=1, outputs=2, hidden=9, slow=True),
    _case("RNN", "thresholdedrelu", 1, activations=["ThresholdedRelu"], activation_alpha=[0.25], slow=True),
    *(_case("RNN", name.lower(), 1, activations=[name], slow=True)
      for name in ("Softplus", "Softsign", "HardSigmoid", "Elu", "Sigmoid")),
)  # fmt: skip

"""One case becomes C: import, with inputs bound where an operator needs a constant, plan, emit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx

from edgewright import pipeline
from edgewright.boards import Target, load_target
from edgewright.conformance.cases import SuiteCase
from edgewright.errors import EdgewrightError, InternalError, NeedsConstantError
from edgewright.frontends.onnx import Model, import_onnx
from edgewright.frontends.onnx_bind import bind_inputs
from edgewright.native import NativeModel, native_model

HOST = "host"
_NO_FILE = "0" * 64  # stands for the hash of a model file


@dataclass(frozen=True, eq=False)
class Lowered:
    """A model's C, and which of its inputs became constants."""

    native: NativeModel
    bound: tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """Why a model was refused; `needed` are inputs whose values would help."""

    reason: str
    bound: tuple[str, ...] = ()
    needed: frozenset[str] = frozenset()


def lower_case(case: SuiteCase, target: str = HOST) -> Lowered | Refusal:
    """Generate C for a case. Raises: InternalError, which is not a refusal."""
    proto = onnx.load_model_from_string(case.model)
    prefix = f"case_{hashlib.sha256(case.name.encode()).hexdigest()[:12]}"
    return lower_model(proto, case.values, prefix, target)


def lower_model(
    proto: onnx.ModelProto, values: Mapping[str, Any], prefix: str, target: str = HOST
) -> Lowered | Refusal:
    """Generate C for a model, with `values` of its inputs where it cannot do without; no input needs to have one."""
    bound: dict[str, Any] = {}
    while True:
        try:
            model = _imported(bind_inputs(proto, bound), values, bound, prefix)
            board = _board(target)
            settings = pipeline.Settings(weights="c", trace=False)
            tree = pipeline.generate(model, pipeline.plan(model, board), board, settings)
            return Lowered(native_model(tree), tuple(bound))
        except NeedsConstantError as error:
            needed = error.values - set(bound)
            known = {name: values[name] for name in sorted(needed) if _is_tensor(values.get(name))}
            if not known:
                return Refusal(str(error), tuple(bound), frozenset(needed))
            bound.update(known)
        except InternalError:
            raise
        except EdgewrightError as error:
            return Refusal(str(error), tuple(bound))


def _imported(proto: onnx.ModelProto, values: Mapping[str, Any], bound: Mapping[str, Any], prefix: str) -> Model:
    """Import with the values' shapes where the model leaves dimensions open."""
    pins = {
        value.name: np.shape(values[value.name])
        for value in proto.graph.input
        if value.name not in bound and _is_tensor(values.get(value.name)) and is_open(value)
    }
    return import_onnx(proto, prefix, _NO_FILE, pins)


def is_open(value: onnx.ValueInfoProto) -> bool:
    """Whether a tensor's shape is not static."""
    kind = value.type.tensor_type
    return value.type.HasField("tensor_type") and (
        not kind.HasField("shape") or any(not d.HasField("dim_value") for d in kind.shape.dim)
    )


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic)


@cache
def _board(name: str) -> Target:
    return load_target(name)

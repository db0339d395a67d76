"""The cases of the installed onnx package: a model, inputs, and the outputs the standard says it has."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper

from edgewright.frontends.onnx_bind import graph_inputs

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
SEED = 20240607  # many node cases draw their inputs from numpy's global generator as they are made
_EXPANDED = re.compile(r"_expanded(_ver\d+)?$")


@dataclass(frozen=True, eq=False)
class SuiteCase:
    """One case of the suite; values that are no tensors (sequences, optionals) are as onnx gives them."""

    name: str  # kind/test_name
    operator: str  # that the case is about; the kind, for those that are about a network
    model: bytes  # serialized
    values: Mapping[str, Any]  # of the inputs
    outputs: tuple[Any, ...]
    rtol: float
    atol: float

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return self.name.partition("/")[0]


def collect(pattern: str = "*") -> list[SuiteCase]:
    """Return the cases whose name, with or without its kind, matches; sorted by name."""
    found = [case for case in (*_node_cases(), *_stored_cases()) if _matches(case.name, pattern)]
    return sorted(found, key=lambda case: case.name)


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.partition("/")[2], pattern)


def _node_cases() -> Iterator[SuiteCase]:
    import onnx.backend.test.case.node

    state = np.random.get_state()
    np.random.seed(SEED)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, from making the expected outputs
            made = onnx.backend.test.case.node.collect_testcases(None)
    finally:
        np.random.set_state(state)
    operators = {test.name: _operator(test.model) for test in made}
    for test in made:
        inputs, outputs = test.data_sets[0]
        whole = _EXPANDED.sub("", test.name)
        operator = operators.get(whole, operators[test.name])
        yield SuiteCase(
            f"node/{test.name}", operator, test.model.SerializeToString(deterministic=True),
            _named(test.model, inputs), tuple(map(_value, outputs)), test.rtol, test.atol,
        )  # fmt: skip


def _operator(model: onnx.ModelProto) -> str:
    node = model.graph.node[0]
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)


def _named(model: onnx.ModelProto, inputs: Sequence[Any]) -> dict[str, Any]:
    return {value.name: _value(x) for value, x in zip(graph_inputs(model), inputs, strict=False)}


def _value(value: Any) -> Any:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _stored_cases() -> Iterator[SuiteCase]:
    from onnx.backend.test.loader import load_model_tests

    for kind in KINDS[1:]:
        for test in load_model_tests(kind=kind):
            folder = Path(test.model_dir)
            raw = (folder / "model.onnx").read_bytes()
            model = onnx.load_model_from_string(raw)
            data = folder / "test_data_set_0"
            inputs = _stored(data, "input", graph_inputs(model))
            outputs = _stored(data, "output", model.graph.output)
            values = _named(model, inputs)
            yield SuiteCase(f"{kind}/{test.name}", kind, raw, values, outputs, test.rtol, test.atol)


def _stored(folder: Path, side: str, infos: Sequence[onnx.ValueInfoProto]) -> tuple[Any, ...]:
    """Read a data set's files; those that are no tensors are None."""
    values: list[Any] = []
    for index, info in enumerate(infos):
        path = folder / f"{side}_{index}.pb"
        if not path.is_file() or not info.type.HasField("tensor_type"):
            values.append(None)
            continue
        tensor = onnx.TensorProto()
        tensor.ParseFromString(path.read_bytes())
        values.append(onnx.numpy_helper.to_array(tensor))
    return tuple(values)

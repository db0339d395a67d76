"""Networks for tests: one ONNX node from a `Case`, small hand-made graphs, and seeded random ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.frontends.onnx import Model, import_onnx
from edgewright.frontends.reference import run_reference
from edgewright.ops import CASES, Case, Fixed
from edgewright.ops.capped import capped_shapes

SEED = 20260101
NOT_BY_ORT = {"LRN-even", "OneHot-axis", "OneHot-floats"}  # cases of types and sizes that ONNX Runtime does not have


def case_id(case: Case) -> str:
    return f"{case.op_type}-{case.name}"


def all_cases() -> list[Case]:
    return sorted(CASES, key=case_id)


def case_model(case: Case) -> onnx.ModelProto:
    """The ONNX model of one node, its constants as initializers."""
    elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(case.dtype))
    names, inputs, initializers = [], [], []
    for index, item in enumerate(case.inputs):
        name = f"in{index}" if item is not None else ""
        names.append(name)
        if isinstance(item, tuple):
            own = case.dtypes.get(index)
            number = helper.np_dtype_to_tensor_dtype(np.dtype(own)) if own else elem_type
            inputs.append(helper.make_tensor_value_info(name, number, item))
        elif isinstance(item, Fixed):
            fixed_type = helper.np_dtype_to_tensor_dtype(item.values.dtype)
            inputs.append(helper.make_tensor_value_info(name, fixed_type, item.values.shape))
        elif item is not None:
            initializers.append(numpy_helper.from_array(np.asarray(item), name))
    attrs = {key: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for key, v in case.attrs.items()}
    if case.op_type in ("Cast", "BitCast"):
        attrs["to"] = helper.np_dtype_to_tensor_dtype(np.dtype(attrs["to"]))
    outputs = [f"out{i}" for i in range(case.outputs)]
    domain, _, op_type = case.op_type.rpartition(".")
    nodes = [helper.make_node(op_type, names, outputs, name="node", domain=domain, **attrs)]
    if not inputs:  # nothing but constants: a model has an input
        inputs, outputs = [value("other", [2])], [*outputs, "same"]
        nodes.append(helper.make_node("Identity", ["other"], ["same"], name="identity"))
    model = make_model(nodes, inputs, outputs, initializers, case.opset)
    known = all(output.type.tensor_type.HasField("shape") for output in model.graph.output)
    if not known or domain == "ai.onnx.ml":  # which onnx cannot infer
        graph = imported(model).graph
        tensors = [graph.tensors[name] for name in graph.outputs]
        types = [helper.np_dtype_to_tensor_dtype(t.dtype.numpy) for t in tensors]
        del model.graph.output[:]
        model.graph.output.extend(value(o, t.shape, e) for o, t, e in zip(outputs, tensors, types, strict=True))
    return model


def make_model(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[str],
    initializers: Sequence[onnx.TensorProto] = (), opset: int = 17, output_shape: Sequence[int] | None = None,
) -> onnx.ModelProto:  # fmt: skip
    graph = helper.make_graph(nodes, "net", inputs, [], list(initializers))
    domains = {n.domain: 5 if n.op_type == "TreeEnsemble" else 3 if n.domain == "ai.onnx.ml" else 1 for n in nodes}
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in domains.items() if d)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if output_shape is not None:
        model.graph.output.extend(value(output, output_shape) for output in outputs)
        return model
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
        known = {value.name: value for value in inferred.graph.value_info}
    except onnx.shape_inference.InferenceError:
        known = {}
    known.update({value.name: value for value in inputs})
    for output in outputs:
        model.graph.output.append(known.get(output, helper.make_empty_tensor_value_info(output)))
    if any(not value.type.HasField("tensor_type") for value in model.graph.output):
        result = onnx.shape_inference.infer_shapes(model)
        del model.graph.output[:]
        model.graph.output.extend(result.graph.output)
    for output in model.graph.output:
        if not output.type.tensor_type.elem_type:  # operators that onnx knows no types of: those of their input
            output.type.tensor_type.elem_type = inputs[0].type.tensor_type.elem_type
    return model


def value(name: str, shape: Sequence[int | str], elem_type: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, elem_type, list(shape))


def constant(name: str, array: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def imported(proto: onnx.ModelProto, name: str = "net", **pins: Sequence[int]) -> Model:
    return import_onnx(onnx.load_model_from_string(proto.SerializeToString()), name, "0" * 64, pins)


def random_inputs(
    model: Model, samples: int = 1, seed: int = SEED, positive: bool = False,
    between: tuple[float, float] | None = None, special: bool = False,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Shapes: (samples, *the input's own shape). The last three as a `Case` has them."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for name in model.graph.inputs:
        tensor = model.graph.tensors[name]
        shape = (samples, *tensor.shape)
        if tensor.dtype.value == "bool":
            inputs[name] = rng.integers(0, 2, shape).astype(bool)
        elif tensor.dtype.is_integer:
            low, high = (int(end) for end in between or (tensor.dtype.range if tensor.dtype.bits < 8 else (0, 99)))
            inputs[name] = rng.integers(low, high + 1, shape).astype(tensor.dtype.numpy)
        else:
            numbers = (rng.uniform(*between, shape) if between else rng.standard_normal(shape)).astype(np.float32)
            if special:
                odd = rng.choice(np.array([np.inf, -np.inf, np.nan], np.float32), shape)
                numbers = np.where(rng.random(shape) < 0.2, odd, numbers)
            inputs[name] = (np.abs(numbers) if positive else numbers).astype(tensor.dtype.numpy)
    return inputs


def fixed_inputs(case: Case, samples: int = 1) -> dict[str, np.ndarray]:
    """What the case fixes. Shapes: (samples, *the input's own shape)."""
    items = [(f"in{index}", item) for index, item in enumerate(case.inputs)]
    return {name: np.stack([item.values] * samples) for name, item in items if isinstance(item, Fixed)}


def case_inputs(case: Case, model: Model, samples: int = 1) -> dict[str, np.ndarray]:
    """Seeded numbers, and what the case fixes. Shapes: (samples, *the input's own shape)."""
    numbers = random_inputs(model, samples, positive=case.positive, between=case.between, special=case.special)
    return {**numbers, **fixed_inputs(case, samples)}


def case_params() -> list[Any]:
    """All cases for `parametrize`; the slow ones are marked."""
    return _marked({case_id(case) for case in all_cases() if case.slow})


def compiled_case_params() -> list[Any]:
    """The same where each costs a compilation: all are slow but the first of every third operator."""
    slow, seen = set(), Counter[str]()
    for case in all_cases():
        seen[case.op_type] += not case.slow
        if case.slow or seen[case.op_type] > 1 or len(seen) % 3:
            slow.add(case_id(case))
    return _marked(slow)


def _marked(slow: Collection[str]) -> list[Any]:
    cases = [(case, case_id(case)) for case in all_cases()]
    return [pytest.param(case, marks=[pytest.mark.slow] if name in slow else [], id=name) for case, name in cases]


def expected(model: Model, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs by the reference, in order. Shapes: (samples, *shape)."""
    return list(run_reference(model.serialized, inputs, capped=capped_shapes(model.graph)).outputs)


def random_network(seed: int) -> onnx.ModelProto:
    """A small image network with residuals, concatenations, odd sizes and strides."""
    rng = np.random.default_rng(seed)
    nodes, constants = [], []
    channels, size = int(rng.integers(1, 6)), [int(rng.integers(7, 13)), int(rng.integers(7, 13))]
    inputs = [value("x", [1, channels, *size])]
    current, shape = "x", [channels, *size]

    def weight(*dims: int) -> str:
        name = f"w{len(constants)}"
        constants.append(constant(name, rng.standard_normal(dims).astype(np.float32) * 0.3))
        return name

    def add(op: str, operands: list[str], **attrs: Any) -> str:
        name = f"t{len(nodes)}"
        nodes.append(helper.make_node(op, operands, [name], name=f"n{len(nodes)}", **attrs))
        return name

    for _ in range(int(rng.integers(3, 8))):
        kind = rng.choice(["conv", "depthwise", "relu", "pool", "residual", "concat", "norm", "scale", "swish"])
        c, h, w = shape
        if kind == "conv":
            out, k, s = int(rng.integers(1, 9)), int(rng.choice([1, 2, 3])), int(rng.choice([1, 1, 2]))
            pad = int(rng.integers(0, k))
            if min(h, w) + 2 * pad < k:
                continue
            current = add("Conv", [current, weight(out, c, k, k), weight(out)], strides=[s, s], pads=[pad] * 4)
            shape = [out, *((n + 2 * pad - k) // s + 1 for n in (h, w))]
        elif kind == "depthwise" and min(h, w) >= 2:
            current = add("Conv", [current, weight(c, 1, 3, 3)], group=c, pads=[1, 1, 1, 1])
        elif kind == "relu":
            current = add("Relu", [current])
        elif kind == "pool" and min(h, w) >= 3:
            op = str(rng.choice(["MaxPool", "AveragePool"]))
            current = add(op, [current], kernel_shape=[2, 2], strides=[2, 2])
            shape = [c, h // 2, w // 2]
        elif kind == "residual":
            branch = add("Conv", [current, weight(c, c, 3, 3)], pads=[1, 1, 1, 1])
            current = add("Add", [current, branch])
        elif kind == "concat" and c < 12:
            branch = add("Conv", [current, weight(2, c, 1, 1)])
            current = add("Concat", [current, branch], axis=1)
            shape = [c + 2, h, w]
        elif kind == "norm":
            spread = f"w{len(constants)}"
            constants.append(constant(spread, rng.uniform(0.5, 2, c).astype(np.float32)))
            current = add("BatchNormalization", [current, weight(c), weight(c), weight(c), spread])
        elif kind == "scale":
            current = add("Mul", [current, weight(c, 1, 1)])
        elif kind == "swish":
            current = add("Mul", [current, add("Sigmoid", [current])])
    flat = add("Flatten", [current])
    features = int(np.prod(shape))
    current = add("Gemm", [flat, weight(5, features), weight(5)], transB=1)
    return make_model(nodes, inputs, [add("Softmax", [current])], constants)

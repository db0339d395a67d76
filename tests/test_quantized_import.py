"""Quantized models that are odd or wrong: each is computed as ONNX Runtime does, or refused with one clear error."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from integer_networks import Builder, Value, integer_inputs
from networks import make_model
from onnx import TensorProto, helper, numpy_helper

from edgewright.errors import EdgewrightError, InternalError, QuantizationError, ShapeError
from edgewright.frontends.onnx import Model, import_onnx
from edgewright.kernels import Core
from edgewright.passes import run_passes
from edgewright.plan import make_plan
from edgewright.simulate import float_islands, output_steps, simulate

onnxruntime = pytest.importorskip("onnxruntime")
CORES = tuple(Core(frozenset(features)) for features in ((), ("fpu", "dsp"), ("fpu", "mve")))


def base() -> onnx.ModelProto:
    """int8: a convolution with Relu, a residual sum, swish with a DequantizeLinear for each reader, a dense layer."""
    b = Builder(3, "int8")
    port = helper.make_tensor_value_info("x", TensorProto.INT8, (1, 3, 5, 4))
    x = Value("x", (1, 3, 5, 4), 0.05, -7, "int8")

    def layer(x: Value, out: int, group: int = 1) -> Value:
        shape = (out, x.shape[1] // group, 3, 3)
        values, scales = b.rng.integers(-127, 128, shape).astype(np.int8), b.rng.uniform(0.002, 0.01, out)
        operands = [b.const(values), b.const(scales.astype(np.float32)), b.const(np.zeros(out, np.int8))]
        real = b.add("DequantizeLinear", operands, axis=0)
        inputs = [b.real(x), real, b.bias(x, scales, 9 * shape[1])]
        core = b.add("Conv", inputs, pads=[1, 1, 1, 1], kernel_shape=[3, 3], group=group)
        return b.quantized(core, (1, out, *x.shape[2:]), b.output_scale(x, scales, 9 * shape[1]), 5)

    first = layer(x, 6)
    second = layer(first, 6, group=6)
    total = b.quantized(b.add("Add", [b.real(first), b.real(second)]), first.shape, first.scale * 1.5, -3)
    gate = b.quantized(b.add("Sigmoid", [b.real(total)]), first.shape, 1 / 256, -128)
    swish = b.quantized(b.add("Mul", [b.real(total), b.real(gate)]), first.shape, total.scale, 0)
    matrix = b.rng.integers(-127, 128, (4, 120)).astype(np.int8)
    right = b.add("DequantizeLinear", [b.const(matrix), b.const(np.float32(0.01)), b.const(np.int8(0))])
    product = b.add("Gemm", [b.add("Flatten", [b.real(swish)]), right], transB=1)
    result = b.quantized(product, (1, 4), swish.scale * 4, 9)
    return make_model(b.nodes, [port], [result.name], b.constants, opset=17)


class Edit:
    """A copy of a model to change."""

    def __init__(self, proto: onnx.ModelProto | None = None) -> None:
        self.proto = copy.deepcopy(proto or base())
        self.nodes = self.proto.graph.node

    def value(self, name: str) -> np.ndarray | None:
        found = [numpy_helper.to_array(i) for i in self.proto.graph.initializer if i.name == name]
        return found[0] if found else None

    def const(self, array: Any) -> str:
        name = f"changed{len(self.proto.graph.initializer)}"
        if isinstance(array, onnx.TensorProto):
            array.name = name
        tensor = array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(np.asarray(array), name)
        self.proto.graph.initializer.append(tensor)
        return name

    def of(self, op: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if node.op_type == op]

    def weights(self) -> onnx.NodeProto:
        """The DequantizeLinear of the first convolution's weights."""
        return next(n for n in self.of("DequantizeLinear") if n.output[0] == self.of("Conv")[0].input[1])

    def bias(self) -> onnx.NodeProto:
        return next(n for n in self.of("DequantizeLinear") if n.output[0] == self.of("Conv")[0].input[2])

    def set(self, node: onnx.NodeProto, index: int, array: Any) -> None:
        node.input[index] = self.const(array)

    def attribute(self, node: onnx.NodeProto, name: str, value: Any) -> None:
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    def insert(self, before: onnx.NodeProto, op: str, inputs: Sequence[str], output: str, **attrs: Any) -> None:
        place = next(i for i, node in enumerate(self.nodes) if node is before)
        self.nodes.insert(place, helper.make_node(op, inputs, [output], name=f"new_{output}", **attrs))

    def drop(self, node: onnx.NodeProto) -> None:
        """Readers read what the node read."""
        for reader in self.nodes:
            for index, name in enumerate(reader.input):
                if name == node.output[0]:
                    reader.input[index] = node.input[0]
        self.nodes.remove(node)


def checked(proto: onnx.ModelProto, exact: bool = False) -> Model:
    """Import, lower, plan for every core; then compare with ONNX Runtime's float execution of the same nodes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        loaded = onnx.load_model_from_string(proto.SerializeToString())
        model = import_onnx(loaded, "net", "0" * 64, {})
        graph = run_passes(model.graph)
        for core in (None, *CORES):
            make_plan(graph, core)
        inputs = integer_inputs(model, 3, 1)
        mine = simulate(graph, inputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.serialized, options, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {name: values[i] for name, values in inputs.items()}) for i in range(3)]
    for index, (got, step) in enumerate(zip(mine, output_steps(graph), strict=True)):
        wanted = np.stack([row[index] for row in rows])
        assert got.dtype == wanted.dtype
        steps = np.abs(got.astype(np.float64) - wanted) / (step or 1e-4 * max(float(np.abs(wanted).max()), 1.0))
        assert steps.max() < (0.5 if exact else 3.5), f"output {index}: up to {steps.max():.1f} steps"
        assert np.mean(steps > 1.5) < 0.05
    return model


# ---- computed


def bias_with_another_scale(e: Edit) -> None:
    scale = e.value(e.bias().input[1])
    assert scale is not None
    e.set(e.bias(), 1, (scale * 1.7).astype(np.float32))


def bias_with_zero_points(e: Edit) -> None:
    e.set(e.bias(), 2, np.arange(-300, 300, 100, np.int32))


def bias_of_eight_bits(e: Edit) -> None:
    node = e.bias()
    e.set(node, 0, np.arange(6, dtype=np.int8))
    e.set(node, 1, np.float32(0.2))
    e.set(node, 2, np.int8(2))


def bias_in_floats(e: Edit) -> None:
    values, scale = e.value(e.bias().input[0]), e.value(e.bias().input[1])
    assert values is not None
    e.of("Conv")[0].input[2] = e.const((values * scale).astype(np.float32))


def bias_far_below_a_step(e: Edit) -> None:
    """A step of the accumulator is many of the output: the bias would be lost in integers, so the layer stays float."""
    conv = e.of("Conv")[0]
    e.set(e.weights(), 1, np.full(6, 50, np.float32))
    conv.input[2] = e.const(np.linspace(1, 3, 6).astype(np.float32))


def weights_with_zero_points(e: Edit) -> None:
    e.set(e.weights(), 2, np.array([-128, 127, 3, -4, 0, 100], np.int8))


def weights_without_zero_points(e: Edit) -> None:
    del e.weights().input[2:]


def weights_of_uint8(e: Edit) -> None:
    values = e.value(e.weights().input[0])
    assert values is not None
    e.set(e.weights(), 0, (values.astype(np.int32) + 128).astype(np.uint8))
    e.set(e.weights(), 2, np.full(6, 128, np.uint8))


def weights_along_their_inputs(e: Edit) -> None:
    """Scales along another axis than the output channels': no integer layer has them."""
    e.set(e.weights(), 1, np.array([0.01, 0.02, 0.005], np.float32))
    e.set(e.weights(), 2, np.zeros(3, np.int8))
    e.attribute(e.weights(), "axis", 1)


def weights_quantized_from_floats(e: Edit) -> None:
    node = e.weights()
    real = np.random.default_rng(1).standard_normal((6, 3, 3, 3)).astype(np.float32)
    e.insert(node, "QuantizeLinear", [e.const(real), *node.input[1:]], "quantized_weights", axis=0)
    node.input[0] = "quantized_weights"


def weights_at_run_time(e: Edit) -> None:
    e.proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.INT8, (6, 3, 3, 3)))
    e.weights().input[0] = "w"


def a_weight_read_along_both_axes(e: Edit) -> None:
    """Gemm wants scales by row, MatMul by column; each reads the weights once as it likes them, once the other way."""
    e.proto.graph.input.append(helper.make_tensor_value_info("m", TensorProto.INT8, (2, 6)))
    weights = e.const(np.random.default_rng(2).integers(-100, 100, (6, 6)).astype(np.int8))
    scale, zero = e.const(np.float32(0.05)), e.const(np.int8(3))
    scales, zeros = e.const(np.linspace(0.01, 0.06, 6).astype(np.float32)), e.const(np.zeros(6, np.int8))
    e.nodes.append(helper.make_node("DequantizeLinear", ["m", scale, zero], ["m_real"]))
    for axis in (0, 1):
        e.nodes.append(helper.make_node("DequantizeLinear", [weights, scales, zeros], [f"w{axis}"], axis=axis))
        for op in ("Gemm", "MatMul"):
            name = f"{op}{axis}"
            attrs = {"transB": 1} if op == "Gemm" else {}
            e.nodes.append(helper.make_node(op, ["m_real", f"w{axis}"], [name], **attrs))
            e.nodes.append(helper.make_node("QuantizeLinear", [name, e.const(np.float32(0.9)), zero], [f"{name}_q"]))
            e.proto.graph.output.append(helper.make_tensor_value_info(f"{name}_q", TensorProto.INT8, (2, 6)))


def activation_with_a_scale_for_each_channel(e: Edit) -> None:
    node = e.of("QuantizeLinear")[0]
    e.set(node, 1, np.linspace(0.5, 1.5, 6).astype(np.float32))
    e.set(node, 2, np.full(6, 5, np.int8))
    for reader in [n for n in e.of("DequantizeLinear") if n.input[0] == node.output[0]]:
        e.set(reader, 1, np.linspace(0.5, 1.5, 6).astype(np.float32))
        e.set(reader, 2, np.full(6, 5, np.int8))


def one_dequantize_for_all_readers(e: Edit) -> None:
    seen: dict[str, onnx.NodeProto] = {}
    for node in list(e.of("DequantizeLinear")):
        first = seen.setdefault(node.input[0], node)
        if first is not node:
            for reader in e.nodes:
                for index, name in enumerate(reader.input):
                    if name == node.output[0]:
                        reader.input[index] = first.output[0]
            e.nodes.remove(node)


def a_function_of_two_dequantizes(e: Edit) -> None:
    """x * x with a DequantizeLinear for each operand, quantized: one table."""
    q = e.of("QuantizeLinear")[0]
    twins = [n for n in e.of("DequantizeLinear") if n.input[0] == q.output[0]]
    e.nodes.append(helper.make_node("Mul", [n.output[0] for n in twins], ["square"]))
    operands = ["square", e.const(np.float32(20)), e.const(np.int8(-128))]
    e.nodes.append(helper.make_node("QuantizeLinear", operands, ["square_q"]))
    e.proto.graph.output.append(helper.make_tensor_value_info("square_q", TensorProto.INT8, (1, 6, 5, 4)))


def rescaled_on_the_way(e: Edit) -> None:
    """Dequantize, quantize to uint8 with another scale, dequantize."""
    node = next(n for n in e.of("DequantizeLinear") if n.input[0] == e.of("QuantizeLinear")[0].output[0])
    result, node.output[0] = node.output[0], "before"
    after = e.nodes[next(i for i, n in enumerate(e.nodes) if n is node) + 1]
    scale, zero = e.const(np.float32(0.9)), e.const(np.uint8(100))
    e.insert(after, "QuantizeLinear", ["before", scale, zero], "between")
    e.insert(after, "DequantizeLinear", ["between", scale, zero], result)


def outputs_inside(e: Edit) -> None:
    """Integers, and the real numbers of the same tensor, are outputs besides."""
    q = e.of("QuantizeLinear")[1]
    dq = next(n for n in e.of("DequantizeLinear") if n.input[0] == q.output[0])
    for name, kind in ((q.output[0], TensorProto.INT8), (dq.output[0], TensorProto.FLOAT)):
        e.proto.graph.output.append(helper.make_tensor_value_info(name, kind, (1, 6, 5, 4)))


def a_weight_is_an_output(e: Edit) -> None:
    shape = (6, 3, 3, 3)
    e.proto.graph.output.append(helper.make_tensor_value_info(e.weights().output[0], TensorProto.FLOAT, shape))


def quantized_to_uint8_by_default(e: Edit) -> None:
    node = e.of("QuantizeLinear")[-1]
    del node.input[2:]
    e.proto.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8


def scale_of_one_element(e: Edit) -> None:
    node = e.of("QuantizeLinear")[0]
    scale, zero = e.value(node.input[1]), e.value(node.input[2])
    assert scale is not None and zero is not None
    e.set(node, 1, scale.reshape(1))
    e.set(node, 2, zero.reshape(1))


def scale_that_is_computed(e: Edit) -> None:
    node = e.of("QuantizeLinear")[0]
    e.insert(e.nodes[0], "Mul", [node.input[1], e.const(np.float32(1.25))], "computed")
    node.input[1] = "computed"


def pad_with_infinity(e: Edit) -> None:
    """Padding that has no integer: the convolution behind it is float."""
    conv = e.of("Conv")[0]
    pads = e.const(np.array([0] * 7 + [1], np.int64))
    e.insert(conv, "Pad", [conv.input[0], pads, e.const(np.float32(np.inf))], "padded")
    cut = [e.const(np.array([value])) for value in (0, 4, 3)]
    e.insert(conv, "Slice", ["padded", *cut], "unpadded")
    conv.input[0] = "unpadded"


def a_tiny_scale_for_a_filter_of_zeros(e: Edit) -> None:
    weights, scale = e.value(e.weights().input[0]), e.value(e.weights().input[1])
    assert weights is not None and scale is not None
    weights, scale = weights.copy(), scale.copy()
    weights[2], scale[2] = 0, 1e-7
    e.set(e.weights(), 0, weights)
    e.set(e.weights(), 1, scale)
    e.of("Conv")[0].input[2] = ""


def clip_without_bounds(e: Edit) -> None:
    q = e.of("QuantizeLinear")[0]
    bounds = [e.const(np.float32(value)) for value in (-np.inf, np.inf)]
    e.insert(q, "Clip", [q.input[0], *bounds], "clipped")
    q.input[0] = "clipped"


def a_reader_of_the_floats_before(e: Edit) -> None:
    q = e.of("QuantizeLinear")[0]
    e.drop(next(n for n in e.of("DequantizeLinear") if n.input[0] == q.output[0]))
    reader = next(n for n in e.nodes if q.output[0] in n.input)
    reader.input[list(reader.input).index(q.output[0])] = q.input[0]


def blocks(e: Edit) -> None:
    e.proto.opset_import[0].version = 21
    e.set(e.weights(), 1, np.full((2, 3, 3, 3), 0.01, np.float32))
    e.set(e.weights(), 2, np.zeros((2, 3, 3, 3), np.int8))
    e.attribute(e.weights(), "block_size", 3)


COMPUTED: tuple[Callable[[Edit], None], ...] = (
    blocks,
    bias_with_another_scale, bias_with_zero_points, bias_of_eight_bits, bias_in_floats, bias_far_below_a_step,
    weights_with_zero_points, weights_without_zero_points, weights_of_uint8, weights_along_their_inputs,
    weights_quantized_from_floats, weights_at_run_time, a_weight_read_along_both_axes,
    activation_with_a_scale_for_each_channel, one_dequantize_for_all_readers, a_function_of_two_dequantizes,
    rescaled_on_the_way, outputs_inside, a_weight_is_an_output, quantized_to_uint8_by_default, scale_of_one_element,
    scale_that_is_computed, pad_with_infinity, a_tiny_scale_for_a_filter_of_zeros, clip_without_bounds,
    a_reader_of_the_floats_before,
)  # fmt: skip
IN_FLOATS = {
    "blocks",
    "bias_far_below_a_step", "weights_along_their_inputs", "weights_at_run_time", "a_weight_read_along_both_axes",
    "activation_with_a_scale_for_each_channel", "pad_with_infinity", "a_reader_of_the_floats_before",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("change", COMPUTED, ids=lambda change: change.__name__)
def test_what_can_be_computed_is_what_onnxruntime_computes(change: Callable[[Edit], None]) -> None:
    edit = Edit()
    change(edit)
    model = checked(edit.proto)
    assert bool(float_islands(run_passes(model.graph))) == (change.__name__ in IN_FLOATS)


def test_the_network_as_it_is() -> None:
    assert not float_islands(run_passes(checked(base()).graph))


def test_a_long_function_of_one_tensor_is_looked_at_once() -> None:
    """Each x + x doubled the work of looking for the function's one tensor: 2^30 steps."""
    b = Builder(1, "int8")
    x = Value("x", (1, 4), 0.05, 3, "int8")
    real, half = b.real(x), b.const(np.float32(0.5))
    for _ in range(30):
        real = b.add("Mul", [b.add("Add", [real, real]), half])
    result = b.quantized(real, (1, 4), 0.05, 3)
    port = helper.make_tensor_value_info("x", TensorProto.INT8, (1, 4))
    checked(make_model(b.nodes, [port], [result.name], b.constants), exact=True)


# ---- refused


def replaced(where: Callable[[Edit], onnx.NodeProto], index: int, array: Any) -> Callable[[Edit], None]:
    return lambda edit: edit.set(where(edit), index, array)


def quantize(edit: Edit) -> onnx.NodeProto:
    return edit.of("QuantizeLinear")[0]


def activation(edit: Edit) -> onnx.NodeProto:
    return next(n for n in edit.of("DequantizeLinear") if n.input[0] == quantize(edit).output[0])


def bias_beyond_int32(e: Edit) -> None:
    e.of("Conv")[0].input[2] = e.const(np.full(6, 1e9, np.float32))


def bias_of(value: float) -> Callable[[Edit], None]:
    def change(e: Edit) -> None:
        e.of("Conv")[0].input[2] = e.const(np.full(6, value, np.float32))

    return change


def weights_that_are_no_floats(e: Edit) -> None:
    e.drop(e.weights())


def products_of_scales(scale: float) -> Callable[[Edit], None]:
    """The same scale for both operands of the product, another for its result: beyond float32 together."""

    def change(e: Edit) -> None:
        mul = e.of("Mul")[0]
        for node in e.of("DequantizeLinear"):
            if node.output[0] in mul.input:
                e.set(node, 1, np.float32(scale))

    return change


F16 = np.array(0.05, np.float16)
REFUSED: dict[str, tuple[Callable[[Edit], None], type[EdgewrightError], str]] = {
    **{
        f"{where.__name__}_{scale}": (replaced(where, 1, np.float32(scale)), QuantizationError, "positive")
        for where in (quantize, activation) for scale in (0.0, -0.1, np.nan, np.inf)
    },
    "weights_nan": (replaced(Edit.weights, 1, np.array([1, 1, np.nan, 1, 1, 1], np.float32)), QuantizationError, "nan"),
    "scale_too_large": (replaced(activation, 1, np.float32(3e38)), QuantizationError, "beyond float32"),
    "zero_of_another_type": (replaced(activation, 2, np.uint8(200)), QuantizationError, "uint8.*int8"),
    "zero_int32": (replaced(activation, 2, np.int32(1000)), QuantizationError, "int32"),
    "too_many_zeros": (replaced(activation, 2, np.zeros(3, np.int8)), ShapeError, "3 zero points for 1 scales"),
    "too_many_scales": (replaced(Edit.weights, 1, np.ones(7, np.float32)), ShapeError, "6 zero points for 7"),
    "no_scale": (replaced(quantize, 1, np.zeros(0, np.float32)), ShapeError, "no scale"),
    "axis_that_does_not_fit": (lambda e: e.attribute(e.weights(), "axis", 1), ShapeError, "axis 1"),
    "axis_that_does_not_exist": (lambda e: e.attribute(e.weights(), "axis", 9), ShapeError, "axis 9"),
    "bias_beyond_int32": (bias_beyond_int32, QuantizationError, "beyond int32"),
    "bias_nan": (bias_of(np.nan), QuantizationError, "bias"),
    "bias_infinite": (bias_of(-np.inf), QuantizationError, "bias"),
    "weights_that_are_no_floats": (weights_that_are_no_floats, ShapeError, "float32 and int8"),
    "product_of_large_scales": (products_of_scales(1e30), QuantizationError, "inf"),
    "product_of_small_scales": (products_of_scales(1e-30), QuantizationError, "0.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_is_refused(name: str) -> None:
    change, kind, words = REFUSED[name]
    edit = Edit()
    change(edit)
    with pytest.raises(kind, match=words) as error:
        checked(edit.proto)
    assert not isinstance(error.value, InternalError)


# ---- by chance


@pytest.mark.slow
def test_changes_by_chance_end_in_a_result_or_in_one_refusal() -> None:
    """Scales over the whole of float32, zero points, axes and types at random places, several at once."""
    rng = np.random.default_rng(5)
    kinds = [np.int8, np.uint8, np.int16, np.int32, np.float32]
    computed = 0
    for _ in range(120):
        edit = Edit()
        for _ in range(int(rng.integers(1, 4))):
            node = edit.nodes[int(rng.choice([i for i, n in enumerate(edit.nodes) if n.op_type.endswith("eLinear")]))]
            index = int(rng.integers(1, len(node.input))) if len(node.input) > 1 else 0
            value = edit.value(node.input[index])
            if value is None or not index:
                continue
            if value.dtype == np.float32:
                edit.set(node, index, (value * np.float32(2.0) ** rng.integers(-149, 128)).astype(np.float32))
            elif rng.random() < 0.3:
                edit.set(node, index, value.astype(kinds[int(rng.integers(len(kinds)))]))
            else:
                edit.set(node, index, rng.integers(-100, 101, value.shape).astype(value.dtype))
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                model = import_onnx(onnx.load_model_from_string(edit.proto.SerializeToString()), "net", "0" * 64, {})
                graph = run_passes(model.graph)
                make_plan(graph, CORES[int(rng.integers(len(CORES)))])
                simulate(graph, integer_inputs(model, 1, 1))
                computed += 1
            except EdgewrightError as error:
                assert not isinstance(error, InternalError), error
    assert computed > 20


# ---- QOperator form


def operators() -> onnx.ModelProto:
    """QLinearConv, then x * x by QLinearMul, then QLinearMatMul."""
    rng = np.random.default_rng(4)
    arrays = {
        "xs": np.float32(0.05), "xz": np.int8(-3), "w": rng.integers(-127, 128, (4, 2, 3, 3)).astype(np.int8),
        "ws": np.linspace(0.004, 0.01, 4).astype(np.float32), "wz": np.zeros(4, np.int8), "ys": np.float32(0.2),
        "yz": np.int8(4), "b": rng.integers(-900, 900, 4).astype(np.int32), "ms": np.float32(2.5), "mz": np.int8(-90),
        "m": rng.integers(-127, 128, (80, 3)).astype(np.int8), "rs": np.float32(0.01), "rz": np.int8(0),
        "zs": np.float32(30), "zz": np.int8(1),
    }  # fmt: skip
    inputs = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
    nodes = [
        helper.make_node("QLinearConv", inputs, ["y"], "conv", pads=[1] * 4),
        helper.make_node("QLinearMul", ["y", "ys", "yz"] * 2 + ["ms", "mz"], ["p"], "mul", domain="com.microsoft"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("QLinearMatMul", ["f", "ms", "mz", "m", "rs", "rz", "zs", "zz"], ["z"], "matmul"),
    ]
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    ports = [helper.make_tensor_value_info(name, TensorProto.INT8, shape) for name, shape in
             (("x", (1, 2, 5, 4)), ("z", (1, 3)))]  # fmt: skip
    graph = helper.make_graph(nodes, "net", ports[:1], ports[1:], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_the_operator_form_as_it_is() -> None:
    assert not float_islands(run_passes(checked(operators()).graph))


def operator_input(op: str, index: int, array: Any) -> Callable[[Edit], None]:
    return lambda edit: edit.set(edit.of(op)[0], index, array)


OPERATORS_REFUSED: dict[str, tuple[Callable[[Edit], None], str]] = {
    "scale_zero": (operator_input("QLinearConv", 1, np.float32(0)), "positive"),
    "scale_nan_of_a_channel": (operator_input("QLinearConv", 4, np.float32([1, np.nan, 1, 1])), "nan"),
    "scale_float16": (operator_input("QLinearMul", 1, F16), "float16"),
    "scale_missing": (operator_input("QLinearMul", 6, np.zeros(0, np.float32)), "no scale"),
    "result_scale_negative": (operator_input("QLinearMatMul", 6, np.float32(-1)), "positive"),
    "zero_of_another_type": (operator_input("QLinearConv", 2, np.uint8(3)), "uint8.*int8|int8.*uint8"),
    "zero_int32": (operator_input("QLinearMatMul", 2, np.int32(3)), "int32"),
    "scales_that_do_not_fit": (operator_input("QLinearConv", 4, np.ones(3, np.float32)), "3 scales"),
    "bias_that_does_not_fit": (operator_input("QLinearConv", 8, np.zeros(5, np.int32)), "bias"),
    "bias_float": (operator_input("QLinearConv", 8, np.zeros(4, np.float32)), "bias of float32"),
    "weights_float": (operator_input("QLinearConv", 3, np.ones((4, 2, 3, 3), np.float32)), "float32"),
}


@pytest.mark.parametrize("name", OPERATORS_REFUSED)
def test_odd_operators_are_refused(name: str) -> None:
    change, words = OPERATORS_REFUSED[name]
    edit = Edit(operators())
    change(edit)
    with pytest.raises(EdgewrightError, match=words) as error:
        checked(edit.proto)
    assert not isinstance(error.value, InternalError)

"""The parts of the quantizer: parameters, observers, rounding, equalization, bias correction, sums that fit int32."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SEED, imported
from quantizing import float_outputs, image_network, samples

from edgewright.errors import QuantizationError
from edgewright.ir import Node
from edgewright.quantization.calibrate import check_calibration, collect
from edgewright.quantization.equalize import equalized, find_pairs
from edgewright.quantization.execute import Executor, make_executor
from edgewright.quantization.layers import error_energy, moments
from edgewright.quantization.observers import BINS, OBSERVERS, Histogram, minmax
from edgewright.quantization.params import QuantParams, activation_params, fixed_params
from edgewright.quantization.prepare import is_layer, prepare
from edgewright.quantization.rounding import damped, nearest, range_scale, round_weights
from edgewright.quantization.simulate import sqnr
from edgewright.quantization.weights import integer_layer, reach

FAR_AWAY = 1e18  # a deadline


def histogram(values: np.ndarray) -> Histogram:
    nonzero = values[values != 0]
    span = (float(values.min()), float(values.max()))
    halves = [np.histogram(part, BINS, span)[0].astype(float) for part in (nonzero[::2], nonzero[1::2])]
    return Histogram(*span, np.stack(halves), int((values == 0).sum()), values.size)


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.sampled_from([8, 16]))
@settings(max_examples=200, deadline=None)
def test_zero_is_exact_and_the_range_is_held(a: float, b: float, bits: int) -> None:
    params = activation_params(min(a, b), max(a, b), bits, "x")
    assert params.low <= params.zero <= params.high
    assert params.rounded(np.zeros(1, np.float32))[0] == 0
    inside = np.linspace(min(a, b, 0), max(a, b, 0), 50).astype(np.float32)
    assert np.abs(params.rounded(inside) - inside).max() <= float(params.scale) * 1.01
    integers = params.to_integers(inside)
    assert integers.dtype == params.dtype.numpy
    np.testing.assert_array_equal(params.to_real(integers), params.rounded(inside))


def test_functions_with_a_known_range_have_steps_of_a_power_of_two() -> None:
    assert (float(fixed_params(0, 8).scale), fixed_params(0, 8).zero) == (1 / 256, -128)
    assert (float(fixed_params(-1, 8).scale), fixed_params(-1, 8).zero) == (1 / 128, 0)
    assert float(fixed_params(0, 16).scale) == 2.0**-15


def test_half_is_rounded_to_even() -> None:
    params = QuantParams(np.array(1.0, np.float32), 0, 8, -128, 127)
    assert params.to_integers(np.array([0.5, 1.5, 2.5, -0.5, -1.5, 200, -200])).tolist() == [0, 2, 2, 0, -2, 127, -128]


@pytest.mark.parametrize("name", sorted(OBSERVERS))
def test_observers_hold_zero_and_stay_inside_what_was_seen(name: str) -> None:
    rng = np.random.default_rng(SEED)
    for values in (rng.standard_normal(20000), np.maximum(rng.standard_normal(20000), 0), rng.random(5000) + 3,
                   -rng.random(5000) - 1, np.append(rng.standard_normal(20000), 90.0)):  # fmt: skip
        low, high = OBSERVERS[name](histogram(values), 8)
        assert low <= 0 <= high
        assert min(values.min(), 0) - 1e-9 <= low
        assert high <= max(values.max(), 0) + 1e-9
        assert high > low


@pytest.mark.parametrize("name", ["mse", "percentile", "kl"])
def test_observers_leave_a_lone_outlier_out(name: str) -> None:
    values = np.append(np.random.default_rng(SEED).standard_normal(200000), 60.0)
    assert OBSERVERS[name](histogram(values), 8)[1] < 50
    assert minmax(histogram(values), 8)[1] == 60.0


def test_mse_has_less_error_than_the_whole_range() -> None:
    values = np.random.default_rng(SEED).standard_t(3, 100000).astype(np.float32)
    errors = {
        name: ((activation_params(*OBSERVERS[name](histogram(values), 8), 8, "x").rounded(values) - values) ** 2).mean()
        for name in OBSERVERS
    }
    assert errors["mse"] == min(errors.values())
    assert errors["mse"] < 0.9 * errors["minmax"]


def layer_data(rng: np.random.Generator, outputs: int = 6, inputs: int = 20) -> tuple[np.ndarray, np.ndarray]:
    mixing = rng.standard_normal((inputs, inputs))
    return rng.standard_normal((1, outputs, inputs)), (mixing @ rng.standard_normal((inputs, 400)))[None].astype("f4")


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("seed", range(4))
def test_adaround_is_not_worse_than_rounding_to_the_nearest(bits: int, seed: int) -> None:
    weights, x = layer_data(np.random.default_rng(seed))
    m = moments(x, x, centred=True)
    scale = range_scale(weights, bits).astype(np.float32).astype(float)
    plain = error_energy(weights, nearest(weights, scale, bits), scale, m)
    done = round_weights(weights, bits, m, adaptive=True, per_tensor=False, deadline=FAR_AWAY)
    assert done.method == "adaround"
    better = error_energy(weights, done.integers, done.scale, m).sum()
    assert better < 0.8 * plain.sum()
    soft = damped(m)
    same_scale = error_energy(weights, nearest(weights, done.scale, bits), done.scale, soft).sum()
    assert error_energy(weights, done.integers, done.scale, soft).sum() <= same_scale
    assert np.abs(done.integers).max() <= (8 if bits == 4 else 127)


def test_the_time_limit_ends_adaround() -> None:
    weights, x = layer_data(np.random.default_rng(SEED))
    m = moments(x, x, centred=True)
    done = round_weights(weights, 8, m, adaptive=True, per_tensor=False, deadline=time.monotonic() - 1)
    assert done.method == "nearest"


def test_bias_correction_reduces_the_mean_error() -> None:
    rng = np.random.default_rng(SEED)
    weights, x = layer_data(rng)
    x = x + 3  # a mean that is not 0 is what makes rounding errors of weights shift the outputs
    bias = rng.standard_normal(6)
    node = Node("FullyConnected", "dense", ("x", "w", "b"), ("y",))
    params = activation_params(float(x.min()), float(x.max()), 8, "x")
    errors = []
    for corrected in (False, True):
        m = moments(x, params.rounded(x), centred=corrected)
        layer = integer_layer(node, weights[0], bias, params, 4, m, adaptive=False, per_tensor=False,
                              corrected=corrected, deadline=FAR_AWAY)  # fmt: skip
        real = weights[0] @ x[0] + bias[:, None]
        got = layer.weights.real @ params.rounded(x)[0] + layer.bias.real[:, None]
        errors.append(np.abs((got - real).mean(axis=1)).max())
    assert errors[1] < 0.05 * errors[0]


@pytest.mark.parametrize("by_activations", [True, False])
def test_equalization_keeps_the_float_function_and_evens_channels_out(by_activations: bool) -> None:
    model = imported(image_network())
    graph = prepare(model.graph)
    assert [(p.first.name, p.second.name) for p in find_pairs(graph)] == [
        ("conv1", "conv2"), ("conv2", "conv3"), ("conv3", "dense.1"),
    ]  # fmt: skip
    x = samples(model)["x"]
    executor = make_executor(graph)
    ranges = {
        name: np.abs(np.moveaxis(values, -3, 0)).reshape(values.shape[-3], -1).max(axis=1)
        for name, values, _ in executor.walk({"x": x})
        if values.ndim == 4 and name != "x"
    }
    changed = equalized(graph, ranges if by_activations else None)
    before, after = float_outputs(graph, {"x": x}), float_outputs(changed, {"x": x})
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())

    def uneven(name: str) -> float:
        values = next(v for n, v, _ in make_executor(changed).walk({"x": x}) if n == name)
        channels = np.abs(values).max(axis=(0, 2, 3))
        return float(channels.max() / channels.min())

    if by_activations:  # a depthwise layer follows: its input can be made quite even
        assert uneven("r1") < 1.01 < ranges["r1"].max() / ranges["r1"].min()


def test_running_together_is_running_one_by_one() -> None:
    graph = prepare(imported(image_network()).graph)
    together = make_executor(graph)
    assert together.batched
    x = samples(imported(image_network()), 5)
    alone = Executor(graph, False)
    inputs = {"x": x["x"][:, None]}
    a = together.outputs(together.feeds(inputs, slice(None)), graph.outputs)[0]
    b = alone.outputs(alone.feeds(inputs, slice(None)), graph.outputs)[0]
    np.testing.assert_allclose(a, b[:, 0], rtol=1e-5, atol=1e-5)


def test_what_calibration_counts() -> None:
    model = imported(image_network())
    graph = prepare(model.graph)
    calibration = check_calibration(graph, samples(model))
    seen = collect(make_executor(graph), calibration.inputs)
    relu = seen["r1"]
    assert relu.low == 0
    assert relu.zeros + relu.counts.sum() == relu.total == 40 * 8 * 12 * 12
    x = samples(model)["x"]
    assert (seen["x"].low, seen["x"].high) == (x.min(), x.max())


def test_sums_are_bounded_whatever_the_input() -> None:
    rng = np.random.default_rng(SEED)
    node = Node("FullyConnected", "dense", ("x", "w", "b"), ("y",))
    params = activation_params(-1.0, 3.0, 8, "x")
    layer = integer_layer(node, rng.standard_normal((4, 30)), rng.standard_normal(4), params, 8, None,
                          adaptive=False, per_tensor=False, corrected=False, deadline=0.0)  # fmt: skip
    weights = layer.weights.values.astype(np.int64)
    for _ in range(50):
        x = rng.integers(-128, 128, 30) - params.zero
        assert (np.abs(np.cumsum(weights * x, axis=1)).max(axis=1) <= reach(layer.weights.values, params)).all()
    assert layer.headroom > 1


def test_sums_beyond_int32_are_refused() -> None:
    node = Node("FullyConnected", "huge", ("x", "w", "b"), ("y",))
    params = activation_params(0.0, 1.0, 8, "x")
    with pytest.raises(QuantizationError, match=r"'huge'.*beyond int32's 2,147,483,647"):
        integer_layer(node, np.ones((1, 70000)), np.zeros(1), params, 8, None,
                      adaptive=False, per_tensor=False, corrected=False, deadline=0.0)  # fmt: skip


def test_a_bias_that_dwarfs_its_weights_still_fits() -> None:
    node = Node("FullyConnected", "dense", ("x", "w", "b"), ("y",))
    weights = np.array([[1e-9, -2e-9], [0.0, 0.0], [0.5, 0.25], [0.0, 0.0]])
    bias = np.array([100.0, -7.0, 0.1, 0.0])
    params = activation_params(0.0, 1.0, 8, "x")
    layer = integer_layer(node, weights, bias, params, 8, None, adaptive=False, per_tensor=False, corrected=False,
                          deadline=0.0)  # fmt: skip
    np.testing.assert_allclose(layer.bias.real, bias, rtol=1e-5)
    assert layer.headroom > 1
    assert (layer.weights.values[1] == 0).all()


def test_folded_normalization_and_separate_bias_are_one_layer() -> None:
    graph = prepare(imported(image_network()).graph)
    assert [node.op for node in graph.nodes] == ["Conv", "Conv", "Conv", "MaxPool", "Reshape", "FullyConnected"]
    assert all(is_layer(node, graph) for node in graph.nodes if node.op in ("Conv", "FullyConnected"))


def test_sqnr() -> None:
    real = np.ones(100, np.float32)
    assert sqnr(real, real * np.float32(1.1)) == pytest.approx(20.0, abs=0.01)
    assert sqnr(real, real) == 120.0

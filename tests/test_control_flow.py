"""If, Loop, Scan, sequences and optionals: resolved at import as ONNX Runtime computes them, or refused in one line."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from conftest import need
from harness import assert_close
from networks import SEED, expected, imported

from edgewright import backend
from edgewright.errors import NeedsConstantError, UnsupportedError
from edgewright.frontends.onnx import Model
from edgewright.passes import run_passes
from edgewright.simulate import simulate


def parsed(text: str, opset: int = 17) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]>\n{text}')


def same(text: str, opset: int = 17, **inputs: np.ndarray | float | bool) -> Model:
    """The graph, by numpy, gives what ONNX Runtime gives. Inputs have the types of the model's."""
    model = imported(parsed(text, opset))
    tensors = model.graph.tensors
    feeds = {name: np.asarray(array, tensors[name].dtype.numpy)[None] for name, array in inputs.items()}
    assert_close(simulate(run_passes(model.graph), feeds), expected(model, feeds))
    return model


def ramp(*shape: int) -> np.ndarray:
    return np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)


def refused(text: str, *words: str, needs: set[str] | None = None, opset: int = 17) -> None:
    with pytest.raises(UnsupportedError) as caught:
        imported(parsed(text, opset))
    message = str(caught.value)
    assert all(word in message for word in words) and len(message.splitlines()) == 2, message
    if needs is not None:
        assert isinstance(caught.value, NeedsConstantError) and caught.value.values == needs


# ---- If

BRANCHES = """<
  then_branch = t () => (float[3] a) { a = Mul(x, x) }, else_branch = e () => (float[3] b) { b = Neg(h) }
>"""


def test_if_takes_the_branch_that_is_known() -> None:
    for known, operator in ((1, "Mul"), (0, "Neg")):
        text = f"g (float[3] x) => (float[3] y) <bool c = {{{known}}}> {{ h = Relu(x)  y = If (c) {BRANCHES} }}"
        model = same(text, x=ramp(3))
        assert [node.op for node in run_passes(model.graph).nodes][-1] == operator
        assert model.graph.outputs == ("y",) and model.ways["If"] == {"unrolled": 1}


@pytest.mark.parametrize("condition", [True, False])
def test_if_selects_at_run_time(condition: bool) -> None:
    same(f"g (float[3] x, bool c) => (float[3] y) {{ h = Relu(x)  y = If (c) {BRANCHES} }}", x=ramp(3), c=condition)


def test_if_of_branches_that_differ_needs_its_condition() -> None:
    text = """g (float[3] x, float[1] z) => (float[N] y) {
        c = Cast <to = 9> (z)
        y = If (c) < then_branch = t () => (float[3] a) { a = Relu(x) },
                     else_branch = e () => (float[6] b) { b = Concat <axis = 0> (x, x) } >
    }"""
    refused(text, "If 'If_1'", "float32 [3] and float32 [6]", needs={"z"})


def test_a_problem_in_a_branch_is_named() -> None:
    text = """g (float[3] x, bool c) => (float[3] y) {
        y = If (c) < then_branch = t () => (float[3] a) { a = Relu(x) },
                     else_branch = e () => (float[3] b) { b = RandomNormalLike(x) } >
    }"""
    refused(text, "If 'If_0'", "RandomNormalLike 'If_0/else_branch/RandomNormalLike_0'", "random", needs={"c"})


# ---- Loop


def loop(condition: str, inputs: str, *, scans: bool, m: str = "m", constants: str = "") -> str:
    """Sums x, and with `scans` also keeps each sum."""
    return f"""g (float[2] x{inputs}) => (float[2] s{", float[k, 2] all" if scans else ""})
        <float[2] zero = {{0, 0}}, float four = {{4}}{constants}> {{
        s{", all" if scans else ""} = Loop ({m}, {condition}, zero) < body = b (int64 i, bool go, float[2] before)
            => (bool on, float[2] after{", float[2] kept" if scans else ""}) {{
            after = Add(before, x)
            most = ReduceMax <keepdims = 0> (after)
            on = Less(most, four)
            {"kept = Identity(after)" if scans else ""}
        }} >
    }}"""


@pytest.mark.parametrize("x", [[0.5, 0.5], [1.5, -3], [9, 9]])
def test_a_loop_that_ends_by_what_it_computes(x: list[float]) -> None:
    same(loop("", "", scans=False, constants=", int64 m = {5}"), x=np.array(x))


def test_a_loop_with_a_condition_of_run_time_from_the_start() -> None:
    text = loop("c", ", bool c", scans=False, constants=", int64 m = {5}")
    for c in (True, False):
        same(text, x=ramp(2), c=c)


def test_what_a_loop_needs_at_import() -> None:
    refused(loop("", "", scans=True, constants=", int64 m = {5}"), "all repetitions", needs={"x"})
    refused(loop("", "", scans=False, m=""), "no trip count", needs={"x"})
    refused(loop("", ", int64 n", scans=False, m="n"), "'M' is computed at run time", "--bind n=VALUE", needs={"n"})


COUNTED = """g (float[2] x) => (float[2] s, float[k, 2] all, float[k] odd) <int64 m = {%d}, bool c = {%d}> {
    s, all, odd = Loop (m, c, x) < body = b (int64 i, bool go, float[2] before)
        => (bool on, float[2] after, float[2] kept, float number) <float two = {2}, int64 last = {3}> {
        number = Cast <to = 1> (i)
        y = Mul(number, x)
        after = Add(before, y)
        kept = Div(after, two)
        on = Less(i, last)
    } >
}"""


@pytest.mark.parametrize(("trips", "condition"), [(3, 1), (1, 1), (100, 1), (0, 1), (5, 0)])
def test_a_counted_loop_is_unrolled(trips: int, condition: int) -> None:
    model = same(COUNTED % (trips, condition), x=ramp(2))
    names = model.graph.outputs
    rows = min(trips, 4) * condition
    assert [model.graph.tensors[name].shape for name in names] == [(2,), (rows, 2), (rows,)]


def test_a_loop_is_not_unrolled_for_ever() -> None:
    text = (
        "g (float[2] x) => (float[2] s) <int64 m = {%d}> { s = Loop (m, , x) < body = b (int64 i, bool go, float[2] p)"
    )
    text += " => (bool on, float[2] q) { on = Identity(go)  q = Add(p, x) } > }"
    refused(text % 10**12, "Loop 'Loop_0'", "4,096 nodes")
    endless = text.replace("(m, , x)", "(, , x)") % 1
    refused(endless, "4,096 nodes")


def test_loops_in_branches_in_loops() -> None:
    text = """g (float[2] x, bool c) => (float[2] s) <int64 m = {3}, int64 two = {2}> {
        s = Loop (m, , x) < body = b (int64 i, bool go, float[2] p) => (bool on, float[2] q) {
            on = Identity(go)
            first = Less(i, two)
            q = If (first) <
                then_branch = t () => (float[2] r) {
                    r = If (c) < then_branch = u () => (float[2] v) { v = Add(p, x) },
                                 else_branch = w () => (float[2] z) { z = Mul(p, x) } >
                },
                else_branch = e () => (float[2] r) {
                    r = Loop (two, , p) < body = d (int64 j, bool h, float[2] f) => (bool k, float[2] l) {
                        k = Identity(h)
                        l = Sub(f, x)
                    } >
                } >
        } >
    }"""
    for c in (True, False):
        same(text, x=ramp(2), c=c)


# ---- Scan

SCAN = """g (float[2] a, float[%s] x, float[%s] z) => (float[2] s, float[2] t, float[%s] all, float[%s] other) {
    s, t, all, other = Scan <num_scan_inputs = 2%s, body = b (float[2] s0, float[2] t0, float[2] xi, float[2] zi)
        => (float[2] s1, float[2] t1, float[2] o, float[2] p) {
        s1 = Add(s0, xi)
        t1 = Mul(t0, zi)
        o = Sub(s1, t1)
        p = Max(s1, zi)
    } > (a, a, x, z)
}"""


def test_scan() -> None:
    same(SCAN % ("3, 2", "3, 2", "3, 2", "3, 2", ""), a=ramp(2), x=ramp(3, 2), z=ramp(3, 2) + 1)


def test_scan_backwards_and_along_other_axes() -> None:
    attributes = ", scan_input_axes = [1, 0], scan_input_directions = [0, 1], scan_output_axes = [0, 1]"
    text = SCAN % ("2, 3", "3, 2", "3, 2", "2, 3", attributes + ", scan_output_directions = [1, 0]")
    same(text, a=ramp(2), x=ramp(2, 3), z=ramp(3, 2) + 1)


def test_scan_of_operator_set_8() -> None:
    text = """g (float[2, 1] a, float[2, 3, 1] x) => (float[2, 1] s, float[2, 3, 1] all) {
        s, all = Scan <num_scan_inputs = 1, directions = [1], body = b (float[1] p, float[1] q)
            => (float[1] r, float[1] o) { r = Add(p, q)  o = Identity(r) } > (, a, x)
    }"""
    same(text, 8, a=ramp(2, 1), x=ramp(2, 3, 1))


# ---- sequences and optionals


def test_sequences_that_are_known_at_import() -> None:
    text = """g (float[2, 4] x) => (float[2, 7] y, float[2] z, int64 n) <int64 one = {1}, int64 back = {-1}> {
        s = SplitToSequence <axis = 1> (x, one)
        a = SequenceAt(s, back)
        b = SequenceInsert(s, a, back)
        c = SequenceErase(b, one)
        e = SequenceEmpty()
        f = SequenceInsert(e, x)
        g0 = SequenceAt(f, one_less)
        h = ConcatFromSequence <axis = 1> (c)
        k = Slice(g0, starts, ends, axes)
        y = Concat <axis = 1> (h, k)
        t = SplitToSequence <axis = 1, keepdims = 0> (x)
        z = SequenceAt(t, one)
        n = SequenceLength(b)
    }"""
    constants = "int64 one_less = {0}, int64[1] starts = {0}, int64[1] ends = {3}, int64[1] axes = {1}, int64 one"
    same(text.replace("int64 one", constants, 1), x=ramp(2, 4))


def test_a_sequence_that_a_loop_carries() -> None:
    text = """g (float[2] x) => (float[6] y) <int64 m = {3}> {
        none = SequenceEmpty()
        s = Loop (m, , none) < body = b (int64 i, bool go, seq(float[2]) p) => (bool on, seq(float[2]) q) {
            on = Identity(go)
            number = Cast <to = 1> (i)
            part = Mul(number, x)
            q = SequenceInsert(p, part)
        } >
        y = ConcatFromSequence <axis = 0> (s)
    }"""
    same(text, x=ramp(2))


def test_optionals() -> None:
    text = """g (float[2] x) => (float[2] y, bool there) {
        o = Optional(x)
        v = OptionalGetElement(o)
        there = OptionalHasElement(o)
        y = Relu(v)
    }"""
    same(text, 18, x=ramp(2))


def test_sequences_do_not_leave_the_model() -> None:
    refused("g (float[2] x) => (seq(float[2]) s) { s = SequenceConstruct(x, x) }", "output 's' is a sequence")
    refused("g (float[2] x) => (float[2] y) { s = SequenceConstruct(x, x)  y = Relu(s) }", "number 0 is a sequence")
    text = "g (float[2] x, int64 i) => (float[2] y) { s = SequenceConstruct(x, x)  y = SequenceAt(s, i) }"
    refused(text, "'position' is computed at run time", needs={"i"})


# ---- through C


def test_on_the_host() -> None:
    need("cc")
    model = parsed(loop("", "", scans=False, constants=", int64 m = {5}"))
    (s,) = backend.prepare(model).run([np.array([1.5, -3], np.float32)])
    np.testing.assert_array_equal(s, np.float32([4.5, -9]))

"""Element types: every pair that Cast converts, bit for bit against numpy and ml_dtypes."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx.numpy_helper
import pytest
from conftest import WARNINGS, need

from edgewright.backend import prepare
from edgewright.ir import DType
from edgewright.ops.cast import converted
from edgewright.resources import resource_dir

SEED = 20261122
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in cast")  # of signalling NaN
DRIVER = """#include "ew_cast.h"
#define TYPE(name) EW_NUMBER_##name,
const int32_t types[] = { %s };
void convert(const void *x, void *y, int32_t count, int32_t from, int32_t to, int32_t saturate, int32_t rounding)
{
    const ew_cast_params p = {count, types[from], types[to], saturate, rounding};
    ew_cast(x, y, &p);
}
"""
TYPES = list(DType)
EIGHT_BITS = [DType.F8E4M3FN, DType.F8E4M3FNUZ, DType.F8E5M2, DType.F8E5M2FNUZ]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    need("gcc")
    folder: Path = tmp_path_factory.mktemp("cast")
    (folder / "driver.c").write_text(DRIVER % ", ".join(f"EW_NUMBER_{dtype.name}" for dtype in TYPES))
    root = resource_dir("runtime_c")
    paths = [f"-I{root / name}" for name in ("include", "kernels/common", "kernels/cast")]
    command = ["gcc", "-std=c11", "-O1", *WARNINGS, "-shared", "-fPIC", *paths, "driver.c", "-lm", "-o", "cast.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "cast.so"))


def by_kernel(kernel: ctypes.CDLL, x: np.ndarray, to: DType, saturate: bool = True, rounding: int = 0) -> np.ndarray:
    source = DType.of(x)
    given = source.to_memory(x)
    made = np.full(x.shape, 0x5A, to.stored)
    kernel.convert(
        given.ctypes.data_as(ctypes.c_void_p), made.ctypes.data_as(ctypes.c_void_p), x.size, TYPES.index(source),
        TYPES.index(to), int(saturate), rounding,
    )  # fmt: skip
    return to.from_memory(made)


def bits_of(x: np.ndarray) -> np.ndarray:
    """The bits, those of every NaN alike."""
    dtype = DType.of(x)
    bits = dtype.to_memory(x).view(f"u{dtype.size_bytes}").copy()
    if dtype.is_float:
        bits[np.isnan(x.astype(np.float64))] = 0
    return bits


def samples(dtype: DType) -> np.ndarray:
    """Every code of types of 16 bits and fewer; of others special numbers, numbers near ties, and random bits."""
    if dtype.bits <= 16:
        codes = np.arange(1 << dtype.bits, dtype=np.uint16).astype(f"u{dtype.size_bytes}")
        if dtype is DType.B8:
            return np.array([False, True])
        return codes.view(dtype.numpy) if dtype.bits >= 8 else codes.astype(np.int8).view(dtype.numpy)
    rng = np.random.default_rng(SEED)
    raw = rng.integers(0, 256, 8 * 5_000, np.uint8).view(dtype.numpy)
    if dtype.is_integer:
        low, high = dtype.range
        small = np.arange(-300 if low else 0, 3_000).astype(dtype.numpy)
        shifted = raw >> rng.integers(0, dtype.bits, raw.size).astype(dtype.numpy)
        return np.concatenate([raw, shifted, small, np.array([low, high, high - 1], dtype.numpy)])
    with np.errstate(all="ignore"):
        near = [values[np.isfinite(values)] for values in (samples(t).astype(dtype.numpy) for t in EIGHT_BITS)]
        halves = samples(DType.F16)[::16].astype(dtype.numpy)
        middles = [(values[1:] + values[:-1]) / 2 for values in map(np.unique, (*near, halves[np.isfinite(halves)]))]
        ends = np.array([s * 2.0**e for e in (3, 4, 7, 8, 15, 16, 31, 32, 63, 64) for s in (1, -1)], dtype.numpy)
        whole = np.concatenate([*near, halves, *middles, ends, (rng.normal(size=2_000) * 300).astype(dtype.numpy)])
        around = [np.nextafter(whole, dtype.numpy.type(np.inf)), np.nextafter(whole, dtype.numpy.type(-np.inf))]
    return np.concatenate([raw, whole, *around, np.array([0, -0.0, np.inf, -np.inf, np.nan], dtype.numpy)])


def by_ml_dtypes(x: np.ndarray, to: DType) -> tuple[np.ndarray, np.ndarray]:
    """What numpy and ml_dtypes make of it by themselves, and where ONNX leaves the result open."""
    source, wide = DType.of(x), x.astype(np.float64)
    is_open = np.zeros(x.shape, bool)
    with np.errstate(all="ignore"):
        if source.is_float and to.is_integer:  # numpy wraps around or saturates as the processor does
            low, high = to.range if to.bits >= 8 else DType.S32.range
            is_open = ~((np.trunc(wide) >= low) & (np.trunc(wide) <= high)) | (wide >= 2.0**63)
            return np.where(is_open, 0, wide).astype(np.uint64 if high > 2**63 else np.int64).astype(to.numpy), is_open
        if to is DType.B8:
            return (wide if source.is_float else x).astype(bool), is_open
        if to in EIGHT_BITS:
            return onnx.numpy_helper.saturate_cast(x.astype(np.float32), to.numpy), is_open
        if x.dtype.isbuiltin != 1:
            x = x.astype(np.float32 if source.is_float else np.int8)
        return x.astype(to.numpy), is_open


@pytest.mark.parametrize("source", TYPES, ids=lambda dtype: dtype.name)
def test_every_pair(kernel: ctypes.CDLL, source: DType) -> None:
    print(f"seed {SEED}")
    x = samples(source)
    for to in TYPES:
        if to in (source, DType.F8E8M0):
            continue
        made, mine = by_kernel(kernel, x, to), converted(x, to)
        np.testing.assert_array_equal(bits_of(made), bits_of(mine), f"{source.name} to {to.name}: kernel, reference")
        theirs, is_open = by_ml_dtypes(x, to)
        if to is DType.F4E2M1:  # has no NaN; ml_dtypes makes two numbers of the two signs of NaN
            is_open = np.isnan(x.astype(np.float64))
        wanted, got = bits_of(theirs)[~is_open], bits_of(made)[~is_open]
        np.testing.assert_array_equal(got, wanted, f"{source.name} to {to.name}")


@pytest.mark.parametrize("to", EIGHT_BITS, ids=lambda dtype: dtype.name)
def test_float8_that_does_not_saturate(kernel: ctypes.CDLL, to: DType) -> None:
    for source in (DType.F32, DType.F16, DType.F64, DType.BF16, DType.S32):
        x = samples(source)
        with np.errstate(all="ignore"):
            wanted = x.astype(np.float32).astype(to.numpy)
        np.testing.assert_array_equal(bits_of(by_kernel(kernel, x, to, False)), bits_of(wanted), source.name)
        np.testing.assert_array_equal(bits_of(converted(x, to, False)), bits_of(wanted), source.name)


@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("rounding", ["up", "down", "nearest"])
def test_float8e8m0(kernel: ctypes.CDLL, rounding: str, saturate: bool) -> None:
    """Against onnx in the range where it follows the table of Cast; beyond that, the table."""
    x, to = np.abs(samples(DType.F32)), DType.F8E8M0
    made = by_kernel(kernel, x, to, saturate, ["up", "down", "nearest"].index(rounding))
    np.testing.assert_array_equal(bits_of(made), bits_of(converted(x, to, saturate, rounding)))
    plain = (x >= 2.0**-126) & np.isfinite(x)
    theirs = onnx.numpy_helper.to_float8e8m0(x, saturate, rounding)
    np.testing.assert_array_equal(made.view(np.uint8)[plain], theirs.view(np.uint8)[plain])
    codes = by_kernel(kernel, np.array([0, 2.0**-127, np.inf, np.nan], np.float32), to, saturate).view(np.uint8)
    assert codes.tolist() == ([0, 0, 254, 255] if saturate else [255, 0, 255, 255])


def test_memory_holds_codes_and_values() -> None:
    assert DType.S4.to_memory(np.array([-8, -1, 7])).tolist() == [-8, -1, 7]
    assert DType.F4E2M1.to_memory(np.array([-6.0, 0.5], ml_dtypes.float4_e2m1fn)).tolist() == [15, 1]
    assert DType.BF16.to_memory(np.array(1.0)).tolist() == 0x3F80
    for dtype in DType:
        values = np.array([0, 1, 1]).astype(dtype.numpy)
        back = dtype.from_memory(dtype.to_memory(values))
        assert back.dtype == values.dtype and back.tobytes() == values.tobytes()
        assert dtype.to_memory(values).nbytes == 3 * dtype.size_bytes


@pytest.mark.parametrize("dtype", [DType.S4, DType.BF16, DType.F8E4M3FN, DType.F4E2M1], ids=lambda dtype: dtype.name)
def test_elements_are_moved(dtype: DType) -> None:
    """Transpose, Slice, Concat, Gather and Reshape between run-time ends, and a constant of the type."""
    need("cc")
    elem = onnx.helper.np_dtype_to_tensor_dtype(dtype.numpy)
    rng = np.random.default_rng(SEED)
    x, w = ((rng.normal(size=shape) * 3).astype(np.float32).astype(dtype.numpy) for shape in ((3, 4), (2, 3)))
    nodes = [
        onnx.helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        onnx.helper.make_node("Concat", ["t", "w"], ["c"], axis=0),
        onnx.helper.make_node("Gather", ["c", "i"], ["g"], axis=0),
        onnx.helper.make_node("Reshape", ["g", "s"], ["y"]),
    ]
    constants = [onnx.numpy_helper.from_array(a, n) for n, a in (("w", w), ("s", np.array([3, 3], np.int64)))]
    ends = [onnx.helper.make_tensor_value_info(n, t, s) for n, t, s in (("x", elem, [3, 4]), ("i", 7, [3]))]
    made = onnx.helper.make_tensor_value_info("y", elem, [3, 3])
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", ends, [made], constants),
                                   opset_imports=[onnx.helper.make_opsetid("", 25)], ir_version=12)  # fmt: skip
    i = np.array([5, 0, 3])
    (y,) = prepare(model).run({"x": x, "i": i})
    assert y.dtype == dtype.numpy
    np.testing.assert_array_equal(y.astype(np.float32), np.concatenate([x.T, w])[i].astype(np.float32))

"""The generated project: clean under every compiler, sane under sanitizers, the same bytes every time."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, WARNINGS, need
from harness import assert_close, compile_model, emitted, run_library
from networks import (
    SEED,
    all_cases,
    case_id,
    case_inputs,
    case_model,
    constant,
    expected,
    imported,
    make_model,
    random_inputs,
    random_network,
    value,
)
from onnx.helper import make_node

import edgewright as ew
from edgewright.boards import load_target
from edgewright.build import write_project
from edgewright.emit import OPTIMIZE_FLAGS, SourceTree
from edgewright.identifiers import c_identifier, comment_text, unique_identifiers
from edgewright.pipeline import load

CORTEX_M4F = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-ffreestanding"]
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


# One case in six for time's sake, every one with EDGEWRIGHT_ALL=1; the kernels' own tests run under sanitizers, too.
SOME_CASES = all_cases()[:: 1 if os.environ.get("EDGEWRIGHT_ALL") else 6]


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "flags", "share"), [
    ("gcc", [], 0), ("clang", [], 1), ("arm-none-eabi-gcc", CORTEX_M4F, 2),
], ids=["gcc", "clang", "arm"])  # fmt: skip
def test_clean_under_all_warnings(compiler: str, flags: list[str], share: int, tmp_path: Path) -> None:
    """-O3, and -O0 for one in four: model.c and weights.c of operators' cases, two at a time.

    Each compiler has a third of the cases, all with EDGEWRIGHT_ALL=1; test_ops.py has all of them by GCC at -O1.
    """
    need(compiler)

    def check(index: int, tree: SourceTree) -> None:
        folder = tmp_path / str(index)
        write_project(tree, folder)
        for level in ("-O0", "-O3") if index % 4 == 0 else ("-O3",):
            command = [compiler, "-c", "-std=c11", *WARNINGS, "-Wdouble-promotion", *flags, level, "-I.", "-Iew",
                       "model.c", "arena.c", "weights.c"]  # fmt: skip
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{tree.manifest.model.name}: {done.stderr[-3000:]}"

    chosen = all_cases() if os.environ.get("EDGEWRIGHT_ALL") else all_cases()[share::9]
    trees = [emitted(load(DIGITS)), *(emitted(imported(case_model(case), case_id(case))) for case in chosen)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, range(len(trees)), trees))


@pytest.mark.parametrize("compiler", ["gcc", pytest.param("clang", marks=pytest.mark.slow)])
@pytest.mark.parametrize("level", [pytest.param("-O0", marks=pytest.mark.slow), "-O3"])
def test_whole_digits_project_is_clean(compiler: str, level: str, tmp_path: Path) -> None:
    """All files of the project, link, port and main included."""
    need(compiler)
    write_project(emitted(load(DIGITS)), tmp_path / "p")
    sources = [str(p.relative_to(tmp_path / "p")) for p in sorted((tmp_path / "p").rglob("*.c"))]
    command = [compiler, "-c", "-std=c11", *WARNINGS, level, "-I.", "-Iew", "-Itarget", *sources]
    done = subprocess.run(command, cwd=tmp_path / "p", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_compilers_give_the_same_bits_with_the_projects_flags(tmp_path: Path) -> None:
    """Clang contracts a * b + c by default where the processor can; so does GCC, but not with -std=c11."""
    need("gcc", "clang")
    if platform.machine() == "x86_64" and " fma " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor cannot contract")
    fma = ["-mfma"] if platform.machine() == "x86_64" else []
    model = load(DIGITS)
    tree = emitted(model)
    (line,) = re.findall(r"^ +(-O\d .*)$", tree.files["CMakeLists.txt"].decode(), re.MULTILINE)
    inputs = random_inputs(model, samples=20)
    results = [
        run_library(tree, compile_model(tree, tmp_path / compiler, [*line.split(), *fma], compiler), inputs)
        for compiler in ("gcc", "clang")
    ]
    for by_gcc, by_clang in zip(*results, strict=True):
        np.testing.assert_array_equal(by_gcc.view(np.uint32), by_clang.view(np.uint32))


_DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model.h"
/* Buffers of the exact size from the heap, so that the sanitizer sees every step outside. */
int main(int argc, char **argv)
{{
    unsigned char *in[{n_in}], *out[{n_out}];
    const size_t in_bytes[] = {{ {in_bytes} }}, out_bytes[] = {{ {out_bytes} }};
    FILE *data = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!data) return 2;
    for (size_t i = 0; i < {n_in}; i++) {{
        in[i] = malloc(in_bytes[i]);
        if (fread(in[i], 1, in_bytes[i], data) != in_bytes[i]) return 3;
    }}
    for (size_t i = 0; i < {n_out}; i++) out[i] = malloc(out_bytes[i]);
    if ({prefix}_run({arguments}) != EW_OK) return 4;
    for (size_t i = 0; i < {n_out}; i++) fwrite(out[i], 1, out_bytes[i], stdout);
    for (size_t i = 0; i < {n_in}; i++) free(in[i]);
    for (size_t i = 0; i < {n_out}; i++) free(out[i]);
    fclose(data);
    return 0;
}}
"""


def sanitized_run(tree: SourceTree, folder: Path, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Compile with ASan and UBSan, run one sample in a process of its own."""
    manifest = tree.manifest
    write_project(tree, folder)
    arguments = [f"(const void *)in[{i}]" for i in range(len(manifest.inputs))]
    arguments += [f"(void *)out[{i}]" for i in range(len(manifest.outputs))]
    driver = _DRIVER.format(
        n_in=len(manifest.inputs), n_out=len(manifest.outputs), prefix=manifest.c_prefix,
        in_bytes=", ".join(str(p.size_bytes) for p in manifest.inputs),
        out_bytes=", ".join(str(p.size_bytes) for p in manifest.outputs), arguments=", ".join(arguments),
    )  # fmt: skip
    (folder / "driver.c").write_text(driver)
    command = ["gcc", "-std=c11", *SANITIZERS, "-fno-strict-aliasing", "-I.", "-Iew",
               "driver.c", "model.c", "arena.c", "weights.c", "-lm", "-o", "driver"]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True)
    (folder / "data.bin").write_bytes(b"".join(inputs[p.name][0].tobytes() for p in manifest.inputs))
    done = subprocess.run(["./driver", "data.bin"], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    outputs, at = [], 0
    for port in manifest.outputs:
        raw = np.frombuffer(done.stdout[at : at + port.size_bytes], port.dtype.numpy)
        outputs.append(raw.reshape(1, *port.shape))
        at += port.size_bytes
    return outputs


@pytest.mark.slow
@pytest.mark.parametrize("case", SOME_CASES, ids=case_id)
def test_every_operator_under_sanitizers(case: object, tmp_path: Path) -> None:
    need("gcc")
    model = imported(case_model(case))
    inputs = case_inputs(case, model)
    assert_close(sanitized_run(emitted(model), tmp_path / "p", inputs), expected(model, inputs))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_random_networks_under_sanitizers(seed: int, tmp_path: Path) -> None:
    need("gcc")
    model = imported(random_network(seed))
    inputs = random_inputs(model)
    assert_close(sanitized_run(emitted(model), tmp_path / "p", inputs), expected(model, inputs))


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[] if seed < SEED + 3 else pytest.mark.slow) for seed in range(SEED, SEED + 6)]
)
@pytest.mark.parametrize("optimize", ["speed", "ram"])
def test_random_networks_on_host(seed: int, optimize: str, tmp_path: Path) -> None:
    need("gcc")
    model = imported(random_network(seed))
    tree = emitted(model, "host", optimize)
    flags = (*OPTIMIZE_FLAGS[optimize], *WARNINGS)
    inputs = random_inputs(model, samples=3)
    library = compile_model(tree, tmp_path / "p", flags)
    assert_close(run_library(tree, library, inputs), expected(model, inputs))


def test_bad_pointers_are_refused(tmp_path: Path) -> None:
    need("gcc")
    tree = emitted(load(DIGITS))
    write_project(tree, tmp_path / "p")
    (tmp_path / "p" / "t.c").write_text(
        '#include "model.h"\nstatic float b[65];\n'
        "int main(void) { return digits_run(NULL, b) == EW_BAD_ARGUMENT && digits_run(b, NULL) == EW_BAD_ARGUMENT &&\n"
        "  digits_run((const float *)(const void *)((const char *)b + 1), b) == EW_BAD_ARGUMENT ? 0 : 1; }\n"
    )
    command = ["gcc", "-std=c11", "-I.", "-Iew", "t.c", "model.c", "arena.c", "weights.c", "-lm", "-o", "t"]
    subprocess.run(command, cwd=tmp_path / "p", check=True)
    subprocess.run(["./t"], cwd=tmp_path / "p", check=True)


@pytest.mark.slow
def test_two_generations_are_the_same_bytes(tmp_path: Path) -> None:
    """In two processes, with other hash seeds, from other folders."""
    for index in range(2):
        where = tmp_path / f"from{index}"
        where.mkdir()
        command = [sys.executable, "-m", "edgewright", "generate", str(DIGITS), "-t", "mps2-an386", "-q",
                   "-o", str(tmp_path / f"out{index}")]  # fmt: skip
        subprocess.run(command, cwd=where, check=True, env={**os.environ, "PYTHONHASHSEED": str(index)})
    first, second = (tmp_path / f"out{i}" for i in range(2))
    names = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
    assert len(names) > 20
    for name in names:
        body = (first / name).read_bytes()
        assert body == (second / name).read_bytes(), name
        assert str(tmp_path).encode() not in body, f"{name} holds a path"


def test_only_the_kernels_it_uses() -> None:
    files = emitted(load(DIGITS)).files
    assert "ew/ew_conv2d_f32.h" in files
    assert "ew/ew_softmax_f32.h" in files
    assert not {"ew/ew_pad_f32.h", "ew/ew_matmul_f32.h", "ew/ew_tanh_f32.h"} & set(files)
    wanted = {name for body in files.values() for name in re.findall(rb'#include "(ew_[a-z0-9_]+\.h)"', body)}
    there = {Path(name).name.encode() for name in files}
    assert wanted <= there


def test_what_a_project_holds() -> None:
    files = set(emitted(load(DIGITS), "mps2-an386").files)
    assert {"model.h", "model.c", "arena.c", "weights.c", "main.c", "CMakeLists.txt", "README.md", "edgewright.json",
            "target/toolchain.cmake", "target/linker.ld", "target/startup.c"} <= files  # fmt: skip


FORBIDDEN = re.compile(r"\b(malloc|calloc|realloc|free|_?s?n?printf|fopen|fwrite|puts|alloca|setjmp|_sbrk)\b")


def test_firmware_has_no_heap_and_no_stdio(emulated_m4: str, tmp_path: Path) -> None:
    from edgewright.build import build

    tree = emitted(load(DIGITS), emulated_m4)
    write_project(tree, tmp_path / "p")
    firmware = build(tmp_path / "p", tree.manifest, load_target(emulated_m4))
    command = ["arm-none-eabi-nm", "-P", str(firmware.elf)]
    symbols = {
        line.split()[0]
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    }
    assert "digits_run" in symbols
    assert not {name for name in symbols if FORBIDDEN.search(name)}


def test_cmake_alone_builds_it(tmp_path: Path) -> None:
    need("gcc", "cmake")
    write_project(emitted(load(DIGITS)), tmp_path / "a project")
    for command in (["cmake", "-B", "build"], ["cmake", "--build", "build"]):
        subprocess.run(command, cwd=tmp_path / "a project", check=True, capture_output=True)
    assert (tmp_path / "a project" / "build" / "firmware").exists()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["host", pytest.param("mps2-an386", marks=pytest.mark.slow)])
def test_weights_in_a_file_give_the_same_results(target: str, tmp_path: Path) -> None:
    if target != "host":
        need("arm-none-eabi-gcc", "qemu-system-arm")
    model, results = load(DIGITS), []
    x = random_inputs(model, samples=3)["image"][:, 0]
    for weights in ("c", "binary"):
        generated = ew.generate(model, target, weights=weights)
        assert ("weights.bin" in generated.tree.large_files) == (weights == "binary")
        with generated.build(tmp_path / "a b" / weights).flash() as board:  # a blank for the assembler's search path
            results.append(board.predict(x))
    for name, values in results[0].outputs.items():
        np.testing.assert_array_equal(values, results[1].outputs[name])
    sizes = [result.report().build.weights_bytes for result in results]
    assert sizes[0] == sizes[1] > 0


def test_large_weights_go_to_a_file(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).normal(size=(600, 500)).astype(np.float32)
    nodes = [make_node("MatMul", ["x", "w"], ["y"])]
    model = imported(make_model(nodes, [value("x", [1, 600])], ["y"], [constant("w", weights)]))
    assert "weights.bin" in emitted(model, "mps2-an386").large_files
    assert not emitted(load(DIGITS)).large_files


@pytest.mark.parametrize("text", [
    '*/ system("x"); /*', "a\nb", "??/\n", "\\\n", "naïve", "", "9lives", "for", "x" * 500, "'\"%s{}",
])  # fmt: skip
def test_hostile_names(text: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", c_identifier(text))
    assert "*/" not in comment_text(text)
    assert not set(comment_text(text)) & set('\n\\"?%{}')
    names = unique_identifiers([text, text, c_identifier(text)])
    assert len(set(names)) == 3


def test_a_model_with_hostile_names_compiles(tmp_path: Path) -> None:
    need("gcc")
    proto = random_network(SEED)
    evil = '*/ int main(void){} /* "%s" \\\n ??/ é'
    renamed = {"x": evil, proto.graph.output[0].name: evil + "2"}
    for node in proto.graph.node:
        node.name = evil
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = renamed.get(name, name + evil)
    for tensor in proto.graph.initializer:
        tensor.name += evil
    proto.graph.input[0].name, proto.graph.output[0].name = evil, evil + "2"
    model = imported(proto, evil)
    tree = emitted(model)
    inputs = random_inputs(model)
    library = compile_model(tree, tmp_path / "p", ("-O1", *WARNINGS))
    assert_close(run_library(tree, library, inputs), expected(model, inputs))


def test_the_test_set_is_large_enough() -> None:
    with np.load(DIGITS_TEST, allow_pickle=False) as data:
        assert len(data["x"]) >= 360
    assert DIGITS.stat().st_size + DIGITS_TEST.stat().st_size < 300_000

"""examples/two_models: two generated networks in one program with one arena, on the host and on an emulated board."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, REPOSITORY, WARNINGS, need
from firmware import build_command, running, write_target_files
from harness import compile_model, emitted, run_library

from edgewright.boards import load_target
from edgewright.build import write_project
from edgewright.drivers import process
from edgewright.frontends.reference import run_reference
from edgewright.pipeline import load

EXAMPLE = REPOSITORY / "examples" / "two_models"
MODELS = {"digits": DIGITS, "keywords": REPOSITORY / "examples" / "keywords" / "keywords.onnx"}
FLAGS = ["-std=c11", "-O2", "-fno-strict-aliasing", "-ffp-contract=off"]
ROUNDS = 3
SEED = 20240

HOST_MAIN = r"""
#include "two_models.h"
#include <stdio.h>
int main(void)
{
    float image[N_PIXELS], features[N_FEATURES], digits[N_DIGITS], words[N_WORDS];
    while (fread(image, sizeof image, 1, stdin) == 1 && fread(features, sizeof features, 1, stdin) == 1) {
        if (!read_digit(image, digits) || !hear_word(features, words)) {
            return 1;
        }
        fwrite(digits, sizeof digits, 1, stdout);
        fwrite(words, sizeof words, 1, stdout);
    }
    return read_digit(NULL, digits); /* refused */
}
"""

BOARD_MAIN = r"""
#include "two_models.h"
#include "ew_port.h"
static float image[N_PIXELS], features[N_FEATURES], digits[N_DIGITS], words[N_WORDS];
static void receive(void *to, size_t n_bytes)
{
    for (size_t n = 0; n < n_bytes;) {
        n += ew_port_read((uint8_t *)to + n, n_bytes - n);
    }
}
int main(void)
{
    ew_port_init();
    for (;;) {
        receive(image, sizeof image);
        receive(features, sizeof features);
        uint32_t done = (uint32_t)(read_digit(image, digits) + hear_word(features, words));
        ew_port_write((const uint8_t *)digits, sizeof digits);
        ew_port_write((const uint8_t *)words, sizeof words);
        ew_port_write((const uint8_t *)&done, sizeof done);
    }
}
"""


def samples() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(SEED)
    return {"image": rng.random((ROUNDS, 1, 1, 8, 8), np.float32),
            "features": rng.standard_normal((ROUNDS, 1, 1, 49, 10)).astype(np.float32)}  # fmt: skip


def write_models(folder: Path, target: str) -> dict[str, int]:
    """Generate both into the folder, beside the example; returns the arenas' sizes."""
    sizes = {}
    for name, path in MODELS.items():
        tree = emitted(load(path), target)
        write_project(tree, folder / name)
        sizes[name] = tree.manifest.memory.arena_bytes
    for source in EXAMPLE.glob("two_models.*"):
        (folder / source.name).write_bytes(source.read_bytes())
    return sizes


SANITIZED = pytest.param(("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"), marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), SANITIZED], ids=["plain", "sanitized"])
def test_on_the_host(tmp_path: Path, more: tuple[str, ...]) -> None:
    need("gcc")
    write_models(tmp_path, "host")
    (tmp_path / "main.c").write_text(HOST_MAIN)
    objects = []
    for source, include in (
        ("main.c", ["-I."]), ("two_models.c", ["-I.", "-Idigits/ew", "-Ikeywords/ew"]),
        *((f"{name}/{part}.c", [f"-I{name}", f"-I{name}/ew"]) for name in MODELS for part in ("model", "weights")),
    ):  # fmt: skip
        objects.append(source.replace("/", "-").replace(".c", ".o"))
        process.run(["gcc", *FLAGS, *WARNINGS, *more, *include, "-c", source, "-o", objects[-1]], cwd=tmp_path,
                    timeout_s=120)  # fmt: skip
    process.run(["gcc", *more, *objects, "-lm", "-o", "app"], cwd=tmp_path, timeout_s=60)
    data = samples()
    packed = b"".join(data["image"][i].tobytes() + data["features"][i].tobytes() for i in range(ROUNDS))
    (tmp_path / "in.bin").write_bytes(packed)
    with (tmp_path / "in.bin").open("rb") as stdin:
        out = subprocess.run(["./app"], cwd=tmp_path, stdin=stdin, capture_output=True, check=True, timeout=60).stdout
    got = np.frombuffer(out, np.float32).reshape(ROUNDS, 22)
    for name, port, columns in (("digits", "image", slice(0, 10)), ("keywords", "features", slice(10, 22))):
        tree = emitted(load(MODELS[name]), "host")
        library = compile_model(tree, tmp_path / f"alone-{name}", FLAGS[1:])
        (alone,) = run_library(tree, library, {port: data[port]})
        np.testing.assert_array_equal(got[:, columns], alone.reshape(ROUNDS, -1))


@pytest.mark.slow
def test_on_an_emulated_board(tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    target = load_target("mps2-an386")
    sizes = write_models(tmp_path, target.name)
    write_target_files(target, tmp_path)
    (tmp_path / "main.c").write_text(BOARD_MAIN)
    words = ["two_models.c", "-Idigits/ew", "-Ikeywords/ew", "-fno-strict-aliasing", "-ffp-contract=off"]
    words += [f"{name}/{part}.c" for name in MODELS for part in ("model", "weights")]
    process.run([*build_command(target, words), "-o", "a.elf"], cwd=tmp_path, timeout_s=120)
    symbols = process.run(["arm-none-eabi-nm", "-S", "a.elf"], cwd=tmp_path, timeout_s=30).stdout
    arenas = [int(line.split()[1], 16) for line in symbols.splitlines() if line.endswith(" arena")]
    assert arenas == [max(sizes.values())]
    data = samples()
    with running(target, tmp_path / "a.elf", "plugin") as board:
        for i in range(ROUNDS):
            board.socket.sendall(data["image"][i].tobytes() + data["features"][i].tobytes())
            answer = board.read(22 * 4 + 4)
            assert struct.unpack("<I", answer[-4:]) == (2,)
            got = np.frombuffer(answer[:-4], np.float32)
            for name, port, part in (("digits", "image", got[:10]), ("keywords", "features", got[10:])):
                model = load(MODELS[name])
                expected = run_reference(model.serialized, {port: data[port][i : i + 1]}).outputs[0]
                np.testing.assert_allclose(part, np.asarray(expected).reshape(-1), atol=1e-5)

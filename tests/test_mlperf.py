"""MLPerf Tiny's protocol: every answer word by word, numbers to the last bit, and whole deployments over it.

The official runner of mlcommons/tiny is not part of the project; docs/MLPERF.md says how it was tried.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, REPOSITORY, WARNINGS, need
from networks import imported, value
from onnx import TensorProto, helper

import edgewright as ew
from edgewright.drivers.device import open_device
from edgewright.drivers.mlperf import MlperfLine
from edgewright.drivers.process import start
from edgewright.errors import DeviceError, EdgewrightError, PortError, TargetError

SEED = 20260806
FUZZ_S = int(os.environ.get("EDGEWRIGHT_FUZZ_S", "4"))

# A program around the front: a port on standard input and output, and a model that copies 16 bytes to all its outputs.
PROGRAM = r"""
#include <string.h>
#include <unistd.h>
#include "ew_mlperf.h"
#include "ew_port.h"

static uint8_t memory[MEMORY] __attribute__((aligned(16)));
static uint64_t now;
static int runs;

size_t ew_port_read(uint8_t *dst, size_t max) { ssize_t n = read(0, dst, max); return n > 0 ? (size_t)n : 0; }
void ew_port_write(const uint8_t *src, size_t n) { while (n > 0) { ssize_t k = write(1, src, n); if (k < 1) _exit(9);
    src += k; n -= (size_t)k; } }
uint64_t ew_port_ticks(void) { return now; }
uint32_t ew_port_timer_hz(void) { return 25000000u; }
void ew_port_roi_begin(void) {}
void ew_port_roi_end(void) { now += 2500u; }
uint8_t *ew_port_batch_memory(size_t *n_bytes) { *n_bytes = sizeof memory; return memory; }
ew_reset_cause ew_port_reset_cause(void) { return EW_RESET_POWER_ON; }
void ew_port_alive(void) {}
void ew_mlperf_pulse(void) { ew_port_write((const uint8_t *)"<pulse>", 7); }
ew_status ew_mlperf_invoke(const uint8_t *input, uint8_t *output) {
    runs++;
    memcpy(output, input, 16);
    memcpy(output + 16, input, 16);
    memcpy(output + 32, input, 16);
    return input[0] == 0xEE && input[1] == 0xEE ? EW_BAD_ARGUMENT : EW_OK;
}

static const ew_mlperf_output outputs[] = {{0, 4, 4, EW_MLPERF_FLOAT32}, {16, 3, 1, EW_MLPERF_SIGNED},
    {16, 3, 1, EW_MLPERF_UNSIGNED}, {32, 2, 8, EW_MLPERF_SIGNED}, {32, 2, 4, EW_MLPERF_SIGNED}};
static const ew_mlperf_model model = {.name = "me", .model = "kws01", .build_id = "c0ffee", .load_bytes = 16,
    .input_bytes = 16, .output_bytes = 48, .outputs = outputs, .n_outputs = OUTPUTS, .energy = ENERGY};
int main(void) { return ew_mlperf_serve(&model); }
"""


class Program:
    """The front as a process; `ask` gives the answer to a command."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.greeting = self.read()

    def read(self, readies: int = 1) -> str:
        assert self.process.stdout is not None
        text, deadline = "", time.monotonic() + 10
        while text.count("m-ready\r\n") < readies and time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                text += self.process.stdout.read1().decode()
        return text

    def ask(self, command: str | bytes) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"%" if isinstance(command, str) else command)
        self.process.stdin.flush()
        answer = self.read()
        assert answer.endswith("m-ready\r\n") and answer.count("m-ready") == 1
        return answer[: -len("m-ready\r\n")]

    def load(self, data: bytes) -> None:
        assert self.ask(f"db load {len(data)}") == f"m-[Expecting {len(data)} bytes]\r\n"
        assert self.ask(f"db {data.hex()}") == "m-load-done\r\n"

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.process.stdout.close()


def program(folder: Path, *defines: str) -> Path:
    need("gcc")
    runtime = REPOSITORY / "runtime_c"
    (folder / "main.c").write_text(PROGRAM)
    out, checks = folder / "front", ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    argv = ["gcc", "-std=gnu11", "-O1", *WARNINGS, *checks, *defines,
            *(f"-I{runtime / name}" for name in ("include", "link", "mlperf")), str(folder / "main.c"),
            str(runtime / "mlperf" / "ew_mlperf.c"), "-o", str(out)]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program(tmp_path_factory.mktemp("front"), "-DMEMORY=64", "-DOUTPUTS=5", "-DENERGY=0")


@pytest.fixture
def front(binary: Path) -> Iterator[Program]:
    running = Program(binary)
    yield running
    running.close()


def test_answers(front: Program) -> None:
    assert front.greeting == "m-timestamp-mode-performance\r\nm-init-done\r\nm-ready\r\n"
    assert front.ask("name") == "m-name-dut-[me]\r\n"
    assert front.ask("profile") == (
        "m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[kws01]\r\nm-build-[c0ffee]\r\n"
    )
    assert front.ask("timestamp") == "m-lap-us-0\r\n"
    assert "db load N" in front.ask("help")
    assert front.ask("") == "" and front.ask("  ") == ""
    assert front.ask("reboot now") == "e-[Unknown command: reboot]\r\n"
    assert front.ask(b"\r\nname\r\n%") == "m-name-dut-[me]\r\n"
    assert front.ask("x" * 81) == "e-[Command too long]\r\n"
    assert front.ask("x" * 80).startswith("e-[Unknown command: xxx")
    assert front.ask("db") == "e-[Command 'db' requires a subcommand]\r\n"


def test_load_and_infer(front: Program) -> None:
    data = bytes(range(16))
    assert front.ask("infer 1 0") == "e-[Loaded 0 bytes; the model takes 16]\r\n"
    assert front.ask("db load 0") == "e-[Command 'db load' must be >0 bytes]\r\n"
    assert front.ask("db load x") == "e-[Command 'db load' must be >0 bytes]\r\n"
    assert front.ask("db load 17") == "e-[The model takes 16 bytes]\r\n"
    assert front.ask("db aa") == ""  # nothing was announced
    assert front.ask("db load 16") == "m-[Expecting 16 bytes]\r\n"
    assert front.ask("db 000") == "e-[Insufficent number of hex digits]\r\n"
    assert front.ask("db 0g") == "e-[Invalid hex digit]\r\n"
    assert front.ask(f"db {data[:10].hex()}") == ""
    assert front.ask("infer 1 0") == "e-[Loaded 10 bytes; the model takes 16]\r\n"
    assert front.ask(f"db {data[10:].hex().upper()}ffff") == "m-load-done\r\n"
    assert front.ask("db print 10") == "m-buffer-00-01-02-03-04-05-06-07\r\nm-buffer-08-09\r\n"
    assert front.ask("db print 9 14") == "m-buffer-0e-0f\r\n"
    answer = front.ask("infer 70 3")
    assert re.fullmatch(
        r"m-warmup-start-3\r\nm-warmup-done\r\nm-infer-start-70\r\nm-lap-us-300\r\nm-lap-us-7300\r\nm-infer-done\r\n"
        r"m-results-\[[^\]\r]*\]\r\n", answer
    )  # fmt: skip
    assert front.ask("infer").startswith("m-warmup-start-10\r\nm-warmup-done\r\nm-infer-start-1\r\n")
    assert front.ask("results") == answer.splitlines()[-1] + "\r\n"
    for wrong in ("infer 0", "infer -1 0", "infer 1e3", "infer 99999999999999999999 0"):
        assert front.ask(wrong) == "e-[Inference iterations must be >0]\r\n"
    assert front.ask("infer 1 -1") == "e-[Inference warmup must be >=0]\r\n"
    front.load(b"\xee" * 16)
    assert front.ask("infer 1 0").endswith("e-[The model returned 1]\r\n")


def test_numbers_are_exact(front: Program) -> None:
    """Every float32 comes back as itself: corners, halves of the last digit, and random bits (seeded)."""
    rng = np.random.default_rng(SEED)
    bits = rng.integers(0, 2**32, 200, dtype=np.uint32)
    corners = [0.0, -0.0, 1.0, -1.0, 0.1, 9.99999999e8, 1e9, 16777215.0, 3.4028235e38, 1e-45, 1.1754944e-38, 0.5]
    corners += [1.17549421e-38, 99999.9961, float("inf"), float("-inf"), float("nan"), 4.5e-44, 123456.789, 2.0**-149]
    values = np.concatenate([np.array(corners, np.float32), bits.view(np.float32)])
    for start_at in range(0, len(values), 4):
        four = values[start_at : start_at + 4]
        front.load(four.tobytes())
        words = front.ask("infer 1 0").splitlines()[-1].removeprefix("m-results-[").removesuffix("]").split(",")
        back = np.array([float(word) for word in words[:4]], np.float32)
        np.testing.assert_array_equal(back, four, err_msg=f"seed {SEED}: {words}")
        assert (np.signbit(back) == np.signbit(four))[~np.isnan(four)].all()
        raw = four.tobytes()
        ints = [
            *np.frombuffer(raw[:3], np.int8),
            *raw[:3],
            *np.frombuffer(raw, np.int64),
            *np.frombuffer(raw[:8], np.int32),
        ]
        assert [int(word) for word in words[4:]] == [int(value) for value in ints]
    front.load(np.array([1.0, 0.99999994, 1e-3, 12.0], np.float32).tobytes())
    shown = front.ask("infer 1 0").splitlines()[-1].split(",")[:4]
    assert shown == ["m-results-[1.00000000e0", "9.99999940e-1", "1.00000005e-3", "1.20000000e1"]


def test_energy_form_and_a_board_without_room(tmp_path: Path) -> None:
    energy = Program(program(tmp_path, "-DMEMORY=64", "-DOUTPUTS=1", "-DENERGY=1"))
    assert energy.greeting.startswith("m-timestamp-mode-energy\r\n")
    assert energy.ask("timestamp") == "<pulse>"
    energy.load(bytes(16))
    assert energy.ask("infer 2 0") == (
        "m-warmup-start-0\r\nm-warmup-done\r\nm-infer-start-2\r\n<pulse><pulse>m-infer-done\r\n"
        "m-results-[0.0,0.0,0.0,0.0]\r\n"
    )
    energy.close()
    small = Program(program(tmp_path, "-DMEMORY=63", "-DOUTPUTS=1", "-DENERGY=0"))
    assert small.greeting.startswith("e-[No memory for one sample]\r\n")
    assert small.ask("infer 1 0") == "e-[No memory for one sample]\r\n"
    assert small.ask("results") == "m-results-[]\r\n"
    small.close()


def test_rubbish_does_no_harm(binary: Path) -> None:
    """Random bytes, of which many are words of the protocol, under the sanitizers; then it still answers."""
    rng = np.random.default_rng(SEED)
    words = [
        b"db ",
        b"load ",
        b"16",
        b"%",
        b"infer ",
        b"1 ",
        b"print ",
        b"results",
        b"-",
        b"00ff",
        b"999999999",
        b"\xff\x00",
    ]
    running = Program(binary)
    stream = b"".join(words[i] if i < len(words) else rng.bytes(3) for i in rng.integers(0, len(words) + 2, 20000))
    assert running.process.stdin is not None
    # Counts are cut: thousands of inferences a command would only take time.
    running.process.stdin.write(stream.replace(b"infer", b"inf") + b"%")
    running.process.stdin.flush()
    running.read(stream.count(b"%") + 1)
    assert running.process.poll() is None, f"seed {SEED}"
    assert running.ask("name") == "m-name-dut-[me]\r\n"
    running.close()


# ---- whole projects


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    with np.load(DIGITS_TEST) as data:
        return data["x"][:12], data["y"][:12]


@pytest.fixture(scope="module")
def host_built() -> ew.Built:
    need("gcc")
    return ew.generate(ew.load(DIGITS), "host", front="mlperf", mlperf_model="kws01").build()


def test_deploy_over_the_protocol(host_built: ew.Built, samples: tuple[np.ndarray, np.ndarray]) -> None:
    """The same outputs as in-process, to the bit."""
    x, y = samples
    with host_built.flash() as board:
        own = board.predict(x)
    with host_built.flash("pty") as board:
        result = board.predict(x)
        again = board.predict(x[:2])
        assert board.is_alive()
    np.testing.assert_array_equal(result.outputs["probabilities"], own.outputs["probabilities"])
    np.testing.assert_array_equal(again.outputs["probabilities"], own.outputs["probabilities"][:2])
    report = result.report(y)
    assert report.fidelity.passed and report.run.energy_uj is None and report.run.energy_source is None


@pytest.mark.slow
def test_deploy_on_a_board(samples: tuple[np.ndarray, np.ndarray]) -> None:
    """The same outputs and instructions as over edgewright's own link, and a bounded stack."""
    need("arm-none-eabi-gcc", "qemu-system-arm")
    model = ew.load(DIGITS)
    built = ew.generate(model, "mps2-an386", front="mlperf").build()
    with built.flash() as board:
        result = board.predict(samples[0])
    with ew.generate(model, "mps2-an386").build().flash() as board:
        own = board.predict(samples[0])
    np.testing.assert_array_equal(result.outputs["probabilities"], own.outputs["probabilities"])
    np.testing.assert_array_equal(result.run.instructions, own.run.instructions)
    assert built.firmware.stack.total_bytes is not None


def test_the_client(host_built: ew.Built, samples: tuple[np.ndarray, np.ndarray]) -> None:
    firmware = host_built.firmware
    with start([firmware.elf]) as process:
        url = process.wait_for_line(r"^(/dev/\S+)$", 10).group(1)
        with MlperfLine(url) as line:
            line.connect()
            said = line.profile()
            assert (said["model"], said["build"]) == ("kws01", firmware.manifest.build_id)
            with pytest.raises(DeviceError, match=r"'db load 4096%' was answered with e-\[The model takes 256 bytes\]"):
                line.load(bytes(4096))
            with pytest.raises(DeviceError, match=r"answered with e-\[Loaded 0 bytes; the model takes 256\]"):
                line.infer()
            line.load(samples[0][0].astype(np.float32).tobytes())
            texts, laps = line.infer(5, 2)
            assert len(texts) == 10 and len(laps) == 2 and laps[0] <= laps[1]
        other = replace(firmware, manifest=firmware.manifest.model_copy(update={"build_id": "0" * 32}))
        with pytest.raises(PortError, match=r"runs another build \(.*'kws01'\)"):
            open_device(other, url)


def test_choices_are_checked(tmp_path: Path) -> None:
    model = ew.load(DIGITS)
    with pytest.raises(EdgewrightError, match="--front tiny: expected one of link, mlperf, mlperf-energy"):
        ew.generate(model, "host", front="tiny")
    with pytest.raises(EdgewrightError, match="--mlperf-model kws01: it is for --front mlperf"):
        ew.generate(model, "host", mlperf_model="kws01")
    with pytest.raises(EdgewrightError, match="at most 32 letters"):
        ew.generate(model, "host", front="mlperf", mlperf_model='a"b')
    with pytest.raises(
        TargetError, match=r"'mps2-an386' has no EW_MARK_INIT, EW_MARK_LOW, EW_MARK_HIGH in its \[defines\]"
    ):
        ew.generate(model, "mps2-an386", front="mlperf-energy")
    argv = [sys.executable, "-m", "edgewright", "deploy", str(DIGITS), "-t", "host", "--data", str(DIGITS_TEST)]
    done = subprocess.run([*argv, "--front", "mlperf-energy"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "power meter" in done.stderr


@pytest.mark.slow
def test_energy_form_on_a_board(tmp_path: Path, samples: tuple[np.ndarray, np.ndarray]) -> None:
    """9600 baud and a pin, for a board that says which: here a word in memory stands for it."""
    need("arm-none-eabi-gcc", "qemu-system-arm")
    folder = tmp_path / "desk"
    folder.mkdir()
    text = (REPOSITORY / "targets" / "mps2-an386" / "target.toml").read_text().replace('"mps2-an386"', '"desk"', 1)
    pin = "EW_REG32(0x01000000u)"
    marks = f'EW_MARK_INIT = "{pin} = 0u"\nEW_MARK_LOW = "{pin} = 0u"\nEW_MARK_HIGH = "{pin} = 1u"\n'
    (folder / "target.toml").write_text(text.replace("[defines]\n", f"[defines]\n{marks}"))
    generated = ew.generate(ew.load(DIGITS), str(folder), front="mlperf-energy")
    assert b"#define EW_UART_BAUD 9600" in generated.tree.files["target/ew_board.h"]
    with generated.build().flash() as board:
        assert board.is_alive()
        with pytest.raises(DeviceError, match="the energy form has no timestamps on its line"):
            board.predict(samples[0])


@pytest.mark.parametrize(("elem_type", "name"), [
    (TensorProto.BFLOAT16, "bfloat16"), (TensorProto.FLOAT16, "float16"), (TensorProto.FLOAT8E5M2, "float8_e5m2"),
])  # fmt: skip
def test_numbers_that_it_cannot_print_are_refused(elem_type: int, name: str) -> None:
    """It must not print the bits of a narrow float as if they were an integer."""
    cast = helper.make_node("Cast", ["x"], ["y"], to=elem_type)
    graph = helper.make_graph([cast], "net", [value("x", (1, 4))], [value("y", (1, 4), elem_type)])
    model = imported(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9))
    with pytest.raises(EdgewrightError, match=f"--front mlperf prints numbers: output 'y' is {name}"):
        ew.generate(model, "host", front="mlperf")


@pytest.mark.slow
def test_the_front_under_libfuzzer(tmp_path: Path) -> None:
    need("clang")
    runtime = REPOSITORY / "runtime_c"
    argv = ["clang", "-std=c11", *WARNINGS, "-O1", "-g", "-fsanitize=fuzzer,address,undefined",
            "-fno-sanitize-recover=all", *(f"-I{runtime / name}" for name in ("include", "link", "mlperf")),
            str(REPOSITORY / "tests" / "c" / "mlperf_fuzz.c"), str(runtime / "mlperf" / "ew_mlperf.c"),
            "-o", str(tmp_path / "f")]  # fmt: skip
    built = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if "libclang_rt.fuzzer" in built.stderr:
        pytest.skip("this clang has no libFuzzer")
    assert built.returncode == 0, built.stderr
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    load = b"db load 20%db " + bytes(range(20)).hex().encode() + b"%db print%"
    (corpus / "infer").write_bytes(b"\x07\x00" + load + b"infer 3 1%results%")
    (corpus / "energy").write_bytes(b"\x50\x01name%timestamp%profile%" + load + b"infer 2%help%")
    done = subprocess.run(
        [tmp_path / "f", f"-max_total_time={FUZZ_S}", "-max_len=600", f"-seed={SEED}", corpus],
        capture_output=True, text=True, timeout=FUZZ_S + 60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]

"""Every emulated board: start-up, line, timer, counting and a network; collected from targets/."""

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_CALIBRATION, DIGITS_TEST, REPOSITORY, SHARED_MODELS, need_tools
from firmware import build_firmware, running

import edgewright as ew
from edgewright.boards import list_targets, load_target
from edgewright.drivers import process
from edgewright.errors import MemoryPlanError

TARGETS = [target for target in list_targets() if target.device == "emulator"]
FEATURE_BITS = {"fpu": 1, "dsp": 2, "mve": 4}
MACROS = {"__ARM_FP": "fpu", "__riscv_flen": "fpu", "__ARM_FEATURE_DSP": "dsp", "__ARM_FEATURE_MVE": "mve"}
UNDEFINED_INSTRUCTION = {"a": 3, "r": 2}  # what a fault's report calls it: HardFault of a Cortex-M, mcause of RISC-V
UNDEFINED_IN_ARM_STATE = 17  # 16 and the vector


ONE_OF_EACH_CORE = {target.isa: target.name for target in reversed(TARGETS)}.values()
PARAMS = [
    pytest.param(target, marks=() if target.name in ONE_OF_EACH_CORE else pytest.mark.slow, id=target.name)
    for target in TARGETS
]


@pytest.fixture(scope="module", params=PARAMS)
def target(request):
    need_tools(request.param, "cc")
    return request.param


@pytest.fixture(scope="module")
def elf(target, tmp_path_factory):
    return build_firmware(target, tmp_path_factory.mktemp(target.name), arena_bytes=4096)


def test_flags_and_features_agree(target):
    flags = target.toolchain.cpu_flags
    macros = process.run([target.toolchain.compiler, *flags, "-dM", "-E", "-x", "c", "/dev/null"], timeout_s=30).stdout
    defined = {line.split()[1] for line in macros.splitlines()}
    has = {feature for macro, feature in MACROS.items() if macro in defined}
    if "__thumb2__" not in defined:
        has.discard("dsp")  # the kernels for it are Thumb code
    if "mve" in has:
        has.discard("dsp")  # such a core has both, and kernels for it use MVE
    assert has == set(target.features)


def test_start_up_line_and_exact_counts(target, elf):
    with running(target, elf, "plugin") as board:
        board.wake()
        for command in (b"l", b"p", b"l"):
            board.ask(command)
        assert board.emulator.read_counts()[:, 0, 0].tolist() == [200_000, 2, 200_000]
        wanted = sum(FEATURE_BITS[feature] for feature in target.features)
        assert board.ask(b"c")[1] & wanted == wanted
        assert board.ask(b"d")[1] == 1234
        _, n_bytes = board.ask(b"b")
        rest = target.data_memory.bytes - target.stack.bytes - 4096
        assert 0.4 * rest < n_bytes < rest
        assert board.ask(b"z")[1] == target.stack.bytes
        assert 0 < board.ask(b"u")[1] < 1024
        board.socket.sendall(b"f")
        in_arm_state = "-marm" in target.toolchain.cpu_flags
        number = UNDEFINED_IN_ARM_STATE if in_arm_state else UNDEFINED_INSTRUCTION[target.isa[0]]
        assert board.read_fault().startswith(b"\0edgewright fault: exception=%08x " % number)


def test_timer_counts_instructions_where_the_plugin_cannot(target, elf):
    if target.emulator.counting.plugin is None:
        pytest.skip("this emulator counts by itself")
    with running(target, elf, "icount") as board:
        board.wake()
        ticks, _ = board.ask(b"l")
        per_tick = board.emulator.instructions_per_tick
        assert abs(ticks * per_tick - 200_000) <= 2 * per_tick + 100  # on some boards reading the timer takes 60


@pytest.fixture(scope="module")
def digits_int8():
    with np.load(DIGITS_CALIBRATION) as data:
        return ew.quantize(ew.load(DIGITS), data["x"][:64], rounding="nearest")


@pytest.mark.slow
def test_digits_int8(target, digits_int8):
    """The same bits on every board: those of the reference."""
    data = np.load(DIGITS_TEST)
    with ew.generate(digits_int8, target.name).build().flash() as board:
        result = board.predict(data["x"][:4])
    report = result.report(data["y"][:4])
    assert report.fidelity.mismatching_elements == 0
    assert report.kpi.accuracy == 1.0
    assert report.run.instructions_source == "plugin, exact"
    assert report.run.instructions_min > report.model.macs / 16
    assert report.build.ram_bytes <= target.ram_bytes
    if "-marm" in target.toolchain.cpu_flags:  # the stack of ARM code is measured only
        assert report.build.stack_bound_bytes is None
    else:
        assert report.build.stack_bytes <= report.build.stack_bound_bytes <= target.stack.bytes


TOO_SMALL = {"stm32vldiscovery"}  # 8 KB of RAM


@pytest.fixture(scope="module")
def keywords_int8():
    """A keyword spotter and three integer samples: MLPerf Tiny's, else the one of examples/keywords, on noise."""
    if SHARED_MODELS.is_dir():
        return ew.load(SHARED_MODELS / "kws_int8_qdq.onnx"), np.load(SHARED_MODELS / "kws_int8.npz")["x"][:3]
    rng = np.random.default_rng(20)
    noise = rng.uniform(-280, 80, (16, 1, 49, 10)).astype(np.float32)
    model = ew.load(REPOSITORY / "examples" / "keywords" / "keywords.onnx")
    return ew.quantize(model, noise, rounding="nearest", io="int8"), rng.integers(-128, 128, noise[:3].shape, np.int8)


@pytest.mark.slow
def test_keywords_int8(target, keywords_int8):
    """The same bits on every board that has the RAM: 10 to 18 KB for the arena, 50 KB of flash."""
    model, samples = keywords_int8
    if target.name in TOO_SMALL:
        with pytest.raises(MemoryPlanError, match=r"the plan needs .* has 8,192 B"):
            ew.generate(model, target.name)
        return
    with ew.generate(model, target.name).build().flash() as board:
        report = board.predict(samples).report()
    assert report.fidelity.reference == "numpy-integer"
    assert report.fidelity.mismatching_elements == 0
    assert report.run.samples == 3
    assert report.build.ram_bytes <= target.ram_bytes
    assert report.build.flash_bytes <= sum(region.bytes for region in target.flash_regions)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ONE_OF_EACH_CORE))
def test_digits(name):
    """The float network of examples/digits is as good on each kind of core as on the host."""
    target = load_target(name)
    need_tools(target, "cc")
    data = np.load(DIGITS_TEST)
    with ew.generate(ew.load(DIGITS), name).build().flash() as board:
        result = board.predict(data["x"][:20])
    report = result.report(data["y"][:20])
    assert report.fidelity.passed
    assert report.kpi.accuracy == 1.0
    assert report.run.instructions_source == "plugin, exact"
    assert report.run.instructions_min > report.model.macs
    assert report.build.ram_bytes <= target.ram_bytes
    assert report.build.stack_bytes <= target.stack.bytes // 2

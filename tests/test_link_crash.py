"""A device that crashes: its report is read, and the step of the network it was in is named."""

import numpy as np
import onnx
import pytest
from conftest import need
from elftools.elf.elffile import ELFFile

import edgewright as ew
from edgewright.drivers import frames
from edgewright.drivers.device import open_device
from edgewright.drivers.frames import Damage, Fault, FrameDecoder
from edgewright.errors import DeviceError

REPORT = b"\0edgewright fault: exception=00000003 exc_return=fffffff9 cfsr=00010000 pc=00001234 lr=00005679\n\0"
REGISTERS = (("exception", 3), ("exc_return", 0xFFFFFFF9), ("cfsr", 0x10000), ("pc", 0x1234), ("lr", 0x5679))


def test_a_report_is_read_among_frames():
    stream = frames.encode_frame(1, 2) + REPORT + frames.encode_frame(3, 4)
    for portion in (1, 7, len(stream)):
        decoder = FrameDecoder()
        events = [e for at in range(0, len(stream), portion) for e in decoder.feed(stream[at : at + portion])]
        assert [type(event) for event in events] == [frames.Frame, Fault, frames.Frame]
        assert events[1].registers == REGISTERS


@pytest.mark.parametrize("bad", [b"exception=0000000g", b"exception", b"=00000003", b"a=1", b"\xff\xff=00000003"])
def test_what_is_no_report_is_damage(bad):
    assert list(FrameDecoder().feed(b"\0edgewright fault: " + bad + b"\0")) == [Damage.FRAMING]


def test_a_report_that_breaks_off():
    decoder = FrameDecoder()
    assert list(decoder.feed(REPORT[:70])) == []
    assert decoder.unfinished_fault().registers == REGISTERS[:2]
    assert FrameDecoder().unfinished_fault() is None


@pytest.fixture
def built(tmp_path):
    """Two MatMuls with a matrix of ones, built for an emulated board."""
    need("cc", "qemu-system-arm", "arm-none-eabi-gcc")
    node = onnx.helper.make_node
    shape = onnx.helper.make_tensor_value_info
    weights = [onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), f"w{i}") for i in range(2)]
    graph = onnx.helper.make_graph(
        [node("MatMul", ["x", "w0"], ["a"], "first"), node("MatMul", ["a", "w1"], ["y"], "second")],
        "crashes", [shape("x", 1, [1, 4])], [shape("y", 1, [1, 4])], weights,
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    return ew.generate(ew.load(tmp_path / "m.onnx"), "mps2-an386").build()


@pytest.mark.slow
def test_an_overlapped_run_and_then_a_crash_that_names_the_step(built, caplog):
    """First all is well; then the second step begins with an undefined instruction."""
    firmware = built.firmware
    x = np.random.default_rng(1).integers(-9, 9, (300, 1, 4)).astype(np.float32)
    wanted = np.repeat(4 * x.sum(-1), 4, axis=-1)
    y_name = firmware.manifest.outputs[0].name
    with open_device(firmware, overlap=True) as device:
        y, run = device.infer(x, batch_size=32)
        assert run.batches == 10
        np.testing.assert_array_equal(y.reshape(300, 4), wanted)
        assert len(run.instructions) == 300
    step = firmware.manifest.steps[1]
    with firmware.elf.open("r+b") as stream:
        table = ELFFile(stream)
        (symbol,) = table.get_section_by_name(".symtab").get_symbol_by_name(step.function)
        section = table.get_section(symbol["st_shndx"])
        at = section["sh_offset"] + (symbol["st_value"] & ~1) - section["sh_addr"]
    good = firmware.elf.read_bytes()
    bad = good[:at] + b"\xde\xde" + good[at + 2 :]  # udf #0xde
    firmware.elf.write_bytes(bad)
    with open_device(firmware) as device, pytest.raises(DeviceError) as caught:
        device.predict(x)
    where = f"the device crashed: HardFault in step 1, {step.op} '{step.name}' ({step.function})"
    assert where in str(caught.value)
    assert "pc=0x" in str(caught.value)
    assert str(caught.value).endswith("after a restart too")
    with caplog.at_level("WARNING"), open_device(firmware) as device:  # it crashes once, and never again
        firmware.elf.write_bytes(good)
        np.testing.assert_array_equal(device.predict(x).outputs[y_name].reshape(300, 4), wanted)
    assert where in caplog.text

"""The report of a device that crashed, read from its line; tests/test_crashes.py has devices that do."""

import pytest

from edgewright.boards.resets import ResetCause
from edgewright.drivers import frames
from edgewright.drivers.frames import Damage, Fault, FrameDecoder

REPORT = b"\0edgewright fault: exception=00000003 exc_return=fffffff9 cfsr=00010000 pc=00001234 lr=00005679\n\0"
REGISTERS = (("exception", 3), ("exc_return", 0xFFFFFFF9), ("cfsr", 0x10000), ("pc", 0x1234), ("lr", 0x5679))


def test_a_report_is_read_among_frames():
    stream = frames.encode_frame(1, 2) + REPORT + frames.encode_frame(3, 4)
    for portion in (1, 7, len(stream)):
        decoder = FrameDecoder()
        events = [e for at in range(0, len(stream), portion) for e in decoder.feed(stream[at : at + portion])]
        assert [type(event) for event in events] == [frames.Frame, Fault, frames.Frame]
        assert events[1].registers == REGISTERS


def test_what_a_device_takes_it_for():
    assert Fault(REGISTERS).cause is ResetCause.FAULT  # of a firmware that does not say
    assert Fault((*REGISTERS, ("cause", 8))).cause is ResetCause.STACK_OVERFLOW
    assert Fault((*REGISTERS, ("cause", 200))).cause is ResetCause.UNKNOWN


@pytest.mark.parametrize("bad", [b"exception=0000000g", b"exception", b"=00000003", b"a=1", b"\xff\xff=00000003"])
def test_what_is_no_report_is_damage(bad):
    assert list(FrameDecoder().feed(b"\0edgewright fault: " + bad + b"\0")) == [Damage.FRAMING]


def test_a_report_that_breaks_off():
    decoder = FrameDecoder()
    assert list(decoder.feed(REPORT[:70])) == []
    assert decoder.take_unfinished_fault().registers == REGISTERS[:2]
    assert decoder.take_unfinished_fault() is None


def test_what_comes_with_a_report_is_not_lost():
    """After a reset the device goes on in the same stream; a report that broke off is forgotten once it was taken."""
    decoder = FrameDecoder()
    assert list(decoder.feed(REPORT[:70])) == []
    assert decoder.take_unfinished_fault() is not None
    assert [e if isinstance(e, Damage) else e.type for e in decoder.feed(REPORT[70:] + frames.encode_frame(3, 4))] == [
        Damage.FRAMING, 3
    ]  # fmt: skip

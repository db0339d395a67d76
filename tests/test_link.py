"""The link: its C core under sanitizers, its Python end, and both together over ptys, sockets and bad lines."""

from __future__ import annotations

import ctypes
import os
import pty
import random
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
import tracemalloc
import tty
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import serial
import serial.rfc2217
from hypothesis import example, given, settings
from hypothesis import strategies as st
from serial.tools.list_ports_common import ListPortInfo

from edgewright.boards.resets import ResetCause
from edgewright.drivers import frames
from edgewright.drivers.exchange import MAX_ATTEMPTS, Request
from edgewright.drivers.frames import Damage, Frame, Region, Type
from edgewright.drivers.line import check_url
from edgewright.drivers.link import BatchRun, Link
from edgewright.drivers.ports import resolve_port
from edgewright.errors import DataError, DeviceError, MemoryPlanError, PortError
from edgewright.resources import resource_dir

GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="gcc is not installed: the link's C core cannot be built")
C_TESTS = Path(__file__).parent / "c"
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FULL = ["-DEW_PORT_HAS_BAUD", "-DEW_LINK_STEPS=3"]  # all that the core can do
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


def compile_c(output: Path, *arguments: str | Path) -> Path:
    runtime = resource_dir("runtime_c")
    command = [GCC, *STRICT, f"-I{runtime / 'include'}", f"-I{runtime / 'link'}", *arguments, "-o", output]
    done = subprocess.run([str(a) for a in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return output


def core_sources() -> list[Path]:
    return sorted((resource_dir("runtime_c") / "link").glob("*.c"))


@pytest.fixture(scope="session")
def device_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("link")
    return compile_c(folder / "device", *SANITIZE, *FULL, C_TESTS / "link_device.c", *core_sources())


@pytest.fixture(scope="session", params=["table", "bitwise"])
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    define = ["-DEW_CRC32_BITWISE"] if request.param == "bitwise" else []
    output = tmp_path_factory.mktemp("codec") / "codec.so"
    folder = resource_dir("runtime_c") / "link"
    library = ctypes.CDLL(
        str(compile_c(output, "-shared", "-fPIC", "-O2", *define, folder / "ew_cobs.c", folder / "ew_crc32.c"))
    )
    library.ew_cobs_encode.restype = library.ew_cobs_decode.restype = ctypes.c_size_t
    library.ew_cobs_encode.argtypes = library.ew_cobs_decode.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    library.ew_crc32.restype = ctypes.c_uint32
    library.ew_crc32.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
    return library


# ---- COBS, CRC, frames ----

WORST_CASES = [
    *(b"\1" * n for n in (0, 1, 253, 254, 255, 508, 509)),
    *(b"\1" * n + b"\0" for n in (0, 1, 253, 254, 255, 508)),
    *(b"\0" + b"\1" * n for n in (253, 254, 255)),
    b"\0" * 300,
]


def test_cobs_known_answers() -> None:
    assert frames.cobs_encode(b"") == b"\1"
    assert frames.cobs_encode(b"\0") == b"\1\1"
    assert frames.cobs_encode(b"\x11\x22\0\x33") == b"\x03\x11\x22\x02\x33"
    assert frames.cobs_encode(b"\1" * 254) == b"\xff" + b"\1" * 254
    assert frames.cobs_encode(b"\1" * 255) == b"\xff" + b"\1" * 254 + b"\x02\1"


@given(st.binary(max_size=1200))
def test_cobs_round_trip(data: bytes) -> None:
    encoded = frames.cobs_encode(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + 1 + len(data) // 254
    assert frames.cobs_decode(encoded) == data


@pytest.mark.parametrize("data", WORST_CASES, ids=lambda d: f"{len(d)}-{d.count(0)}")
def test_cobs_round_trip_at_the_ends_of_blocks(data: bytes) -> None:
    assert frames.cobs_decode(frames.cobs_encode(data)) == data


@needs_gcc
def test_c_and_python_agree_on_cobs_and_crc(codec: ctypes.CDLL) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.one_of(st.binary(max_size=700), st.lists(st.sampled_from([0, 1]), max_size=700).map(bytes)))
    @example(b"\1" * 254)
    @example(b"\1" * 254 + b"\0")
    def agree(data: bytes) -> None:
        overhead = 1 + len(data) // 254
        buffer = ctypes.create_string_buffer(b"\xee" * overhead + data, overhead + len(data))  # encoded in place
        size = codec.ew_cobs_encode(ctypes.addressof(buffer) + overhead, len(data), buffer)
        assert buffer.raw[:size] == frames.cobs_encode(data)
        assert codec.ew_cobs_decode(buffer, size, buffer) == len(data)
        assert buffer.raw[: len(data)] == data
        assert codec.ew_crc32(0, data, len(data)) == zlib.crc32(data)
        half = len(data) // 2
        assert codec.ew_crc32(codec.ew_crc32(0, data, half), data[half:], len(data) - half) == zlib.crc32(data)

    agree()


@needs_gcc
def test_c_and_python_agree_on_what_is_not_cobs(codec: ctypes.CDLL) -> None:
    broken = ctypes.c_size_t(-1).value

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.integers(0, 6), max_size=12).map(bytes))
    def agree(data: bytes) -> None:
        target = ctypes.create_string_buffer(len(data) + 1)
        size = codec.ew_cobs_decode(ctypes.create_string_buffer(data, len(data) + 1), len(data), target)
        decoded = frames.cobs_decode(data)
        assert (None if size == broken else target.raw[:size]) == decoded

    agree()


@given(st.binary(max_size=300), st.integers(0, 65535), st.data())
def test_a_frame_survives_whole_or_is_called_damaged(body: bytes, seq: int, data: st.DataObject) -> None:
    wire = frames.encode_frame(Type.LOAD, seq, body)
    assert wire.count(0) == 1
    assert wire[-1] == 0
    assert frames.decode_frame(wire[:-1]) == Frame(Type.LOAD, seq, body)
    at = data.draw(st.integers(0, len(wire) - 2))
    flipped = bytearray(wire)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    assert not any(event == Frame(Type.LOAD, seq, body) for event in frames.FrameDecoder().feed(bytes(flipped)))


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 50))
def test_decoder_takes_any_portions(bodies: list[bytes], portion: int) -> None:
    stream = b"\0".join(frames.encode_frame(Type.LOAD, i, body) for i, body in enumerate(bodies))
    decoder = frames.FrameDecoder()
    events = [e for i in range(0, len(stream), portion) for e in decoder.feed(stream[i : i + portion])]
    assert events == [Frame(Type.LOAD, i, body) for i, body in enumerate(bodies)]


def test_decoder_holds_no_more_than_a_frame() -> None:
    decoder = frames.FrameDecoder(max_body=1024)
    tracemalloc.start()
    for _ in range(100):
        assert list(decoder.feed(b"\1" * 100_000)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000
    assert list(decoder.feed(b"\0")) == [Damage.FRAMING]
    assert list(decoder.feed(frames.encode_frame(1, 2))) == [Frame(1, 2, b"")]


# ---- devices to talk to ----

ELEMENTS = 6
INPUT_BYTES, OUTPUT_BYTES = 32, 24  # what link_device.c packs for six elements
SAMPLE_BYTES = INPUT_BYTES + OUTPUT_BYTES + 8
Fault = Callable[[bytes], bytes]


def make_samples(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    samples = np.zeros((count, INPUT_BYTES), np.uint8)
    samples[:, :24] = rng.integers(-1000, 1000, (count, ELEMENTS)).astype("<f4").view(np.uint8)
    samples[:, 24:29] = rng.integers(0, 256, (count, 5))
    return samples


def expected_outputs(samples: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(samples[:, :24]).view("<f4")
    return (2 * x + samples[:, [24, 25, 26, 27, 28, 24]].astype("<f4")).astype("<f4").view(np.uint8)


@contextmanager
def pty_device(program: Path, *arguments: object) -> Iterator[str]:
    """Start link_device behind a pty and give its path."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    process = subprocess.Popen([program, *map(str, arguments)], stdin=master, stdout=master)
    os.close(master)
    try:
        yield os.ttyname(slave)
    finally:
        process.kill()
        process.wait(timeout=10)
        os.close(slave)


@contextmanager
def socket_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen on a free port, run `serve` on the first connection, and give the URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(timeout=10)
        assert not thread.is_alive()


@contextmanager
def proxied_device(program: Path, to_device: Fault, to_host: Fault, *arguments: object) -> Iterator[str]:
    """Start link_device behind a socket, with something in between that alters what passes."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([program, *map(str, arguments)], stdin=theirs, stdout=theirs)
    theirs.close()

    def pump(source: socket.socket, sink: socket.socket, fault: Fault) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(fault(data))
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def serve(connection: socket.socket) -> None:
        back = threading.Thread(target=pump, args=(ours, connection, to_host), daemon=True)
        back.start()
        pump(connection, ours, to_device)
        back.join(timeout=10)

    try:
        with socket_server(serve) as url:
            try:
                yield url
            finally:
                process.kill()
                process.wait(timeout=10)
    finally:
        ours.close()


def scripted_device(answer: Callable[[Frame], bytes]) -> Callable[[socket.socket], None]:
    """Serve a connection with a device that says whatever `answer` makes of each frame."""

    def serve(connection: socket.socket) -> None:
        decoder = frames.FrameDecoder()
        with suppress(OSError):
            while data := connection.recv(65536):
                for event in decoder.feed(data):
                    if isinstance(event, Frame):
                        connection.sendall(answer(event))

    return serve


def hello_reply(request: Frame, **changes: int) -> bytes:
    fields = {
        "version": 2,
        "session": int.from_bytes(request.body[4:8], "little"),
        "max_body": 1024,
        "rx_buffer": 4096,
        "capacity": 10,
        "input_bytes": INPUT_BYTES,
        "output_bytes": OUTPUT_BYTES,
        "batch_memory": 10 * SAMPLE_BYTES,
        "timer_hz": 1000,
        "n_inputs": 1,
        "n_outputs": 1,
        "n_steps": 0,
    } | changes
    f = fields.__getitem__
    numbers = (
        *(f("session"), 0, f("max_body"), f("rx_buffer"), f("capacity"), f("input_bytes"), f("output_bytes")),
        *(f("batch_memory"), f("timer_hz"), 0),
    )
    head = struct.pack("<HH10I", f("version"), 0, *numbers)
    body = head + struct.pack("<BBH", f("n_inputs"), f("n_outputs"), f("n_steps")) + bytes(48) + b"\4\0evil"
    return frames.encode_frame(Type.HELLO | 0x80, request.seq, body)


def describe_reply(
    request: Frame, code: int = 1, dims: tuple[int, ...] = (6,), offset: int = 0, size: int = 24
) -> bytes:
    index = int.from_bytes(request.body, "little")
    body = struct.pack(f"<HBBII{len(dims)}I", index, code, len(dims), offset, size, *dims) + b"\1\0x"
    return frames.encode_frame(Type.DESCRIBE | 0x80, request.seq, body)


def reply(request: Frame, body: bytes) -> bytes:
    return frames.encode_frame(request.type | 0x80, request.seq, body)


def good_answer(request: Frame) -> bytes:
    """Answer as a device would whose outputs are all zero."""
    if request.type == Type.HELLO:
        return hello_reply(request)
    if request.type == Type.DESCRIBE:
        return describe_reply(request)
    if request.type == Type.RUN:
        return reply(request, struct.pack("<III", 0, int.from_bytes(request.body[8:12], "little"), 0))
    if request.type == Type.READ:
        return reply(request, bytes(int.from_bytes(request.body[8:12], "little")))
    return reply(request, b"")


# ---- the whole link ----


@needs_gcc
def test_hello_and_descriptors(device_program: Path) -> None:
    memory = 10 * SAMPLE_BYTES + 16
    with pty_device(device_program, ELEMENTS, memory, "stack=700") as path, Link.open(path) as link:
        info = link.hello()
        assert (info.capacity_samples, info.input_bytes, info.output_bytes) == (10, INPUT_BYTES, OUTPUT_BYTES)
        assert (info.name, info.build_id) == ("twice", b"build-0123456789")
        assert info.model_sha256 == b"sha256-sha256-sha256-sha256-0123"
        assert (info.timer_hz, info.runs_since_boot, info.session_before) == (1_000_000, 0, 0)
        x, bias, y = link.describe()
        assert (x.kind, x.index, x.name, x.dtype, x.shape) == ("input", 0, "x", "f32", (1, ELEMENTS))
        assert (bias.kind, bias.index, bias.name, bias.name_is_whole) == ("input", 1, "bias äöü", True)
        assert (bias.dtype, bias.shape, bias.offset_bytes, bias.size_bytes) == ("u8", (5,), 24, 5)
        assert (y.kind, y.index, y.name, y.shape) == ("output", 0, "y", (1, ELEMENTS))
        stats = link.stats()
        assert (stats.stack_used_bytes, stats.stack_size_bytes) == (700, 8192)
        assert stats.line_utilisation is None  # a pty has no baud rate
        assert link.hello().session_before == info.session  # no reset in between


@needs_gcc
@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [
        (10, 4, [4, 4, 2]),
        (1, None, [1]),
        (25, None, [12, 12, 1]),
        (30, 1000, [12, 12, 6]),
        (12, 12, [12]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_batches(device_program: Path, count: int, batch_size: int | None, sizes: list[int]) -> None:
    samples = make_samples(count)
    progress: list[int] = []
    with pty_device(device_program, ELEMENTS, 12 * SAMPLE_BYTES) as path, Link.open(path) as link:
        run = link.run_batches(samples, batch_size, 5.0, progress.append)
        stats = link.stats()
        overlapped = link.run_batches(samples, batch_size, 5.0, overlap=True)
    np.testing.assert_array_equal(overlapped.outputs, run.outputs)
    assert isinstance(run, BatchRun)
    np.testing.assert_array_equal(run.outputs, expected_outputs(samples))
    assert (run.ticks.shape, run.ticks.dtype) == ((count,), np.uint64)
    assert run.batches == len(sizes)
    assert run.runs_before == tuple(int(n) for n in np.cumsum([0, *sizes[:-1]]))
    assert progress[-1] == count
    assert progress == sorted(progress)
    assert stats.payload_bytes == count * SAMPLE_BYTES
    assert (stats.crc_errors, stats.framing_errors, stats.retransmits) == (0, 0, 0)
    assert (stats.stack_used_bytes, stats.stack_size_bytes) == (None, None)


@needs_gcc
def test_samples_larger_than_frames(device_program: Path) -> None:
    elements, count = 1000, 40
    rng = np.random.default_rng(1)
    samples = np.zeros((count, 4008), np.uint8)
    samples[:, :4000] = rng.integers(-9, 9, (count, elements)).astype("<f4").view(np.uint8)
    with pty_device(device_program, elements, 200_000) as path, Link.open(path) as link:
        run = link.run_batches(samples, None, 5.0)
    np.testing.assert_array_equal(run.outputs, (2 * samples[:, :4000].view("<f4")).view(np.uint8))


@needs_gcc
def test_ticks_and_progress_of_slow_inferences(device_program: Path) -> None:
    progress: list[int] = []
    with pty_device(device_program, ELEMENTS, 9999, "delay_us=150000") as path, Link.open(path) as link:
        # The limit is shorter than the batch: it starts anew with each progress.
        run = link.run_batches(make_samples(6), None, 0.7, progress.append)
    assert all(150_000 <= t < 2_000_000 for t in run.ticks)
    assert len(progress) >= 3  # about four a second, and the end
    assert progress[-1] == 6


@needs_gcc
def test_steps_one_by_one(device_program: Path) -> None:
    samples = make_samples(3)
    x = samples[:, :24].view("<f4")
    with pty_device(device_program, ELEMENTS, 9999, "delay_us=2000") as path, Link.open(path) as link:
        assert link.hello().n_steps == 3
        for sample, wanted, doubled in zip(samples, expected_outputs(samples), 2 * x, strict=True):
            ticks = link.run_steps(sample, 0, 1)
            assert (ticks.shape, ticks.dtype) == ((1,), np.uint32)
            assert 2000 <= ticks[0] < 2_000_000
            assert link.read(Region.ARENA, 0, 24) == doubled.tobytes()
            assert link.read(Region.ARENA, 4, 12) == doubled.tobytes()[4:16]
            assert len(link.run_steps(None, 1, 3)) == 2
            assert link.read(Region.OUTPUTS, 0, 24) == wanted.tobytes()
        assert len(link.read(Region.ARENA, 0, 16000)) == 16000  # in frames of 1,024
        with pytest.raises(DeviceError, match="RUN of steps 1 to 1 was answered with 0100"):
            link.run_steps(None, 1, 2)  # the third was the last that was done
        link.run_steps(samples[0], 0, 1)
        run = link.run_batches(samples)  # the arena is another inference's then
        np.testing.assert_array_equal(run.outputs, expected_outputs(samples))
        assert run.runs_before == (0,)  # steps are no inferences
        with pytest.raises(DeviceError, match="was answered with 0100"):
            link.run_steps(None, 1, 2)
        for first, stop in ((0, 4), (2, 2), (-1, 1)):
            with pytest.raises(DeviceError, match="has no steps"):
                link.run_steps(samples[0], first, stop)


@needs_gcc
@pytest.mark.parametrize(
    ("type_", "body"),
    [
        (Type.RUN, (9, 0, 1, 0, 4)),
        (Type.RUN, (9, 0, 1, 1, 1)),
        (Type.RUN, (9, 0, 1, 2, 1)),
        (Type.RUN, (9, 0, 1, 2**32 - 1, 0)),
        (Type.RUN, (9, 0, 2, 0, 1)),
        (Type.RUN, (9, 999, 1, 0, 1)),
        (Type.READ, (Region.STEP_TICKS, 0, 13)),
        (Type.READ, (Region.STEP_TICKS, 12, 1)),
        (Type.READ, (3, 0, 1)),
        (Type.READ, (15, 0, 1)),
        (Type.READ, (Region.ARENA, 4 * 4096, 1)),
        (Type.READ, (Region.ARENA, 2**32 - 1, 2)),
        (Type.READ, (Region.ARENA + 1, 0, 1)),
        (Type.READ, (2**32 - 1, 0, 1)),
    ],
)
def test_requests_out_of_range_are_refused(device_program: Path, type_: Type, body: tuple[int, ...]) -> None:
    with pty_device(device_program, ELEMENTS, 9999) as path, Link.open(path) as link:
        link.hello()
        request = Request(type_, struct.pack(f"<{len(body)}I", *body), limit_s=5.0, samples=1)
        with pytest.raises(DeviceError, match="out of its range"):
            list(link.traffic.answers([request]))


@needs_gcc
def test_a_device_without_steps(tmp_path: Path) -> None:
    program = compile_c(tmp_path / "device", C_TESTS / "link_device.c", *core_sources())
    with pty_device(program, ELEMENTS, 9999) as path, Link.open(path) as link:
        assert link.hello().n_steps == 0
        with pytest.raises(DeviceError, match="no steps 0 to 0, but 0 in all"):
            link.run_steps(make_samples(1)[0], 0, 1)
        with pytest.raises(DeviceError, match="out of its range"):
            list(link.traffic.answers([Request(Type.RUN, struct.pack("<5I", 1, 0, 1, 0, 1), limit_s=5.0, samples=1)]))


@needs_gcc
def test_two_links_after_each_other(device_program: Path) -> None:
    samples = make_samples(3)
    with pty_device(device_program, ELEMENTS, 9999) as path:
        for turn in range(2):
            with Link.open(path) as link:
                run = link.run_batches(samples, None, 5.0)
                assert run.runs_before == (3 * turn,)
                np.testing.assert_array_equal(run.outputs, expected_outputs(samples))


@needs_gcc
def test_reset(device_program: Path) -> None:
    with pty_device(device_program, ELEMENTS, 9999) as path, Link.open(path) as link:
        link.run_batches(make_samples(3), None, 5.0)
        link.reset()
        info = link.hello()
        assert (info.runs_since_boot, info.session_before) == (0, 0)
        assert link.run_batches(make_samples(3), None, 5.0).runs_before == (0,)


@needs_gcc
def test_the_baud_rate_is_raised_and_found_again(device_program: Path) -> None:
    samples = make_samples(100)
    with pty_device(device_program, ELEMENTS, 9999, "baud_max=921600") as path:
        with Link.open(path, timeout_s=0.2) as link:
            assert link.set_baudrate(921_600)
            np.testing.assert_array_equal(link.run_batches(samples).outputs, expected_outputs(samples))
        with Link.open(path, timeout_s=0.2) as link:  # it was asked to go back
            started = time.monotonic()
            assert link.hello().runs_since_boot == 100
            assert time.monotonic() - started < 0.2
            assert link.set_baudrate(921_600)
            link._start_rate = 921_600  # so that it is not asked
        with Link.open(path, timeout_s=0.2) as link:  # at 115,200 again: the device leaves its rate for noise
            assert link.run_batches(samples).runs_before[0] == 100


@needs_gcc
@pytest.mark.parametrize("overlap", [False, True])
def test_a_reset_at_a_raised_rate(device_program: Path, overlap: bool) -> None:
    """The device is at the rate of its start then, and hears noise: silence, as seen from here."""
    samples = make_samples(100)
    with (
        pty_device(device_program, ELEMENTS, 9999, "restart_at=25", "baud_max=921600") as path,
        Link.open(path, timeout_s=0.1) as link,
    ):
        assert link.set_baudrate(921_600)
        run = link.run_batches(samples, 10, 0.5, overlap=overlap)
    np.testing.assert_array_equal(run.outputs, expected_outputs(samples))
    assert [(reset.cause, reset.fault) for reset in run.resets] == [(ResetCause.SOFTWARE, None)]


@needs_gcc
def test_a_device_that_dies_at_a_raised_rate(device_program: Path) -> None:
    with (
        pty_device(device_program, ELEMENTS, 9999, "fail_at=5", "baud_max=921600") as path,
        Link.open(path, timeout_s=0.1) as link,
    ):
        assert link.set_baudrate(921_600)
        with pytest.raises(DeviceError, match="stopped with status 1 after 5"):
            link.run_batches(make_samples(20), None, 0.5)


@needs_gcc
@pytest.mark.parametrize("able", ["baud_max=0", "baud_max=921600"])
def test_a_baud_rate_that_is_refused_or_fails_leaves_the_old_one(device_program: Path, able: str) -> None:
    samples = make_samples(100)
    with (
        pty_device(device_program, ELEMENTS, 9999, able, "baud_fails=1") as path,
        Link.open(path, timeout_s=0.2) as link,
    ):
        assert not link.set_baudrate(921_600)
        np.testing.assert_array_equal(link.run_batches(samples).outputs, expected_outputs(samples))


@needs_gcc
def test_resynchronises_after_half_a_frame(device_program: Path) -> None:
    with pty_device(device_program, ELEMENTS, 9999) as path:
        with Path(path).open("wb", buffering=0) as port:
            port.write(frames.encode_frame(Type.LOAD, 1, bytes(500))[:300])
        with Link.open(path, connect_timeout_s=5) as link:
            started = time.monotonic()
            link.hello()
            assert time.monotonic() - started < 0.2  # the very first HELLO


@pytest.mark.slow
@needs_gcc
@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's own
def test_rfc2217(device_program: Path) -> None:
    samples = make_samples(200)
    with pty_device(device_program, ELEMENTS, 9999) as path, serial.Serial(path, timeout=0.01) as port:

        def serve(connection: socket.socket) -> None:
            settings_of = serial.serial_for_url("loop://")  # a pty has no modem lines to report
            manager = serial.rfc2217.PortManager(settings_of, connection.makefile("wb", buffering=0))
            closed = threading.Event()

            def from_device() -> None:
                with suppress(OSError):
                    while not closed.is_set():
                        connection.sendall(b"".join(manager.escape(port.read(max(1, port.in_waiting)))))

            back = threading.Thread(target=from_device, daemon=True)
            back.start()
            with suppress(OSError):
                while data := connection.recv(4096):
                    port.write(b"".join(manager.filter(data)))
            closed.set()
            back.join(timeout=5)

        with socket_server(serve) as url, Link.open(url.replace("socket", "rfc2217")) as link:
            run = link.run_batches(samples, None, 5.0)
            assert link.stats().line_utilisation is not None
    np.testing.assert_array_equal(run.outputs, expected_outputs(samples))


@needs_gcc
def test_wrong_data_is_refused_before_anything_is_sent(device_program: Path) -> None:
    with pty_device(device_program, ELEMENTS, 9999) as path, Link.open(path) as link:
        with pytest.raises(DataError, match="no samples"):
            link.run_batches(make_samples(0), None, 5.0)
        with pytest.raises(DataError, match=r"uint8\[2, 31\].*uint8\[n, 32\]"):
            link.run_batches(make_samples(2)[:, 1:], None, 5.0)
        with pytest.raises(DataError, match="float32"):
            link.run_batches(np.zeros((2, INPUT_BYTES), np.float32), None, 5.0)
        with pytest.raises(DataError, match="batch of 0"):
            link.run_batches(make_samples(2), 0, 5.0)


@needs_gcc
def test_no_room_for_a_sample(device_program: Path) -> None:
    with (
        pty_device(device_program, ELEMENTS, SAMPLE_BYTES - 1) as path,
        Link.open(path) as link,
        pytest.raises(MemoryPlanError, match=rf"needs {SAMPLE_BYTES} bytes.* {SAMPLE_BYTES - 1} are left"),
    ):
        link.run_batches(make_samples(2), None, 5.0)


# ---- bad lines ----


def faults(seed: int, rate: float) -> Fault:
    """Return a line that flips, drops, doubles and inserts bytes, each with a quarter of `rate`."""
    rng = random.Random(seed)  # noqa: S311

    def alter(data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            chance = rng.random() / rate
            if chance < 0.25:
                out.append(byte ^ (1 << rng.randrange(8)))
            elif chance < 0.5:
                pass
            elif chance < 0.75:
                out += bytes([byte, byte])
            elif chance < 1:
                out += bytes([byte, rng.randrange(256)])
            else:
                out.append(byte)
        return bytes(out)

    return alter


def clean(data: bytes) -> bytes:
    return data


@needs_gcc
@pytest.mark.parametrize(
    ("seed", "rate", "ways"),
    [(1, 1e-4, "both"), (2, 1e-3, "both"), (3, 2e-3, "in"), (4, 2e-3, "out"), (5, 1e-3, "both")],
)
def test_a_bad_line_loses_nothing(device_program: Path, seed: int, rate: float, ways: str) -> None:
    samples = make_samples(400, seed)
    to_device = faults(seed, rate) if ways != "out" else clean
    to_host = faults(seed + 100, rate) if ways != "in" else clean
    with (
        proxied_device(device_program, to_device, to_host, ELEMENTS, 150 * SAMPLE_BYTES) as url,
        Link.open(url, timeout_s=0.1) as link,
    ):
        run = link.run_batches(samples, None, 5.0)
        stats = link.stats()
    np.testing.assert_array_equal(run.outputs, expected_outputs(samples))
    assert run.runs_before == (0, 150, 300)  # nothing ran twice
    if rate >= 1e-3:
        assert stats.retransmits > 0
        assert stats.crc_errors + stats.framing_errors > 0


def repeat_frames(data: bytes) -> bytes:
    """Send whatever passes twice: whole frames, since the host writes whole frames."""
    return data + data


@needs_gcc
@pytest.mark.parametrize("seed", [20261122, 1, 2])
def test_steps_over_a_bad_line(device_program: Path, seed: int) -> None:
    """Each RUN of steps is done once, however often it is sent: the second step adds to what the first made."""
    samples = make_samples(12, seed)
    x = samples[:, :24].view("<f4")
    with (
        proxied_device(device_program, faults(seed, 2e-3), faults(seed + 1, 2e-3), ELEMENTS, 9999) as url,
        Link.open(url, timeout_s=0.05) as link,
    ):
        for sample, wanted, doubled in zip(samples, expected_outputs(samples), 2 * x, strict=True):
            link.run_steps(sample, 0, 1, 5.0)
            assert link.read(Region.ARENA, 0, 24) == doubled.tobytes(), seed
            link.run_steps(None, 1, 2, 5.0)
            assert link.read(Region.ARENA, 0, 24) == wanted.tobytes(), seed
            link.run_steps(None, 2, 3, 5.0)
            assert link.read(Region.OUTPUTS, 0, 24) == wanted.tobytes(), seed
        assert link.traffic.retransmits > 0, seed


@needs_gcc
def test_repeated_frames_do_no_harm(device_program: Path) -> None:
    samples = make_samples(300)
    with (
        proxied_device(device_program, repeat_frames, repeat_frames, ELEMENTS, 150 * SAMPLE_BYTES) as url,
        Link.open(url, timeout_s=0.1) as link,
    ):
        run = link.run_batches(samples, None, 5.0)
    np.testing.assert_array_equal(run.outputs, expected_outputs(samples))
    assert run.runs_before == (0, 150)


@needs_gcc
def test_a_hopeless_line_ends_with_a_clear_error(device_program: Path) -> None:
    dead_after_hello = iter([True])

    def to_device(data: bytes) -> bytes:
        return data if next(dead_after_hello, False) else faults(1, 0.2)(data)

    with (
        proxied_device(device_program, to_device, clean, ELEMENTS, 9999) as url,
        Link.open(url, timeout_s=0.1) as link,
        pytest.raises(DeviceError, match=r"LOAD at byte \d+ failed after (\d+) tries in \d+.\d s") as caught,
    ):
        link.run_batches(make_samples(100), None, 5.0)
    tries = re.search(r"after (\d+) tries", str(caught.value))
    assert tries is not None
    assert 1 < int(tries[1]) <= MAX_ATTEMPTS


# ---- devices that die, restart, fail, lie ----


@needs_gcc
def test_a_device_that_dies_in_a_batch(device_program: Path) -> None:
    with (
        pty_device(device_program, ELEMENTS, 9999, "die_at=5") as path,
        Link.open(path, timeout_s=0.2) as link,
        pytest.raises(DeviceError, match=r"line"),
    ):
        link.run_batches(make_samples(20), None, 5.0)


@needs_gcc
@pytest.mark.parametrize("overlap", [False, True])
def test_a_batch_goes_on_after_a_restart(device_program: Path, overlap: bool) -> None:
    samples, told = make_samples(100), []
    with (
        pty_device(device_program, ELEMENTS, 9999, "restart_at=25", "cause=4") as path,
        Link.open(path, timeout_s=0.2) as link,
    ):
        assert link.hello().reset_cause is ResetCause.POWER_ON
        run = link.run_batches(samples, 10, 5.0, overlap=overlap, on_reset=told.append)
    np.testing.assert_array_equal(run.outputs, expected_outputs(samples))
    assert [(reset.cause, reset.fault) for reset in run.resets] == [(ResetCause.WATCHDOG, None)]
    assert tuple(told) == run.resets
    assert run.resets[0].batch <= 2
    kept = run.runs_before.index(0, 1)  # batches whose results were here before the restart
    assert kept <= 2 if overlap else kept == 2
    assert run.runs_before == (*range(0, 10 * kept, 10), *range(0, 100 - 10 * kept, 10))


@needs_gcc
def test_a_batch_that_always_resets_the_device_is_named(device_program: Path) -> None:
    with (
        pty_device(device_program, ELEMENTS, 9999, "restart_at=5", "always=1") as path,
        Link.open(path, timeout_s=0.1) as link,
        pytest.raises(DeviceError, match=r"was reset by software 3 times, at samples 0 to 9"),
    ):
        link.run_batches(make_samples(20), 10, 5.0)


@needs_gcc
def test_a_model_that_fails(device_program: Path) -> None:
    with (
        pty_device(device_program, ELEMENTS, 9999, "fail_at=5") as path,
        Link.open(path) as link,
        pytest.raises(DeviceError, match="status 1 after 5 of 20"),
    ):
        link.run_batches(make_samples(20), None, 5.0)


@needs_gcc
def test_an_inference_without_end(device_program: Path) -> None:
    with (
        pty_device(device_program, ELEMENTS, 9999, "delay_us=900000000") as path,
        Link.open(path, timeout_s=0.1) as link,
        pytest.raises(DeviceError, match=r"RUN of 2 samples made no progress for 0.5 s after 0 of them"),
    ):
        link.run_batches(make_samples(2), None, 0.5)


def test_ports_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no terminal")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = f"socket://127.0.0.1:{listener.getsockname()[1]}"
    for url, reason in [
        ("/dev/ttyNOTHERE", "No such file"),
        (str(tmp_path / "file"), "Inappropriate ioctl"),
        (refused, "Connection refused"),
        ("", "the port is empty"),
        ("http://localhost:80", "not a port"),
        ("socket://localhost", "not a port"),
        ("socket://localhost:notanumber", "not a port"),
        ("rfc2217://", "not a port"),
    ]:
        with pytest.raises(PortError, match=reason) as caught:
            Link.open(url)
        assert url in str(caught.value)
        assert "\n" not in str(caught.value)
    check_url("COM3")
    check_url("rfc2217://board.local:2217")


@needs_gcc
def test_a_port_in_use(device_program: Path) -> None:
    with (
        pty_device(device_program, ELEMENTS, 9999) as path,
        Link.open(path),
        pytest.raises(PortError, match=f"{path}.*another program uses it"),
    ):
        Link.open(path)


def test_ports_found_by_what_is_plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def plug(*boards: tuple[str, int | None, str | None]) -> None:
        ports = [ListPortInfo(device) for device, _, _ in boards]
        for port, (_, pid, number) in zip(ports, boards, strict=True):
            port.vid, port.pid, port.serial_number = (0x0483 if pid else None), pid, number
        monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)

    plug(("/dev/ttyS0", None, None), ("/dev/ttyACM0", 0x374B, "66FF"))
    assert [resolve_port(p) for p in ("auto", "0483:374b", "COM3")] == ["/dev/ttyACM0", "/dev/ttyACM0", "COM3"]
    with pytest.raises(PortError, match=r"no port fits '0483:0001': /dev/ttyACM0 \(0483:374b:66FF\)"):
        resolve_port("0483:0001")
    plug(("/dev/ttyACM0", 0x374B, "1"), ("/dev/ttyACM1", 0x374B, "2"))
    assert resolve_port("0483:374B:2") == "/dev/ttyACM1"
    with pytest.raises(PortError, match="2 ports fit 'auto', say which: /dev/ttyACM0"):
        resolve_port("auto")
    plug(("/dev/ttyS0", None, None))
    with pytest.raises(PortError, match="no USB serial port is there"):
        Link.open("auto")


@pytest.mark.parametrize("says", [b"", b"Booting...\r\n", b"\xff\0\1\0" * 50], ids=["nothing", "text", "noise"])
def test_nobody_who_answers(says: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(says)
        with suppress(OSError):
            while connection.recv(4096):
                pass

    started = time.monotonic()
    with (
        socket_server(serve) as url,
        Link.open(url, connect_timeout_s=0.6) as link,
        pytest.raises(PortError, match=r"no device answered [23] HELLOs in 0.6 s"),
    ):
        link.hello()
    assert time.monotonic() - started < 3


def test_a_line_that_closes_before_hello() -> None:
    with socket_server(lambda connection: None) as url, Link.open(url) as link, pytest.raises(PortError, match="line"):
        link.hello()


def test_a_device_that_falls_silent() -> None:
    def answer(request: Frame) -> bytes:
        return hello_reply(request) if request.type == Type.HELLO else b""

    started = time.monotonic()
    with (
        socket_server(scripted_device(answer)) as url,
        Link.open(url, timeout_s=0.1) as link,
        pytest.raises(DeviceError, match=r"LOAD at byte 0 failed after \d tries in 0.\d s: the device is silent"),
    ):
        link.run_batches(make_samples(3), None, 5.0)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 9}, "version 9"),
        ({"max_body": 2**31}, "max_body"),
        ({"max_body": 5}, "max_body"),
        ({"input_bytes": 0}, "input_bytes=0"),
        ({"output_bytes": 13}, "output_bytes=13"),
        ({"capacity": 2**32 - 1}, "batch memory"),
        ({"timer_hz": 0}, "timer_hz"),
        ({"session": 1}, "another host"),
    ],
)
def test_a_hello_that_lies(changes: dict[str, int], message: str) -> None:
    with (
        socket_server(scripted_device(lambda request: hello_reply(request, **changes))) as url,
        Link.open(url) as link,
        pytest.raises(DeviceError, match=message),
    ):
        link.hello()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code": 77}, "data type code 77"),
        ({"dims": (1,) * 9}, "rank 9"),
        ({"dims": (2**31, 2**31, 2**31)}, "does not have 24 bytes"),
        ({"dims": (7,)}, "does not have 24 bytes"),
        ({"dims": (0,)}, "does not have 24 bytes"),
        ({"offset": 12, "size": 24}, "do not fit"),
        ({"offset": 2}, "do not fit"),
        ({"offset": 2**32 - 4}, "do not fit"),
    ],
)
def test_a_description_that_lies(changes: dict[str, int], message: str) -> None:
    def answer(request: Frame) -> bytes:
        return hello_reply(request) if request.type == Type.HELLO else describe_reply(request, **changes)

    with (
        socket_server(scripted_device(answer)) as url,
        Link.open(url) as link,
        pytest.raises(DeviceError, match=message),
    ):
        link.describe()


def test_descriptions_that_overlap() -> None:
    def answer(request: Frame) -> bytes:
        if request.type == Type.HELLO:
            return hello_reply(request, n_inputs=2)
        return describe_reply(request)

    with (
        socket_server(scripted_device(answer)) as url,
        Link.open(url) as link,
        pytest.raises(DeviceError, match="overlap"),
    ):
        link.describe()


@pytest.mark.parametrize(
    ("type_", "body", "message"),
    [
        (Type.LOAD, b"x", "LOAD at byte 0 was answered with 1 bytes"),
        (Type.READ, b"", r"READ of outputs at byte 0 brought 0 bytes, not 72"),
        (Type.READ, bytes(1024), "brought 1024 bytes, not 72"),
        (Type.RUN, b"", "RUN of 3 samples was answered with 0 bytes"),
        (Type.RUN, struct.pack("<III", 0, 2, 0), "status 0 after 2 of 3"),
        (Type.STATS, b"abc", "STATS reply has 3 bytes"),
    ],
)
def test_answers_of_the_wrong_size(type_: Type, body: bytes, message: str) -> None:
    def answer(request: Frame) -> bytes:
        return reply(request, body) if request.type == type_ else good_answer(request)

    with (
        socket_server(scripted_device(answer)) as url,
        Link.open(url) as link,
        pytest.raises(DeviceError, match=message),
    ):
        link.run_batches(make_samples(3), None, 5.0)
        link.stats()


@pytest.mark.parametrize(
    ("flood", "message"),
    [
        (b"\1" * 65536, "made no progress for 0.5 s"),  # an endless frame
        (b"\1\0" * 5000, "tries"),  # endless damaged frames
        (frames.encode_frame(Type.PROGRESS, 1, bytes(4)) * 500, "made no progress for 0.5 s"),  # of another request
    ],
    ids=["frame", "damage", "progress"],
)
def test_a_device_that_never_stops_talking(flood: bytes, message: str) -> None:
    def serve(connection: socket.socket) -> None:
        decoder = frames.FrameDecoder()
        with suppress(OSError):
            while True:
                for event in decoder.feed(connection.recv(65536)):
                    assert isinstance(event, Frame)
                    if event.type == Type.RUN:
                        while True:
                            connection.sendall(flood)
                    connection.sendall(good_answer(event))

    started = time.monotonic()
    with (
        socket_server(serve) as url,
        Link.open(url, timeout_s=0.2) as link,
        pytest.raises(DeviceError, match=message),
    ):
        link.run_batches(make_samples(3), None, 0.5)
    assert time.monotonic() - started < 4


def test_progress_that_never_ends_is_no_progress() -> None:
    def serve(connection: socket.socket) -> None:
        decoder = frames.FrameDecoder()
        with suppress(OSError):
            while True:
                for event in decoder.feed(connection.recv(65536)):
                    assert isinstance(event, Frame)
                    if event.type == Type.RUN:
                        while True:
                            connection.sendall(frames.encode_frame(Type.PROGRESS, event.seq, b"\1\0\0\0"))
                            time.sleep(0.01)
                    connection.sendall(good_answer(event))

    with (
        socket_server(serve) as url,
        Link.open(url, timeout_s=0.2) as link,
        pytest.raises(DeviceError, match=r"made no progress for 0.5 s after 1 of them"),
    ):
        link.run_batches(make_samples(3), None, 0.5)


def test_text_from_a_device_cannot_steer_a_terminal() -> None:
    request = Frame(Type.HELLO, 1, frames.hello_body(5))
    wire = hello_reply(request)
    frame = frames.decode_frame(wire[:-1])
    assert isinstance(frame, Frame)
    body = frame.body[:-4] + b"\x1b[2J\xff"
    assert frames.parse_hello(body).name == "�[2J�"


# ---- the device's parser, alone ----


@needs_gcc
@pytest.mark.parametrize("define", ["", "-DEW_LINK_MAX_BODY=128"])
def test_random_bytes_do_no_harm_to_the_device(tmp_path: Path, define: str) -> None:
    program = compile_c(
        tmp_path / "fuzz",
        *SANITIZE,
        *FULL,
        *([define] if define else []),
        C_TESTS / "link_fuzz.c",
        *core_sources(),
    )
    for seed in range(1, 4):
        done = subprocess.run([program, str(seed), "1000000"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

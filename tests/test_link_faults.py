"""The link on bad lines, with hostile devices, and its parser under libFuzzer; benchmarks/link_faults.py does more."""

import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from conftest import REPOSITORY, need
from test_link import (
    C_TESTS,
    ELEMENTS,
    FULL,
    STRICT,
    core_sources,
    describe_reply,
    good_answer,
    hello_reply,
    make_samples,
    needs_gcc,
    socket_server,
)

from edgewright.drivers import frames
from edgewright.drivers.frames import Frame, Type
from edgewright.drivers.link import Link
from edgewright.errors import EdgewrightError
from edgewright.resources import resource_dir

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
from line_proxy import KINDS, Faults
from link_faults import soak

SEED = 20261122
FUZZ_S = int(os.environ.get("EDGEWRIGHT_FUZZ_S", "4"))
LIMIT_S = 6.0


def test_faults_come_at_their_rate_and_repeat() -> None:
    data = bytes(range(1, 201)) * 500
    first, again = Faults(SEED, 2e-3), Faults(SEED, 2e-3)
    altered = first(data)
    assert again(data[:777]) + again(data[777:]) == altered
    assert set(first.counts) == set(KINDS)
    assert 140 < sum(first.counts.values()) < 260
    assert len(altered) == len(data) - first.counts["drop"] + first.counts["duplicate"] + first.counts["insert"]
    assert Faults(SEED, 0.0)(data) == data


@pytest.mark.slow
@needs_gcc
def test_nothing_is_lost_or_wrong_on_bad_lines() -> None:
    tallies = soak(3000, SEED, samples_max=400)
    assert sum(tally.done for tally in tallies.values()) > 0
    assert sum(sum(tally.faults.values()) for tally in tallies.values()) > 50, SEED
    assert {rate: (tally.wrong, tally.late) for rate, tally in tallies.items()} == dict.fromkeys(tallies, (0, 0))


def hostile(chosen: random.Random, request: Frame) -> bytes:
    """Return what a device that lies might say to a request."""
    honest = describe_reply(request) if request.type == Type.DESCRIBE else good_answer(request)
    kind = chosen.randrange(9)
    if request.type == Type.HELLO and kind in (2, 3):
        return hello_reply(request, n_steps=chosen.choice((1, 3, 65535)))
    if kind == 0:  # some field of HELLO
        fields = ("max_body", "rx_buffer", "capacity", "input_bytes", "output_bytes", "batch_memory", "n_inputs")
        value = chosen.choice((0, 1, 8, 127, 128, 255, 65536, 2**31, 2**32 - 1))
        name = chosen.choice(fields)
        value = min(value, 255) if name == "n_inputs" else value
        return hello_reply(request, **{name: value}) if request.type == Type.HELLO else honest
    if kind == 1:  # some description
        changes = {
            "code": chosen.randrange(256),
            "dims": tuple(chosen.choices((0, 1, 6, 2**32 - 1), k=chosen.randrange(10))),
        }
        return describe_reply(request, **changes) if request.type == Type.DESCRIBE else honest
    if kind == 2:  # a body of any length
        body = chosen.randbytes(chosen.choice((0, 1, 4, 12, 28, 100, 1024, 5000)))
        return frames.encode_frame(request.type | 0x80, request.seq, body)
    if kind == 3:  # of any type and number
        return frames.encode_frame(chosen.randrange(256), chosen.randrange(2**16), chosen.randbytes(12)) + honest
    if kind == 4:  # refused for whatever reason
        return frames.encode_frame(Type.NAK, request.seq, chosen.randbytes(chosen.randrange(3)))
    if kind == 5:  # a PROGRESS of any size
        number = chosen.choice((0, 1, 2, 2**32 - 1))
        return frames.encode_frame(Type.PROGRESS, request.seq, struct.pack("<I", number)[: chosen.randrange(5)]) * 3
    if kind == 6:  # a frame without an end
        return b"\1" * chosen.choice((10, 70_000, 500_000))
    if kind == 7:  # a report of a crash, more or less
        return b"\0edgewright fault: exception=" + chosen.randbytes(chosen.randrange(9)).hex().encode() + b"\n\0"
    return b"" if chosen.random() < 0.5 else chosen.randbytes(200)


def test_hostile_devices_end_in_an_error_of_ours() -> None:
    ends: Counter[str] = Counter()
    for seed in range(SEED, SEED + 40):
        chosen = random.Random(seed)  # noqa: S311

        def serve(connection: socket.socket, chosen: random.Random = chosen) -> None:
            decoder = frames.FrameDecoder()
            honesty = chosen.choice((0.0, 0.5, 0.9, 0.98))
            try:
                while data := connection.recv(65536):
                    for event in decoder.feed(data):
                        if not isinstance(event, Frame):
                            continue
                        honest = chosen.random() < honesty or (event.type == Type.HELLO and chosen.random() < 0.7)
                        answer = describe_reply(event) if event.type == Type.DESCRIBE else good_answer(event)
                        connection.sendall(answer if honest else hostile(chosen, event))
            except OSError:
                return

        started = time.monotonic()
        with (
            socket_server(serve) as url,
            Link.open(url, timeout_s=0.02, connect_timeout_s=0.05) as link,
        ):
            try:
                link.describe()
                run = link.run_batches(make_samples(20), 6, 0.1, overlap=chosen.random() < 0.5)
                assert run.outputs.shape == (20, 4 * ELEMENTS)
                if (info := link.hello()).n_steps:
                    link.run_steps(make_samples(1)[0], 0, info.n_steps, 0.1)
                    link.read(16, 0, 5000)
                link.stats()
                ends["results"] += 1
            except EdgewrightError as error:
                assert "\n" not in str(error), seed
                assert str(error).isprintable(), seed
                ends[type(error).__name__] += 1
        assert time.monotonic() - started < LIMIT_S, seed
    assert len(ends) > 2, ends


def test_an_empty_set_and_wrong_types_are_refused_before_a_device_is_asked() -> None:
    with socket_server(lambda connection: None) as url, Link.open(url) as link:
        link._info = frames.parse_hello(
            frames.decode_frame(hello_reply(Frame(Type.HELLO, 1, frames.hello_body(5)))[:-1]).body
        )
        for samples in (make_samples(0), np.zeros((2, 31), np.uint8), np.zeros((2, 32), np.float32)):
            with pytest.raises(EdgewrightError) as caught:
                link.run_batches(samples)
            assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_device_under_libfuzzer(tmp_path) -> None:
    need("clang")
    clang = shutil.which("clang")
    runtime = resource_dir("runtime_c")
    flags = ["-O1", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    source = [*FULL, "-DEW_LIBFUZZER", C_TESTS / "link_fuzz.c", *core_sources()]
    command = [
        clang,
        *STRICT,
        *flags,
        f"-I{runtime / 'include'}",
        f"-I{runtime / 'link'}",
        *source,
        "-o",
        tmp_path / "f",
    ]
    built = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False)
    if "libclang_rt.fuzzer" in built.stderr:
        pytest.skip("this clang has no libFuzzer")
    assert built.returncode == 0, built.stderr
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    hello = bytes([Type.HELLO, 8]) + frames.hello_body(5)
    run = bytes([Type.RUN, 12]) + struct.pack("<III", 1, 0, 3)
    later = bytes([0xE0 + Type.RUN, 12]) + struct.pack("<III", 2, 4, 3)
    steps = bytes([Type.RUN, 20]) + struct.pack("<5I", 3, 0, 1, 0, 2) + bytes([Type.RUN, 20])
    steps += struct.pack("<5I", 4, 0, 1, 2, 3) + bytes([Type.READ, 12]) + struct.pack("<3I", 16, 8, 190)
    (corpus / "steps").write_bytes(hello + steps + bytes([Type.READ, 12]) + struct.pack("<3I", 2, 0, 12))
    (corpus / "runs").write_bytes(hello + later + run + bytes([Type.READ, 12]) + struct.pack("<III", 0, 0, 64))
    done = subprocess.run(
        [tmp_path / "f", f"-max_total_time={FUZZ_S}", "-max_len=1500", f"-seed={SEED}", corpus],
        capture_output=True, text=True, timeout=FUZZ_S + 60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]

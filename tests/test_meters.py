"""Power meters: windows against exact answers, each driver against a meter that speaks its protocol, a whole run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import fake_meters as fakes
import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, REPOSITORY, need

import edgewright as ew
from edgewright.arguments import meter_options
from edgewright.boards import load_target
from edgewright.boards.power import Power
from edgewright.drivers.device import DeviceRun
from edgewright.drivers.meters.core import Lock, MeterOptions, Stream
from edgewright.drivers.meters.registry import METERS, check_meter, open_meter
from edgewright.drivers.meters.windows import Recording, cut, edges_of_samples, energy_of, without_bounces
from edgewright.drivers.process import start
from edgewright.errors import EdgewrightError, MeterError, TargetError, ToolError
from edgewright.report.energy import energy_fields

SEED = 20261122


def recording(current: np.ndarray, line: np.ndarray, period: float = 1e-5, volts: float = 3.0) -> Recording:
    edges, high = edges_of_samples(line, period)
    return Recording(current, volts, period, edges, high, "fake", "D0")


# --- windows ---


@pytest.mark.parametrize("case", range(40))
def test_random_pulses_are_integrated_exactly(case: int) -> None:
    """Pulses of whole samples: the energy is that of exact fractions; what is idle is the rest."""
    rng = np.random.default_rng(SEED + case)
    count = int(rng.integers(1, 9))
    lows, highs = rng.integers(2, 40, count + 1), rng.integers(2, 60, count)
    line = np.concatenate([np.repeat([0, 1], pair) for pair in zip(lows, [*highs, 0], strict=True)])
    current = rng.uniform(1e-6, 0.1, len(line))
    got = energy_of(recording(current, line, volts=1.8), count)
    starts = np.cumsum([low + high for low, high in zip(lows, [*highs, 0], strict=True)]) - np.array([*highs, 0])
    factor = Fraction(1.8) * Fraction(1e-5) * 1_000_000
    for k in range(count):
        samples = [Fraction(a) for a in current[starts[k] : starts[k] + highs[k]]]
        assert got.uj[k] == pytest.approx(float(sum(samples) * factor), rel=1e-9), f"seed {SEED + case}"
        assert got.seconds[k] == pytest.approx(highs[k] * 1e-5)
    everything = float(sum(Fraction(a) for a in current) * factor)
    idle_s = (len(line) - highs.sum()) * 1e-5
    assert got.idle_mw == pytest.approx((everything - got.uj.sum()) / idle_s / 1000, rel=1e-6)
    assert got.power_mw == pytest.approx(got.uj.sum() / highs.sum() / 1e-5 / 1000)


@pytest.mark.parametrize("case", range(20))
def test_edges_within_samples_get_their_share(case: int) -> None:
    """Power is constant within a sample: shares are exact, with a voltage that is measured, too."""
    rng = np.random.default_rng(SEED + case)
    period, n = 2.5e-4, 200
    current, volts = rng.uniform(0, 0.05, n), rng.uniform(1.7, 3.4, n)
    edges = np.sort(rng.choice(np.arange(1, n // 4), 8, replace=False)) * 4 * period + rng.uniform(0, period, 8)
    got = energy_of(Recording(current, volts, period, edges, False, "fake", "I1"), 4)
    for k, (begin, end) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        at = np.arange(n) * period
        shares = np.clip(np.minimum(end, at + period) - np.maximum(begin, at), 0, None)
        assert got.uj[k] == pytest.approx(float((shares * current * volts).sum()) * 1e6, rel=1e-9), case


def test_what_the_recording_cut_is_no_inference() -> None:
    line = np.array([1] * 5 + [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5)
    begins, ends = cut(recording(np.ones(25), line), 1)
    assert begins.tolist() == pytest.approx([1e-4]) and ends.tolist() == pytest.approx([1.5e-4])
    with pytest.raises(MeterError, match=r"saw 1 pulses on D0 \(the first was cut, the last was cut\), and there"):
        cut(recording(np.ones(25), line), 3)
    with pytest.raises(MeterError, match=r"saw 0 pulses on D0, and there were 2 inferences\. Is that input wired"):
        cut(recording(np.ones(25), np.zeros(25)), 2)


def test_bounces() -> None:
    line = np.array([0] * 5 + [1, 0] + [1] * 10 + [0] + [1] * 10 + [0, 1, 0, 1] + [0] * 9)
    begins, ends = cut(recording(np.ones(len(line)), line), 1)
    assert begins.tolist() == pytest.approx([7e-5]) and ends.tolist() == pytest.approx([32e-5])
    assert without_bounces(np.array([]), 1.0, 0.1).size == 0


def test_another_signal_is_found_out() -> None:
    line = np.array([0] * 50 + [1] * 200 + [0] * 50)
    assert energy_of(recording(np.ones(300), line), 1, np.array([0.00195])).uj[0] == pytest.approx(6000)
    with pytest.raises(MeterError, match="last 2,000 us, and by the board's timer an inference takes 9,000 us"):
        energy_of(recording(np.ones(300), line), 1, np.array([0.009]))


def test_ends_and_the_boards_timer() -> None:
    """A meter that sees ends only: windows are as long as the timer says, or there are none."""
    seen = Recording(np.arange(100.0), 1.0, 1e-3, np.array([0.03, 0.06]), False, "fake", "D7", ends_only=True)
    got = energy_of(seen, 2, np.array([0.010, 0.0125]))
    assert got.uj.tolist() == pytest.approx([sum(range(20, 30)) * 1e3, (sum(range(48, 60)) + 47 / 2) * 1e3])
    for durations, message in (
        (None, "nothing says how long"), ([0.009, 0.01], "too short"), ([0.04, 0.01], "overlap or began before"),
        ([0.01, 0.031], "overlap"),
    ):  # fmt: skip
        with pytest.raises(MeterError, match=message):
            cut(seen, 2, None if durations is None else np.array(durations))
    with pytest.raises(MeterError, match="saw 2 pulses on D7, and there were 3"):
        cut(seen, 3, np.full(3, 0.01))


# --- options ---


def test_options_are_checked_before_anything_is_opened() -> None:
    for name, supply, channel, message in (
        ("otii", 3.3, "D0", "Otii has GPI1, GPI2"), ("lpm01a", None, None, "needs --supply, .*: from 1.8 to 3.3 V"),
        ("lpm01a", 5.0, None, "--supply 5: LPM01A can do from 1.8 to 3.3 V"),
        ("joulescope", 3.3, None, "--supply 3.3: Joulescope feeds no board"),
    ):  # fmt: skip
        with pytest.raises(MeterError, match=message):
            METERS[name].check(MeterOptions(name, None, supply, channel))


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyjoulescope_driver", "ppk2_api.ppk2_api", "ppk2_api"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ToolError, match=r"Install it: .* -m pip install 'edgewright\[joulescope\]'"):
        METERS["joulescope"].check(MeterOptions("joulescope"))
    with pytest.raises(ToolError, match=r"'edgewright\[ppk2\]'"):
        METERS["ppk2"].check(MeterOptions("ppk2", supply_v=3.0))


def test_a_meter_is_for_one_process() -> None:
    with Lock("a test's"), pytest.raises(MeterError, match="another process"):
        Lock("a test's")
    Lock("a test's").close()


def test_a_port_that_fails_meanwhile() -> None:
    def read() -> bytes:
        raise OSError("unplugged")

    stream = Stream(read)
    stream.start()
    with pytest.raises(MeterError, match="it failed while it recorded: unplugged"):
        stream.bytes("it")


# --- drivers ---


@pytest.fixture
def ppk2() -> Iterator[fakes.FakePpk2]:
    pytest.importorskip("ppk2_api")
    fake = fakes.FakePpk2()
    yield fake
    fake.close()


@pytest.mark.parametrize("name", ["ppk2", pytest.param("ppk2-ampere", marks=pytest.mark.slow)])
def test_ppk2(ppk2: fakes.FakePpk2, name: str) -> None:
    """The package's own calibration on words over a pty, and D3 of eight inputs."""
    lengths, codes = [300, 450, 1000], [4000, 8000, 12000]
    ppk2.pauses = 1  # amid its calibration, of which the package then has the second half only
    with open_meter(MeterOptions(name, ppk2.port, 3.3, "d3")) as meter:
        meter.start()
        for length, code in zip(lengths, codes, strict=True):
            ppk2.play(code, 1, 0b1001, length)
            ppk2.play(500, 1, 0b0001, 20)
        got = energy_of(meter.stop(), 3)
        meter.start()
        ppk2.play(5000, 1, 0b1000, 100)
        again = energy_of(meter.stop(), 1)
    expected = [fakes.ppk2_amperes(code, 1, 3.3) * 3.3 * n * 10 for n, code in zip(lengths, codes, strict=True)]
    assert got.uj.tolist() == pytest.approx(expected, rel=1e-9)
    assert again.uj.tolist() == pytest.approx([fakes.ppk2_amperes(5000, 1, 3.3) * 3300], rel=1e-9)
    assert got.seconds.tolist() == pytest.approx([n * 1e-5 for n in lengths]) and got.channel == "D3"
    idle = fakes.ppk2_amperes(200, 1, 3.3) * 3300
    assert got.idle_mw is not None and idle <= got.idle_mw < 1.2 * idle
    mode = {"ppk2": b"\x11\x02", "ppk2-ampere": b"\x11\x01"}[name]
    regulator = bytes([0x0D, 3 + (2500 + 32) // 256, (2500 + 32) % 256])
    assert [c for c in ppk2.commands if c[0] in (0x11, 0x0D, 0x0C)] == [mode, regulator, b"\x0c\x01"]
    assert ppk2.commands[-1] == b"\x07"


@pytest.mark.slow
def test_ppk2_faults(ppk2: fakes.FakePpk2, tmp_path: Path) -> None:
    with open_meter(MeterOptions("ppk2", ppk2.port, 3.0)) as meter:
        with pytest.raises(MeterError, match="cannot open port"):  # it is taken
            open_meter(MeterOptions("ppk2", ppk2.port, 3.0))
        meter.start()
        ppk2.loses = 7
        with pytest.raises(MeterError, match="samples some were lost at 1 places"):
            meter.stop()
    with pytest.raises(MeterError, match="cannot open port"):
        open_meter(MeterOptions("ppk2", str(tmp_path / "none"), 3.0))
    other = fakes.FakeLpm01a()
    with pytest.raises(MeterError, match="does not answer as a PPK2"):
        open_meter(MeterOptions("ppk2", other.port, 3.0))
    other.close()


def test_lpm01a() -> None:
    """Energies and events over a pty: windows end at D7's falling edges."""
    fake = fakes.FakeLpm01a()
    with open_meter(MeterOptions("lpm01a", fake.port, 3.3)) as meter:
        meter.start()
        for joules in (2500, 5000):
            for _ in range(25):
                fake.script.put(f"{joules}-09")
            fake.script.put("event")
        got = energy_of(meter.stop(), 2, np.array([0.004, 0.005]))
    fake.wait_for("hrc")
    fake.close()
    assert got.uj.tolist() == pytest.approx([20 * 2.5, 25 * 5.0])
    assert got.power_mw == pytest.approx(175 / 9) and got.voltage_v == pytest.approx(3.3) and got.sample_hz == 5000
    assert fake.commands[0] == "htc" and fake.commands[-1] == "hrc" and "volt 3300m" in fake.commands
    assert "eventsrc d7 fal" in fake.commands and "output energy" in fake.commands


def test_lpm01a_faults() -> None:
    fake = fakes.FakeLpm01a(refuses="volt 2000m")
    with pytest.raises(MeterError, match="refuses 'volt 2000m': error volt 2000m"):
        open_meter(MeterOptions("lpm01a", fake.port, 2.0))
    with open_meter(MeterOptions("lpm01a", fake.port, 3.0)) as meter:
        meter.start()
        fake.script.put("error: overcurrent")
        with pytest.raises(MeterError, match="among the samples came 'error: overcurrent'"):
            meter.stop()
    fake.close()


def test_otii() -> None:
    """JSON over TCP: currents in chunks, a voltage at another rate, edges at times of their own."""
    current = [0.010] * 50_000
    current[4000:8000] = [0.020] * 4000  # from 1 s to 2 s of the recording
    fake = fakes.FakeOtii(current, [3.0] * 12_500, [(0.2, False), (1.50005, True), (2.00005, False)])
    with open_meter(MeterOptions("otii", fake.address, 3.0)) as meter:
        with pytest.raises(MeterError, match="another process measures with it"):
            open_meter(MeterOptions("otii", fake.address, 3.0))
        meter.start()
        got = energy_of(meter.stop(), 1)
        assert fake.reserved == 1
    fake.close()
    assert got.uj.tolist() == pytest.approx([0.020 * 3.0 * 0.5 * 1e6])
    assert got.idle_mw == pytest.approx((12.5 * 30 + 1.0 * 30 - 0.5 * 60) / 12.0)
    assert fake.reserved == 0 and "arc_set_main" in fake.commands and got.meter == "Otii Arc"


def test_otii_faults() -> None:
    fake = fakes.FakeOtii([], [], [])
    fake.logged_in = False
    with pytest.raises(MeterError, match="nobody is logged in"):
        open_meter(MeterOptions("otii", fake.address, 3.0))
    fake.logged_in = True
    with pytest.raises(MeterError, match="expected one device, there is Arc I: say which"):
        open_meter(MeterOptions("otii", f"{fake.address}/Arc II", 3.0))
    with open_meter(MeterOptions("otii", f"{fake.address}/Arc I", 3.0, "GPI2")) as meter:
        meter.start()
        with pytest.raises(MeterError, match="0 of 0 values of mc came"):
            meter.stop()
    address = fake.address
    fake.close()
    with pytest.raises(MeterError, match="no server at"):
        open_meter(MeterOptions("otii", address, 3.0))


def joulescope_signals() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(SEED)
    line = np.repeat([0, 1, 0, 1, 0], [700, 1501, 400, 2222, 3000])
    return rng.uniform(0.001, 0.02, len(line)), rng.uniform(3.2, 3.4, len(line)), line


def test_joulescope() -> None:
    """Blocks that begin and end at different samples, bits packed by eight: against the sum of the products."""
    current, voltage, line = joulescope_signals()
    fake = fakes.FakeJoulescope(current, voltage, line)
    with fakes.installed(fake), open_meter(MeterOptions("joulescope", "1234")) as meter:
        meter.start()
        got = energy_of(meter.stop(), 2)
    power = current.astype(np.float32).astype(np.float64) * voltage.astype(np.float32)
    assert got.uj.tolist() == pytest.approx([power[700:2201].sum(), power[2601:4823].sum()], rel=1e-9)
    assert got.meter == "Joulescope JS220" and got.sample_hz == pytest.approx(1e6) and not fake.is_open
    assert fake.published["s/i/range/mode"] == "auto" and fake.published["s/gpi/0/ctrl"] == 0


def test_joulescope_faults() -> None:
    fake = fakes.FakeJoulescope(*joulescope_signals())
    fake.loses = True
    with fakes.installed(fake):
        with pytest.raises(MeterError, match="expected one, there is u/js220/001234"):
            open_meter(MeterOptions("joulescope", "9999"))
        with open_meter(MeterOptions("joulescope")) as meter:
            meter.start()
            with pytest.raises(MeterError, match="samples of s/i were lost"):
                meter.stop()
        assert not fake.is_open


# --- runs ---


def test_boards_that_cannot_be_measured() -> None:
    for name, target, port, message in (
        ("ppk3", "nucleo-f401re", "x", "--meter ppk3: expected one of ppk2, ppk2-ampere, joulescope, lpm01a, otii"),
        ("otii", "mps2-an386", None, "'mps2-an386' is no board on a desk"),
        ("otii", "host", "pty", "'host' is no board on a desk"),
        ("otii", "nucleo-f401re", None, "say which port it is on with --port"),
    ):  # fmt: skip
        with pytest.raises(MeterError, match=message):
            check_meter(MeterOptions(name, supply_v=3.0), load_target(target), port)
    board = load_target("nucleo-f401re")
    check_meter(MeterOptions("otii", supply_v=3.0), board, "/dev/ttyACM0")
    unmarked = board.model_copy(update={"defines": {}})
    with pytest.raises(MeterError, match="has no EW_MARK_INIT, EW_MARK_LOW, EW_MARK_HIGH in its"):
        check_meter(MeterOptions("otii", supply_v=3.0), unmarked, "/dev/ttyACM0")
    assert meter_options("otii:10.0.0.2:1905/Arc I", 3.0, None) == MeterOptions("otii", "10.0.0.2:1905/Arc I", 3.0)
    with pytest.raises(EdgewrightError, match=r"--supply 3\.0: it is for --meter"):
        meter_options(None, 3.0, None)


MARK_LINE = 0x40005000  # UART 1 of the MPS2: what the marker pin is here


@pytest.fixture
def desk(tmp_path: Path, ppk2: fakes.FakePpk2) -> Iterator[tuple[Path, str, list[int]]]:
    """A board that somebody else started, whose marker pin is wired to a meter's D0; its port; samples a pulse.

    The pin is a line of its own of the emulated board: a byte for high, another for low. Once an inference has ended,
    the meter sees a pulse of as many samples as the list says next.
    """
    need("arm-none-eabi-gcc", "qemu-system-arm")
    folder = tmp_path / "desk"
    folder.mkdir()
    text = (REPOSITORY / "targets" / "mps2-an386" / "target.toml").read_text().replace('"mps2-an386"', '"desk"', 1)
    text = text[: text.index("[emulator]")].replace('device = "emulator"', 'device = "serial"')
    register = "EW_REG32({:#010x}u) = {}u"
    init = f"{register.format(MARK_LINE + 16, 16)}; {register.format(MARK_LINE + 8, 1)}"
    marks = {"INIT": init, "HIGH": register.format(MARK_LINE, ord("H")), "LOW": register.format(MARK_LINE, ord("L"))}
    lines = "".join(f'EW_MARK_{name} = "{statement}"\n' for name, statement in marks.items())
    (folder / "target.toml").write_text(text.replace("[defines]\n", f"[defines]\n{lines}"))
    built = ew.generate(ew.load(DIGITS), str(folder)).build(tmp_path / "project")
    pin = socket.create_server(("127.0.0.1", 0))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    link, mark = f"port={port},server=on,wait=off,nodelay=on", f"port={pin.getsockname()[1]}"
    argv = ["qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none",
            "-kernel", built.firmware.elf,
            "-chardev", f"socket,id=link,host=127.0.0.1,{link}", "-serial", "chardev:link",
            "-chardev", f"socket,id=pin,host=127.0.0.1,{mark}", "-serial", "chardev:pin"]  # fmt: skip
    lengths: list[int] = []

    def wire() -> None:
        peer, _ = pin.accept()
        while data := peer.recv(1):
            if data == b"L" and lengths:
                ppk2.play(6000, 1, 1, lengths.pop(0))

    threading.Thread(target=wire, daemon=True).start()
    with start(argv), pin:
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        yield tmp_path / "project", f"socket://127.0.0.1:{port}", lengths


@pytest.mark.slow
def test_a_whole_run(desk: tuple[Path, str, list[int]], ppk2: fakes.FakePpk2, tmp_path: Path) -> None:
    """`run --meter` on real inferences: one window each, of known energy; with one too few, the rest is written."""
    project, port, lengths = desk
    with np.load(DIGITS_TEST) as data:
        np.savez(tmp_path / "few.npz", x=data["x"][:6], y=data["y"][:6])
    argv = [sys.executable, "-m", "edgewright", "run", str(project), "--target", str(tmp_path / "desk"), "--port", port,
            "--data", str(tmp_path / "few.npz"), "--meter", f"ppk2:{ppk2.port}", "--supply", "3.3"]  # fmt: skip
    for wanted in ([100, 200, 300, 400, 500, 600], [100, 200, 300, 400, 500]):
        lengths[:] = wanted
        written = tmp_path / f"{len(wanted)}.json"
        done = subprocess.run([*argv, "--json", str(written)], capture_output=True, text=True, check=False, timeout=60)
        run = json.loads(written.read_text())["run"]
        assert run["samples"] == 6 and run["batches"] == 6
        if len(wanted) < 6:
            assert done.returncode == 3 and run["energy_uj"] is None and run["energy"] is None
            assert "PPK2 as source saw 5 pulses on D0, and there were 6 inferences" in done.stderr
            continue
        assert done.returncode == 0, done.stderr
        one = fakes.ppk2_amperes(6000, 1, 3.3) * 3.3 * 1e-5 * 1e6  # a sample's, in uJ
        seen = run["energy"]
        assert run["energy_uj"] == pytest.approx(one * 350) and seen["windows"] == 6
        assert (seen["min_uj"], seen["max_uj"]) == pytest.approx((one * 100, one * 600))
        assert seen["percentiles_uj"]["p50"] == pytest.approx(one * 350) and seen["window_us"] == pytest.approx(3500)
        assert run["energy_source"] == "measured: PPK2 as source, marker on D0"
        assert "energy per inference" in done.stdout and "mW at 3.30 V, idle" in done.stdout


@pytest.mark.slow
def test_the_python_interface(desk: tuple[Path, str, list[int]], ppk2: fakes.FakePpk2, tmp_path: Path) -> None:
    _, port, lengths = desk
    built = ew.generate(ew.load(DIGITS), str(tmp_path / "desk")).build()
    meter = ew.MeterOptions("ppk2", ppk2.port, supply_v=3.3)
    lengths[:] = [50] * 4 + [60] * 3
    with np.load(DIGITS_TEST) as data, built.flash(port, write=False, meter=meter) as board:
        first, second = board.predict(data["x"][:4]), board.predict(data["x"][4:8])
    assert first.run.energy is not None and first.run.energy.seconds.tolist() == pytest.approx([5e-4] * 4)
    assert first.report().run.energy_uj == pytest.approx(float(first.run.energy.uj.mean()))
    assert second.run.energy is None and second.run.meter_error is not None
    assert "3 pulses" in second.run.meter_error and len(second.outputs["probabilities"]) == 4
    assert second.report().run.energy_uj is None


def test_an_estimate_is_marked_as_one() -> None:
    """From a datasheet's current and a latency that hardware measured; an emulator's time is not believed."""
    power = Power(supply_v=3.0, active_ma_per_mhz=0.1, source="DS1, table 2")
    board = load_target("mps2-an386").model_copy(update={"power": power})
    done = DeviceRun({}, 2, 2, 1.0, 0.0, latency_us=np.array([900.0, 1100.0]))
    assert energy_fields(done, board)["energy_uj"] is None
    real = board.model_copy(update={"evidence": "hardware"})
    fields = energy_fields(done, real)
    assert fields["energy_uj"] == pytest.approx(1e-3 * 3.0 * 2.5e-3 * 1e6)
    assert fields["energy_source"] == "estimated: DS1, table 2" and fields["energy"] is None
    assert energy_fields(replace(done, latency_us=None), real)["energy_uj"] is None
    assert energy_fields(replace(done, meter_error="unplugged"), real)["energy_uj"] is None
    assert Power(supply_v=3.0, active_ma=7.5, source="x").milliamperes(None) == 7.5


def test_power_of_a_board_is_checked(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    text = (REPOSITORY / "targets" / "pico2" / "target.toml").read_text().replace('"pico2"', '"mine"', 1)
    for lines, message in (
        ("supply_v = 3.3\nsource = 'DS'", "power: expected either active_ma or active_ma_per_mhz"),
        ("supply_v = 3.3\nactive_ma = 1\nactive_ma_per_mhz = 1\nsource = 'DS'", "power: expected either"),
        ("supply_v = 3.3\nactive_ma = 1", "power.source: missing"),
        ("supply_v = 0\nactive_ma = 1\nsource = 'DS'", "power.supply_v: "),
        ("supply = 3\nsupply_v = 3\nactive_ma = 1\nsource = 'DS'", "power.supply: unknown key; did you mean 'supply_v"),
    ):
        (folder / "target.toml").write_text(f"{text}\n[power]\n{lines}\n")
        with pytest.raises(TargetError, match=message):
            load_target(folder)

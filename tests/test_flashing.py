"""Flashing: the exact command of every tool, what happens where one is missing or fails, and GDB's `load` for real."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import DIGITS, DIGITS_TEST, REPOSITORY, need

import edgewright as ew
from edgewright.boards import load_target
from edgewright.boards.flash_ways import ready_made
from edgewright.drivers import flashing
from edgewright.drivers.flashing import FlashOptions, find_volume, flash_firmware
from edgewright.drivers.process import start
from edgewright.errors import EdgewrightError, TargetError, ToolError
from edgewright.firmware_image import read_image

# Each ready-made way with values, and the commands that it comes to.
COMMANDS = {
    "openocd": (
        {"config": "board/st_nucleo_f4.cfg", "reset": "connect_assert_srst"},
        [["openocd", "-f", "board/st_nucleo_f4.cfg", "-c", "reset_config connect_assert_srst",
          "-c", "program firmware.elf verify reset exit"]],
    ),
    "pyocd": (
        {"target": "nrf52840", "probe": "0001"},
        [["pyocd", "load", "--no-wait", "--target", "nrf52840", "--uid", "0001", "firmware.hex"]],
    ),
    "probe-rs": (
        {"chip": "STM32F401RETx", "connect": "--connect-under-reset"},
        [
            ["probe-rs", "download", "--chip", "STM32F401RETx", "--connect-under-reset", "--verify", "firmware.elf"],
            ["probe-rs", "reset", "--chip", "STM32F401RETx", "--connect-under-reset"],
        ],
    ),
    "jlink": (
        {"device": "nRF52840_xxAA", "probe": "683000000"},
        [
            ["JLinkExe", "-NoGui", "1", "-ExitOnError", "1", "-Device", "nRF52840_xxAA", "-If", "SWD", "-Speed", "4000",
             "-AutoConnect", "1", "-SelectEmuBySN", "683000000", "-CommanderScript", "flash.jlink"],
        ],
    ),
    "st-flash": (
        {},
        [["st-flash", "--connect-under-reset", "--reset", "write", "firmware.bin", "0x8000000"]],
    ),
    "stm32-programmer": (
        {"probe": "066FFF"},
        [["STM32_Programmer_CLI", "-c", "port=SWD", "mode=UR", "sn=066FFF", "-w", "firmware.elf", "-v", "-rst"]],
    ),
    "esptool": (
        {"chip": "esp32c3"},
        [["esptool", "--chip", "esp32c3", "--port", "/dev/ttyFAKE", "--baud", "460800", "--after", "hard-reset",
          "write-flash", "0x0", "firmware.bin"]],
    ),
    "picotool": ({}, [["picotool", "load", "-v", "-x", "firmware.elf"]]),
    "nrfjprog": (
        {"family": "NRF52"},
        [["nrfjprog", "--family", "NRF52", "--program", "firmware.hex", "--sectorerase", "--verify", "--reset"]],
    ),
    "avrdude": (
        {"part": "m328p", "programmer": "arduino"},
        [["avrdude", "-p", "m328p", "-c", "arduino", "-P", "/dev/ttyFAKE", "-U", "flash:w:firmware.hex:i"]],
    ),
    "gdb": (
        {"remote": "localhost:1234"},
        [["gdb-multiarch", "-nx", "-batch", "-ex", "set confirm off", "-ex", "set tcp connect-timeout 3",
          "-ex", "target extended-remote localhost:1234", "-ex", "load", "-ex", "compare-sections -r",
          "-ex", "monitor reset", "-ex", "detach", "firmware.elf"]],
    ),
}  # fmt: skip
DRIVES = {"uf2", "drive"}

FAKE = """#!{python}
import json, os, sys
from pathlib import Path
log = Path({log!r})
calls = json.loads(log.read_text()) if log.exists() else []
calls.append([os.path.basename(sys.argv[0]), *sys.argv[1:]])
log.write_text(json.dumps(calls))
for name in os.listdir("."):
    (log.parent / "seen").mkdir(exist_ok=True)
    (log.parent / "seen" / name).write_bytes(Path(name).read_bytes())
{body}
"""


def elf_bytes(parts: list[tuple[int, bytes]], entry: int = 0x0800_0101) -> bytes:
    """A 32-bit Arm program of loaded segments, and no sections."""
    headers_end = 52 + 32 * len(parts)
    offset, table, body = headers_end, b"", b""
    for address, data in parts:
        table += struct.pack("<8I", 1, offset, 0x2000_0000, address, len(data), len(data), 5, 4)
        offset += len(data)
        body += data
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    head = ident + struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, entry, 52, 0, 0, 52, 32, len(parts), 40, 0, 0)
    return head + table + body


def board(folder: Path, flash: str, device: str = "serial") -> Path:
    """A copy of an emulated board that is at a serial port, in a folder of its own."""
    text = (REPOSITORY / "targets" / "mps2-an386" / "target.toml").read_text()
    start_at, end = text.index("[emulator]"), text.index("[[tool]]")
    text = (text[:start_at] + flash + "\n" + text[end:]).replace('name = "mps2-an386"', 'name = "desk"')
    folder = folder / "desk"
    folder.mkdir()
    (folder / "target.toml").write_text(text.replace('device = "emulator"', f'device = "{device}"'))
    return folder


def way(name: str, values: dict[str, str], more: str = "") -> str:
    lines = "".join(f'\n{key} = "{value}"' for key, value in values.items())
    return f'[[flash]]\nuse = "{name}"\n{more}\n[flash.values]{lines}\n'


def desk(tmp_path: Path, flash: str) -> SimpleNamespace:
    """A firmware for it, as far as flashing looks at one."""
    elf = tmp_path / "program file.elf"
    elf.write_bytes(elf_bytes([(0x0800_0000, bytes(range(64))), (0x0800_0100, b"\x11" * 300)]))
    return SimpleNamespace(target=load_target(board(tmp_path, flash)), elf=elf)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A PATH of one folder; `add` puts a program there that records how it is called."""
    folder, log = tmp_path / "bin", tmp_path / "calls.json"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(flashing, "PAUSE_S", 0.0)

    def add(name: str, body: str = "") -> None:
        path = folder / name
        path.write_text(FAKE.format(python=sys.executable, log=str(log), body=body))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def calls() -> list[list[str]]:
        return json.loads(log.read_text()) if log.exists() else []

    return SimpleNamespace(add=add, calls=calls, seen=tmp_path / "seen")


def test_every_ready_made_way_is_tested() -> None:
    assert set(ready_made()) == set(COMMANDS) | DRIVES


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(name: str, tmp_path: Path, tools: SimpleNamespace) -> None:
    """Word by word; and the image that a command names is there, in the folder it runs in."""
    values, expected = COMMANDS[name]
    firmware = desk(tmp_path, way(name, values))
    tools.add(expected[0][0])
    done = flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions())
    assert tools.calls() == expected
    assert (done.tool, done.attempts) == (name, 1)
    words = [word for call in expected for text in call for word in text.replace(":", " ").split()]
    named = {word for word in words if word.startswith("firmware.")}
    named = named or {"firmware.hex"}  # J-Link's is in its script
    assert all((tools.seen / image).stat().st_size > 0 for image in named)


def test_jlink_gets_a_script(tmp_path: Path, tools: SimpleNamespace) -> None:
    firmware = desk(tmp_path, way("jlink", {"device": "X"}))
    tools.add("JLinkExe")
    flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions())
    assert (tools.seen / "flash.jlink").read_text().split() == ["r", "h", "loadfile", "firmware.hex", "r", "g", "q"]


def test_the_first_tool_that_is_there_is_taken(tmp_path: Path, tools: SimpleNamespace) -> None:
    firmware = desk(tmp_path, way("openocd", {"config": "{folder}/my.cfg"}) + way("st-flash", {}))
    with pytest.raises(ToolError, match=r"nothing is there.*openocd: Install it.*openocd.*st-flash: .*stlink-tools"):
        flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions())
    tools.add("st-flash")
    assert flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions()).tool == "st-flash"
    tools.add("openocd")
    flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions(values={"probe": "0042"}))
    folder = firmware.target.folder.resolve()
    assert tools.calls()[-1][:5] == ["openocd", "-f", f"{folder}/my.cfg", "-c", "adapter serial 0042"]
    tools.add("picotool")
    assert flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions("picotool")).tool == "picotool"
    with pytest.raises(ToolError, match=r"pyocd is not there .*pip install pyocd"):
        flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions("pyocd", {"target": "x"}))


def test_a_failure_is_repeated_and_then_told_in_the_tools_words(tmp_path: Path, tools: SimpleNamespace) -> None:
    firmware = desk(tmp_path, way("st-flash", {}, "retries = 1"))
    tools.add("st-flash", "if len(calls) < 2: sys.exit('no chip at the end of the cable')")
    said: list[str] = []
    assert flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions(), said.append).attempts == 2
    assert said == ["flash by st-flash", "flash by st-flash, attempt 2 of 2"]
    tools.add("st-flash", "sys.exit('no chip at the end of the cable')")
    with pytest.raises(ToolError, match=r"(?s)'desk' was not flashed; st-flash tried 2 times.*status 1:\nno chip at"):
        flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions())
    assert len(tools.calls()) == 4


def test_a_tool_that_fails_and_exits_with_0(tmp_path: Path, tools: SimpleNamespace) -> None:
    firmware = desk(tmp_path, way("jlink", {"device": "X"}, "retries = 0"))
    tools.add("JLinkExe", "print('Cannot connect to target.')")
    with pytest.raises(ToolError, match=r"(?s)tried once: 'JLinkExe' ended well, but said:\nCannot connect to target"):
        flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions())


def test_a_tool_that_hangs_is_ended(tmp_path: Path, tools: SimpleNamespace) -> None:
    firmware = desk(tmp_path, way("picotool", {}, "retries = 0\ntimeout_s = 0.5"))
    tools.add("picotool", "import time; time.sleep(60)")
    with pytest.raises(ToolError, match=r"did not finish within 0.5 s"):
        flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions())


def test_copy_to_a_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = desk(tmp_path, way("uf2", {"label": "RPI-RP2", "family": "0xe48bff56"}, "retries = 0"))
    drive = tmp_path / "RPI-RP2"
    monkeypatch.setattr(flashing, "_mounts", lambda label: [tmp_path / label])
    with pytest.raises(ToolError, match="uf2: Put the board into its boot loader"):
        flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions())
    drive.mkdir()
    assert find_volume("RPI-RP2", "INFO_UF2.TXT") is None
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0")
    assert flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions()).tool == "uf2"
    image, copied = read_image(firmware.elf), (drive / "firmware.uf2").read_bytes()
    assert len(copied) % 512 == 0
    blocks = [copied[at : at + 512] for at in range(0, len(copied), 512)]
    for number, block in enumerate(blocks):
        head = struct.unpack("<8I", block[:32])
        assert head == (0x0A324655, 0x9E5D5157, 0x2000, 0x0800_0000 + 256 * number, 256, number, 3, 0xE48BFF56)
        assert block[-4:] == struct.pack("<I", 0x0AB16F30)
    assert b"".join(block[32:288] for block in blocks)[: len(image.data)] == image.data


def test_images(tmp_path: Path) -> None:
    """Segments lie at their load addresses; Intel HEX read back gives the same bytes, across 64 KiB."""
    elf = tmp_path / "a.elf"
    elf.write_bytes(elf_bytes([(0x1000_FFF8, b"\x22" * 40), (0x1000_FFE0, b"\x33" * 4)], entry=0x1000_FFE1))
    image = read_image(elf)
    assert (image.address, image.entry) == (0x1000_FFE0, 0x1000_FFE1)
    assert image.data == b"\x33" * 4 + b"\xff" * 20 + b"\x22" * 40
    base, memory, ended = 0, {}, False
    for line in image.hex().split():
        row = bytes.fromhex(line[1:])
        assert not ended and line[0] == ":" and sum(row) % 256 == 0 and row[0] == len(row) - 5
        if row[3] == 4:
            base = int.from_bytes(row[4:6], "big") << 16
        elif row[3] == 0:
            memory.update({base + int.from_bytes(row[1:3], "big") + i: byte for i, byte in enumerate(row[4:-1])})
        ended = row[3] == 1
    assert ended
    assert bytes(memory[address] for address in sorted(memory)) == image.data
    elf.write_bytes(b"nothing")
    with pytest.raises(ToolError, match="no firmware that could be flashed"):
        read_image(elf)
    elf.write_bytes(elf_bytes([(0, b"a"), (0x2000_0000, b"b")]))
    with pytest.raises(ToolError, match="too far apart"):
        read_image(elf)


@pytest.mark.parametrize(
    ("flash", "message"),
    [
        ('[[flash]]\nuse = "openocdd"', r"flash\[0\]: no way to flash is called 'openocdd': did you mean 'openocd'"),
        ('[[flash]]\nuse = "openocd"', r"flash\[0\]: openocd needs a value for values.config"),
        ('[[flash]]\nuse = "uf2"\n[flash.values]\nlabel = "A"', r"uf2 needs a value for values.family"),
        ('[[flash]]\ntool = "x"', r"flash\[0\]: expected either argv, or image and volume"),
        ('[[flash]]\ntool = "x"\nargv = ["x", "{elf}"]\nargs = 1', r"flash\[0\].args: unknown key.*'argv'"),
        ('[[flash]]\ntool = "x"\nargv = ["{elf}"]', "the first word is the program itself"),
        ('[[flash]]\ntool = "x"\nargv = ["x"]\n[flash.values]\nport = "1"', "values.port: edgewright gives this one"),
        ('[[flash]]\ntool = "x"\nargv = ["x"]\nfailure = "("', "failure is not a regular expression"),
        ('[[flash]]\ntool = "x"\nargv = ["x"]\nretries = -1', r"flash\[0\].retries: "),
        ('[[flash]]\ntool = "x"\nargv = ["x"]\n[flash.files]\n"../x" = "y"', r"flash\[0\].files"),
    ],
)  # fmt: skip
def test_mistakes_in_a_target_are_named(flash: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=message):
        load_target(board(tmp_path, flash))


def test_a_board_without_port_or_way(tmp_path: Path) -> None:
    firmware = desk(tmp_path, "")
    with pytest.raises(TargetError, match="'desk' is a board: say which port it is on with --port"):
        flash_firmware(firmware, None, FlashOptions())
    with pytest.raises(TargetError, match=r"no \[\[flash\]\] in its target.toml"):
        flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions())
    with pytest.raises(TargetError, match=r"openocd needs a value for values.config"):
        flash_firmware(firmware, "/dev/ttyFAKE", FlashOptions("openocd"))


# ---- GDB and QEMU's stub


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stub() -> Iterator[tuple[str, str]]:
    """An emulated board without any program, stopped: the URL of its line, and where its gdbstub listens."""
    need("gdb-multiarch", "qemu-system-arm", "arm-none-eabi-gcc")
    gdb = f"127.0.0.1:{free_port()}"
    line = "socket,id=link,host=127.0.0.1,port=0,server=on,wait=off,nodelay=on"
    argv = ["qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none", "-S", "-gdb", f"tcp:{gdb}"]
    # QEMU tells a port that it chose itself only where it waits: take one that is free.
    port = free_port()
    with start([*argv, "-chardev", line.replace("port=0", f"port={port}"), "-serial", "chardev:link"]):
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"socket://127.0.0.1:{port}", gdb


@pytest.mark.slow
def test_gdb_loads_through_a_gdbstub(tmp_path: Path, stub: tuple[str, str]) -> None:
    """Load, compare, reset, handshake, predict; then another build over it. The stub is QEMU's."""
    url, gdb = stub
    folder = board(tmp_path, way("gdb", {"remote": gdb, "reset": "monitor system_reset"}))
    built = ew.generate(ew.load(DIGITS), str(folder)).build(tmp_path / "project")
    with np.load(DIGITS_TEST) as data:
        x, y = data["x"][:20], data["y"][:20]
    with built.flash(url) as device:
        report = device.predict(x, batch_size=8).report(y)
    assert report.fidelity.passed and report.run.energy_uj is None
    image = read_image(built.firmware.elf)
    # objcopy fills between sections, we between segments: compare what its filling does not change.
    objcopy, filled = shutil.which("arm-none-eabi-objcopy") or "", []
    for fill in ("0x00", "0xff"):
        subprocess.run([objcopy, "-O", "binary", "--gap-fill", fill, built.firmware.elf, tmp_path / "b"], check=True)
        filled.append((tmp_path / "b").read_bytes())
    assert len(image.data) == len(filled[0])
    assert all(a == b for a, b, c in zip(image.data, *filled, strict=True) if b == c)
    other = ew.generate(ew.load(DIGITS), str(folder), optimize="size").build()
    with pytest.raises(EdgewrightError, match="runs another build"):
        other.flash(url, write=False)
    with other.flash(url) as device:
        assert device.predict(x[:2]).report(y[:2]).fidelity.passed


@pytest.mark.slow
def test_deploy_flashes_a_board_at_a_port(tmp_path: Path, stub: tuple[str, str]) -> None:
    """All in one command; a second time without flashing."""
    url, gdb = stub
    folder = board(tmp_path, way("gdb", {"remote": gdb, "reset": "monitor system_reset"}, "retries = 0"))
    with np.load(DIGITS_TEST) as data:
        np.savez(tmp_path / "few.npz", x=data["x"][:30], y=data["y"][:30])
    command = [sys.executable, "-m", "edgewright", "deploy", str(DIGITS), "-t", str(folder), "--data",
               str(tmp_path / "few.npz"),
               "--port", url, "-o", str(tmp_path / "project"), "--json", str(tmp_path / "r.json")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["fidelity"]["passed"]
    done = subprocess.run([*command, "--no-flash"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    flash = [sys.executable, "-m", "edgewright", "flash", str(tmp_path / "project"), "-t", str(folder), "--port", url]
    done = subprocess.run([*flash, "--tool", "gdb"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and "gdb, attempt 1" in done.stdout, done.stderr


def test_no_tool_is_on_the_path_of_the_tests() -> None:
    """The fakes stand in for tools that are looked for beside Python first."""
    beside = Path(sys.executable).parent
    assert not [call[0][0] for _, call in COMMANDS.values() if shutil.which(call[0][0], path=str(beside))]

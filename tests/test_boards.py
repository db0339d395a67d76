"""targets/: every board reads, every mistake in a target.toml is named with its file and key, nothing escapes."""

from pathlib import Path

import pytest

from edgewright.boards import list_targets, load_target, target_names
from edgewright.boards.new import make_board
from edgewright.errors import TargetError

MINIMAL = """
name = "mine"
description = "a board"
cpu = "cortex-m0"
isa = "armv6-m"
evidence = "hardware"
device = "serial"

[toolchain]
file = "_cpu/cortex-m/toolchain.cmake.j2"
compiler = "arm-none-eabi-gcc"

[[memory]]
name = "FLASH"
kind = "flash"
origin = 0
bytes = 65536

[[memory]]
name = "RAM"
kind = "ram"
origin = 0x2000_0000
bytes = 8192

[[file]]
source = "_cpu/cortex-m/startup.c"

[stack]
bytes = 1024
"""

EMULATOR = """
[emulator]
machine = "m"
argv = ["qemu", "{elf}", "{port}"]
ready = "listening"
"""


def board(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir(exist_ok=True)
    (folder / "target.toml").write_text(text)
    return folder


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(TargetError) as caught:
        load_target(board(tmp_path, text))
    message = str(caught.value)
    assert all(line.startswith("mine/target.toml: ") for line in message.splitlines()), message
    return message


def test_every_board_reads():
    targets = list_targets()
    assert [target.name for target in targets] == list(target_names())
    assert {"host", "mps2-an386"} <= set(target_names())
    assert not any(name.startswith("_") for name in target_names())


@pytest.mark.parametrize("name", target_names())
def test_every_named_file_is_there(name):
    target = load_target(name)
    for file in target.file:
        assert target.resolve(file.source).is_file()
    assert target.resolve(target.toolchain.file).is_file()
    assert all(tool.purpose for tool in target.tool)


def test_sizes_are_sums_by_kind():
    board_target = load_target("mps2-an386")
    assert (board_target.flash_bytes, board_target.ram_bytes) == (4 << 20, (4 << 20) + (16 << 10) + (16 << 20))
    assert board_target.code_memory.origin == 0
    assert board_target.data_memory.origin == 0x20000000
    host = load_target("host")
    assert host.flash_bytes is None
    assert host.ram_bytes is None


def test_regions_in_the_order_of_their_speed():
    target = load_target("mps3-an547")
    assert [region.name for region in target.ram_regions] == ["DTCM", "ISRAM", "SRAM", "DDR"]
    assert [region.name for region in target.flash_regions] == ["ITCM", "QSPI"]
    assert [region.name for region in load_target("mps2-an386").ram_regions] == ["ZBT_SRAM23", "BRAM", "PSRAM"]


def test_a_target_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_target("host").name = "other"


def test_users_own_folder(tmp_path):
    folder = board(tmp_path, MINIMAL.replace("_cpu/cortex-m/startup.c", "own.c.j2"))
    (folder / "own.c.j2").write_text("")
    for path in (folder, str(folder), folder / "target.toml"):
        target = load_target(path)
        (file,) = target.file
        assert (file.out_name, file.rendered, file.compiled) == ("own.c", True, True)
        assert target.resolve(file.source) == folder / "own.c.j2"
        assert target.ram_bytes == 8192


def test_unknown_name_has_near_matches():
    with pytest.raises(TargetError, match=r"unknown target 'mps2-an368': did you mean 'mps2-an386'"):
        load_target("mps2-an368")
    with pytest.raises(TargetError, match=r"known targets: .*host"):
        load_target("zzzzzz")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("isa =", "isaa = 'x'\nisa ="), "isaa: unknown key; did you mean 'isa'"),
        (("[stack]\nbytes", "[stack]\nbites = 8\nbytes"), "stack.bites: unknown key; did you mean 'bytes'"),
        (('kind = "ram"', 'kind = "ram"\norigins = 1'), "memory[1].origins: unknown key; did you mean 'origin'"),
        (('cpu = "cortex-m0"\n', ""), "cpu: missing"),
        (('kind = "ram"', 'kind = "rom"'), "memory[1].kind: input should be 'flash' or 'ram', got 'rom'"),
        (('kind = "ram"', 'kind = "flash"'), 'no region of kind = "ram"'),
        (("bytes = 65536", "bytes = 0"), "memory[0].bytes: input should be greater than 0, got 0"),
        (("bytes = 65536", 'bytes = "64K"'), "memory[0].bytes: input should be a valid integer, got '64K'"),
        (("origin = 0x2000_0000", "origin = 65535"), "memory: 'FLASH' and 'RAM' overlap"),
        (('name = "RAM"', 'name = "FLASH"'), "two regions are called 'FLASH'"),
        (('name = "RAM"', 'name = "Flash"'), "'FLASH' and 'Flash' differ in case only"),
        (('kind = "ram"', 'kind = "ram"\nwait = -1'), "memory[1].wait: input should be greater than or equal to 0"),
        (('kind = "ram"', 'kind = "ram"\nwait = 0.5'), "memory[1].wait: input should be a valid integer"),
        (('kind = "ram"', 'kind = "ram"\nwaits = 1'), "memory[1].waits: unknown key; did you mean 'wait'"),
        (("origin = 0x2000_0000", "origin = 0x2000_0008"), "'RAM' does not begin at a multiple of 16 bytes"),
        (("origin = 0x2000_0000", "origin = 0xFFFF_F000"), "'RAM' ends at 0x100001000, beyond 32 bits"),
        (('name = "RAM"', 'name = "R A M"'), "memory[1].name: "),
        (("[stack]\nbytes = 1024", ""), "stack: missing"),
        (
            ("[stack]", '[[setup]]\nwhat = "x"\naddress = 4\n[stack]'),
            "setup[0]: does nothing; expected clear, set or wait",
        ),
        (
            ("[stack]", '[[setup]]\nwhat = "x"\naddress = 4\nset = 1\nis = 1\n[stack]'),
            "is = 0x1 has bits that wait = 0x0",
        ),
        (
            ("[stack]", '[[setup]]\nwhat = "x"\naddress = 6\nset = 1\n[stack]'),
            "setup[0].address: input should be a multiple",
        ),
        (
            ("[stack]", '[[setup]]\nwhat = "x"\naddress = 4\nsets = 1\n[stack]'),
            "setup[0].sets: unknown key; did you mean 'set'",
        ),
        (("bytes = 1024", "bytes = 1028"), "stack.bytes: input should be a multiple of 8"),
        (("bytes = 1024", "bytes = 16384"), "stack.bytes: 16384 B do not fit in 'RAM'"),
        (('name = "mine"', 'name = "other"'), "name: expected the folder's name 'mine', got 'other'"),
        (('device = "serial"', 'device = "emulator"'), "expected an [emulator] table"),
        (("_cpu/cortex-m/startup.c", "../secret.c"), "file[0].source: '../secret.c' leads outside"),
        (("_cpu/cortex-m/startup.c", "/etc/hostname"), "file[0].source: '/etc/hostname' leads outside"),
        (("_cpu/cortex-m/startup.c", "link.c"), "file[0].source: 'link.c' leads outside"),
        (("_cpu/cortex-m/startup.c", "nothing.c"), "file[0].source: no file 'nothing.c'"),
        (("_cpu/cortex-m/toolchain.cmake.j2", "no.cmake"), "toolchain.file: no file 'no.cmake'"),
        (
            ("[stack]", '[[file]]\nsource = "own.c"\nname = "startup.c"\n[stack]'),
            "'startup.c' is not a plain file name",
        ),
        (("[stack]", '[[file]]\nsource = "own.c"\nname = "../x.c"\n[stack]'), "'../x.c' is not a plain file name"),
        (("[stack]", "[interrupts]\ncount = 4\nhandlers = {a = 4}\n[stack]"), "handlers.a is line 4, but count = 4"),
        (("[stack]", "[interrupts]\ncount = 4\nhandlers = {a = 1, b = 1}\n[stack]"), "claim the same line"),
        (("[stack]", "[stack"), "is not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, change, words):
    assert change[0] in MINIMAL
    folder = board(tmp_path, MINIMAL)
    (folder / "own.c").write_text("")
    (tmp_path / "secret.c").write_text("")
    (folder / "link.c").symlink_to(tmp_path / "secret.c")
    assert words in refused(tmp_path, MINIMAL.replace(*change, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("{elf}", "elf"), "emulator: argv has no {elf}"),
        (("{elf}", "{elf}{speed}"), "emulator: argv has an unknown placeholder {speed}"),
        (('"{port}"', '"0"'), "emulator: no port"),
        (('"listening"', '"(listening"'), "emulator: ready is not a regular expression"),
        (('machine = "m"', 'machines = "m"'), "emulator.machines: unknown key; did you mean 'machine'"),
        (('machine = "m"', 'machine = "m"\nscript = "x.js"'), "emulator: argv has no {script}"),
        (('machine = "m"', 'machine = "m"\nscript = "x.js"'), "emulator.script: no file 'x.js'"),
        (
            ("[stack]", '[[tool]]\nname = "t"\npurpose = "p"\ncheck = ["{a}"]\n[stack]'),
            "check has an unknown placeholder",
        ),
    ],
)
def test_mistakes_in_the_emulator_are_named(tmp_path, change, words):
    text = MINIMAL.replace('"serial"', '"emulator"') + EMULATOR
    assert load_target(board(tmp_path, text)).emulator is not None
    assert words in refused(tmp_path, text.replace(*change, 1))


RESETS = """
[reset_cause]
what = "CSR"
address = 0x4002_1024
clear = 0x0100_0000
without_flag = "power-on"
flags = [{ cause = "watchdog", mask = 0x6000_0000 }, { cause = "pin", mask = 0x0400_0000 }]

[watchdog]
source = "_drivers/ew_watchdog_stm32.c"
seconds = [0.001, 26.2]
defines = { EW_WATCHDOG_BASE = "0x40003000u" }
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("mask = 0x6000_0000", "mask = 0"), "reset_cause.flags[0].mask: input should be greater than 0"),
        (("mask = 0x0400_0000", "mask = 0x4000_0000"), "reset_cause: flags: 'pin' never counts"),
        (("clear = 0x0100_0000", "clear = 0x0400_0000"), "reset_cause: clear = 0x4000000 has bits of flags"),
        (('cause = "pin"', 'cause = "button"'), "reset_cause.flags[1].cause: input should be 'power-on', 'pin'"),
        (("address = 0x4002_1024", "address = 0x4002_1022"), "reset_cause.address: input should be a multiple of 4"),
        (("clear =", "clean ="), "reset_cause.clean: unknown key; did you mean 'clear'"),
        (("flags = [", "flags = []\nflag = ["), "reset_cause.flag: unknown key; did you mean 'flags'"),
        (("[0.001, 26.2]", "[30, 26.2]"), "watchdog: seconds: 30 is above 26.2"),
        (("[0.001, 26.2]", "[26.2]"), "watchdog.seconds[1]: missing"),
        (("ew_watchdog_stm32.c", "ew_watchdog.c"), "watchdog.source: no file '_drivers/ew_watchdog.c'"),
        (("seconds =", "second ="), "watchdog.second: unknown key; did you mean 'seconds'"),
    ],
)
def test_mistakes_about_resets_are_named(tmp_path, change, words):
    text = MINIMAL + RESETS
    assert load_target(board(tmp_path, text)).reset_cause is not None
    assert change[0] in text
    assert words in refused(tmp_path, text.replace(*change, 1))


def test_where_a_stack_is_guarded(tmp_path):
    """Below the RAM, where that costs nothing; at its start, where other RAM lies below."""
    guard = load_target(board(tmp_path, MINIMAL)).stack_guard
    assert (guard.start, guard.bytes, guard.bytes_in_ram) == (0x1FFFF000, 4096, 0)
    below = MINIMAL.replace(
        "[[file]]", '[[memory]]\nname = "LOW"\nkind = "ram"\norigin = 0x1FFF_F000\nbytes = 4096\n\n[[file]]'
    )
    guard = load_target(board(tmp_path, below)).stack_guard
    assert (guard.start, guard.bytes, guard.bytes_in_ram) == (0x20000000, 256, 256)
    odd = below.replace("origin = 0x2000_0000", "origin = 0x2000_0010")
    guard = load_target(board(tmp_path, odd)).stack_guard
    assert (guard.start, guard.bytes, guard.bytes_in_ram) == (0x20000100, 256, 0x1F0)
    assert load_target("host").stack_guard is None


def test_all_mistakes_are_reported_at_once(tmp_path):
    message = refused(tmp_path, MINIMAL.replace("isa =", "iza =").replace("65536", "-1"))
    assert len(message.splitlines()) == 3  # iza unknown, isa missing, bytes negative


def test_unreadable_file(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(TargetError, match=r"mine/target\.toml: cannot be read"):
        load_target(tmp_path / "mine")


def test_every_mistake_is_named_at_once(tmp_path):
    text = MINIMAL.replace('cpu = "cortex-m0"\n', "").replace('name = "mine"', 'name = "other"')
    text = text.replace("origin = 0x2000_0000", "origin = 65528").replace("_cpu/cortex-m/startup.c", "no.c")
    text = text.replace("[stack]\nbytes = 1024", "[stack]\nbytes = 1023\n[interrupts]\ncounts = 2")
    lines = refused(tmp_path, text).splitlines()
    wanted = (
        "cpu: missing", "name: expected", "overlap", "multiple of 16", "file[0].source: no file", "stack.bytes: ",
        "interrupts.counts: unknown key; did you mean 'count'", "interrupts.count: missing",
    )  # fmt: skip
    assert len(lines) == len(wanted)
    for words in wanted:
        assert any(words in line for line in lines), words


def test_mistakes_of_the_whole_come_together(tmp_path):
    text = MINIMAL.replace('device = "serial"', 'device = "emulator"').replace("bytes = 1024", "bytes = 16384")
    message = refused(tmp_path, text)
    assert "do not fit" in message
    assert "expected an [emulator] table" in message


def test_a_new_board_begins_from_another(tmp_path):
    for like in ("nucleo-f401re", "mps2-an386", "host"):
        folder = make_board(f"my-{like}", load_target(like), tmp_path)
        made = load_target(folder)
        assert made.name == f"my-{like}"
        assert made.memory == load_target(like).memory
        assert made.evidence == ("host" if like == "host" else "built")
    folder = board(tmp_path, MINIMAL.replace("_cpu/cortex-m/startup.c", "own.c"))
    (folder / "own.c").write_text("")
    made = load_target(make_board("yours", load_target(folder), tmp_path / "new" / "place"))
    assert made.resolve("own.c").parent == tmp_path / "new" / "place" / "yours"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("taken", "taken' exists: choose another name"),
        ("mps2-an386", "is a board that comes with edgewright"),
        ("../out", "cannot be a board's name"),
        ("", "cannot be a board's name"),
    ],
)
def test_a_new_board_overwrites_nothing(tmp_path, name, words):
    (tmp_path / "taken").mkdir()
    with pytest.raises(TargetError) as caught:
        make_board(name, load_target("host"), tmp_path)
    assert words in str(caught.value)
    assert list(tmp_path.rglob("*")) == [tmp_path / "taken"]

"""Writes a firmware into a board's flash, by the first way of its target.toml whose tool is there.

In: a built firmware, and what the user says. Out: which tool did it. Tools run without a shell, in a folder of their
own where the image has a plain name, so that nothing in a path can be taken for a command.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import string
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewright.boards import Target
from edgewright.boards.flash_ways import FAMILY, IMAGES, KNOWN, PLACEHOLDER, FlashWay, Words, load_way
from edgewright.build import Firmware
from edgewright.drivers.device import Device, open_device
from edgewright.drivers.process import find_tool, run
from edgewright.errors import PortError, TargetError, ToolError
from edgewright.firmware_image import read_image

LOG = logging.getLogger(__name__)
OnProgress = Callable[[str], None]
RESTART_S = 10.0  # that a board and its port may take to come back
PAUSE_S = 1.0  # before another attempt
_SHOWN_LINES = 20


@dataclass(frozen=True)
class FlashOptions:
    """What the user says about flashing. `tool`: one of the target's ways, or a ready-made one; None: the first that is
    there. `values` complete or replace those of the way."""

    tool: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Flashed:
    """What was done. Units: seconds of wall clock."""

    tool: str
    attempts: int
    seconds: float


def check_flash(target: Target, port: str | None, options: FlashOptions) -> FlashWay:
    """Return how the board would be flashed, before any work is done. Raises: as `flash_firmware`."""
    if port is None:
        raise TargetError(f"'{target.name}' is a board: say which port it is on with --port")
    return choose_way(target, options)


def flash_and_open(
    firmware: Firmware, port: str | None, options: FlashOptions, on_progress: OnProgress = lambda text: None,
    **choices: Any,
) -> tuple[Flashed, Device]:  # fmt: skip
    """Flash, and open the device once it answers with the build id of this very firmware.

    `choices`: those of `open_device`, as baudrate=115200.
    Raises: as `flash_firmware`; PortError where another build answers, or none.
    """
    done = flash_firmware(firmware, port, options, on_progress)
    on_progress("wait for the board")
    deadline = time.monotonic() + RESTART_S
    while True:
        try:
            return done, open_device(firmware, port, **choices)
        except PortError as error:  # a port of a board that restarts may be away for a while
            if time.monotonic() > deadline:
                raise PortError(f"{done.tool} says that it flashed '{firmware.target.name}', but {error}") from error
            time.sleep(PAUSE_S)


def flash_firmware(
    firmware: Firmware, port: str | None, options: FlashOptions, on_progress: OnProgress = lambda text: None
) -> Flashed:
    """Flash; each attempt is told to `on_progress`.

    Raises: TargetError where the target says no way, or a value is missing; ToolError where no tool is there, with how
    to get each, or where all attempts failed, with the tool's own words.
    """
    way = check_flash(firmware.target, port, options)
    values = _values(firmware, way, port, options)
    started, attempt = time.monotonic(), 0
    while True:
        attempt += 1
        on_progress(f"flash by {way.tool}" + (f", attempt {attempt} of {way.retries + 1}" if attempt > 1 else ""))
        try:
            with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
                _attempt(firmware, way, values, Path(folder))
            return Flashed(way.tool, attempt, time.monotonic() - started)
        except ToolError as error:
            if attempt > way.retries:
                tries = "once" if attempt == 1 else f"{attempt} times"
                name = firmware.target.name
                raise ToolError(f"'{name}' was not flashed; {way.tool} tried {tries}: {error}") from error
            LOG.warning("attempt %d to flash failed: %s", attempt, error)
            time.sleep(PAUSE_S)


def choose_way(target: Target, options: FlashOptions) -> FlashWay:
    """Return the way that the user names, or the first whose tool is there. Raises: TargetError, ToolError."""
    ways, name = target.flash, target.name
    if options.tool is not None:
        mine = next((way for way in ways if way.tool == options.tool), None)
        way = mine or load_way(options.tool, options.values)
        if problem := _absence(way, options.values):
            raise ToolError(f"{way.tool} is not there to flash '{name}' with. {problem}")
        return way
    if not ways:
        raise TargetError(f"'{name}' has no [[flash]] in its target.toml: name a --tool, or flash it yourself")
    refusals = []
    for way in ways:
        problem = _absence(way, options.values)
        if problem is None:
            return way
        refusals.append(f"{way.tool}: {problem}")
    raise ToolError(f"nothing is there to flash '{name}' with. " + " ".join(refusals))


def _absence(way: FlashWay, values: Mapping[str, str]) -> str | None:
    """Say how to get a tool that is not there; None: it is."""
    if way.argv:
        try:
            find_tool(str(way.argv[0]))
        except ToolError:
            return _remedy(way)
        return None
    label = _fill(way.volume, {**way.values, **values})
    return way.hint if find_volume(label, way.marker) is None else None


def _remedy(way: FlashWay) -> str:
    if not way.apt:
        return way.hint
    if shutil.which("apt-get"):
        return f"Install it: {'' if os.geteuid() == 0 else 'sudo '}apt-get install -y {' '.join(way.apt)}."
    return f"Install it with your system's package manager (Debian calls it {' '.join(way.apt)})."


def _values(firmware: Firmware, way: FlashWay, port: str | None, options: FlashOptions) -> dict[str, str]:
    """What each placeholder stands for; values of the way may name the others."""
    known = {image: f"firmware.{image}" for image in IMAGES}
    known["folder"] = str(firmware.target.folder.resolve())
    known["address"] = f"{read_image(firmware.elf).address:#x}"
    if port is not None:
        known["port"] = port
    own = {name: _fill(value, known) for name, value in {**way.values, **options.values}.items() if name not in KNOWN}
    return {**own, **known}


def _attempt(firmware: Firmware, way: FlashWay, values: Mapping[str, str], folder: Path) -> None:
    """Write the files, then run the commands or copy the image."""
    _write_images(firmware, way, values, folder)
    for name, text in way.files.items():
        (folder / name).write_text(_fill(text, values), encoding="utf-8")
    if way.image is not None:
        _copy(folder / f"firmware.{way.image}", _fill(way.volume, values), way)
        return
    for words in (way.argv, way.after):
        if not words:
            continue
        done = run(command(words, values), cwd=folder, timeout_s=way.timeout_s)
        said = done.stdout + done.stderr
        if way.failure and re.search(way.failure, said):
            last = "\n".join(said.strip().splitlines()[-_SHOWN_LINES:])
            raise ToolError(f"'{words[0]}' ended well, but said:\n{last}")


def command(words: Words, values: Mapping[str, str]) -> list[str]:
    """Return an argument list: placeholders filled, groups left out that lack a value."""
    argv: list[str] = []
    for word in words:
        group = [word] if isinstance(word, str) else list(word)
        if isinstance(word, str) or all(name in values for text in group for name in PLACEHOLDER.findall(text)):
            argv += [_fill(text, values) for text in group]
    return argv


def _write_images(firmware: Firmware, way: FlashWay, values: Mapping[str, str], folder: Path) -> None:
    """Put the firmware into `folder` in the forms that the way needs."""
    wanted = way.placeholders
    image = read_image(firmware.elf)
    if "elf" in wanted:
        shutil.copyfile(firmware.elf, folder / "firmware.elf")
    if "bin" in wanted:
        (folder / "firmware.bin").write_bytes(image.data)
    if "hex" in wanted:
        (folder / "firmware.hex").write_text(image.hex(), encoding="ascii")
    if "uf2" in wanted:
        try:
            family = int(values[FAMILY], 0)
        except (KeyError, ValueError) as error:
            raise TargetError(f"{way.tool}: values.family is not the number of a UF2 family (0xe48bff56)") from error
        (folder / "firmware.uf2").write_bytes(image.uf2(family))


def _copy(image: Path, label: str, way: FlashWay) -> None:
    """Copy to a mounted drive. The board may restart, and the drive vanish, as soon as the last byte is there."""
    volume = find_volume(label, way.marker)
    if volume is None:
        raise ToolError(f"no drive '{label}' is mounted. {way.hint}")
    data = image.read_bytes()
    try:
        with (volume / image.name).open("wb") as drive:
            written = drive.write(data)
            drive.flush()
            if written == len(data):
                os.fsync(drive.fileno())
    except OSError as error:
        if volume.is_dir() and (not way.marker or (volume / way.marker).is_file()):
            raise ToolError(f"copying {len(data):,} B to '{volume}' failed: {error.strerror}") from error
        LOG.debug("the drive went away at the end of the copy: %s", error)


def find_volume(label: str, marker: str = "") -> Path | None:
    """Find a mounted drive by its label and, where that is given, by a file on it."""
    for path in _mounts(label):
        if path.is_dir() and (not marker or (path / marker).is_file()):
            return path
    return None


def _mounts(label: str) -> list[Path]:
    """Where systems mount a drive of this name; on Windows, any drive that could be it."""
    if sys.platform == "win32":
        return [Path(f"{letter}:/") for letter in string.ascii_uppercase[2:]]
    user = os.environ.get("USER", "")
    roots = [Path("/Volumes"), Path("/media") / user, Path("/run/media") / user, Path("/media"), Path("/mnt")]
    return [root / label for root in roots]


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Replace placeholders that have a value, each once: what is put in is not looked at again."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)

"""Source tree in, firmware out: writes the project, runs CMake, reads the sizes out of the ELF file."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgewright.boards import Target
from edgewright.drivers.frames import TICK_BYTES
from edgewright.drivers.process import find_tool, run
from edgewright.elf_sizes import Sizes, measure
from edgewright.emit import SourceTree
from edgewright.errors import EdgewrightError, MemoryPlanError, ToolError
from edgewright.files import umask
from edgewright.manifest import MANIFEST, Manifest
from edgewright.stack import NOT_ANALYSED, StackBound, bound_stack, check_reserved

BUILD_DIR = "build"
_TIMEOUT_S = 600.0
_SOURCE_SUFFIXES = (".c", ".h", ".S", ".ld", ".cmake", ".bin")
_OVERFLOW = re.compile(r"region `?([A-Za-z0-9_]+)'? overflowed by (\d+) bytes")


@dataclass(frozen=True)
class Firmware:
    """A built project."""

    folder: Path
    manifest: Manifest
    target: Target
    elf: Path
    library: Path | None
    sizes: Sizes
    compiler: str
    flags: str
    stack: StackBound


def write_project(tree: SourceTree, folder: Path, *, force: bool = False) -> None:
    """Write the project to `folder`, all of it or nothing.

    Raises: EdgewrightError where the folder holds anything but an older generated project (`force` allows it).
    """
    if folder.exists() and not folder.is_dir():
        raise EdgewrightError(f"'{folder}' exists and is not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file() and not force:
        raise EdgewrightError(f"'{folder}' is not empty and holds no generated project: choose another, or use --force")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise EdgewrightError(f"cannot write to '{folder.parent}': {error.strerror}") from error
    try:
        for name, body in tree.files.items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        for name, pieces in tree.large_files.items():
            with (staging / name).open("wb") as stream:
                stream.writelines(pieces)
        staging.chmod(0o777 & ~umask())
        _swap_in(staging, folder)
    except OSError as error:
        raise EdgewrightError(f"cannot write the project '{folder}': {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap_in(staging: Path, folder: Path) -> None:
    """Put `staging` where `folder` is; a project that was there is deleted only after it has been replaced."""
    if not folder.exists():
        staging.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(old / "project")
    try:
        staging.rename(folder)
    except OSError:
        (old / "project").rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def build(folder: Path, manifest: Manifest, target: Target) -> Firmware:
    """Configure and compile a generated project.

    Raises: ToolError where a tool is missing or fails, MemoryPlanError where the program does not fit.
    """
    find_tool(target.toolchain.compiler)
    cmake, ninja = find_tool("cmake"), find_tool("ninja")
    out = folder / BUILD_DIR
    if out.exists():
        shutil.rmtree(out)
    out.mkdir()
    scratch = {"TMPDIR": str(out.resolve())}  # an interrupted compiler leaves its files there, not elsewhere
    configure: list[str | Path] = [cmake, "-S", folder, "-B", out, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    run(configure, timeout_s=_TIMEOUT_S, env=scratch)
    try:
        run([cmake, "--build", out], timeout_s=_TIMEOUT_S, env=scratch)
    except ToolError as error:
        overflow = _OVERFLOW.findall(str(error))
        if overflow:
            raise MemoryPlanError(_does_not_fit(overflow, target, manifest)) from error
        raise
    return read_firmware(folder, manifest, target)


def _does_not_fit(overflow: list[tuple[str, str]], target: Target, manifest: Manifest) -> str:
    sizes = {region.name: region for region in target.memory}
    parts = []
    for region, excess in dict(overflow).items():
        size = sizes[region].bytes if region in sizes else 0
        kind = sizes[region].kind if region in sizes else "memory"
        parts.append(f"{kind} '{region}' has {size:,} B, and {int(excess):,} B more are needed")
    return (
        f"the program does not fit on '{target.name}': {'; '.join(parts)} "
        f"(weights {manifest.memory.weights_bytes:,} B, arena {manifest.memory.arena_bytes:,} B). "
        "Try a smaller model, --optimize size (for flash) or a larger board."
    )


def read_firmware(folder: Path, manifest: Manifest, target: Target) -> Firmware:
    """Describe what `build` made.

    Raises: ToolError where it has not been built, MemoryPlanError where its stack may need more than is set aside.
    """
    out = folder / BUILD_DIR
    elf = next((out / name for name in ("firmware.elf", "firmware") if (out / name).is_file()), None)
    if elf is None:
        raise ToolError(f"'{folder}' has not been built: run `edgewright build {folder}`")
    built_at = elf.stat().st_mtime
    for path in (p for p in sorted(folder.rglob("*")) if out not in p.parents):
        is_source = path.suffix in _SOURCE_SUFFIXES or path.name in (MANIFEST, "CMakeLists.txt")
        if is_source and path.stat().st_mtime > built_at:
            raise ToolError(f"'{path}' is newer than the build: run `edgewright build {folder}` again")
    library = next((out / name for name in ("libmodel.so", "libmodel.dylib") if (out / name).is_file()), None)
    sizes = measure(elf if target.memory else library, manifest, target)
    try:
        cache = (out / "CMakeCache.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cache = ""
    objdump = re.search(r"^CMAKE_OBJDUMP:\w+=(/.+)$", cache, re.MULTILINE)
    stack = NOT_ANALYSED
    if target.memory:
        stack = bound_stack(out, elf, target, f"{manifest.c_prefix}_run", objdump[1].strip() if objdump else None)
        check_reserved(stack, target)
        _check_room_for_a_sample(sizes, manifest, target)
    return Firmware(
        folder=folder, manifest=manifest, target=target, elf=elf, library=library,
        sizes=sizes, compiler=_compiler_version(target, cache), flags=" ".join(_flags(folder)), stack=stack,
    )  # fmt: skip


def _check_room_for_a_sample(sizes: Sizes, manifest: Manifest, target: Target) -> None:
    memory = target.data_memory
    if memory is None or manifest.front != "link":
        return
    used = next((region.used_bytes for region in sizes.regions if region.name == memory.name), 0)
    needed = manifest.input_bytes + manifest.output_bytes + TICK_BYTES
    if used + needed > memory.bytes:
        raise MemoryPlanError(
            f"the program leaves {memory.bytes - used:,} of {memory.bytes:,} B of '{memory.name}' on '{target.name}', "
            f"and one sample takes {needed:,} B (arena {manifest.memory.arena_bytes:,} B). Try --optimize ram, "
            "a smaller model or a larger board."
        )


def _compiler_version(target: Target, cache: str) -> str:
    found = re.search(r"^CMAKE_C_COMPILER:\w+=(.+)$", cache, re.MULTILINE)
    program = found.group(1).strip() if found else target.toolchain.compiler
    if not Path(program).is_absolute():
        program = str(find_tool(program))
    first = run([program, "--version"], timeout_s=30.0).stdout.splitlines()
    return first[0].strip() if first else Path(program).name


def _flags(folder: Path) -> list[str]:
    """The flags model.c was compiled with, as CMake wrote them down (whichever build tool it drives)."""
    path = folder / BUILD_DIR / "compile_commands.json"
    try:
        commands = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        words = next(shlex.split(entry["command"]) for entry in commands if Path(entry["file"]).name == "model.c")
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return []
    return [word for word in words[1 : words.index("-o")] if not word.startswith("-I")] if "-o" in words else []

"""Boards by name or folder: a target.toml read, and every mistake in it named."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgewright.boards.mistakes import describe, named_files
from edgewright.boards.tables import Memory
from edgewright.boards.target import Target, memory_mistakes, resolve, words
from edgewright.errors import TargetError
from edgewright.resources import resource_dir

FILE_NAME = "target.toml"


def targets_dir() -> Path:
    """Return the folder of the boards that come with edgewright."""
    return resource_dir("targets")


def target_names() -> tuple[str, ...]:
    """Return the names of all boards that come with edgewright, in order."""
    return tuple(sorted(path.parent.name for path in targets_dir().glob(f"[!_]*/{FILE_NAME}")))


def list_targets() -> tuple[Target, ...]:
    """Read all boards that come with edgewright, in order of name. Raises: TargetError."""
    return tuple(read_target(targets_dir() / name) for name in target_names())


def load_target(name: str | Path) -> Target:
    """Read the board called `name`, or the one in the folder `name`.

    A name wins over a folder of the same name; `./name` is always the folder.
    Raises: TargetError where there is none (with near matches), or where target.toml is at fault.
    """
    names = target_names()
    if str(name) in names:
        return read_target(targets_dir() / str(name))
    folder = Path(name)
    if folder.is_dir():
        return read_target(folder)
    if folder.name == FILE_NAME and folder.is_file():
        return read_target(folder.parent)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    hint = f"did you mean {words(near)}?" if near else f"known targets: {', '.join(names)}."
    raise TargetError(f"unknown target '{name}': {hint} A folder with a {FILE_NAME} is taken as well.")


def read_target(folder: Path) -> Target:
    """Read and check folder/target.toml. Raises: TargetError with a line for each mistake."""
    path = folder / FILE_NAME
    name = folder.resolve().name
    label = f"{name}/{FILE_NAME}"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetError(f"{label}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TargetError(f"{label}: is not TOML: {error}") from error
    target, problems = None, []
    try:
        target = Target.model_validate(data)
    except ValidationError as error:
        problems = [line for detail in error.errors() for line in describe(detail, Target)]
        problems += [line for line in memory_mistakes(_regions(data)) if line not in problems]
    if isinstance(data.get("name"), str) and data["name"] not in ("", name):
        problems.append(f"name: expected the folder's name '{name}', got '{data['name']}'")
    for key, named in named_files(data):
        try:
            resolve(folder, named)
        except TargetError as error:
            problems.append(f"{key}: {error}")
    if target is None or problems:
        raise TargetError("\n".join(f"{label}: {problem}" for problem in problems))
    target._folder = folder
    return target


def _regions(data: dict[str, Any]) -> tuple[Memory, ...]:
    """The memory map of a file that has other mistakes; empty where the map itself has some."""
    try:
        return tuple(Memory.model_validate(table) for table in data.get("memory", ()))
    except (ValidationError, TypeError):
        return ()

"""Makes the folder of a new board from that of another.

In: the new name, a `Target` to begin from, the folder to make it in. Out: the new folder, whose target.toml was read
and checked. Nothing that exists is touched.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from edgewright.boards import FILE_NAME, Target, read_target, target_names
from edgewright.errors import TargetError
from edgewright.resources import resource_dir

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEAD = """\
# {name}: begun from {like} by `edgewright new-target`. What stands below is that board's until you change it;
# docs/NEW_BOARD.md and targets/README.md explain every key. `evidence` is "built" until it ran.

"""


def make_board(name: str, like: Target, where: Path) -> Path:
    """Make the folder `where`/`name` with a target.toml like that of `like`; its own files come along.

    Raises: TargetError for a name that cannot be a board's or is taken, or a folder that exists or cannot be made.
    """
    if not _NAME.fullmatch(name):
        raise TargetError(f"'{name}' cannot be a board's name: letters, digits, '.', '_' and '-', the first no sign")
    if name in target_names():
        raise TargetError(f"'{name}' is a board that comes with edgewright: choose another name")
    folder = where / name
    is_own = not like.folder.resolve().is_relative_to(resource_dir("targets").resolve())
    try:
        where.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError:
        raise TargetError(f"'{folder}' exists: choose another name, or another place by --output") from None
    except OSError as error:
        raise TargetError(f"cannot make '{folder}': {error.strerror}") from error
    try:
        if is_own:
            shutil.copytree(like.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(name))
        text = (like.folder / FILE_NAME).read_text(encoding="utf-8")
        text = re.sub(r"(?m)^name *=.*$", lambda _: f'name = "{name}"', text, count=1)
        if like.evidence != "host":
            text = re.sub(r"(?m)^evidence *=.*$", 'evidence = "built"', text, count=1)
        (folder / FILE_NAME).write_text(_HEAD.format(name=name, like=like.name) + text, encoding="utf-8")
        read_target(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder

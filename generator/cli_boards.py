"""`edgewright targets` and `edgewright new-target`: the boards there are, and a folder for a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgewright.arguments import JsonFile, Quiet, check_json, write_json
from edgewright.boards import FILE_NAME, Target, list_targets, load_target
from edgewright.boards.new import make_board
from edgewright.console import Screen
from edgewright.errors import TargetError


def add_boards(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(targets)
    app.command("new-target")(new_target)


def targets(
    folder: Annotated[
        list[Path] | None,
        typer.Argument(help="Boards to check in place of a list of all: folders with a target.toml.",
                       show_default=False),
    ] = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """List the boards and how far each was tried, or check the target.toml of some: every mistake is named."""
    check_json(json_file)
    boards = _checked(folder) if folder else list_targets()
    rows = [
        {"name": b.name, "description": b.description, "cpu": b.cpu, "clock_hz": b.clock_hz, "evidence": b.evidence,
         "device": b.device, "flash_bytes": b.flash_bytes, "ram_bytes": b.ram_bytes}
        for b in boards
    ]  # fmt: skip
    Screen(quiet or str(json_file) == "-").grid("targets", ("name", "cpu", "evidence", "flash", "RAM", "description"), [
        (b.name, b.cpu, b.evidence, *("-" if size is None else f"{size:,} B" for size in (b.flash_bytes, b.ram_bytes)),
         b.description)
        for b in boards
    ])  # fmt: skip
    write_json(json_file, rows)


def new_target(
    name: Annotated[str, typer.Argument(help="Of the board, and of its folder.", show_default=False)],
    like: Annotated[str, typer.Option("--like", help="The board to begin from: a name, or a folder.",
                                      show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the folder is made.")] = Path(),
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Make a folder for a board of your own, with a target.toml to edit."""
    made = make_board(name, load_target(like), output)
    Screen(quiet).note(f"made {made}: edit its {FILE_NAME}, then check it by: edgewright targets {made}")


def _checked(folders: list[Path]) -> tuple[Target, ...]:
    """Read boards. Raises: TargetError with the mistakes of all."""
    boards, problems = [], []
    for folder in folders:
        try:
            boards.append(load_target(folder))
        except TargetError as error:
            problems.append(str(error))
    if problems:
        raise TargetError("\n".join(problems))
    return tuple(boards)

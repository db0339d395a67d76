"""What a board is: `targets/<name>/target.toml` read into a checked, frozen `Target`.

In: a target's name, or a folder of the user's own that holds a target.toml. Out: a `Target`; every file it
names has been found. This room never asks which board it is, never starts a process and writes nothing but a
new board (`new.py`). Adding a board is adding a folder; `targets/README.md` explains every key.
"""

from __future__ import annotations

from edgewright.boards.loading import FILE_NAME, list_targets, load_target, read_target, target_names, targets_dir
from edgewright.boards.tables import Counting, Emulator, Markers, Memory, SourceFile, Tool
from edgewright.boards.target import Target

__all__ = [
    "FILE_NAME", "Counting", "Emulator", "Markers", "Memory", "SourceFile", "Target", "Tool", "list_targets",
    "load_target", "read_target", "target_names", "targets_dir",
]  # fmt: skip

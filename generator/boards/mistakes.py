"""What is wrong with a target.toml, in words: each mistake with its key.

In: pydantic's errors, or the file's tables as TOML has them. Out: lines of text, and the files that are named.
This room knows no key but those that name files.
"""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def describe(detail: ErrorDetails, root: type[BaseModel]) -> list[str]:
    """Put one error of `root`'s validation into words: the key, what is expected, what was found; a line a mistake."""
    parts = [part for part in detail["loc"] if part != "[key]"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(parts[-1]), _keys_beside(parts, root), n=1)
        return [f"{key}: unknown key" + (f"; did you mean '{near[0]}'?" if near else "")]
    if detail["type"] == "missing":
        return [f"{key}: missing"]
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return [f"{key}: {line}" if key else line for line in message.split("\n")]
    return [f"{key}: {message[:1].lower()}{message[1:]}, got {detail['input']!r}"]


def named_files(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return key and path of every file that a target.toml names, as far as its tables are tables."""
    found = [("toolchain.file", _at(data, "toolchain", "file"))]
    files = data.get("file")
    for index, table in enumerate(files if isinstance(files, list) else []):
        found.append((f"file[{index}].source", _at(table, "source")))
    found.append(("watchdog.source", _at(data, "watchdog", "source")))
    found.append(("emulator.script", _at(data, "emulator", "script")))
    found.append(("emulator.counting.plugin", _at(data, "emulator", "counting", "plugin")))
    tools = data.get("tool")
    for index, table in enumerate(tools if isinstance(tools, list) else []):
        found.append((f"tool[{index}].script", _at(table, "script")))
    return [(key, path) for key, path in found if isinstance(path, str) and path]


def _at(table: Any, *keys: str) -> Any:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _keys_beside(parts: list[Any], root: type[BaseModel]) -> list[str]:
    """Return the keys that are legal in the table where the key at the end of `parts` stands."""
    table = root
    for part in parts[:-1]:
        if isinstance(part, int):
            continue
        annotation = table.model_fields[part].annotation
        models = [
            arg
            for arg in (annotation, *getattr(annotation, "__args__", ()))
            if isinstance(arg, type) and issubclass(arg, BaseModel)
        ]
        if not models:
            return []
        table = models[0]
    return [field.alias or name for name, field in table.model_fields.items()]

"""The compiler's own account: `*.ci` files of `-fcallgraph-info=su`, one a translation unit, joined into one look-up.

GCC writes graphs in the VCG language, one node or edge a line. A function that other files see is titled by its name;
one that they do not by `<source file>:<name>`, so that namesakes stay apart. Clones (`f.constprop.0`) are functions of
their own, inlined functions are part of their caller. The text is untrusted: sizes are bounded, and a line that is not
understood is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edgewright.errors import ToolError

INDIRECT = "__indirect_call"  # GCC's name for whatever a pointer points to
_MAX_BYTES = 64 << 20
_MAX_FRAME_BYTES = 1 << 30
_GRAPH, _NODE, _EDGE = 'graph: { title: "', 'node: { title: "', 'edge: { sourcename: "'
_LABEL, _TARGET = '" label: "', '" targetname: "'
_END, _EXTERNAL_END = '" }', '" shape : ellipse }'
_FRAME = re.compile(r"(\d{1,10}) bytes \((static|dynamic|dynamic,bounded)\)")


@dataclass
class Function:
    """A function that was compiled. Units: bytes of its own frame, saved registers included.

    `is_fixed` is false where the frame grows at run time (alloca, arrays of variable length). `callees`: titles.
    """

    title: str
    unit: str  # the source file, without its folders
    name: str  # as the linker knows it
    is_local: bool
    frame_bytes: int
    is_fixed: bool
    callees: set[str] = field(default_factory=set)


class CallGraph:
    """All functions of a program that the compiler made."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self._by_name: dict[tuple[str | None, str], list[Function]] = {}
        for function in functions:
            unit = function.unit if function.is_local else None
            self._by_name.setdefault((unit, function.name), []).append(function)

    def find(self, name: str, unit: str | None) -> tuple[Function, ...]:
        """Return what a symbol may be: of one source file (`unit`), or (None) one that every file sees.

        More than one where files of the same name have functions of the same name. A weak function is titled like a
        local one, and is a symbol that every file sees.
        """
        found = self._by_name.get((unit, name), [])
        if not found and unit is None:
            found = [f for (_, other), same in self._by_name.items() if other == name for f in same]
        return tuple(found)


def read_call_graph(paths: Iterable[Path]) -> CallGraph:
    """Read all `.ci` files of a build. Raises: ToolError where one is unreadable, too large or damaged."""
    functions: list[Function] = []
    for path in paths:
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise ToolError(f"'{path.name}': a call graph of more than {_MAX_BYTES:,} B")
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ToolError(f"cannot read the call graph '{path.name}': {error.strerror}") from error
        functions.extend(parse_call_graph(text, path.name))
    return CallGraph(functions)


def parse_call_graph(text: str, where: str) -> list[Function]:
    """Return the functions of one `.ci` file. Raises: ToolError with `where` and the line."""
    lines = text.rstrip().split("\n")
    source = lines[0].removeprefix(_GRAPH).removesuffix('"')
    if f'{_GRAPH}{source}"' != lines[0] or lines[-1] != "}":
        raise ToolError(f"'{where}' is not a whole call graph")
    functions: dict[str, Function] = {}
    edges: list[tuple[int, str, str]] = []
    for number, line in enumerate(lines[1:-1], 2):
        if line.startswith(_NODE) and _LABEL in line and line.endswith((_END, _EXTERNAL_END)):
            title, _, label = line.removeprefix(_NODE).partition(_LABEL)
            if not label.endswith(_EXTERNAL_END):
                if title in functions:
                    raise ToolError(f"'{where}', line {number}: '{title}' is there twice")
                functions[title] = _function(title, label, source, f"'{where}', line {number}")
        elif line.startswith(_EDGE) and _TARGET in line and line.endswith(_END):
            caller, _, rest = line.removeprefix(_EDGE).partition(_TARGET)
            edges.append((number, caller, rest.removesuffix(_END).partition(_LABEL)[0]))
        else:
            raise ToolError(f"'{where}', line {number}: not part of a call graph: {line[:80]!r}")
    for number, caller, callee in edges:
        if caller not in functions:
            raise ToolError(f"'{where}', line {number}: an edge from '{caller[:80]}', which is not there")
        functions[caller].callees.add(callee)
    return list(functions.values())


def _function(title: str, label: str, source: str, where: str) -> Function:
    parts = label.removesuffix(_END).split("\\n")  # name, place, frame, and perhaps what is dynamic
    frame = _FRAME.fullmatch(parts[2]) if len(parts) > 2 else None
    if frame is None or int(frame[1]) > _MAX_FRAME_BYTES:
        raise ToolError(f"{where}: no frame size in {label[:80]!r}")
    local = title.startswith(f"{source}:")
    return Function(
        title=title, unit=PurePosixPath(source).name, name=title[len(source) + 1 :] if local else title,
        is_local=local, frame_bytes=int(frame[1]), is_fixed=frame[2] == "static",
    )  # fmt: skip

"""docs/BENCHMARKS.md: where each benchmark's last table stands, between two comments with its name."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
_DOCUMENT = REPOSITORY / "docs" / "BENCHMARKS.md"


def write_table(name: str, text: str) -> None:
    """Put `text` in the place of the table `name`. Raises: ValueError where the document has no such place."""
    document = _DOCUMENT.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{_DOCUMENT.name} has no place for the table '{name}'")
    _DOCUMENT.write_text(f"{before}{begin}\n{text.rstrip()}\n{end}{after}", encoding="utf-8")

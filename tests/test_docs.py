"""The documents keep up with the code: keys, operators, links."""

from __future__ import annotations

import re

import pytest
from conftest import REPOSITORY
from pydantic import BaseModel

from edgewright.manifest import Manifest
from edgewright.ops import ONNX_IMPORTERS
from edgewright.report.result import Result

DOCUMENTS = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])


def _fields(model: type[BaseModel]) -> set[str]:
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                names |= _fields(inner)
    return names


@pytest.mark.parametrize("model", [Result, Manifest])
def test_every_key_is_documented(model: type[BaseModel]) -> None:
    text = (REPOSITORY / "docs" / "RESULT.md").read_text()
    words = set(re.findall(r"[a-z0-9_]+", text))
    assert not {name for name in _fields(model) if name not in words}


def test_the_limits_of_every_operator_are_documented() -> None:
    text = (REPOSITORY / "docs" / "REFERENCE.md").read_text().partition("### Limits of operators")[2]
    names = {name.rpartition(".")[2] for name in ONNX_IMPORTERS}
    assert not {name for name in names if not re.search(rf"\b{name}\b", text)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: object) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):  # type: ignore[attr-defined]
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path}: {target}"  # type: ignore[attr-defined]

"""How a firmware gets onto a board, as data: [[flash]] of a target.toml, and the ready-made ways in targets/_flash.

In: a table. Out: a checked, frozen `FlashWay`. Nothing is run here: that is `drivers/flashing.py`.
targets/README.md explains every key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgewright.errors import TargetError
from edgewright.resources import resource_dir

FOLDER = "_flash"
IMAGES = ("elf", "bin", "hex", "uf2")
FAMILY = "family"  # the value that names the chip in a UF2 file
KNOWN = (*IMAGES, "address", "port", "folder")  # the board's data and the command line give these
PLACEHOLDER = re.compile(r"\{([a-z_0-9]+)\}")

Text = Annotated[str, Field(strict=True, min_length=1)]
Name = Annotated[str, Field(strict=True, pattern=r"^[a-z_][a-z0-9_]*$")]
FileName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
Words = tuple[Text | tuple[Text, ...], ...]


class FlashWay(BaseModel):
    """One way to write a board's flash: a command, or a copy to a drive that the board shows.

    `use` is a ready-made way, which the other keys complete or replace. A word of `argv` may have placeholders; a group
    of words is left out where no value was given for one of its placeholders.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: str = ""
    tool: Text
    argv: Words = ()
    after: Words = ()  # a second command, once the first has succeeded
    files: dict[FileName, Text] = {}  # written beside the image first
    image: Literal["elf", "bin", "hex", "uf2"] | None = None  # what is copied to `volume`
    volume: str = ""
    marker: str = ""  # a file that tells such a volume from others of its name
    values: dict[Name, Text] = {}
    failure: str = ""  # regular expression: what the tool says when it failed and yet exits with 0
    apt: tuple[Text, ...] = ()
    hint: Text = "Install it, or put its folder on PATH."
    retries: Annotated[int, Field(strict=True, ge=0, le=10)] = 2
    timeout_s: Annotated[float, Field(gt=0)] = 120.0

    @property
    def placeholders(self) -> frozenset[str]:
        """The names that occur anywhere."""
        texts = [*_flat(self.argv), *_flat(self.after), *self.files.values(), self.volume, *self.values.values()]
        return frozenset(name for text in texts for name in PLACEHOLDER.findall(text)) | (
            {self.image} if self.image else frozenset()
        )

    @property
    def missing(self) -> list[str]:
        """The names that need a value and have none."""
        words = [word for word in (*self.argv, *self.after) if isinstance(word, str)]
        texts = [*words, *self.files.values(), self.volume]
        needed = {name for text in texts for name in PLACEHOLDER.findall(text)}
        return sorted((needed | ({FAMILY} if "uf2" in self.placeholders else set())) - {*KNOWN, *self.values})

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """Put the ready-made way under what is given."""
        if not isinstance(data, dict) or not isinstance(data.get("use", ""), str) or not data.get("use"):
            return data
        base = _ready_made(data["use"])
        values = data.get("values", {})
        merged = {**base.get("values", {}), **values} if isinstance(values, dict) else values
        return {**base, **data, "values": merged}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.argv) == (self.image is not None):
            raise ValueError("expected either argv, or image and volume")
        if self.argv and (not isinstance(self.argv[0], str) or PLACEHOLDER.search(self.argv[0])):
            raise ValueError("argv: the first word is the program itself")
        if (self.image is None) != (not self.volume):
            raise ValueError("image and volume belong together")
        if self.after and not self.argv:
            raise ValueError("after: there is no argv that it could follow")
        if self.missing:
            raise ValueError(f"{self.tool} needs a value for {', '.join(f'values.{name}' for name in self.missing)}")
        for name in sorted(set(self.values).intersection(KNOWN)):
            raise ValueError(f"values.{name}: edgewright gives this one itself")
        try:
            re.compile(self.failure)
        except re.error as error:
            raise ValueError(f"failure is not a regular expression: {error}") from None
        return self


def ready_made() -> tuple[str, ...]:
    """Return the names of the ways that come with edgewright."""
    return tuple(sorted(path.stem for path in (resource_dir("targets") / FOLDER).glob("*.toml")))


def load_way(name: str, values: Mapping[str, str]) -> FlashWay:
    """Return a ready-made way with values of one's own. Raises: TargetError."""
    try:
        return FlashWay.model_validate({"use": name, "values": dict(values)})
    except ValidationError as error:
        detail = error.errors()[0]
        raise TargetError(f"{name}: {detail['msg'].removeprefix('Value error, ')}") from None


def _ready_made(name: str) -> dict[str, Any]:
    if name not in ready_made():
        near = difflib.get_close_matches(name, ready_made(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(ready_made())}"
        raise ValueError(f"no way to flash is called '{name}': {hint}")
    path = resource_dir("targets") / FOLDER / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _flat(words: Words) -> Iterable[str]:
    for word in words:
        yield from ([word] if isinstance(word, str) else word)

"""Writing files so that nothing is lost or half-written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgewright.errors import EdgewrightError


def umask() -> int:
    """Return the permissions that the user's new files do not get (temporary files ignore it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a file, all of it or nothing; a device or a pipe is written to, never replaced.

    Raises: EdgewrightError.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; see `write_text`."""
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(name).chmod(0o666 & ~umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EdgewrightError(f"cannot write '{path}': {error.strerror}") from error

"""The only place that finds templates/, targets/ and runtime_c/ on disk.

In a wheel they lie inside the package (`edgewright/templates`); in an editable install and in a
checkout they lie beside it. Nothing else in the package may know which.
"""

from __future__ import annotations

from pathlib import Path

from edgewright.errors import InternalError

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """Return the folder of data called `name`: "templates", "targets" or "runtime_c"."""
    for folder in (_PACKAGE / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise InternalError(f"the installation is incomplete: no folder '{name}' beside or inside {_PACKAGE.name}/")

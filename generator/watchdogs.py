"""--watchdog: a board's description with its watchdog switched on.

In: a Target that has a [watchdog], and a period. Out: the Target with the driver among its files and the period among
its macros; nothing else knows of it.
"""

from __future__ import annotations

from edgewright.boards import SourceFile, Target
from edgewright.errors import TargetError


def watched(target: Target, seconds: float | None) -> Target:
    """Return the target with a watchdog of that period; the target itself for None.

    Raises: TargetError where it has none, or none that can wait so long.
    """
    if seconds is None:
        return target
    if target.watchdog is None:
        raise TargetError(f"--watchdog {seconds:g}: '{target.name}' has no [watchdog] in its target.toml")
    try:
        period = target.watchdog.milliseconds(seconds)
    except ValueError as error:
        raise TargetError(f"--watchdog {seconds:g}: on '{target.name}' {error}") from None
    changed = target.model_copy(
        update={
            "file": (*target.file, SourceFile(source=target.watchdog.source)),
            "defines": {**target.defines, **target.watchdog.defines, "EW_WATCHDOG_MS": f"{period}u"},
        }
    )
    changed._folder = target.folder
    return changed

"""edgewright: compiles a trained network into C firmware for one exact board, runs it, and reports what it measured.

What is exported here is imported when it is first used: numpy and onnx take most of a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "edgewright":
    raise ImportError("the package is called 'edgewright': `pip install -e .`, then `import edgewright`")

if TYPE_CHECKING:
    from edgewright.api import Board, Built, Generated, Predictions, generate, load, quantize
    from edgewright.boards import list_targets, load_target
    from edgewright.drivers.meters.core import MeterOptions
    from edgewright.errors import EdgewrightError
    from edgewright.on_device import Device
    from edgewright.quantization.options import Options as QuantizeOptions
    from edgewright.report.result import Result as Report
    from edgewright.version import VERSION as __version__  # noqa: N811

__all__ = [
    "Board",
    "Built",
    "Device",
    "EdgewrightError",
    "Generated",
    "MeterOptions",
    "Predictions",
    "QuantizeOptions",
    "Report",
    "__version__",
    "generate",
    "list_targets",
    "load",
    "load_target",
    "quantize",
]

_ROOMS = {
    "Device": ("on_device", "Device"),
    "EdgewrightError": ("errors", "EdgewrightError"),
    "MeterOptions": ("drivers.meters.core", "MeterOptions"),
    "QuantizeOptions": ("quantization.options", "Options"),
    "Report": ("report.result", "Result"),
    "__version__": ("version", "VERSION"),
    "list_targets": ("boards", "list_targets"),
    "load_target": ("boards", "load_target"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'edgewright' has no attribute '{name}'")
    room, attribute = _ROOMS.get(name, ("api", name))
    return getattr(import_module(f"edgewright.{room}"), attribute)

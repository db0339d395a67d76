"""edgewright: compiles a trained network into C firmware for one exact board, runs it, and reports what it measured."""

if __name__ != "edgewright":
    raise ImportError("the package is called 'edgewright': `pip install -e .`, then `import edgewright`")

from edgewright.api import Board, Built, Generated, Predictions, generate, load
from edgewright.boards import list_targets, load_target
from edgewright.errors import EdgewrightError
from edgewright.report.result import Result as Report
from edgewright.version import VERSION

__version__ = VERSION

__all__ = [
    "Board",
    "Built",
    "EdgewrightError",
    "Generated",
    "Predictions",
    "Report",
    "__version__",
    "generate",
    "list_targets",
    "load",
    "load_target",
]

"""The operators: every module beside this one is read, and registers what it defines."""

from importlib import import_module
from pathlib import Path

from edgewright.ops.core import CASES, ONNX_IMPORTERS, REFUSED, Case, Fixed, ForeignNode, KernelCall, Operator, operator

for _file in sorted(Path(__file__).parent.glob("*.py")):
    if _file.stem not in ("__init__", "core"):
        import_module(f"{__name__}.{_file.stem}")

__all__ = [
    "CASES", "ONNX_IMPORTERS", "REFUSED", "Case", "Fixed", "ForeignNode", "KernelCall", "Operator", "operator",
]  # fmt: skip

"""Descriptions of the C kernels of integer operators: which layers each takes, how it packs weights, what it costs."""

from __future__ import annotations

import importlib
import pkgutil

from edgewright.kernels.core import SCRATCH, Core, Kernel, kernels_for

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["SCRATCH", "Core", "Kernel", "kernels_for"]

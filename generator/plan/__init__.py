"""Planning: Graph in, Plan out. Decides kernels, where each tensor lives, and when; writes nothing."""

from __future__ import annotations

from edgewright.plan.draft import PlanOptions
from edgewright.plan.lifetimes import Lifetime
from edgewright.plan.pack import ARENA_ALIGN_BYTES
from edgewright.plan.planner import Plan, Step, make_plan
from edgewright.plan.storage import Storage

__all__ = ["ARENA_ALIGN_BYTES", "Lifetime", "Plan", "PlanOptions", "Step", "Storage", "make_plan"]

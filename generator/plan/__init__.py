"""Planning: Graph in, Plan out. Decides kernels, where each tensor lives, and when; writes nothing."""

from __future__ import annotations

from edgewright.plan.draft import PlanOptions
from edgewright.plan.lifetimes import Lifetime
from edgewright.plan.pack import ARENA_ALIGN_BYTES
from edgewright.plan.planner import Plan, Step, finish, make_plan
from edgewright.plan.regions import Arena, Placement, Region
from edgewright.plan.staging import Stage
from edgewright.plan.storage import Storage
from edgewright.plan.touches import Constant

__all__ = [
    "ARENA_ALIGN_BYTES", "Arena", "Constant", "Lifetime", "Placement", "Plan", "PlanOptions", "Region", "Stage", "Step",
    "Storage", "finish", "make_plan",
]  # fmt: skip

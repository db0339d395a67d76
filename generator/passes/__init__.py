"""Passes: each takes a legal graph and returns a legal graph with the same outputs, and is idempotent.

One pass a file; `PASSES` is their order. The verifier runs after each.
"""

from __future__ import annotations

from collections.abc import Callable

from edgewright.ir import Graph
from edgewright.passes.fold_constants import fold_constants
from edgewright.passes.fold_pads import fold_pads
from edgewright.passes.fold_scale_shift import fold_scale_shift
from edgewright.passes.fuse_activations import fuse_activations
from edgewright.passes.fuse_integer_clamps import fuse_integer_clamps
from edgewright.passes.lower_matmul import lower_matmul
from edgewright.passes.lower_to_integers import lower_to_integers
from edgewright.passes.move_transposes import move_transposes
from edgewright.passes.remove_channels import remove_channels
from edgewright.passes.remove_noops import remove_noops
from edgewright.passes.use_channels_last import use_channels_last
from edgewright.verify import check_tensor_sizes, verify

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    lower_to_integers,
    fuse_integer_clamps,
    fold_constants,
    remove_noops,
    lower_matmul,
    fold_constants,
    fold_scale_shift,
    fold_pads,
    use_channels_last,
    move_transposes,
    fold_constants,
    remove_noops,
    fold_scale_shift,
    fuse_activations,
    remove_channels,
)


def run_passes(graph: Graph) -> Graph:
    """Apply all passes in order, which compute with some tensors. Raises: MemoryPlanError for one that is too large."""
    verify(graph, "import")
    check_tensor_sizes(graph)
    for each in PASSES:
        graph = verify(each(graph), each.__name__)
    return graph

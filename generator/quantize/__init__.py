"""Quantization: Graph in, Graph out. Float networks pass through; integer ones are the next thing built here."""

from __future__ import annotations

from edgewright.ir import Graph


def quantize(graph: Graph) -> Graph:
    """Return the graph to compile: for a float network, the same."""
    return graph

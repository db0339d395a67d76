"""What can be said of a model without building it: operators, MACs, parameters, memory, the boards it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from edgewright.boards import list_targets
from edgewright.errors import MemoryPlanError
from edgewright.frontends.onnx import Model
from edgewright.ir import Tensor
from edgewright.pipeline import check_fits, plan
from edgewright.plan import Plan
from edgewright.report.tables import two_columns
from edgewright.simulate import float_islands, is_quantized


@dataclass(frozen=True, eq=False)
class Inspection:
    """A model and its plan."""

    model: Model
    planned: Plan

    def _fits(self) -> dict[str, str | None]:
        """Why the model does not fit on a board, or None where it does."""
        result: dict[str, str | None] = {}
        for target in list_targets():
            try:
                check_fits(self.planned, target)
                result[target.name] = None
            except MemoryPlanError as error:
                result[target.name] = str(error)
        return result

    def record(self) -> dict[str, Any]:
        """The facts as JSON has them."""
        graph, planned = self.model.graph, self.planned
        return {
            "schema_version": 1,
            "model": {"name": self.model.name, "sha256": self.model.sha256, "macs": planned.macs,
                      "parameters": planned.graph.parameters},
            "inputs": [_port(graph.tensors[name]) for name in graph.inputs],
            "outputs": [_port(graph.tensors[name]) for name in graph.outputs],
            "operators": dict(self.model.operators),
            "steps": [
                {"op": step.node.op, "name": step.node.name, "macs": step.macs,
                 "shape": list(planned.graph.tensors[step.node.output].shape),
                 "kernels": [call.function for call in step.calls]}
                for step in planned.steps
            ],
            "quantized": is_quantized(planned.graph),
            "stays_float": [{"op": node.op, "name": node.name} for node in float_islands(planned.graph)],
            "arena_bytes": planned.arena_bytes,
            "arena_lower_bound_bytes": planned.lower_bound_bytes,
            "weights_bytes": sum(t.size_bytes for t in planned.graph.tensors.values() if t.data is not None),
            "fits": {name: reason is None for name, reason in self._fits().items()},
        }  # fmt: skip

    def tables(self) -> tuple[Table, ...]:
        """The facts as tables."""
        facts = self.record()
        operators = ", ".join(f"{op} {count}" for op, count in sorted(facts["operators"].items()))
        boards = "\n".join(f"{name}: {'fits' if why is None else why}" for name, why in self._fits().items())
        summary = two_columns(f"{self.model.name}", [
            ("inputs", "\n".join(f"{p['name']} {p['dtype']} {p['shape']}" for p in facts["inputs"])),
            ("outputs", "\n".join(f"{p['name']} {p['dtype']} {p['shape']}" for p in facts["outputs"])),
            ("operators", operators),
            ("arithmetic", _arithmetic(facts)),
            ("MACs", f"{facts['model']['macs']:,}"),
            ("parameters", f"{facts['model']['parameters']:,}"),
            ("weights", f"{facts['weights_bytes']:,} B"),
            ("arena", f"{facts['arena_bytes']:,} B (lower bound {facts['arena_lower_bound_bytes']:,} B)"),
            ("boards", boards),
        ])  # fmt: skip
        steps = Table(title="steps", title_justify="left", title_style="bold")
        for column in ("", "operator", "output", "MACs", "kernel"):
            steps.add_column(column, overflow="fold")
        for index, step in enumerate(facts["steps"]):
            kernels = ", ".join(dict.fromkeys(step["kernels"]))
            steps.add_row(str(index), step["op"], str(step["shape"]), f"{step['macs']:,}", kernels)
        return summary, steps


def _arithmetic(facts: dict[str, Any]) -> str:
    if not facts["quantized"]:
        return "float32"
    inside = ", ".join(f"{node['op']} '{node['name']}'" for node in facts["stays_float"])
    return f"integer, but for {inside}, which stay float32" if inside else "integer"


def _port(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype.value, "shape": list(tensor.shape)}


def inspect_model(model: Model) -> Inspection:
    """Plan the model, without emitting anything."""
    return Inspection(model, plan(model))

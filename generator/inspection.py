"""What can be said of a model without building it: operators, MACs, parameters, memory, the boards it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from edgewright.boards import Target, list_targets
from edgewright.errors import MemoryPlanError
from edgewright.frontends.onnx import Model
from edgewright.frontends.onnx_graph import Ways
from edgewright.ir import Tensor
from edgewright.kernels import Core
from edgewright.pipeline import Clock, Settings, check_fits, check_fits_on, plan
from edgewright.plan import Plan
from edgewright.plan.tradeoff import Cut, Point, ram_curve
from edgewright.report.memory_map import short_names
from edgewright.report.tables import two_columns
from edgewright.simulate import float_islands, is_quantized


@dataclass(frozen=True, eq=False)
class Inspection:
    """A model and its plan; `target` is the board that this is for, None for any. `curve` is empty if not asked for."""

    model: Model
    planned: Plan
    target: Target | None = None
    curve: Sequence[Point] = ()

    @property
    def title(self) -> str:
        """The model, and what it is planned for."""
        return self.model.name if self.target is None else f"{self.model.name} for {self.target.name}"

    def _fits(self) -> dict[str, str | None]:
        """Why the model does not fit on a board, or None where it does."""
        check = check_fits_on if self.target is None else check_fits
        result: dict[str, str | None] = {}
        for target in list_targets() if self.target is None else [self.target]:
            try:
                check(self.planned, target)
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
            "imported": imported_record(self.model.ways),
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
            **({"curve": [self._curve_row(point) for point in self.curve]} if self.curve else {}),
        }  # fmt: skip

    def _curve_row(self, point: Point) -> dict[str, Any]:
        slowdown = round(point.cycles / self.curve[0].cycles, 4) if self.curve[0].cycles else None
        return {"arena_bytes": point.arena_bytes, "cycles": point.cycles, "slowdown": slowdown,
                "planned": point.planned, "cuts": [asdict(cut) for cut in point.cuts]}  # fmt: skip

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
        ways = {way for counts in self.model.ways.values() for way in counts}
        imported = [imported_table(self.model.ways)] if ways - {"native"} else []
        return (summary, *imported, steps, *([self._curve_table()] if self.curve else []))

    def _curve_table(self) -> Table:
        table = Table(title="RAM against time", title_justify="left", title_style="bold")
        for column in ("", "arena", "modelled cycles", "slowdown"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("cut into bands of rows", overflow="fold")
        for point in self.curve:
            row = self._curve_row(point)
            slowdown = "-" if row["slowdown"] is None else f"{row['slowdown']:.3f}"
            cuts = "\n".join(map(_cut_text, point.cuts))
            mark = "planned" if point.planned else ""
            table.add_row(mark, f"{point.arena_bytes:,} B", f"{point.cycles:,}", slowdown, Text(cuts or "-"))
        return table


_WAYS = {
    "native": "native", "expanded": "by its definition", "unrolled": "unrolled", "folded": "at import",
    "refused": "not supported", "behind": "behind one that is not",
}  # fmt: skip


def imported_record(ways: Ways) -> dict[str, dict[str, int]]:
    """How the nodes of each operator came in, as JSON has it: native, expanded, unrolled, folded, refused, behind."""
    return {operator: dict(sorted(counts.items())) for operator, counts in sorted(ways.items())}


def imported_table(ways: Ways) -> Table:
    """The same as a table; columns that would be empty are left out."""
    table = Table(title="operators of the model", title_justify="left", title_style="bold")
    table.add_column("", overflow="fold")
    shown = [way for way in _WAYS if any(counts.get(way) for counts in ways.values())]
    for way in shown:
        table.add_column(_WAYS[way], justify="right")
    for operator, counts in sorted(ways.items()):
        table.add_row(Text(operator), *(str(counts.get(way) or "-") for way in shown))
    return table


def _cut_text(cut: Cut) -> str:
    names = short_names([cut.first, cut.last])
    layers = names[cut.first] if cut.layers == 1 else f"{names[cut.first]} to {names[cut.last]} ({cut.layers} layers)"
    return f"{layers}: {cut.bands:,} bands of {cut.rows:,} row{'s' * (cut.rows > 1)}"


def _arithmetic(facts: dict[str, Any]) -> str:
    if not facts["quantized"]:
        return "float32"
    inside = ", ".join(f"{node['op']} '{node['name']}'" for node in facts["stays_float"])
    return f"integer, but for {inside}, which stay float32" if inside else "integer"


def _port(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype.value, "shape": list(tensor.shape)}


def inspect_model(
    model: Model, target: Target | None = None, settings: Settings | None = None, *, with_curve: bool = False,
    clock: Clock | None = None,
) -> Inspection:  # fmt: skip
    """Plan the model, for a board or for any, without emitting anything. Raises: MemoryPlanError."""
    settings, clock = settings or Settings(), clock or Clock()
    with clock.stage("plan"):
        planned = plan(model, target, settings)
    if not with_curve:
        return Inspection(model, planned, target)
    core = Core(frozenset(target.features)) if target is not None else None
    with clock.stage("curve of RAM against time"):
        curve = ram_curve(planned, core, settings.options(target))
    return Inspection(model, planned, target, curve)

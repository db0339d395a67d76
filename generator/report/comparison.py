"""Two results side by side: what the integers cost and what they bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.table import Table

from edgewright.report.result import Result

_Row = Callable[[Result], float | None]

_ROWS: tuple[tuple[str, str, _Row], ...] = (
    ("accuracy", ".2%", lambda r: r.kpi.accuracy if r.kpi is not None else None),
    ("instructions per inference", ",.0f", lambda r: r.run.instructions_per_inference),
    ("cycles per inference", ",.0f", lambda r: r.run.cycles_per_inference),
    ("latency p50, us", ",.1f", lambda r: r.run.latency_us.p50 if r.run.latency_us is not None else None),
    ("energy, uJ", ",.2f", lambda r: r.run.energy_uj),
    ("flash, B", ",", lambda r: r.build.flash_bytes),
    ("weights, B", ",", lambda r: r.build.weights_bytes),
    ("RAM, B", ",", lambda r: r.build.ram_bytes),
    ("arena, B", ",", lambda r: r.build.arena_bytes),
)


def comparison_table(results: Mapping[str, Result]) -> Table:
    """Return a table with a column for each result, and one with the costs of the first over those of the last."""
    names = list(results)
    table = Table(title=" and ".join(names), title_justify="left", title_style="bold")
    table.add_column("")
    for name in (*names, f"{names[0]} / {names[-1]}"):
        table.add_column(name, justify="right", no_wrap=True)
    for title, form, figure in _ROWS:
        values = [figure(result) for result in results.values()]
        if all(value is None for value in values):
            continue
        first, last = values[0], values[-1]
        ratio = "" if form == ".2%" or not first or not last else f"{first / last:.2f}"
        table.add_row(title, *("-" if value is None else format(value, form) for value in values), ratio)
    return table

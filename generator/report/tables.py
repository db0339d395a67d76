"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table

from edgewright.elf_sizes import RegionUse
from edgewright.manifest import RegionFacts
from edgewright.report.result import RegionRecord, Result, RunRecord


def _number(value: float | None, unit: str = "", digits: int = 0) -> str:
    """A figure, or a dash for one that was not measured."""
    return "-" if value is None else f"{value:,.{digits}f}{' ' + unit if unit else ''}"


def two_columns(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """A table of names and values."""
    table = Table(title=title, title_justify="left", show_header=False, title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


_KINDS = {"flash": "flash", "ram": "RAM"}


def region_rows(regions: Iterable[RegionRecord | RegionUse]) -> Iterable[tuple[str, str]]:
    """A row for each memory region in use; none where the program takes no more than one flash and one RAM."""
    used = [region for region in regions if region.used_bytes]
    for region in used if len(used) > 2 else ():
        inside = _contents(region.arena_bytes, region.weights_bytes, " ({})")
        yield f"{_KINDS[region.kind]} {region.name}", f"{region.used_bytes:,} of {region.bytes:,} B{inside}"


def planned_rows(regions: Iterable[RegionFacts]) -> Iterable[tuple[str, str]]:
    """A row for each region that the network has something in; none where that is one flash and one RAM at most."""
    used = [region for region in regions if region.arena_bytes or region.weights_bytes]
    for region in used if len(used) > 2 else ():
        yield f"{_KINDS[region.kind]} {region.name}", _contents(region.arena_bytes, region.weights_bytes)


def _contents(arena_bytes: int, weights_bytes: int, form: str = "{}") -> str:
    parts = [f"{name} {size:,} B" for name, size in (("arena", arena_bytes), ("weights", weights_bytes)) if size]
    return form.format(", ".join(parts)) if parts else ""


def result_table(result: Result) -> Table:
    """Everything that one run measured."""
    rows = [*_quality_rows(result), *_cost_rows(result), *_link_rows(result), *_time_rows(result)]
    return two_columns(f"{result.model.name} on {result.target.name} ({result.target.evidence})", rows)


_NARROWER = ("name", "bytes", "MACs", "operator", "instructions", "cycles")  # what a narrow terminal does without
_NAME_LENGTH = 24


def profile_tables(result: Result, room: int | None = None) -> tuple[Table, ...]:
    """Where the inference spends its time, a row a step, in a table; none where the run was not profiled.

    `room`: columns of the terminal, for which columns of the table are left out; None: all of them, however wide.
    """
    if result.profile is None:
        return ()
    macs, cycles = result.model.macs, result.run.cycles_per_inference
    columns = {
        "": ["" if r.step is None else str(r.step) for r in result.profile] + [""],
        "operator": [r.op if r.step is not None else "" for r in result.profile] + [""],
        "name": [_shortened(r.name) for r in result.profile] + [""],
        "kernel": [r.kernel if r.step is not None else r.op for r in result.profile] + ["total"],
        "MACs": [f"{r.macs:,}" if r.macs else "" for r in result.profile] + [f"{macs:,}"],
        "instructions": [*(_number(r.instructions) for r in result.profile),
                         _number(result.run.instructions_per_inference)],
        "us": [_number(r.time_us, digits=1) for r in result.profile] + [_number(_total_us(result), digits=1)],
        "cycles": [_number(r.cycles) for r in result.profile] + [_number(cycles)],
        "MAC/cycle": [f"{r.macs_per_cycle:.2f}" if r.macs and r.macs_per_cycle else "" for r in result.profile]
        + [f"{macs / cycles:.2f}" if cycles else ""],
        "share": [f"{r.share:.1%}" for r in result.profile] + [""],
        "bytes": [f"{r.moved_bytes:,}" if r.moved_bytes else "" for r in result.profile]
        + [f"{sum(r.moved_bytes for r in result.profile):,}"],
    }  # fmt: skip
    absent = [*(["us"] if result.profile[0].time_us is None else []),
              *(["instructions"] if result.profile[0].instructions is None else []),
              *(["cycles", "MAC/cycle"] if result.profile[0].cycles is None else [])]  # fmt: skip
    for column in absent:
        del columns[column]
    for column in _NARROWER:
        if room is not None and _width(columns) > room:
            columns.pop(column, None)
    table = Table(title="profile", title_justify="left", title_style="bold", show_footer=True, width=_width(columns))
    for title, cells in columns.items():
        is_text = title in ("operator", "name", "kernel")
        table.add_column(title, cells[-1], no_wrap=True, justify="left" if is_text else "right")
    for row in list(zip(*columns.values(), strict=True))[:-1]:
        table.add_row(*row)
    return (table,)


def _total_us(result: Result) -> float:
    return sum(record.time_us or 0.0 for record in result.profile or ())


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _width(columns: Mapping[str, list[str]]) -> int:
    """Of the table, with its frame."""
    return sum(max(map(len, (title, *cells))) + 3 for title, cells in columns.items()) + 1


def _quality_rows(result: Result) -> Iterable[tuple[str, str]]:
    kpi, fidelity = result.kpi, result.fidelity
    yield "samples", f"{result.run.samples:,} in {result.run.batches:,} batch{'es' * (result.run.batches != 1)}"
    if kpi is not None:
        reference = f"{kpi.reference_correct:,} by {fidelity.reference}"
        yield "accuracy", f"{kpi.accuracy:.2%} ({kpi.correct:,} right; {reference})"
        if kpi.top5 is not None:
            yield "top-5 accuracy", f"{kpi.top5:.2%}"
    verdict = "ok" if fidelity.passed else f"FAILED: {fidelity.mismatching_elements:,} of {fidelity.elements:,}"
    error = f"{fidelity.max_abs_error:.3g}, {fidelity.max_error_of_range:.2g} of the range"
    yield f"error against {fidelity.reference}", f"{error} ({verdict})"
    other = result.fidelity_onnxruntime
    if other is not None:
        unit = " steps" if other.relative_tolerance is None else ""
        share = f"{other.mismatching_elements:,} of {other.elements:,} elements"
        yield "differences from onnxruntime", f"{share}, by up to {other.max_abs_error:.3g}{unit}"
    if fidelity.reference_note is not None:
        yield "reference", f"{fidelity.reference}: {fidelity.reference_note}"
    if fidelity.argmax_differences is not None:
        yield "other class than the reference", f"{fidelity.argmax_differences:,}"


def _cost_rows(result: Result) -> Iterable[tuple[str, str]]:
    run, build = result.run, result.build
    if run.instructions_per_inference is not None:
        per_mac = run.instructions_per_inference / result.model.macs if result.model.macs else None
        extra = f", {per_mac:.2f} a MAC" if per_mac else ""
        text = f"{_number(run.instructions_per_inference)} ({run.instructions_source}{extra})"
        yield "instructions per inference", text
    if run.cycles_per_inference is not None:
        source = f"modelled: {run.cycle_model}" if run.cycles_source == "model" else run.cycles_source
        yield "cycles per inference", f"{_number(run.cycles_per_inference)} ({source})"
    if run.latency_us is not None:
        p = run.latency_us
        yield "latency p50 / p95 / p99", f"{p.p50:,.1f} / {p.p95:,.1f} / {p.p99:,.1f} us"
    yield from _energy_rows(run)
    yield "MACs, parameters", f"{result.model.macs:,}, {result.model.parameters:,}"
    raw = f", {_number(build.raw_weights_bytes)} before packing" if build.raw_weights_bytes else ""
    yield "flash", f"{_number(build.flash_bytes, 'B')} (weights {_number(build.weights_bytes, 'B')}{raw})"
    yield "RAM", f"{_number(build.ram_bytes, 'B')}, batches not counted"
    yield "arena", f"{_number(build.arena_bytes, 'B')} (lower bound {_number(build.arena_lower_bound_bytes, 'B')})"
    yield from region_rows(build.regions)
    bound = "" if build.stack_bound_bytes is None else f", bound {_number(build.stack_bound_bytes, 'B')}"
    if build.stack_bytes is not None:
        reserved = f"{',' * bool(bound)} of {_number(build.stack_reserved_bytes, 'B')}"
        yield "stack high water", f"{_number(build.stack_bytes, 'B')}{bound}{reserved}"
    if build.inference_stack_bytes is not None:
        yield "stack of an inference", f"{_number(build.inference_stack_bytes, 'B')} at most"
    if build.stack_bytes is not None and build.stack_bound_note is not None:
        yield "stack bound", f"none: {build.stack_bound_note}"


def _energy_rows(run: RunRecord) -> Iterable[tuple[str, str]]:
    if run.energy_uj is not None:
        yield "energy per inference", f"{run.energy_uj:,.2f} uJ ({run.energy_source})"
    seen = run.energy
    if seen is not None:
        p = seen.percentiles_uj
        yield "energy p50 / p95 / p99", f"{p.p50:,.2f} / {p.p95:,.2f} / {p.p99:,.2f} uJ"
        idle = "" if seen.idle_mw is None else f", idle {seen.idle_mw:,.2f} mW"
        yield "power", f"{seen.power_mw:,.2f} mW at {seen.supply_v:.2f} V{idle}"


def _link_rows(result: Result) -> Iterable[tuple[str, str]]:
    link = result.link
    if link is not None:
        errors = f"{link.retransmits:,} sent again, {link.crc_errors + link.framing_errors:,} damaged"
        yield "link frames", f"{link.frames:,} ({errors})"
        if link.resets:
            yield "resets", ", ".join(f"{r.cause.replace('_', ' ')} in batch {r.batch + 1}" for r in link.resets)
        yield "link payload", f"{link.payload_bytes:,} B at {_number(link.payload_bytes_per_second, 'B/s')}"


def _time_rows(result: Result) -> Iterable[tuple[str, str]]:
    stages = [f"{name} {seconds:.2f}" for name, seconds in result.seconds.items() if name != "first_result"]
    yield "seconds", ", ".join(stages)
    if "first_result" in result.seconds:
        yield "first result after", f"{result.seconds['first_result']:.2f} s"
    yield "compiler", f"{result.build.compiler} {result.build.flags}"

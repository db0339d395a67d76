"""The command `edgewright-conformance`."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edgewright.arguments import Quiet, check_json, check_written
from edgewright.boards import load_target
from edgewright.cli import run_app
from edgewright.conformance import operators
from edgewright.conformance.cases import collect
from edgewright.conformance.lower import HOST
from edgewright.conformance.on_board import sample
from edgewright.conformance.reasons import grouped
from edgewright.conformance.report import markdown
from edgewright.conformance.results import FAILURES, SuiteOptions, SuiteResult
from edgewright.conformance.suite import run_suite
from edgewright.console import Bars, Screen
from edgewright.drivers.icount import cache_dir
from edgewright.errors import EdgewrightError
from edgewright.files import write_text

DOCUMENT = Path("docs") / "CONFORMANCE.md"
OPERATORS = Path("docs") / "OPERATORS.md"
BOARD_DOCUMENT = Path("docs") / "CONFORMANCE_EMULATED.md"
_SHOWN_REASONS = 10
_PROCESSORS = os.cpu_count() or 1

Cases = Annotated[str, typer.Option("--cases", metavar="GLOB", help="Only these: 'test_conv_*', 'simple/*'.")]
Board = Annotated[str, typer.Option("--target", "-t", help="This computer ('host') or a board with an emulator.")]
Sample = Annotated[
    int | None, typer.Option("--sample", min=1, show_default=False,
                             help="Only so many, of every operator its share; all, if not given.")]  # fmt: skip
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes at a time.")]
Seconds = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds a case may take in each stage.")]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Keeps compiled programs; in the user's cache, if not given.",
                              show_default=False)]  # fmt: skip
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write all results to this file ('-': standard output).",
                              show_default=False)]  # fmt: skip
Write = Annotated[
    bool, typer.Option("--write", help=f"Write {DOCUMENT}, or {BOARD_DOCUMENT}, and {OPERATORS}.")]  # fmt: skip

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False,
                  context_settings={"help_option_names": ["-h", "--help"]})  # fmt: skip


@app.command()
def conformance(
    cases: Cases = "*", target: Board = HOST, sample_size: Sample = None, jobs: Jobs = _PROCESSORS,
    timeout: Seconds = 60.0, cache: Cache = None, json_file: JsonFile = None, write: Write = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Run ONNX's own test cases through generated C, on this computer or an emulated board.

    Exit status 1: a case is wrong or crashed.
    """
    check_json(json_file)
    document = DOCUMENT if target == HOST else BOARD_DOCUMENT
    if write:
        check_written(document, option="--write")
    load_target(target)
    screen = Screen(quiet or str(json_file) == "-")
    found = collect(cases)
    if not found:
        raise EdgewrightError(f"--cases {cases}: no case of this name")
    if sample_size is not None:
        found = sample(found, sample_size)
    with screen.progress() as bars:
        folder = cache or cache_dir() / "conformance"
        result = run_suite(found, SuiteOptions(folder, jobs, timeout, target=target), _shown(bars))
    if json_file is not None:
        content = {"target": result.target, "seconds": result.seconds, "jobs": result.jobs, "compiled": result.compiled,
                   "cases": list(result.records())}  # fmt: skip
        text = json.dumps(content, indent=1) + "\n"
        typer.echo(text, nl=False) if str(json_file) == "-" else write_text(json_file, text)
    if write:
        most = Counter((case.rtol, case.atol) for case in found).most_common(1)[0][0]
        write_text(document, markdown(result, most))
        write_text(OPERATORS, operators.markdown())
    _show(screen, result)
    if result.count(*FAILURES):
        raise typer.Exit(1)


def _shown(bars: Bars) -> Callable[[str, int, int], None]:
    stages: list[str] = []

    def advance(stage: str, done: int, total: int) -> None:
        if stages[-1:] != [stage]:
            stages.append(stage)
            bars.begin(stage)
        bars.advance(done, total)

    return advance


def _show(screen: Screen, result: SuiteResult) -> None:
    failed = [case for case in result.cases if case.status in FAILURES]
    if failed:
        screen.grid("failures", ("case", "status", "what"), [(c.name, str(c.status), c.reason) for c in failed])
    reasons = grouped(result.cases)[:_SHOWN_REASONS]
    if reasons:
        rows = [(reason.text, str(reason.cases), str(reason.alone)) for reason in reasons]
        screen.grid("most frequent reasons for a refusal", ("reason", "cases", "alone"), rows)
    bound = sum(case.status == "right" and bool(case.bound) for case in result.cases)
    screen.note(
        f"{len(result.cases):,} cases: {result.count('right'):,} right ({bound:,} with bound inputs), "
        f"{result.count('refused'):,} refused, {result.count('wrong'):,} wrong, {result.count('crash'):,} crashed, "
        f"{result.count('hang'):,} hung, {result.count('compiler'):,} not compiled; "
        f"{sum(result.seconds.values()):.0f} s"
    )


def main() -> None:
    """Run the command line."""
    run_app(app, "edgewright-conformance")

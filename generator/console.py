"""The terminal: tables on standard output, progress and errors on standard error. NO_COLOR is respected (by rich)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table


class Bars:
    """The progress bars of a run: one for the stage that is going on."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._stage = ""

    def begin(self, stage: str) -> None:
        """A new stage, of unknown length."""
        self._stage = stage
        if self._progress is not None:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(stage, total=None)

    def advance(self, done: int, total: int) -> None:
        """So many of so many samples are done."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)


class Screen:
    """What the user sees; with `quiet`, errors only."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._out = Console()
        self._err = Console(stderr=True)

    @property
    def room(self) -> int | None:
        """Columns of the terminal; None where the output is none, and lines may be of any length."""
        return self._out.width if self._out.is_terminal else None

    def show(self, *tables: Table) -> None:
        """Print tables; one that has a width of its own is printed whole."""
        for table in () if self._quiet else tables:
            self._out.print(table, crop=table.width is None)

    def grid(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table with a header."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row))  # brackets are no markup: edgewright[ort]
        self.show(table)

    def error(self, text: str) -> None:
        """Print an error, as plain text: nothing in it is markup."""
        self._err.print(f"edgewright: {text}", style="red", markup=False, highlight=False, soft_wrap=True)

    def warning(self, text: str) -> None:
        """Print a warning, as plain text."""
        if not self._quiet:
            line = f"edgewright: warning: {text}"
            self._err.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line, as plain text."""
        if not self._quiet:
            self._out.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def stages(self) -> Iterator[Callable[[str], None]]:
        """Show a spinner with the name of the stage that is going on."""
        if self._quiet or not self._err.is_terminal:
            yield lambda stage: None
            return
        with self._err.status("...") as status:
            yield lambda stage: status.update(f"{stage} ...")

    @contextmanager
    def progress(self) -> Iterator[Bars]:
        """Show progress bars."""
        if self._quiet or not self._err.is_terminal:
            yield Bars(None)
            return
        columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._err, transient=True) as progress:
            yield Bars(progress)

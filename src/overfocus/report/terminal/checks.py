"""The findings of a data check on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from overfocus.checks.catalogue import DataReport
from overfocus.checks.check import Severity
from overfocus.checks.survey import OnProgress
from overfocus.checks.unused import ANNOTATIONS
from overfocus.data import Dataset
from overfocus.report.terminal.tables import plain_console, print_table, say

STYLES = {Severity.PROBLEM: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "", Severity.FINE: "dim"}


def print_report(report: DataReport, console: Console | None = None) -> None:
    """Print what the data is, and one row for each check, the worst first."""
    console, survey = console or plain_console(), report.survey
    parts = ", ".join(f"{len(split):,} {part}" for part, split in survey.dataset.splits.items())
    say(console, f"{survey.dataset.name}: {survey.total:,} pictures in {len(survey.dataset.classes)} classes: {parts}")
    if note := note_of(survey.dataset):
        say(console, note, "dim")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(overflow="fold")
    for check, finding in report.worst_first:
        table.add_row(finding.severity.name.lower(), check.title, finding.sentence, style=STYLES[finding.severity])
    print_table(table, console)


def note_of(dataset: Dataset) -> str:
    """Return the note of a set without what the check of unused files says."""
    not_used = tuple(each for each in dataset.inventory.not_used if each.what not in ANNOTATIONS)
    note = dataset.note
    for sentence in replace(dataset.inventory, parts={}, not_used=not_used).sentences():
        note = note.replace(sentence, "")
    return " ".join(note.split())


@contextmanager
def reading_bar(quiet: bool = False) -> Iterator[OnProgress]:
    """Show a bar on a terminal while files are read."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("reading pictures", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

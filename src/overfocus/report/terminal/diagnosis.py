"""A diagnosis on the terminal: what is leaned on, then of each section a sentence and its key numbers, side by side."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from overfocus.diagnosis.catalogue import headline
from overfocus.diagnosis.side_by_side import MetricRow, SideBySide
from overfocus.metrics.score import Score
from overfocus.report.number import apart
from overfocus.report.terminal.leans import leans_tables
from overfocus.report.terminal.tables import plain_console, print_table, say


def diagnosis_table(comparison: SideBySide, console: Console | None = None) -> None:
    """Print what each model leans on, then each section: its sentence for every model, and its key scores with their
    95 % intervals.

    Several models stand side by side, each but the first with its paired difference to the first. On a terminal lines
    are broken to its width; in a file or a pipe every row is one line.
    """
    console = console or plain_console()
    first = comparison.diagnoses[0].evidence.about
    say(console, f"{' and '.join(comparison.names)} on {first.get('data', 'data')}, {first.get('sample', '')}", "bold")
    if source := first.get("source"):
        say(console, source, "dim")
    leans_tables(comparison, console)
    for section in comparison.sections:
        findings = comparison.findings(section)
        say(console, f"\n{findings[0].title}", "bold")
        for name, finding in zip(comparison.names, findings, strict=True):
            say(console, finding.sentence if len(findings) == 1 else f"{name}: {finding.sentence}")
        if rows := comparison.rows(section):
            _scores(section, rows, comparison, console)
    skipped = {name: why for each in comparison.diagnoses for name, why in each.skipped.items()}
    for why in dict.fromkeys(skipped.values()):
        names = [name for name, reason in skipped.items() if reason == why]
        say(console, f"\n{', '.join(names)} {'was' if len(names) == 1 else 'were'} not evaluated: {why}", "dim")


def _scores(section: str, rows: list[MetricRow], comparison: SideBySide, console: Console) -> None:
    names = comparison.names
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", overflow="fold", min_width=12)
    for head in (*names, *(f"{name} - {names[0]}" for name in names[1:])):
        table.add_column(head, overflow="fold", justify="right")
    table.add_column("n", justify="right", no_wrap=True)
    known = {row.name: row for row in rows}
    chosen = headline(section, known, comparison.trusted)
    for name in chosen:
        row = known[name]
        title = f"{row.metric.title} {row.metric.arrow}".rstrip()
        if [known[each].metric.title for each in chosen].count(row.metric.title) > 1:
            title += f" ({name.replace('_', ' ')})"
        counts = dict.fromkeys(f"{score.n:,}" for score in row.scores)
        table.add_row(title, *map(str, row.scores), *map(difference, row.differences), " / ".join(counts))
    if chosen:
        print_table(table, console)
    if len(rows) > len(chosen):
        say(console, f"{len(rows) - len(chosen)} more with --json and on the page", "dim")


def difference(score: Score) -> str:
    """Return a paired difference with its sign and interval; a star where the interval leaves 0 out."""
    return f"{score:+.3f}{' *' if apart(score) else ''}"

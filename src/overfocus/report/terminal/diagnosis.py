"""A diagnosis on the terminal: what was found in a sentence, then its key numbers, models side by side."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from overfocus.diagnosis.catalogue import headline
from overfocus.diagnosis.side_by_side import MetricRow, SideBySide
from overfocus.metrics.score import Score
from overfocus.report.terminal.tables import _console, _print


def diagnosis_table(comparison: SideBySide, console: Console | None = None) -> None:
    """Print each section: its sentence for every model, then its key scores with their 95 % intervals.

    Several models stand side by side, each but the first with its paired difference to the first. On a terminal lines
    are broken to its width; in a file or a pipe every row is one line.
    """
    console = console or _console()
    first = comparison.diagnoses[0].evidence.about
    _say(console, f"{' and '.join(comparison.names)} on {first.get('data', 'data')}, {first.get('sample', '')}", "bold")
    if source := first.get("source"):
        _say(console, source, "dim")
    for section in comparison.sections:
        findings = comparison.findings(section)
        _say(console, f"\n{findings[0].title}", "bold")
        for name, finding in zip(comparison.names, findings, strict=True):
            _say(console, finding.sentence if len(findings) == 1 else f"{name}: {finding.sentence}")
        if rows := comparison.rows(section):
            _scores(section, rows, comparison.names, console)
    skipped = {name: why for each in comparison.diagnoses for name, why in each.skipped.items()}
    for name, why in skipped.items():
        _say(console, f"\n{name} was not evaluated: {why}", "dim")


def _scores(section: str, rows: list[MetricRow], names: tuple[str, ...], console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", overflow="fold", min_width=12)
    for head in (*names, *(f"{name} - {names[0]}" for name in names[1:])):
        table.add_column(head, overflow="fold", justify="right")
    table.add_column("n", justify="right", no_wrap=True)
    known = {row.name: row for row in rows}
    chosen = headline(section, known)
    for name in chosen:
        row = known[name]
        title = f"{row.metric.title} {row.metric.arrow}".rstrip()
        if [known[each].metric.title for each in chosen].count(row.metric.title) > 1:
            title += f" ({name.replace('_', ' ')})"
        counts = dict.fromkeys(f"{score.n:,}" for score in row.scores)
        table.add_row(title, *map(str, row.scores), *map(difference, row.differences), " / ".join(counts))
    _print(table, console)
    if len(rows) > len(chosen):
        _say(console, f"{len(rows) - len(chosen)} more with --json and on the page", "dim")


def difference(score: Score) -> str:
    """Return a paired difference with its sign and interval; a star where the interval leaves 0 out."""
    if not score.answered:
        return f"no answer ({score.note})" if score.note else "no answer"
    star = " *" if apart(score) else ""
    interval = f" [{score.low:+.3f}, {score.high:+.3f}]" if score.low == score.low else ""
    return f"{score.value:+.3f}{interval}{star}"


def apart(score: Score) -> bool:
    """Whether the 95 % interval of a difference leaves 0 out; an interval that is not known does not."""
    return score.low > 0 or score.high < 0


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, soft_wrap=not console.is_terminal)

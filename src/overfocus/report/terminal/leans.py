"""What networks lean on, at the head of a diagnosis on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.lean_wording import how_sure, in_words, listed, next_step, of_classes, short
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.report.label import visible
from overfocus.report.terminal.tables import print_table, say


def leans_tables(comparison: SideBySide, console: Console) -> None:
    """Print, for every model, what was found in a sentence and the ranked list; nothing where no section looked."""
    for each in comparison.diagnoses:
        if each.sentence:
            whose = "" if len(comparison.diagnoses) == 1 else f"{each.name}: "
            say(console, "")
            say(console, visible(f"{whose}{each.sentence}"), "bold")
        if each.leans:
            _table(each, console)


def _table(diagnosis: Diagnosis, console: Console) -> None:
    table, classes = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False), diagnosis.evidence.classes
    shown = listed(diagnosis.leans)
    advised = any(next_step(lean) for lean in shown)
    for head in ("what", "share of accuracy", "classes", "how sure", *(["next"] if advised else [])):
        table.add_column(head, overflow="fold", min_width=8)
    for lean in shown:
        cells = [short(lean.title), in_words(lean.share), of_classes(lean, classes), how_sure(lean)]
        cells += [next_step(lean)] if advised else []
        table.add_row(*map(visible, cells), style="bold" if lean.found else "")
    print_table(table, console)
    if more := len(diagnosis.leans) - len(shown):
        say(console, f"{more} more with --json and on the page", "dim")

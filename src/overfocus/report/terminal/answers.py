"""How good answers are, on the terminal: scores with their intervals, classes, and what is confused."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from rich.console import Console

from overfocus.metrics.groups import LEAST
from overfocus.report.terminal.tables import MOST, numbers_table, plain_console, print_table, say, score_cell

PAIRS = 10
SAID = ("accuracy", "largest_class")
"""What the table of splits has already."""


def answers_tables(reports: Mapping[str, Mapping[str, Any]], console: Console | None = None) -> None:
    """Print for every split its scores, classes and most confused pairs; `reports`: `AnswerReport.as_dict` of each."""
    for split, report in reports.items():
        _scores(split, report["answers"], console)
        _classes(split, report["classes"], console)
        _pairs(split, report["confused"], console)
        if "groups" in report:
            _groups(split, report["groups"], console)


def _scores(split: str, scores: Mapping[str, Any], console: Console | None) -> None:
    table = numbers_table(f"{split}: score", "value [95 % interval]")
    for name, score in scores.items():
        if name not in SAID:
            table.add_row(score["title"], score_cell(score))
    print_table(table, console)


def _classes(split: str, classes: Mapping[str, Mapping[str, Any]], console: Console | None) -> None:
    """Print the classes, the lowest F1 first."""
    heads = {"precision": "precision", "recall": "recall", "f1": "F1"}
    table = numbers_table(f"{split}: class", *heads.values(), "images")
    rows = sorted(classes.items(), key=lambda item: inf if item[1]["f1"] is None else item[1]["f1"])
    for name, each in rows[:MOST]:
        cells = ("-" if each[head] is None else f"{each[head]:.4f}" for head in heads)
        table.add_row(name, *cells, f"{each['support']:,}")
    if len(rows) > MOST:
        table.add_row("...", f"and {len(rows) - MOST} more; --json lists all")
    print_table(table, console)


def _pairs(split: str, pairs: list[Mapping[str, Any]], console: Console | None) -> None:
    if not pairs:
        say(console or plain_console(), f"{split}: no image is named wrongly")
        return
    table = numbers_table(f"{split}: most confused", "images")
    for pair in pairs[:PAIRS]:
        table.add_row(f"{pair['class']}, named {pair['named']}", f"{pair['images']:,}")
    print_table(table, console)


def _groups(split: str, groups: Mapping[str, Any], console: Console | None) -> None:
    """Print each class in each group, the worst of those that are compared first."""
    table = numbers_table(f"{split}: class, {groups['column']}", "accuracy", "95 % interval", "images", "compared")
    for each in groups["cells"][:MOST]:
        ends = f"{each['low']:.3f} to {each['high']:.3f}"
        compared = "yes" if each["compared"] else f"no, under {LEAST}"
        table.add_row(
            f"{each['class']}, {each['group']}", f"{each['accuracy']:.4f}", ends, f"{each['images']:,}", compared
        )
    if len(groups["cells"]) > MOST:
        table.add_row("...", f"and {len(groups['cells']) - MOST} more; --json lists all")
    print_table(table, console)

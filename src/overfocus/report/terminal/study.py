"""A study on the terminal: each method with its accuracy, what it is worth against the baseline, and a sentence."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from overfocus.core.interval import Interval
from overfocus.report.label import label
from overfocus.report.study.claim import judged
from overfocus.report.study.number import MINUS, NONE
from overfocus.report.study.sentence import given, images, sentences
from overfocus.report.terminal.tables import _console, _print
from overfocus.statistics.verdict import Compared
from overfocus.study.results import ACCURACY, Results, read_results
from overfocus.study.run_key import Size

NAME = 60
"""Letters of a method's name; on a narrow terminal they are broken over lines."""
STYLES = {"better": "green", "worse": "red", "different": "bold"}


def show_study(folder: str | Path, console: Console | None = None) -> None:
    """Print the comparison of the study in `folder`: a table and a sentence for each data size, and what is missing.

    It fits 80 columns; in a file or a pipe every row is one line. Raises OverfocusError where no run is finished.
    """
    results, console = read_results(folder), console or _console()
    for size in results.study.sizes:
        if any(results.of(method, size) for method in results.study.methods):
            _show(results, size, console)
    counts = [f"{len(of)} {what}" for of, what in ((results.failed, "failed"), (results.missing, "not finished")) if of]
    if counts:
        _say(console, f"\nRuns that are not there: {', '.join(counts)}. The same command goes on with them.", "yellow")
    if results.unexamined:
        of = f"{len(results.unexamined)} of {len(results.results)}"
        _say(console, f"\nRuns that await their examination: {of}. The same command examines them.", "yellow")


def _show(results: Results, size: Size, console: Console) -> None:
    of = judged(results, ACCURACY, size)
    title = f"{images(size)[:1].upper()}{images(size)[1:]}: accuracy on {label(results.split).short}, last epoch"
    _say(console, f"\n{title}", "bold")
    _print(_table(results, of), console)
    note = "± and [ ]: 95 % over seeds; in points against " if _bounded(of) else "in points against "
    _say(console, f"{note}{label(of.baseline, most=30).short}", "dim")
    said = " ".join(each.striptags() for each in sentences(of, given(results, size)))
    _say(console, f"\n{said}")


def _bounded(of: Compared) -> bool:
    return any(mean.bounded for mean in of.means.values())


def _table(results: Results, of: Compared) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("method", overflow="fold", min_width=10)
    table.add_column("n", justify="right", no_wrap=True)
    for head in ("accuracy", "difference"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for method, mean in of.means.items():
        effect = of.effects.get(method)
        told = ("", "baseline") if effect is None else (_difference(effect.paired.difference), effect.verdict)
        style = STYLES.get(effect.verdict if effect else "", "")
        table.add_row(label(method, most=NAME).short, str(mean.n), _mean(mean), *told, style=style)
    return table


def _mean(mean: Interval) -> str:
    """Return a share in per cent with half its interval."""
    if not mean.answered:
        return NONE
    half = f" ± {50 * (mean.high - mean.low):.2f}" if mean.bounded else ""
    return f"{100 * mean.value:.2f}{half}"


def _difference(of: Interval) -> str:
    if not of.answered:
        return NONE
    ends = f" [{100 * of.low:+.2f}, {100 * of.high:+.2f}]" if of.bounded else ""
    return f"{100 * of.value:+.2f}{ends}".replace("-", MINUS)


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, soft_wrap=not console.is_terminal)

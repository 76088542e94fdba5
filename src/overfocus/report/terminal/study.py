"""A study on the terminal: each method with its score, what that is worth against the baseline, and a sentence."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from overfocus.core.interval import Interval
from overfocus.core.words import begun
from overfocus.report.label import label
from overfocus.report.number import NONE, in_points
from overfocus.report.study.answer import cross_validation, false_discovery, grown, judged_anew, plan, sentences
from overfocus.report.terminal.tables import numbers_table, plain_console, print_table, say
from overfocus.statistics.verdict import Compared
from overfocus.study.comparison import Comparison
from overfocus.study.results import WORST
from overfocus.study.run_key import Size
from overfocus.training.evaluate import FOLLOWS

NAME = 60
"""Letters of a method's name; on a narrow terminal they are broken over lines."""
STYLES: dict[str, str] = {"better": "green", "worse": "red", "different": "bold"}


def show_study(comparison: Comparison, console: Console | None = None) -> None:
    """Print a table and a sentence for each data size, and which runs are missing.

    It fits 80 columns; in a file or a pipe every row is one line.
    """
    results, console = comparison.results, console or plain_console()
    for size in comparison.sizes:
        _show(comparison, size, console)
    for text in (
        *cross_validation(comparison),
        *plan(results),
        *grown(results),
        *judged_anew(results),
        *false_discovery(comparison),
    ):
        say(console, f"\n{text}", "dim")
    counts = [f"{len(of)} {what}" for of, what in ((results.failed, "failed"), (results.missing, "not finished")) if of]
    if counts:
        say(console, f"\nRuns that are not there: {', '.join(counts)}. The same command goes on with them.", "yellow")
    if results.unexamined:
        of = f"{len(results.unexamined)} of {len(results.results)}"
        say(console, f"\nRuns that await their examination: {of}. The same command examines them.", "yellow")


def _show(comparison: Comparison, size: Size, console: Console) -> None:
    metric, words = comparison.results.metric, size.words
    of = comparison.of(metric, size)
    split = label(comparison.results.split).short
    say(console, f"\n{words[:1].upper()}{words[1:]}: {metric.words} on {split}, last epoch", "bold")
    print_table(_table(of, metric.words), console)
    bounded = any(mean.bounded for mean in of.means.values())
    over = "folds, corrected" if comparison.study.folds else "seeds"
    note = f"± and [ ]: 95 % over {over}; in points against " if bounded else "in points against "
    say(console, f"{note}{label(of.baseline, most=30).short}", "dim")
    _show_worst_group(comparison, size, console)
    _show_half_object(comparison, size, console)
    answer = " ".join(sentence.striptags() for sentence in sentences(comparison, size))
    say(console, f"\n{answer}")
    _show_followed(comparison, size, console)


def _show_worst_group(comparison: Comparison, size: Size, console: Console) -> None:
    """Print the worst group beside what the study is judged by; nothing where groups are not known."""
    if WORST in comparison.results.measures and comparison.results.metric != WORST:
        say(console, f"\n{begun(WORST.words)}", "bold")
        print_table(_table(comparison.of(WORST, size), "accuracy"), console)


def _show_half_object(comparison: Comparison, size: Size, console: Console) -> None:
    """Print what half of the object leaves; nothing where it was not asked."""
    measure = comparison.results.half_object
    if measure and any(mean.answered for mean in comparison.of(measure, size).means.values()):
        say(console, f"\n{measure.title[:1].upper()}{measure.title[1:]}", "bold")
        print_table(_table(comparison.of(measure, size), "accuracy"), console)


def _show_followed(comparison: Comparison, size: Size, console: Console) -> None:
    """Print which cue the answers follow where cues name different classes; nothing without such a split."""
    measures = [measure for measure in comparison.results.measures if measure.is_followed]
    for split in dict.fromkeys(measure.key.partition(".")[0] for measure in measures):
        of = {measure.key.partition(FOLLOWS)[2]: comparison.of(measure, size).means
              for measure in measures if measure.key.startswith(f"{split}.")}  # fmt: skip
        table = numbers_table("method", *(f"the {cue}" if cue != "none" else "none" for cue in of))
        for method in comparison.study.methods:
            table.add_row(label(method, most=NAME).short, *(_mean(means[method]) for means in of.values()))
        say(
            console,
            f"\nWhat the answers on {label(split).short} follow, in %: each cue names another class",
            "bold",
        )
        print_table(table, console)


def _table(of: Compared, name: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("method", overflow="fold", min_width=10)
    table.add_column("n", justify="right", no_wrap=True)
    for head in (name, "difference"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for method, mean in of.means.items():
        effect = of.effects.get(method)
        cells = ("", "baseline") if effect is None else (str(in_points(effect.paired.difference)), effect.verdict)
        style = STYLES.get(effect.verdict if effect else "", "")
        table.add_row(label(method, most=NAME).short, str(mean.n), _mean(mean), *cells, style=style)
    return table


def _mean(mean: Interval) -> str:
    """Return a share in per cent with half its interval."""
    if not mean.answered:
        return NONE
    half = f" ± {50 * (mean.high - mean.low):.2f}" if mean.bounded else ""
    return f"{100 * mean.value:.2f}{half}"

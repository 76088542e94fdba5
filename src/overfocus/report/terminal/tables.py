"""Tables on the terminal; in a file or a pipe every row is one line, however long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from overfocus.core.interval import wilson
from overfocus.report.rows import Explained, Rate
from overfocus.training.evaluate import follows
from overfocus.training.evaluate_labels import judged_by
from overfocus.training.refit import Refit
from overfocus.training.run import Run

MOST = 40
"""Names that are listed at once."""
LABEL_HEADS = {"average_precision": "average precision", "auroc": "AUROC", "f1": "F1"}


def names_table(rows: list[tuple[str, str]], console: Console | None = None) -> None:
    """Print names, each with its description."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", style="bold")
    table.add_column(overflow="fold")
    for row in rows[:MOST]:
        table.add_row(*row)
    if len(rows) > MOST:
        table.add_row("...", f"and {len(rows) - MOST} more; --json lists all")
    print_table(table, console)


def scores_table(
    scores: Mapping[str, Mapping[str, float]],
    console: Console | None = None,
    reports: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:
    """Print accuracy with its 95 % interval, loss and n for every split.

    reports: split -> `AnswerReport.as_dict`; then also the share of the largest class, and where classes are unequal
    balanced accuracy and macro F1, and where groups are known the worst-group accuracy.
    """
    more = _more(reports)
    table = numbers_table("split", "accuracy", "95 % interval", *more.values(), "loss", "images")
    for split, score in scores.items():
        if follows(score):  # its label is but one of the cues
            continue
        low, high = wilson(score["accuracy"], int(score["images"]))
        table.add_row(
            split,
            f"{score['accuracy']:.4f}",
            f"{low:.3f} to {high:.3f}",
            *(_value(reports.get(split, {}).get("answers", {}).get(name)) for name in more),
            f"{score['loss']:.4f}",
            f"{score['images']:,.0f}",
        )
    if table.rows:
        print_table(table, console)
    _follows_table(scores, console)


def _more(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return score -> head of what stands beside the accuracy."""
    if not reports:
        return {}
    counts = [{each["support"] for each in report["classes"].values()} - {0} for report in reports.values()]
    unequal = {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
    grouped = {"worst_group": "worst group"} if any("groups" in report for report in reports.values()) else {}
    return {"largest_class": "largest class"} | (unequal if any(len(of) > 1 for of in counts) else {}) | grouped


def _value(score: Mapping[str, Any] | None) -> str:
    return "-" if score is None or score["value"] is None else f"{score['value']:.4f}"


def _follows_table(scores: Mapping[str, Mapping[str, float]], console: Console | None) -> None:
    """Print, for every split whose cues name different classes, which of them the answers follow."""
    found = {split: follows(score) for split, score in scores.items() if follows(score)}
    if not found:
        return
    cues = [cue for cue in dict.fromkeys(cue for shares in found.values() for cue in shares) if cue != "none"]
    table = numbers_table("answers that follow", *(f"the {cue}" for cue in cues), "none", "images")
    for split, shares in found.items():
        cells = (f"{shares[cue]:.4f}" if cue in shares else "-" for cue in (*cues, "none"))
        table.add_row(split, *cells, f"{scores[split]['images']:,.0f}")
    print_table(table, console)


def label_tables(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print for every split the scores of its labels and their means, with 95 % intervals, and whence the thresholds
    come; `report` is what `training.evaluate_labels.label_report` returns.
    """
    for split, scores in report["scores"].items():
        table = numbers_table(f"{split}: label", "images", *LABEL_HEADS.values(), "threshold")
        rows = sorted(scores["labels"].items(), key=lambda item: -item[1]["images"])
        for name, each in rows[:MOST]:
            cells = (score_cell(each[head]) for head in LABEL_HEADS)
            table.add_row(name, f"{each['images']:,}", *cells, f"{each['threshold']:.3f}")
        if len(rows) > MOST:
            table.add_row("...", f"and {len(rows) - MOST} more; --json lists all")
        means = (score_cell(scores[mean]) for mean in ("mean_average_precision", "mean_auroc", "macro_f1"))
        table.add_row("mean", "", *means, "")
        print_table(table, console)
        say(console or plain_console(), f"{split}: right labels at 0.5 {score_cell(scores['label_accuracy'])}")
    say(console or plain_console(), report["why"])


def score_cell(score: Mapping[str, Any]) -> str:
    """Return a score, as JSON holds it, with its interval."""
    if score["value"] is None:
        return "-"
    ends = "" if score["low"] is None else f" [{score['low']:.3f}, {score['high']:.3f}]"
    return f"{score['value']:.4f}{ends}"


def refit_table(scores: Mapping[str, Mapping[str, float]], refit: Refit, console: Console | None = None) -> None:
    """Print the accuracy of a run's own last layer beside those that were fitted anew."""
    table = numbers_table("split", "own head", "refitted", "untrained, refitted", "images")
    for split, accuracy in refit.refitted.items():
        own, untrained = scores[split]["accuracy"], refit.untrained[split]
        table.add_row(split, f"{own:.4f}", f"{accuracy:.4f}", f"{untrained:.4f}", f"{scores[split]['images']:,.0f}")
    print_table(table, console)
    say(
        console or plain_console(),
        f"refitted: the last layer alone, on {refit.images:,} training images of "
        f"{refit.data}; untrained: the same on the features of the network before training",
    )


def rates_table(rates: Mapping[str, Rate], console: Console | None = None) -> None:
    """Print the nominal values of a method beside those measured on the n images that it acted on."""
    if not rates:
        (console or plain_console()).print("nothing is changed, and nothing measured")
        return
    table = numbers_table("quantity", "nominal", "measured", "sd", "n")
    for name, rate in rates.items():
        cells = ("-" if value is None else f"{value:.3f}" for value in (rate["nominal"], rate["measured"], rate["sd"]))
        table.add_row(name.replace("_", " "), *cells, f"{rate['n']:,}")
    print_table(table, console)


def explained_table(explained: Sequence[Explained], console: Console | None = None) -> None:
    """Print for every picture the prediction, and the spread of each map."""
    table = numbers_table("picture", "predicted", "confidence", "map", "effective area", "Gini")
    for each in explained:
        for method, spread in each["methods"].items():
            numbers = (spread["effective_area"], spread["gini"])
            cells = ("no answer" if value is None else f"{value:.3f}" for value in numbers)
            table.add_row(Path(each["file"]).name, each["predicted"], f"{each['confidence']:.3f}", method, *cells)
    print_table(table, console)
    notes = [
        f"{Path(each['file']).name}, {method}: {spread['note']}"
        for each in explained
        for method, spread in each["methods"].items()
        if spread["note"]
    ]
    for note in notes:
        (console or plain_console()).print(note, markup=False)


def run_summary(run: Run, console: Console | None = None) -> None:
    """Print a finished run: last epoch, best epoch, and its folder."""
    manifest, console = run.manifest(), console or plain_console()
    if note := manifest["data"]["note"]:
        console.print(note, style="dim")
    stopping = manifest.get("early_stopping", {})
    which = "epoch" if stopping.get("patience") else "last epoch"
    console.print(f"{which} ({manifest['last']['epoch']}) of {manifest['method']}")
    if stopping:
        console.print(stopping["why"])
    if "linear_probe" in manifest:
        console.print(manifest["linear_probe"])
    if "tuned" in manifest:
        console.print(manifest["tuned"]["why"])
    if "labels" in manifest:
        label_tables(manifest["labels"], console)
    else:
        scores_table(manifest["last"]["scores"], console, manifest.get("answers", {}))
    best = manifest["best"]
    if best.get("epoch"):
        text = f"best epoch {best['epoch']}: {judged_by(best)[1]:.4f} on {best['split']} ({best['note']})"
        console.print(text, style="dim")
    # Not broken, so that it can be copied.
    console.print(f"run: {run.path}", soft_wrap=True)


def numbers_table(name: str, *heads: str) -> Table:
    """Make a table of named rows of numbers; where it is too wide the names are broken, never the numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(name, overflow="fold", min_width=5)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def say(console: Console, text: str, style: str = "") -> None:
    """Print text; in a file or a pipe no line is broken."""
    console.print(text, style=style, soft_wrap=not console.is_terminal)


def plain_console() -> Console:
    """Return a console for the result: names are printed as they are: no markup, no emoji codes."""
    return Console(markup=False, emoji=False, highlight=False)


def print_table(table: Table, console: Console | None) -> None:
    """Print a table; in a file or a pipe every row is one line."""
    console = console or plain_console()
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(file=StringIO(), width=10_000, markup=False, emoji=False, highlight=False)
    with wide.capture() as text:
        wide.print(table)
    for line in text.get().splitlines():
        console.print(line.rstrip(), soft_wrap=True)

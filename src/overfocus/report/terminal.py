"""Tables on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from overfocus.training.run import Run


def names_table(rows: list[tuple[str, str]]) -> None:
    """Print names with what they are in a line."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    _print(table)


def scores_table(scores: dict[str, dict[str, float]]) -> None:
    """Print accuracy with its 95 % interval, loss and n for every split."""
    table = Table("split", box=box.SIMPLE_HEAD)
    for head in ("accuracy", "95 % interval", "loss", "images"):
        table.add_column(head, justify="right")
    for split, score in scores.items():
        low, high = wilson(score["accuracy"], int(score["images"]))
        table.add_row(
            split,
            f"{score['accuracy']:.4f}",
            f"{low:.3f} to {high:.3f}",
            f"{score['loss']:.4f}",
            f"{score['images']:,.0f}",
        )
    _print(table)


def rates_table(rates: dict[str, dict[str, float | None]]) -> None:
    """Print what was asked of a method beside what was measured."""
    table = Table("quantity", box=box.SIMPLE_HEAD)
    for head in ("nominal", "measured", "±", "n"):
        table.add_column(head, justify="right")
    for name, row in rates.items():
        cells = ("–" if (value := row[key]) is None else f"{value:.3f}" for key in ("nominal", "measured", "sd"))
        table.add_row(name, *cells, f"{row['n']:.0f}")
    _print(table)


def run_summary(run: Run) -> None:
    """Print a finished run: last epoch and best epoch, told apart, and where it lies."""
    manifest = run.manifest()
    console = Console()
    if note := manifest["data"]["note"]:
        console.print(note, style="dim", markup=False, highlight=False)
    console.print(f"last epoch ({manifest['last']['epoch']}) of {manifest['method']}", markup=False, highlight=False)
    scores_table(manifest["last"]["scores"])
    best = manifest["best"]
    if best.get("epoch"):
        text = f"best epoch {best['epoch']}: {best['accuracy']:.4f} on {best['split']} ({best['note']})"
        console.print(text, markup=False, highlight=False, style="dim")
    console.print(f"run: {run.path}", markup=False, highlight=False)


def wilson(accuracy: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score (1927)."""
    from scipy.stats import binomtest

    interval = binomtest(round(accuracy * count), count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _print(table: Table) -> None:
    Console(markup=False, highlight=False).print(table)

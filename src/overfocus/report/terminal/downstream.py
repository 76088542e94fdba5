"""Transfers on the terminal: a line for each epoch, every run's numbers, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from rich.console import Console
from rich.table import Table

from overfocus.downstream.detect import DetectEpoch
from overfocus.downstream.start import Start
from overfocus.downstream.transfer import RECORD, SummaryLine, TaskResult, baseline, summary
from overfocus.report.terminal.tables import numbers_table, plain_console, print_table
from overfocus.training.run import Epoch


def print_epoch(start: Start, epoch: DetectEpoch | Epoch, epochs: int) -> None:
    """Print an epoch that ended; on standard error, so that standard output is the result alone."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False, markup=False)
    loss = epoch.loss if isinstance(epoch, DetectEpoch) else epoch.train["loss"]
    console.print(
        f"{start.method}, seed {start.seed}  epoch {epoch.number:>3}/{epochs}  loss {loss:.4f}  "
        f"{epoch.images_per_second:,.1f} images/s"
    )


def transfer_tables(outcomes: Sequence[TaskResult], out: Path, console: Console | None = None) -> None:
    """Print a row for each run, and below it each method over its seeds beside the baseline."""
    console = console or plain_console()
    measures = list(dict.fromkeys(name for each in outcomes for name in each.scores))
    table = numbers_table("pretrained with", "seed", *measures, "seconds")
    for each in outcomes:
        cells = (_number(each.scores.get(name)) for name in measures)
        table.add_row(each.method, str(each.seed), *cells, f"{each.seconds:.0f}")
    print_table(table, console)
    if len({each.method for each in outcomes}) > 1:
        console.print(f"{measures[0]} over seeds; differences to {baseline(outcomes)}, paired by seed")
        print_table(_together(summary(outcomes)), console)
    console.print(f"numbers: {out / RECORD}", soft_wrap=True)


def _together(lines: Sequence[SummaryLine]) -> Table:
    table = numbers_table(
        "pretrained with", "seeds", "mean", "95 % interval", "difference", "95 % interval", "p (Holm)"
    )
    for line in lines:
        cells = [line.method, str(line.mean.n), _number(line.mean.value), _ends(line.mean.low, line.mean.high)]
        if line.difference is not None:
            found = line.difference.difference
            value = f"{found.value:+.4f}" if found.answered else "no answer"
            cells += [value, _ends(found.low, found.high), f"{line.p:.3f}" if isfinite(line.p) else "-"]
        table.add_row(*cells)
    return table


def _number(value: float | None) -> str:
    return f"{value:.4f}" if value is not None and isfinite(value) else "no answer"


def _ends(low: float, high: float) -> str:
    return f"{low:.4f} to {high:.4f}" if isfinite(low) and isfinite(high) else "-"

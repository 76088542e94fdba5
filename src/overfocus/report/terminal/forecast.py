"""What a study will take, as a table on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from overfocus.report.terminal.study_progress import duration
from overfocus.study.forecast import Forecast


def forecast_table(estimate: Forecast, folder: Path) -> None:
    """Print runs, budget, cost of each method, time and disk."""
    console = Console(highlight=False, soft_wrap=True)
    done = f", {estimate.finished} of them done" if estimate.finished else ""
    console.print(f"{estimate.runs} runs{done} -> {folder}", markup=False)
    console.print(_budget(estimate))
    console.print(_cost(estimate))
    console.print(
        f"about {duration(estimate.seconds)} on {estimate.workers} worker{'s' * (estimate.workers != 1)}, by a few "
        f"steps tried on this machine as busy as it is; about {decimal(estimate.disk_bytes)} of disk",
        markup=False,
    )


def _budget(estimate: Forecast) -> Table:
    table = Table("data size", "training images", "epochs", "updates", title="training, the same for every method",
                  title_justify="left")  # fmt: skip
    for size, budget in estimate.steps.items():
        table.add_row(size, f"{budget['images']:,}", str(budget["epochs"]), f"{budget['updates']:,}")
    return table


def _cost(estimate: Forecast) -> Table:
    table = Table("method", f"operations, {estimate.baseline} = 1", "milliseconds a step",
                  title="cost of a step, extra passes counted", title_justify="left")  # fmt: skip
    for each in estimate.compute:
        table.add_row(each.method, f"{estimate.flops_ratio(each.method):.3f}", f"{1000 * each.seconds:.1f}")
    return table

"""The command about downstream tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from overfocus.cli import options as o

app = typer.Typer()
DATA_HELP = (
    "detect: totem-scenes, a folder of COCO or Pascal VOC, or a set with boxes, e.g. Tiny-ImageNet; "
    "classify: what `overfocus train` takes."
)


@app.command()
def transfer(  # noqa: PLR0913
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs of the same network.")],
    task: Annotated[str, typer.Option(help="detect: a detector on the encoder; classify: fine-tune it.")] = "detect",
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    root: o.Root = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels: of the shorter side (detect), of height and width (classify).")
    ] = None,
    epochs: o.Epochs = None,
    batch: o.Batch = None,
    lr: o.Lr = None,
    seed: o.Seed = None,
    scratch: Annotated[
        bool, typer.Option("--scratch/--no-scratch", help="Also the same without what the runs learned, for each seed.")
    ] = True,
    best: o.Best = False,
    out: Annotated[Path, typer.Option(help="Folder to write transfer.json to; an existing one is resumed.")] = Path(
        "runs/transfer"
    ),
    accelerator: o.Accelerator = "auto",
    changes: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Measure what trained networks are worth on another task.

    Every run's encoder becomes that of a Faster R-CNN, or is fine-tuned on a second data set with a new last layer;
    so does, as a control, the same network from scratch. All are trained alike, with each run's seed unless --seed is
    given, and compared seed by seed. The same command resumes where it was stopped; with more runs it adds those.

    \b
    overfocus transfer runs/plain runs/sgdrop --task detect --out runs/detect
    overfocus transfer runs/plain runs/sgdrop --task classify --data photos
    """
    from overfocus.commands.transfer import transfer_runs
    from overfocus.downstream.transfer import RECORD
    from overfocus.report.terminal.downstream import print_epoch, transfer_tables

    results = transfer_runs(
        runs, task, out, o.given("", data=data, root=root, size=size, epochs=epochs, batch=batch, lr=lr), changes or [],
        seed=seed, scratch=scratch, best=best, accelerator=accelerator, on_epoch=print_epoch,
    )  # fmt: skip
    if as_json:
        print(json.dumps(json.loads((out / RECORD).read_text(encoding="utf-8"))))
        return
    transfer_tables(results, out)

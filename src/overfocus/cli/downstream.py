"""The command about transfer: arguments in, calls out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

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
    root: Annotated[str | None, typer.Option(help="Where named data sets lie.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels: of the shorter side (detect), of height and width (classify).")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images of a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of new layers, order and every draw; default: that of each run.")
    ] = None,
    scratch: Annotated[
        bool, typer.Option("--scratch/--no-scratch", help="Also the same without what the runs learned, for each seed.")
    ] = True,
    best: Annotated[bool, typer.Option("--best", help="The best epoch's weights instead of the last one's.")] = False,
    out: Annotated[Path, typer.Option(help="Folder to write transfer.json to; one that is there goes on.")] = Path(
        "runs/transfer"
    ),
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. train_images=100; repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on standard output.")
    ] = False,
) -> None:
    """Measure what trained networks are worth on another task.

    Every run's encoder becomes that of a Faster R-CNN, or is fine-tuned on a second data set with a new last layer;
    so does, as a control, the same network from scratch. All are trained alike, and compared seed by seed. The same
    command goes on where it was stopped; with more runs it does those.

    \b
    overfocus transfer runs/plain runs/sgdrop --task detect --out runs/detect
    overfocus transfer runs/plain runs/sgdrop --task classify --data photos
    """
    from overfocus.downstream.start import starts
    from overfocus.downstream.transfer import RECORD
    from overfocus.downstream.transfer import transfer as carried
    from overfocus.report.terminal.downstream import TransferProgress, transfer_tables

    found = starts(runs, best=best, scratch=scratch)
    given = {"data": data, "root": root, "size": size, "epochs": epochs, "batch": batch, "lr": lr}
    aim = _task(task, {name: value for name, value in given.items() if value is not None}, changes or [])
    outcomes = carried(found, aim(found, out, seed, accelerator), out, TransferProgress().on_epoch)
    if as_json:
        print(json.dumps(json.loads((out / RECORD).read_text(encoding="utf-8"))))
        return
    transfer_tables(outcomes, out)


def _task(name: str, given: dict[str, Any], changes: list[str]) -> Any:
    """Return what makes the task, once its settings have been read."""
    from overfocus.core.errors import UnknownName

    makers = {"detect": _detect, "classify": _classify}
    if name not in makers:
        raise UnknownName("task", name, makers)
    return makers[name](given, changes)


def _detect(given: dict[str, Any], changes: list[str]) -> Any:
    from overfocus.downstream.detect import DetectSettings
    from overfocus.downstream.task import Detection
    from overfocus.training.experiment import put_together
    from overfocus.training.processes import Machine

    how = DetectSettings.read(put_together({}, given, changes), "settings")

    def made(found: list[Any], out: Path, seed: int | None, accelerator: str) -> Detection:
        return Detection(how, found[0].run.manifest()["channels"], seed, Machine(accelerator))

    return made


def _classify(given: dict[str, Any], changes: list[str]) -> Any:
    from overfocus.core.errors import OverfocusError
    from overfocus.downstream.task import Classification
    from overfocus.training.experiment import settle
    from overfocus.training.processes import Machine

    if "data" not in given:
        raise OverfocusError("--task classify needs --data: a second set of images, as `overfocus train` takes it")
    keys = {"data": "data.name", "root": "data.root", "size": "data.size"}
    how = settle(None, {keys.get(name, f"recipe.{name}"): value for name, value in given.items()}, changes)

    def made(found: list[Any], out: Path, seed: int | None, accelerator: str) -> Classification:
        return Classification(how, out, seed, Machine(accelerator))

    return made

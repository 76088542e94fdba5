"""The command that names the classes of new pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from overfocus.cli import options as o

app = typer.Typer()


@app.command()
def predict(  # noqa: PLR0913
    model_or_run: Annotated[
        str, typer.Argument(metavar="MODEL", help="An export (safetensors or ONNX), or: " + o.MODEL_HELP)
    ],
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Pictures, folders with all below them, patterns.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="CSV to write; without it a line for each picture is printed.")
    ] = None,
    maps: Annotated[Path | None, typer.Option(help="Folder for heat maps; adds their effective area.")] = None,
    attribution: o.Map = "hirescam",
    accuracy: Annotated[
        float | None,
        typer.Option(help="Mark as unsure what lies under the confidence that had this accuracy on held-out pictures."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to name of each picture.")] = 3,
    size: o.Size = None,
    fit: o.Fit = None,
    orientation: o.Orientation = None,
    intensity: o.Intensity = None,
    background: o.Background = None,
    model: o.CheckpointModel = None,
    weights: o.Weights = None,
    which_weights: o.WhichWeights = None,
    best: o.Best = False,
    mean: o.Mean = "",
    std: o.Std = "",
    preprocess: o.Preprocess = None,
    channel_order: o.ChannelOrder = None,
    classes: o.Classes = None,
    at: o.At = None,
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> None:
    """Name the classes of new pictures, with how sure that is.

    Pictures are read as those of training were. A run with held-out pictures has calibrated confidence, and a threshold
    for --accuracy. Where pictures have several labels, each is given from its own threshold on. Files that cannot be
    read are named in the CSV, the others go on, and the exit code is then 3.

    \b
    overfocus predict runs/photos new --out predictions.csv
    overfocus predict runs/photos new --accuracy 0.95 --out predictions.csv
    overfocus predict runs/photos/export-onnx 'new/**/*.jpg' --json
    """
    from contextlib import nullcontext

    from overfocus.commands.predict import PredictRequest
    from overfocus.commands.predict import predict as run
    from overfocus.commands.prediction_files import json_list
    from overfocus.report.terminal.predictions import print_prediction, print_tally

    options = o.checkpoint(
        mean, std, classes, model=model, weights=weights, at=at, best=best, which=which_weights,
        preprocess=preprocess, channel_order=channel_order,
    )  # fmt: skip
    pictures = o.given("data", size=size) | o.pictures(fit, orientation, intensity, background)
    request = PredictRequest(
        model_or_run, tuple(paths), options, {key.removeprefix("data."): value for key, value in pictures.items()},
        out, maps, attribution, accuracy, top, device,
    )  # fmt: skip
    with (
        json_list(sys.stdout) if as_json else nullcontext(print_prediction if out is None else lambda row: None) as row
    ):
        tally = run(request, row)
    print_tally(tally.pictures, tally.classes, None if accuracy is None else tally.unsure, tally.failed)
    if out is not None and not as_json:
        print(out)
    if tally.failed:
        raise typer.Exit(3)

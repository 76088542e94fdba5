"""The command that opens a page to play with a classifier."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from overfocus.cli import options as o

app = typer.Typer()


@app.command()
def open(  # noqa: PLR0913
    checkpoints: Annotated[list[str], typer.Argument(metavar="MODEL", help=o.MODEL_HELP + " Several side by side.")],
    data: o.Data = None,
    split: Annotated[
        str, typer.Option(help="Which images, or all; default the test images, else the validation images.")
    ] = "",
    root: o.Root = None,
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
    limit: Annotated[
        int, typer.Option(min=0, help="Pictures of the data to offer, balanced over the classes; 0: all.")
    ] = 200,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0: a free one.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the link, and open no browser.")] = False,
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> None:
    """Paint over parts of a picture and watch the answer change.

    A page in your browser, served by this machine to this machine; nothing leaves it. Drop a photograph or pick one of
    the data, see the answers of several models side by side, their maps, and what is left as the salient part is
    hidden. Ctrl-C ends it.

    \b
    overfocus open runs/photos
    overfocus open runs/plain runs/sgdrop
    overfocus open net.pt --model resnet18 --preprocess imagenet --data photos
    """
    from overfocus.commands.open import OpenRequest, open_window

    options = o.checkpoint(
        mean, std, classes, model=model, weights=weights, at=at, best=best, which=which_weights,
        preprocess=preprocess, channel_order=channel_order,
    )  # fmt: skip
    pictures = o.given("data", name=data, root=root, size=size) | o.pictures(fit, orientation, intensity, background)
    request = OpenRequest(tuple(checkpoints), pictures, split, options, limit, port, not no_browser, device)

    def on_link(link: str) -> None:
        print(json.dumps({"link": link}) if as_json else f"{link}\nThe link works once. Ctrl-C ends it.", flush=True)

    open_window(request, on_link)

"""The commands that look into a classifier or a method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from overfocus.cli import options as o
from overfocus.diagnosis.sections import NAMES

app = typer.Typer()


@app.command()
def diagnose(  # noqa: PLR0913
    checkpoints: Annotated[list[str], typer.Argument(metavar="MODEL", help=o.MODEL_HELP + " Several are compared.")],
    out: Annotated[Path, typer.Option(help="Folder to write: diagnosis.html, scores.json, evidence.npz, pictures.")],
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
    boxes: Annotated[
        str | None, typer.Option(help="Where the objects are: a CSV, a COCO JSON, a folder of VOC XML or of masks.")
    ] = None,
    group: o.Group = None,
    on_bad_image: o.OnBadImage = None,
    model: o.CheckpointModel = None,
    weights: o.Weights = None,
    setting: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="What the model's constructor takes; repeatable.")
    ] = None,
    best: o.Best = False,
    which_weights: o.WhichWeights = None,
    mean: o.Mean = "",
    std: o.Std = "",
    preprocess: o.Preprocess = None,
    channel_order: o.ChannelOrder = None,
    classes: o.Classes = None,
    at: o.At = None,
    attribution: o.ChosenMap = "hirescam",
    only: Annotated[str, typer.Option(metavar="NAME,...", help=f"Only these sections, of {', '.join(NAMES)}.")] = "",
    without: Annotated[str, typer.Option(metavar="NAME,...", help="Not these sections.")] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the first questions, on few images: minutes become seconds.")
    ] = False,
    ood: o.Ood = None,
    autoattack: Annotated[
        bool, typer.Option("--autoattack", help="Also AutoAttack, whose package you have installed; slow.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help=o.LIMIT_HELP + "; 0: all.")] = 1000,
    per_class: Annotated[bool, typer.Option("--per-class", help="Also every metric for each class, as JSON.")] = False,
    images: Annotated[
        bool,
        typer.Option("--images", help="Also images/: a row for each image, with map and numbers, as CSV and pictures."),
    ] = False,
    seed: Annotated[int, o.SEED] = 0,
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> None:
    """Examine classifiers, side by side.

    Where they look, how narrowly, and what breaks when that is hidden or attacked. Every number comes with a 95 %
    interval over images and n. The data is that of the first run unless --data names another.

    \b
    overfocus diagnose runs/first --out diagnosis
    overfocus diagnose runs/first --out diagnosis --quick
    overfocus diagnose runs/plain runs/sgdrop --out side-by-side
    overfocus diagnose net.pt --model resnet18 --preprocess imagenet \\
        --data photos --out diagnosis
    """
    from rich.console import Console

    from overfocus.commands.diagnose import DiagnosisRequest, as_dict, diagnose_checkpoints
    from overfocus.report.terminal.diagnosis import diagnosis_table

    options = o.checkpoint(
        model=model, settings=tuple(setting or ()), weights=weights, at=at, mean=mean, std=std, best=best,
        classes=classes, which=which_weights, preprocess=preprocess, channel_order=channel_order,
    )  # fmt: skip
    request = DiagnosisRequest(
        tuple(checkpoints),
        o.given("data", name=data, root=root, size=size, boxes=boxes, group=group, on_bad_image=on_bad_image)
        | o.pictures(fit, orientation, intensity, background),
        split, options, o.names(only), o.names(without), quick, limit, seed, attribution, ood or "", autoattack, device,
    )  # fmt: skip
    comparison = diagnose_checkpoints(request, out, per_class=per_class, images=images, console=Console(stderr=True))
    if as_json:
        print(json.dumps(as_dict(comparison, per_class)))
        return
    diagnosis_table(comparison)
    print(f"page: {out / 'diagnosis.html'}")


@app.command()
def explain(  # noqa: PLR0913
    checkpoint: Annotated[str, typer.Argument(metavar="MODEL", help=o.MODEL_HELP)],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Pictures.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")],
    methods: Annotated[
        str, typer.Option(metavar="NAME,...", help="e.g. cam,gradcam,integrated_gradients; `overfocus maps` lists all.")
    ] = "gradcam",
    target: Annotated[str, typer.Option(help="The class to explain, by name or number.")] = "predicted",
    size: o.Size = None,
    fit: o.Fit = None,
    orientation: o.Orientation = None,
    intensity: o.Intensity = None,
    background: o.Background = None,
    data: o.Data = None,
    root: o.Root = None,
    model: o.CheckpointModel = None,
    weights: o.Weights = None,
    which_weights: o.WhichWeights = None,
    mean: o.Mean = "",
    std: o.Std = "",
    preprocess: o.Preprocess = None,
    channel_order: o.ChannelOrder = None,
    classes: o.Classes = None,
    at: o.At = None,
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> None:
    """Draw where a classifier looks in your own pictures.

    They are brought to the size that the model was made for, else 224. --data names the classes of a model that is no
    run.

    \b
    overfocus explain runs/first cat.jpg --methods cam,occlusion --out maps
    """
    from overfocus.commands.explain import explain_checkpoint
    from overfocus.report.terminal.tables import explained_table

    explained = explain_checkpoint(
        checkpoint, images, o.names(methods), out, target=target, size=size,
        data=o.given("data", name=data, root=root) | o.pictures(fit, orientation, intensity, background),
        options=o.checkpoint(
            model=model, weights=weights, at=at, mean=mean, std=std, classes=classes, which=which_weights,
            preprocess=preprocess, channel_order=channel_order,
        ),
        device=device,
    )  # fmt: skip
    if as_json:
        print(json.dumps(explained))
        return
    explained_table(explained)
    print(out / "explained.png")


@app.command()
def inspect(  # noqa: PLR0913
    method: Annotated[str, o.METHOD],
    out: Annotated[Path, typer.Option(help="The picture to write (PNG).")],
    data: o.Data = None,
    root: o.Root = None,
    size: o.Size = None,
    run: Annotated[
        Path | None, typer.Option(help="A trained run in whose network feature methods act; default a new network.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=32, help="How many images to draw.")] = 8,
    seed: Annotated[int, o.SEED] = 0,
    as_json: o.Json = False,
) -> None:
    """Draw what a method does to real images.

    They are those of the run, else of totem, unless --data names others. The measured rates are printed beside the
    nominal ones, and stand in the picture.

    \b
    overfocus inspect --method "cutmix + sgdrop" --out method.png
    """
    from overfocus.commands.inspect import inspect_method
    from overfocus.report.terminal.tables import rates_table

    rates = inspect_method(method, out, data=data, root=root, size=size, run=run, images=images, seed=seed)
    if as_json:
        print(json.dumps(rates))
        return
    rates_table(rates)
    print(out)

"""The options that commands share, each declared once, and how their text is read.

An option in capitals is one whose type depends on the command: `Annotated[str, METHOD]`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from overfocus.core.errors import OverfocusError
from overfocus.core.layer_name import layer_name

if TYPE_CHECKING:
    from overfocus.diagnosis.checkpoints import CheckpointOptions

N = TypeVar("N", int, float)

METHOD = typer.Option(
    metavar="SPEC",
    help='Regularization, e.g. "cutmix(prob=0.5) + sgdrop(drop=0.3)"; `overfocus methods` lists them. Default: plain.',
)
SEED = typer.Option(help="Fixes every random choice.")
SEEDS = typer.Option(min=1, help="How many seeds: 0, 1, 2 and so on.")
WORKERS = typer.Option(help="Runs at a time; 0: as many as there is room for.")
LIMIT_HELP = "Images to examine, balanced over the classes"
MODEL_HELP = (
    "A run's folder, a .safetensors or .pt file (with --model), torchvision:NAME, timm:NAME or package.module:factory."
)

# Data
Data = Annotated[
    str | None,
    typer.Option(
        help="A name (`overfocus datasets`), a folder of images, a parquet file or folder, or hub:OWNER/NAME."
    ),
]
Root = Annotated[
    str | None, typer.Option(help="Where the data lies; default: where a run had it, else $OVERFOCUS_DATA, else data.")
]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN|FILE.csv:COLUMN",
        help="What images have in common besides their class, such as site or scanner: a column of the CSV of labels, "
        "or of another that names the images.",
    ),
]
Size = Annotated[int | None, typer.Option(help="Height and width of the images in pixels; default as stored.")]
Fit = Annotated[
    str | None,
    typer.Option(
        metavar="crop|pad|squash",
        help="How a photograph is brought to the size: its centre, all of it with bars, or all of it out of shape.",
    ),
]
Orientation = Annotated[
    str | None,
    typer.Option(
        metavar="viewer|stored",
        help="Turn pictures as EXIF says, or not; boxes and masks are those of the picture so turned.",
    ),
]
Intensity = Annotated[
    str | None,
    typer.Option(
        metavar="range|percentile|LOW,HIGH", help="What becomes black and white of more than 8 bits a channel."
    ),
]
Background = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="Colour behind what is transparent, and of bars; default 128,128,128."),
]
Labels = Annotated[
    str | None,
    typer.Option(metavar="one|multi", help="multi: a CSV gives an image any number of labels, not one class."),
]
PerClass = Annotated[int | None, typer.Option(help="Train on this many images of each class.")]
Val = Annotated[
    float | None, typer.Option(help="Hold out this part of the training images to choose the best epoch or settings.")
]
OnBadImage = Annotated[
    str | None, typer.Option(help="error, or skip: leave out files that cannot be read, and count them.")
]
Ood = Annotated[
    str | None, typer.Option(metavar="DATA", help="A second data set of other classes, for the section outliers.")
]

# Network
Model = Annotated[
    str | None,
    typer.Option(
        help="A name from `overfocus models`, timm:NAME or package.module:factory; hf:OWNER/NAME or ./FOLDER with its "
        "weights."
    ),
]
CheckpointModel = Annotated[str | None, typer.Option("--model", help="Network of a bare file of weights.")]
Weights = Annotated[
    str | None,
    typer.Option(help="Weights of the model: safetensors, a state dict, a checkpoint, a run, or hf:OWNER/NAME."),
]
Pretrained = Annotated[
    str | None,
    typer.Option(
        metavar="[TAG]",
        help="Begin with published weights of the model, with their preprocessing, and tune them (--tune lp-ft). A TAG "
        "is torchvision's (IMAGENET1K_V2) or timm's (a1_in1k); without one those they recommend.",
    ),
]
Tune = Annotated[
    str | None,
    typer.Option(
        metavar="lp-ft|probe|last-stage|full|scratch",
        help="What is trained of pretrained weights: a linear probe and then all of it, the probe alone, the last "
        "stage, or all from a random head.",
    ),
]
Balance = Annotated[
    str | None,
    typer.Option(
        metavar="none|sampler|weights|logit-adjustment",
        help="What training does about classes of unequal size: draw each equally often, weigh the loss, or add log "
        "frequencies to the logits.",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|a,b,c", help="Names of a model's classes in the order of its outputs, where it does not say them."
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        callback=lambda at: None if at is None else layer_name(at),
        help="Layer to act on or to map; default: @features, the last features before pooling.",
    ),
]
ChosenMap = Annotated[
    str,
    typer.Option(
        "--map",
        help="How attribution is computed; `overfocus maps` lists the methods; auto takes, of several, the one that "
        "orders the pixels of these models best.",
    ),
]
Map = Annotated[str, typer.Option("--map", help="How attribution is computed; `overfocus maps` lists the methods.")]
WhichWeights = Annotated[
    str | None,
    typer.Option(
        metavar="averaged|raw|NAME",
        help="Of several weights in a file; default the averaged ones, where there are any.",
    ),
]
MEAN_HELP = "Normalisation that the weights were trained with, R,G,B in [0, 1]; default what a run or the weights say."
Mean = Annotated[str, typer.Option(help=MEAN_HELP)]
Std = Annotated[str, typer.Option(help="As --mean.")]
Preprocess = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How pictures were preprocessed for weights that do not say it: imagenet or half (mean and std); "
        "timm:NAME or torchvision:WEIGHTS (size, crop and interpolation too).",
    ),
]
ChannelOrder = Annotated[str | None, typer.Option(metavar="rgb|bgr", help="As the weights were trained; default rgb.")]
Best = Annotated[bool, typer.Option("--best", help="The best epoch's weights instead of the last one's.")]

# Recipe
Epochs = Annotated[int | None, typer.Option(help="Passes over the training images.")]
Batch = Annotated[int | None, typer.Option(help="Images of a step.")]
Lr = Annotated[float | None, typer.Option(help="Peak learning rate.")]
Seed = Annotated[int | None, SEED]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. recipe.clip=1; repeatable.")
]

# Where it runs, and what comes out
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Devices = Annotated[str, typer.Option(help="How many devices each run takes, or auto.")]
Log = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Also log to tensorboard, wandb or mlflow; repeatable.")
]
Open = Annotated[bool, typer.Option("--open", help="Show the page in the browser.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on standard output.")]

# Arguments
Experiment = Annotated[
    Path | None, typer.Argument(help="A TOML file of settings; the options below override what it says.")
]
Run = Annotated[Path, typer.Argument(help="The folder of a run.")]


def given(table: str, **options: Any) -> dict[str, Any]:
    """Return the options that are not None as settings of a `table`, by dotted key: {"data.size": 64}."""
    return {f"{table}.{name}" if table else name: value for name, value in options.items() if value is not None}


def checkpoint(mean: str, std: str, classes: str | None, **options: Any) -> CheckpointOptions:
    """Return how checkpoints that are no runs are to be read; what is not given is left out."""
    from overfocus.core.classes import read_classes
    from overfocus.diagnosis.checkpoints import CheckpointOptions

    given = {name: value for name, value in options.items() if value is not None}
    names = read_classes(classes) if classes else ()
    means, stds = numbers(mean, "--mean", float), numbers(std, "--std", float)
    return CheckpointOptions(mean=means, std=stds, classes=names, **given)


def names(text: str | None, separator: str = ",") -> tuple[str, ...]:
    """Split a list that is one word of the command line; empty parts are left out."""
    return tuple(part.strip() for part in (text or "").split(separator) if part.strip())


def pictures(fit: str | None, orientation: str | None, intensity: str | None, background: str | None) -> dict[str, Any]:
    """Return how pictures are read and fitted as settings of the data, by dotted key."""
    ends = numbers(intensity, "--intensity", float) if intensity and "," in intensity else intensity
    colour = numbers(background, "--background", int) or None
    return given("data", fit=fit, orientation=orientation, intensity=ends, background=colour)


def numbers(text: str | None, option: str, kind: Callable[[str], N]) -> tuple[N, ...]:
    """Read numbers that are separated by commas."""
    try:
        return tuple(kind(part) for part in names(text))
    except ValueError:
        raise OverfocusError(f"{option} {text!r}: give numbers separated by commas") from None

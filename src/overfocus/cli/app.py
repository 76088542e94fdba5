"""The command line: arguments in, calls out. torch is imported only by the commands that need it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import traceback
import warnings
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overfocus.cli import downstream as cli_transfer
from overfocus.cli import study as cli_study
from overfocus.diagnosis.sections import NAMES

if TYPE_CHECKING:
    from overfocus.training.experiment import Experiment

app = typer.Typer(
    help="""Train image classifiers that look at the whole object, and examine any.

    Start with the embedded data set `totem`, or with your own images, a folder for each class:

    \b
    overfocus train --method "cutmix + sgdrop" --out runs/first
    overfocus train --method "cutmix + sgdrop" --data photos --size 64
    overfocus diagnose runs/first --out diagnosis

    Exit codes: 0 done; 1 something unforeseen, --debug shows where; 2 a mistake that you can mend, told in a line; 130
    and 143 stopped by Ctrl-C or a polite kill.
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        from overfocus.version import __version__

        print(f"overfocus {__version__}")
        raise typer.Exit


@app.callback()
def overfocus(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Take what goes before the command."""


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on standard output.")]
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SPEC_HELP = 'What regularizes, e.g. "cutmix(prob=0.5) + sgdrop(drop=0.3)"; `overfocus methods` lists them.'
DATA_HELP = "A name (`overfocus datasets`), a folder of images, a parquet file or folder, or hub:OWNER/NAME."


@app.command()
def train(  # noqa: PLR0913
    experiment: Annotated[
        Path | None, typer.Argument(help="A TOML file; the options below change what it says.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/DATA-METHOD-SEED.")] = None,
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    root: Annotated[
        str | None, typer.Option(help="Where named data sets lie; default $OVERFOCUS_DATA, else data.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Height and width of the images in pixels; default as stored.")
    ] = None,
    per_class: Annotated[int | None, typer.Option(help="Train on this many images of each class.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Train on this part of each class.")] = None,
    val: Annotated[
        float | None, typer.Option(help="Hold out this part of the training images to choose the best epoch.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A name from `overfocus models`, timm:NAME or package.module:factory.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Layer whose output feature methods act on; default: before the last pooling.")
    ] = None,
    stem: Annotated[str | None, typer.Option(help="small: a stem for images of about 32 pixels.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Local file of pretrained weights (safetensors or a state dict).")
    ] = None,
    method: Annotated[str | None, typer.Option(metavar="SPEC", help=SPEC_HELP + " Default: plain.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images of a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes first weights, subset, batch order and every draw.")] = None,
    probe: Annotated[
        int | None, typer.Option(metavar="N", help="Every N epochs, log where the network looks; changes nothing.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that read images, where they do not fit in memory.")
    ] = None,
    on_bad_image: Annotated[
        str | None, typer.Option(help="error, or skip: leave out files that cannot be read, and count them.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a named data set that is not there.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. recipe.clip=1; repeatable."),
    ] = None,
    devices: Annotated[str, typer.Option(help="How many devices or processes, or auto.")] = "1",
    nodes: Annotated[int, typer.Option(help="How many machines.")] = 1,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    strategy: Annotated[str, typer.Option(help="auto or ddp; other names go to Fabric untested.")] = "auto",
    log: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Also log to tensorboard, wandb or mlflow; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a classifier.

    The same command goes on with a run that was stopped, however it was stopped.

    \b
    overfocus train --data fashion_mnist --root DATA --method cutmix --out runs/fm
    overfocus train experiment.toml --set recipe.epochs=3 --seed 1
    """
    from overfocus.training.loop import Machine

    given = {
        "data.name": data, "data.root": root, "data.size": size, "data.per_class": per_class,
        "data.fraction": fraction, "data.val": val,
        "data.download": download or None, "data.workers": workers, "data.on_bad_image": on_bad_image,
        "model.name": model, "model.at": at, "model.stem": stem, "model.weights": weights,
        "method": method, "recipe.epochs": epochs, "recipe.batch": batch, "recipe.lr": lr, "recipe.probe": probe,
        "seed": seed,
    }  # fmt: skip
    settled = _experiment(experiment, given, changes or [])
    machine = Machine(accelerator, int(devices) if devices.isdigit() else devices, nodes, strategy)
    folder = out or _default_folder(settled)
    _train(settled, folder, machine, log or [], as_json)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Which splits; default all but the training images. Repeatable."),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="The best epoch's weights instead of the last one's.")] = False,
    root: Annotated[str | None, typer.Option(help="Where the data lies now, if it has moved.")] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run's weights on its data.

    Without options those of the last epoch, on every split but the training images.
    """
    from overfocus.report.terminal.tables import scores_table
    from overfocus.training.checkpoint import evaluate_run

    scores = evaluate_run(run, split or [], best=best, root=root)
    print(json.dumps(scores)) if as_json else scores_table(scores)


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="Show the whole card of this method.")] = None,
    as_json: Json = False,
) -> None:
    """List the methods, or show the card of one.

    A card tells what the method does, its source, its settings with units, and when it does not help.
    """
    from overfocus.regularizers.spec import card, methods

    cards = {each: card(each) for each in ([name] if name else methods())}
    _list([(each, text.partition("\n")[0].partition(": ")[2]) for each, text in cards.items()], cards, name, as_json)


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show only names that contain this.")] = None, as_json: Json = False
) -> None:
    """List the models.

    Families stand on one line; with a name, or a part of one, every model of it is listed, timm's as well.
    """
    from overfocus.commands import catalogue

    rows = catalogue.models(name)
    _list(rows if name else catalogue.families(rows), dict(rows), None, as_json)


@app.command()
def datasets(as_json: Json = False) -> None:
    """List the data sets and layouts."""
    from overfocus.data import names

    _list(names(), dict(names()), None, as_json)


@app.command()
def inspect(  # noqa: PLR0913
    method: Annotated[str, typer.Option(metavar="SPEC", help=SPEC_HELP)],
    out: Annotated[Path, typer.Option(help="The picture to write (PNG).")],
    data: Annotated[str | None, typer.Option(help=DATA_HELP + " Default: that of the run, else totem.")] = None,
    root: Annotated[str | None, typer.Option(help="Where named data sets lie.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the images in pixels.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="A trained run whose network feature methods look at; default a new network.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=32, help="How many images to draw.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    as_json: Json = False,
) -> None:
    """Draw what a method does to real images.

    The measured rates are printed beside the nominal ones, and stand in the picture.

    \b
    overfocus inspect --method "cutmix + sgdrop" --out method.png
    """
    from overfocus.commands.inspect import inspect_method

    rates = inspect_method(method, out, data=data, root=root, size=size, run=run, images=images, seed=seed)
    if as_json:
        print(json.dumps(rates))
        return
    from overfocus.report.terminal.tables import rates_table

    rates_table(rates)
    print(out)


@app.command()
def metrics(as_json: Json = False) -> None:
    """List the metrics of a diagnosis.

    Each with the way that is better and its formula.
    """
    from overfocus.commands import catalogue

    rows = [(f"{metric.title} {metric.arrow}".rstrip(), metric.formula) for _, metric in catalogue.metrics()]
    _list(rows, dict(rows), None, as_json)


MODEL_HELP = (
    "A run's folder, a .safetensors or .pt file (with --model), torchvision:NAME, timm:NAME or package.module:factory."
)
Asking = Annotated[str | None, typer.Option("--model", help="Network of a bare file of weights.")]
At = Annotated[str | None, typer.Option(help="Layer to look at; default: the last features before pooling.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


@app.command()
def diagnose(  # noqa: PLR0913
    checkpoints: Annotated[list[str], typer.Argument(metavar="MODEL", help=MODEL_HELP + " Several are compared.")],
    out: Annotated[Path, typer.Option(help="Folder to write: diagnosis.html, scores.json, evidence.npz, pictures.")],
    data: Annotated[str | None, typer.Option(help=DATA_HELP + " Default: that of the first run.")] = None,
    split: Annotated[str, typer.Option(help="Which images; default the test images, else the validation images.")] = "",
    root: Annotated[str | None, typer.Option(help="Where named data sets lie.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the images in pixels.")] = None,
    boxes: Annotated[
        str | None, typer.Option(help="Where the objects are: a CSV, a COCO JSON, a folder of VOC XML or of masks.")
    ] = None,
    on_bad_image: Annotated[str | None, typer.Option(help="error, or skip files that cannot be read.")] = None,
    model: Asking = None,
    weights: Annotated[str, typer.Option(help="File of weights for a model that is given by name.")] = "",
    setting: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="What the model's constructor takes; repeatable.")
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Of runs, the best epoch instead of the last.")] = False,
    mean: Annotated[str, typer.Option(help="Normalisation, R,G,B in [0, 1]; default the run's, else the data's.")] = "",
    std: Annotated[str, typer.Option(help="As --mean.")] = "",
    at: At = None,
    attribution: Annotated[str, typer.Option("--map", help="How attribution is computed.")] = "hirescam",
    only: Annotated[str, typer.Option(metavar="NAME,...", help=f"Only these sections, of {', '.join(NAMES)}.")] = "",
    without: Annotated[str, typer.Option(metavar="NAME,...", help="Not these sections.")] = "",
    ood: Annotated[str, typer.Option(metavar="DATA", help="A second data set of other classes.")] = "",
    autoattack: Annotated[
        bool, typer.Option("--autoattack", help="Also AutoAttack, whose package you have installed; slow.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="At most this many images, balanced over classes; 0: all.")] = 1000,
    per_class: Annotated[bool, typer.Option("--per-class", help="Also every metric for each class, as JSON.")] = False,
    images: Annotated[
        bool,
        typer.Option("--images", help="Also images/: a row for each image, with map and numbers, as CSV and pictures."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the choice of images and of every draw.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Examine classifiers, side by side.

    Where they look, how narrowly, and what breaks when that is hidden or attacked. Every number comes with a 95 %
    interval over images and n.

    \b
    overfocus diagnose runs/first --out diagnosis
    overfocus diagnose runs/plain runs/sgdrop --out side-by-side
    overfocus diagnose net.pt --model resnet18 --data photos --out diagnosis
    """
    from rich.console import Console

    from overfocus.commands.diagnose import Order, as_dict, diagnose_checkpoints
    from overfocus.report.terminal.diagnosis import diagnosis_table

    given = {
        "data.name": data, "data.root": root, "data.size": size, "data.boxes": boxes,
        "data.on_bad_image": on_bad_image,
    }  # fmt: skip
    order = Order(
        tuple(checkpoints), {key: value for key, value in given.items() if value is not None}, split,
        _asked(model, weights, setting, at, mean, std, best), _names(only), _names(without), limit, seed, attribution,
        ood, autoattack, device,
    )  # fmt: skip
    comparison = diagnose_checkpoints(order, out, per_class=per_class, images=images, console=Console(stderr=True))
    if as_json:
        print(json.dumps(as_dict(comparison, per_class)))
        return
    diagnosis_table(comparison)
    print(f"page: {out / 'diagnosis.html'}")


@app.command()
def explain(  # noqa: PLR0913
    checkpoint: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Pictures.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")],
    methods: Annotated[
        str, typer.Option(metavar="NAME,...", help="e.g. cam,gradcam,integrated_gradients; `overfocus maps` lists all.")
    ] = "gradcam",
    target: Annotated[str, typer.Option(help="The class to explain, by name or number.")] = "predicted",
    size: Annotated[int | None, typer.Option(help="Height and width; default the model's own, else 224.")] = None,
    data: Annotated[str | None, typer.Option(help="Data that names the classes of a model that is no run.")] = None,
    root: Annotated[str | None, typer.Option(help="Where named data sets lie.")] = None,
    model: Asking = None,
    weights: Annotated[str, typer.Option(help="File of weights for a model that is given by name.")] = "",
    at: At = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw where a classifier looks in your own pictures.

    \b
    overfocus explain runs/first cat.jpg --methods cam,occlusion --out maps
    """
    from overfocus.commands.diagnose import explain_checkpoint

    given = {key: value for key, value in {"data.name": data, "data.root": root}.items() if value is not None}
    asked = _asked(model, weights, None, at, "", "", best=False)
    told = explain_checkpoint(
        checkpoint, images, _names(methods), out, target=target, size=size, data=given, asked=asked, device=device
    )
    if as_json:
        print(json.dumps(told))
        return
    from overfocus.report.terminal.tables import explained_table

    explained_table(told)
    print(out / "explained.png")


@app.command()
def maps(
    name: Annotated[str | None, typer.Argument(help="Show the whole card of this method.")] = None,
    as_json: Json = False,
) -> None:
    """List the methods of attribution.

    They map where a classifier looks; with a name, its whole card is shown.
    """
    from overfocus.attribution.catalogue import card, methods

    cards = {each: card(each) for each in ([name] if name else methods())}
    _list([(each, text.partition("\n")[0]) for each, text in cards.items()], cards, name, as_json)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    to: Annotated[str, typer.Option("--to", metavar="KIND", help="safetensors, torch-export or onnx.")] = "safetensors",
    out: Annotated[Path | None, typer.Option(help="Folder to write; default export-KIND in the run.")] = None,
    best: Annotated[bool, typer.Option("--best", help="The best epoch's weights instead of the last one's.")] = False,
    root: Annotated[str | None, typer.Option(help="Where the data lies now, if it has moved.")] = None,
    as_json: Json = False,
) -> None:
    """Write a run's network for use without overfocus.

    It is found equal to the run's on real images first. Beside it lie config.json and a card for the Hugging Face hub.

    \b
    safetensors    the weights; torchvision's and timm's networks load them
    torch-export   model.pt2, for torch.export.load; takes pixels in [0, 1]
    onnx           model.onnx, for ONNX Runtime; takes pixels in [0, 1]
    """
    from overfocus.export.export import export_run

    told = export_run(run, to, out, best=best, root=root)
    if as_json:
        print(json.dumps(told))
        return
    print(f"equal on {told['images']} images, logits differ by {told['largest_difference']:.1e} at most")
    print(*(Path(told["folder"]) / name for name in told["files"]), sep="\n")


app.add_typer(cli_study.app)
app.add_typer(cli_transfer.app)


def main() -> None:
    """Run the command line; an error is told in a line, and with --debug by its traceback."""
    from overfocus.core.errors import OverfocusError

    debug = "--debug" in sys.argv[1:2]
    command = sys.argv[1 + debug : 2 + debug]
    _catch_signals()
    _print_anything()
    warnings.filterwarnings("default", ".* is now called ", DeprecationWarning)
    try:
        app()
    except OverfocusError as error:
        if debug:
            traceback.print_exc()
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except _Stopped as stop:
        resumable = command in (["train"], ["study"], ["tune"], ["demo"])
        print("stopped" + "; the same command goes on behind the last whole epoch" * resumable, file=sys.stderr)
        sys.exit(128 + stop.args[0])
    except Exception as error:
        if debug:
            traceback.print_exc()
        words = shlex.join(sys.argv[1:])
        print(f"error: unforeseen {type(error).__name__}: {error}", file=sys.stderr)
        print(f"where it comes from: overfocus --debug {words}" * (not debug), file=sys.stderr)
        sys.exit(1)
    finally:
        for each in SIGNALS:  # a second one, while the interpreter goes down, has nothing left to clean up
            signal.signal(each, signal.SIG_DFL)


class _Stopped(BaseException):
    """A signal asked for the end. Click would turn a KeyboardInterrupt into "Aborted!"."""


def _catch_signals() -> None:
    """Turn Ctrl-C and a polite kill into an end that cleans up; processes that are forked off end as they always do."""
    here = os.getpid()

    def stop(number: int, frame: object) -> None:
        raise _Stopped(number) if os.getpid() == here else KeyboardInterrupt

    for each in SIGNALS:
        signal.signal(each, stop)


def _print_anything() -> None:
    """Let a name with letters that the terminal lacks be printed as well as it can."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _experiment(path: Path | None, given: dict[str, Any], changes: list[str]) -> Experiment:
    """Put file, options and --set together, the later over the earlier."""
    from overfocus.training.experiment import settle

    return settle(path, {key: value for key, value in given.items() if value is not None}, changes)


def _default_folder(experiment: Experiment) -> Path:
    """Return the folder of a run that is given none; one that the version before began stays where it lies."""
    import re

    from overfocus.regularizers.spec import respelled

    data = Path(experiment.data.name).name
    old, new = (
        Path("runs") / f"{re.sub(r'[^A-Za-z0-9.=-]+', '-', f'{data}-{spec}').strip('-')}-seed{experiment.seed}"
        for spec in (respelled(experiment.method, old=True), experiment.method)
    )
    return old if old.exists() else new


def _train(experiment: Experiment, folder: Path, machine: Any, log: list[str], as_json: bool) -> None:
    from overfocus.report.terminal.tables import run_summary
    from overfocus.report.terminal.training import Progress
    from overfocus.training.loop import train
    from overfocus.training.processes import first_process
    from overfocus.training.run import Run
    from overfocus.training.trackers import check, trackers

    check(log)
    speaks = first_process()
    followers = trackers(log if speaks else [], experiment, folder)
    try:
        with Progress(experiment, folder, quiet=as_json, hidden=not speaks) as progress:
            for epoch in train(experiment, folder, machine, progress.watch):
                progress.show(epoch)
                for follower in followers:
                    follower.log(epoch)
    finally:
        for follower in followers:
            follower.close()
    if not speaks:
        return
    run = Run(folder)
    print(json.dumps({"run": str(folder), **run.manifest()})) if as_json else run_summary(run)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _asked(
    model: str | None, weights: str, settings: list[str] | None, at: str | None, mean: str, std: str, best: bool
) -> Any:
    """Put together how a checkpoint that is no run is to be read."""
    from overfocus.core.errors import OverfocusError
    from overfocus.diagnosis.checkpoints import CheckpointOptions

    try:
        numbers = [tuple(float(part) for part in _names(text)) for text in (mean, std)]
    except ValueError:
        raise OverfocusError(f"--mean {mean!r} --std {std!r}: give numbers like 0.485,0.456,0.406") from None
    return CheckpointOptions(model or "", tuple(settings or ()), weights, at or "", numbers[0], numbers[1], best)


def _list(rows: list[tuple[str, str]], cards: dict[str, str], name: str | None, as_json: bool) -> None:
    from overfocus.report.terminal.tables import names_table

    if as_json:
        print(json.dumps(cards))
    elif name:
        print(cards[name])
    else:
        names_table(rows)


if __name__ == "__main__":
    main()

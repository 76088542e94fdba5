"""The command line: arguments in, calls out. torch is imported only by the commands that need it."""

from __future__ import annotations

import json
import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from overfocus.training.experiment import Experiment

app = typer.Typer(
    help="""Train image classifiers that look at the whole object.

    Start with the embedded data set `totem`, or with your own images, a folder for each class:

    \b
    overfocus train --method "cutmix + sgdrop" --out runs/first
    overfocus train --method "cutmix + sgdrop" --data photos --size 64
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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
        "method": method, "recipe.epochs": epochs, "recipe.batch": batch, "recipe.lr": lr, "seed": seed,
    }  # fmt: skip
    settled = _experiment(experiment, given, changes or [])
    machine = Machine(accelerator, int(devices) if devices.isdigit() else devices, nodes, strategy)
    folder = out or Path("runs") / _default_name(settled)
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
    from overfocus.report.terminal import scores_table
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
    from overfocus.report import catalogue

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
    from overfocus.report.inspect import inspect_method

    rates = inspect_method(method, out, data=data, root=root, size=size, run=run, images=images, seed=seed)
    if as_json:
        print(json.dumps(rates))
        return
    from overfocus.report.terminal import rates_table

    rates_table(rates)
    print(out)


def main() -> None:
    """Run the command line; what a user can mend is told in a line, without a traceback."""
    from overfocus.core.errors import OverfocusError

    _catch_signals()
    _print_anything()
    try:
        app()
    except OverfocusError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except _Stopped as stop:
        resumable = "train" in sys.argv[1:2]
        print("stopped" + "; the same command goes on behind the last whole epoch" * resumable, file=sys.stderr)
        sys.exit(128 + stop.args[0])
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


def _default_name(experiment: Experiment) -> str:
    import re

    data = Path(experiment.data.name).name
    return re.sub(r"[^A-Za-z0-9.=-]+", "-", f"{data}-{experiment.method}").strip("-") + f"-seed{experiment.seed}"


def _train(experiment: Experiment, folder: Path, machine: Any, log: list[str], as_json: bool) -> None:
    from overfocus.report.progress import Progress
    from overfocus.report.terminal import run_summary
    from overfocus.training.loop import train
    from overfocus.training.processes import first_process
    from overfocus.training.run import Run
    from overfocus.training.trackers import trackers

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


def _list(rows: list[tuple[str, str]], cards: dict[str, str], name: str | None, as_json: bool) -> None:
    from overfocus.report.terminal import names_table

    if as_json:
        print(json.dumps(cards))
    elif name:
        print(cards[name])
    else:
        names_table(rows)


if __name__ == "__main__":
    main()

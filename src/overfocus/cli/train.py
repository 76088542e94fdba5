"""The command that trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from overfocus.cli import options as o

app = typer.Typer()


@app.command()
def train(  # noqa: PLR0913
    experiment: o.Experiment = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/DATA-METHOD-SEED.")] = None,
    data: o.Data = None,
    root: o.Root = None,
    group: o.Group = None,
    size: o.Size = None,
    fit: o.Fit = None,
    orientation: o.Orientation = None,
    intensity: o.Intensity = None,
    background: o.Background = None,
    labels: o.Labels = None,
    per_class: o.PerClass = None,
    fraction: Annotated[float | None, typer.Option(help="Train on this part of each class.")] = None,
    val: o.Val = None,
    model: o.Model = None,
    at: o.At = None,
    stem: Annotated[str | None, typer.Option(help="small: a stem for images of about 32 pixels.")] = None,
    weights: o.Weights = None,
    which_weights: o.WhichWeights = None,
    mean: o.Mean = "",
    std: o.Std = "",
    preprocess: o.Preprocess = None,
    pretrained: o.Pretrained = None,
    tune: o.Tune = None,
    balance: o.Balance = None,
    method: Annotated[str | None, o.METHOD] = None,
    epochs: o.Epochs = None,
    batch: o.Batch = None,
    lr: o.Lr = None,
    seed: o.Seed = None,
    probe: Annotated[
        int | None, typer.Option(metavar="N", help="Every N epochs, log where the network looks; changes nothing.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that read images, where they do not fit in memory.")
    ] = None,
    on_bad_image: o.OnBadImage = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a named data set that is not there.")] = False,
    changes: o.Set = None,
    devices: o.Devices = "1",
    nodes: Annotated[int, typer.Option(help="How many machines.")] = 1,
    accelerator: o.Accelerator = "auto",
    strategy: Annotated[str, typer.Option(help="auto or ddp; other names go to Fabric untested.")] = "auto",
    log: o.Log = None,
    as_json: o.Json = False,
) -> None:
    """Train a classifier.

    A run that was stopped resumes when the same command is given again.

    \b
    overfocus train --data fashion_mnist --root DATA --method cutmix --out runs/fm
    overfocus train experiment.toml --set recipe.epochs=3 --seed 1
    """
    from overfocus.commands.check import first_look
    from overfocus.commands.train import default_folder, settle_run, train_run
    from overfocus.report.terminal.tables import run_summary
    from overfocus.report.terminal.training import Progress
    from overfocus.training.processes import Machine, first_process

    settings = (
        o.given("data", name=data, root=root, group=group, size=size, per_class=per_class, fraction=fraction, val=val)
        | o.given("data", labels=labels, download=download or None, workers=workers, on_bad_image=on_bad_image)
        | o.pictures(fit, orientation, intensity, background)
        | o.given("data", mean=o.numbers(mean, "--mean", float) or None, std=o.numbers(std, "--std", float) or None)
        | o.given("model", name=model, at=at, stem=stem, weights=weights, which_weights=which_weights)
        | o.given("model", preprocess=preprocess, pretrained=pretrained)
        | o.given("recipe", epochs=epochs, batch=batch, lr=lr, probe=probe, tune=tune, balance=balance)
        | o.given("", method=method, seed=seed)
    )
    settled = settle_run(experiment, settings, changes or [], out)
    folder, machine = out or default_folder(settled), Machine(accelerator, devices, nodes, strategy)
    with Progress(settled, folder, quiet=as_json, hidden=not first_process()) as progress:
        run = train_run(
            settled, folder, machine, log or (), progress.on_step, progress.on_epoch,
            lambda dataset: progress.on_data(dataset, first_look(dataset) if first_process() else ""),
        )  # fmt: skip
    if first_process():
        print(json.dumps({"run": str(folder), **run.manifest()})) if as_json else run_summary(run)

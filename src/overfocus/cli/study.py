"""The commands about studies."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from overfocus.cli import options as o
from overfocus.diagnosis.sections import NAMES

app = typer.Typer()
EXAMINE_HELP = (
    f"Sections of the examination of every run: none, or some of {', '.join(NAMES)}. A study that exists keeps those "
    "that it has."
)


@app.command()
def study(  # noqa: PLR0913
    file: Annotated[
        Path | None, typer.Argument(metavar="STUDY", help="A TOML file; the options below override what it says.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the study; an existing one is resumed.")] = Path("runs/study"),
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC;...",
            help='Specs to compare, separated by ";", the first is the baseline: "plain; cutout; cutmix + sgdrop".',
        ),
    ] = None,
    baseline: Annotated[str | None, typer.Option(metavar="SPEC", help="What the others are compared with.")] = None,
    seeds: Annotated[int | None, o.SEEDS] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="K",
            help="Cross-validation, for sets too small for test images: each run is tested on one of K folds of all "
            "labelled images; --seeds then says how often it is done, 1 unless given.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What verdicts are of: accuracy (default), balanced_accuracy, macro_f1, weighted_f1 or, with --group, "
            "worst_group.",
        ),
    ] = None,
    until_settled: Annotated[
        bool,
        typer.Option(
            "--until-settled",
            help="Compare at planned numbers of seeds, and end where every verdict is settled.",
        ),
    ] = False,
    max_seeds: Annotated[
        int | None, typer.Option(min=2, help="The most seeds with --until-settled; 20 unless given.")
    ] = None,
    data: o.Data = None,
    root: o.Root = None,
    group: o.Group = None,
    size: o.Size = None,
    fit: o.Fit = None,
    orientation: o.Orientation = None,
    intensity: o.Intensity = None,
    background: o.Background = None,
    per_class: Annotated[
        str | None, typer.Option(metavar="N,...", help="Data sizes: training images of each class, e.g. 50,200,1000.")
    ] = None,
    fraction: Annotated[
        str | None, typer.Option(metavar="X,...", help="Instead, parts of the training images, e.g. 0.1,1.")
    ] = None,
    val: o.Val = None,
    model: o.Model = None,
    epochs: Annotated[
        str | None, typer.Option(metavar="N,...", help="Passes over the training images; one, or one a data size.")
    ] = None,
    batch: o.Batch = None,
    lr: o.Lr = None,
    examine: Annotated[str | None, typer.Option(metavar="NAME,...", help=EXAMINE_HELP)] = None,
    limit: Annotated[int | None, typer.Option(help=o.LIMIT_HELP + ".")] = None,
    ood: o.Ood = None,
    engine: Annotated[
        str, typer.Option(help="local: processes on this machine; ray: a Ray cluster; slurm: through submitit.")
    ] = "local",
    workers: Annotated[int, o.WORKERS] = 0,
    address: Annotated[str, typer.Option(help="Of the Ray cluster, e.g. auto; default: one on this machine.")] = "",
    gpus: Annotated[float, typer.Option(help="GPUs of each run on a cluster; 0.25 shares one.")] = 0.0,
    partition: Annotated[str, typer.Option(help="SLURM's partition.")] = "",
    minutes: Annotated[int, typer.Option(help="SLURM's time limit for a run.")] = 0,
    devices: o.Devices = "1",
    accelerator: o.Accelerator = "auto",
    log: o.Log = None,
    changes: o.Set = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the runs, and what time and disk they take.")
    ] = False,
    report_too: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    as_json: o.Json = False,
) -> None:
    """Compare methods over seeds and data sizes, and report.

    There are five seeds unless --seeds says otherwise; with --until-settled as many as it takes, at most --max-seeds,
    compared at numbers of seeds that study.toml fixes before the first run. With --folds 5 there are five folds
    instead, and every labelled image is tested on once. For a seed, all methods share first weights, images and batch
    order. The same command resumes a study that was stopped; with more methods, seeds or data sizes it adds those, and
    with more sections it examines the finished runs again. Several commands, also on other machines, may work on one
    folder.

    \b
    overfocus study --methods "plain; cutout; cutmix" --data photos --out runs/a
    overfocus study study.toml --out runs/a --dry-run
    """
    from overfocus.commands.study import carry_out, forecast_study, planned_seeds
    from overfocus.report.terminal.forecast import forecast_table
    from overfocus.study.engines.backend import Backend
    from overfocus.study.study import settle_study
    from overfocus.training.processes import Machine

    passes = o.numbers(epochs, "--epochs", int)
    sections = None if examine is None else [] if examine.strip() == "none" else o.names(examine)
    settings = (
        o.given("", methods=o.names(methods, ";") or None, baseline=baseline, metric=metric, seeds=seeds, folds=folds)
        | o.given("", per_class=o.numbers(per_class, "--per-class", int) or None)
        | o.given("", fraction=o.numbers(fraction, "--fraction", float) or None)
        | o.given("data", name=data, root=root, group=group, size=size, val=val)
        | o.pictures(fit, orientation, intensity, background)
        | o.given("model", name=model)
        | o.given("recipe", batch=batch, lr=lr)
        | o.given("examine", sections=sections, limit=limit, ood=ood)
        | planned_seeds(until_settled, seeds, max_seeds, folds)
        | ({"recipe.epochs": passes[0]} if len(passes) == 1 else o.given("", epochs=passes or None))
    )
    settled = settle_study(file, settings, changes or [])
    backend = Backend(engine, workers, address, gpus, partition, minutes, Machine(accelerator, devices))
    if dry_run:
        forecast = forecast_study(settled, out, backend)
        print(json.dumps(asdict(forecast))) if as_json else forecast_table(forecast, out)
        return
    status = carry_out(settled, out, backend, tuple(log or ()))
    if report_too:
        _report(out, as_json=as_json)
    elif as_json:
        print(json.dumps({"finished": len(status.finished), "failed": len(status.failed), "study": str(out)}))
    else:
        print(f"{len(status.finished)} of {status.total} runs are finished; overfocus report {out} compares them")
    if status.failed:
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder of a study, finished or not.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page; default STUDY/report.html.")] = None,
    images: Annotated[int, typer.Option(min=0, help="Pictures in the gallery.")] = 24,
    open_it: o.Open = False,
    as_json: o.Json = False,
) -> None:
    """Write the report of a study: one HTML file, and its tables.

    The page holds all its pictures and opens anywhere, without a network. Tables are written as CSV, Markdown and
    LaTeX.

    \b
    overfocus report runs/a --open
    """
    _report(folder, out, images, open_it, as_json)


@app.command()
def tune(  # noqa: PLR0913
    experiment: o.Experiment = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help='With open settings: "cutout(size=?)", "cutmix(alpha=0.1..4 log)", "cutmix(label=area|half)". '
            "Repeatable; every method gets the same budget.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the search; an existing one is resumed.")] = Path("runs/tune"),
    trials: Annotated[int, typer.Option(help="Trials of each method.")] = 20,
    seeds: Annotated[int, o.SEEDS] = 1,
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="What trials count by: accuracy, balanced_accuracy or, with --group, worst_group."
        ),
    ] = "accuracy",
    pruner: Annotated[str, typer.Option(help="What stops a trial that lags: median, hyperband or none.")] = "median",
    search: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=RANGE", help="Also search the recipe, for every method: recipe.lr=?; repeatable."),
    ] = None,
    data: o.Data = None,
    root: o.Root = None,
    group: o.Group = None,
    size: o.Size = None,
    per_class: o.PerClass = None,
    val: o.Val = None,
    model: o.Model = None,
    epochs: o.Epochs = None,
    batch: o.Batch = None,
    accelerator: o.Accelerator = "auto",
    changes: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Find the settings of methods, on held-out training images.

    A trial counts by its mean accuracy, or --metric, over the seeds on 0.2 of the training images, or what --val says;
    test images are never used. The same command resumes a search that was stopped; several commands on one folder
    share the budget. The result is a spec that `train` and `study` take.

    \b
    overfocus tune --method "cutout(size=?)" --search "recipe.lr=?" --data photos
    """
    from overfocus.core.errors import OverfocusError
    from overfocus.report.terminal.tuning import TuneProgress, tuned_table
    from overfocus.study.tuning import Budget, tune
    from overfocus.training.experiment import settle
    from overfocus.training.processes import Machine

    if not method:
        raise OverfocusError('--method: name one at least, with an open setting, for example "cutout(size=?)"')
    settings = (
        o.given("data", name=data, root=root, group=group, size=size, per_class=per_class, val=val)
        | o.given("model", name=model)
        | o.given("recipe", epochs=epochs, batch=batch)
    )
    settled = settle(experiment, settings, changes or [])
    budget = Budget(trials, seeds, pruner, tuple(search or ()), metric)
    with TuneProgress(method, trials) as progress:
        tuned = tune(settled, method, out, budget, Machine(accelerator), progress.on_trial)
    print(json.dumps([each.as_dict() for each in tuned])) if as_json else tuned_table(tuned, out, metric=metric)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the study.")] = Path("runs/demo"),
    seeds: Annotated[int, o.SEEDS] = 1,
    workers: Annotated[int, o.WORKERS] = 0,
    open_it: o.Open = False,
    as_json: o.Json = False,
) -> None:
    """Compare seven methods on the embedded data.

    They are trained, examined and reported in some four minutes on two cores. One seed shows what a study is; five
    begin to support a conclusion.

    \b
    overfocus demo --open
    """
    from overfocus.commands.demo import conclusion, run_demo

    run_demo(out, seeds, workers)
    _report(out, open_it=open_it, as_json=as_json)
    if not as_json:
        print(conclusion(out))


def _report(
    folder: Path, out: Path | None = None, images: int = 24, open_it: bool = False, as_json: bool = False
) -> None:
    from overfocus.report.study.page import write_report
    from overfocus.report.study.tables import as_dict
    from overfocus.report.terminal.study import show_study
    from overfocus.study.comparison import Comparison
    from overfocus.study.results import read_results

    comparison = Comparison(read_results(folder))
    page = write_report(comparison, out=out, images=images)
    if as_json:
        print(json.dumps({"report": str(page), **as_dict(comparison)}))
    else:
        show_study(comparison)
        print(f"report: {page}")
    if open_it:
        typer.launch(page.absolute().as_uri())

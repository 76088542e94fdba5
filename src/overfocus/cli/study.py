"""The commands about studies: arguments in, calls out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from overfocus.diagnosis.sections import NAMES

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on standard output.")]
METHODS_HELP = 'Specs to compare, separated by ";", the first is the baseline: "plain; cutout; cutmix + sgdrop".'
DATA_HELP = "A name (`overfocus datasets`), a folder of images, a parquet file or folder, or hub:OWNER/NAME."
EXAMINE_HELP = (
    f"Sections of the examination of every run: none, or some of {', '.join(NAMES)}. A study that exists keeps those "
    "that it has."
)
ENGINE_HELP = "local: processes on this machine; ray: a Ray cluster; slurm: through submitit."


@app.command()
def study(  # noqa: PLR0913
    file: Annotated[
        Path | None, typer.Argument(metavar="STUDY", help="A TOML file; the options below change what it says.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the study; one that is there goes on.")] = Path("runs/study"),
    methods: Annotated[str | None, typer.Option(metavar="SPEC;...", help=METHODS_HELP)] = None,
    baseline: Annotated[str | None, typer.Option(metavar="SPEC", help="What the others are compared with.")] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds; 0, 1, 2 and so on. Default 5.")] = None,
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    root: Annotated[str | None, typer.Option(help="Where named data sets lie.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the images in pixels.")] = None,
    per_class: Annotated[
        str | None, typer.Option(metavar="N,...", help="Data sizes: training images of each class, e.g. 50,200,1000.")
    ] = None,
    fraction: Annotated[
        str | None, typer.Option(metavar="X,...", help="Instead, parts of the training images, e.g. 0.1,1.")
    ] = None,
    val: Annotated[
        float | None, typer.Option(help="Hold out this part of the training images to choose the best epoch.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A name from `overfocus models`.")] = None,
    epochs: Annotated[
        str | None, typer.Option(metavar="N,...", help="Passes over the training images; one, or one a data size.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images of a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    examine: Annotated[str | None, typer.Option(metavar="NAME,...", help=EXAMINE_HELP)] = None,
    limit: Annotated[int | None, typer.Option(help="Images of the examination.")] = None,
    ood: Annotated[
        str | None, typer.Option(metavar="DATA", help="A second data set of other classes, for --examine outliers.")
    ] = None,
    engine: Annotated[str, typer.Option(help=ENGINE_HELP)] = "local",
    workers: Annotated[int, typer.Option(help="Runs at a time; 0: as many as there is room for.")] = 0,
    address: Annotated[str, typer.Option(help="Of the Ray cluster, e.g. auto; default: one on this machine.")] = "",
    gpus: Annotated[float, typer.Option(help="GPUs of each run on a cluster; 0.25 shares one.")] = 0.0,
    partition: Annotated[str, typer.Option(help="SLURM's partition.")] = "",
    minutes: Annotated[int, typer.Option(help="SLURM's time limit for a run.")] = 0,
    devices: Annotated[str, typer.Option(help="Devices that each run itself takes.")] = "1",
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    log: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Every run also logs to tensorboard.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. recipe.clip=1; repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the runs, and what time and disk they take.")
    ] = False,
    report_too: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    as_json: Json = False,
) -> None:
    """Compare methods over seeds and data sizes, and report.

    For a seed, all methods share first weights, images and batch order. The same command goes on with a study that was
    stopped, however it was stopped; with more methods, seeds or data sizes it does those, and with more to examine it
    examines the finished runs anew. Several commands, also on other machines, may work on one folder.

    \b
    overfocus study --methods "plain; cutout; cutmix; sgdrop" --data photos --size 64 --seeds 5 --out runs/photos
    overfocus study study.toml --out runs/photos --dry-run
    """
    from overfocus.study.study import settle_study

    passes = _numbers(epochs, "--epochs", int)
    given = {
        "methods": [each.strip() for each in methods.split(";") if each.strip()] if methods else None,
        "baseline": baseline, "seeds": seeds, "data.name": data, "data.root": root, "data.size": size,
        "data.val": val, "per_class": _numbers(per_class, "--per-class", int),
        "fraction": _numbers(fraction, "--fraction", float), "model.name": model, "recipe.batch": batch,
        "recipe.lr": lr, "examine.limit": limit, "examine.ood": ood,
        "recipe.epochs": passes[0] if passes and len(passes) == 1 else None,
        "epochs": passes if passes and len(passes) > 1 else None,
        "examine.sections": _sections(examine),
    }  # fmt: skip
    settled = settle_study(file, {key: value for key, value in given.items() if value is not None}, changes or [])
    place = _place(engine, workers, address, gpus, partition, minutes, devices, accelerator)
    if dry_run:
        _forecast(settled, out, place, as_json)
        return
    _carry_out(settled, out, place, tuple(log or ()), report_too, as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder of a study, finished or not.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page; default STUDY/report.html.")] = None,
    images: Annotated[int, typer.Option(min=0, help="Pictures in the gallery.")] = 24,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write the report of a study: one HTML file, and its tables.

    The page holds all its pictures and opens anywhere, without a network. Tables are written as CSV, Markdown and
    LaTeX.

    \b
    overfocus report runs/photos --open
    """
    _report(folder, out, images, open_it, as_json)


@app.command()
def tune(  # noqa: PLR0913
    experiment: Annotated[
        Path | None, typer.Argument(help="A TOML file as `train` takes it; the options below change what it says.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help='With open settings: "cutout(size=?)", "cutmix(alpha=0.1..4 log)", "cutmix(label=area|half)". '
            "Repeatable; every method gets the same budget.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the search; one that is there goes on.")] = Path("runs/tune"),
    trials: Annotated[int, typer.Option(help="Trials of each method.")] = 20,
    seeds: Annotated[int, typer.Option(help="Seeds of each trial, whose mean counts.")] = 1,
    pruner: Annotated[str, typer.Option(help="What stops a trial that lags: median, hyperband or none.")] = "median",
    search: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=RANGE", help="Also search the recipe, for every method: recipe.lr=?; repeatable."),
    ] = None,
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    root: Annotated[str | None, typer.Option(help="Where named data sets lie.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the images in pixels.")] = None,
    per_class: Annotated[
        int | None, typer.Option(help="Training images of each class, of those that are not held out.")
    ] = None,
    val: Annotated[float | None, typer.Option(help="Part of the training images to choose on; default 0.2.")] = None,
    model: Annotated[str | None, typer.Option(help="A name from `overfocus models`.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images of a step.")] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. recipe.clip=1; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the settings of methods, on held-out training images.

    Test images are never looked at. The same command goes on with a search that was stopped; several commands on one
    folder share the budget. What it finds is a spec that `train` and `study` take.

    \b
    overfocus tune --method "cutout(size=?)" --method "sgdrop(drop=?)" --search "recipe.lr=?" --data photos --size 64
    """
    from overfocus.core.errors import OverfocusError
    from overfocus.report.terminal.tuning import TuneProgress, tuned_table
    from overfocus.study.tuning import Budget, tune
    from overfocus.training.experiment import settle
    from overfocus.training.processes import Machine

    if not method:
        raise OverfocusError('--method: name one at least, with an open setting, for example "cutout(size=?)"')
    given = {
        "data.name": data, "data.root": root, "data.size": size, "data.per_class": per_class, "data.val": val,
        "model.name": model, "recipe.epochs": epochs, "recipe.batch": batch,
    }  # fmt: skip
    settled = settle(experiment, {key: value for key, value in given.items() if value is not None}, changes or [])
    budget = Budget(trials, seeds, pruner, tuple(search or ()))
    with TuneProgress(method, trials) as progress:
        found = tune(settled, method, out, budget, Machine(accelerator), progress.on_trial)
    print(json.dumps([each.as_dict() for each in found])) if as_json else tuned_table(found, out)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the study.")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds; one shows how it looks, five begin to say something.")] = 1,
    workers: Annotated[int, typer.Option(help="Runs at a time; 0: as many as there are cores.")] = 0,
    open_it: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Compare seven methods on the embedded data.

    They are trained, examined and reported in some four minutes on two cores.
    """
    from overfocus.commands.study import DEMO, carry_out, lesson
    from overfocus.study.engines.backend import Backend
    from overfocus.study.study import settle_study

    carry_out(settle_study(None, {**DEMO, "seeds": seeds}, []), out, Backend(workers=workers))
    _report(out, None, 24, open_it, as_json)
    if not as_json:
        print(lesson(out))


def _carry_out(settled: Any, out: Path, place: Any, log: tuple[str, ...], report_too: bool, as_json: bool) -> None:
    from overfocus.commands.study import carry_out

    standing = carry_out(settled, out, place, log)
    if report_too:
        _report(out, None, 24, open_it=False, as_json=as_json)
    elif as_json:
        print(json.dumps({"finished": len(standing.finished), "failed": len(standing.failed), "study": str(out)}))
    else:
        print(f"{len(standing.finished)} of {standing.total} runs are finished; overfocus report {out} compares them")
    if standing.failed:
        raise typer.Exit(1)


def _report(folder: Path, out: Path | None, images: int, open_it: bool, as_json: bool) -> None:
    from overfocus.report.study.page import write_report
    from overfocus.study.comparison import Comparison
    from overfocus.study.results import read_results

    comparison = Comparison(read_results(folder))
    page = write_report(comparison, out=out, images=images)
    if as_json:
        from overfocus.report.study.tables import as_dict

        print(json.dumps({"report": str(page), **as_dict(comparison)}))
    else:
        from overfocus.report.terminal.study import show_study

        show_study(comparison)
        print(f"report: {page}")
    if open_it:
        typer.launch(page.absolute().as_uri())


def _forecast(settled: Any, out: Path, place: Any, as_json: bool) -> None:
    from dataclasses import asdict

    from overfocus.report.terminal.forecast import forecast_table
    from overfocus.study.engines.backend import workers_for
    from overfocus.study.forecast import forecast
    from overfocus.study.work import device_of

    found = forecast(settled, out, workers_for(place, settled.threads), device_of(place.machine))
    print(json.dumps(asdict(found))) if as_json else forecast_table(found, out)


def _place(
    engine: str, workers: int, address: str, gpus: float, partition: str, minutes: int, devices: str, accelerator: str
) -> Any:  # fmt: skip
    from overfocus.study.engines.backend import Backend
    from overfocus.training.processes import Machine

    machine = Machine(accelerator, int(devices) if devices.isdigit() else devices)
    return Backend(engine, workers, address, gpus, partition, minutes, machine)


def _sections(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [] if text.strip() == "none" else [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str | None, option: str, kind: type) -> list[Any] | None:
    from overfocus.core.errors import OverfocusError

    if text is None:
        return None
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise OverfocusError(f"{option} {text!r}: give numbers separated by commas") from None

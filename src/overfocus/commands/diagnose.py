"""Checkpoints examined side by side, with a progress bar, into one folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from overfocus.commands.check import first_look
from overfocus.core.errors import OverfocusError
from overfocus.core.files import replacing_folder, write
from overfocus.core.preprocess import Preprocess
from overfocus.data.joined import looked_at
from overfocus.diagnosis.catalogue import DEFAULT, SECTIONS, in_order
from overfocus.diagnosis.checkpoints import CheckpointOptions, classifier_of, dataset_for, outsiders, split_of
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.diagnosis import SCORES, check_free
from overfocus.diagnosis.effort import QUICK
from overfocus.diagnosis.examination import LIMIT, chosen, diagnose, tried
from overfocus.diagnosis.map_choice import AUTO, choose
from overfocus.diagnosis.price import forward_seconds, prices
from overfocus.diagnosis.sample import Sample, fitting, from_split
from overfocus.diagnosis.section import Section
from overfocus.diagnosis.sections.robustness import Robustness
from overfocus.diagnosis.sections.shortcut import suspects
from overfocus.diagnosis.side_by_side import SideBySide
from overfocus.report.diagnosis.class_tables import write_classes
from overfocus.report.diagnosis.image_table import csv_of, write_images
from overfocus.report.diagnosis.page import write_page
from overfocus.report.terminal.price import say_price
from overfocus.study.work import device_of
from overfocus.training.processes import Machine

SUSPECTS, IMAGES = "suspects.csv", "images"


@dataclass(frozen=True)
class DiagnosisRequest:
    """Which checkpoints are examined, on which images, by which sections."""

    models: tuple[str, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the data, such as {"data.name": "totem"}; empty for that of the first run."""
    split: str = ""
    options: CheckpointOptions = field(default_factory=CheckpointOptions)
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    quick: bool = False
    """Few sections, on few images each."""
    limit: int = LIMIT
    seed: int = 0
    map: str = "hirescam"
    ood: str = ""
    """A second data set, whose images are none of the classes."""
    autoattack: bool = False
    device: str = "auto"


def diagnose_checkpoints(
    request: DiagnosisRequest,
    out: Path,
    *,
    per_class: bool = False,
    images: bool = False,
    console: Console | None = None,
) -> SideBySide:
    """Examine every checkpoint on the same images and write scores, evidence, pictures and `diagnosis.html` to `out`.

    `out` appears whole or not at all; one that holds anything but a diagnosis is refused. One checkpoint's
    files lie in `out`, those of several in a folder each. With `images`, `images/` holds a table with a row for each
    image and its pictures, see `write_images`. Raises OverfocusError as `diagnose` and `classifier_of` do.
    """
    check_free(out)
    sections = _sections(request)
    device = device_of(Machine(request.device))
    dataset, experiment = dataset_for(request.models, dict(request.data), request.options)
    console = console or Console(stderr=True)
    if dataset.note:
        console.print(dataset.note, markup=False, highlight=False, soft_wrap=True, style="dim")
    if found := first_look(dataset):
        console.print(found, markup=False, highlight=False, soft_wrap=True, style="yellow")
    name, split = split_of(dataset, request.split)
    sample = from_split(
        split, limit=request.limit, seed=request.seed, size=experiment.data.size, device=device,
        on_bad_image=experiment.data.on_bad_image,
    )  # fmt: skip
    sample = replace(sample, source=f"{looked_at(dataset, name, len(sample))} {dataset.note}".strip())
    classifiers = _compared(_named(classifier_of(each, dataset, request.options, device) for each in request.models))
    extra = _extra(request, sample, experiment.data.on_bad_image, dataset.preprocess)
    samples = [fitting(sample, each.classes, each.name) for each in classifiers]
    settled = []
    for classifier, own in zip(classifiers, samples, strict=True):
        with classifier.examined():
            settled.append((tried(classifier, own), own))  # an error now, before the first is examined for hours
    for classifier, own in settled:
        with classifier.examined():
            found = prices(chosen(own, sections, extra, request.quick)[0], own, request.map)
            say_price(console, classifier.name, found, forward_seconds(classifier, own))
    with _bars(console) as progress_of:
        # One map for all, since numbers of different maps cannot be compared.
        every = progress_of(" and ".join(each.name for each in classifiers))
        how = choose(settled, request.seed, on_progress=every) if request.map == AUTO else request.map
        diagnoses = tuple(
            diagnose(
                classifier, own, only=sections, sections=extra, quick=request.quick, limit=request.limit,
                seed=request.seed, map=how, data_name=f"{dataset.name}, split {name}",
                on_progress=progress_of(classifier.name),
            )
            for classifier, own in zip(classifiers, samples, strict=True)
        )  # fmt: skip
    comparison = SideBySide(diagnoses)
    with replacing_folder(out) as aside:
        _write(comparison, samples[0], aside, per_class, images)
    return comparison


def _extra(request: DiagnosisRequest, sample: Sample, on_bad_image: str, preprocess: Preprocess) -> list[Section]:
    """Return the sections that have settings of the request's."""
    extra: list[Section] = [Robustness(auto=request.autoattack)]
    if request.ood:
        root = request.data.get("data.root")
        extra.append(outsiders(request.ood, sample, request.seed, root, on_bad_image, preprocess))
    return extra


def _sections(request: DiagnosisRequest) -> list[str]:
    without = in_order(request.without)
    if request.quick and request.only:
        raise OverfocusError("--quick has sections of its own; leave out --only, or --quick")
    if request.only and not set(in_order(request.only)) - set(without):
        raise OverfocusError("--without leaves out all of --only; give one of them, or a section more to --only")
    if len(without) == len(SECTIONS):
        raise OverfocusError("--without leaves out every section; leave one, or give --only")
    usual = QUICK if request.quick else DEFAULT
    return [name for name in in_order(request.only or usual) if name not in without]


def _named(classifiers: Iterator[Classifier]) -> list[Classifier]:
    """Number classifiers that have one name."""
    named, seen = [], {}
    for classifier in classifiers:
        seen[classifier.name] = seen.get(classifier.name, 0) + 1
        number = seen[classifier.name]
        named.append(classifier if number == 1 else replace(classifier, name=f"{classifier.name} #{number}"))
    return named


def _compared(classifiers: list[Classifier]) -> list[Classifier]:
    """Return classifiers that all count as trained with what one of them was: what is familiar to one alone would
    favour it.
    """
    known = [each.trained_with for each in classifiers if each.trained_with is not None]
    together = tuple(sorted({fill for each in known for fill in each})) if known else None
    return [replace(each, trained_with=together) for each in classifiers]


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[str], Callable[[str, int, int], None]]]:
    """Show a bar for each section on a terminal, and a line for each in a log."""
    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    tasks: dict[tuple[str, str], Any] = {}

    def of(model: str) -> Callable[[str, int, int], None]:
        def on_progress(title: str, done: int, total: int) -> None:
            if (model, title) not in tasks:
                tasks[model, title] = bar.add_task(f"{model}: {title}", total=total)
                if not console.is_terminal:
                    console.print(f"{model}: {title}", markup=False, highlight=False, soft_wrap=True)
            bar.update(tasks[model, title], completed=done, total=total)

        return on_progress

    with bar:
        yield of


def _write(comparison: SideBySide, sample: Sample, folder: Path, per_class: bool, images: bool) -> None:
    several = len(comparison.diagnoses) > 1
    for number, diagnosis in enumerate(comparison.diagnoses, start=1):
        own = folder / f"{number}-{_slug(diagnosis.name)}" if several else folder
        own.mkdir(exist_ok=True)
        diagnosis.write(own, per_class)
        if "shortcut" in diagnosis.evidence.about["sections"]:
            write(own / SUSPECTS, csv_of(suspects(diagnosis.evidence)))
        if "answers" in diagnosis.evidence.about["sections"]:
            write_classes(diagnosis.evidence, own)
        if images:
            write_images(diagnosis, sample, own / IMAGES)
    if several:
        write(folder / SCORES, json.dumps(as_dict(comparison), indent=2) + "\n")
    write_page(folder, comparison, sample)


def as_dict(comparison: SideBySide, per_class: bool = False) -> dict[str, Any]:
    """Return what JSON can hold: of one model its diagnosis, of several all of them with their paired differences."""
    if len(comparison.diagnoses) == 1:
        return comparison.diagnoses[0].as_dict(per_class)
    differences = {
        section: {
            row.name: [score.as_dict() for score in row.differences]
            for row in comparison.rows(section)
            if any(score.answered for score in row.differences)
        }
        for section in comparison.sections
    }
    agreements = {
        model: {name: score.as_dict() for name, score in found.items()}
        for model, found in comparison.agreements.items()
    }
    return {
        "models": [each.as_dict(per_class) for each in comparison.diagnoses],
        "differences_to_first": differences, "agreement_with_first": agreements,
    }  # fmt: skip


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=-]+", "-", name).strip("-.")[:60] or "model"

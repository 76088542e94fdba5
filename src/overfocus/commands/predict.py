"""The classes of a person's own pictures: one line for each, written as it comes, so that memory does not grow."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from torch import Tensor

from overfocus.attribution.catalogue import method as method_named
from overfocus.commands.prediction_files import OnRow, csv_file
from overfocus.core.errors import OverfocusError
from overfocus.core.layer_name import FEATURES, layer_name
from overfocus.core.prediction import Prediction
from overfocus.data.decode import LONG
from overfocus.data.picture_paths import pictures_in
from overfocus.diagnosis.exported import OnnxNetwork
from overfocus.diagnosis.foreign import CheckpointOptions
from overfocus.diagnosis.predictor import Answered, Predictor, predictor_of
from overfocus.metrics.selective import Threshold
from overfocus.metrics.spread import effective_area
from overfocus.report.drawing.overlay import overlay, save_png
from overfocus.study.work import device_of
from overfocus.training.processes import Machine


@dataclass(frozen=True)
class PredictRequest:
    """Which pictures are shown to which model, and what is written of them."""

    model: str
    paths: tuple[str, ...]
    """Files, folders and patterns."""
    options: CheckpointOptions = field(default_factory=CheckpointOptions)
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `Preprocess` that go before those of the model."""
    out: Path | None = None
    """A CSV to write."""
    maps: Path | None = None
    """A folder for heat maps."""
    map: str = "hirescam"
    accuracy: float | None = None
    top: int = 3
    device: str = "auto"


@dataclass
class PredictionCount:
    """What a model said of many pictures, counted."""

    classes: Counter[str] = field(default_factory=Counter)
    """How often each is given; where a picture may have several labels, each of its labels."""
    pictures: int = 0
    """Pictures that were read."""
    unsure: int = 0
    failed: int = 0

    def add(self, row: Prediction) -> None:
        """Count one more."""
        self.failed += bool(row.error)
        self.unsure += bool(row.unsure)
        if not row.error:
            self.pictures += 1
            self.classes.update([row.predicted] if row.labels is None else row.labels)


def predict(
    request: PredictRequest, on_row: OnRow = lambda row: None, console: Console | None = None
) -> PredictionCount:
    """Show every picture to the model, and hand each prediction on as it comes: to `on_row`, and to the CSV.

    The CSV appears whole or not at all. A picture that cannot be read is a row with its error, and the others go on.
    Raises OverfocusError for a model, a path, or an accuracy that does not do, before any picture is read.
    """
    console, tally = console or Console(stderr=True, soft_wrap=True, highlight=False, markup=False), PredictionCount()
    model = predictor_of(request.model, request.options, request.preprocess, device_of(Machine(request.device)))
    threshold = None if request.accuracy is None else model.threshold(request.accuracy)
    found = pictures_in(request.paths)
    maps = None if request.maps is None else MapFiles(model, request.map, request.maps, found.files)
    for line in _said(request, model, threshold, found.not_read):
        console.print(line, style="dim")
    with ExitStack() as held:
        labels = model.classes if model.thresholds else ()
        write = held.enter_context(csv_file(request.out, request.top, labels)) if request.out else lambda row: None
        answers = model.stream(found.files, top=request.top, least=threshold.value if threshold else None)
        for row in _watched(_rows(answers, maps), len(found.files), console, request.out is not None):
            tally.add(row)
            write(row)
            on_row(row)
    return tally


def _rows(answers: Iterator[Answered], maps: MapFiles | None) -> Iterator[Prediction]:
    for batch in answers:
        yield from batch.predictions if maps is None else maps.added(batch)


def _said(
    request: PredictRequest, model: Predictor, threshold: Threshold | None, not_read: Sequence[str]
) -> Iterator[str]:  # fmt: skip
    """Yield what a reader of the predictions must know."""
    yield from (f"not read: {each}" for each in not_read)
    yield model.calibration
    changed = {name: value for name, value in request.preprocess.items() if value is not None}
    if changed:
        yield f"Pictures are prepared as was asked for, not as the model says: {changed}."
    if threshold is not None:
        yield (
            f"Accuracy {request.accuracy:g}: unsure below a confidence of {threshold.value:.4f}, which answers "
            f"{threshold.answered:.1%} of {threshold.images} held-out pictures with an accuracy of "
            f"{threshold.accuracy} (exact 95 % interval)."
        )


def _watched(rows: Iterable[Prediction], total: int, console: Console, quiet: bool) -> Iterable[Prediction]:
    """Return `rows`; on a terminal a bar follows many, unless they are printed there."""
    shown = total >= LONG and quiet and console.is_terminal
    return track(rows, "predicting", total=total, console=console, transient=True) if shown else rows


class MapFiles:
    """Heat maps of the predicted classes, written to a folder that mirrors where the pictures lie."""

    def __init__(self, model: Predictor, method: str, out: Path, files: Sequence[str]) -> None:
        if isinstance(model.classifier.model, OnnxNetwork):
            raise OverfocusError("--maps: a program of ONNX has no layers to look into; give the run itself")
        self.method, self.model, self.out = method_named(method), model, out
        self.root = os.path.commonpath({os.path.dirname(os.path.abspath(file)) for file in files})
        if out.is_dir() and any(Path(file).resolve().is_relative_to(out.resolve()) for file in files):
            raise OverfocusError(f"--maps {out}: pictures to predict lie in it; give another folder")

    def added(self, batch: Answered) -> list[Prediction]:
        """Return the predictions of a batch with their maps written, and how wide these are."""
        classifier, good = self.model.classifier, [row for row in batch.predictions if not row.error]
        if not good:
            return batch.predictions
        at = FEATURES if layer_name(classifier.at) == FEATURES else f"model.{classifier.at}"
        with classifier.examined():
            maps = self.method(self.model.network, batch.pixels, at=at)
        areas = effective_area(maps).tolist()
        drawn = iter(
            replace(row, map=self._drawn(row.file, pixels, map), effective_area=area if isfinite(area) else None)
            for row, pixels, map, area in zip(good, batch.pixels, maps, areas, strict=True)
        )
        return [row if row.error else next(drawn) for row in batch.predictions]

    def _drawn(self, file: str, pixels: Tensor, map: Tensor) -> str:
        path = self.out / (os.path.relpath(os.path.abspath(file), self.root) + ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_png(overlay(pixels, map), path)
        return str(path)

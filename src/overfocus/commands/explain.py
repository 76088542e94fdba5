"""Heat maps of a person's own pictures, by any method of attribution."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from overfocus.attribution.catalogue import method as method_named
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.layer_name import FEATURES, layer_name
from overfocus.core.preprocess import DEFAULT, Preprocess
from overfocus.data.image_files import FileImages
from overfocus.data.resize import as_size, fit
from overfocus.diagnosis.checkpoints import (
    CheckpointOptions,
    classifier_of,
    dataset_for,
    own_size,
    preprocess_for,
    run_of,
)
from overfocus.diagnosis.classifier import Classifier
from overfocus.metrics.spread import effective_area, gini
from overfocus.report.drawing.overlay import MappedImage, MapPicture, map_sheet, overlay, picture, save_png
from overfocus.report.rows import Explained, SpreadNumbers
from overfocus.study.work import device_of
from overfocus.training.experiment import PREPROCESS
from overfocus.training.processes import Machine

SHEET = "explained.png"
USUAL = 224
"""Pixels a side where neither the caller nor the model says."""


@dataclass(frozen=True, eq=False)
class _Answer:
    """One picture with the model's answer to it."""

    pixels: Tensor
    """[1, C, H, W] in [0, 1], on the model's device."""
    probabilities: Tensor
    """[K]."""
    target: int
    """The class to explain."""


def explain(
    classifier: Classifier,
    images: Sequence[str | Path],
    methods: Sequence[str] = ("gradcam",),
    out: str | Path = "explained",
    *,
    target: str | int = "predicted",
    size: int | tuple[int, int] | None = None,
    preprocess: Preprocess = DEFAULT,
) -> list[Explained]:
    """Write a heat map of every picture by every method to `out/NAME-METHOD.png`, and all on `out/explained.png`.

    images: picture files, read as the data of training is: grey or RGB as the model has channels.
    target: the class to explain, by name or number, or "predicted".
    size: height and width; unless given that of `preprocess`, else what the model says of itself, else 224.
    preprocess: how the pictures are turned, brought to 8 bits, laid on a background and fitted.
    Raises UnknownName for a method or class, OverfocusError for a file that is no picture.
    """
    for method in methods:
        method_named(method)  # fail on a wrong name before the work
    if not images or not methods:
        raise OverfocusError("explain: give one picture and one method at least")
    target_class = _class(classifier, target)
    how = replace(preprocess, size=as_size(size or preprocess.size or own_size(classifier) or USUAL))
    answers = [_answer(classifier, each, target_class) for each in _read(images, len(classifier.mean), how)]
    stems, out = _stems(images), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    explained, shown = [], []
    for path, stem, answer in zip(images, stems, answers, strict=True):
        maps, spreads = _maps(classifier, answer, methods, stem, out)
        explained.append(_explained(classifier, Path(path), answer, spreads))
        shown.append(MappedImage(str(path), "", picture(answer.pixels[0]), maps))
    save_png(map_sheet(f"{classifier.name} explained", _lines(classifier, target_class, how), shown), out / SHEET)
    return explained


def explain_checkpoint(  # noqa: PLR0913
    checkpoint: str,
    images: Sequence[str | Path],
    methods: Sequence[str],
    out: Path,
    *,
    target: str = "predicted",
    size: int | None = None,
    data: Mapping[str, Any],
    options: CheckpointOptions,
    device: str = "auto",
) -> list[Explained]:
    """Explain pictures by a checkpoint: see `classifier_of` for what it may be, and `explain`.

    data: settings of the data that names the classes of a model that is no run, and of how pictures are read.
    """
    run = run_of(checkpoint)
    own = preprocess_for(checkpoint, options) or DEFAULT
    told = {key.removeprefix("data."): value for key, value in data.items()}
    how = replace(own, **{name: told[name] for name in PREPROCESS if name in told})
    named = run is None and "data.name" in data
    dataset = dataset_for((checkpoint,), dict(data), options)[0] if named else None
    classifier = classifier_of(checkpoint, dataset, options, device_of(Machine(device)))
    return explain(classifier, images, methods, out, target=target, size=size, preprocess=how)


def _read(images: Sequence[str | Path], channels: int, how: Preprocess) -> Iterator[Tensor]:
    """Yield the pictures as [1, C, H, W] float32 in [0, 1]."""
    for path in map(Path, images):
        if not path.is_file():
            raise OverfocusError(f"{path} is not a file; give picture files, such as {path / 'cat.png'}")
    files = FileImages(Path("."), [str(path) for path in images], channels, how)
    for row in range(len(files)):
        yield fit(files.read(row), how)[None].float() / 255


def _answer(classifier: Classifier, pixels: Tensor, target: int | None) -> _Answer:
    pixels = pixels.to(classifier.device)
    with torch.no_grad(), classifier.examined():
        probabilities = classifier.probabilities(pixels)[0].cpu()
    if len(probabilities) != len(classifier.classes):
        raise OverfocusError(
            f"{classifier.name} answers {len(probabilities)} numbers and has {len(classifier.classes)} classes"
        )
    return _Answer(pixels, probabilities, int(probabilities.argmax()) if target is None else target)


def _maps(
    classifier: Classifier, answer: _Answer, methods: Sequence[str], stem: str, out: Path
) -> tuple[tuple[MapPicture, ...], dict[str, SpreadNumbers]]:
    """Map one picture by each method, and write the heat maps."""
    maps, spreads = [], {}
    at = FEATURES if layer_name(classifier.at) == FEATURES else f"model.{classifier.at}"
    model: Any = classifier.pixels  # type: ignore[attr-defined]
    for method in methods:
        with classifier.examined():
            found, (note,) = method_named(method).with_notes(model, answer.pixels, answer.target, at=at)
        heat = overlay(answer.pixels[0], found[0])
        name = f"{stem}-{method}.png"
        save_png(heat, out / name)
        maps.append(
            MapPicture(method, heat, classifier.classes[answer.target], float(answer.probabilities[answer.target]))
        )
        spreads[method] = SpreadNumbers(
            picture=name, effective_area=_known(effective_area(found)), gini=_known(gini(found)), note=note
        )
    return tuple(maps), spreads


def _explained(classifier: Classifier, path: Path, answer: _Answer, spreads: dict[str, SpreadNumbers]) -> Explained:
    confidence, predicted = answer.probabilities.max(dim=0)
    return Explained(
        file=str(path), predicted=classifier.classes[int(predicted)], confidence=float(confidence),
        asked=classifier.classes[answer.target], probability=float(answer.probabilities[answer.target]),
        methods=spreads,
    )  # fmt: skip


def _known(values: Tensor) -> float | None:
    value = float(values[0])
    return value if isfinite(value) else None


def _class(classifier: Classifier, target: str | int) -> int | None:
    """Return the number of the class `target`, None for the predicted one; a name goes before a number."""
    text = str(target)
    if text in classifier.classes:
        return classifier.classes.index(text)
    if text == "predicted":
        return None
    if text.isdecimal() and int(text) < len(classifier.classes):
        return int(text)
    raise UnknownName("class", text, classifier.classes)


def _stems(images: Sequence[str | Path]) -> list[str]:
    """Return a name for each picture that can stand in a file name; equal ones are numbered."""
    stems: list[str] = []
    for path in map(Path, images):
        stem = re.sub(r"[^\w.-]+", "_", path.stem).strip(".") or "picture"
        number, unique = 2, stem
        while unique in stems:
            number, unique = number + 1, f"{stem}-{number}"
        stems.append(unique)
    return stems


def _lines(classifier: Classifier, target: int | None, how: Preprocess) -> list[str]:
    height, width = how.size or (0, 0)
    of = "the predicted class" if target is None else f"the class {classifier.classes[target]}"
    return [f"Evidence for {of}, with its probability. {height} x {width} pixels ({how.fit}), layer {classifier.at}. "
            "Each map has its own scale, from 0 to its maximum."]  # fmt: skip

"""Pictures, maps and answers as what JSON can hold."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overfocus.attribution.catalogue import method as method_named
from overfocus.core.errors import OverfocusError
from overfocus.core.layer_name import FEATURES, layer_name
from overfocus.diagnosis.classifier import Classifier
from overfocus.report.drawing.overlay import (
    COLOURS,
    STRENGTH,
    MappedImage,
    MapPicture,
    at_most,
    evidence_at,
    map_sheet,
    overlay,
    picture,
)
from overfocus.report.html import data_uri
from overfocus.report.label import file_name, label
from overfocus.viewer.answer import Answer
from overfocus.viewer.pictures import PictureList, ShownPicture
from overfocus.viewer.window import Model

THUMB, FIRST = 96, 4
"""Pixels of a small picture, and classes that are listed of an answer."""


def png(pixels: Tensor) -> str:
    """Return pixels [C, H, W] in [0, 1] as an address that holds the picture, a pixel for each."""
    return data_uri(picture(pixels, side=1))


def heat(map: Tensor, size: tuple[int, int]) -> str:
    """Return a map [h, w] as a picture of `size` that is laid over another: clear where there is no evidence."""
    amount = evidence_at(map, size)
    values = COLOURS(amount)
    values[..., 3] = STRENGTH * np.sqrt(amount)
    return data_uri(Image.fromarray((values * 255).round().astype(np.uint8), "RGBA"))


def whole(shown: ShownPicture, index: int) -> dict[str, Any]:
    """Return a picture with its name and class."""
    return {**_names(shown, index), "image": png(shown.pixels)}


def small(pictures: PictureList, index: int) -> dict[str, Any]:
    """Return a picture, small; the reason in its place where it cannot be read."""
    try:
        shown = pictures[index]
    except OverfocusError as error:
        return {"index": index, "error": str(error)}
    return {**_names(shown, index), "image": data_uri(at_most(picture(shown.pixels, side=1), THUMB))}


def _names(shown: ShownPicture, index: int) -> dict[str, Any]:
    return {
        "index": index,
        "name": label(file_name(shown.name)).short,
        "label": shown.label and label(shown.label).short,
    }


def answered(model: Model, found: Answer) -> dict[str, Any]:
    """Return the first classes of an answer, before and after, in an order that a stroke does not change."""
    first = [*found.before.topk(min(FIRST, len(found.before))).indices.tolist(), int(found.after.argmax())]
    rows = [
        {
            "class": label(model.classes[each]).short, "before": _short(found.before[each]),
            "after": _short(found.after[each]), "elsewhere": _short(found.elsewhere[each]),
        }
        for each in dict.fromkeys(first)
    ]  # fmt: skip
    now, then = int(found.after.argmax()), int(found.before.argmax())
    return {"rows": rows, "share": _short(found.share), "before": label(model.classes[then]).short,
            "after": label(model.classes[now]).short}  # fmt: skip


def hidden_steps(model: Model, steps: Tensor, probabilities: Tensor, target: int) -> dict[str, Any]:
    """Return from which step on each pixel is hidden, and what is answered at each step."""
    best, which = probabilities.max(dim=1)
    return {
        "steps": b64encode(steps.to(torch.uint8).numpy().tobytes()).decode(),
        "target": [_short(each) for each in probabilities[:, target]],
        "answers": [label(model.classes[int(each)]).short for each in which],
        "confidences": [_short(each) for each in best],
    }


def sheet(title: str, shown: ShownPicture, changed: Tensor, method: str, models: list[Model]) -> str:
    """Return one picture to keep: the original and the edited picture, and every model's map of both."""
    pictures = {"as it is": shown.pixels, "edited": changed}
    maps: dict[str, list[MapPicture]] = {name: [] for name in pictures}
    for model in models:
        with model.lent() as classifier:
            for name, pixels in pictures.items():
                maps[name].append(_map_picture(classifier, pixels, method))
    images = [
        MappedImage(name, shown.label, picture(pixels), tuple(maps[name])) for name, pixels in pictures.items()
    ]  # fmt: skip
    lines = [f"{file_name(shown.name)}. Maps by {method} of the class that is answered, each on its own scale."]
    return data_uri(map_sheet(title, lines, images))


def _map_picture(classifier: Classifier, pixels: Tensor, method: str) -> MapPicture:
    at = FEATURES if layer_name(classifier.at) == FEATURES else f"model.{classifier.at}"
    batch = pixels[None].to(classifier.device)
    with classifier.examined(), torch.no_grad():
        confidence, target = classifier.probabilities(batch)[0].max(dim=0)
        network = classifier.pixels  # type: ignore[attr-defined]
        map = method_named(method)(network, batch, int(target), at=at)[0]
    return MapPicture(classifier.name, overlay(pixels, map), classifier.classes[int(target)], float(confidence))


def _short(value: Tensor | float) -> float:
    return round(float(value), 5)

"""The evidence that every section builds on: logits and maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.attribution.attribution import Attribution, LayerMethod
from overfocus.attribution.catalogue import method as method_named
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import joined, packed
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import OnProgress

MOST = 32
"""Positions of a map along either axis: finer ones are brought to so many, each the mean of what lies there."""


@dataclass(frozen=True)
class MapCollector:
    """Collects logits, maps for the true and the predicted class at native size, and how much each channel is used."""

    map: str = "hirescam"
    """A method of `overfocus.attribution`. HiResCAM is Grad-CAM where the head is pooling and one linear layer, and
    does not smear over positions where it is another.
    """
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Those of the method."""

    def collect(self, classifier: Classifier, sample: Sample, on_progress: OnProgress) -> dict[str, np.ndarray]:
        """Return labels [N], logits [N, K], maps/true and maps/predicted [N, h, w], used [N, C], and what
        `_known` says of the data.
        """
        method = method_named(self.map, **self.settings)
        known = _known(sample)  # before the model is run, since a mask that does not fit is an error
        portions = sample.portions(None, "Maps", on_progress)
        arrays = joined(self._maps(classifier, method, portion) for portion in portions)
        return {"labels": sample.labels.numpy(), **arrays, **known}

    def _maps(self, classifier: Classifier, method: Attribution, portion: Portion) -> dict[str, Tensor]:
        pixels = portion.pixels.to(classifier.device)
        activations = classifier.capture(pixels)
        logits = activations.logits.detach().float()
        labels, predicted = portion.labels.to(logits.device), logits.argmax(dim=1)
        true = activations.gradient_of(_of_class(labels, logits))
        used = (activations.features * true).relu().flatten(2).sum(dim=2).float()
        # Where the prediction is right both are one; the second pass back through the head costs little otherwise.
        wrong = labels != predicted
        if not isinstance(method, LayerMethod):
            of_true = maps_of(classifier, method, pixels, labels)
            of_other = of_true.clone()
            if bool(wrong.any()):
                of_other[wrong] = maps_of(classifier, method, pixels[wrong], predicted[wrong])
            return {"logits": logits, "maps/true": of_true, "maps/predicted": of_other, "used": used}
        other = activations.gradient_of(_of_class(predicted, logits)) if bool(wrong.any()) else true
        of_true, of_other = (method.map(activations.features, gradient).float() for gradient in (true, other))
        return {"logits": logits, "maps/true": of_true, "maps/predicted": of_other, "used": used}


def maps_of(classifier: Classifier, method: Attribution, pixels: Tensor, classes: Tensor) -> Tensor:
    """Return the maps of `classes` [B] for `pixels` [B, C, H, W] in [0, 1]: [B, h, w] float32, at the size of the layer
    `at`, or h and w at most 32.
    """
    given = classifier.pixels.normalised(pixels)  # type: ignore[attr-defined]
    maps = method(classifier.model, given, classes, at=classifier.at).float()
    return maps if isinstance(method, LayerMethod) else _few(maps)


def _few(maps: Tensor) -> Tensor:
    """Return `maps` [B, h, w] with at most `MOST` positions along either axis."""
    height, width = maps.shape[1:]
    if max(height, width) <= MOST:
        return maps
    return F.adaptive_avg_pool2d(maps[:, None], (min(height, MOST), min(width, MOST)))[:, 0]


def _of_class(classes: Tensor, logits: Tensor) -> Tensor:
    """Return the weights [B, K] that pick the logit of each image's class."""
    return torch.zeros_like(logits).scatter(1, classes[:, None], 1.0)


def _known(sample: Sample) -> dict[str, np.ndarray]:
    """Return where the objects are, as far as the data says: boxes [n, 4] with box_image [n], masks as bits; and the
    group of each image, groups/places [N], with the groups' names and what they are.
    """
    known: dict[str, np.ndarray] = {}
    if sample.groups is not None:
        known["groups/places"], known["groups/names"] = sample.groups.places.numpy(), np.array(sample.groups.names)
        known["groups/column"] = np.array(sample.groups.column)
    if sample.boxes is not None:
        boxes = [each.reshape(-1, 4) for each in sample.boxes]
        known["boxes"] = torch.cat(boxes).numpy() if boxes else np.zeros((0, 4), np.int64)
        known["box_image"] = np.repeat(np.arange(len(boxes)), [len(each) for each in boxes])
    for part in sample.masks:
        rows = torch.arange(len(sample)).split(256)
        known[f"masks/{part}"] = np.concatenate([packed(sample.mask(part, some)) for some in rows])
    return known

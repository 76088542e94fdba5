"""The evidence that every section builds on: logits and maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from overfocus.attribution.attribution import LayerMethod
from overfocus.attribution.catalogue import method as method_named
from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import joined, packed
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import OnProgress


@dataclass(frozen=True)
class MapCollector:
    """Collects logits, maps for the true and the predicted class at native size, and how much each channel is used."""

    map: str = "hirescam"
    """A method of `overfocus.attribution` that needs a layer. HiResCAM is Grad-CAM where the head is pooling and one
    linear layer, and does not smear over positions where it is another.
    """

    def collect(self, classifier: Classifier, sample: Sample, on_progress: OnProgress) -> dict[str, np.ndarray]:
        """Return labels [N], logits [N, K], maps/true and maps/predicted [N, h, w], used [N, C], and what
        `_known` says of the data.
        """
        method = method_named(self.map)
        if not isinstance(method, LayerMethod):
            raise OverfocusError(
                f"map {self.map!r} has no layer to look at, so no spread at its size; take gradcam, hirescam, layercam "
                "or another of that family"
            )
        known = _known(sample)  # before the model is run, since a mask that does not fit is an error
        portions = sample.portions(None, "Maps", on_progress)
        arrays = joined(self._maps(classifier, method, portion) for portion in portions)
        return {"labels": sample.labels.numpy(), **arrays, **known}

    def _maps(self, classifier: Classifier, method: LayerMethod, portion: Portion) -> dict[str, Tensor]:
        activations = classifier.capture(portion.pixels.to(classifier.device))
        logits = activations.logits.detach().float()
        labels, predicted = portion.labels.to(logits.device), logits.argmax(dim=1)
        true = activations.gradient_of(_of_class(labels, logits))
        # Where the prediction is right both are one; the second pass back through the head costs little otherwise.
        other = true if bool((labels == predicted).all()) else activations.gradient_of(_of_class(predicted, logits))
        return {
            "logits": logits,
            "maps/true": method.map(activations.features, true).float(),
            "maps/predicted": method.map(activations.features, other).float(),
            "used": (activations.features * true).relu().flatten(2).sum(dim=2).float(),
        }


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

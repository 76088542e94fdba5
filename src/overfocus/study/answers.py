"""The predictions of a run on each test image: enough for any accuracy, also of one class, without the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import nn

from overfocus.core.errors import OverfocusError
from overfocus.core.files import replacing
from overfocus.data import Stream
from overfocus.metrics import answers as metrics
from overfocus.metrics import groups

SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": metrics.BALANCED.title,
    "macro_f1": metrics.MACRO_F1.title,
    "weighted_f1": metrics.WEIGHTED_F1.title,
    "worst_group": groups.WORST.title,
}
"""Scores of `Answers`, by which a study may be judged -> in words."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The predictions of a run's two sets of weights for N images, in the order of the split."""

    labels: np.ndarray
    """[N] int64: what the images are."""
    last: np.ndarray
    """[N] int64: the class that the weights of the last epoch predict."""
    last_confidence: np.ndarray
    """[N] float32 in [0, 1]: the probability of that class."""
    best: np.ndarray
    """[N] int64: as `last`, of the best epoch."""
    best_confidence: np.ndarray
    groups: np.ndarray | None = None
    """[N] int64: the group of each image; None where none are known."""

    def accuracy(self, which: str = "last") -> float:
        """Return the accuracy of the weights of the "last" or the "best" epoch, in [0, 1]."""
        return float((getattr(self, which) == self.labels).mean())

    def score(self, name: str, which: str = "last") -> float:
        """Return one of `SCORES` of the weights of the "last" or the "best" epoch, in [0, 1]; see `metrics.answers`.
        Means over classes leave out those without images; the worst group is NaN where groups are not known.
        """
        if name == "accuracy":
            return self.accuracy(which)
        labels, said = torch.from_numpy(self.labels), torch.from_numpy(getattr(self, which))
        if name == "worst_group":
            return self._worst_group(said.numpy())
        each = metrics.by_class(metrics.confusion(labels, said, 1 + int(max(labels.max(), said.max()))))
        if name == "weighted_f1":
            return float(np.nansum(each["f1"] * each["support"]) / len(labels))
        return float(np.nanmean(each["recall" if name == "balanced_accuracy" else "f1"]))

    def _worst_group(self, said: np.ndarray) -> float:
        if self.groups is None:
            return float("nan")
        classes, number = 1 + int(max(self.labels.max(), said.max())), 1 + int(self.groups.max())
        return groups.worst_group(groups.Cells.of(self.labels, said, self.groups, classes, number))

    def per_class(self, classes: int) -> np.ndarray:
        """Return the accuracy of the last epoch on each class: [classes] float64, NaN for one without images."""
        right = np.bincount(self.labels, self.last == self.labels, minlength=classes)
        count = np.bincount(self.labels, minlength=classes)
        return np.divide(right, count, out=np.full(classes, np.nan), where=count > 0)

    def save(self, path: Path) -> None:
        """Write an .npz file, whole or not at all."""
        with replacing(path) as aside, aside.open("wb") as file:
            np.savez_compressed(file, **{name: each for name, each in asdict(self).items() if each is not None})

    @staticmethod
    def load(path: Path) -> Answers:
        """Read what `save` wrote; never runs code from the file."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return Answers(**{name: file[name] for name in file.files})
        except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
            raise OverfocusError(f"{path} is damaged ({error}); remove it, and run the study again") from error


def out_of_fold(answers: Sequence[Answers]) -> Answers:
    """Return the predictions of the folds of a cross-validation, one after the other: each picture is answered by a run
    that was not trained on it.
    """
    names = [of.name for of in fields(Answers) if all(getattr(each, of.name) is not None for each in answers)]
    return Answers(**{name: np.concatenate([getattr(each, name) for each in answers]) for name in names})


@torch.no_grad()
def predict(model: nn.Module, stream: Stream) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labels [N], the predicted classes [N] and their probabilities [N] on a split.

    The model is expected in evaluation mode.
    """
    labels, predicted, confidence = [], [], []
    for images, named, _ in stream.epoch():
        probability, chosen = model(images).float().softmax(dim=1).max(dim=1)
        labels.append(named.cpu())
        predicted.append(chosen.cpu())
        confidence.append(probability.cpu())
    return torch.cat(labels).numpy(), torch.cat(predicted).numpy(), torch.cat(confidence).numpy()

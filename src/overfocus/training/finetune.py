"""Fine-tuning a pretrained network: where its head begins, what is held out to judge it, and which network is kept.

LP-FT (Kumar et al., 2202.10054): the head is first fitted to the features as they are, a linear probe; then the whole
network is trained from there. From a random head the first steps would bend features that were good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.core.balance import Kind
from overfocus.core.key import Key
from overfocus.core.layer_name import FEATURES
from overfocus.data import Augment, Dataset, Stream
from overfocus.data.subset import balanced
from overfocus.models.split import split
from overfocus.models.stages import stages
from overfocus.training.experiment import Experiment
from overfocus.training.label_probe import fit_labels
from overfocus.training.linear_probe import Features, LinearHead, features_of, fit_head
from overfocus.training.probe_method import BATCH, Maps, epochs_for, no_pooled_head, split_up, trained_head

MANY = 2000
"""Most images that choose the strength of a probe: more would take minutes."""
VIEW = "train, as evaluated"


@dataclass(frozen=True)
class Judged:
    """A linear probe and the network that was fine-tuned from it: split -> scores, of the same images."""

    probe: dict[str, dict[str, float]]
    fine_tuned: dict[str, dict[str, float]]
    by: str = "accuracy"
    """The score that decides: `balanced_accuracy` where the recipe balances classes."""

    @property
    def keeps_probe(self) -> bool:
        """Whether the fine-tuned network is worse on the held-out images than the probe, so that this is kept."""
        return "val" in self.probe and self.fine_tuned["val"][self.by] < self.probe["val"][self.by]

    @property
    def kept(self) -> dict[str, dict[str, float]]:
        """The scores of the network that is kept."""
        return self.probe if self.keeps_probe else self.fine_tuned

    def sentence(self) -> str:
        """Say which network is kept, and why."""
        if "val" not in self.probe:
            return "The fine-tuned network is kept unjudged: with so few images in a class none are held out."
        probe, tuned, images = self.probe["val"], self.fine_tuned["val"], self.probe["val"]["images"]
        kept = "linear probe" if self.keeps_probe else "fine-tuned network"
        return (
            f"The {kept} is kept: on {images} held-out images the fine-tuned network has {self._score} of "
            f"{tuned[self.by]:.4f}, the probe that it began as {probe[self.by]:.4f}."
        )

    @property
    def _score(self) -> str:
        return "an accuracy" if self.by == "accuracy" else f"a {self.by.replace('_', ' ')}"

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        kept = "probe" if self.keeps_probe else "fine-tuned"
        return {"kept": kept, "why": self.sentence(), "probe": self.probe, "fine_tuned": self.fine_tuned}


def as_evaluated(experiment: Experiment, dataset: Dataset, device: torch.device) -> Stream:
    """Return the training images without augmentation, in their order, whole in every process."""
    plain = experiment.model_copy(update={"data": experiment.data.model_copy(update={"augment": Augment()})})
    return plain.stream(replace(dataset, splits={VIEW: dataset.splits["train"]}), VIEW, device=device)


def with_probed_head(
    model: nn.Module, experiment: Experiment, dataset: Dataset, device: torch.device
) -> tuple[nn.Module, str]:
    """Return a copy of `model`, which is on `device`, with a linear probe as its head: fitted to the training images as
    evaluation sees them, and trained with the methods that act on features; and what is to be said of that. It is the
    same in every process, and again when a run is resumed.
    """
    stream, alone = as_evaluated(experiment, dataset, device), experiment.recipe.tune == "probe"
    key, (acting, others) = Key.seeded(experiment.seed).fold_in("tune"), split_up(experiment.regularizer)
    said = ""
    if others and alone:
        said = f"{others} did not act: a probe sees the features of images as they are."
    elif others and acting:
        said = f"{others} acts in fine-tuning only."
    if acting:
        head, why_not = _trained(model, experiment, dataset, stream, key)
        if head is not None:
            images = len(stream.split)
            how = f"The linear probe was trained with {acting}, {epochs_for(images)} epochs of {images} images."
            return head.into(model), f"{how} {said}".strip()
        said = f"{experiment.regularizer} acts {'nowhere' if alone else 'in fine-tuning only'}: {why_not}."
    return _closed(features_of(model, stream.epoch()), experiment, dataset, key).into(model), said


def _trained(
    model: nn.Module, experiment: Experiment, dataset: Dataset, stream: Stream, key: Key
) -> tuple[LinearHead | None, str]:
    """Return the probe trained with the methods that act on features; or None, and why they cannot act."""
    if why_not := _no_maps(model, experiment):
        return None, why_not
    images, labels = partial(_images, experiment, dataset, stream), stream.split.labels.to(stream.device)
    maps, features, positions = Maps(model, split(model), images, labels).looked_at()
    if positions == 1 and experiment.regularizer.drops_positions:
        return None, "the last maps are one position"
    start = _closed(features, experiment, dataset, key)
    return trained_head(start, maps, features, experiment.regularizer, key), ""


def _closed(features: Features, experiment: Experiment, dataset: Dataset, key: Key) -> LinearHead:
    """Return the logistic regression; of images with several labels one for each."""
    if dataset.multi_label:
        return fit_labels(features, dataset.classes, key, probe_of)
    return probe_of(features, len(dataset.classes), key, experiment.recipe.balance)


def _no_maps(model: nn.Module, experiment: Experiment) -> str:
    """Return why a method on features cannot act in a probe; "" where it can."""
    if experiment.model.at != FEATURES:
        return f"the probe is fitted to the last features, and model.at is {experiment.model.at!r}"
    if experiment.recipe.balance != "none":
        return f"recipe.balance is {experiment.recipe.balance!r}, which only the closed probe follows"
    if experiment.data.labels == "multi":
        return "images have several labels, which only the closed probe follows"
    return no_pooled_head(model)


def _images(experiment: Experiment, dataset: Dataset, whole: Stream, rows: Tensor) -> Iterator[Tensor]:
    """Yield the images `rows` of the stream `whole`, as evaluated, in that order."""
    recipe = experiment.recipe.model_copy(update={"batch": BATCH})
    part = replace(dataset, splits={VIEW: whole.split.subset(rows)})
    stream = experiment.model_copy(update={"recipe": recipe}).stream(part, VIEW, device=whole.device)
    return (images for images, *_ in stream.epoch())


def probe_of(features: Features, classes: int, key: Key, balance: Kind = "none") -> LinearHead:
    """Return a linear probe; of many images `MANY`, balanced over the classes, choose its strength."""
    if len(features.labels) <= MANY:
        return fit_head(features, classes, key, balance=balance)
    some = balanced(features.labels, MANY, key.fold_in("some").seed())
    chosen = fit_head(Features(features.values[some], features.labels[some]), classes, key, balance=balance)
    return fit_head(features, classes, key, penalties=(chosen.penalty,), balance=balance)


def freeze_below_last_stage(model: nn.Module) -> None:
    """Leave nothing to be trained but the classifier and the stage below it."""
    numbers = stages(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(numbers[name] >= max(numbers.values()) - 1)


def freeze_norm(model: nn.Module) -> None:
    """Let batch norms normalise by the means and variances that they have, as in evaluation; scale and shift learn."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()

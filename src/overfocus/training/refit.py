"""What the features of a run know beside what its last layer uses: that layer fitted anew, to images of any data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from overfocus.core.errors import UnknownName
from overfocus.core.key import Key
from overfocus.data import Dataset, Split
from overfocus.training.checkpoint import as_trained, load_data, load_run, untrained_network
from overfocus.training.experiment import DataSettings, Experiment
from overfocus.training.linear_probe import Features, features_of, fit_head
from overfocus.training.recipe import autocast_for
from overfocus.training.run import Run

FIT = "the images of the fit"


@dataclass(frozen=True)
class Refit:
    """Accuracies of a last layer that was fitted anew, and of the same on a network that was never trained."""

    data: str
    """The set whose training images the last layers were fitted to."""
    images: int
    """How many those are."""
    refitted: dict[str, float]
    """Test split -> accuracy in [0, 1] on the features of the run."""
    untrained: dict[str, float]
    """The same on the features of the network as its seed draws it: what takes no training."""


def refit_run(
    path: str | Path, data: str, splits: Sequence[str] = (), *, best: bool = False, root: str | None = None
) -> Refit:
    """Fit the last layer of a finished run to the training images of `data`, and score it on `splits` of the run's own
    data, by default all test splits whose cues agree.

    data: what `overfocus.data.load` takes, with the classes of the run; it is brought to the run's size and normalised
    as there. Raises OverfocusError for other classes, and for a network without a linear last layer.
    """
    run = Run(Path(path))
    experiment, own = load_data(run, root)
    own.splits["test"].one_class("--refit")
    settings = {"name": data, "root": root or experiment.data.root, "size": experiment.data.size}
    there = DataSettings.model_validate(settings)
    images = as_trained(experiment.model_copy(update={"data": there}).dataset(), run).splits["train"]
    dataset = replace(own, splits={**_tested(own, splits), FIT: images})
    models = load_run(path, best=best), untrained_network(run)
    autocast = autocast_for(run.manifest().get("precision", ""), torch.device("cpu"))
    return Refit(data, len(images), *(_accuracies(model, experiment, dataset, autocast) for model in models))


def _tested(dataset: Dataset, names: Sequence[str]) -> dict[str, Split]:
    for name in names:
        if name not in dataset.splits:
            raise UnknownName(f"split of {dataset.name}", name, dataset.splits)
    agreeing = [name for name, split in dataset.splits.items() if name != "train" and not split.cues]
    return {name: dataset.splits[name] for name in names or agreeing}


def _accuracies(
    model: nn.Module, experiment: Experiment, dataset: Dataset, autocast: AbstractContextManager
) -> dict[str, float]:
    def features(name: str) -> Features:
        with autocast:
            return features_of(model, experiment.stream(dataset, name).epoch())

    head = fit_head(features(FIT), len(dataset.classes), Key.seeded(experiment.seed).fold_in("refit"))
    return {name: head.accuracy(features(name)) for name in dataset.splits if name != FIT}

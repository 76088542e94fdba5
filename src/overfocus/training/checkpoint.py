"""The network, the data and the scores of a finished run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from overfocus.core.classes import match_classes
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.preprocess import Preprocess
from overfocus.data import Augment, Dataset, Stream
from overfocus.data.joined import ALL, joined
from overfocus.metrics.label_scores import label_scores
from overfocus.models.checkpoints import load_weights
from overfocus.models.flip_test import FlipTest
from overfocus.training.answer_report import AnswerReport, Collected
from overfocus.training.evaluate import evaluate, follows
from overfocus.training.evaluate_labels import label_logits
from overfocus.training.experiment import Experiment
from overfocus.training.recipe import autocast_for
from overfocus.training.run import Run


def load_run(path: str | Path, *, best: bool = False) -> nn.Module:
    """Return the network of a finished run in evaluation mode: after the last epoch, or after the best one."""
    run = Run(Path(path))
    return load_network(run, run.best_weights if best else run.weights)


def load_network(run: Run, weights: Path) -> nn.Module:
    """Return the network that a finished run is of, in evaluation mode, with the `weights` of a file."""
    model = untrained_network(run)
    load_weights(model, weights)
    return model


def untrained_network(run: Run) -> nn.Module:
    """Return the network that a finished run is of, in evaluation mode, as its seed draws it."""
    manifest, experiment = run.manifest(), run.experiment()
    model = experiment.model.model_copy(update={"weights": None, "pretrained": "", "which_weights": ""})
    bare = experiment.model_copy(update={"model": model})
    return bare.create_model(len(manifest["classes"]), manifest["channels"]).eval()


def load_data(run: Run, root: str | None = None, group: str | None = None) -> tuple[Experiment, Dataset]:
    """Return the experiment of a finished run and its data as it is now, read and fitted as the run did.

    root: where the data lies now. group: another column of groups than the run's. Raises OverfocusError where it has
    other classes than the run.
    """
    how, experiment = Preprocess.of_manifest(run.manifest()), run.experiment()
    data = experiment.data.preprocessed_as(how)
    changes = {name: value for name, value in (("root", root), ("group", group)) if value is not None}
    data = data.model_copy(update=changes)
    experiment = experiment.model_copy(update={"data": data})
    return experiment, as_trained(experiment.dataset(), run)


def as_trained(dataset: Dataset, run: Run) -> Dataset:
    """Return the data with the classes and the normalisation of `run`, whatever was added to a folder since.

    Classes are found by their names; those without images stay without. Raises OverfocusError where the data has a
    class that the run does not know, or other channels.
    """
    manifest, channels = run.manifest(), next(iter(dataset.splits.values())).images.channels
    classes = tuple(manifest["classes"])
    match = match_classes(classes, dataset.classes, str(run.path)) if classes != dataset.classes else None
    if manifest["channels"] != channels or (match and match.by_position):
        raise OverfocusError(
            f"{run.path} was trained on other data: {len(classes)} classes and {manifest['channels']} "
            f"channels there, {len(dataset.classes)} and {channels} in {dataset.name}; "
            "give the data that it was trained on"
        )
    dataset = replace(dataset, mean=tuple(manifest["mean"]), std=tuple(manifest["std"]))
    if match is None:
        return dataset
    absent = [name for place, name in enumerate(classes) if place not in match.places]
    note = f"Classes of the run without images: {', '.join(absent)}." if absent else ""
    dataset = dataset.with_splits(lambda split: split.relabelled(classes, match.places))
    return replace(dataset, classes=classes).noting(note, match.warning and f"{match.warning}.")


def _flipped(model: nn.Module, dataset: Dataset) -> FlipTest:
    if not Augment.default_for(dataset.name, size=32).flip:
        raise OverfocusError(f"{dataset.name}: a mirror changes what its images show; leave out --flip-test")
    return FlipTest(model)


def evaluate_run(
    path: str | Path, splits: list[str], *, best: bool = False, root: str | None = None, flip_test: bool = False
) -> dict[str, dict[str, Any]]:
    """Evaluate a finished run on `splits` of its data, by default all but the training images (`all`: all together),
    in the precision in which it was trained; see `evaluate`. Of images with several labels: `LabelScores.as_dict`.
    flip_test: by the mean logits of each image and its mirror; OverfocusError for sets whose images a mirror changes.
    """
    return report_run(path, splits, best=best, root=root, flip_test=flip_test)[0]


def report_run(
    path: str | Path,
    splits: list[str],
    *,
    best: bool = False,
    root: str | None = None,
    flip_test: bool = False,
    group: str | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, AnswerReport]]:
    """Return what `evaluate_run` does, and of the same answers a report for each split whose images have one class.

    group: the column of groups, as `overfocus.data.load` takes it, where it is not the run's.
    """
    model, run = load_run(path, best=best), Run(Path(path))
    experiment, dataset = load_data(run, root, group)
    model = _flipped(model, dataset) if flip_test else model
    autocast = partial(autocast_for, run.manifest().get("precision", ""), torch.device("cpu"))
    if ALL in splits and ALL not in dataset.splits:
        dataset = replace(dataset, splits={**dataset.splits, ALL: joined(dataset)})
    for name in splits:
        if name not in dataset.splits:
            raise UnknownName(f"split of {dataset.name}", name, dataset.splits)
    names = splits or [n for n in dataset.splits if n != "train"]
    if dataset.multi_label:
        return {name: _label_scores(model, experiment.stream(dataset, name), autocast, run) for name in names}, {}
    scores, reports = {}, {}
    for name in names:
        stream, collected = experiment.stream(dataset, name), Collected()
        scores[name] = evaluate(model, stream, autocast, keep=collected)
        if not follows(scores[name]):  # its label is but one of the cues
            reports[name] = AnswerReport.of([collected.together()], dataset.classes, stream.split.groups)
    return scores, reports


def _label_scores(model: nn.Module, stream: Stream, autocast: Any, run: Run) -> dict[str, Any]:
    """Evaluate the labels of images that may have several, at the thresholds that the run keeps."""
    logits, kept = label_logits(model, stream, autocast), run.manifest()["labels"]
    found = label_scores(logits, stream.split.labels, torch.tensor(kept["thresholds"], dtype=torch.float64))
    return {"images": len(logits), **found.as_dict(stream.split.classes), "thresholds": kept["why"]}

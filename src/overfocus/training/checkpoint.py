"""From a run's folder back to its network and its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.models.weights import load_weights
from overfocus.training.evaluate import evaluate
from overfocus.training.run import Run


def load_run(path: str | Path, *, best: bool = False) -> nn.Module:
    """Return the network of a finished run in evaluation mode: after the last epoch, or after the best one."""
    run = Run(Path(path))
    manifest, experiment = run.manifest(), run.experiment()
    model = experiment.model_copy(update={"model": experiment.model.model_copy(update={"weights": None})}).create_model(
        len(manifest["classes"]), manifest["channels"]
    )
    load_weights(model, run.best_weights if best else run.weights)
    return model.eval()


def evaluate_run(
    path: str | Path, splits: list[str], *, best: bool = False, root: str | None = None
) -> dict[str, dict[str, Any]]:
    """Evaluate a finished run on `splits` of its data, by default all but the training images; see `evaluate`."""
    run = Run(Path(path))
    model, experiment = load_run(path, best=best), run.experiment()
    changes = {"size": tuple(run.manifest()["size"])} | ({"root": root} if root is not None else {})
    experiment = experiment.model_copy(update={"data": experiment.data.model_copy(update=changes)})
    dataset, manifest = experiment.dataset(), run.manifest()
    # The network knows images as they were normalised for it, whatever has been added to the folder since.
    dataset = replace(dataset, mean=tuple(manifest["mean"]), std=tuple(manifest["std"]))
    if list(dataset.classes) != manifest["classes"]:
        raise OverfocusError(
            f"{run.path} was trained on other classes than {dataset.name} has now: "
            f"{len(manifest['classes'])} there, {len(dataset.classes)} here"
        )
    for name in splits:
        if name not in dataset.splits:
            raise UnknownName(f"split of {dataset.name}", name, dataset.splits)
    return {
        name: evaluate(model, experiment.stream(dataset, name))
        for name in splits or [n for n in dataset.splits if n != "train"]
    }

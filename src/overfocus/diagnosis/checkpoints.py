"""From what a person types to a model that can be examined: a run, a file of weights, or a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.preprocess import DEFAULT, Preprocess
from overfocus.data import Dataset, Split
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.examination import LIMIT
from overfocus.diagnosis.sample import Sample, from_split
from overfocus.diagnosis.sections.outliers import Outliers
from overfocus.models.zoo import create_model
from overfocus.training.checkpoint import load_run
from overfocus.training.experiment import Experiment, data_settings, settle
from overfocus.training.run import Run

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FILES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class CheckpointOptions:
    """How strangers are to be read: what a run says of itself, a bare file or name does not."""

    model: str = ""
    """Network of a bare file of weights."""
    settings: tuple[str, ...] = ()
    """`key=value` of its constructor."""
    weights: str = ""
    """File of weights for a model that is given by name."""
    at: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    best: bool = False


def run_of(what: str) -> Run | None:
    """Return the run that `what` is the folder of, or whose own weights it is."""
    path = Path(what)
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path not in (Run(folder).weights, Run(folder).best_weights):
        return None
    return Run(folder) if (folder / "manifest.json").is_file() or (folder / "experiment.toml").is_file() else None


def dataset_for(whats: Sequence[str], given: dict[str, Any]) -> tuple[Dataset, Experiment]:
    """Return the data that is requested, or else what the first run among `whats` was trained on.

    given: settings of `Experiment`'s data, such as {"data.name": "totem"}; those left out are the run's.
    """
    run = next((found for what in whats if (found := run_of(what))), None)
    if run is None and "data.name" not in given:
        raise OverfocusError(
            f"{whats[0]} does not say what it was trained on; give --data, a name of `overfocus datasets` or a folder"
        )
    if "data.name" in given or run is None:
        own = {f"data.{k}": v for k, v in data_settings(Preprocess.of_manifest(run.manifest())).items()} if run else {}
        channels = {"data.channels": run.manifest()["channels"]} if run and Path(given["data.name"]).exists() else {}
        experiment = settle(None, {**own, **channels, **given}, [])
    else:
        changes = {key.removeprefix("data."): value for key, value in given.items()}
        own = run.experiment()
        as_trained = own.data.preprocessed_as(Preprocess.of_manifest(run.manifest()))
        experiment = own.model_copy(update={"data": as_trained.model_copy(update=changes)})
    return experiment.dataset(), experiment


def split_of(dataset: Dataset, name: str = "") -> tuple[str, Split]:
    """Return the split `name`; by default the test images, else the validation images."""
    if name:
        if name not in dataset.splits:
            raise UnknownName(f"split of {dataset.name}", name, dataset.splits)
        return name, dataset.splits[name]
    names = [each for each in dataset.splits if each != "train"]
    if not names:
        raise OverfocusError(
            f"{dataset.name} has no images but those to train on; give --split train, and know that the figures flatter"
        )
    chosen = next((each for each in ("test", *names) if each in names and each != "val"), names[0])
    return chosen, dataset.splits[chosen]


def outsiders(
    what: str, sample: Sample, seed: int, root: str | None = None, on_bad_image: str = "error",
    preprocess: Preprocess = DEFAULT,
) -> Outliers:  # fmt: skip
    """Return the section that asks about images of a second data set `what` beside noise, in the size of `sample`.

    root: where named data sets lie. preprocess: how those of the first are read and fitted, and these too. The set is
    called by its name, that of a folder by the folder's.
    Raises OverfocusError for a set with other channels, and as loading it does.
    """
    how = replace(preprocess, size=sample.size, mean=(), std=())
    return _outsiders(what, how, sample.channels, seed, root, on_bad_image)


@lru_cache(maxsize=1)
def _outsiders(what: str, how: Preprocess, channels: int, seed: int, root: str | None, on_bad_image: str) -> Outliers:
    """Return the section; the runs of a study ask about the same images."""
    own: dict[str, Any] = {"data.channels": channels} if Path(what).exists() else {}
    own |= {f"data.{name}": value for name, value in data_settings(how).items()}
    dataset, _ = _second(what, root, **own, **{"data.on_bad_image": on_bad_image})
    _, split = split_of(dataset)
    other = from_split(split, limit=LIMIT, seed=seed, size=how.size, on_bad_image=on_bad_image)
    if other.channels != channels:
        raise OverfocusError(
            f"ood {what} has {other.channels} channels and the data {channels}; give a set with as many"
        )
    return Outliers(other=other, other_name=Path(what).name or Path(what).resolve().name)


def check_outsiders(what: str, root: str | None) -> None:
    """Raise what a second data set would raise later, before a study begins; "" is none."""
    if what:
        split_of(_second(what, root)[0])


def _second(what: str, root: str | None, **given: Any) -> tuple[Dataset, Experiment]:
    return dataset_for((), {"data.name": what, **({} if root is None else {"data.root": root}), **given})


def classifier_of(
    what: str, dataset: Dataset | None, options: CheckpointOptions, device: torch.device | str = "cpu"
) -> Classifier:
    """Return the model `what` with what it takes to show it the images of `dataset`.

    what: the folder of a run, its weights, a .safetensors/.pt/.pth file, `torchvision:NAME`, `timm:NAME`, a name of
        `overfocus models`, or `package.module:factory`.
    Raises OverfocusError for a checkpoint that is none, would run code, or does not fit; UnknownName for a name.
    """
    run = run_of(what)
    if run is None and dataset is None:
        raise OverfocusError(f"{what} does not say what its classes are; give --data, whose classes it was trained on")
    classifier = _of_run(what, run, dataset, options) if run else _of_stranger(what, dataset, options)  # type: ignore[arg-type]
    classifier.pixels.to(device)  # type: ignore[attr-defined]
    return classifier


def _of_run(what: str, run: Run, dataset: Dataset | None, options: CheckpointOptions) -> Classifier:
    manifest, experiment = run.manifest(), run.experiment()
    best = options.best or Path(what) == run.best_weights
    model = load_run(run.path, best=best)
    at = options.at or experiment.model.at
    name = f"{run.path.name if run.path.name not in ('', '.') else run.path.resolve().name}"
    epoch = "best epoch" if best else "last epoch"
    return Classifier(
        f"{name} ({experiment.method})", model, tuple(manifest["mean"]), tuple(manifest["std"]),
        tuple(manifest["classes"]), at,
        f"{what}, {epoch}{_shown_otherwise(manifest, dataset)}",
    )  # fmt: skip


def _shown_otherwise(manifest: dict[str, Any], dataset: Dataset | None) -> str:
    """Say where the images of `dataset` are read or fitted otherwise than those that the run was trained on."""
    if dataset is None:
        return ""
    trained, shown = data_settings(Preprocess.of_manifest(manifest)), data_settings(dataset.preprocess)
    changed = [f"{name}={trained[name]}, shown {value}" for name, value in shown.items() if trained[name] != value]
    return f"; trained with {', '.join(changed)}" if changed else ""


def _of_stranger(what: str, dataset: Dataset, options: CheckpointOptions) -> Classifier:
    path = Path(what)
    is_file = path.suffix.lower() in FILES or path.is_file()
    if path.is_dir():
        raise OverfocusError(f"{what} is a folder, but not of a run: no manifest.json; give a run or a file of weights")
    if is_file and not options.model:
        raise OverfocusError(
            f"{what} holds weights and does not say of which network; give --model NAME (`overfocus models`)"
        )
    name = (options.model if is_file else what).removeprefix("torchvision:")
    weights = what if is_file else options.weights or None
    channels = len(dataset.mean)
    settings = settle(None, {}, [f"model.settings.{each}" for each in options.settings]).model.settings
    model = create_model(name, len(dataset.classes), channels=channels, **settings)
    if weights is not None:
        from overfocus.models.checkpoints import load_weights

        load_weights(model, weights)  # strict: a head of other classes would be a new one, and its figures nonsense
    mean, std, whence = _normalisation(model, dataset, options, channels)
    own = "its own weights" if ":" in name and not name.startswith("timm:") else "new, random weights"
    note = f"{weights or own}; normalised with {whence}"
    return Classifier(
        path.name if is_file else what, model.eval(), mean, std, dataset.classes, options.at or "features", note
    )


def _normalisation(
    model: nn.Module, dataset: Dataset, options: CheckpointOptions, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Return mean, std, and where they come from: what is requested, what the model says of itself, else the data's."""
    if options.mean or options.std:
        if len(options.mean) != channels or len(options.std) != channels:
            raise OverfocusError(f"--mean and --std: the images have {channels} channels; give that many of both")
        return options.mean, options.std, "what was given"
    own = getattr(model, "pretrained_cfg", None)
    if isinstance(own, dict) and len(own.get("mean", ())) == channels:
        return tuple(own["mean"]), tuple(own["std"]), "what timm says of the model"
    return dataset.mean, dataset.std, "mean and std of the data's training images"

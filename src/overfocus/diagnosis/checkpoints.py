"""From what a person types to a model that can be examined: a run, a file of weights, or a name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from overfocus.core.classes import numbered
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.layer_name import FEATURES
from overfocus.core.preprocess import DEFAULT, Preprocess
from overfocus.data import Dataset, Split
from overfocus.data.joined import ALL, joined
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.examination import LIMIT
from overfocus.diagnosis.exported import has_labels
from overfocus.diagnosis.foreign import CheckpointOptions, Foreign, read_foreign
from overfocus.diagnosis.sample import Sample, from_split
from overfocus.diagnosis.sections.outliers import Outliers
from overfocus.models.checkpoint_preprocess import GIVE
from overfocus.regularizers.spec import parse
from overfocus.training.checkpoint import load_run
from overfocus.training.experiment import Experiment, data_settings, settle
from overfocus.training.run import Run

log = logging.getLogger(__name__)

FLOAT32 = "32-true"
GEOMETRY = ("size", "fit", "crop_share", "interpolation")
"""What of a preprocessing must be the same for models that are examined on the same images."""


def run_of(what: str) -> Run | None:
    """Return the run that `what` is the folder of, or whose own weights it is."""
    path = Path(what)
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path not in (Run(folder).weights, Run(folder).best_weights):
        return None
    return Run(folder) if (folder / "manifest.json").is_file() or (folder / "experiment.toml").is_file() else None


def dataset_for(
    whats: Sequence[str], given: dict[str, Any], options: CheckpointOptions | None = None
) -> tuple[Dataset, Experiment]:
    """Return the data that is requested, or else what the first run among `whats` was trained on.

    given: settings of `Experiment`'s data, such as {"data.name": "totem"}; those left out are the run's, or what the
        weights say of their pictures (size, fit, crop share, interpolation).
    Raises OverfocusError where the `whats` took their pictures in different ways and none was given.
    """
    if "data.name" in given:
        given = {**_as_weights_say(whats, given, options or CheckpointOptions()), **given}
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


def preprocess_for(what: str, options: CheckpointOptions) -> Preprocess | None:
    """Return how pictures were preprocessed for the model `what`, None where neither it nor the options say so."""
    if run := run_of(what):
        return Preprocess.of_manifest(run.manifest())
    known = read_foreign(what, options).preprocess
    return known.preprocess if known else None


def own_size(classifier: Classifier) -> int | tuple[int, int] | None:
    """Return the size that the model was made for, as far as it says so: timm notes it, torchvision's ViT keeps it."""
    noted = getattr(classifier.model, "pretrained_cfg", None)
    if isinstance(noted, dict) and len(noted.get("input_size", ())) == 3:
        return tuple(noted["input_size"][1:])  # type: ignore[return-value]
    side = getattr(classifier.model, "image_size", None)
    return side if isinstance(side, int) else None


def _as_weights_say(whats: Sequence[str], given: dict[str, Any], options: CheckpointOptions) -> dict[str, Any]:
    """Return the settings of the data that the weights which are no run's say, by dotted key."""
    said: dict[str, tuple[str, Any]] = {}
    foreign: dict[str, Any] = {}
    for what in whats:
        how = preprocess_for(what, options)
        if how is None:
            continue
        own = {f"data.{name}": getattr(how, name) for name in GEOMETRY if how.size is not None}
        own = {key: value for key, value in own.items() if key not in given}
        for key, value in own.items():
            other, before = said.setdefault(key, (what, value))
            if before != value:
                option = f"--{key.removeprefix('data.').replace('_', '-')}"
                raise OverfocusError(
                    f"{other} was trained with {option} {before} and {what} with {value}; examine them one by one, or "
                    f"give {option}"
                )
        if not run_of(what):
            channels = {"data.channels": len(how.mean)} if len(how.mean) in (1, 3) else {}
            foreign |= {**(channels if Path(given["data.name"]).exists() else {}), **own}
    return foreign


def split_of(dataset: Dataset, name: str = "") -> tuple[str, Split]:
    """Return the split `name`, or `all` together; by default the test images, else the validation images.

    Raises OverfocusError for images with several labels each.
    """
    next(iter(dataset.splits.values())).one_class("diagnose")
    if name == ALL and ALL not in dataset.splits:
        return name, joined(dataset)
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

    All images of a set that came without test images are asked about, else its test images. root: where named data
    sets lie. preprocess: how those of the first are read and fitted, and these too. The set is called by its name,
    that of a folder by the folder's.
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
    other_split = joined(dataset) if dataset.inventory.held_out else split_of(dataset)[1]
    other = from_split(other_split, limit=LIMIT, seed=seed, size=how.size, on_bad_image=on_bad_image)
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
    classifier = _of_run(what, run, dataset, options) if run else _of_stranger(what, dataset, options)
    classifier.pixels.to(device)  # type: ignore[attr-defined]
    return classifier


def _of_run(what: str, run: Run, dataset: Dataset | None, options: CheckpointOptions) -> Classifier:
    manifest, experiment = run.manifest(), run.experiment()
    if options.classes and options.classes != tuple(manifest["classes"]):
        raise OverfocusError(
            f"--classes: the run {what} has its own, {', '.join(manifest['classes'][:5])}; leave it out"
        )
    best = options.best or Path(what) == run.best_weights
    model = load_run(run.path, best=best)
    at = options.at or experiment.model.at
    name = f"{run.path.name if run.path.name not in ('', '.') else run.path.resolve().name}"
    epoch = "best epoch" if best else "last epoch"
    return Classifier(
        f"{name} ({experiment.method})", model, tuple(manifest["mean"]), tuple(manifest["std"]),
        tuple(manifest["classes"]), at,
        f"{what}, {epoch}{_shown_otherwise(manifest, dataset)}",
        trained_with=tuple(sorted(parse(experiment.method).fillings)),
        multi_label=bool(manifest.get("multi_label")),
        precision=precision if (precision := manifest.get("precision", "")) != FLOAT32 else "",
    )  # fmt: skip


def _shown_otherwise(manifest: dict[str, Any], dataset: Dataset | None) -> str:
    """Say where the images of `dataset` are read or fitted otherwise than those that the run was trained on."""
    if dataset is None:
        return ""
    trained, shown = data_settings(Preprocess.of_manifest(manifest)), data_settings(dataset.preprocess)
    changed = [f"{name}={trained[name]}, shown {value}" for name, value in shown.items() if trained[name] != value]
    return f"; trained with {', '.join(changed)}" if changed else ""


def _of_stranger(what: str, dataset: Dataset | None, options: CheckpointOptions) -> Classifier:
    foreign = read_foreign(what, options)
    classes = options.classes or foreign.classes or (dataset.classes if dataset else ())
    if not classes:
        raise OverfocusError(
            f"{what} does not say what its classes are; give --classes, or --data, whose classes it was trained on"
        )
    known = foreign.preprocess
    channels = len(dataset.mean) if dataset else len(known.preprocess.mean) if known else 3
    model, note = foreign.model(len(classes), channels, options.which)
    how, whence = _preprocess(foreign, model, dataset, channels)
    order = "" if options.classes or foreign.classes or foreign.untrained or not dataset else in_order_of(dataset)
    if order:
        log.warning("%s: %s", what, order)
    notes = (foreign.source, note, f"normalised with {whence}", order)
    return Classifier(
        foreign.title, model.eval(), how.mean, how.std, classes, options.at or FEATURES,
        "; ".join(filter(None, notes)), how.channel_order, multi_label=has_labels(what),
    )  # fmt: skip


def in_order_of(dataset: Dataset) -> str:
    """Return the warning that is due where weights do not say what their classes are called."""
    numbers = ", which are numbers" if numbered(dataset.classes) else ""
    few = ", ".join(dataset.classes[:5]) + ", ..." * (len(dataset.classes) > 5)
    return (
        f"no class names come with the weights, so their outputs are taken in the order of the data's classes{numbers} "
        f"({few}); --classes gives another"
    )


def _preprocess(
    foreign: Foreign, model: nn.Module, dataset: Dataset | None, channels: int
) -> tuple[Preprocess, str]:  # fmt: skip
    """Return how pictures are normalised, and who says so; OverfocusError where nobody does."""
    own = getattr(model, "pretrained_cfg", None)
    if foreign.preprocess:
        how, whence = foreign.preprocess
    elif foreign.checkpoint is None and isinstance(own, dict) and len(own.get("mean", ())) == channels:
        how, whence = Preprocess(mean=own["mean"], std=own["std"]), "what timm says of the model"
    elif foreign.untrained and dataset:
        how, whence = Preprocess(mean=dataset.mean, std=dataset.std), "mean and std of the data's training images"
    else:
        raise OverfocusError(
            f"{foreign.what} does not say how its pictures were normalised, and no guess is made: {GIVE}"
        )
    if len(how.mean) != channels:
        raise OverfocusError(
            f"{foreign.what}: {whence} is of {len(how.mean)} channels; the images have {channels} channels: give "
            "--mean and --std of as many"
        )
    return how, whence

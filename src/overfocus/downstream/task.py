"""The two tasks that a network is transferred to: detection and classification, trained alike for all starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.preprocess import Preprocess
from overfocus.data import Dataset
from overfocus.downstream.detect import (
    DetectEpoch,
    DetectSettings,
    average_precision,
    precision_metric,
    train_detector,
)
from overfocus.downstream.detector import Encoder, anchors_of, create_detector, shorter_side
from overfocus.downstream.load import load_objects
from overfocus.downstream.objects import ObjectSet
from overfocus.downstream.start import Start
from overfocus.models.pretrained import in_channels
from overfocus.study.work import device_of
from overfocus.training.evaluate import follows
from overfocus.training.experiment import Experiment, ModelSettings
from overfocus.training.loop import train
from overfocus.training.processes import Machine
from overfocus.training.run import Epoch, Run

OnEpoch = Callable[[Start, DetectEpoch | Epoch, int], None]
"""Called after every epoch with the start, the epoch, and the number of epochs."""


class Task(Protocol):
    """What trains from a start and gives scores."""

    def settings(self) -> dict[str, Any]:
        """Return all that the scores depend on beside the start, ready for JSON."""
        ...

    def score(self, start: Start, on_epoch: OnEpoch) -> dict[str, float]:
        """Train from `start`; return measure -> score in [0, 1], the one that is compared first."""
        ...


@dataclass(frozen=True)
class Detection:
    """Training a detector on the encoder of each start."""

    how: DetectSettings
    channels: int
    """Of the images that the starts were trained on."""
    seed: int | None = None
    """Of heads, order and random draws; None takes that of each run."""
    machine: Machine = Machine()  # noqa: RUF009 - frozen

    @cached_property
    def objects(self) -> ObjectSet:
        """The images, loaded once."""
        return load_objects(self.how.data, self.how.root, self.channels, self.how.preprocess)

    def settings(self) -> dict[str, Any]:
        """Return all that the scores depend on beside the start."""
        what = {"fingerprint": self.objects.fingerprint(), "note": self.objects.note}
        precision_metric()  # an error where it is not installed, before hours of training
        return {"task": "detect", **self.how.model_dump(mode="json"), "seed": self.seed, "images": what}

    def score(self, start: Start, on_epoch: OnEpoch) -> dict[str, float]:
        """Return the average precision, in [0, 1], of the detector after its last epoch."""
        how, manifest = self.how, start.run.manifest()
        seed = start.seed if self.seed is None else self.seed
        objects, device = self.objects.thinned(how.train_images, how.test_images, seed), device_of(self.machine)
        side = how.size or shorter_side(objects.train)
        detector = create_detector(
            Encoder(start.network(), self.channels, how.at, how.norm == "frozen"), len(objects.classes),
            anchors_of(objects.train, side), side=side, mean=manifest["mean"], std=manifest["std"],
            seed=Key.seeded(seed).fold_in("detector").seed(),
        )  # fmt: skip
        for epoch in train_detector(detector, objects.train, how, seed, device):
            on_epoch(start, epoch, how.epochs)
        return average_precision(detector, objects.test, how.batch, device)


@dataclass(frozen=True)
class Classification:
    """Fine-tuning each start, with a new last layer, on the data of an experiment."""

    how: Experiment
    """Data, method and recipe; the network is each start's."""
    out: Path
    """Where the fine-tuned runs lie, below `runs`."""
    seed: int | None = None
    machine: Machine = Machine()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        if self.how.model != ModelSettings.model_validate({}):
            raise OverfocusError("the network of a transfer is that of the runs; leave the settings model.* out")
        if self.how.seed:
            raise OverfocusError(
                f"seed={self.how.seed} as a setting: give --seed, or leave it out for that of each run"
            )

    @cached_property
    def data(self) -> Dataset:
        """The images as the experiment's own seed has them, for their fingerprint."""
        return self.how.dataset()

    def settings(self) -> dict[str, Any]:
        """Return all that the scores depend on beside the start."""
        how = self.how.model_dump(mode="json", exclude={"model", "seed"})
        return {"task": "classify", **how, "seed": self.seed, "images": {"fingerprint": self.data.fingerprint()}}

    def score(self, start: Start, on_epoch: OnEpoch) -> dict[str, float]:
        """Return the accuracy, in [0, 1], on every test split whose cues agree, after the last epoch."""
        weights = None if start.scratch else (self.out / "encoders" / f"{start.name}.safetensors").resolve()
        if weights is not None:
            start.save_encoder(weights)
        model = start.run.experiment().model.model_copy(update={"weights": str(weights) if weights else None})
        seed = start.seed if self.seed is None else self.seed
        # Pictures are normalised as for the encoder, from scratch as well: then nothing differs but the weights.
        normalised = in_channels(
            Preprocess.of_manifest(start.run.manifest()), self.data.splits["train"].images.channels
        )
        data = self.how.data.model_copy(update={"mean": normalised.mean, "std": normalised.std})
        experiment = self.how.model_copy(update={"data": data, "model": model, "seed": seed})
        run = Run(self.out / "runs" / start.name)
        for epoch in train(experiment, run.path, self.machine):
            on_epoch(start, epoch, experiment.recipe.epochs)
        scores = run.manifest()["last"]["scores"]
        return {name: score["accuracy"] for name, score in scores.items() if not follows(score)}

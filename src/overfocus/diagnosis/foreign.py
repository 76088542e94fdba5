"""Weights that are no run's: of which network they are, what their classes are, and how their pictures were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess
from overfocus.models.checkpoint_facts import class_names, is_transformers, network_of
from overfocus.models.checkpoint_files import Checkpoint, read_checkpoint
from overfocus.models.checkpoint_preprocess import Known, of_name, preprocess_of
from overfocus.models.checkpoints import fill
from overfocus.models.hub import located
from overfocus.models.zoo import create_model
from overfocus.training.experiment import settle

FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")


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
    classes: tuple[str, ...] = ()
    """Names of the classes in the order of the model's outputs."""
    which: str = ""
    """Of several weights in a file: "averaged", "raw", or where they lie; by default the averaged ones."""
    preprocess: str = ""
    """How pictures were preprocessed for them, by a name of `models.checkpoint_preprocess.of_name`."""
    channel_order: str = ""
    """"rgb" or "bgr"; by default what the weights say, else "rgb"."""


@dataclass(frozen=True, eq=False)
class Foreign:
    """A classifier that is no run: a file or folder of weights, or a name."""

    what: str
    """As it was typed."""
    network: str
    """Its name for `create_model`; "" where transformers makes it."""
    settings: Mapping[str, Any]
    checkpoint: Checkpoint | None
    """None where the name alone says everything."""
    classes: tuple[str, ...] | None
    """As the weights say; None where they do not."""
    preprocess: Known | None
    """As it was stated, else as the weights say; None where neither does."""

    @property
    def title(self) -> str:
        """What it is called on a page."""
        return Path(self.what).name if Path(self.what).exists() else self.what

    @property
    def untrained(self) -> bool:
        """Whether its weights are new and random, so that nothing was ever normalised for them."""
        own = ":" in self.network and not self.network.startswith("timm:")
        return self.checkpoint is None and not own

    @property
    def source(self) -> str:
        """Where the weights come from."""
        if self.checkpoint is not None:
            return str(self.checkpoint.path)
        return "new, random weights" if self.untrained else "its own weights"

    def model(self, classes: int, channels: int, which: str = "") -> tuple[nn.Module, str]:
        """Return the network with its weights, and what is to be said of their choice."""
        if not self.network:
            from overfocus.models.transformers_model import transformers_model

            assert self.checkpoint is not None
            return transformers_model(self.checkpoint.path.parent), ""
        model = create_model(self.network, classes, channels=channels, **self.settings)
        # strict: a head of other classes would be a new one, and its figures nonsense
        return model, fill(model, self.checkpoint, which=which).note if self.checkpoint is not None else ""


def read_foreign(what: str, options: CheckpointOptions) -> Foreign:
    """Return what is to be known of the file, folder or name `what`, without making the network.

    Raises OverfocusError for a file that is no checkpoint, would run code, or does not say of which network it is.
    """
    path = located(what)
    if path.is_dir() and not options.model and not (path / "config.json").is_file():
        raise OverfocusError(
            f"{what} is a folder, but not of a run: no manifest.json, no config.json; give a run, a file of weights, "
            "or --model NAME"
        )
    is_file = path.suffix.lower() in FILES or path.exists()
    weights = path if is_file else options.weights
    checkpoint = read_checkpoint(weights) if weights else None
    network, settings = _network(what, is_file, checkpoint, options)
    given = settle(None, {}, [f"model.settings.{each}" for each in options.settings]).model.settings
    return Foreign(
        what, network, {**settings, **given}, checkpoint,
        class_names(checkpoint) if checkpoint else None, _stated(options, checkpoint),
    )  # fmt: skip


def _network(
    what: str, is_file: bool, checkpoint: Checkpoint | None, options: CheckpointOptions
) -> tuple[str, Mapping[str, Any]]:  # fmt: skip
    """Return the name of the network and its settings: what was given goes before what the file says."""
    if options.model or not is_file:
        return (options.model if is_file else what).removeprefix("torchvision:"), {}
    assert checkpoint is not None
    if is_transformers(checkpoint):
        return "", {}
    found = network_of(checkpoint)
    if found is None:
        raise OverfocusError(
            f"{what} holds weights and does not say of which network; give --model NAME (`overfocus models`)"
        )
    return found


def _stated(options: CheckpointOptions, checkpoint: Checkpoint | None) -> Known | None:
    """Return the preprocessing: mean and std as given, what a given name means, or what the weights say."""
    known = of_name(options.preprocess) if options.preprocess else preprocess_of(checkpoint) if checkpoint else None
    if options.mean or options.std:
        if len(options.mean) != len(options.std) or max((*options.mean, *options.std), default=0) > 1:
            raise OverfocusError("--mean and --std: give one of each for every channel, in [0, 1]")
        base = known.preprocess if known else Preprocess()
        known = Known(replace(base, mean=options.mean, std=options.std), "what was given")
    if known and options.channel_order:
        known = Known(replace(known.preprocess, channel_order=options.channel_order), known.whence)  # type: ignore[arg-type]
    return known

"""An experiment as a value: data, model, method, recipe, seed. The run stores it with every default written out."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from overfocus.core.errors import OverfocusError
from overfocus.core.layer_name import FEATURES, OLD
from overfocus.core.preprocess import DEFAULT, Colour, Fit, Interpolation, Orientation, Preprocess
from overfocus.data import Augment, Dataset, Stream, load
from overfocus.data.decode import first_size
from overfocus.data.images import Images, TensorImages
from overfocus.data.load import fitted_set, parted
from overfocus.data.planted_shortcut import PlantedShortcut
from overfocus.data.subset import held_out
from overfocus.models.pretrained import in_channels
from overfocus.models.zoo import create_model
from overfocus.regularizers.regularizer import Regularizer
from overfocus.regularizers.spec import parse
from overfocus.training.folds import fold_of
from overfocus.training.origin import PREPROCESS, as_pretrained, check_normalised, data_settings
from overfocus.training.recipe import Recipe
from overfocus.training.settings import Folds, Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


LARGE, CUSTOMARY = 256, 224
"""Pixels: up to where images of one size stay as they are stored, and the side that most models are made for."""


class DataSettings(Settings):
    """Which images; see `overfocus.data.load`."""

    name: str = "totem"
    root: str | None = None
    size: int | tuple[int, int] | None = None
    per_class: int | None = Field(None, ge=1)
    fraction: float | None = Field(None, gt=0, le=1)
    val: float = Field(0.0, ge=0, lt=1)
    folds: Folds = 0
    """Cross-validation: seed s is tested on fold s mod `folds` of split number s // `folds` of all labelled images, and
    trained on the other folds. 0: the set's own test images, or those that are held out."""
    held_back: bool = False
    """Leave out all images but those for training and validation, so that nothing can be chosen on them."""
    labels: Literal["one", "multi"] = "one"
    """How many labels an image has in a CSV: one, its class, or any number."""
    boxes: str | None = None
    group: str | None = None
    """What images have in common besides their class: COLUMN of the CSV of labels, or FILE.csv:COLUMN."""
    channels: Literal[1, 3] | None = None
    fit: Fit = DEFAULT.fit
    """How photographs are brought to the size: crop, pad or squash; this and the five below as in `Preprocess`."""
    crop_share: float = Field(DEFAULT.crop_share, gt=0, le=1)
    interpolation: Interpolation = DEFAULT.interpolation
    orientation: Orientation = DEFAULT.orientation
    intensity: Literal["range", "percentile"] | tuple[float, float] = "range"
    background: Colour = DEFAULT.background
    mean: tuple[float, ...] | None = None
    """Normalisation of red, green and blue, or of grey, in [0, 1]; left out: what the weights say, for a network
    without weights that of the training images.
    """
    std: tuple[float, ...] | None = None
    download: bool = False
    on_bad_image: Literal["error", "skip"] = "error"
    workers: int = Field(0, ge=0)
    memory_gib: float = Field(4.0, ge=0)
    """Sets up to this size, decoded, lie on the device as a whole."""
    augment: Augment | None = None
    """Left out: what is customary for the set."""
    shortcut: PlantedShortcut | None = None
    """A shortcut painted into the images on purpose."""

    @field_validator("intensity", "background")
    @classmethod
    def _possible(cls, value: Any, info: Any) -> Any:
        return getattr(Preprocess(**{str(info.field_name): value}), str(info.field_name))

    @model_validator(mode="after")
    def _normalisation(self) -> DataSettings:
        mean, std = self.mean or (), self.std or ()
        if len(mean) != len(std) or not all(0 <= m <= 1 and 0 < s <= 1 for m, s in zip(mean, std, strict=True)):
            raise ValueError("--mean and --std: give one of each for every channel, in [0, 1]")
        return self

    @model_validator(mode="after")
    def _of_one_class(self) -> DataSettings:
        given = [name for name in ("per_class", "folds", "group", "shortcut") if getattr(self, name)]
        if self.labels == "multi" and given:
            raise ValueError(
                f"data.{given[0]} is for images with one class each, and data.labels = 'multi' gives them several; "
                "leave it out (data.fraction trains on a part)"
            )
        return self

    @property
    def preprocess(self) -> Preprocess:
        """The settings of how pictures are read and fitted, as one value; mean and std are the data's."""
        return Preprocess(size=self.size, **{name: getattr(self, name) for name in PREPROCESS})  # type: ignore[arg-type]

    def preprocessed_as(self, how: Preprocess) -> DataSettings:
        """Return the same settings with pictures read and fitted as `how` says."""
        return self.model_copy(update=data_settings(how))


class ModelSettings(Settings):
    """Which network; see `overfocus.models.create_model`."""

    name: str = "overfocus_cnn"
    at: str = FEATURES
    """The layer whose output feature methods act on."""

    @field_validator("at")
    @classmethod
    def _spelled(cls, at: str) -> str:
        """Read the old spelling of the cut, which stands in files."""
        return FEATURES if at == OLD else at

    stem: str = ""
    weights: str | None = None
    """A file or folder of pretrained weights, a run, or hf:OWNER/NAME; a head of another number of classes is left new.
    They bring their network and their preprocessing, as far as they say it.
    """
    which_weights: str = ""
    """Of several in a file: "averaged", "raw", or where they lie; left out: the averaged ones, where there are any."""
    preprocess: str = ""
    """How pictures were preprocessed for weights that do not say it: imagenet, half, timm:NAME, torchvision:WEIGHTS."""
    pretrained: str = ""
    """A tag of published weights, or "default"; see `overfocus.models.pretrained`. They bring their preprocessing, and
    `recipe.tune` is then "lp-ft". With `weights` too they are in that file.
    """
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the model's own constructor takes."""

    @field_validator("settings")
    @classmethod
    def _of_the_constructor(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for name in ("stem", "weights", "which_weights", "preprocess", "pretrained"):
            if name in settings:
                raise ValueError(f"model.settings.{name}: the model's constructor does not get it; set model.{name}")
        return settings


class Experiment(Settings):
    """All settings of one training run."""

    data: DataSettings = DataSettings.model_validate({})
    model: ModelSettings = ModelSettings.model_validate({})
    method: str = "plain"
    recipe: Recipe = Recipe.model_validate({})
    seed: int = Field(0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, values: Any) -> Any:
        return with_usual_augment(as_pretrained(values))

    @model_validator(mode="after")
    def _of_one_class(self) -> Experiment:
        if self.data.labels == "multi" and self.recipe.balance != "none":
            raise ValueError(
                f"recipe.balance = {self.recipe.balance!r} is for images with one class each, and data.labels = 'multi'"
                " gives them several; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _from_weights(self) -> Experiment:
        given = self.model.pretrained or self.model.weights
        if self.recipe.tune != "scratch" and not given:
            raise ValueError(
                f"recipe.tune = {self.recipe.tune!r} is for a pretrained network; give --pretrained, or --weights FILE"
            )
        if self.recipe.tune == "scratch" and self.model.pretrained:
            raise ValueError(
                "recipe.tune = 'scratch' and --pretrained exclude one another; give lp-ft, full, last-stage or probe"
            )
        return self

    @field_validator("method")
    @classmethod
    def _spelled(cls, spec: str) -> str:
        return str(parse(spec))

    @property
    def regularizer(self) -> Regularizer:
        """The method as a value."""
        return parse(self.method)

    def dataset(self) -> Dataset:
        """Load the data: the same subset for the same seed, whatever model and method."""
        data = self.data
        parts: Any = {"per_class": data.per_class, "fraction": data.fraction, "val": data.val, "seed": self.seed}
        dataset = load(
            data.name, root=data.root, size=data.size, download=data.download, boxes=data.boxes, group=data.group,
            labels=data.labels, channels=data.channels, preprocess=data.preprocess, **({} if data.folds else parts),
        )  # fmt: skip
        if data.folds:
            dataset = parted(fold_of(dataset, data.folds, self.seed), **parts)
        if data.held_back:
            dataset = replace(dataset, splits={k: v for k, v in dataset.splits.items() if k in ("train", "val")})
        dataset = dataset if data.size is not None else _of_one_size(dataset, data.preprocess)
        dataset = dataset if data.shortcut is None else data.shortcut.into(dataset, self.seed)
        return self.prepared(dataset)

    def prepared(self, dataset: Dataset) -> Dataset:
        """Return data as this network and recipe want it: normalised as for its weights, and with images
        held out where what is tuned is judged by them. What is so already stays as it is.
        """
        if self.data.mean is not None and self.data.std is not None:
            how = Preprocess(mean=self.data.mean, std=self.data.std)
            how = in_channels(how, next(iter(dataset.splits.values())).images.channels)
            dataset = replace(dataset, mean=how.mean, std=how.std)
        return held_out(dataset, self.seed) if self.recipe.judged else dataset

    def stream(self, dataset: Dataset, name: str, **place: Any) -> Stream:
        """Return the batches of the split `name`; `place` is device, rank and world."""
        split, data = dataset.splits[name], self.data
        size = data.size if data.size is not None else first_size(split.images)
        side = size if isinstance(size, int) else min(size)
        tuned = self.recipe.tune != "scratch"
        augment = data.augment if data.augment is not None else Augment.default_for(dataset.name, side, tuned)
        return Stream(
            split, batch=self.recipe.batch, mean=dataset.mean, std=dataset.std, size=data.size, seed=self.seed,
            augment=augment, train=name == "train", workers=data.workers, balanced=self.recipe.balance == "sampler",
            memory_budget_bytes=int(data.memory_gib * 2**30), on_bad_image=data.on_bad_image, **place,
        )  # fmt: skip

    def check(self) -> None:
        """Raise OverfocusError where nobody says how pictures are normalised for the weights."""
        check_normalised(self.model, self.data)

    def create_model(self, classes: int, channels: int) -> Any:
        """Create the network; its first weights depend on the seed alone."""
        import torch

        model = self.model
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return create_model(
                model.name, classes, channels=channels, stem=model.stem, weights=model.weights,
                which_weights=model.which_weights, pretrained=model.pretrained, **model.settings,
            )  # fmt: skip

    def toml(self) -> str:
        """Return the experiment as TOML, every default written out."""
        import tomli_w

        return tomli_w.dumps(without_none(self.model_dump(mode="json")))


def with_usual_augment(values: Any) -> Any:
    """Write out in settings of a network that is tuned what is left out of an `augment` that is given in part: what is
    usual for the set. A policy that changes colours takes the place of the jitter, as in timm.
    """
    tables = [values.get(name) if isinstance(values, dict) else None for name in ("data", "recipe")]
    data, recipe = (table if isinstance(table, dict) else {} for table in tables)
    given = data.get("augment")
    if not isinstance(given, dict) or not given or recipe.get("tune", "scratch") == "scratch":
        return values
    usual = asdict(Augment.default_for(str(data.get("name", "")), CUSTOMARY, tuned=True))
    if given.get("policy", "none") != "none":
        usual["jitter"] = 0.0
    return {**values, "data": {**data, "augment": {**usual, **given}}}


def _of_one_size(dataset: Dataset, how: Preprocess) -> Dataset:
    """Bring photographs to one size where none is given: those that differ in size, or are larger than any model's."""
    sizes = sorted({size for split in dataset.splits.values() for size in stored_sizes(split.images)}, key=min)
    if not sizes or (len(sizes) == 1 and min(sizes[0]) <= LARGE):
        return dataset
    shorter = sorted(min(size) for size in stored_sizes(next(iter(dataset.splits.values())).images))
    side = min(CUSTOMARY, max(8, shorter[len(shorter) // 2] // 8 * 8))
    (low, high), name = ("{} x {}".format(*size) for size in (sizes[0], sizes[-1])), f"{side} x {side}"
    stored = f"{low} to {high}" if low != high else low
    said = dataset.noting(f"Images are stored at {stored} pixels and were brought to {name}; --size gives another.")
    return fitted_set(said, replace(how, size=(side, side)))


def stored_sizes(images: Images, most: int = 512) -> list[tuple[int, int]]:
    """Return height and width of `most` images at even distances, those that cannot be read apart."""
    if isinstance(images, TensorImages):
        return [images.size(0)]
    sizes = []
    for row in range(0, len(images), max(1, len(images) // most)):
        with suppress(OverfocusError):
            sizes.append(images.size(row))
    return sizes


def read_experiment(path: str | Path) -> Experiment:
    """Read a TOML file; unknown keys are errors that name the nearest one."""
    return settle(Path(path), {}, [])


def settle(path: Path | None, given: dict[str, Any], changes: list[str]) -> Experiment:
    """Put together what a TOML file says, what is `given` by dotted key, and `changes` such as `recipe.epochs=3`, the
    later over the earlier.
    """
    values = put_together(read_toml(path) if path is not None else {}, given, changes)
    return Experiment.read(values, str(path) if path is not None else "settings")


def put_together(values: dict[str, Any], given: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """Put what is `given` by dotted key, and `changes` such as `recipe.epochs=3`, into `values`; return them."""
    for key, value in given.items():
        _put(values, key, value)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key.strip():
            raise OverfocusError(f"--set {change!r}: write key=value, for example recipe.epochs=3")
        _put(values, key.strip(), _value(text))
    return values


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; OverfocusError where there is none, or where it is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OverfocusError(
            f"no experiment file {str(path)!r}; give a TOML file, or options such as --data and --method"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise OverfocusError(f"{path} is not a TOML file: {error}") from None


def _value(text: str) -> Any:
    """Read a value as TOML and, where it is none, as text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *tables, name = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise OverfocusError(f"{key}: {table!r} is a value, not a table of settings")
    values[name] = value


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is None, since TOML has no null."""
    return {k: without_none(v) if isinstance(v, dict) else v for k, v in values.items() if v is not None}

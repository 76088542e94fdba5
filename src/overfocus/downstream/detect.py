"""The training of a detector, as a stream of epochs, and its average precision."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isfinite, nan
from time import perf_counter
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.layer_name import FEATURES, OLD
from overfocus.core.preprocess import DEFAULT, Colour, Orientation, Preprocess
from overfocus.downstream.detector import HEADS
from overfocus.downstream.objects import Objects
from overfocus.models.surgery import parameter_groups
from overfocus.training.recipe import Recipe
from overfocus.training.settings import Settings

MEASURES = ("mAP", "AP50", "AP75")
"""Mean average precision in [0, 1], higher is better: averaged over overlaps of 0.5 to 0.95, at 0.5, at 0.75."""


class DetectSettings(Settings):
    """How a detector is trained; the same for every run and every control."""

    data: str = "totem-scenes"
    root: str | None = None
    orientation: Orientation = DEFAULT.orientation
    """How pictures are turned, brought to 8 bits and laid on a background: see `Preprocess`."""
    intensity: Literal["range", "percentile"] | tuple[float, float] = "range"
    background: Colour = DEFAULT.background
    train_images: int | None = Field(None, ge=1)
    """Train on at most so many; fewer are among those that are drawn for more."""
    test_images: int | None = Field(None, ge=1)
    size: int | None = Field(None, ge=16)
    """Pixels of the shorter side; left out, that of most images."""
    at: str = FEATURES
    """The layer where the encoder ends."""

    @field_validator("at")
    @classmethod
    def _spelled(cls, at: str) -> str:
        """Read the old spelling of the cut, which stands in files."""
        return FEATURES if at == OLD else at

    norm: Literal["trained", "frozen"] = "trained"
    """Whether batch norms learn with the rest, or keep what they came with."""
    flip: bool = False
    """Mirror half of the training images left and right."""
    epochs: int = Field(12, ge=1)
    batch: int = Field(8, ge=1)
    lr: float = Field(0.02, gt=0)
    """Peak learning rate of the heads; SGD with Nesterov momentum, warmup and a cosine."""
    encoder_lr: float = Field(1.0, ge=0)
    """Learning rate of the encoder as a share of the heads'; 0 freezes it."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    clip: float = Field(10.0, ge=0)
    """Largest norm of the gradient; 0 leaves it."""

    @property
    def preprocess(self) -> Preprocess:
        """How pictures are read, as one value."""
        return Preprocess(orientation=self.orientation, intensity=self.intensity, background=self.background)


@dataclass(frozen=True)
class DetectEpoch:
    """The figures of one pass over the training images."""

    number: int
    """Counted from 1."""
    loss: float
    """Mean of the four losses' sum."""
    images_per_second: float


def train_detector(
    detector: nn.Module, objects: Objects, settings: DetectSettings, seed: int, device: torch.device
) -> Iterator[DetectEpoch]:
    """Train `detector` in place on `objects`, yielding each epoch.

    Order, flips and the samples of proposals depend on `seed` alone; the global random state is restored.
    Raises OverfocusError for a loss that is not finite, and for an image that cannot be read.
    """
    detector.to(device)
    groups = parameter_groups(
        detector, lr=settings.lr, weight_decay=settings.weight_decay, encoder_lr_scale=settings.encoder_lr,
        head_prefixes=HEADS,
    )  # fmt: skip
    peaks = [group["lr"] for group in groups]
    optimizer = torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)
    steps, schedule = ceil(len(objects) / settings.batch), Recipe.model_validate({"warmup": settings.warmup})
    for number in range(1, settings.epochs + 1):
        started, total = perf_counter(), 0.0
        # What torchvision samples of the proposals it draws from the global state.
        with torch.random.fork_rng():
            torch.manual_seed(Key.seeded(seed, number).fold_in("proposals").seed())
            detector.train()
            for step, batch in enumerate(_batches(objects, settings, Key.seeded(seed, number), device)):
                rate = schedule.rate((number - 1 + (step + 0.5) / steps) / settings.epochs)
                for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                    group["lr"] = peak * rate
                total += _step(detector, optimizer, batch, settings.clip)
        if not isfinite(total):
            raise OverfocusError(
                f"the loss of epoch {number} is {total}; lower the learning rate (--lr, now {settings.lr:g})"
            )
        yield DetectEpoch(number, total / steps, len(objects) / (perf_counter() - started))


Scene = tuple[list[Tensor], list[dict[str, Tensor]]]
"""Images in [0, 1] and their targets, as torchvision takes them."""


def _step(detector: nn.Module, optimizer: torch.optim.Optimizer, batch: Scene, clip: float) -> float:
    losses = detector(*batch)
    loss = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad()
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_(detector.parameters(), clip)
    optimizer.step()
    return float(loss.detach())


def _batches(objects: Objects, settings: DetectSettings, key: Key, device: torch.device) -> Iterator[Scene]:
    order = key.fold_in("order").order(len(objects))
    flipped = (key.fold_in("flip").uniform(len(objects))[:, 0] < 0.5) & settings.flip
    for rows in order.split(settings.batch):
        yield _scene(objects, rows.tolist(), flipped.tolist(), device)


def _scene(objects: Objects, rows: list[int], flipped: list[bool], device: torch.device) -> Scene:
    images, targets = [], []
    for row in rows:
        image, boxes = objects.images.read(row).to(device), objects.boxes[row].to(device, torch.float32)
        if flipped[row]:
            image, boxes = mirrored(image, boxes)
        images.append(image.float() / 255)
        targets.append({"boxes": boxes, "labels": objects.labels[row].to(device) + 1})
    return images, targets


def mirrored(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror an image [C, H, W] and its boxes [n, 4] left and right."""
    x0, y0, x1, y1 = boxes.unbind(1)
    width = image.shape[-1]
    return image.flip(-1), torch.stack((width - x1, y0, width - x0, y1), dim=1)


@torch.no_grad()
def average_precision(detector: nn.Module, objects: Objects, batch: int, device: torch.device) -> dict[str, float]:
    """Return the measures of a detector on `objects`, by torchmetrics and pycocotools; NaN where there are no boxes."""
    metric, unflipped = precision_metric(), [False] * len(objects)
    detector.eval()
    for rows in torch.arange(len(objects)).split(batch):
        images, targets = _scene(objects, rows.tolist(), unflipped, device)
        detections = [{name: value.cpu() for name, value in each.items()} for each in detector(images)]
        metric.update(detections, [{name: value.cpu() for name, value in each.items()} for each in targets])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of more than 100 boxes on an image, which are not counted
        answer = metric.compute()
    values = (float(answer[name]) for name in ("map", "map_50", "map_75"))
    return {name: value if value >= 0 else nan for name, value in zip(MEASURES, values, strict=True)}


def precision_metric() -> Any:
    """Return torchmetrics' mean average precision; OverfocusError where it, or pycocotools, is not installed."""
    try:
        from torchmetrics.detection import MeanAveragePrecision

        return MeanAveragePrecision(backend="pycocotools")
    except ImportError as error:
        raise OverfocusError(
            "average precision needs torchmetrics and pycocotools: pip install 'overfocus[detect]'"
        ) from error

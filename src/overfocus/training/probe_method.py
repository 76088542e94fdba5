"""A linear probe that is trained with a method, instead of the closed logistic regression.

Methods that act on features act in the probe too: the network below the head stays as it is, so its last maps are the
same in every epoch and are computed once, and a method costs the head alone. What acts on images, or at an earlier
layer, acts in fine-tuning only.

The head begins as the closed probe, in whose evidence SGDrop finds something to hide, and keeps its strength: the loss
is the mean cross-entropy + lambda / (2 N) |weight|^2 on standardised features, without smoothing, as the closed one's;
the method alone makes the difference. SGD with Nesterov momentum from a rate that is safe for these features, by half a
cosine to 0. Not AdamW: its steps are as long where the gradient is noise, and so it leaves the closed probe of few
images even with a method that does next to nothing (leeds-butterfly, 20 of each class, 3 draws: 0.980 to 0.963).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import cos, nan, pi

import torch
from torch import Tensor, nn

from overfocus.attribution.head import Head
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.modes import in_mode
from overfocus.models.split import SplitModel, split
from overfocus.models.surgery import classifier_name
from overfocus.regularizers.regularizer import FEATURES, Chain, Group, Regularizer
from overfocus.training.linear_probe import Features, LinearHead
from overfocus.training.objective import Objective

GIB = 1.0
"""Maps of up to this size in float32 stay in memory; more are computed again in every epoch."""
BATCH, MOMENTUM = 64, 0.9
IMAGES, FEWEST, MOST = 20_000, 5, 400
"""Images that the head is shown, each counted in every epoch, and the bounds of the epochs that this makes."""
Images = Callable[[Tensor], Iterator[Tensor]]
"""Rows [N] -> their images, `BATCH` at a time: [B, C, H, W], normalised, on the device."""


def split_up(method: Regularizer) -> tuple[str, str]:
    """Return the specs of what acts at the last features, and of what acts elsewhere; "" for nothing."""
    members = method.members if isinstance(method, Chain) else (method,)
    here = [acts(feature_part(each)) for each in members]
    parts = (
        [each for each, is_here in zip(members, here, strict=True) if is_here is chosen] for chosen in (True, False)
    )
    mine, others = (" + ".join(map(str, part)) for part in parts)
    return mine, others


def feature_part(method: Regularizer) -> Regularizer:
    """Return what of `method` acts at the last features; the numbers of its members, and so their draws, stay."""
    return method.acting(frozenset({FEATURES}))


def acts(method: Regularizer) -> bool:
    """Whether `method` does anything."""
    return any(acts(each) for each in method.members) if isinstance(method, Group) else method != Chain()


def no_pooled_head(model: nn.Module) -> str:
    """Return "" where the head of `model` is mean pooling and one linear layer, else what it is instead."""
    try:
        cut = split(model)
    except OverfocusError as error:
        return str(error)
    pooled = Head.of(model, cut.classify).linear == classifier_name(model)
    return "" if pooled else f"the head of {type(model).__name__} is not mean pooling and one linear layer"


@dataclass(frozen=True, eq=False)
class Maps:
    """The last maps of N images, kept or computed on demand."""

    model: nn.Module
    """In evaluation mode while maps are computed."""
    cut: SplitModel
    images: Images
    labels: Tensor
    """[N] int64, on the device."""
    kept: Tensor | None = None
    """[N, D, h, w] or [N, D]."""

    def looked_at(self) -> tuple[Maps, Features, int]:
        """Compute the maps once; return them, kept if they fit into `GIB`, their means, and their positions."""
        kept, pooled, positions = [], [], 1
        for values in self._computed(torch.arange(len(self.labels))):
            positions = values[0, 0].numel()
            fits = values[0].numel() * len(self.labels) * 4 <= GIB * 2**30
            kept += [values] if fits else []
            pooled.append(mean_over_positions(values).cpu())
        maps = replace(self, kept=torch.cat(kept) if kept else None)
        return maps, Features(torch.cat(pooled), self.labels.cpu()), positions

    def batches(self, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (maps, labels) of the rows `order` [N], `BATCH` at a time."""
        rows = order.split(BATCH)
        values = (self.kept[each] for each in rows) if self.kept is not None else self._computed(order)
        for each, value in zip(rows, values, strict=True):
            yield value, self.labels[each]

    @torch.no_grad()
    def _computed(self, rows: Tensor) -> Iterator[Tensor]:
        dtype = next((each.dtype for each in self.model.parameters()), torch.float32)
        for images in self.images(rows):
            with in_mode(self.model.modules()):
                values = self.cut.encode(self.model, images.to(dtype)).float()
            yield values


def mean_over_positions(values: Tensor) -> Tensor:
    """Return maps [B, D, h, w] pooled: [B, D]; features [B, D] as they are."""
    return values if values.ndim == 2 else values.flatten(2).mean(dim=2)


class StandardHead(nn.Module):
    """Mean pooling, standardised features, a linear layer: what the closed probe fits, with its cut before pooling."""

    def __init__(self, start: LinearHead, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.linear = nn.Linear(len(mean), len(start.bias), device=mean.device)
        with torch.no_grad():
            self.linear.weight.copy_(start.weight.to(mean) * scale)
            self.linear.bias.copy_(start.bias.to(mean) + start.weight.to(mean) @ mean)

    mean: Tensor
    scale: Tensor

    def encode(self, maps: Tensor) -> Tensor:
        """Return the maps, which are features already."""
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Return the logits [B, K]."""
        return self.linear((mean_over_positions(maps) - self.mean) / self.scale)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the logits [B, K]."""
        return self.classify(self.encode(maps))

    def raw(self) -> tuple[Tensor, Tensor]:
        """Return weight [K, D] and bias [K] on features that are not standardised."""
        weight = self.linear.weight.detach() / self.scale
        return weight.cpu(), (self.linear.bias.detach() - weight @ self.mean).cpu()


def epochs_for(images: int) -> int:
    """Return how often the head is shown so many images."""
    return min(max(round(IMAGES / max(images, 1)), FEWEST), MOST)


def trained_head(start: LinearHead, maps: Maps, pooled: Features, method: Regularizer, key: Key) -> LinearHead:
    """Train the head from `start` with the feature methods of `method`; `key` makes the orders and their draws."""
    device, count = maps.labels.device, len(pooled.labels)
    mean, scale = pooled.values.mean(dim=0), pooled.values.std(dim=0, correction=0)
    head = StandardHead(start, mean.to(device), torch.where(scale > 0, scale, 1).to(device))
    epochs, steps = epochs_for(count), -(-count // BATCH)
    objective = Objective(head, feature_part(method), seed=key.fold_in("draws").seed(), steps=epochs * steps).to(device)
    rate = safe_rate((pooled.values - mean) / head.scale.cpu())
    optimizer = torch.optim.SGD(head.parameters(), lr=rate, momentum=MOMENTUM, nesterov=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_falling, updates=epochs * steps))
    objective.train()
    for epoch in range(epochs):
        for values, labels in maps.batches(key.fold_in("order").fold_in(epoch).order(count)):
            penalty = start.penalty / (2 * count) * head.linear.weight.square().sum()
            optimizer.zero_grad()
            (objective(values, labels, None, 0) + penalty).backward()
            optimizer.step()
            schedule.step()
    objective.report()
    return LinearHead(*head.raw(), start.penalty, nan)  # no held-out fold has seen this one


def safe_rate(features: Tensor) -> float:
    """Return the rate of SGD on standardised `features` [N, D]: with momentum a step is one over the largest eigenvalue
    of their covariance, half of what plain descent of a softmax bears (Böhning, 1992), masked features being longer.
    """
    gram = features.T @ features if len(features) > features.shape[1] else features @ features.T
    return (1 - MOMENTUM) * len(features) / float(torch.linalg.eigvalsh(gram.double())[-1])


def _falling(update: int, updates: int) -> float:
    """Return the rate of an update, counted from 0, as a share of its peak: half a cosine."""
    return 0.5 * (1 + cos(pi * (update + 0.5) / updates))

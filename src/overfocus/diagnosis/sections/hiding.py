"""What does hiding cost? Accuracy as a growing share of each image is hidden, by where the model looks and by controls.

Each way of hiding is an order of the pixels; a share s hides the first s of them. So all ways hide the same number of
pixels, and their curves can be laid over one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.diagnosis.attacks.attack import named
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.sample import Portion, Sample
from overfocus.diagnosis.section import Chart, Finding, Line, OnProgress, Section
from overfocus.diagnosis.wording import enough, percent
from overfocus.metrics.hiding import KEPT_AREA, OVERFOCUS, area_under, overfocus
from overfocus.metrics.score import Score, mean_interval

KINDS = {
    "salient": "most salient first",
    "blobs": "random blobs of the same shape",
    "pixels": "random pixels",
    "least": "least salient first",
    "centre": "centre box",
    "border": "all but a centre box",
}
"""Ways of hiding. `blobs` is the control of `salient`: the same map, turned over and moved to a random place (across
the edges), so that it hides as much in pieces of the same form. `centre` and `border` are the centre and boundary
occlusion of the CutMix paper (1905.04899, figure 4).
"""
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Hiding(Section):
    """Accuracy under hiding, and the overfocus score."""

    name: ClassVar[str] = "hiding"
    title: ClassVar[str] = "What hiding costs"
    question: ClassVar[str] = "Does it still know the object when the part that it leans on is hidden?"
    order: ClassVar[int] = 40
    passes: ClassVar[int] = 25
    headline: ClassVar[tuple[str, ...]] = ("overfocus", "area_salient", "area_blobs")
    shares: tuple[float, ...] = SHARES

    def collect(
        self, classifier: Classifier, sample: Sample, evidence: Evidence, on_progress: OnProgress
    ) -> dict[str, np.ndarray]:
        """Return hiding/KIND/right [S, N]: 1 where still right, 0 where not, NaN where the image has no map."""
        right = {kind: torch.full((len(self.shares), len(sample)), torch.nan) for kind in KINDS}
        work, done = len(KINDS) * len(sample), 0
        for portion in sample.batches(None):
            maps = evidence.predicted_maps(portion.rows, sample.size).to(classifier.device)
            orders = orders_of(
                maps, Key.seeded(evidence.seed, device=classifier.device).fold_in("hiding"), portion.rows
            )
            whole = (named(evidence.logits[portion.rows]) == sample.labels[portion.rows]).to(classifier.device)
            for kind, order in orders:
                right[kind][:, portion.rows] = self._hide(classifier, portion, order, whole).cpu()
                done += len(portion.labels)
                on_progress(self.title, done, work)
            flat = ~_has_mass(maps).cpu()
            for kind in ("salient", "blobs", "least"):
                right[kind][:, portion.rows[flat]] = torch.nan
        arrays = {f"hiding/{kind}/right": values.numpy() for kind, values in right.items()}
        return {"hiding/shares": np.array(self.shares, np.float32), **arrays}

    def _hide(self, classifier: Classifier, portion: Portion, order: Tensor, whole: Tensor) -> Tensor:
        """Return whether each image is still right with each share hidden: [S, B] float. `whole` [B] is that of 0."""
        pixels, labels = portion.pixels.to(classifier.device), portion.labels.to(classifier.device)
        with torch.no_grad():
            rows = [
                (named(classifier(hidden(pixels, order, share, classifier.fill))) == labels) if share else whole
                for share in self.shares
            ]
        return torch.stack(rows).float()

    def evaluate(self, evidence: Evidence) -> Finding:
        """Compute the overfocus score, areas, and curves with intervals."""
        shares = evidence.tensor("hiding/shares")
        right = {kind: evidence.tensor(f"hiding/{kind}/right") for kind in KINDS}
        per_image = {
            "overfocus": (OVERFOCUS, overfocus(right["salient"], right["blobs"], shares)),
            "overfocus_pixels": (OVERFOCUS, overfocus(right["salient"], right["pixels"], shares)),
            **{f"area_{kind}": (KEPT_AREA, area_under(values, shares)) for kind, values in right.items()},
        }
        lines = tuple(curve(KINDS[kind], shares, right[kind], kind == "blobs", evidence.seed) for kind in KINDS)
        chart = Chart("Accuracy as more is hidden", "hidden share of the pixels", "accuracy", lines)
        notes = (
            "Hidden pixels take the mean colour that the model was normalised with. The overfocus score is the area "
            "between the curves of random blobs of the same shape and of the most salient part.",
            "A model trained with hidden parts (Cutout, CutMix) is used to holes, so compare at equal accuracy.",
        )
        return self.found(
            lambda scores: _sentence(scores, shares, right), per_image, evidence.seed, charts=(chart,), notes=notes
        )


def _sentence(scores: Mapping[str, Score], shares: Tensor, right: Mapping[str, Tensor]) -> str:
    fifth = int((shares - 0.2).abs().argmin())
    share = percent(float(shares[fifth]))
    cost = {kind: float(right[kind][0].nanmean() - right[kind][fifth].nanmean()) for kind in ("salient", "blobs")}
    score = scores["overfocus"]
    return (
        f"Hiding the most salient {share} of the pixels costs {percent(cost['salient'])} of accuracy, hiding random "
        f"blobs of the same shape {percent(cost['blobs'])}. Overfocus score {score}. {enough(score)}"
    )


def orders_of(maps: Tensor, key: Key, rows: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield each kind with the order in which it hides pixels: [B, H W] int64, 0 first.

    maps: [B, H, W]; rows [B]: positions in the sample, which the draws are keyed by.
    """
    count, height, width = maps.shape
    positions = height * width
    key = key.at(rows)  # the same numbers for an image in any batch
    noise = key.fold_in("noise").uniform(count, positions)
    salient = ranks(-maps.nan_to_num().flatten(1), noise)
    centred = centre_distance(height, width, maps.device).expand(count, -1)
    yield "salient", salient
    yield "blobs", elsewhere(salient.view(maps.shape), key.fold_in("elsewhere")).flatten(1)
    yield "pixels", ranks(noise, noise)
    yield "least", positions - 1 - salient
    yield "centre", ranks(centred, noise)
    yield "border", ranks(-centred, noise)


def ranks(values: Tensor, noise: Tensor) -> Tensor:
    """Return the place of each of `values` [B, N] in ascending order; ties are broken by `noise` [B, N]."""
    shuffled = noise.argsort(dim=1)
    order = shuffled.gather(1, values.gather(1, shuffled).argsort(dim=1, stable=True))
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter(1, order, places)


def elsewhere(maps: Tensor, key: Key) -> Tensor:
    """Return each of `maps` [B, H, W] turned over by chance and moved to a random place, across the edges."""
    count, height, width = maps.shape
    drawn = key.uniform(count, 4)
    y = torch.arange(height, device=maps.device) + (drawn[:, 0] * height).long()[:, None]
    x = torch.arange(width, device=maps.device) + (drawn[:, 1] * width).long()[:, None]
    y = torch.where(drawn[:, 2:3] < 0.5, -1 - y, y) % height
    x = torch.where(drawn[:, 3:4] < 0.5, -1 - x, x) % width
    each = torch.arange(len(maps), device=maps.device)[:, None, None]
    return maps[each, y[:, :, None], x[:, None, :]]


def centre_distance(height: int, width: int, device: torch.device) -> Tensor:
    """Return how far each pixel lies from the centre, so that equal values form boxes of the image's aspect: [H W]."""
    y = (torch.arange(height, device=device) + 0.5 - height / 2).abs() / height
    x = (torch.arange(width, device=device) + 0.5 - width / 2).abs() / width
    return torch.maximum(y[:, None], x[None]).flatten()


def hidden(pixels: Tensor, order: Tensor, share: float, fill: Tensor) -> Tensor:
    """Return `pixels` [B, C, H, W] with the first `share` of `order` [B, H W] replaced by `fill` (broadcast)."""
    height, width = pixels.shape[-2:]
    gone = (order < round(share * height * width)).view(-1, 1, height, width)
    return torch.where(gone, fill, pixels)


def curve(name: str, shares: Tensor, values: Tensor, control: bool, seed: int) -> Line:
    """Return the mean over images of `values` [S, N] with its interval at each share."""
    kept = [row[row.isfinite()].double() for row in values]
    ends = [mean_interval(row, seed) for row in kept]
    means = [float(row.mean()) if len(row) else float("nan") for row in kept]
    return Line(name, shares.tolist(), means, [low for low, _ in ends], [high for _, high in ends], control)


def scattered(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return `values` [n] at their `rows` among `count` images, NaN elsewhere: [count]."""
    return torch.full((count,), torch.nan, dtype=values.dtype).scatter(0, rows, values)


def _has_mass(maps: Tensor) -> Tensor:
    """Return which of `maps` [B, H, W] look anywhere: [B] bool."""
    return (maps.flatten(1).relu().sum(dim=1) > 0) & maps.flatten(1).isfinite().all(dim=1)

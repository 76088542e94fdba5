"""What a classifier answers to a picture that was changed by hand: pure, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.attribution.catalogue import method as method_named
from overfocus.attribution.catalogue import upsampled
from overfocus.core.edit import Edit, apply_all, control, elsewhere
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.layer_name import FEATURES, layer_name
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.fillings import fillings
from overfocus.diagnosis.hiding_orders import hidden, salient_first

CONTROLS = 4
"""Places to which an edit is moved for its control."""
HIDDEN = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
"""Shares of a picture that are hidden, one after another, the first of them nothing."""
BLOBS = 3
"""Places to which the salient pixels are moved for the control of hiding."""


@dataclass(frozen=True, eq=False)
class Answer:
    """The probability of each class [K] for one picture."""

    before: Tensor
    """As the picture is."""
    after: Tensor
    """With the edits made."""
    elsewhere: Tensor
    """With as much changed in the same shape elsewhere: a mean over `CONTROLS` places."""
    share: float
    """How much of the picture is changed, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class MappedAnswer:
    """A map of one picture, and what is answered as the most salient part of it is hidden."""

    target: int
    """The class that is mapped: the one that is answered."""
    map: Tensor
    """[h, w], in the method's own scale."""
    note: str
    """What the method says of the map; empty for nothing."""
    steps: tuple[Tensor, Tensor]
    """For each pixel the first of `HIDDEN` at which it is hidden, [H, W] int64, len(HIDDEN) for never: as the map says,
    and the same shape elsewhere, at the first of `BLOBS` places.
    """
    salient: Tensor
    """The probability of each class with so much hidden, [len(HIDDEN), K]."""
    elsewhere: Tensor
    """The same with the same shape elsewhere, a mean over `BLOBS` places."""


def paints(picture: Tensor, mean: Tensor, key: Key) -> dict[str, Tensor]:
    """Return by name what a brush can show in `picture` [C, H, W]: the mean colour [C, 1, 1], its blur, noise."""
    return {name: fill[0] for name, fill in fillings(picture[None], mean, key).items()}


@torch.no_grad()
def answer(classifier: Classifier, picture: Tensor, edits: Sequence[Edit], key: Key) -> Answer:
    """Show `picture` [C, H, W] in [0, 1] to the classifier as it is, with the edits, and with them made elsewhere.

    Without edits all three are one. Raises OverfocusError where the classifier has other classes than its network.
    """
    if not edits:
        (alone,) = _probabilities(classifier, picture[None])
        return Answer(alone, alone, alone, 0.0)
    moved = [[control(each, key.fold_in(place)) for each in edits] for place in range(CONTROLS)]
    shown = [picture, *(apply_all(picture, some) for some in (edits, *moved))]
    before, after, *others = _probabilities(classifier, torch.stack(shown))
    share = torch.stack([each.mask for each in edits]).any(dim=0).float().mean()
    return Answer(before, after, torch.stack(others).mean(dim=0), float(share))


def look(classifier: Classifier, picture: Tensor, method: str, fill: Tensor, key: Key) -> MappedAnswer:
    """Map the class that is answered to `picture` [C, H, W] in [0, 1], and hide what is salient step by step.

    method: a name of `overfocus maps`. fill: what hidden pixels show, [C, 1, 1] or [C, H, W].
    """
    at = FEATURES if layer_name(classifier.at) == FEATURES else f"model.{classifier.at}"
    pixels = picture[None].to(classifier.device)
    with classifier.examined():
        target = int(classifier(pixels).argmax())
        network = classifier.pixels  # type: ignore[attr-defined]
        maps, (note,) = method_named(method).with_notes(network, pixels, target, at=at)
    map = maps[0].detach().float().cpu()
    first, *others = _orders(upsampled(map[None], tuple(picture.shape[-2:])), key)  # type: ignore[arg-type]
    shown = torch.cat([picture[None], *(_hidden(picture, order, fill) for order in (first, *others))])
    whole, parts = _probabilities(classifier, shown).tensor_split([1])
    salient, *controls = parts.unflatten(0, (1 + BLOBS, len(HIDDEN) - 1))
    found = (torch.cat((whole, each)) for each in (salient, torch.stack(controls).mean(dim=0)))
    return MappedAnswer(target, map, note, (_steps(first), _steps(others[0])), *found)


def _orders(map: Tensor, key: Key) -> list[Tensor]:
    """Return the order in which the pixels of `map` [1, H, W] are hidden [H, W], and the same shape elsewhere."""
    salient = salient_first(map, key.fold_in("noise").uniform(1, map.numel())).view(map.shape)
    return [salient[0], *(elsewhere(salient, key.fold_in(place))[0] for place in range(BLOBS))]


def _hidden(picture: Tensor, order: Tensor, fill: Tensor) -> Tensor:
    """Return `picture` [C, H, W] at each step of `HIDDEN` but the first: [len(HIDDEN) - 1, C, H, W]."""
    return torch.cat([hidden(picture[None], order.view(1, -1), share, fill) for share in HIDDEN[1:]])


def _steps(order: Tensor) -> Tensor:
    """Return for each pixel the first step at which `hidden` takes it away."""
    ends = torch.tensor([round(share * order.numel()) for share in HIDDEN])
    return torch.searchsorted(ends, order, right=True)


def _probabilities(classifier: Classifier, pixels: Tensor) -> Tensor:
    with classifier.examined(), torch.no_grad():
        found = classifier.probabilities(pixels.to(classifier.device)).cpu()
    if found.shape[1] != len(classifier.classes):
        raise OverfocusError(
            f"{classifier.name} answers {found.shape[1]} numbers and has {len(classifier.classes)} classes; give as "
            "many names with --classes"
        )
    return found

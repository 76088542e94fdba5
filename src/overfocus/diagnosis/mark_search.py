"""Where a small piece carries a class: quarters of the picture first, then smaller pieces only where something carries.

Of each class the strongest places go on to the next size (sequential halving, Karnin et al. 2013), so most of the
passes go where something is. Pieces are pasted into the same canvases, so that places are compared on equal terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from overfocus.core.key import Key
from overfocus.metrics.marks import MarksRule, carried, evidence, resemblance

Box = tuple[int, int, int, int]
Paste = Callable[[Sequence[tuple[Box, Tensor, Tensor]]], list[Tensor]]
"""For each of (place, rows of donors [D], rows of canvases [C]) the log-odds [D, C, K] of the canvases with pieces."""
Shares = Mapping[tuple[Box, int], float]
"""(place, class) -> share of the class that its pieces carry there."""
DONORS, CONTROLS, CANVASES = 4, 4, 2
"""Pieces of a class at a place, pieces of any class beside them, and canvases of each, in the search."""
KEPT, REFINED = 2, 10
"""Places of a class, and classes, that go on to the next size."""
SIDES = (1 / 4, 1 / 8)
"""Of the windows in which a class's pictures are compared, as shares of the picture's."""
COARSE, PAIRS, COMPARED = 48, 64, 24
"""Pixels of a side at which pictures are compared, at most, pairs of pictures, and pieces."""


@dataclass(frozen=True)
class Proposed:
    """The place that carries most of a class, and the strongest one of the same size that does not touch it."""

    label: int
    box: Box
    rival: Box
    strength: float
    """Share of the class that its pieces carried in the search."""


def quarters(size: tuple[int, int]) -> list[Box]:
    """Return the four quarters of a picture of `size` (H, W), and the one in its middle."""
    height, width = size
    half = (max(1, round(width / 2)), max(1, round(height / 2)))
    starts = [(x, y) for y in (0, height - half[1]) for x in (0, width - half[0])]
    starts.append(((width - half[0]) // 2, (height - half[1]) // 2))
    return list(dict.fromkeys((x, y, x + half[0], y + half[1]) for x, y in starts))


def children(box: Box, shapes: Iterable[tuple[float, float]] = ((0.5, 0.5),)) -> list[Box]:
    """Return the pieces of `box` whose width and height are those shares of its own, at three places along each axis on
    which they are smaller.
    """
    x0, y0, x1, y1 = box
    found = []
    for across, down in shapes:
        width, height = max(1, round((x1 - x0) * across)), max(1, round((y1 - y0) * down))
        for y in dict.fromkeys(y0 + round((y1 - y0 - height) * step / 2) for step in range(3)):
            found += [
                (x, y, x + width, y + height)
                for x in dict.fromkeys(x0 + round((x1 - x0 - width) * step / 2) for step in range(3))
            ]
    return list(dict.fromkeys(found))


def alike(pixels: Tensor, rows: Mapping[int, Tensor], others: Tensor, key: Key) -> dict[int, list[Box]]:
    """Return for each class the places where its pictures, `rows`, are most alike, beside what they have in common with
    others: two for each of `SIDES`, apart. No network is asked. pixels: [N, C, H, W].
    """
    height, width = pixels.shape[-2:]
    scale = max(1.0, max(height, width) / COARSE)
    small = torch.nn.functional.interpolate(pixels, (round(height / scale), round(width / scale)), mode="area")
    everything, found = torch.cat([*rows.values(), others]), {}
    for label, own in rows.items():
        apart = everything[~torch.isin(everything, own)]
        at = key.fold_in(label)
        pairs = torch.combinations(own)
        pairs = pairs[at.fold_in("own").order(len(pairs))[:PAIRS]]
        crossed = torch.cartesian_prod(own, apart)
        crossed = crossed[at.fold_in("crossed").order(len(crossed))[:PAIRS]]
        within, between = (
            (small[p[:, 0]] - small[p[:, 1]]).square().mean(dim=1, keepdim=True) for p in (pairs, crossed)
        )
        found[label] = [
            tuple(round(end * scale) for end in box)
            for side in SIDES
            for box in _apart(_likeness(within, between, side), small.shape[-2:], side)
        ]
    return found


def _likeness(within: Tensor, between: Tensor, side: float) -> Tensor:
    """Return how alike windows are at each place: [h, w]."""
    window = [max(1, round(each * side)) for each in within.shape[-2:]]
    within, between = (torch.nn.functional.avg_pool2d(each, window, 1).sqrt().median(dim=0).values[0]
                       for each in (within, between))  # fmt: skip
    return 1 - within / (between + 0.1 * between.mean() + 1e-9)


def _apart(likeness: Tensor, size: Sequence[int], side: float) -> list[Box]:
    """Return the window of most likeness, and the one of most that does not touch it."""
    height, width = (max(1, round(each * side)) for each in size)
    found: list[Box] = []
    for place in likeness.flatten().argsort(descending=True, stable=True).tolist():
        y, x = divmod(place, likeness.shape[1])
        box = (x, y, x + width, y + height)
        if not any(touching(box, each) for each in found):
            found.append(box)
        if len(found) == 2:
            break
    return found


def touching(one: Box, other: Box) -> bool:
    """Whether two places share a pixel."""
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]


@dataclass(frozen=True, eq=False)
class MarkSearch:
    """A search on some pictures."""

    paste: Paste
    rows: Mapping[int, Tensor]
    """Class -> rows of the pictures that are named as it, of classes with enough of them."""
    named: Tensor
    """[N] int64, the class that each picture is named as."""
    whole: Tensor
    """[K], log-odds of each class in pictures that are named as it, less those in others."""
    key: Key
    pixels: Tensor
    """[N, C, H, W]."""
    others: Tensor
    """Rows of pictures that are named as classes with too few of them: controls and canvases only."""

    @property
    def everything(self) -> Tensor:
        """Rows of all pictures that are searched."""
        return torch.cat([*self.rows.values(), self.others])

    def propose(self) -> list[Proposed]:
        """Return the place of each class."""
        height, width = self.pixels.shape[-2:]
        likely = alike(self.pixels, self.rows, self.others, self.key.fold_in("alike"))
        first = self.shares({box: list(self.rows) for box in quarters((height, width))}, 0)
        inside = {k: [c for box in _best(first, k)[:KEPT] for c in children(box)] for k in self.rows}
        second = self.shares(_by_box({k: [*inside[k], *likely[k]] for k in self.rows}), 1)
        lead = {k: max(_lead(second, k, box) for box in _best(second, k)) for k in self.rows if _best(second, k)}
        refined = sorted(lead, key=lambda k: -lead[k])[:REFINED]
        shapes = ((0.5, 0.5), (1.0, 0.5), (0.5, 1.0))
        smaller = {k: [c for box in _pair(second, k, inside[k]) for c in children(box, shapes)] for k in refined}
        every = {**second, **self.shares(_by_box(smaller), 2)}
        found = [self._proposed(every, k, None if k in refined else inside[k]) for k in lead]
        return [one for one in found if one is not None]

    def likeness(self, box: Box, label: int) -> float:
        """Return how alike the pieces of a class are at a place, beside those of others."""
        everything = self.everything
        others = _some(everything[self.named[everything] != label], COMPARED, self.key.fold_in("compared"))
        rows, (x0, y0, x1, y1) = torch.cat([self.rows[label][:COMPARED], others]), box
        return resemblance(self.pixels[rows][:, :, y0:y1, x0:x1].cpu(), self.named[rows] == label)

    def _proposed(self, shares: Shares, label: int, among: Sequence[Box] | None) -> Proposed | None:
        """Return the place that is furthest ahead of what its rival allows, of those whose pieces are alike where there
        are any: no other can be found to be a mark.
        """
        found = list(_ahead(shares, label, among))
        alike = [one for one in found if self.likeness(one[1].box, label) >= MarksRule().alike]
        return max(alike or found, key=lambda one: one[0], default=(0.0, None))[1]

    def shares(self, asked: Mapping[Box, list[int]], step: int) -> dict[tuple[Box, int], float]:
        """Return (place, class) -> share of the class that its pieces carry there."""
        if not asked:
            return {}
        key = self.key.fold_in(step)
        canvases = self.canvases(CANVASES, key)
        everything, trials = self.everything, []
        for number, (box, labels) in enumerate(asked.items()):
            at_box = key.fold_in(number)
            own = [_some(self.rows[k], DONORS, at_box.fold_in(k)) for k in labels]
            more = _some(everything, CONTROLS, at_box.fold_in("controls"))
            trials.append((box, torch.cat([*own, more]).unique(), canvases))
        found = {}
        for (box, donors, _), odds in zip(trials, self.paste(trials), strict=True):
            classes = self.named[donors]
            scores = carried(odds, classes, self.named[canvases])
            found |= {(box, k): evidence(scores, classes, k) / float(self.whole[k]) for k in asked[box]}
        return {arm: share for arm, share in found.items() if isfinite(share)}

    def canvases(self, count: int, key: Key) -> Tensor:
        """Return the rows of `count` pictures, of as many classes as there are."""
        everything = self.everything
        labels = self.named[everything].unique().tolist()
        order = key.fold_in("canvases").order(len(labels)).tolist()
        turns = [labels[order[turn % len(order)]] for turn in range(count)]
        rows = {k: self.rows.get(k, everything[self.named[everything] == k]) for k in turns}
        picked = [_some(rows[k], 1 + turn // len(order), key.fold_in(k))[-1] for turn, k in enumerate(turns)]
        return torch.stack(picked).unique()


def _best(shares: Shares, label: int) -> list[Box]:
    """Return the places that were tried for a class, the strongest first."""
    return sorted((box for box, k in shares if k == label), key=lambda box: -shares[box, label])


def _lead(shares: Shares, label: int, box: Box) -> float:
    """Return by how much a place is ahead of the strongest one apart from it."""
    apart = [shares[each, label] for each in _best(shares, label) if not touching(each, box)]
    return shares[box, label] - max(apart, default=torch.inf)


def _pair(shares: Shares, label: int, among: Sequence[Box]) -> list[Box]:
    """Return the strongest place among those, and the strongest one apart from it."""
    best = [box for box in _best(shares, label) if box in among]
    return best[:1] + [box for box in best if not touching(box, best[0])][:1]


def _ahead(shares: Shares, label: int, among: Sequence[Box] | None) -> Iterator[tuple[float, Proposed]]:
    """Yield by how much each place is ahead of what the strongest one of its shape apart from it allows."""
    tried = [box for box in _best(shares, label) if among is None or box in among]
    for box in tried:
        apart = (each for each in tried if _shape(each) == _shape(box) and not touching(each, box))
        if rival := next(apart, None):
            ahead = shares[box, label] - max(shares[rival, label], 0.0) / MarksRule().rival
            yield ahead, Proposed(label, box, rival, shares[box, label])


def _shape(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _by_box(places: Mapping[int, Iterable[Box]]) -> dict[Box, list[int]]:
    found: dict[Box, list[int]] = {}
    for label, boxes in places.items():
        for box in dict.fromkeys(boxes):
            found.setdefault(box, []).append(label)
    return found


def _some(rows: Tensor, count: int, key: Key) -> Tensor:
    """Draw at most `count` of `rows`."""
    return rows[key.order(len(rows))[:count]]

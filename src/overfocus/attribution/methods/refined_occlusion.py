"""Refined occlusion: how far the logit falls when a cell is covered; the cells of the largest fall are split.

Source: occlusion after Zeiler and Fergus (ECCV 2014, 1311.2901), on a grid that is refined where it matters, coarse to
fine.

Formula: of a cell, F = logit(x) - logit(x with the cell filled). A cell that is split into four keeps F as its mean:
its quarter i has F + weight (f_i - mean f), f_i the fall with the quarter filled, and may be split again.

Settings
    cells     cells along either axis at first
    rounds    how often cells are split; the finest are 1 / (cells 2^rounds) of the side
    split     cells that are split in a round: those of the largest fall
    weight    of what tells the quarters of a cell apart
    fill      value of covered pixels, in the units of the model's input; 0 is the mean of normalised data
    chunk     covered images in one forward

It takes cells^2 + 4 split rounds passes, 48 as it comes, where a grid as fine takes 256.

Where it misleads: as occlusion does: evidence that is there twice looks like none. What lies in a cell that was not
split is told no finer than the cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.attribution.attribution import ClassScore, PixelMethod, check


@dataclass(frozen=True)
class RefinedOcclusion(PixelMethod):
    """Fall of the logit under cells, finer where it falls; of both signs, in logits."""

    cells: int = 4
    rounds: int = 2
    split: int = 4
    weight: float = 2.0
    fill: float = 0.0
    chunk: int = 64

    def __post_init__(self) -> None:
        check(self, "cells", 1, 1000, whole=True)
        check(self, "rounds", 0, 8, whole=True)
        check(self, "split", 1, 10**6, whole=True)
        check(self, "weight", 0, 1e6)
        check(self, "fill", float("-inf"), float("inf"))
        check(self, "chunk", 1, 2**20, whole=True)

    def _map(self, score: ClassScore, images: Tensor, weights: Tensor) -> Tensor:
        probe = _Probe(score, images, weights, score(images, weights).float(), self.fill, self.chunk)
        side = self.cells
        values = probe.falls(torch.arange(side * side, device=images.device).expand(len(images), -1), side)
        fresh, count = torch.ones_like(values, dtype=torch.bool), side * side
        for _ in range(self.rounds):
            chosen = values.where(fresh, -torch.inf).topk(min(self.split, count), dim=1).indices
            quarters, count = _quarters(chosen, side), 4 * chosen.shape[1]
            values, side = _doubled(values, side), 2 * side
            falls = probe.falls(quarters, side).unflatten(1, (-1, 4))
            told = (self.weight * (falls - falls.mean(dim=2, keepdim=True))).flatten(1)
            values = values.scatter_add(1, quarters, told)
            fresh = torch.zeros_like(values, dtype=torch.bool).scatter(1, quarters, True)
        return values.gather(1, _cell_of(images, side).flatten().expand(len(images), -1)).view_as(images[:, 0])


@dataclass(frozen=True, eq=False)
class _Probe:
    """What it costs to cover a cell of `images` [B, C, H, W]."""

    score: ClassScore
    images: Tensor
    weights: Tensor
    whole: Tensor
    """[B] float32, of nothing covered."""
    fill: float
    chunk: int

    def falls(self, cells: Tensor, side: int) -> Tensor:
        """Return how far the weighed logits fall with each of `cells` [B, n] of a grid of `side` x `side` covered:
        [B, n] float32.
        """
        place, most = _cell_of(self.images, side), max(self.chunk // len(self.images), 1)
        found = []
        for some in cells.split(most, dim=1):
            covered = (place == some[:, :, None, None])[:, :, None]
            shown = torch.where(covered, self.fill, self.images[:, None]).flatten(0, 1).to(self.images.dtype)
            left = self.score(shown, self.weights.repeat_interleave(some.shape[1], dim=0))
            found.append(left.float().view_as(some))
        return self.whole[:, None] - torch.cat(found, dim=1)


def _cell_of(images: Tensor, side: int) -> Tensor:
    """Return the cell, of a grid of `side` x `side`, in which each pixel of `images` [B, C, H, W] lies: [H, W]."""
    y, x = (torch.arange(length, device=images.device) * side // length for length in images.shape[2:])
    return y[:, None] * side + x


def _quarters(cells: Tensor, side: int) -> Tensor:
    """Return the quarters, on a grid of twice the `side`, of `cells` [B, n]: [B, 4 n], those of a cell in a row."""
    corner = 4 * side * (cells // side) + 2 * (cells % side)
    steps = torch.tensor([0, 1, 2 * side, 2 * side + 1], device=cells.device)
    return (corner[:, :, None] + steps).flatten(1)


def _doubled(values: Tensor, side: int) -> Tensor:
    """Return `values` [B, side^2] on a grid of twice the `side`: [B, 4 side^2]."""
    grid = values.view(-1, side, side)
    return grid.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2).flatten(1)

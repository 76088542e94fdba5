"""What an image should be called: a sparse distribution over classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError

ROUNDING = 0.01
"""How far the sum of soft labels may be from 1: bfloat16 keeps two to three digits."""


@dataclass(frozen=True)
class Targets:
    """M weighed labels for each of B images.

    Plain labels have M = 1; each mix of two images doubles M. So the loss costs one `log_softmax` and a gather whatever
    was mixed, and an accuracy can count every label by its share.
    """

    labels: Tensor
    """[B, M] int64."""
    weights: Tensor
    """[B, M] float32, at least 0; every row sums to 1."""

    @staticmethod
    def of(labels: Tensor) -> Targets:
        """Read class indices [B], or soft labels [B, K] whose rows sum to 1.

        Rows on the CPU are checked here; elsewhere that would wait for the device, so `check` does it when asked.
        """
        if labels.ndim == 1 and not labels.is_floating_point():
            column = labels.long()[:, None]
            return Targets(column, torch.ones_like(column, dtype=torch.float32))
        if labels.ndim == 2 and labels.is_floating_point():
            every = torch.arange(labels.shape[1], device=labels.device)
            soft = Targets(every.expand(labels.shape), labels.float())
            return soft if labels.device.type != "cpu" or torch.compiler.is_compiling() else soft.check()
        raise OverfocusError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}; give class indices [B] as integers "
            "or soft labels [B, K] as floats"
        )

    def check(self) -> Targets:
        """Return these targets; OverfocusError where a row is no distribution. Synchronises with the device."""
        sums = self.weights.sum(dim=1)
        wrong = ~((sums - 1).abs() < ROUNDING) | (self.weights < 0).any(dim=1)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0, 0])
            raise OverfocusError(
                f"soft labels of image {row} of the batch sum to {float(sums[row]):.3g}, the lowest "
                f"is {float(self.weights[row].min()):.3g}; give rows that are at least 0 and sum to 1 (several true "
                "classes of one image, as in multi-label data, are not supported)"
            )
        return self

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Targets:
        """Return the targets of the images `rows` [N]."""
        return Targets(self.labels[rows], self.weights[rows])

    def repeat(self, times: int) -> Targets:
        """Return the same targets for `times` views of the batch, one after another."""
        return Targets(self.labels.repeat(times, 1), self.weights.repeat(times, 1))

    def blend(self, other: Targets, kept: Tensor) -> Targets:
        """Mix with `other`: `kept` [B] is the weight of these, 1 - kept that of the others. M becomes the sum of
        both.
        """
        kept = kept.to(self.weights.dtype)[:, None]
        weights = torch.cat((self.weights * kept, other.weights * (1 - kept)), dim=1)
        return Targets(torch.cat((self.labels, other.labels), dim=1), weights)

    def where(self, chosen: Tensor, other: Targets) -> Targets:
        """Return these targets in the rows `chosen` [B] (bool) and the `other` ones elsewhere."""
        width = max(self.labels.shape[1], other.labels.shape[1])
        mine, theirs = self._padded(width), other._padded(width)
        rows = chosen[:, None]
        return Targets(torch.where(rows, mine.labels, theirs.labels), torch.where(rows, mine.weights, theirs.weights))

    def cross_entropy(self, logits: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
        """Return the mean cross-entropy [] of `logits` [B, K] in nats, in float32.

        `smoothing` moves that share of every target evenly to all K classes (Szegedy et al., 1512.00567).
        `weights` [K] are factors of each class's share, smoothing included; see `core.balance`.
        Raises OverfocusError for fewer than two logits, whose cross-entropy is 0 whatever the label.
        """
        if logits.ndim != 2 or logits.shape[1] < 2:
            raise OverfocusError(
                f"logits are of shape {tuple(logits.shape)}; a cross-entropy needs one for each class, [B, K] with K "
                "at least 2: for two classes give the network two outputs (one logit with a sigmoid is not supported)"
            )
        scores = logits.float().log_softmax(dim=1)
        if weights is not None:
            scores = scores * weights
        loss = -(scores.gather(1, self.labels) * self.weights).sum(dim=1)
        if smoothing:
            loss = torch.lerp(loss, -scores.mean(dim=1), smoothing)
        return loss.mean()

    def accuracy(self, logits: Tensor) -> Tensor:
        """Return the share of label weight on the predicted class, [B] in [0, 1]: plain accuracy for plain labels."""
        return ((logits.argmax(dim=1, keepdim=True) == self.labels) * self.weights).sum(dim=1)

    def score(self, logits: Tensor) -> Tensor:
        """Return the logit of the target, weighed where labels are mixed: [B]."""
        return (logits.gather(1, self.labels) * self.weights).sum(dim=1)

    def dense(self, classes: int) -> Tensor:
        """Return the same distribution as rows [B, K] float32; equal labels add up."""
        rows = torch.zeros(len(self), classes, dtype=self.weights.dtype, device=self.weights.device)
        return rows.scatter_add(1, self.labels, self.weights)

    def _padded(self, width: int) -> Targets:
        missing = width - self.labels.shape[1]
        pad = torch.nn.functional.pad
        return Targets(pad(self.labels, (0, missing)), pad(self.weights, (0, missing)))

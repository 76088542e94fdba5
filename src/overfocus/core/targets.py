"""What an image should be called: a sparse distribution over classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError


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
        """Read class indices [B], or soft labels [B, K] whose rows sum to 1."""
        if labels.ndim == 1 and not labels.is_floating_point():
            column = labels.long()[:, None]
            return Targets(column, torch.ones_like(column, dtype=torch.float32))
        if labels.ndim == 2 and labels.is_floating_point():
            every = torch.arange(labels.shape[1], device=labels.device)
            return Targets(every.expand(labels.shape), labels.float())
        raise OverfocusError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}; give class indices [B] as integers "
            "or soft labels [B, K] as floats"
        )

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

    def cross_entropy(self, logits: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy [] of `logits` [B, K] in nats, in float32.

        `smoothing` moves that share of every target evenly to all K classes (Szegedy et al., 1512.00567).
        """
        scores = logits.float().log_softmax(dim=1)
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

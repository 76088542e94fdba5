"""What an image should be called: a sparse distribution over classes, or any number of labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from overfocus.core.errors import OverfocusError

ROUNDING = 0.01
"""How far the sum of soft labels may be from 1: bfloat16 keeps two to three digits."""
MULTI = "several labels of one image are Targets.multi(labels), or multi_label=True of Objective and of the adapters"


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
            f"or soft labels [B, K] as floats; {MULTI}"
        )

    @staticmethod
    def multi(labels: Tensor) -> MultiTargets:
        """Read labels that do not exclude one another, [B, K] in [0, 1], or of a network with one logit [B]."""
        return MultiTargets.of(labels)

    def check(self) -> Targets:
        """Return these targets; OverfocusError where a row is no distribution. Synchronises with the device."""
        sums = self.weights.sum(dim=1)
        wrong = ~((sums - 1).abs() < ROUNDING) | (self.weights < 0).any(dim=1)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0, 0])
            raise OverfocusError(
                f"soft labels of image {row} of the batch sum to {float(sums[row]):.3g}, the lowest "
                f"is {float(self.weights[row].min()):.3g}; give rows that are at least 0 and sum to 1; {MULTI}"
            )
        return self

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Targets:
        """Return the targets of the images `rows` [N]."""
        return replace(self, labels=self.labels[rows], weights=self.weights[rows])

    def repeat(self, times: int) -> Targets:
        """Return the same targets for `times` views of the batch, one after another."""
        return replace(self, labels=self.labels.repeat(times, 1), weights=self.weights.repeat(times, 1))

    def blend(self, other: Targets, kept: Tensor) -> Targets:
        """Mix with `other`: `kept` [B] is the weight of these, 1 - kept that of the others. M becomes the sum of
        both.
        """
        kept = kept.to(self.weights.dtype)[:, None]
        weights = torch.cat((self.weights * kept, other.weights * (1 - kept)), dim=1)
        return Targets(torch.cat((self.labels, other.labels), dim=1), weights)

    def union(self, other: Targets, mine: Tensor, theirs: Tensor) -> Targets:
        """Refuse: only labels that do not exclude one another have a union; see `MultiTargets.union`."""
        raise OverfocusError(f"an image with one class has no union of labels; {MULTI}")

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
                "at least 2: for two classes give the network two outputs, or, for one logit with a sigmoid, targets "
                "of 0 and 1 as Targets.multi(labels) or Objective(..., multi_label=True)"
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

    def weigh(self, rows: Tensor) -> Tensor:
        """Return the mean of `rows` [K, D], one for each class, by the weights: [B, D] in their dtype."""
        return torch.einsum("bmc,bm->bc", rows[self.labels], self.weights.to(rows.dtype))

    def dense(self, classes: int) -> Tensor:
        """Return the same distribution as rows [B, K] float32; equal labels add up."""
        rows = torch.zeros(len(self), classes, dtype=self.weights.dtype, device=self.weights.device)
        return rows.scatter_add(1, self.labels, self.weights)

    def _padded(self, width: int) -> Targets:
        missing = width - self.labels.shape[1]
        pad = torch.nn.functional.pad
        return Targets(pad(self.labels, (0, missing)), pad(self.weights, (0, missing)))


@dataclass(frozen=True)
class MultiTargets(Targets):
    """Any number of K labels for each of B images: a share in [0, 1] of each, 1 where the image has it.

    A label is a question of its own, so rows need not sum to 1, and the loss is the binary cross-entropy of a sigmoid.
    With K = 1 the one logit tells two classes apart, and its negative speaks for the other one.
    """

    @staticmethod
    def of(labels: Tensor) -> MultiTargets:
        """Read labels [B, K] of any dtype in [0, 1]; [B] are those of one logit. On the CPU they are checked here."""
        if labels.ndim not in (1, 2) or labels.is_complex():
            raise OverfocusError(
                f"labels are {labels.dtype} of shape {tuple(labels.shape)}; give [B, K] in [0, 1], or [B] for one logit"
            )
        shares = labels.reshape(len(labels), -1).float()
        every = torch.arange(shares.shape[1], device=shares.device)
        multi = MultiTargets(every.expand(shares.shape), shares)
        return multi if shares.device.type != "cpu" or torch.compiler.is_compiling() else multi.check()

    def check(self) -> MultiTargets:
        """Return these targets; OverfocusError where a share is not in [0, 1]. Synchronises with the device."""
        wrong = ~((self.weights > -ROUNDING) & (self.weights < 1 + ROUNDING))
        if bool(wrong.any()):
            row, label = wrong.nonzero()[0].tolist()
            raise OverfocusError(
                f"label {label} of image {row} of the batch is {float(self.weights[row, label]):.3g}; several labels "
                "of an image are given as [B, K] numbers in [0, 1], 1 for each that it has, not as class indices"
            )
        return self

    @property
    def evidence(self) -> Tensor:
        """By which the logits add up to what speaks for these labels: [B, K]. The shares; of one logit -1 to 1."""
        return self.weights if self.weights.shape[1] > 1 else 2 * self.weights - 1

    def blend(self, other: Targets, kept: Tensor) -> MultiTargets:
        """Mix with `other`: every label has its share of both, `kept` [B] of these and 1 - kept of the others."""
        shares = torch.lerp(self._alike(other).weights, self.weights, kept.to(self.weights.dtype)[:, None])
        return replace(self, weights=shares)

    def union(self, other: Targets, mine: Tensor, theirs: Tensor) -> MultiTargets:
        """Return the labels of either image, of these in the rows `mine` [B] and of the others in `theirs` [B]: a
        logical or, the larger of two shares.
        """
        others = self._alike(other).weights * theirs[:, None]
        return replace(self, weights=torch.maximum(self.weights * mine[:, None], others))

    def where(self, chosen: Tensor, other: Targets) -> MultiTargets:
        """Return these targets in the rows `chosen` [B] (bool) and the `other` ones elsewhere."""
        return replace(self, weights=torch.where(chosen[:, None], self.weights, self._alike(other).weights))

    def answered(self, logits: Tensor, target: str) -> MultiTargets:
        """Return what `logits` [B, K] answer: `predicted`, the labels above 1/2, or `soft`, their probabilities."""
        return replace(self, weights=logits.float().sigmoid() if target == "soft" else (logits > 0).float())

    def cross_entropy(self, logits: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
        """Return the binary cross-entropy [] of `logits` [B, K] in nats, in float32: its mean over images and labels.

        `smoothing` moves every share that far towards one half; `weights` [K] are factors of each label's loss.
        """
        if logits.shape != self.weights.shape:
            raise OverfocusError(
                f"logits are of shape {tuple(logits.shape)} and labels of {tuple(self.weights.shape)}; a network gives "
                "one logit for each label, [B, K]"
            )
        shares = self.weights + smoothing * (0.5 - self.weights) if smoothing else self.weights
        return F.binary_cross_entropy_with_logits(logits.float(), shares, weights)

    def accuracy(self, logits: Tensor) -> Tensor:
        """Return the share of the K labels that is right at a probability of one half, [B] in [0, 1]."""
        return torch.where(logits > 0, self.weights, 1 - self.weights).mean(dim=1)

    def score(self, logits: Tensor) -> Tensor:
        """Return the sum of the logits of the labels that are present, weighed by their shares: [B]."""
        return (logits * self.evidence).sum(dim=1)

    def weigh(self, rows: Tensor) -> Tensor:
        """Return the sum of `rows` [K, D], one for each label, by `evidence`: [B, D] in their dtype."""
        return self.evidence.to(rows.dtype) @ rows

    def dense(self, classes: int) -> Tensor:
        """Return the shares [B, K] float32."""
        if classes != self.weights.shape[1]:
            raise OverfocusError(f"there are {self.weights.shape[1]} labels and not {classes}")
        return self.weights

    def _alike(self, other: Targets) -> MultiTargets:
        if not isinstance(other, MultiTargets) or other.weights.shape[1] != self.weights.shape[1]:
            raise OverfocusError("targets of one kind alone can be mixed: several labels with as many labels")
        return other

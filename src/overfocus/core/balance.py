"""What a training loss does about classes of unequal size.

`weights`: the share of class c in a target counts w_c = N / (K n_c) times, where n_c of N images are of class c, so
that the mean weight over the images is 1. The loss of an image is the sum over classes of share x weight x -log p, and
that of a batch the mean over its images. Shares are those after CutMix, Mixup and label smoothing, so each part of a
mixed image counts by its own class. It is `torch.nn.CrossEntropyLoss(weight=w)` of soft labels; of class indices torch
divides by the sum of the batch's weights instead, which makes an image's weight depend on the others of its batch.

`logit-adjustment` (Menon et al., 2007.07314, tau = 1): log(n_c / N) is added to the logits, in this loss alone. So the
network learns the logits of equally frequent classes, and is used as it is. It acts on logits, whatever the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from overfocus.core.errors import OverfocusError

Kind = Literal["none", "sampler", "weights", "logit-adjustment"]


@dataclass(frozen=True, eq=False)
class Balance:
    """Constants of a loss; at most one of the two."""

    weights: Tensor | None = None
    """[K] float32, above 0: factor of each class's share of the target."""
    log_prior: Tensor | None = None
    """[K] float32, in nats: what is added to the logits."""

    @staticmethod
    def of(kind: Kind, counts: Tensor, classes: Sequence[str] = ()) -> Balance:
        """Return the constants for training images of which `counts` [K] are of each class.

        `none` and `sampler` leave the loss as it is. Raises OverfocusError where a class has no image.
        """
        if kind != "none":
            check_counts(kind, counts, classes)
        if kind == "weights":
            return Balance(weights=(counts.sum() / (len(counts) * counts.double())).float())
        if kind == "logit-adjustment":
            return Balance(log_prior=log_prior(counts).float())
        return Balance()

    def check(self, *, multi_label: bool) -> None:
        """Raise OverfocusError where images have several labels, which have no classes of unequal size."""
        if multi_label and (self.weights is not None or self.log_prior is not None):
            raise OverfocusError("balance is for images with one class each; leave it out where they have several")

    def on(self, logits: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits [B, K] and the weights [K] of the classes that the loss takes."""
        weights = None if self.weights is None else self.weights.to(logits.device)
        return logits if self.log_prior is None else logits.float() + self.log_prior.to(logits.device), weights


def log_prior(counts: Tensor) -> Tensor:
    """Return the logarithm of each class's share of the images: [K] float64, in nats."""
    return (counts.double() / counts.sum()).log()


def check_counts(kind: Kind, counts: Tensor, classes: Sequence[str] = ()) -> None:
    """Raise OverfocusError where a class has no image, which no balance can make up for."""
    if not len(counts) or int(counts.min()) < 1:
        empty = int(counts.argmin()) if len(counts) else 0
        name = repr(classes[empty]) if classes else str(empty)
        raise OverfocusError(
            f"balance {kind!r}: class {name} has no training image; give it at least one, leave the class out, or take "
            "balance 'none'"
        )

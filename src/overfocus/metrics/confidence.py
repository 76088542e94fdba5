"""How sure a classifier is, and how often it is right: numbers of its predictions for N images.

Whether the scores are logits or probabilities is given by the caller and never guessed from their range. Labels are
class indices [N], or distributions over classes [N, K] such as the shares of human votes; then "right" is the share of
the label on the predicted class. An image whose scores or label are not numbers has no answer and is left out, with its
count in the note.

A binned calibration error is never below 0, so noise alone lifts it: a perfectly calibrated model with few images does
not score 0, and the bootstrap interval shares that lean. Compare it at equal n, and read the debiased one and the
signed gap beside it. Methods that mix labels often leave a model under-confident, which only the gap's sign shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.binning import BINS
from overfocus.metrics.calibration import calibration_scores
from overfocus.metrics.score import Metric, Score, mean_score

ACCURACY = Metric("accuracy", "mean share of the label on the predicted class", "higher")
CONFIDENCE = Metric("mean confidence", "mean of max_k p_k", "neither")
GAP = Metric("confidence gap", "mean confidence - accuracy; 0 is best, above 0 is over-confident", "neither", low=-1.0)
BRIER = Metric("Brier score", "mean of sum_k (p_k - y_k)^2", "lower", high=2.0)
NLL = Metric("negative log-likelihood", "mean of -sum_k y_k log p_k", "lower", "nats", high=inf)

BLOCK = 2**22
"""Scores that are turned into probabilities at once, so that a large set needs no float64 copy of itself."""


@dataclass(frozen=True)
class Predictions:
    """The prediction for each of N images and how good it is: all [N] float64, NaN where there is no answer."""

    confidence: Tensor
    """Probability of the predicted class, in [0, 1]; of equal scores the first class is the predicted one."""
    hit: Tensor
    """Share of the label on the predicted class, in [0, 1]: 0 or 1 for plain labels."""
    brier: Tensor
    """In [0, 2], lower is better."""
    nll: Tensor
    """In nats, lower is better; infinite where the label has probability 0."""

    @staticmethod
    def of(logits: Tensor, labels: Tensor, *, probabilities: bool = False) -> Predictions:
        """Evaluate `logits` [N, K], or probabilities where the flag says so, by `labels` [N] or [N, K].

        Raises OverfocusError where the shapes do not fit, a label is no class, or rows are no distributions.
        """
        check(logits, labels, probabilities)
        rows = max(1, BLOCK // logits.shape[1])
        blocks = zip(logits.split(rows), labels.to(logits.device).split(rows), strict=True)
        parts = [_block(scores, own, probabilities) for scores, own in blocks]
        return Predictions(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def __len__(self) -> int:
        return len(self.confidence)

    def answered(self) -> Predictions:
        """Return the images that have an answer, on the processor."""
        kept = ~self.confidence.isnan()
        return Predictions(*(value[kept].cpu() for value in (self.confidence, self.hit, self.brier, self.nll)))

    def means(self) -> dict[str, tuple[Metric, Tensor]]:
        """Return the numbers that are means over images: name -> (what it means, its values [N])."""
        return {
            "accuracy": (ACCURACY, self.hit),
            "confidence": (CONFIDENCE, self.confidence),
            "gap": (GAP, self.confidence - self.hit),
            "brier": (BRIER, self.brier),
            "nll": (NLL, self.nll),
        }


def scores(
    logits: Tensor, labels: Tensor, *, bins: int = BINS, probabilities: bool = False, seed: int = 0
) -> dict[str, Score]:
    """Return accuracy, confidence, gap, brier, nll, ece, ece_mass, ece_debiased, aurc and eaurc with their intervals.

    `logits` [N, K], or probabilities where the flag says so; `labels` [N] or [N, K]. `bins` is for the calibration
    errors. Raises OverfocusError as `Predictions.of` does.
    """
    every = Predictions.of(logits, labels, probabilities=probabilities)
    kept = every.answered()
    left_out = len(every) - len(kept)
    note = f"{left_out} images without an answer left out" if left_out else ""
    found = {name: _mean(metric, values, seed, note) for name, (metric, values) in kept.means().items()}
    return found | calibration_scores(kept.confidence, kept.hit, bins, seed=seed, note=note)


def check(logits: Tensor, labels: Tensor, probabilities: bool) -> None:
    """Raise OverfocusError where `logits` and `labels` are not what `Predictions.of` takes."""
    if logits.ndim != 2 or not logits.shape[1] or not logits.is_floating_point():
        raise OverfocusError(f"scores are {logits.dtype} of shape {tuple(logits.shape)}; give floats [N, K]")
    if probabilities:
        _check_rows("probabilities", logits, "leave probabilities=True out if these are logits")
    soft = labels.is_floating_point()
    if labels.shape != (logits.shape if soft else logits.shape[:1]):
        raise OverfocusError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)} for scores {tuple(logits.shape)}; "
            "give class indices [N] as integers or distributions [N, K] as floats"
        )
    if soft:
        _check_rows("labels", labels, "divide counts of votes by their sum")
    elif len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise OverfocusError(
            f"labels run from {int(labels.min())} to {int(labels.max())} for {logits.shape[1]} classes; "
            "leave images without a label out"
        )


def _check_rows(what: str, rows: Tensor, instead: str) -> None:
    # bfloat16 keeps three digits; rows that are not numbers have no answer, which is no error.
    wrong = ((rows.sum(dim=1, dtype=torch.float32) - 1).abs() > 1e-2) | (rows < 0).any(dim=1)
    if bool(wrong.any()):
        row = int(wrong.long().argmax())
        raise OverfocusError(
            f"{what}: row {row} sums to {float(rows[row].double().sum()):.4g}, or is negative; {instead}"
        )


def _block(scores: Tensor, labels: Tensor, probabilities: bool) -> tuple[Tensor, ...]:
    """Return confidence, hit, Brier score and NLL of one block: four [N] float64."""
    scores = scores.detach().double()
    share = scores if probabilities else scores.softmax(dim=1)
    log = share.log() if probabilities else scores.log_softmax(dim=1)
    confidence, predicted = share.max(dim=1)
    if labels.is_floating_point():
        labels = labels.detach().double()
        hit = labels.gather(1, predicted[:, None])[:, 0]
        brier = (share - labels).square().sum(dim=1)
        nll = -torch.where(labels == 0, 0.0, labels * log).sum(dim=1)
    else:
        column = labels.long()[:, None]
        hit = (predicted == column[:, 0]).double()
        brier = share.scatter_add(1, column, -torch.ones_like(share[:, :1])).square().sum(dim=1)
        nll = -log.gather(1, column)[:, 0]
    usable = ~(share.sum(dim=1) + hit + brier).isnan()
    return tuple(torch.where(usable, value, torch.nan) for value in (confidence, hit, brier, nll))


def _mean(metric: Metric, values: Tensor, seed: int, note: str) -> Score:
    if endless := int(values.isinf().sum()):
        return Score(metric, inf, n=len(values), note=f"infinite: {endless} images give their label no probability")
    return mean_score(metric, values, seed=seed, note=note)

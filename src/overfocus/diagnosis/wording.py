"""Plain sentences for numbers: what was found, and whether the sample is large enough to say so."""

from __future__ import annotations

from math import isfinite

from overfocus.metrics.score import FEW, Score


def percent(value: float, digits: int = 0) -> str:
    """Return a share as per cent."""
    return f"{100 * value:.{digits}f} %" if isfinite(value) else "no answer"


def quoted(name: str, most: int = 60) -> str:
    """Return a name that anybody gave in quotes, at most `most` letters of it, without invisible ones."""
    return repr(name if len(name) <= most else f"{name[: most - 1]}…")


def located(left: float, top: float, right: float, bottom: float) -> str:
    """Return a box, given in shares of the image's width and height."""
    return f"x {left:.2f} to {right:.2f}, y {top:.2f} to {bottom:.2f}"


def enough(score: Score, reference: float = 0.0) -> str:
    """Say whether `score` differs from `reference` with the images at hand."""
    if not score.answered or not isfinite(score.low):
        return f"{score.n} images are too few to say more."
    if score.n < FEW:
        return f"{score.n} images are few: take this as a hint."
    if score.low <= reference <= score.high:
        return f"With {score.n:,} images this is not shown to differ from {reference:g}."
    return f"{score.n:,} images show that this differs from {reference:g}."

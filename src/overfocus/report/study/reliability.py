"""Is each method as sure as it is right? Confidence against accuracy on all test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure

from overfocus.core.interval import Interval
from overfocus.diagnosis.section import Line
from overfocus.metrics.reliability import diagram
from overfocus.metrics.score import FEW
from overfocus.report.drawing.axes import (
    HEIGHT,
    MethodStyle,
    draw_frame,
    draw_identity,
    draw_legend,
    draw_line,
    empty_figure,
    method_styles,
    ordered,
)
from overfocus.report.drawing.plot import Plot
from overfocus.report.study.claim import listed, named, seeds
from overfocus.statistics.estimate import means
from overfocus.study.answers import Answers
from overfocus.study.comparison import Comparison
from overfocus.study.results import Results
from overfocus.study.run_key import Size

BINS = 10


def reliability(comparison: Comparison, size: Size) -> Plot | None:
    """Return accuracy against confidence, of the weights of the last epoch; None where no run is finished."""
    styles = method_styles(comparison.study.methods).items()
    runs = {key: _answered(comparison.results, method, size) for method, key in styles}
    runs = {key: each for key, each in runs.items() if each}
    if not runs:
        return None
    lines = {key: _line(key, each) for key, each in runs.items()}
    gaps = means(
        {key.name: np.array([_gap(*run) for run in each]) for key, each in runs.items()}, comparison.study.folds
    )
    text = (
        f"Mean confidence less accuracy, above 0 is over-confident: {listed(gaps)}. Bins of confidence over "
        f"{seeds(gaps)} together; those with fewer than {FEW} images are left out. Bands reach from the lowest to the "
        "highest seed."
    )
    return Plot(_title(gaps), text, list(lines.values()), partial(_figure, lines))


def _answered(results: Results, method: str, size: Size) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return confidence [N] and hits [N] of each run, on the images that have an answer."""
    found = [_of(run.answers) for run in results.of(method, size)]
    return [each for each in found if len(each[0])]


def _of(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(answers.last_confidence)
    hits = answers.last[known] == answers.labels[known]
    return answers.last_confidence[known].astype(np.float64), hits.astype(np.float64)


def _gap(confidence: np.ndarray, hits: np.ndarray) -> float:
    return float(confidence.mean() - hits.mean())


def _line(key: MethodStyle, runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Line:
    """Return the diagram of all runs together; its band is of the bins that enough images of every run are in."""
    together = _binned(*(np.concatenate(each) for each in zip(*runs, strict=True)))
    each = [_binned(*run) for run in runs]
    shown = together[0] >= FEW
    bounded = np.min([count for count, _, _ in each], axis=0) >= FEW
    accuracies = np.where(bounded, np.stack([accuracy for _, _, accuracy in each]), np.nan)
    low, high = accuracies.min(axis=0), accuracies.max(axis=0)
    return Line(key.name, *(values[shown].tolist() for values in (together[1], together[2], low, high)))


def _binned(confidence: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how many images each bin has, their mean confidence, and their accuracy: [BINS] each."""
    found = diagram(torch.from_numpy(confidence), torch.from_numpy(hits), BINS)
    return found.count.numpy(), found.confidence.numpy(), found.accuracy.numpy()


def _title(gaps: Mapping[str, Interval]) -> str:
    over = [method for method, gap in gaps.items() if gap.low > 0]
    under = [method for method, gap in gaps.items() if gap.high < 0]
    parts = [f"more sure than right: {named(over)}"] if over else []
    parts += [f"less sure than right: {named(under)}"] if under else []
    return f"Reliability; {'; '.join(parts)}" if parts else "Reliability: confidence against accuracy"


def _figure(lines: Mapping[MethodStyle, Line]) -> Figure:
    handles = [key.handle() for key in ordered(lines)]
    figure = empty_figure(HEIGHT + 60, handles)
    axes = figure.add_subplot()
    draw_frame(axes, "confidence", "accuracy", grid="both")
    draw_identity(axes, "as sure as right")
    for key, each in lines.items():
        draw_line(axes, key, each)
    axes.set_ylim(0, 1.02)
    draw_legend(figure, handles)
    return figure

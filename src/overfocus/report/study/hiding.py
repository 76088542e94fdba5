"""What is left of the accuracy of each method as more of the image is hidden, most salient first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.diagnosis import EVIDENCE
from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.section import Line
from overfocus.diagnosis.sections.hiding import KINDS
from overfocus.report.drawing.axes import (
    HEIGHT,
    MethodStyle,
    banded,
    draw_frame,
    draw_legend,
    draw_line,
    empty_figure,
    method_styles,
    ordered,
    plain_handle,
)
from overfocus.report.drawing.plot import Plot
from overfocus.report.study.claim import claim, short
from overfocus.study.comparison import Comparison
from overfocus.study.results import Result, Results
from overfocus.study.run_key import DIAGNOSIS, Size

SALIENT, BLOBS = "salient", "blobs"
Curves = Mapping[MethodStyle, tuple[Line, Line]]
"""Method -> accuracy with the most salient part hidden, and with random blobs of the same shape hidden."""


def hiding(comparison: Comparison, size: Size) -> Plot | None:
    """Return accuracy against the share that is hidden, beside its control; None where hiding was not examined."""
    results = comparison.results
    score = results.measure("hiding.overfocus")
    curves = {
        key: found
        for m, key in method_styles(results.study.methods).items()
        if (found := _curves(results, m, key, size))
    }
    if score is None or not curves:
        return None
    title = claim("Overfocus score, the area between the lines", comparison.of(score, size))
    lines = [each for both in curves.values() for each in both]
    return Plot(title, _left(curves), lines, partial(_figure, curves))


def _curves(results: Results, method: str, key: MethodStyle, size: Size) -> tuple[Line, Line] | None:
    found = [each for run in results.of(method, size) if (each := _kept(run)) is not None]
    shares = found[0]["shares"] if found else np.zeros(0)
    # Runs that were examined at other shares, by another version say, cannot be averaged.
    found = [each for each in found if np.array_equal(each["shares"], shares)]
    if not found:
        return None
    salient, blobs = (banded(key, shares, np.stack([each[kind] for each in found])) for kind in (SALIENT, BLOBS))
    return salient, Line(f"{key.name}, {KINDS[BLOBS]}", blobs.x, blobs.y, control=True)


def _kept(run: Result) -> dict[str, np.ndarray] | None:
    """Return the shares [S] that were hidden, and the accuracy of a run at each, by what was hidden."""
    if "hiding" not in run.sections:
        return None
    try:
        evidence = Evidence.load(run.path / DIAGNOSIS / EVIDENCE)
        right = {kind: evidence.arrays[f"hiding/{kind}/right"] for kind in (SALIENT, BLOBS)}
    except (OverfocusError, KeyError):
        return None  # the numbers of the run are known and shown all the same
    return {"shares": evidence.arrays["hiding/shares"].astype(float)} | {
        kind: np.array([_mean(row) for row in values]) for kind, values in right.items()
    }


def _mean(row: np.ndarray) -> float:
    known = row[np.isfinite(row)]
    return float(known.mean()) if len(known) else np.nan


def _left(curves: Curves) -> str:
    """Say what is left with a fifth hidden."""
    parts, share = [], 0.2
    for key, (salient, blobs) in curves.items():
        fifth = int(np.abs(np.array(salient.x) - 0.2).argmin())
        share = salient.x[fifth]
        parts.append(f"{short(key.name)} {salient.y[fifth]:.2f} (control {blobs.y[fifth]:.2f})")
    return (
        f"Accuracy with {100 * share:.0f} % of the pixels hidden, most salient first: {', '.join(parts)}. The control "
        f"hides {KINDS[BLOBS]}. Means over seeds, bands from the lowest to the highest."
    )


def _figure(curves: Curves) -> Figure:
    methods = [key.handle() for key in ordered({key: salient for key, (salient, _) in curves.items()})]
    kinds = [plain_handle(KINDS[SALIENT]), plain_handle(f"control: {KINDS[BLOBS]}", dashed=True)]
    figure = empty_figure(HEIGHT, [*methods, *kinds])
    axes = figure.add_subplot()
    draw_frame(axes, "hidden share of the pixels", "accuracy")
    for key, (salient, blobs) in curves.items():
        draw_line(axes, key, blobs)
        draw_line(axes, key, salient)
    axes.set_ylim(0, 1.02)
    draw_legend(figure, [*methods, *kinds])
    return figure

"""Names beside clouds of points, in place of a legend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from overfocus.report.drawing.axes import MethodStyle

PLACES = ((9, 0, "left", "center"), (-9, 0, "right", "center"), (0, 9, "center", "bottom"), (0, -9, "center", "top"),
          (7, 8, "left", "bottom"), (7, -8, "left", "top"), (-7, 8, "right", "bottom"), (-7, -8, "right", "top"),
          (22, 0, "left", "center"), (-22, 0, "right", "center"), (0, 20, "center", "bottom"),
          (0, -20, "center", "top"))  # fmt: skip
"""Where a label may stand beside a mean: x, y in pixels, and its alignment; the nearest first."""


def label_clouds(figure: Figure, axes: Axes, clouds: Sequence[tuple[MethodStyle, np.ndarray]]) -> bool:
    """Write each name beside the mean of its points [n, 2], where it covers no point and no other name.

    Returns whether all names fit; if not, those written so far stay, and a legend is needed.
    """
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    means = [points.mean(axis=0) for _, points in clouds]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in axes.transData.transform(means)]
    dots = axes.transData.transform(np.concatenate([points for _, points in clouds]))
    taken += [Bbox.from_bounds(x - 2, y - 2, 4, 4) for x, y in dots]
    inside = axes.get_window_extent()
    for (key, _), mean in zip(clouds, means, strict=True):
        box = _placed(axes, key, mean, taken, inside)
        if box is None:
            return False
        taken.append(box)
    return True


def _placed(axes: Axes, key: MethodStyle, mean: np.ndarray, taken: Sequence[Bbox], inside: Bbox) -> Bbox | None:
    for x, y, across, up in PLACES:
        text = axes.annotate(key.label, (mean[0], mean[1]), (x, y), textcoords="offset points", ha=across, va=up,
                             color=key.hue, fontweight="bold", zorder=5)  # fmt: skip
        box = text.get_window_extent()
        within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
        if within and not any(box.overlaps(each) for each in taken):
            return box
        text.remove()
    return None

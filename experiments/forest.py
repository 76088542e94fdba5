"""Draw what methods change, study below study: every difference to the baseline with its 95 % interval.

    python experiments/forest.py "40 epochs=runs/cutmix_paper" "120 epochs=runs/cutmix_long" --out longer.png \\
        --call "sgdrop(drop=0.4, prob=1.0, views='both')=sgdrop, 2 views"

A study is a folder, or TITLE=FOLDER. Differences are paired by seed, the bars are t intervals. A filled dot stands
where the paired t test, after Holm over the methods of its study, has p below 0.05. Accuracies are drawn in points.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.regularizers.spec import parse
from overfocus.report.drawing.axes import PIXEL, chart_label, draw_frame
from overfocus.report.drawing.letters import drawable
from overfocus.report.drawing.plot import HUES, INK, PAPER, QUIET, Plot
from overfocus.statistics.power import LEVEL
from overfocus.statistics.verdict import Effect, compared
from overfocus.study.results import Results, read_results

WIDTH, STEP, EDGE = 640, 19, 56
"""Of the picture, of a row, and for the axis below, in pixels."""


@dataclass(frozen=True)
class Panel:
    """A study at one data size."""

    title: str
    effects: Mapping[str, Effect]


def panels(title: str, results: Results, number: str, called: Mapping[str, str], only: Sequence[str]) -> list[Panel]:
    """Return a panel for each data size of the study, its methods (those of `only`, if any) by what they are called."""
    if number not in {measure.key for measure in results.measures}:
        raise OverfocusError(f"{number}: no number of {results.folder} is called so")
    found = []
    for size in results.study.sizes:
        all_effects = compared(results.values(number, size), results.study.baseline).effects
        chosen = [name for name, each in all_effects.items() if each.paired.n > 1 and name in (only or all_effects)]
        effects = {called.get(name, name): all_effects[name] for name in chosen}
        if not effects:
            continue
        seeds = ", ".join(str(n) for n in sorted({each.paired.n for each in effects.values()}))
        many = f", {size}" if len(results.study.sizes) > 1 else ""
        found.append(Panel(f"{title}{many} (n = {seeds})", effects))
    return found


def forest(shown: Sequence[Panel], unit: str, scale: float) -> Figure:
    """Draw the panels below one another, each with its title above its rows."""
    lines = sum(len(panel.effects) + 1.4 for panel in shown)
    figure = Figure(figsize=(WIDTH * PIXEL, (STEP * lines + EDGE) * PIXEL), layout="constrained")
    axes = figure.add_subplot()
    draw_frame(axes, unit, grid="x")
    axes.axvline(0, color=INK, linewidth=1)
    hues = {name: HUES[n % len(HUES)] for n, name in enumerate(dict.fromkeys(m for p in shown for m in p.effects))}
    ticks, beside, y = [], [], 0.0
    for panel in shown:
        axes.text(0, y, drawable(panel.title), transform=axes.get_yaxis_transform(), color=QUIET, va="center",
                  backgroundcolor=PAPER, zorder=4)  # fmt: skip
        for name, effect in panel.effects.items():
            y += 1
            of, hue = effect.paired.difference, hues[name]
            axes.plot([scale * of.low, scale * of.high], [y, y], color=hue, linewidth=2, solid_capstyle="butt")
            axes.plot(scale * of.value, y, "o", color=hue, markersize=7, zorder=3,
                      markerfacecolor=hue if effect.p <= LEVEL else PAPER)  # fmt: skip
            ticks.append(y)
            beside.append(chart_label(name))
        y += 1.4
    axes.set_yticks(ticks, beside)
    axes.set_ylim(y - 0.7, -0.7)
    return figure


def titled(text: str) -> tuple[str, Results]:
    """Return title and study of TITLE=FOLDER; a folder alone is its own title, with an equals sign in it or without."""
    title, _, folder = ("", "", text) if Path(text).is_dir() else text.rpartition("=")
    return title or Path(folder).name, read_results(folder)


def names(calls: Sequence[str], known: set[str]) -> dict[str, str]:
    """Return method -> name of each METHOD=NAME."""
    called = {str(parse(spec)): name for spec, _, name in (call.rpartition("=") for call in calls)}
    if len({*called.values(), *(known - {*called})}) < len({*known, *called}):
        raise OverfocusError("--call: two methods have one name; give each its own")
    return called


def main() -> None:
    """Read the arguments and the studies, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", metavar="[TITLE=]STUDY")
    parser.add_argument("--number", default="accuracy", help="`accuracy`, SPLIT.accuracy, or SECTION.SCORE")
    parser.add_argument("--methods", default="", metavar="SPEC;...", help="default: all; p is still that of all")
    parser.add_argument("--call", action="append", default=[], metavar="METHOD=NAME", help="a shorter name; repeatable")
    parser.add_argument("--out", type=Path, required=True, help="a PNG file")
    asked = parser.parse_args()
    only = [str(parse(spec)) for spec in asked.methods.split(";") if spec.strip()]
    studies = [titled(each) for each in asked.studies]
    known = {method for _, study in studies for method in study.study.methods}
    called = names(asked.call, known)
    for method in (*only, *called):
        if method not in known:
            raise UnknownName("method of these studies", method, known)
    shown = [panel for title, study in studies for panel in panels(title, study, asked.number, called, only)]
    if not shown:
        raise OverfocusError("nothing to draw: an interval takes a method beside the baseline and two seeds")
    accuracy = asked.number.endswith("accuracy")
    unit = f"{asked.number}, difference to the baseline" + ", points" * accuracy
    figure = partial(forest, shown, unit, 100 if accuracy else 1)
    Plot(unit, "", (), figure).save_png(asked.out, dpi=144)


if __name__ == "__main__":
    main()

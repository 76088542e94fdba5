"""The sentences that people read, in one file for review; other tests assert values and verdicts, not English.

OVERFOCUS_PROSE=write writes the file anew.
"""

import os
from io import StringIO
from math import nan
from pathlib import Path

import numpy as np
import pytest
from made_results import CUTOUT, METHODS, PLAIN, SGDROP, cell_of, made, size_of
from rich.console import Console

from overfocus.report.study.page import rests, trouble
from overfocus.report.study.tables import classes_table, methods_table
from overfocus.report.study.view import CHAPTERS
from overfocus.report.terminal.study import show_study
from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.pictures import Pictures
from overfocus.statistics.verdict import compared
from overfocus.study.comparison import Comparison

FILE = Path(__file__).parent / "snapshots" / "prose.txt"
BASE = np.array([0.80, 0.82, 0.81, 0.79, 0.83])
NOISE = np.array([0.001, -0.002, 0.0, 0.002, -0.001])
FLIPPED = np.array([-0.1, 0.4, 0.4, 0.8, 0.6, 0.7]) / 100
SAME = Pictures(*(np.zeros((5, 30), dtype=np.int64),) * 2, np.zeros(30, dtype=np.int64))
EFFECTS = {
    "better": (BASE + 0.02 + NOISE, BASE, {}),
    "worse": (BASE - 0.02 + NOISE, BASE, {}),
    "better, where lower is better": (BASE - 0.02 + NOISE, BASE, {"better": "lower", "unit": ""}),
    "different": (BASE - 0.02 + NOISE, BASE, {"better": "neither", "unit": "of the map"}),
    "better by less than the margin": (BASE + 0.003 + NOISE / 4, BASE, {}),
    "better, not confirmed by sign flips": (0.8 + FLIPPED, np.full(6, 0.8), {}),
    "better by sign flips alone": (np.linspace(0.81, 0.88, 8), np.linspace(0.8, 0.87, 8), {}),
    "no difference": (BASE + NOISE, BASE, {}),
    "the same predictions": (BASE, BASE, {"pictures": lambda method: SAME}),
    "the same numbers": (BASE, BASE, {}),
    "too few seeds": (BASE + 0.006 + 6 * NOISE, BASE, {}),
    "the same difference on every seed": (BASE + 0.01, BASE, {}),
    "beyond any number of seeds": (BASE + 9 * NOISE, BASE, {"margin": nan, "unit": ""}),
    "one seed": (BASE[:1] + 0.02, BASE[:1], {}),
    "no seed": (np.full(5, nan), BASE, {}),
    "a seed is missing": (np.r_[nan, BASE[1:] + 0.02 + NOISE[1:]], BASE, {}),
}


def verdicts():
    for case, (method, base, terms) in EFFECTS.items():
        found = compared({"plain": base, "other": method}, "plain", **{"margin": 0.01, "unit": "points", **terms})
        yield f"{case}: {found.effects['other'].sentence}"
    idle = {f"idle {n}": BASE + 20 * NOISE[np.roll(np.arange(5), n)] for n in range(3)}
    lost = compared({"plain": BASE, "one": BASE + 0.005 + 2 * NOISE, **idle}, "plain", margin=0.001, unit="points")
    yield f"lost to Holm: {lost.effects['one'].sentence}"


def notes():
    for values in ([], [nan, nan], [0.7], [0.7, nan], [0.3, 0.3], [1.0, nan, 2.0, 3.0]):
        yield f"{values}: {mean_interval(np.array(values)).note}"


def titles(results):
    for name, draw in sorted((draw.__name__, draw) for chapter in CHAPTERS for draw in chapter.draw):
        if name != "accuracy_by_size":
            drawn = draw(Comparison(results), size_of(results))
            if drawn:
                yield f"{name}: {drawn.title}"


def on_the_terminal(results):
    text = StringIO()
    show_study(Comparison(results), Console(file=text, width=400, markup=False, emoji=False, highlight=False))
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Cutout is planted to be wider and better; of sgdrop one run failed, and one is missing."""
    folder, planted = tmp_path_factory.mktemp("study"), {"right": {CUTOUT: 0.9}, "wide": {CUTOUT: 0.6}}
    whole = made(folder, METHODS, **planted)
    failed = {cell_of(whole, SGDROP, 0): "loss is nan"}
    return made(folder, METHODS, **planted, failed=failed, missing=[cell_of(whole, SGDROP, 1)])


def test_prose_is_as_it_was_reviewed(results, tmp_path):
    alone = made(tmp_path, (PLAIN, CUTOUT), 1)
    parts = {
        "Verdicts": verdicts(),
        "Notes of a mean": notes(),
        "Titles of charts": titles(results),
        "Titles of charts, one seed": titles(alone),
        "Notes of tables": (table(Comparison(results)).note for table in (methods_table, classes_table)),
        "What a report rests on": rests(Comparison(results)),
        "What is missing": [trouble(results).sentence],
        "On the terminal": on_the_terminal(results),
        "On the terminal, one seed": on_the_terminal(alone),
    }
    text = "\n\n".join("\n".join((f"# {title}", *map(str, lines))) for title, lines in parts.items()) + "\n"
    if os.environ.get("OVERFOCUS_PROSE") == "write":
        FILE.write_text(text, encoding="utf-8")
    assert text == FILE.read_text(encoding="utf-8"), "read the change; OVERFOCUS_PROSE=write accepts it"

"""Where cues name different classes there is no accuracy: a study says which cue each method follows."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from made_results import IMAGES, PLAIN, SGDROP, made, size_of
from rich.console import Console

from overfocus.commands import demo
from overfocus.export.card import _front
from overfocus.report.study.dots import followed_cues, split_accuracies
from overfocus.report.study.tables import as_dict
from overfocus.report.terminal.study import show_study
from overfocus.report.terminal.tables import refit_table, scores_table
from overfocus.study.comparison import Comparison
from overfocus.training.refit import Refit

DISC = {PLAIN: 0.9, SGDROP: 0.5}


def scores(disc, digit):
    return {"accuracy": digit, "loss": 2.0, "images": IMAGES, "follows_disc": disc, "follows_digit": digit,
            "follows_none": 1 - disc - digit}  # fmt: skip


@pytest.fixture
def results(tmp_path):
    """Five seeds of two methods with a split whose cues disagree; SGDrop follows the disc less."""
    found = made(tmp_path, (PLAIN, SGDROP), splits=("test", "digit-only"))
    for key, result in found.results.items():
        disc = DISC[key.method] + 0.001 * key.seed * (1 if key.method == PLAIN else -1)
        last = replace(result.epochs[-1], scores=result.epochs[-1].scores | {"disc-vs-digit": scores(disc, 0.05)})
        found.results[key] = replace(result, epochs=(*result.epochs[:-1], last))
    return found


def shown(call, *arguments):
    console = Console(file=StringIO(), width=200, color_system=None, markup=False, emoji=False, highlight=False)
    call(*arguments, console)
    return console.file.getvalue()


def row_of(text, *parts):
    (line,) = [line for line in text.splitlines() if all(part in line for part in parts)]
    return line


def test_the_shares_are_measures_and_no_accuracy_is(results):
    keys = [measure.key for measure in results.measures if not measure.section]
    assert keys[2:] == ["digit-only.accuracy", *(f"disc-vs-digit.follows_{cue}" for cue in ("disc", "digit", "none"))]
    comparison, size = Comparison(results), size_of(results)
    of = comparison.of(results.measure("disc-vs-digit.follows_disc"), size)
    effect = of.effects[SGDROP]
    assert of.means[PLAIN].value == pytest.approx(0.902)
    assert effect.paired.difference.value == pytest.approx(-0.404)
    assert (effect.verdict, of.unit) == ("different", "points")
    written = as_dict(comparison)["sizes"][str(size)]["disc-vs-digit.follows_disc"]
    effect = written["effects"][SGDROP]
    assert {**effect, "p_page": 0} == {**of.as_dict()["effects"][SGDROP], "p_page": 0}
    assert effect["p_page"] >= effect["p"]


def test_they_are_drawn_and_printed_apart_from_accuracies(results):
    comparison, size = Comparison(results), size_of(results)
    chart = followed_cues(comparison, size)
    assert "plain 0.902, sgdrop 0.498" in chart.text
    assert "disc-vs-digit" not in split_accuracies(comparison, size).text.lower()
    text = shown(show_study, comparison)
    table = text[text.index("disc-vs-digit") :]
    assert [row_of(table, PLAIN, "90.20").count(each) for each in ("5.00", "4.80")] == [1, 1]
    assert "49.80" in row_of(table, SGDROP)


def test_without_such_a_split_nothing_is_said(tmp_path):
    results = made(tmp_path, splits=("test", "digit-only"))
    assert followed_cues(Comparison(results), size_of(results)) is None
    assert "follow" not in shown(show_study, Comparison(results))


def test_runs_that_lack_it_are_missing_and_not_zero(results):
    key = next(key for key in results.results if key.seed == 0 and key.method == SGDROP)
    old = results.results[key].epochs[-1]
    old = replace(old, scores={name: score for name, score in old.scores.items() if name != "disc-vs-digit"})
    results.results[key] = replace(results.results[key], epochs=(old,))
    values = results.values("disc-vs-digit.follows_disc", size_of(results))[SGDROP]
    assert np.isnan(values).tolist() == [True, False, False, False, False]


def test_a_run_is_printed_with_what_it_follows_and_what_its_features_hold():
    all_of = {"all": {"accuracy": 1.0, "loss": 0.1, "images": 100}, "disc-vs-digit": scores(0.7, 0.1)}
    text = shown(scores_table, all_of)
    assert row_of(text, "disc-vs-digit").split() == ["disc-vs-digit", "0.7000", "0.1000", "0.2000", "1,000"]
    assert shown(scores_table, {"disc-vs-digit": scores(0.7, 0.1)}).count("disc-vs-digit") == 1
    assert "interval" not in shown(scores_table, {"disc-vs-digit": scores(0.7, 0.1)})
    text = shown(refit_table, all_of, Refit("other", 30, {"all": 0.75}, {"all": 0.25}))
    assert row_of(text, "all ", "0.75").split() == ["all", "1.0000", "0.7500", "0.2500", "100"]


def test_a_card_claims_no_accuracy_there():
    front = _front({"architecture": "net"}, {"method": "plain"}, {"all": scores(1, 0) | {}, "test": {"accuracy": 0.5}})
    assert front.count('"accuracy"') == 1


def test_the_demo_says_what_is_followed(results, monkeypatch):
    monkeypatch.setattr(demo, "read_results", lambda folder: results)
    assert "plain the disc in 90 %, the digit in 5 %" in demo.conclusion("anywhere")
    for key, result in results.results.items():
        last = replace(result.epochs[-1], scores={"digit-only": result.epochs[-1].scores["digit-only"]})
        results.results[key] = replace(result, epochs=(last,))
    results.__dict__.pop("measures")
    assert "follow" not in demo.conclusion("anywhere")
    assert "nan" not in demo.conclusion("anywhere")

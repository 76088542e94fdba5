"""Studies that are judged by another score than accuracy, also those whose files do not name one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from grid import Inline, finish, grid
from made_results import CUTOUT, PLAIN, made
from rich.console import Console
from sklearn import metrics as sk

from overfocus.cli.study import study
from overfocus.core.errors import OverfocusError
from overfocus.report.study.table_text import as_csv
from overfocus.report.study.tables import as_dict, methods_table
from overfocus.report.terminal.study import show_study
from overfocus.study import run_study
from overfocus.study.answers import SCORES, Answers
from overfocus.study.comparison import Comparison
from overfocus.study.results import ACCURACY, read_results
from overfocus.study.run_key import Size
from overfocus.study.run_study import is_settled
from overfocus.study.study import claimed, settle_study

LABELS = np.repeat([0, 1], [900, 100])


def answers_of(right_of_0, right_of_1):
    said = np.concatenate((np.arange(900) >= round(right_of_0), np.arange(100) < round(right_of_1))).astype(np.int64)
    sure = np.full(1000, 0.9, np.float32)
    return Answers(LABELS, said, sure, said, sure)


def results_of(folder, cutout=(860, 60), noise=1, swing=0, **settings):
    """Plain gives the large class to nearly everything; cutout finds the small one, and loses more of the large one, by
    `swing` pictures more or less from seed to seed.
    """
    results = made(folder, (PLAIN, CUTOUT), **settings)
    draw = np.random.default_rng(0)
    found = {}
    for key, run in results.results.items():
        many, few = (895, 10) if key.method == PLAIN else (cutout[0] + swing * (-1) ** key.seed, cutout[1])
        found[key] = replace(run, answers=answers_of(many + noise * draw.normal(), few + noise * draw.normal()))
    return replace(results, results=found)


@pytest.mark.parametrize("absent", [0, 2])
def test_scores_are_those_of_scikit_learn(absent):
    draw = np.random.default_rng(1)
    labels = np.array([k for k in (0, 1, 1, 1, 2, 3, 3, 0, 3, 3) if k != absent])
    last, best = (np.where(draw.random(len(labels)) < 0.5, labels, draw.integers(0, 4, len(labels))) for _ in range(2))
    answers, present = Answers(labels, last, labels, best, labels), np.unique(labels)
    for which, said in (("last", last), ("best", best)):
        assert answers.score("accuracy", which) == pytest.approx(sk.accuracy_score(labels, said))
        recall = sk.recall_score(labels, said, average="macro", labels=present)
        assert answers.score("balanced_accuracy", which) == pytest.approx(recall)
        for name in ("macro", "weighted"):
            wanted = sk.f1_score(labels, said, average=name, labels=present)
            assert answers.score(f"{name}_f1", which) == pytest.approx(wanted)


def test_the_verdict_is_that_of_the_score(tmp_path):
    by_accuracy, balanced = (
        Comparison(results_of(tmp_path, metric=name)) for name in ("accuracy", "balanced_accuracy")
    )
    size = Size()
    assert by_accuracy.of(by_accuracy.results.metric, size).effects[CUTOUT].verdict == "better"
    assert balanced.of(balanced.results.metric, size).means[PLAIN].value == pytest.approx(0.547, abs=0.01)
    worse = Comparison(results_of(tmp_path, cutout=(820, 60), metric="balanced_accuracy"))
    assert worse.of(worse.results.metric, size).effects[CUTOUT].verdict == "better"
    assert worse.of(ACCURACY, size).effects[CUTOUT].verdict == "worse"


def test_table_terminal_and_json_say_the_score(tmp_path):
    comparison = Comparison(results_of(tmp_path, cutout=(820, 60), metric="balanced_accuracy", per_class=[10, 100]))
    found = as_dict(comparison)
    assert found["metric"] == "balanced_accuracy"
    for of in found["sizes"].values():
        assert of["balanced_accuracy"]["effects"][CUTOUT]["verdict"] == "better"
        assert of["accuracy"]["effects"][CUTOUT]["verdict"] == "worse"
        assert of["balanced_accuracy"]["unit"] == "points"
    console = Console(width=100, record=True, markup=False)
    show_study(comparison, console)
    mean = comparison.of(comparison.results.metric, comparison.sizes[0]).means[CUTOUT]
    said = console.export_text()
    assert "balanced accuracy" in said
    assert f"{100 * mean.value:.2f}" in said
    head = as_csv(methods_table(comparison)).splitlines()[0]
    assert "balanced_accuracy,balanced_accuracy_low" in head


def test_the_end_of_a_plan_is_that_of_the_score(tmp_path, monkeypatch):
    """Balanced accuracy tells the two apart at once, accuracy does not."""
    for name, settled in (("accuracy", False), ("balanced_accuracy", True)):
        results = results_of(tmp_path, cutout=(860, 50), swing=20, metric=name)
        monkeypatch.setattr(run_study, "read_results", lambda folder, found=results: found)
        assert is_settled(tmp_path) is settled


def test_the_same_answers_are_no_difference(tmp_path):
    results = results_of(tmp_path, cutout=(895, 10), noise=0, metric="macro_f1")
    assert Comparison(results).of(results.metric, Size()).effects[CUTOUT].verdict == "no difference"


@pytest.mark.parametrize("name", ["auroc", "average_precision", "top5", "acuracy"])
def test_a_score_that_is_not_kept_names_those_that_are(name):
    with pytest.raises(OverfocusError, match=name) as error:
        settle_study(None, {"methods": ["plain"], "metric": name}, [])
    assert all(each in str(error.value) for each in SCORES)
    assert "\n" not in str(error.value)


def test_a_plan_cannot_change_its_score(tmp_path):
    plan = {"methods": ["plain"], "seeds": 4, "looks": [2, 4]}
    claimed(tmp_path / "s", settle_study(None, plan, []))
    with pytest.raises(OverfocusError, match="metric"):
        claimed(tmp_path / "s", settle_study(None, {**plan, "metric": "macro_f1"}, []))


def test_a_study_of_before_is_judged_anew_without_training(folder, tmp_path, capsys):
    out, engine = tmp_path / "s", Inline()
    finish(grid(folder, examine__sections=[], recipe__epochs=1), out)
    text = (out / "study.toml").read_text()
    (out / "study.toml").write_text(text.replace('metric = "accuracy"\n', ""))
    assert "metric" not in (out / "study.toml").read_text()
    assert read_results(out).metric == ACCURACY
    finish(grid(folder, examine__sections=[], recipe__epochs=1, metric="balanced_accuracy"), out, engine)
    results = read_results(out)
    assert engine.done == []
    assert results.metric.key == "balanced_accuracy"
    for run in results.results.values():
        wanted = sk.balanced_accuracy_score(run.answers.labels, run.answers.last)
        assert run.value("balanced_accuracy") == pytest.approx(wanted)
        assert run.value("balanced_accuracy") == pytest.approx(run.epochs[-1].scores["test"]["balanced_accuracy"])
    study(out / "study.toml", out, metric="weighted_f1", workers=1, as_json=True)
    found = json.loads(capsys.readouterr().out)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert found["metric"] == "weighted_f1"
    assert 'metric = "weighted_f1"' in (out / "study.toml").read_text()
    assert "mean weighted F1" in page
    for method in results.study.methods:
        mean = np.mean([run.answers.score("weighted_f1") for run in results.of(method, Size())])
        assert found["sizes"]["all images"]["weighted_f1"]["means"][method]["value"] == pytest.approx(mean)
        assert f"{100 * mean:.2f}" in page

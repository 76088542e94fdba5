"""A comparison: each verdict computed once, however many read it."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from made_results import CUTOUT, PLAIN, SGDROP, made
from rich.console import Console
from scipy import stats
from studies import QUICK, planted, small_study

from overfocus.cli import study as cli
from overfocus.report.study.page import write_report
from overfocus.report.study.tables import as_dict
from overfocus.report.terminal.study import show_study
from overfocus.statistics import verdict
from overfocus.statistics.paired import paired
from overfocus.statistics.pictures import Pictures
from overfocus.statistics.verdict import compared
from overfocus.study import results as study_results
from overfocus.study.comparison import Comparison
from overfocus.study.results import ACCURACY, Measure, read_results
from overfocus.study.run_key import RunKey


@pytest.fixture
def comparison(tmp_path):
    return Comparison(made(tmp_path, right={CUTOUT: 0.9}, per_class=[10, 100]))


def pictures_of(comparison, size, method):
    """What a method and the baseline say of each picture, read run by run."""
    answers = {
        (m, n): comparison.results.results[RunKey(m, size, n)].answers for m in (method, PLAIN) for n in range(5)
    }
    own, base = (np.stack([answers[m, n].last for n in range(5)]) for m in (method, PLAIN))
    return Pictures(own, base, answers[PLAIN, 0].labels)


def test_verdicts_are_those_of_the_values(comparison):
    size, measure = comparison.sizes[0], Measure("hiding.overfocus", "overfocus score", "lower", section="hiding")
    found = comparison.of(ACCURACY, size)
    assert [found.effects[method].verdict for method in (CUTOUT, SGDROP)] == ["better", "no difference"]
    values = comparison.results.values(ACCURACY, size)
    pictures = {method: pictures_of(comparison, size, method) for method in (CUTOUT, SGDROP)}
    expected = compared(values, PLAIN, margin=0.01, unit="points", pictures=pictures.__getitem__)
    assert found.as_dict() == expected.as_dict()
    assert found.effects[CUTOUT].two_level == pictures[CUTOUT].interval()
    lower = compared(comparison.results.values(measure, size), PLAIN, better="lower")
    assert comparison.of(measure, size).as_dict() == lower.as_dict()


def test_classes_are_one_family(comparison):
    size = comparison.sizes[1]
    accuracy = comparison.results.per_class(size)
    pictures = pictures_of(comparison, size, CUTOUT)
    effects = verdict.per_class_effects(accuracy[CUTOUT], accuracy[PLAIN], pictures=pictures)
    found = comparison.by_class(size)
    assert [of.effects[CUTOUT] for of in found] == effects
    means = [of.means[PLAIN].value for of in found]
    np.testing.assert_allclose(means, accuracy[PLAIN].mean(axis=0))


@pytest.mark.parametrize("key", ["accuracy", "best_accuracy", "no-disc.accuracy", "confidence.accuracy"])
def test_differences_of_accuracies_are_in_points(key):
    assert Measure(key, "", "higher", unit="of images").difference_unit == "points"
    assert Measure("spread.area", "", "higher", unit="of the map").difference_unit == "of the map"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("study") / "s", small_study())


def test_page_tables_terminal_and_json_compute_each_pair_once(folder, monkeypatch):
    calls = []

    def counted(method, baseline, **terms):
        calls.append(method)
        return paired(method, baseline, **terms)

    monkeypatch.setattr(verdict, "paired", counted)
    comparison = Comparison(read_results(folder))
    write_report(comparison, images=0)
    show_study(comparison, Console(file=StringIO()))
    as_dict(comparison)
    classes, measures = len(comparison.results.classes), len(comparison._compared)
    assert measures > len(QUICK)
    assert len(calls) == len(comparison.study.others) * (measures + classes)


def test_false_discoveries_are_counted_over_the_whole_page(folder):
    """One family: every headline and every class at every size; what the page draws has no comparison outside it."""
    comparison = Comparison(read_results(folder))
    effects = [effect for _, _, of in comparison.headlines() for effect in of.effects.values()]
    effects += [
        effect for size in comparison.sizes for of in comparison.by_class(size) for effect in of.effects.values()
    ]
    p = np.array([each.paired.p_sign_flip if np.isnan(each.paired.p) else each.paired.p for each in effects])
    known, expected = np.isfinite(p), np.full(len(p), np.nan)
    expected[known] = stats.false_discovery_control(p[known])
    assert [comparison.p_page(each) for each in effects] == pytest.approx(list(expected), nan_ok=True)
    assert comparison.discoveries == ((expected <= 0.05).sum(), known.sum())
    before = set(comparison._compared)
    write_report(comparison, images=0)
    assert set(comparison._compared) == before
    found = as_dict(comparison)
    assert found["page"] == {"comparisons": known.sum(), "p_page_at_most_0.05": (expected <= 0.05).sum()}
    one = next(iter(found["sizes"].values()))["accuracy"]["effects"][CUTOUT]
    assert one["p_page"] == comparison.p_page(comparison.of(ACCURACY, comparison.sizes[0]).effects[CUTOUT])


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_reads_the_results_once(folder, monkeypatch, tmp_path, as_json):
    reads = []
    monkeypatch.setattr(study_results, "read_results", lambda path: reads.append(path) or read_results(path))
    cli._report(folder, tmp_path / "report.html", 0, open_it=False, as_json=as_json)
    assert reads == [folder]

"""Half of the object in a study: over what none of the compared methods trained with, and told first."""

import json
from io import StringIO

import numpy as np
import pytest
from grid import finish, grid
from made_results import made, size_of
from rich.console import Console

from overfocus.commands.diagnose import DiagnosisRequest, diagnose_checkpoints
from overfocus.diagnosis.fillings import FILLINGS
from overfocus.report.study.answer import sentences
from overfocus.report.study.dots import half_object
from overfocus.report.study.tables import as_dict, measures_table, runs_table
from overfocus.report.study.view import chapters
from overfocus.report.terminal.study import show_study
from overfocus.study.comparison import Comparison
from overfocus.study.half_object import KEY, familiar
from overfocus.study.results import ACCURACY, read_results

PLAIN, GREY, NOISY, MIX = "plain", "cutout", "cutout(fill='noise')", "mixup + sgdrop"


def planted(folder, methods, by):
    """Return results in which `by` filling is right so often with every method, the later a method the more often."""
    results = made(folder, methods, 3)
    for key, run in results.results.items():
        scores, number = run.sections["halves"]["scores"], methods.index(key.method)
        for fill, share in by.items():
            scores[f"half_{fill}"]["value"] = share + 0.1 * number + 0.001 * (1 + number) * key.seed
        scores["half_new"] = {**scores["half"], "value": 0.123}  # what each run says by itself
    return results


BY = {"mean": 0.6, "blur": 0.3, "noise": 0.1, "patch": 0.5}


@pytest.mark.parametrize(
    ("methods", "new"),
    [
        ([PLAIN, "sgdrop"], ["mean", "blur", "noise", "patch"]), ([PLAIN, GREY], ["blur", "noise", "patch"]),
        ([PLAIN, MIX], ["mean", "blur", "noise"]), ([PLAIN, GREY, MIX], ["blur", "noise"]),
        ([PLAIN, GREY, NOISY, MIX], ["blur"]),
    ],
)  # fmt: skip
def test_it_is_the_mean_over_what_no_method_trained_with(tmp_path, methods, new):
    results = planted(tmp_path, methods, BY)
    assert results.new_fillings == new
    for number, values in enumerate(results.values(KEY, size_of(results)).values()):
        wanted = np.mean([BY[fill] for fill in new]) + 0.1 * number + 0.001 * (1 + number) * np.arange(3)
        assert values == pytest.approx(wanted)
    assert all(FILLINGS[fill] in results.half_object.title for fill in new)
    assert not any(FILLINGS[fill] in results.half_object.title for fill in set(FILLINGS) - set(new))


def test_who_is_used_to_what():
    assert familiar([PLAIN, GREY, "cutmix", MIX]) == {"mean": ("cutout",), "patch": ("cutmix", MIX)}
    assert familiar([PLAIN, "sgdrop"]) == {}


def test_a_filling_that_was_not_asked_does_not_count(tmp_path):
    results = planted(tmp_path, [PLAIN, GREY], BY)
    for run in results.results.values():
        del run.sections["halves"]["scores"]["half_patch"]
    assert results.new_fillings == ["blur", "noise"]


def test_it_is_the_first_number_of_the_examination_everywhere(tmp_path):
    comparison = Comparison(planted(tmp_path, [PLAIN, GREY], BY))
    size = size_of(comparison.results)
    keys = list(json.loads(json.dumps(as_dict(comparison)))["sizes"][str(size)])
    assert keys[:3] == ["accuracy", "best_accuracy", KEY]
    assert keys.count(KEY) == 1
    assert chapters(comparison)[0].key == "halves"
    assert chapters(comparison)[0].tables[0].heads[0].key == KEY
    assert next(row for row in measures_table(comparison).rows if "." in row[1])[1] == KEY
    runs = runs_table(comparison.results)
    column = [head.key for head in runs.heads].index(KEY)
    assert [row[column] for row in runs.rows] == pytest.approx(
        [comparison.results.values(KEY, size)[row[0]][row[3]] for row in runs.rows]
    )


def test_its_verdict_is_in_points_as_that_of_accuracy(tmp_path):
    comparison = Comparison(planted(tmp_path, [PLAIN, GREY], BY))
    size = size_of(comparison.results)
    of, accuracy = (comparison.of(each, size) for each in (comparison.results.half_object, ACCURACY))
    assert (of.unit, of.margin) == (accuracy.unit, accuracy.margin)
    assert of.effects[GREY].verdict == "better"
    assert of.effects[GREY].paired.difference.value == pytest.approx(0.101)
    text = StringIO()
    show_study(comparison, Console(file=text, width=100, markup=False, highlight=False))
    title = comparison.results.half_object.title[1:]
    rows = text.getvalue().partition(title)[2].splitlines()
    assert next(row for row in rows if row.startswith("cutout")).split()[:2] == ["cutout", "3"]
    assert "40.20" in next(row for row in rows if row.startswith("cutout"))
    assert title in sentences(comparison, size)[-1]


def test_what_was_trained_with_is_told_apart_in_the_chart_and_below_it(tmp_path):
    comparison = Comparison(planted(tmp_path, [PLAIN, GREY, MIX], BY))
    drawn = half_object(comparison, size_of(comparison.results))
    marked = [line.name.partition(":")[0] for line in drawn.lines if "(seen)" in line.name]
    half = next(line for line in drawn.lines if line.name == "half hidden: plain")
    assert half.y[0] == pytest.approx(comparison.results.values(KEY, size_of(comparison.results))[PLAIN].mean())
    assert {FILLINGS["mean"], FILLINGS["patch"]} == {name.partition(" (")[0] for name in marked}
    note = chapters(comparison)[0].note
    assert f"{FILLINGS['mean']} ({GREY})" in note
    assert MIX in note


def test_without_it_nothing_is_said(tmp_path):
    results = made(tmp_path, [PLAIN, GREY], 3)
    for run in results.results.values():
        del run.sections["halves"]
    assert results.half_object is None
    assert KEY not in [each.key for each in results.measures]
    comparison = Comparison(results)
    assert "half" not in " ".join(sentences(comparison, size_of(results)))
    unexamined = made(tmp_path, [PLAIN, GREY], 3, examined=False)
    assert unexamined.half_object is None


def test_a_run_knows_what_it_trained_with_and_models_side_by_side_leave_out_the_same(tmp_path, folder):
    study = grid(folder, seeds=1, recipe__epochs=1, examine__sections=["halves"])
    finish(study, tmp_path / "study")
    results = read_results(tmp_path / "study")
    assert results.new_fillings == ["blur", "noise", "patch"]
    for run in results.results.values():
        halves = {name: score["value"] for name, score in run.sections["halves"]["scores"].items()}
        rest = [halves[f"half_{fill}"] for fill in results.new_fillings]
        assert results.value(run.key, KEY) == pytest.approx(np.mean(rest))
        assert halves["half_new"] == pytest.approx(halves["half"] if run.key.method == PLAIN else np.mean(rest))
    runs = tuple(str(run.path) for run in results.results.values())
    quiet = Console(file=StringIO())
    alone = diagnose_checkpoints(DiagnosisRequest(runs[:1], only=("halves",)), tmp_path / "one", console=quiet)
    both = diagnose_checkpoints(DiagnosisRequest(runs, only=("halves",)), tmp_path / "two", console=quiet)
    assert [each.evidence.about["trained_with"] for each in alone.diagnoses] == [[]]
    assert [each.evidence.about["trained_with"] for each in both.diagnoses] == [["mean"], ["mean"]]
    assert both.rows("halves")[0].name == "half_new"

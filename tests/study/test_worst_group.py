"""Studies and searches that are judged by the worst group."""

from dataclasses import replace

import numpy as np
import pytest
from grid import Inline, finish, grid
from made_results import CUTOUT, PLAIN, made
from rich.console import Console
from small import photos, settings

from overfocus.core.errors import OverfocusError
from overfocus.report.terminal.study import show_study
from overfocus.study.answers import Answers, out_of_fold
from overfocus.study.comparison import Comparison
from overfocus.study.results import ACCURACY, WORST, read_results
from overfocus.study.run_key import RunKey, Size
from overfocus.training.experiment import Experiment
from overfocus.training.run import Run

LABELS, GROUPS = np.repeat([0, 1], 100), np.tile(np.repeat([0, 1, 2], [50, 45, 5]), 2)


def answers_of(wrong_in_1, wrong_elsewhere, groups=GROUPS):
    """Answers that are wrong so often in the second class of the second group, and in the small third group."""
    said = LABELS.copy()
    said[np.flatnonzero((LABELS == 1) & (GROUPS == 1))[:wrong_in_1]] = 0
    said[np.flatnonzero(GROUPS == 2)[:wrong_elsewhere]] ^= 1
    sure = np.full(200, 0.9, np.float32)
    return Answers(LABELS, said, sure, LABELS, sure, groups)


def test_the_score_is_that_of_the_lowest_cell_of_ten(tmp_path):
    answers = answers_of(9, 5)
    assert answers.score("worst_group") == pytest.approx(36 / 45)
    assert answers.score("worst_group", "best") == 1
    assert answers.score("accuracy") == pytest.approx(186 / 200)
    file = tmp_path / "answers.npz"
    answers.save(file)
    assert Answers.load(file).score("worst_group") == pytest.approx(36 / 45)
    few = replace(answers, last=np.where(GROUPS == 2, 1 - LABELS, LABELS))
    assert few.score("worst_group") == 1, "a cell of five is not compared"
    both = out_of_fold([answers, few])
    assert both.groups.shape == (400,)
    assert both.score("worst_group") == 0, "of ten it is"


def test_answers_of_before_have_none(tmp_path):
    file = tmp_path / "answers.npz"
    answers_of(9, 5, groups=None).save(file)
    with np.load(file) as kept:
        assert "groups" not in kept.files
    again = Answers.load(file)
    assert np.isnan(again.score("worst_group"))
    assert again.score("accuracy") == pytest.approx(186 / 200)
    assert out_of_fold([again, answers_of(9, 5)]).groups is None


def test_the_verdict_is_that_of_the_worst_group(tmp_path):
    def results(**settings):
        found = made(tmp_path, (PLAIN, CUTOUT), **settings)
        wrong = {PLAIN: (15, 0), CUTOUT: (10, 10)}
        of = {}
        for key, run in found.results.items():
            first, third = wrong[key.method]
            first += key.seed % (3 if key.method == PLAIN else 2)
            of[key] = replace(run, answers=answers_of(first, third))
        return replace(found, results=of)

    for metric in ("worst_group", "accuracy"):
        comparison = Comparison(results(metric=metric))
        assert WORST in comparison.results.measures
        assert comparison.of(WORST, Size()).effects[CUTOUT].verdict == "better"
        assert comparison.of(ACCURACY, Size()).effects[CUTOUT].verdict == "worse"
        console = Console(width=100, record=True, markup=False)
        show_study(comparison, console)
        mean = comparison.of(WORST, Size()).means[CUTOUT]
        assert f"{100 * mean.value:.2f}" in console.export_text()


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """A folder of photos with a table of two groups."""
    folder = photos(tmp_path_factory.mktemp("data") / "photos", classes=2, train=24, test=24)
    rows = [
        f"{path.relative_to(folder).as_posix()},{'pq'[int(path.stem) % 2]},{path.stem}"
        for path in folder.rglob("*.png")
    ]
    (folder / "origin.csv").write_text("\n".join(["file,site,one", *rows]) + "\n")
    return folder


def test_a_study_keeps_the_groups_of_its_runs(grouped, tmp_path):
    changes = {"recipe__epochs": 1, "metric": "worst_group", "seeds": 1, "data__group": "origin.csv:site"}
    study = grid(grouped, examine__sections=["groups"], examine__limit=99, **changes)
    done = finish(study, tmp_path / "s")
    assert not done.failed
    results = read_results(tmp_path / "s")
    for run in results.results.values():
        assert sorted(np.bincount(run.answers.groups)) == [24, 24]
        scores = run.epochs[-1].scores["test"]
        assert run.value("worst_group") == pytest.approx(scores["worst_group"])
        assert run.value("groups.worst_group") == pytest.approx(scores["worst_group"])
    key = RunKey("plain", Size(), 0)
    folder = key.folder(tmp_path / "s")
    kept = Answers.load(folder / "answers.npz")
    replace(kept, groups=None).save(folder / "answers.npz")
    with pytest.raises(OverfocusError, match="without groups"):
        read_results(tmp_path / "s")


@pytest.mark.parametrize(("column", "told"), [(None, "no groups"), ("origin.csv:one", "no class has 10")])
def test_without_groups_no_run_is_trained(grouped, tmp_path, column, told):
    engine = Inline()
    study = grid(grouped, data__group=column, examine__sections=[], metric="worst_group", seeds=1)
    status = finish(study, tmp_path / "s", engine)
    assert len(status.failed) == 2
    key = RunKey("plain", Size(), 0)
    assert told in key.failure(tmp_path / "s")["error"]
    assert not (key.folder(tmp_path / "s") / "manifest.json").exists()


def test_trials_count_by_the_worst_group(grouped, tmp_path):
    pytest.importorskip("optuna")
    from overfocus.study.tuning import Budget, tune

    experiment = Experiment.read(
        settings(str(grouped), recipe__epochs=1, data__group="origin.csv:site", data__val=0.9), "test"
    )
    (found,) = tune(experiment, ["cutout(size=?)"], tmp_path / "t", Budget(2, metric="worst_group"))
    (run,) = (tmp_path / "t").rglob("0000/seed0")
    assert found.trials[0].value == Run(run).epochs()[-1].scores["val"]["worst_group"]
    with pytest.raises(OverfocusError, match="other settings"):
        tune(experiment, ["cutout(size=?)"], tmp_path / "t", Budget(2))
    with pytest.raises(OverfocusError, match="no class has 10"):
        tune(Experiment.read(settings(str(grouped), data__group="origin.csv:one"), "test"), ["plain"], tmp_path / "u",
             Budget(1, metric="worst_group"))  # fmt: skip
    with pytest.raises(OverfocusError, match="did you mean 'worst_group'"):
        Budget(metric="worst_groups")

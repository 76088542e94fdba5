"""A study by cross-validation: which runs it has, what they are tested on, and that every number says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
from grid import Inline, finish, grid, numbers
from small import photos

from overfocus.commands.study import planned_seeds
from overfocus.core.errors import OverfocusError
from overfocus.report.study.page import write_report
from overfocus.report.study.tables import as_dict
from overfocus.statistics.paired import paired
from overfocus.study.comparison import Comparison
from overfocus.study.results import ACCURACY, read_results
from overfocus.study.run_key import Size
from overfocus.study.study import claimed, read_study, settle_study


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """30 pictures without test pictures of their own."""
    folder = photos(tmp_path_factory.mktemp("data") / "photos", train=10, test=1)
    return folder / "train"


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "s"
    finish(grid(data, folds=3, seeds=1, recipe__epochs=1), out)
    return out


def test_a_number_of_seeds_says_how_often(data):
    assert settle_study(None, {"folds": 4}, []).seeds == (0, 1, 2, 3)
    study = settle_study(None, {"folds": 4, "seeds": 2}, [])
    assert study.seeds == tuple(range(8))
    assert settle_study(None, {"folds": 4, "seeds": [4, 5, 6, 7]}, []).seeds == (4, 5, 6, 7)
    assert [study.experiment(key).data.folds for key in study.run_keys()] == [4] * 8
    for wrong in ({"seeds": [0, 1]}, {"looks": [4, 8], "seeds": 2}, {"data.folds": 4}, {"folds": 1}):
        with pytest.raises(OverfocusError, match="folds"):
            settle_study(None, {"folds": 4, **wrong}, [])


def test_no_plan_has_folds():
    with pytest.raises(OverfocusError, match="folds"):
        planned_seeds(True, None, None, 5)


def test_every_picture_is_answered_once(done):
    results = read_results(done)
    assert (results.study.folds, results.study.seeds) == (3, (0, 1, 2))
    every = results.out_of_fold("plain", Size())
    assert np.bincount(every.labels).tolist() == [10, 10, 10]
    runs = results.of("plain", Size())
    assert [len(run.answers.labels) for run in runs] == [10, 10, 10]
    assert every.accuracy() == pytest.approx(np.mean([run.value("accuracy") for run in runs]))
    assert {run.manifest["images"]["train"] for run in runs} == {20}


def test_verdicts_are_corrected_and_say_so(done):
    comparison = Comparison(read_results(done))
    values = comparison.results.values(ACCURACY, Size())
    effect = comparison.of(ACCURACY, Size()).effects["cutout(size=4)"]
    expected = paired(values["cutout(size=4)"], values["plain"], folds=3)
    assert effect.paired.as_dict() == expected.as_dict()
    assert not effect.two_level.bounded
    found = as_dict(comparison)
    assert found["folds"] == {"number": 3, "times": 1, "test": "corrected resampled t"}
    whole = found["sizes"]["all images"]["accuracy"]["out_of_fold"]
    assert set(whole) == {"plain", "cutout(size=4)"}
    assert whole["plain"]["n"] == 30
    assert as_dict(Comparison(read_results(done)))["folds"] == found["folds"]
    text = write_report(comparison).read_text()
    assert "Nadeau and Bengio" in text
    assert "paired t test" not in text


def test_it_is_resumed_repeated_and_refused(done, data, tmp_path):
    import shutil

    before = numbers(done)
    engine = Inline()
    finish(read_study(done), done, engine)
    assert engine.done == []
    shutil.copytree(done, tmp_path / "s")
    finish(grid(data, folds=3, seeds=2, recipe__epochs=1), tmp_path / "s", engine)
    assert len(engine.done) == 6
    grown = numbers(tmp_path / "s")
    assert {name: grown[name] for name in before} == before
    results = read_results(tmp_path / "s")
    assert as_dict(Comparison(results))["folds"]["times"] == 2
    hashes = {run.key.seed: run.manifest["data"]["fingerprint"] for run in results.of("plain", Size())}
    assert len(set(hashes.values())) == 6, "another split each time"
    with pytest.raises(OverfocusError, match="folds"):
        claimed(tmp_path / "s", grid(data, folds=5, recipe__epochs=1))
    with pytest.raises(OverfocusError, match="folds"):
        claimed(tmp_path / "s", grid(data, recipe__epochs=1))


def test_a_run_alone_is_the_run_of_the_study(done, tmp_path):
    """The experiment of a fold says all of it."""
    from overfocus.training.experiment import read_experiment
    from overfocus.training.loop import train

    for each in read_results(done).of("plain", Size())[1:2]:
        list(train(read_experiment(each.path / "experiment.toml"), tmp_path / "again"))
        assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (
            each.path / "weights.safetensors"
        ).read_bytes()
        assert json.loads((tmp_path / "again" / "manifest.json").read_text())["data"] == each.manifest["data"]

"""What a study was asked for first, and what after results were there."""

from __future__ import annotations

import json

import pytest
from grid import Inline, finish, grid

from overfocus.diagnosis.sections.robustness import Robustness
from overfocus.diagnosis.sections.spread import Spread
from overfocus.report.study.tables import as_dict
from overfocus.study.comparison import Comparison
from overfocus.study.growth import SEEDS, changes, ranges, read_asked
from overfocus.study.results import read_results
from overfocus.study.run_key import is_examined
from overfocus.study.study import claimed


@pytest.fixture(scope="module")
def quick(folder):
    return {"data": folder, "methods": ["plain"], "recipe__epochs": 1, "examine__sections": []}


def test_seeds_added_after_results_are_named(quick, tmp_path):
    claimed(tmp_path, grid(seeds=1, **quick))
    claimed(tmp_path, grid(seeds=2, **quick))
    assert changes(tmp_path) == [], "nothing was seen by then"
    finish(grid(seeds=2, **quick), tmp_path)
    finish(grid(seeds=2, **quick), tmp_path)
    assert changes(tmp_path) == []
    finish(grid(seeds=4, **quick), tmp_path)
    found = changes(tmp_path)
    assert [(each.added, each.removed, each.seen) for each in found] == [((2, 3), (), (0, 1))]
    assert as_dict(Comparison(read_results(tmp_path)))["seeds_changed"][0]["added"] == (2, 3)
    claimed(tmp_path, grid(seeds=3, **quick))
    assert [(each.added, each.removed, each.seen) for each in changes(tmp_path)][1] == ((), (3,), (0, 1, 2, 3))
    assert [each.seeds for each in read_asked(tmp_path)] == [(0,), (0, 1), (0, 1, 2, 3), (0, 1, 2)]


def test_a_study_begun_before_that_was_kept(quick, tmp_path):
    finish(grid(seeds=1, **quick), tmp_path)
    (tmp_path / SEEDS).unlink()
    assert changes(tmp_path) == []
    claimed(tmp_path, grid(seeds=3, **quick))
    assert [(each.added, each.seen) for each in changes(tmp_path)] == [((1, 2), (0,))]


def test_ranges():
    assert ranges((5, 0, 1, 2)) == "0-2, 5"


def test_a_diagnosis_by_an_older_version_of_a_section_is_made_anew(folder, tmp_path, monkeypatch):
    """Ten steps of PGD and those that go on until the loss stops rising have one name: `pgd_8`."""
    assert (Robustness.version, Spread.version) == (2, 1)
    study = grid(folder, methods=["plain"], seeds=1, recipe__epochs=1)
    finish(study, tmp_path)
    run = next(study.run_keys()).folder(tmp_path)
    scores = run / "diagnosis" / "scores.json"
    content = json.loads(scores.read_text())
    assert content["about"]["section_versions"] == {"spread": 1}
    assert is_examined(run, study.examine.record)
    monkeypatch.setattr(Spread, "version", 2)
    assert not is_examined(run, study.examine.record)
    results = read_results(tmp_path)
    assert len(results.unexamined) == 1, "and until then its numbers are not compared"
    assert not results.first.sections
    before, engine = (run / "weights.safetensors").stat().st_mtime_ns, Inline()
    finish(study, tmp_path, engine)
    assert len(engine.done) == 1
    assert json.loads(scores.read_text())["about"]["section_versions"] == {"spread": 2}
    assert (run / "weights.safetensors").stat().st_mtime_ns == before, "nothing is trained again"
    del content["about"]["section_versions"]
    monkeypatch.setattr(Spread, "version", 1)
    scores.write_text(json.dumps(content))
    assert is_examined(run, study.examine.record), "without a word of versions it is the first"

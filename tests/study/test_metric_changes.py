"""By which metric a study was judged, and what it says when another is taken after results were there."""

from __future__ import annotations

import pytest
from grid import finish, grid

from overfocus.report.study.answer import judged_anew
from overfocus.report.study.page import write_report
from overfocus.report.study.tables import as_dict
from overfocus.study.comparison import Comparison
from overfocus.study.metric_changes import METRICS, MetricChange, metric_changes, read_metrics
from overfocus.study.results import read_results
from overfocus.study.study import claimed


@pytest.fixture
def quick(folder):
    return {"data": folder, "methods": ["plain"], "recipe__epochs": 1, "examine__sections": [], "seeds": 1}


def test_a_metric_that_is_changed_after_results_is_told(quick, tmp_path):
    claimed(tmp_path, grid(**quick))
    claimed(tmp_path, grid(metric="macro_f1", **quick))
    assert metric_changes(tmp_path) == [], "nothing was seen by then"
    finish(grid(metric="macro_f1", **quick), tmp_path)
    assert not judged_anew(read_results(tmp_path))
    claimed(tmp_path, grid(metric="balanced_accuracy", **quick))
    claimed(tmp_path, grid(metric="balanced_accuracy", **quick))
    (found,) = metric_changes(tmp_path)
    assert found == MetricChange("macro_f1", "balanced_accuracy", (0,), found.date)
    assert [each.metric for each in read_metrics(tmp_path)] == ["accuracy", "macro_f1", "balanced_accuracy"]
    comparison = Comparison(read_results(tmp_path))
    assert as_dict(comparison)["metric"] == "balanced_accuracy"
    assert as_dict(comparison)["metric_changed"][0]["before"] == "macro_f1"
    (sentence,) = judged_anew(comparison.results)
    assert "macro f1" in sentence
    assert sentence in write_report(comparison).read_text()


def test_a_study_begun_before_that_was_kept(quick, tmp_path):
    (tmp_path / "runs" / "plain" / "all" / "seed0").mkdir(parents=True)
    (tmp_path / "runs" / "plain" / "all" / "seed0" / "manifest.json").write_text("{}")
    (tmp_path / "study.toml").write_text(grid(**quick).toml())
    claimed(tmp_path, grid(**quick))
    assert not (tmp_path / METRICS).exists()
    claimed(tmp_path, grid(metric="weighted_f1", **quick))
    assert [(each.before, each.after, each.seen) for each in metric_changes(tmp_path)] == [
        ("accuracy", "weighted_f1", (0,))
    ]

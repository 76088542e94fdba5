"""Transfers as a folder: what is started from, what is done once, what is refused, and what the numbers say."""

import json
from math import isnan, nan
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from overfocus import Experiment, train
from overfocus.core.errors import OverfocusError
from overfocus.downstream.start import Start, starts
from overfocus.downstream.transfer import RECORD, TaskResult, summary, transfer
from overfocus.report.terminal.downstream import transfer_tables
from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.paired import paired
from overfocus.training.processes import Machine


def trained(folder, data, method="plain", seed=0, widths=(4, 8), epochs=1):
    values = {
        "data": {"name": str(data)},
        "model": {"settings": {"widths": list(widths)}},
        "recipe": {"epochs": epochs, "batch": 8, "precision": "32-true"},
        "method": method, "seed": seed,
    }  # fmt: skip
    list(train(Experiment.read(values, "test"), folder, Machine("cpu")))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory, photos_folder):
    """Four runs: two methods by two seeds."""
    root = tmp_path_factory.mktemp("runs")
    asked = [("plain", 0), ("plain", 1), ("cutout", 0), ("cutout", 1)]
    return [trained(root / f"{method}{seed}", photos_folder, method, seed) for method, seed in asked]


class Counted:
    """A task whose numbers are the method's length and the seed, and that knows how often it was asked."""

    def __init__(self, **settings):
        self.asked, self.told = [], {"task": "counted", **settings}

    def settings(self):
        return self.told

    def score(self, start, on_epoch):
        self.asked.append((start.method, start.seed))
        return {"first": len(start.method) / 10 + start.seed / 100, "second": nan}


def test_a_control_from_scratch_for_each_seed(runs):
    found = starts(runs)
    assert [(each.method, each.seed) for each in found] == [
        ("plain", 0), ("plain", 1), ("cutout", 0), ("cutout", 1), ("scratch", 0), ("scratch", 1),
    ]  # fmt: skip
    assert len({each.origin() for each in found}) == 6
    assert len(starts(runs[:1], scratch=False)) == 1


def test_scratch_is_the_network_before_its_training(runs):
    trained_, scratch = (Start(found, scratch=flag).network() for found, flag in
                         ((starts(runs[:1])[0].run, False), (starts(runs[:1])[0].run, True)))  # fmt: skip
    first = starts(runs[:1])[0].run.experiment().create_model(3, 3)
    for name, value in scratch.state_dict().items():
        assert torch.equal(value, first.state_dict()[name]), name
    assert not torch.equal(trained_.fc.weight, scratch.fc.weight)
    other = starts(runs[2:3])[1].network()
    assert torch.equal(other.fc.weight, scratch.fc.weight), "the same for every method of a seed"


def test_what_cannot_be_compared_is_refused(runs, tmp_path, photos_folder):
    with pytest.raises(OverfocusError, match="are of different networks"):
        starts([runs[0], trained(tmp_path / "wide", photos_folder, widths=(4, 10), seed=5)])
    with pytest.raises(OverfocusError, match="are both of plain, seed 0"):
        starts([runs[0], runs[0]])
    with pytest.raises(OverfocusError, match="not a finished run"):
        starts([tmp_path])


def test_what_is_there_is_not_done_again(runs, tmp_path):
    task, out = Counted(lr=0.1), tmp_path / "out"
    assert len(transfer(starts(runs[:1]), task, out, print)) == 2
    assert task.asked == [("plain", 0), ("scratch", 0)]
    found = transfer(starts(runs), task, out, print)
    assert task.asked[2:] == [("plain", 1), ("cutout", 0), ("cutout", 1), ("scratch", 1)]
    assert len(found) == 6
    content = json.loads((out / RECORD).read_text())
    assert [each["method"] for each in content["outcomes"]] == [each.method for each in found]
    assert content["outcomes"][0]["scores"] == {"first": 0.5, "second": None}
    assert content["settings"] == {"task": "counted", "lr": 0.1}
    assert content["versions"]["torch"]
    assert isnan(transfer(starts(runs), task, out, print)[0].scores["second"])
    assert len(task.asked) == 6


def test_a_task_that_fails_keeps_what_was_done(runs, tmp_path):
    class Failing(Counted):
        def score(self, start, on_epoch):
            if start.method == "scratch":
                raise OverfocusError("stop")
            return super().score(start, on_epoch)

    with pytest.raises(OverfocusError, match="stop"):
        transfer(starts(runs[:1]), Failing(), tmp_path, print)
    task = Counted()
    transfer(starts(runs[:1]), task, tmp_path, print)
    assert task.asked == [("scratch", 0)]


def test_numbers_of_other_settings_or_networks_are_refused(runs, tmp_path, photos_folder):
    transfer(starts(runs[:1]), Counted(lr=0.1), tmp_path, print)
    with pytest.raises(OverfocusError, match=r"other settings \(lr\)"):
        transfer(starts(runs[:1]), Counted(lr=0.2), tmp_path, print)
    longer = trained(tmp_path / "longer", photos_folder, epochs=2)
    with pytest.raises(OverfocusError, match="plain, seed 0, from another network"):
        transfer(starts([longer]), Counted(lr=0.1), tmp_path, print)
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(OverfocusError, match="is damaged"):
        transfer(starts(runs[:1]), Counted(lr=0.1), tmp_path, print)


def outcome(method, seed, value):
    return TaskResult(method, seed, "", "", {"mAP": value}, 1.0)


VALUES = {"plain": [0.5, 0.6, 0.4], "cutout": [0.55, 0.7, 0.42], "scratch": [0.1, 0.2, 0.15]}
OUTCOMES = [outcome(method, seed, value) for method, row in VALUES.items() for seed, value in enumerate(row)]


def test_methods_are_paired_by_seed_with_plain():
    lines = {line.method: line for line in summary(OUTCOMES)}
    assert lines["plain"].difference is None
    assert lines["cutout"].mean == mean_interval(np.array(VALUES["cutout"]))
    expected = paired(np.array(VALUES["cutout"]), np.array(VALUES["plain"]))
    assert lines["cutout"].difference == expected
    assert lines["cutout"].p >= expected.p, "after Holm"
    shuffled = {line.method: line for line in summary(OUTCOMES[::-1])}
    assert shuffled["cutout"] == lines["cutout"], "whatever order they came in"


def test_seeds_that_only_one_has_are_left_out_of_the_difference_alone():
    lines = {line.method: line for line in summary([*OUTCOMES, outcome("cutout", 7, 1.0)])}
    assert (lines["cutout"].mean.n, lines["plain"].mean.n) == (4, 3)
    assert lines["cutout"].difference.n == 3


def test_tables_say_what_the_numbers_are(tmp_path, capsys):
    transfer_tables(OUTCOMES, tmp_path)
    text = capsys.readouterr().out
    assert "differences to plain, paired by seed" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["cutout", "1", "0.7000", "1"] in rows
    found = next(row for row in rows if row[:2] == ["cutout", "3"])
    assert found[2] == "0.5567"
    assert "+0.0567" in found
    assert str(tmp_path / RECORD) in text
    transfer_tables(OUTCOMES[:1], tmp_path)
    assert "paired" not in capsys.readouterr().out


def test_without_plain_scratch_is_the_baseline():
    lines = [line for line in summary(OUTCOMES[3:]) if line.difference is None]
    assert [line.method for line in lines] == ["scratch"]
    assert SimpleNamespace(**summary(OUTCOMES)[0].as_dict()).difference is None

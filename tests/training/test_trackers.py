"""Copies of the epochs for dashboards: read back with the dashboards' own readers."""

from __future__ import annotations

import sys

import pytest
from small import settings

from overfocus import Experiment, OverfocusError, train
from overfocus.commands import train as commands
from overfocus.training.trackers import tracking


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    """A function that trains with one tracker and returns the folder and the epochs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def trained(name):
        experiment, out = Experiment.read(settings(folder, recipe__epochs=2), "test"), tmp_path / "run"
        epochs = []
        with tracking([name], experiment, out) as log:
            for epoch in train(experiment, out):
                log(epoch)
                epochs.append(epoch)
        assert [each.name for each in tmp_path.iterdir()] == ["run"], "nothing is written beside the run"
        return out, epochs

    return trained


def test_tensorboard(run):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out, epochs = run("tensorboard")
    events = reader.EventAccumulator(str(out / "tensorboard")).Reload()
    losses = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert losses == [(epoch.number, pytest.approx(epoch.train["loss"])) for epoch in epochs]
    assert [e.value for e in events.Scalars("test/accuracy")] == [
        pytest.approx(epoch.scores["test"]["accuracy"]) for epoch in epochs
    ]
    assert "experiment/text_summary" in events.Tags()["tensors"]


@pytest.mark.slow
def test_mlflow(run):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    out, epochs = run("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("overfocus").experiment_id])
    assert found.info.run_name == "run"
    assert found.info.status == "FINISHED"
    history = client.get_metric_history(found.info.run_id, "train_loss")
    assert [(each.step, each.value) for each in history] == [
        (epoch.number, pytest.approx(epoch.train["loss"])) for epoch in epochs
    ]
    assert found.data.params["recipe.batch"] == "8"
    assert list(out.glob("mlflow/**/experiment.toml"))


def test_wandb(run, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    out, _ = run("wandb")
    assert list(out.glob("wandb/offline-run-*/*.wandb"))


def test_a_library_that_is_not_there_is_told(folder, tmp_path, monkeypatch):
    experiment = Experiment.read(settings(folder), "test")
    for name, module in (("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(OverfocusError, match=rf"{name} is not installed.*; pip install 'overfocus\[{name}\]'"):
            tracking([name], experiment, tmp_path).__enter__()
    with pytest.raises(OverfocusError, match="did you mean 'tensorboard'"):
        tracking(["tensorbord"], experiment, tmp_path).__enter__()


def test_a_library_that_is_missing_stops_every_process_of_a_run(folder, tmp_path, monkeypatch):
    """Were the others to go on, they would wait for the first to join them."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr(commands, "first_process", lambda: False)
    experiment = Experiment.read(settings(folder), "test")
    with pytest.raises(OverfocusError, match=r"wandb is not installed; pip install 'overfocus\[wandb\]'"):
        commands.train_run(experiment, tmp_path / "run", log=["wandb"])
    assert not (tmp_path / "run").exists()

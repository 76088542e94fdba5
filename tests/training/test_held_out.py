"""What a run keeps of the pictures that it held out: what its weights say of them, and never of test pictures."""

import json

import pytest
import torch
from small import photos, settings

from overfocus.metrics.selective import HeldOut, held_out_answers
from overfocus.training.checkpoint import load_data, load_run
from overfocus.training.experiment import Experiment
from overfocus.training.loop import train
from overfocus.training.run import Run


def run_of(folder, data, **changes):
    list(train(Experiment.model_validate(settings(data, recipe__epochs=1, **changes)), folder))
    return json.loads((folder / "manifest.json").read_text())


def test_a_run_keeps_the_answers_to_its_held_out_pictures(tmp_path):
    data = photos(tmp_path / "photos")
    manifest = run_of(tmp_path / "run", data, data__val=0.2, recipe__ema=0.5)
    found = HeldOut.read(manifest["confidence"])
    assert (found.split, len(found.right)) == ("val", 9)
    experiment, dataset = load_data(Run(tmp_path / "run"))
    model, batches = load_run(tmp_path / "run"), list(experiment.stream(dataset, "val").epoch())
    with torch.no_grad():
        logits = torch.cat([model(images) for images, _, _ in batches])
    expected = held_out_answers(logits, torch.cat([labels for _, labels, _ in batches]), "val")
    assert found.right == expected.right
    assert found.confidences == pytest.approx(expected.confidences, abs=2e-6)
    assert manifest["last"]["scores"]["val"]["accuracy"] == pytest.approx(sum(found.right) / 9)


def test_test_pictures_are_never_used(tmp_path):
    assert "confidence" not in run_of(tmp_path / "run", photos(tmp_path / "photos"))

"""Test-time flip: the mean logits of an image and its mirror."""

import pytest
import torch
from small import photos, settings

from overfocus import Experiment, OverfocusError, train
from overfocus.training.checkpoint import evaluate_run, load_data, load_run
from overfocus.training.run import Run


def test_a_flip_of_the_test_image_takes_the_mean_of_both_logits(tmp_path):
    data = photos(tmp_path / "photos", side=9)
    values = settings(data, recipe__epochs=1, data__augment={"flip": False})
    list(train(Experiment.read(values, "test"), tmp_path / "run"))
    model, (experiment, dataset) = load_run(tmp_path / "run"), load_data(Run(tmp_path / "run"))
    losses, right = [], 0
    for image, label, _ in (
        experiment.model_copy(update={"recipe": experiment.recipe.model_copy(update={"batch": 1})})
        .stream(dataset, "test")
        .epoch()
    ):
        mirrored = torch.stack([image[..., 8 - column] for column in range(9)], dim=-1)
        with torch.no_grad():
            logits = (model(image)[0] + model(mirrored)[0]) / 2
        losses.append(float(logits.logsumexp(0) - logits[label]))
        right += int(logits.argmax() == label)
    scores = evaluate_run(tmp_path / "run", ["test"], flip_test=True)["test"]
    assert scores["loss"] == pytest.approx(sum(losses) / 18, rel=1e-4)
    assert scores["accuracy"] == pytest.approx(right / 18)
    assert scores["loss"] != pytest.approx(evaluate_run(tmp_path / "run", ["test"])["test"]["loss"], rel=1e-4)


def test_no_flip_where_it_changes_the_class(tmp_path):
    values = {"data": {"name": "totem", "per_class": 2}, "model": {"settings": {"widths": [4, 8]}}}
    list(train(Experiment.read({**values, "recipe": {"epochs": 1}}, "test"), tmp_path / "run"))
    with pytest.raises(OverfocusError, match="--flip-test"):
        evaluate_run(tmp_path / "run", ["test"], flip_test=True)

"""The probe tells where the network looks, and the training is bit for bit the same."""

import pytest
import torch
from small import own_dropout, settings

from overfocus import Experiment, load, train
from overfocus.data import Stream
from overfocus.training.probe import Probe, images_for


def run(data, out, **changes):
    return list(train(Experiment.read(settings(data, **changes), "test"), out))


@pytest.mark.parametrize("kind", [{}, {"model__name": "small:own_dropout", "model__settings": {}, "method": "cutmix"}])
def test_it_changes_nothing(kind, folder, tmp_path):
    without = run(folder, tmp_path / "without", **kind)
    with_it = run(folder, tmp_path / "with", recipe__probe=1, **kind)
    assert [epoch.train for epoch in with_it] == [epoch.train for epoch in without]
    assert [epoch.scores for epoch in with_it] == [epoch.scores for epoch in without]
    for name in ("weights.safetensors", "best.safetensors"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    assert all(epoch.probe for epoch in with_it)
    assert not any(epoch.probe for epoch in without)


def test_it_is_asked_every_so_many_epochs_and_after_the_last(folder, tmp_path):
    epochs = run(folder, tmp_path / "run", recipe__probe=2)
    assert [bool(epoch.probe) for epoch in epochs] == [False, True, True]


def test_parts_and_the_rest_add_up_and_are_in_the_table(tmp_path):
    few = {"data__fraction": 0.02, "recipe__batch": 32, "recipe__epochs": 1, "recipe__probe": 1}
    last = run("totem", tmp_path / "run", **few)[-1].probe
    assert set(last) == {"effective_area", "gini", "on_disc", "on_stripes", "on_digit", "on_rest"}
    assert sum(last[f"on_{part}"] for part in ("disc", "stripes", "digit", "rest")) == pytest.approx(1, abs=1e-5)
    assert 0 < last["effective_area"] <= 1
    assert "probe_on_digit" in (tmp_path / "run" / "epochs.csv").read_text().splitlines()[0]


def test_the_network_is_left_as_it_was_and_the_same_look_gives_the_same_numbers():
    torch.manual_seed(0)
    data, model = load("totem"), own_dropout(10)
    model.train()
    model[5].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = Stream(data.splits["all"].subset(range(9)), batch=4, mean=data.mean, std=data.std, train=False)
    probe, state = Probe.of(stream, model, "features"), torch.get_rng_state()
    assert probe.look(model) == probe.look(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model][:9] == [True] * 5 + [False] + [True] * 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(each.grad is None for each in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_it_is_small_beside_an_epoch():
    assert (images_for(3000), images_for(60_000), images_for(20)) == (90, 256, 8)

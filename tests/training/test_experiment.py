"""Settings: strict, whole, and the same from TOML, from the command line and from Python."""

from __future__ import annotations

import re

import pytest
import torch
from PIL import Image
from small import photos, settings

from overfocus import Augment, Experiment, OverfocusError
from overfocus.training.experiment import read_experiment, settle


def test_written_out_and_read_again_it_is_the_same(tmp_path):
    experiment = Experiment.read(
        settings(
            "photos",
            data__augment={"flip": True},
            data__size=[12, 16],
            method="cutmix + sgdrop",
            recipe__milestones=[0.3],
        ),
        "test",
    )
    (tmp_path / "experiment.toml").write_text(experiment.toml())
    assert read_experiment(tmp_path / "experiment.toml") == experiment
    assert "weight_decay" in experiment.toml(), "defaults are written out"


def test_defaults_are_an_experiment():
    experiment = Experiment()
    assert experiment.data.name == "totem"
    assert experiment.method == "plain"
    assert experiment == Experiment.read({}, "test")


def test_a_method_is_written_in_full():
    assert Experiment(method="cutmix").method == str(Experiment(method="cutmix").regularizer)
    with pytest.raises(OverfocusError, match="did you mean 'cutmix'"):
        Experiment(method="cutmxi")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("metod", "did you mean 'method'"),
        ("data.nme", "did you mean 'name'"),
        ("data.augment.flp", "did you mean 'flip'"),
        ("data.shortcut.strenght", "did you mean 'strength'"),
        ("model.nam", "did you mean 'name'"),
        ("recipe.epoch", "did you mean 'epochs'"),
    ],
)
def test_an_unknown_key_at_any_level_gets_the_nearest(key, hint):
    with pytest.raises(OverfocusError, match=hint) as error:
        settle(None, {}, [f"{key}=1"])
    assert repr(key) in str(error.value)


def test_an_unknown_setting_of_the_model_gets_the_nearest():
    experiment = settle(None, {}, ["model.settings.width=[4,8]"])
    with pytest.raises(OverfocusError, match="did you mean 'widths'"):
        experiment.create_model(10, 3)


@pytest.mark.parametrize(
    "change",
    [
        "recipe.epochs=0", "recipe.epochs=many", "recipe.lr=-1", "recipe.optimizer=sdg", "recipe.precision=bf17",
        "data.fraction=2", "data.channels=2", "data.augment.policy=random", "data.size=big", "seed=-1", "recipe=3",
        "data.on_bad_image=ignore", "data.augment.crop=wide", "data.shortcut.kind=mark", "data.shortcut=3",
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_told_with_its_key(change):
    with pytest.raises(OverfocusError) as error:
        settle(None, {}, [change])
    key, _, value = change.partition("=")
    assert key in str(error.value)
    assert value in str(error.value)


@pytest.mark.parametrize("change", ["augment.crop=-1", "augment.jitter=2", "shortcut.strength=-1"])
def test_a_value_out_of_range_is_told_with_its_table_and_name(change):
    table, name, value = re.split("[.=]", change)
    with pytest.raises(OverfocusError, match=rf"^{table}: {name}\D*{value}"):
        settle(None, {}, [f"data.{change}"])


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("recipe.epochs=3", 3),
        ("recipe.weight_decay=1e-4", 1e-4),
        ("recipe.channels_last=false", False),
        ("recipe.optimizer=adamw", "adamw"),
        ("recipe.optimizer='adamw'", "adamw"),
        ("recipe.milestones=[0.2, 0.9]", (0.2, 0.9)),
        ("data.size=[12, 16]", (12, 16)),
        ("data.size=12", 12),
        ("data.root=/data/of mine", "/data/of mine"),
        ("data.augment={flip = true, crop = 2}", Augment(flip=True, crop=2)),
        ("data.augment.jitter=0.4", 0.4),
        ("model.settings.norm=group", {"norm": "group"}),
        ("method=cutout(size=8)", None),
        ("seed=7", 7),
    ],
)
def test_set_takes_every_type(change, value):
    experiment = settle(None, {}, [change])
    found = experiment
    for part in change.partition("=")[0].split("."):
        found = getattr(found, part) if hasattr(found, part) else found
    assert found == (value if value is not None else str(experiment.regularizer))


def test_later_wins_over_earlier(tmp_path):
    (tmp_path / "e.toml").write_text("seed = 1\n[recipe]\nepochs = 5\nbatch = 7\n")
    experiment = settle(tmp_path / "e.toml", {"recipe.epochs": 6, "seed": 2}, ["seed=3"])
    assert (experiment.recipe.batch, experiment.recipe.epochs, experiment.seed) == (7, 6, 3)


@pytest.mark.parametrize(("change", "match"), [("seed", "key=value"), ("=3", "key=value"), ("seed.x=3", "seed")])
def test_set_is_told_how_to_write_it(change, match):
    with pytest.raises(OverfocusError, match=match):
        settle(None, {"seed": 1}, [change])


@pytest.mark.parametrize(
    ("content", "match"), [(b"[recipe", "is not a TOML file"), (b"\xff\xfe", "is not a TOML file")]
)
def test_a_file_that_is_no_toml_is_named(content, match, tmp_path):
    (tmp_path / "e.toml").write_bytes(content)
    with pytest.raises(OverfocusError, match="is not a TOML file") as error:
        read_experiment(tmp_path / "e.toml")
    assert "e.toml" in str(error.value)


def test_no_file_is_told(tmp_path):
    with pytest.raises(OverfocusError, match="no experiment file"):
        read_experiment(tmp_path / "none.toml")
    with pytest.raises(OverfocusError, match="is not a TOML file"):
        read_experiment(tmp_path)


def test_first_weights_depend_on_the_seed_alone():
    first, second = Experiment(seed=1), Experiment(seed=1, method="cutout")
    before = torch.random.get_rng_state()
    ours = first.create_model(10, 3).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    theirs = second.create_model(10, 3).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(ours["fc.weight"], Experiment(seed=2).create_model(10, 3).state_dict()["fc.weight"])


def photographs(folder, *sizes: tuple[int, int]):
    """Write a folder of two classes whose images have these widths and heights in turn."""
    photos(folder, classes=2, train=6, test=2)
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        Image.open(file).resize(sizes[number % len(sizes)]).save(file)
    return str(folder)


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(50, 40), (40, 60), (47, 43)], 40),
        ([(400, 300), (300, 500)], 224),
        ([(400, 300)], 224),
        ([(5, 6), (6, 7)], 8),
    ],
)
def test_photographs_are_brought_to_one_size_which_is_told(sizes, side, tmp_path):
    data = photographs(tmp_path / "photos", *sizes)
    dataset = Experiment(data={"name": data}).dataset()  # pyright: ignore[reportArgumentType]
    assert {split.images.size(row) for split in dataset.splits.values() for row in range(3)} == {(side, side)}
    assert dataset.splits["train"].images.read(0).shape == (3, side, side)
    assert f"brought to {side} x {side}; --size gives another" in dataset.note


@pytest.mark.parametrize("size", [(40, 30), (256, 256)])
def test_images_of_one_size_stay_as_they_are(size, tmp_path):
    data = photographs(tmp_path / "photos", size)
    dataset = Experiment(data={"name": data}).dataset()  # pyright: ignore[reportArgumentType]
    assert dataset.splits["train"].images.size(0) == (size[1], size[0])
    assert "brought" not in dataset.note

"""The network that `train` takes where nobody names one: a pretrained one for photographs, else OverfocusCNN."""

from pathlib import Path

import pytest
from small import photos

from overfocus.commands.train import for_photographs, settle_run
from overfocus.core.errors import OverfocusError
from overfocus.core.files import write
from overfocus.data import finalize, load

LITE = ("efficientnet_lite0", "imagenet1k", "lp-ft")
CNN = ("overfocus_cnn", "", "scratch")


def settled(data, *changes, path=None, out=None, **given):
    found = settle_run(path, {"data.name": str(data), **given}, list(changes), out)
    return found.model.name, found.model.pretrained, found.recipe.tune


@pytest.mark.parametrize(("side", "then"), [(64, LITE), (63, CNN)])
def test_photographs_begin_at_64_pixels(side, then, tmp_path):
    assert settled(photos(tmp_path / "photos", train=3, test=1, side=side)) == then


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    return photos(tmp_path_factory.mktemp("large") / "photos", train=3, test=1, side=70)


@pytest.mark.parametrize(
    "given",
    [
        {"model.name": "overfocus_cnn"},
        {"model.settings": {"widths": [4, 8]}},
        {"recipe.tune": "scratch"},
        {"data.size": 48},
    ],
)
def test_whoever_says_something_of_the_network_gets_that(given, large):
    assert settled(large, **given) == CNN


def test_a_file_of_settings_is_taken_as_it_stands(large, tmp_path):
    (tmp_path / "settings.toml").write_text("seed = 1\n")
    assert settled(large, path=tmp_path / "settings.toml") == CNN


@pytest.mark.parametrize("name", ["totem", "fashion_mnist"])
def test_named_sets_keep_their_network(name):
    assert settled(name) == CNN


def test_a_run_that_was_begun_keeps_its_network(large, tmp_path):
    begun = settle_run(None, {"data.name": str(large), "model.name": "overfocus_cnn"}, [])
    (tmp_path / "run").mkdir()
    write(tmp_path / "run" / "experiment.toml", begun.toml())
    assert settle_run(None, {"data.name": str(large)}, [], tmp_path / "run") == begun
    other = settle_run(None, {"data.name": str(large)}, [], tmp_path / "other")
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "experiment.toml", other.toml())
    assert settle_run(None, {"data.name": str(large)}, [], tmp_path / "other") == other


def test_a_class_of_one_picture_has_no_probe(tmp_path):
    data = photos(tmp_path / "photos", train=2, test=1, side=70)
    (data / "train" / "class1" / "00.png").unlink()
    assert settled(data) == CNN
    assert settled(data, "data.per_class=1") == CNN


def test_data_that_is_not_there_is_an_error_at_once(tmp_path):
    with pytest.raises(OverfocusError, match="nowhere"):
        settled(tmp_path / "nowhere")


def test_the_default_of_photographs_is_a_function_of_settings_alone(large):
    experiment = settle_run(None, {"data.name": str(large), "model.name": "overfocus_cnn"}, [])
    assert for_photographs(experiment) == {"name": "efficientnet_lite0", "pretrained": "default"}


def test_the_look_reads_headers_alone(large, monkeypatch):
    experiment = settle_run(None, {"data.name": str(large), "model.name": "overfocus_cnn"}, [])
    monkeypatch.setattr(finalize, "channel_statistics", lambda images: pytest.fail("pictures were decoded"))
    assert for_photographs(experiment)
    monkeypatch.undo()
    assert all(0 < value < 1 for value in load(large).mean)

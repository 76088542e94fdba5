"""What a person types becomes a model that can be examined, or an error that says what instead."""

import shutil

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import overfocus as of
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.diagnosis.checkpoints import CheckpointOptions, classifier_of, dataset_for, split_of

TINY = {"widths": [4, 8]}
SETTINGS = ("widths=[4,8]",)


def trained(num_classes):
    """A factory of the user's own, which brings its weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, num_classes)
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    values = {"data": {"name": "totem", "fraction": 0.03}, "model": {"settings": TINY}, "recipe": {"epochs": 1}}
    list(of.train(of.Experiment.read(values, "test"), out))
    return out


@pytest.fixture(scope="module")
def totem():
    return of.load("totem")


def same(classifier, other):
    pixels = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), classifier.examined(), other.examined():
        return torch.allclose(classifier(pixels), other(pixels), atol=1e-6)


def test_a_run_its_weights_and_the_bare_file_are_one_model(run, totem, tmp_path):
    folder = classifier_of(str(run), totem, CheckpointOptions())
    assert folder.classes == totem.classes
    assert folder.mean == pytest.approx(totem.mean)
    weights = classifier_of(str(run / "weights.safetensors"), totem, CheckpointOptions())
    assert same(folder, weights)
    shutil.copy(run / "weights.safetensors", tmp_path / "elsewhere.safetensors")
    mean = {"mean": folder.mean, "std": folder.std}
    bare = classifier_of(
        str(tmp_path / "elsewhere.safetensors"),
        totem,
        CheckpointOptions(model="overfocus_cnn", settings=SETTINGS, **mean),
    )
    assert same(folder, bare)
    state = {name: value.clone() for name, value in folder.model.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "elsewhere.pt")
    pickled = classifier_of(
        str(tmp_path / "elsewhere.pt"), totem, CheckpointOptions(model="overfocus_cnn", settings=SETTINGS, **mean)
    )
    assert same(folder, pickled)


def test_a_run_brings_its_data_and_size(run):
    dataset, experiment = dataset_for([str(run)], {})
    assert dataset.name == "totem"
    assert split_of(dataset)[0] == "all"
    assert experiment.data.size == (40, 40)


def test_names_are_models(totem):
    for name in ("torchvision:resnet18", "resnet18", "timm:resnet18", "test_named_checkpoints:trained"):
        classifier = classifier_of(name, totem, CheckpointOptions(preprocess="half" if "trained" in name else ""))
        with torch.no_grad():
            assert classifier(torch.rand(2, 3, 40, 40)).shape == (2, 10)
    assert "random weights" in classifier_of("resnet18", totem, CheckpointOptions()).note
    assert classifier_of("timm:resnet18", totem, CheckpointOptions()).mean == pytest.approx((0.485, 0.456, 0.406))


def test_a_file_without_a_network_asks_for_one(totem, tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(OverfocusError, match="--model NAME"):
        classifier_of(str(tmp_path / "w.safetensors"), totem, CheckpointOptions())


def test_a_model_of_other_classes_is_an_error_and_never_a_new_head(totem, tmp_path):
    other = of.create_model("overfocus_cnn", 7, **TINY)
    save_file({name: value.contiguous() for name, value in other.state_dict().items()}, tmp_path / "seven.safetensors")
    with pytest.raises(OverfocusError, match=r"seven\.safetensors"):
        classifier_of(
            str(tmp_path / "seven.safetensors"), totem, CheckpointOptions(model="overfocus_cnn", settings=SETTINGS)
        )


class Evil:
    """What a pickle may hold."""

    def __reduce__(self):
        return (eval, ("open('/tmp/overfocus-was-run', 'w')",))


@pytest.mark.parametrize("kind", ["code", "text", "empty", "cut"])
def test_what_is_no_checkpoint_is_told_and_not_run(kind, totem, tmp_path):
    file = tmp_path / "model.pt"
    if kind == "code":
        torch.save({"state_dict": Evil()}, file)
    elif kind == "cut":
        torch.save({"a": torch.zeros(1000)}, file)
        file.write_bytes(file.read_bytes()[:200])
    else:
        file.write_bytes(b"hello" if kind == "text" else b"")
    with pytest.raises(OverfocusError, match=r"model\.pt"):
        classifier_of(str(file), totem, CheckpointOptions(model="overfocus_cnn", settings=SETTINGS))
    import os

    assert not os.path.exists("/tmp/overfocus-was-run")


def test_a_folder_that_is_no_run_and_a_name_that_is_no_model_are_told(totem, tmp_path):
    with pytest.raises(OverfocusError, match="not of a run"):
        classifier_of(str(tmp_path), totem, CheckpointOptions())
    with pytest.raises(UnknownName, match="resnet18"):
        classifier_of("resnet81", totem, CheckpointOptions())
    with pytest.raises(OverfocusError, match="--data"):
        dataset_for(["resnet18"], {})
    with pytest.raises(UnknownName, match="digit-only"):
        split_of(totem, "digits-only")


def test_normalisation_of_the_wrong_length_is_told(totem):
    with pytest.raises(OverfocusError, match="3 channels"):
        classifier_of("resnet18", totem, CheckpointOptions(mean=(0.5,), std=(0.5,)))

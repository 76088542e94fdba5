"""`@features` is the cut and nothing else; the old spelling, which is also the name of a module, still means it."""

import pytest
import torch

import overfocus as of
from overfocus.attribution.capture import capture
from overfocus.core.layer_name import FEATURES, layer_name
from overfocus.models.split import split
from overfocus.regularizers.spec import parse
from overfocus.training.experiment import Experiment
from overfocus.training.objective import Objective


def test_the_old_spelling_is_the_cut_and_says_so():
    assert FEATURES == "@features"
    assert layer_name("layer4") == "layer4"
    assert layer_name("features.12") == "features.12"
    with pytest.warns(DeprecationWarning, match="@features"):
        assert layer_name("features") == FEATURES


def test_a_module_called_features_is_not_taken_for_the_cut_without_a_word(recwarn):
    model, images = of.create_model("densenet121", classes=3).eval(), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        cut = split(model, "@features").encode(model, images)
        assert (cut >= 0).all(), "the cut is behind the last ReLU"
        module = split(model, "features.norm5").encode(model, images)
        assert torch.equal(cut, module.relu())
        assert (module < 0).any()
        assert not recwarn
        with pytest.warns(DeprecationWarning, match="@features"):
            assert torch.equal(split(model, "features").encode(model, images), cut)
    with pytest.warns(DeprecationWarning, match="@features"):
        capture(model, images, "features")
    with pytest.warns(DeprecationWarning, match="@features"):
        Objective(model, parse("sgdrop"), at="features")


def test_no_default_warns(recwarn):
    model = of.create_model("vgg11", classes=3)
    images = torch.randn(2, 3, 64, 64)
    Objective(model, parse("sgdrop + mixup(at='features')"))(images, torch.tensor([0, 1]))
    of.attribute(model, images)
    assert not [each for each in recwarn if each.category is DeprecationWarning]


def test_both_spellings_in_a_method_are_the_objectives_cut():
    for at in ("features", "@features"):
        assert parse(f"cutmix(at='{at}') + sgdrop(at='{at}')").places == {"features"}
    assert str(parse("cutmix(at='features')")) == "cutmix(at='features')", "folders of studies are called so"
    model, images, labels = of.create_model("overfocus_cnn", classes=3), torch.randn(4, 3, 32, 32), torch.arange(4) % 3
    losses = [Objective(model, parse(f"mixup(at='{at}')"))(images, labels) for at in ("features", "@features")]
    assert torch.equal(*losses)


def test_old_files_are_read_without_a_word(recwarn):
    old, new = (Experiment.model_validate({"model": {"at": at}}) for at in ("features", "@features"))
    assert old == new == Experiment()
    assert not recwarn

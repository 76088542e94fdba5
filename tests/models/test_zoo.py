import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.models.checkpoints import save_weights
from overfocus.models.overfocus_cnn import OverfocusCNN
from overfocus.models.zoo import create_model, model_names, torchvision_names

REAL = ["overfocus_cnn", "resnet18", "mobilenet_v3_small", "regnet_y_400mf", "timm:resnet18", "timm:convnext_atto"]
ON_PAPER = [
    "vgg11_bn",
    "densenet121",
    "convnext_tiny",
    "efficientnet_b0",
    "squeezenet1_0",
    "swin_t",
    "googlenet",
    "inception_v3",
    "shufflenet_v2_x0_5",
    "mnasnet0_5",
    "timm:vgg11",
]


@pytest.mark.parametrize("name", REAL)
def test_a_model_by_name_takes_one_image_that_is_not_square(name):
    logits = create_model(name, 7).eval()(torch.randn(1, 3, 64, 96))
    assert logits.shape == (1, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ON_PAPER)
def test_a_model_by_name_on_the_meta_device_too(name):
    with torch.device("meta"):
        assert create_model(name, 7).eval()(torch.randn(1, 3, 96, 128)).shape == (1, 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_PAPER)
def test_a_model_by_name_computes(name):
    assert create_model(name, 7).eval()(torch.randn(1, 3, 96, 128)).isfinite().all()


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_in_training_too_a_model_returns_logits_alone(name):
    with torch.device("meta"):
        assert create_model(name, 7).train()(torch.randn(2, 3, 96, 80)).shape == (2, 7)


def test_a_timm_transformer_of_another_size():
    model = create_model("timm:vit_tiny_patch16_224", 7, channels=4, img_size=(32, 48), depth=2).eval()
    assert model(torch.randn(1, 4, 32, 48)).shape == (1, 7)


def test_a_torchvision_transformer_of_another_size():
    with torch.device("meta"):
        model = create_model("vit_b_16", 7, image_size=32).eval()
        assert model(torch.randn(1, 3, 32, 32)).shape == (1, 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_16", "timm:vit_tiny_patch16_224"])
def test_transformers_at_their_size(name):
    assert create_model(name, 7).eval()(torch.randn(1, 3, 224, 224)).shape == (1, 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision_names())
def test_every_torchvision_classifier_has_its_head(name):
    if name.startswith("regnet"):
        pytest.skip("torchvision cannot build a RegNet on the meta device")
    with torch.device("meta"):
        side = 32 * 7 if name.startswith(("vit", "maxvit")) else 96
        assert create_model(name, 7).eval()(torch.randn(1, 3, side, side)).shape == (1, 7)


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "densenet121", "timm:resnet18", "timm:densenet121"])
def test_a_small_stem_keeps_the_side_at_the_start(name):
    with torch.device("meta"):
        model = create_model(name, 7, stem="small", channels=1)
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    assert (first.in_channels, first.kernel_size, first.stride, first.padding) == (1, (3, 3), (1, 1), (1, 1))
    sides = []
    last = model.get_submodule("features" if "densenet" in name else "layer4")
    last.register_forward_hook(lambda *io: sides.append(io[2].shape[2:]))
    with torch.device("meta"):
        model.eval()(torch.randn(1, 1, 32, 48))
    assert sides == [(4, 6)]


def test_a_small_stem_where_there_is_none_names_who_has_one():
    with torch.device("meta"), pytest.raises(OverfocusError, match=r"no small stem.*resnet.*densenet"):
        create_model("vgg11", 7, stem="small")


def test_an_unknown_stem():
    with torch.device("meta"), pytest.raises(UnknownName, match=r"small"):
        create_model("resnet18", 7, stem="smal")


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "googlenet", "swin_t", "timm:resnet18", "overfocus_cnn"])
@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_any_number_of_channels(name, channels):
    with torch.device("meta"):
        model = create_model(name, 7, channels=channels).eval()
        assert model(torch.randn(1, channels, 64, 32)).shape == (1, 7)


def test_a_first_convolution_made_anew_starts_as_wide_as_the_old():
    torch.manual_seed(0)
    three, five = create_model("resnet18", 7).conv1.weight, create_model("resnet18", 7, channels=5).conv1.weight
    assert (five.std() / three.std()).item() == pytest.approx(1, rel=0.05)


def test_settings_reach_the_constructor():
    model = create_model("overfocuscnn", 7, widths=(8, 12), depth=2, stem="large", norm="group")
    assert isinstance(model, OverfocusCNN)
    assert [len(stage) for stage in model.stages] == [2, 2]
    with torch.device("meta"):
        assert create_model("vgg11", 7, dropout=0.25).classifier[2].p == 0.25
        assert len(create_model("timm:convnext_atto", 7, depths=(1, 1, 1, 1)).stages[2].blocks) == 1


@pytest.mark.parametrize(
    ("name", "setting", "meant"),
    [
        ("overfocus_cnn", "width", "widths"),
        ("vgg11", "dropot", "dropout"),
        ("mobilenet_v3_small", "droput", "dropout"),
        ("timm:convnext_atto", "drop_rat", "drop_rate"),
    ],
)
def test_an_unknown_setting_names_the_nearest(name, setting, meant):
    with torch.device("meta"), pytest.raises(UnknownName, match=rf"setting of {name} '{setting}'.*{meant}"):
        create_model(name, 7, **{setting: 1})


@pytest.mark.parametrize(
    ("name", "setting"),
    [("timm:convnext_atto", "features_only"), ("googlenet", "aux_logits"), ("resnet18", "num_classes")],
)
def test_settings_that_would_download_or_change_the_logits_are_refused(name, setting):
    with torch.device("meta"), pytest.raises(OverfocusError, match=f"'{setting}' of {name}.*a file as weights"):
        create_model(name, 7, **{setting: 1})


def test_a_setting_of_the_wrong_kind_is_said_with_the_model():
    with pytest.raises(OverfocusError, match=r"'overfocus_cnn' cannot be built with .*widths"):
        create_model("overfocus_cnn", 7, widths=3)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resnet81", "resnet18"),
        ("overfocus_cn", "overfocus_cnn"),
        ("timm:convnext_ato", "timm:convnext_atto"),
        ("edgenext_small", "timm:edgenext_small"),
        ("", ""),
    ],
)
def test_an_unknown_name_names_the_nearest_and_not_all(name, meant):
    with pytest.raises(UnknownName, match=rf"no model {name!r}.*{meant}") as error:
        create_model(name, 7)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("counts", [{"classes": 0}, {"classes": 7, "channels": 0}])
def test_counts_below_one(counts):
    with pytest.raises(OverfocusError, match=r"is 0; give at least 1"):
        create_model("resnet18", **counts)


@pytest.fixture
def factories(tmp_path, monkeypatch):
    text = """
        from torch import nn
        from torchvision.models import resnet18, ResNet

        def counted(num_classes, width=6, in_channels=3):
            return nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                 nn.Linear(width, num_classes))

        def fixed():
            return counted(1000)

        def typed(**settings) -> ResNet:
            return resnet18(**settings)

        def untyped(**settings):
            return resnet18(**settings)

        def headless(): return nn.ReLU()

        def number(num_classes): return num_classes
    """
    (tmp_path / "factories_of_a_test.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    yield "factories_of_a_test"
    sys.modules.pop("factories_of_a_test", None)


@pytest.mark.parametrize("function", ["counted", "fixed", "typed", "untyped"])
@pytest.mark.parametrize("channels", [3, 2])
def test_a_factory_of_ones_own(factories, function, channels):
    with torch.device("meta"):
        model = create_model(f"{factories}:{function}", 7, channels=channels).eval()
        assert model(torch.randn(1, channels, 32, 24)).shape == (1, 7)


def test_a_factory_is_given_settings(factories):
    assert create_model(f"{factories}:counted", 7, width=9)[0].out_channels == 9
    assert create_model(f"{factories}:typed", 7, zero_init_residual=True).layer1[0].bn2.weight.sum() == 0


@pytest.mark.parametrize(
    ("function", "settings", "said"),
    [
        ("countd", {}, "did you mean 'counted'"),
        ("counted", {"widht": 3}, "did you mean 'width'"),
        ("untyped", {"widht": 3}, "setting of .*'widht'"),
        ("headless", {}, "no linear layer"),
        ("number", {}, "returned a int"),
    ],
)
def test_a_factory_that_does_not_fit(factories, function, settings, said):
    with pytest.raises(OverfocusError, match=said):
        create_model(f"{factories}:{function}", 7, **settings)


@pytest.mark.parametrize("name", ["no_such_module_at_all:make", ":make", "..:make"])
def test_a_module_that_is_not_there(name):
    with pytest.raises(OverfocusError, match=r"cannot import"):
        create_model(name, 7)


def test_weights_of_other_classes_and_channels(tmp_path, caplog):
    donor = create_model("overfocus_cnn", 10, widths=(8, 12))
    save_weights(donor.state_dict(), tmp_path / "w.safetensors")
    model = create_model("overfocus_cnn", 7, channels=1, widths=(8, 12), weights=tmp_path / "w.safetensors")
    torch.testing.assert_close(model.stem.weight, donor.stem.weight.sum(1, keepdim=True))
    torch.testing.assert_close(model.stages.state_dict(), donor.stages.state_dict())
    assert "fc.weight, fc.bias not taken" in caplog.text


def test_weights_of_the_same_model_are_taken_without_a_word(tmp_path, caplog):
    donor = create_model("overfocus_cnn", 7)
    save_weights(donor.state_dict(), tmp_path / "w.safetensors")
    model = create_model("overfocus_cnn", 7, weights=str(tmp_path / "w.safetensors"))
    torch.testing.assert_close(model.state_dict(), donor.state_dict(), rtol=0, atol=0)
    assert not caplog.text


def test_the_list_has_a_plain_line_for_every_model():
    cards = dict(model_names())
    own = {"overfocus_cnn", "efficientnet_lite0", "timm:NAME", "hf:OWNER/NAME", "./FOLDER", "package.module:factory"}
    assert {*own, *torchvision_names()} == set(cards)
    assert cards["resnet18"] == "ResNet-18 from Deep Residual Learning for Image Recognition"
    assert all(card and "\n" not in card and "http" not in card and "`" not in card for card in cards.values())


def test_importing_the_zoo_imports_neither_torchvision_nor_timm():
    code = "import sys, overfocus.models.zoo; print({'torchvision', 'timm', 'safetensors'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"

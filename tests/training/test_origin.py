"""Networks by where they lie: folders that timm and transformers write, and repositories of the hub, in training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from small import photos, settings

from overfocus import Experiment, OverfocusError, train
from overfocus.models import checkpoint_files
from overfocus.models.checkpoint_files import read_checkpoint
from overfocus.models.pretrained import pretrained_weights
from overfocus.models.stages import lr_scales, stages
from overfocus.models.zoo import create_model
from overfocus.training.checkpoint import evaluate_run, load_run
from overfocus.training.run import Run

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
IMAGES = torch.rand(2, 3, 32, 24, generator=torch.Generator().manual_seed(0))
SOME = {"vit": 5, "convnext": 4, "resnet": 4}
"""Kind of transformers -> its stages, the head among them."""


def network(kind: str):
    transformers = pytest.importorskip("transformers")
    names = {n: f"class{n}" for n in range(5)}
    configs = {
        "vit": lambda: transformers.ViTConfig(
            hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, image_size=32,
            patch_size=8, id2label=names,
        ),
        "convnext": lambda: transformers.ConvNextConfig(hidden_sizes=[8, 12], depths=[1, 2], num_stages=2,
                                                        id2label=names),
        "resnet": lambda: transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1],
                                                    layer_type="basic", id2label=names),
    }  # fmt: skip
    torch.manual_seed(3)
    return transformers.AutoModelForImageClassification.from_config(configs[kind]()).eval()


def saved(folder: Path, kind: str):
    """Write what transformers writes of a tiny network and of its processor; return the network."""
    transformers = pytest.importorskip("transformers")
    model = network(kind)
    model.save_pretrained(folder)
    made = transformers.ConvNextImageProcessor(image_mean=MEAN, image_std=STD, size={"shortest_edge": 32})
    made.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return photos(tmp_path_factory.mktemp("data") / "photos", train=6, test=3, side=24)


def read(data, name, **changes):
    given = settings(data, model__name=str(name), recipe={"epochs": 1, "batch": 8, "precision": "32-true"})
    del given["model"]["settings"]
    for key, value in changes.items():
        table, _, field = key.partition("__")
        given[table][field] = value
    return Experiment.read(given, "test")


@pytest.mark.parametrize("kind", SOME)
def test_a_folder_of_transformers_is_tuned_and_the_run_needs_it_no_more(kind, data, tmp_path):
    saved(tmp_path / kind, kind)
    experiment = read(data, tmp_path / kind, recipe__lr=1e-4, data__size=24)
    assert (experiment.model.name, experiment.recipe.tune) == (f"transformers:{kind}", "lp-ft")
    assert (experiment.data.mean, experiment.data.std, experiment.data.size) == (MEAN, STD, 24)
    list(train(experiment, tmp_path / "run"))
    shutil.rmtree(tmp_path / kind)
    run = Run(tmp_path / "run")
    assert run.experiment() == experiment
    assert (run.manifest()["mean"], run.manifest()["tuned"]["kept"]) == (list(MEAN), "fine-tuned")
    assert evaluate_run(tmp_path / "run", ["test"])["test"] == pytest.approx(run.manifest()["last"]["scores"]["test"])


@pytest.mark.parametrize("kind", SOME)
def test_a_network_of_transformers_answers_as_it_does_there_and_falls_into_stages(kind, data, tmp_path):
    model, experiment = saved(tmp_path / kind, kind), read(data, tmp_path / kind)
    own = experiment.create_model(5, 3).eval()
    with torch.no_grad():
        square = IMAGES[..., :24, :].repeat(1, 1, 2, 2)[..., :32, :32]
        torch.testing.assert_close(own(square), model(pixel_values=square).logits)
    numbers = stages(own)
    assert {*numbers.values()} == {*range(SOME[kind])}
    assert [name for name, n in numbers.items() if n == SOME[kind] - 1] == [
        name for name, _ in own.named_parameters() if "classifier" in name
    ]
    assert list(numbers.values()) == sorted(numbers.values())
    assert next(iter(lr_scales(own, 0.5).values())) == 0.5 ** (SOME[kind] - 1)


def test_the_head_is_new_where_classes_differ_and_a_body_without_one_gets_one(data, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = saved(tmp_path / "vit", "vit")
    bare = transformers.ViTModel(model.config)
    bare.save_pretrained(tmp_path / "vit")
    own = read(data, tmp_path / "vit").create_model(7, 1)
    assert own.model.classifier.weight.shape == (7, 16)
    assert torch.equal(own.model.vit.layers[2].mlp.fc2.weight, bare.layers[2].mlp.fc2.weight)
    first = own.model.vit.embeddings.patch_embeddings.projection.weight
    torch.testing.assert_close(first, bare.embeddings.patch_embeddings.projection.weight.sum(1, keepdim=True))


def test_positions_of_a_vit_are_resampled_as_transformers_does(data, tmp_path):
    model = saved(tmp_path / "vit", "vit")
    own = read(data, tmp_path / "vit").create_model(5, 3).eval()
    with torch.no_grad():
        expected = model(pixel_values=IMAGES[:1], interpolate_pos_encoding=True).logits
        torch.testing.assert_close(own(IMAGES[:1]), expected)


def test_a_tensor_that_is_missing_is_named(data, tmp_path):
    from safetensors.torch import load_file, save_file

    saved(tmp_path / "vit", "vit")
    file = tmp_path / "vit" / "model.safetensors"
    tensors = load_file(file)
    lost = next(name for name in tensors if "layernorm" in name)
    save_file({name: each for name, each in tensors.items() if name != lost}, file, metadata={"format": "pt"})
    with pytest.raises(OverfocusError, match="is missing"):
        read(data, tmp_path / "vit").create_model(5, 3)


def timm_folder(folder: Path, **settings):
    timm = pytest.importorskip("timm")
    from timm.models import save_for_hf

    torch.manual_seed(4)
    model = timm.create_model("test_vit", num_classes=5, **settings).eval()
    facts = {"num_classes": 5, "pretrained_cfg": {**model.pretrained_cfg, "mean": MEAN, "std": STD, "num_classes": 5}}
    save_for_hf(model, folder, model_config=facts, model_args=settings, safe_serialization=True)
    return model


@pytest.mark.parametrize("size", [160, 64])
def test_a_folder_of_timm_at_its_size_and_at_another(size, data, tmp_path):
    timm = pytest.importorskip("timm")
    from timm.layers import resample_abs_pos_embed

    model = timm_folder(tmp_path / "vit")
    experiment = read(data, tmp_path / "vit", data__size=size)
    assert (experiment.model.name, experiment.data.mean, experiment.recipe.tune) == ("timm:test_vit", MEAN, "lp-ft")
    own = experiment.create_model(5, 3).eval()
    grid = [size // 16] * 2
    extra = model.pos_embed.shape[1] - 100
    expected = resample_abs_pos_embed(model.pos_embed, grid, num_prefix_tokens=extra)
    torch.testing.assert_close(own.pos_embed, expected)
    other = timm.create_model(f"local-dir:{tmp_path / 'vit'}", pretrained=True, img_size=size).eval()
    pixels = torch.rand(1, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(own(pixels), other(pixels))


def test_published_weights_of_a_vit_are_resampled_to_the_size_of_the_pictures(data, monkeypatch):
    timm = pytest.importorskip("timm")
    from timm.layers import resample_abs_pos_embed

    torch.manual_seed(4)
    donor, made = timm.create_model("test_vit"), timm.create_model
    held = {"state_dict": donor.state_dict()}
    monkeypatch.setattr(timm, "create_model", lambda name, **how: made(name, pretrained_cfg_overlay=held, **how))
    experiment = read(data, "timm:test_vit", model__pretrained="default", data__size=64)
    assert (experiment.model.pretrained, experiment.model.settings) == ("r160_in1k", {"img_size": [64, 64]})
    assert read(data, "timm:test_vit", model__pretrained="default", data__size=160).model.settings == {}
    own = experiment.create_model(3, 3).eval()
    expected = resample_abs_pos_embed(donor.pos_embed, [4, 4], num_prefix_tokens=donor.pos_embed.shape[1] - 100)
    torch.testing.assert_close(own.pos_embed, expected)
    assert own(torch.rand(1, 3, 64, 64)).shape == (1, 3)


def test_a_file_beside_the_tag_is_resampled_too(data, tmp_path):
    timm = pytest.importorskip("timm")

    donor = timm.create_model("test_vit")
    torch.save(donor.state_dict(), tmp_path / "vit.pth")
    own = create_model(
        "timm:test_vit", 3, weights=tmp_path / "vit.pth", pretrained="r160_in1k", img_size=64
    )  # fmt: skip
    assert torch.equal(own.blocks[1].mlp.fc1.weight, donor.blocks[1].mlp.fc1.weight)
    assert own.pos_embed.shape[1] < donor.pos_embed.shape[1]


def test_weights_at_one_size_only_bring_it(data):
    assert read(data, "vit_b_16", model__pretrained="default").data.size == (224, 224)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that has one commit of one repository; returns what it was asked for."""
    asked = []
    saved(tmp_path / "snapshots" / "c0ffee", "resnet")

    def snapshot_download(repository, revision=None, allow_patterns=None):
        asked.append((repository, revision, tuple(allow_patterns)))
        if repository != "owner/name":
            raise OSError("no route")
        return str(tmp_path / "snapshots" / "c0ffee")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def test_a_repository_of_the_hub_is_fetched_and_pinned(hub, data):
    experiment = read(data, "hf:owner/name", model__pretrained="v1")
    assert (experiment.model.name, experiment.model.weights) == ("transformers:resnet", "hf:owner/name@c0ffee")
    assert (experiment.data.mean, experiment.recipe.tune) == (MEAN, "lp-ft")
    assert hub[0][:2] == ("owner/name", "v1")
    assert not any("pytorch_model" in pattern or pattern.endswith(".py") for pattern in hub[0][2])
    named = network("resnet").classifier[1].weight
    assert torch.equal(experiment.create_model(5, 3).model.classifier[1].weight, named)


@pytest.mark.parametrize("words", ["model.safetensors", "--weights", "huggingface.co/owner/other/tree/main"])
def test_offline_the_files_to_place_are_named(words, hub, data):
    with pytest.raises(OverfocusError, match=words):
        read(data, "hf:owner/other")


@pytest.mark.parametrize(
    ("name", "words"), [("./nowhere", "no such folder"), ("hf:owner/name", "leave --weights out")]
)  # fmt: skip
def test_a_place_that_is_none_is_refused(name, words, hub, data):
    with pytest.raises(OverfocusError, match=words):
        read(data, name, **({"model__weights": "w.pt"} if "hf:" in name else {}))


def test_a_folder_that_asks_for_code_of_its_own_is_refused(data, tmp_path):
    import json

    saved(tmp_path / "vit", "vit")
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    auto = {"AutoModelForImageClassification": "evil.Net", "AutoConfig": "evil.Config"}
    (tmp_path / "vit" / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": auto}))
    (tmp_path / "vit" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(OverfocusError):
        read(data, tmp_path / "vit", data__size=24).create_model(5, 3)
    assert not (tmp_path / "ran").exists()


# ---- what weights say, in `train --weights`


def small_weights(folder: Path, **besides) -> str:
    model = create_model("overfocus_cnn", 3, widths=[4, 8])
    torch.save({"state_dict": model.state_dict(), **besides} if besides else model.state_dict(), folder / "w.pt")
    return str(folder / "w.pt")


def from_weights(data, weights, **changes):
    values = settings(data, model__weights=weights, recipe__epochs=1, **changes)
    return Experiment.read(values, "test")


def test_weights_that_do_not_say_how_pictures_were_normalised_are_not_trained_on(data, tmp_path):
    experiment = from_weights(data, small_weights(tmp_path))
    with pytest.raises(OverfocusError, match=r"--mean and --std, or --preprocess imagenet, half, timm:NAME"):
        list(train(experiment, tmp_path / "run"))


@pytest.mark.parametrize(
    ("besides", "changes", "mean"),
    [
        ({"mean": MEAN, "std": STD}, {}, MEAN),
        ({"mean": MEAN, "std": STD}, {"model__preprocess": "half"}, (0.5,) * 3),
        ({}, {"model__preprocess": "imagenet"}, (0.485, 0.456, 0.406)),
        ({}, {"data__mean": list(MEAN), "data__std": list(STD)}, MEAN),
        ({"mean": STD, "std": STD}, {"data__mean": list(MEAN), "data__std": list(STD)}, MEAN),
    ],
)
def test_the_normalisation_comes_with_the_weights_or_is_given(besides, changes, mean, data, tmp_path):
    experiment = from_weights(data, small_weights(tmp_path, **besides), **changes)
    assert experiment.dataset().mean == mean
    list(train(experiment, tmp_path / "run"))
    assert Run(tmp_path / "run").manifest()["mean"] == list(mean)


def test_named_preprocessing_brings_geometry_too(data, tmp_path):
    how = pretrained_weights("timm:resnet50.a1_in1k").preprocess
    got = from_weights(data, small_weights(tmp_path), model__preprocess="timm:resnet50.a1_in1k").data
    assert (got.crop_share, got.interpolation, got.mean) == (how.crop_share, "bicubic", how.mean)
    assert got.size in (128, (224, 224))


@pytest.mark.parametrize("what", ["", "weights.safetensors", "best.safetensors"])
def test_weights_of_a_run_bring_its_network_and_preprocessing(what, data, tmp_path):
    first = settings(data, recipe__epochs=1, data__size=16, data__fit="pad", data__background=[1, 2, 3])
    list(train(Experiment.read(first, "test"), tmp_path / "first"))
    manifest = Run(tmp_path / "first").manifest()
    second = Experiment.read({"data": {"name": "totem"}, "model": {"weights": str(tmp_path / "first" / what)}}, "test")
    assert second.model.settings == {"widths": [4, 8]}
    assert second.recipe.tune == "scratch"
    assert (second.data.size, second.data.fit, second.data.background) == ((16, 16), "pad", (1, 2, 3))
    assert list(second.data.mean) == manifest["mean"]
    loaded = second.create_model(3, 3).state_dict()
    end = load_run(tmp_path / "first", best=what.startswith("best")).state_dict()
    assert all(torch.equal(loaded[name], end[name]) for name in end)


def test_which_weights_are_trained_on_is_said(data, tmp_path):
    raw, average = (create_model("overfocus_cnn", 3, widths=[4, 8]) for _ in range(2))
    torch.save({"model": raw.state_dict(), "model_ema": average.state_dict()}, tmp_path / "w.pt")
    for which, expected in (("", average), ("averaged", average), ("raw", raw)):
        got = from_weights(data, str(tmp_path / "w.pt"), model__which_weights=which).create_model(3, 3)
        assert torch.equal(got.fc.weight, expected.fc.weight)


def test_blue_first_is_refused(data, tmp_path):
    pytest.importorskip("transformers")
    saved(tmp_path / "vit", "vit")
    file = tmp_path / "vit" / "preprocessor_config.json"
    file.write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "do_normalize": true, '
        '"size": {"height": 32, "width": 32}, "do_flip_channel_order": true}'
    )
    with pytest.raises(OverfocusError, match="bgr"):
        read(data, tmp_path / "vit")


def test_a_file_is_read_once(data, tmp_path, monkeypatch):
    read_files = []
    whole = checkpoint_files._file
    monkeypatch.setattr(checkpoint_files, "_file", lambda path: read_files.append(path) or whole(path))
    from_weights(data, small_weights(tmp_path, mean=MEAN, std=STD)).create_model(3, 3)
    assert len(read_files) == 1
    assert not any(str(tmp_path) in stamp[0] for stamp in checkpoint_files._kept)
    torch.save(create_model("overfocus_cnn", 5, widths=[4, 8]).state_dict(), tmp_path / "w.pt")
    assert read_checkpoint(tmp_path / "w.pt").content["fc.bias"].shape == (5,)


def test_an_old_run_from_weights_that_are_gone_is_read(data, tmp_path):
    list(train(from_weights(data, small_weights(tmp_path), model__preprocess="half"), tmp_path / "run"))
    file = tmp_path / "run" / "experiment.toml"
    lines = [
        each for each in file.read_text().splitlines() if each.split(" ")[0] not in ("preprocess", "which_weights")
    ]
    text = "\n".join(lines)
    for name in ("mean", "std"):
        start = text.index(f"\n{name} = [")
        text = text[:start] + text[text.index("]", start) + 1 :]
    file.write_text(text)
    (tmp_path / "w.pt").unlink()
    assert Run(tmp_path / "run").experiment().data.mean is None
    assert evaluate_run(tmp_path / "run", ["test"])["test"] == pytest.approx(
        Run(tmp_path / "run").manifest()["last"]["scores"]["test"]
    )


def test_a_repository_is_examined_as_a_folder_is(hub, data):
    from overfocus.diagnosis.checkpoints import CheckpointOptions, classifier_of

    classifier = classifier_of("hf:owner/name", None, CheckpointOptions())
    assert (classifier.mean, classifier.classes) == (MEAN, tuple(f"class{n}" for n in range(5)))


def test_a_study_of_such_weights_does_not_begin(data, tmp_path):
    from overfocus.commands.study import carry_out
    from overfocus.study.engines.backend import Backend
    from overfocus.study.study import Study

    values = {
        "data": {"name": str(data)},
        "model": {"weights": small_weights(tmp_path), "settings": {"widths": [4, 8]}},
    }
    with pytest.raises(OverfocusError, match="--mean and --std"):
        carry_out(Study.read(values, "test"), tmp_path / "study", Backend())
    assert not (tmp_path / "study").exists()

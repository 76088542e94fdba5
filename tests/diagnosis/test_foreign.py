"""Checkpoints that other tools write are examined as the live model answers, or refused."""

import argparse
import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import overfocus as of
from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess
from overfocus.diagnosis.checkpoints import CheckpointOptions, classifier_of, dataset_for
from overfocus.models.checkpoint_preprocess import IMAGENET, of_name
from overfocus.models.overfocus_cnn import OverfocusCNN

CLASSES = ("cat", "dog", "owl")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
SMALL = CheckpointOptions(model="overfocus_cnn", settings=("widths=[4,8]",))
PIXELS = torch.rand(5, 3, 32, 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    draw = torch.Generator().manual_seed(0)
    for part in ("train", "test"):
        for name in CLASSES:
            (root / part / name).mkdir(parents=True)
            for n in range(2):
                pixels = torch.randint(256, (40, 48, 3), generator=draw, dtype=torch.uint8).numpy()
                Image.fromarray(pixels).save(root / part / name / f"{n}.png")
    return root


@pytest.fixture(scope="module")
def data(photos):
    return of.load(str(photos))


def small(classes=3):
    torch.manual_seed(1)
    return OverfocusCNN(classes, widths=(4, 8)).eval()


def logits(model, mean=MEAN, std=STD, flipped=False):
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (mean, std))
    given = (PIXELS - mean) / std
    with torch.no_grad():
        return model(given.flip(1) if flipped else given)


def assert_answers(classifier, expected):
    with classifier.examined(), torch.no_grad():
        torch.testing.assert_close(classifier(PIXELS), expected, rtol=1e-5, atol=1e-5)


def options(**changes):
    return replace(SMALL, **changes)


def test_timms_checkpoint_saver(tmp_path, data):
    timm = pytest.importorskip("timm")
    from timm.utils import CheckpointSaver, ModelEmaV3

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    ema = ModelEmaV3(timm.create_model("test_resnet", num_classes=3))
    arguments = argparse.Namespace(
        model="test_resnet", mean=list(MEAN), std=list(STD), img_size=24, crop_pct=0.9, output=Path("out")
    )
    saver = CheckpointSaver(
        model, torch.optim.SGD(model.parameters(), 0.1), arguments, ema, checkpoint_dir=str(tmp_path)
    )
    saver.save_checkpoint(0, 1.0)
    file = str(tmp_path / "last.pth.tar")
    assert_answers(classifier_of(file, data, CheckpointOptions()), logits(ema.module.eval()))
    assert "state_dict" in classifier_of(file, data, CheckpointOptions()).note
    assert_answers(classifier_of(file, data, CheckpointOptions(which="raw")), logits(model.eval()))


@pytest.mark.parametrize("averaged", [False, True])
def test_torchvisions_reference_layout(tmp_path, data, averaged):
    from torchvision.models import resnet18

    model, average = resnet18(num_classes=3).eval(), resnet18(num_classes=3).eval()
    args = argparse.Namespace(model="resnet18", val_resize_size=256, val_crop_size=224, interpolation="bilinear")
    ema = {"model_ema": torch.optim.swa_utils.AveragedModel(average).state_dict()} if averaged else {}
    optimizer = torch.optim.SGD(model.parameters(), 0.1).state_dict()
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer, "epoch": 1, "args": args, **ema}, tmp_path / "m.pth"
    )
    expected = logits(average if averaged else model, *IMAGENET)
    assert_answers(classifier_of(str(tmp_path / "m.pth"), data, CheckpointOptions()), expected)


def fitted(module, folder):
    pl = pytest.importorskip("lightning.pytorch")
    loader = DataLoader(TensorDataset(PIXELS, torch.tensor([0, 1, 2, 0, 1])), batch_size=5)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, loader)
    trainer.save_checkpoint(folder / "last.ckpt")
    return str(folder / "last.ckpt")


def test_lightning_with_a_path_and_the_normalisation_among_its_hyperparameters(tmp_path, data):
    pl = pytest.importorskip("lightning.pytorch")

    class Mine(pl.LightningModule):
        def __init__(self, root: Path, mean=MEAN, std=STD, class_to_idx=None):
            super().__init__()
            self.save_hyperparameters()
            self.net, self.criterion = small(), nn.CrossEntropyLoss(weight=torch.ones(3))

        def training_step(self, batch, batch_idx):
            return self.criterion(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Mine(tmp_path, class_to_idx={"owl": 0, "dog": 1, "cat": 2})
    file = fitted(module, tmp_path)
    classifier = classifier_of(file, data, SMALL)
    assert_answers(classifier, logits(module.net.eval()))
    assert classifier.classes == ("owl", "dog", "cat")


@pytest.mark.parametrize("method", ["plain", "sgdrop(teacher='ema')"])
def test_our_own_lightning_module(tmp_path, data, method):
    pytest.importorskip("lightning.pytorch")
    from overfocus.integrations.lightning import LightningClassifier

    module = LightningClassifier(small(), method)
    classifier = classifier_of(fitted(module, tmp_path), data, options(mean=MEAN, std=STD))
    assert_answers(classifier, logits(module.objective.model.eval()))


def huggingface(folder, **processor):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic", id2label=dict(enumerate(CLASSES)),
        label2id={name: n for n, name in enumerate(CLASSES)},
    )  # fmt: skip
    model = transformers.ResNetForImageClassification(config).eval()
    arguments = transformers.TrainingArguments(str(folder), max_steps=1, use_cpu=True, report_to="none", save_steps=1)
    rows = [{"pixel_values": image, "labels": n % 3} for n, image in enumerate(PIXELS)]
    made = transformers.ConvNextImageProcessor(image_mean=MEAN, image_std=STD, size={"shortest_edge": 28}, **processor)
    transformers.Trainer(model, arguments, train_dataset=rows, processing_class=made).train()
    return folder / "checkpoint-1", model.eval()


def test_a_checkpoint_of_the_transformers_trainer(tmp_path, data, photos):
    folder, model = huggingface(tmp_path)
    classifier = classifier_of(str(folder), data, CheckpointOptions())
    assert_answers(classifier, logits(lambda images: model(pixel_values=images).logits))
    assert classifier.classes == CLASSES
    dataset, experiment = dataset_for([str(folder)], {"data.name": str(photos)})
    assert experiment.data.size == (28, 28)
    assert dataset.splits["test"].images.size(0) == (28, 28)
    without = tmp_path / "none"
    folder.rename(without)
    (without / "preprocessor_config.json").unlink()
    with pytest.raises(OverfocusError, match=r"--mean and --std, or --preprocess imagenet"):
        classifier_of(str(without), data, CheckpointOptions())


def test_what_accelerate_saves(tmp_path, data):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model = accelerator.prepare(small())
    accelerator.save_model(model, str(tmp_path / "model"))
    accelerator.save_state(str(tmp_path / "state"))
    for folder in ("model", "state"):
        classifier = classifier_of(str(tmp_path / folder), data, options(mean=MEAN, std=STD))
        assert_answers(classifier, logits(small()))


def test_a_folder_of_timm(tmp_path, data):
    timm = pytest.importorskip("timm")
    from timm.models import save_for_hf

    model = timm.create_model("test_resnet", num_classes=3).eval()
    save_for_hf(
        model, tmp_path / "t", model_config={"pretrained_cfg": {"mean": MEAN, "std": STD}}, safe_serialization=True
    )
    assert_answers(classifier_of(str(tmp_path / "t"), data, CheckpointOptions()), logits(model))


def test_an_export_is_read_back_with_what_it_says(tmp_path, data):
    values = {"data": {"name": "totem", "fraction": 0.03}, "model": {"settings": {"widths": [4, 8]}}}
    list(of.train(of.Experiment.read({**values, "recipe": {"epochs": 1}}, "test"), tmp_path / "run"))
    from overfocus.export.export import export_run

    export_run(tmp_path / "run", "safetensors", tmp_path / "out")
    run, export = (classifier_of(str(tmp_path / each), None, CheckpointOptions()) for each in ("run", "out"))
    assert (export.mean, export.std, export.classes) == (run.mean, run.std, run.classes)
    with run.examined(), torch.no_grad():
        assert_answers(export, run(PIXELS))


def test_bare_weights_are_refused_until_their_preprocessing_is_given(tmp_path, data):
    torch.save(small().state_dict(), tmp_path / "w.pt")
    file = str(tmp_path / "w.pt")
    with pytest.raises(
        OverfocusError, match=r"does not say how its pictures were normalised.*--mean and --std, or --pre"
    ):
        classifier_of(file, data, SMALL)
    assert_answers(classifier_of(file, data, options(mean=MEAN, std=STD)), logits(small()))
    half = ((0.5,) * 3, (0.5,) * 3)
    for name, how in (("imagenet", IMAGENET), ("half", half), ("timm:resnet18", IMAGENET)):
        assert_answers(classifier_of(file, data, options(preprocess=name)), logits(small(), *how))
    flipped = options(preprocess="half", channel_order="bgr")
    assert_answers(classifier_of(file, data, flipped), logits(small(), *half, flipped=True))
    for wrong in ({"preprocess": "resnet"}, {"mean": (124.0, 116.0, 104.0), "std": (58.0, 57.0, 57.0)}, {"mean": MEAN}):
        with pytest.raises(OverfocusError, match="--"):
            classifier_of(file, data, options(**wrong))


def test_mean_and_std_of_0_to_255_in_a_file_are_recognised(tmp_path, data):
    content = {
        "state_dict": small().state_dict(),
        "mean": [255 * each for each in MEAN],
        "std": [255 * each for each in STD],
    }
    torch.save(content, tmp_path / "w.pt")
    assert_answers(classifier_of(str(tmp_path / "w.pt"), data, SMALL), logits(small()))


def test_a_file_of_fewer_classes_names_options_that_exist(tmp_path, data):
    torch.save(small(2).state_dict(), tmp_path / "w.pt")
    with pytest.raises(
        OverfocusError, match=r"knows 2 classes and 3 are asked for.*overfocus train --weights"
    ) as error:
        classifier_of(str(tmp_path / "w.pt"), data, options(preprocess="half"))
    assert "new_head" not in str(error.value)


def test_named_preprocessings_are_those_of_their_libraries():
    timm = pytest.importorskip("timm")
    from torchvision.models import get_weight

    how = of_name("timm:vit_base_patch16_clip_224.openai").preprocess
    config = timm.models.get_pretrained_cfg("vit_base_patch16_clip_224.openai")
    assert (how.size, how.mean, how.std, how.interpolation) == ((224, 224), config.mean, config.std, "bicubic")
    how = of_name("torchvision:ResNet50_Weights.IMAGENET1K_V2").preprocess
    preset = get_weight("ResNet50_Weights.IMAGENET1K_V2").transforms()
    assert (how.size, how.interpolation, how.resized((500, 400))[1]) == ((224, 224), "bilinear", preset.resize_size[0])
    for name in ("timm:none_such", "torchvision:ResNet50", "imagenet1k"):
        with pytest.raises(OverfocusError):
            of_name(name)


PROCESSORS = {
    "squash": ({"do_resize": True, "size": {"height": 24, "width": 32}, "resample": 2},
               Preprocess(size=(24, 32), fit="squash", mean=MEAN, std=STD)),
    "cut": ({"size": {"shortest_edge": 32}, "do_center_crop": True, "crop_size": {"height": 24, "width": 24},
             "resample": 3},
            Preprocess(size=24, crop_share=0.75, interpolation="bicubic", mean=MEAN, std=STD)),  # type: ignore[arg-type]
    "flipped": ({"do_resize": False, "do_flip_channel_order": True},
                Preprocess(channel_order="bgr", mean=MEAN, std=STD)),
}  # fmt: skip


@pytest.mark.parametrize("kind", PROCESSORS)
def test_a_preprocessor_config(tmp_path, kind):
    from safetensors.torch import save_file

    from overfocus.models.checkpoint_files import read_checkpoint
    from overfocus.models.checkpoint_preprocess import preprocess_of

    given, expected = PROCESSORS[kind]
    stated = {"do_normalize": True, "image_mean": MEAN, "image_std": STD, **given}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated))
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    known = preprocess_of(read_checkpoint(tmp_path))
    assert known is not None
    assert known.preprocess.crop_share == pytest.approx(expected.crop_share)
    assert replace(known.preprocess, crop_share=1.0) == replace(expected, crop_share=1.0)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**stated, "rescale_factor": 1 / 127.5}))
    with pytest.raises(OverfocusError, match="rescale_factor"):
        preprocess_of(read_checkpoint(tmp_path))


def test_models_of_different_sizes_are_not_examined_on_one_size_silently(tmp_path, photos):
    for size in (24, 28):
        arguments = {"config": {"id2label": {}}, "args": argparse.Namespace(val_crop_size=size, val_resize_size=size)}
        torch.save({"model": small().state_dict(), **arguments}, tmp_path / f"{size}.pt")
    both = [str(tmp_path / "24.pt"), str(tmp_path / "28.pt")]
    with pytest.raises(OverfocusError, match=r"--size \(24, 24\).*\(28, 28\)"):
        dataset_for(both, {"data.name": str(photos)}, SMALL)
    assert dataset_for(both, {"data.name": str(photos), "data.size": 16}, SMALL)[1].data.size == 16


@pytest.mark.parametrize("kind", ["file", "folder of transformers"])
def test_a_checkpoint_is_read_once(kind, tmp_path, photos, monkeypatch):
    from overfocus.models import checkpoint_files

    read, whole = [], checkpoint_files._file
    if kind == "file":
        what, given = str(tmp_path / "w.pt"), SMALL
        torch.save({"state_dict": small().state_dict(), "mean": MEAN, "std": STD}, what)
    else:
        what, given = str(huggingface(tmp_path)[0]), CheckpointOptions()
    monkeypatch.setattr(checkpoint_files, "_file", lambda path: read.append(path) or whole(path))
    dataset, _ = dataset_for([what], {"data.name": str(photos)}, given)
    classifier_of(what, dataset, given)
    assert len(read) == (kind == "file")  # transformers reads its own

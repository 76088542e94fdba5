"""Checkpoints as the tools of others write them, and files of their layouts, are read to the last number."""

import argparse
import pathlib
import types

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet34

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.models.checkpoint_facts import class_names, network_of
from overfocus.models.checkpoint_files import read_checkpoint
from overfocus.models.checkpoints import fill, load_weights
from overfocus.models.overfocus_cnn import OverfocusCNN


def small(seed=0, classes=7):
    torch.manual_seed(seed)
    return OverfocusCNN(classes, widths=(8, 12))


def assert_same(model, other):
    torch.testing.assert_close(dict(model.state_dict()), dict(other.state_dict()), rtol=0, atol=0)


def prefixed(word, model):
    return {f"{word}{name}": tensor for name, tensor in model.state_dict().items()}


def filled(path, which=""):
    model = small(9)
    return model, fill(model, read_checkpoint(path), which=which).note


HARMLESS = {
    "namespace": argparse.Namespace(lr=0.1, model="resnet18"),
    "simple namespace": types.SimpleNamespace(lr=0.1),
    "numpy float": np.float64(0.93),
    "numpy int": np.int64(3),
    "numpy bool": np.bool_(True),
    "numpy array": np.arange(3.0),
    "path": pathlib.Path("runs/first"),
    "windows path": pathlib.PureWindowsPath("C:/runs"),
}


@pytest.mark.parametrize("what", HARMLESS)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "pickle"])
def test_harmless_values_beside_the_weights_are_no_hindrance(tmp_path, what, legacy):
    donor = small()
    content = {"state_dict": donor.state_dict(), "besides": HARMLESS[what]}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    assert_same(filled(tmp_path / "w.pt")[0], donor)


def test_names_of_other_versions_of_numpy_and_python_are_known(tmp_path):
    torch.save({"state_dict": small().state_dict(), "x": np.float64(1), "p": pathlib.Path("a")}, tmp_path / "w.pt",
               _use_new_zipfile_serialization=False)  # fmt: skip
    content = (tmp_path / "w.pt").read_bytes()
    for old, new in (
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
        (b"cpathlib\nPosixPath", b"cpathlib\nWindowsPath"),
    ):
        assert old in content
        content = content.replace(old, new)
    (tmp_path / "w.pt").write_bytes(content)
    assert_same(filled(tmp_path / "w.pt")[0], small())


@pytest.mark.parametrize("what", [torch.optim.Adam, small, nn.ReLU()], ids=["class", "function", "module"])
def test_what_could_run_code_is_named_and_not_run(tmp_path, what):
    torch.save({"state_dict": small().state_dict(), "x": what}, tmp_path / "w.pt")
    name = {torch.optim.Adam: "torch.optim.adam.Adam", small: "small"}.get(what, "ReLU")
    with pytest.raises(OverfocusError, match=rf"{name}.*convert it"):
        filled(tmp_path / "w.pt")


PREFIXES = ["net.", "module.", "_orig_mod.", "objective.model.", "model.", "encoder.backbone.", "net._orig_mod.module."]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("stray", [None, "criterion.weight", "train_metrics.total", "loss_fn.weight"])
def test_any_one_prefix_is_taken_off_and_what_training_needs_is_left(tmp_path, prefix, stray):
    content = prefixed(prefix, small()) | ({stray: torch.ones(7)} if stray else {})
    torch.save({"state_dict": content}, tmp_path / "w.pt")
    model, note = filled(tmp_path / "w.pt")
    assert_same(model, small())
    assert note == ""


def test_a_stray_weight_beside_plain_names(tmp_path):
    torch.save({**small().state_dict(), "criterion.weight": torch.ones(7)}, tmp_path / "w.pt")
    assert_same(filled(tmp_path / "w.pt")[0], small())


def test_another_part_of_a_wrapper_is_said(tmp_path):
    torch.save(prefixed("net.", small()) | {"projector.weight": torch.ones(7)}, tmp_path / "w.pt")
    model, note = filled(tmp_path / "w.pt")
    assert_same(model, small())
    assert "projector.weight" in note


def test_a_part_that_the_model_lacks_is_no_stray(tmp_path):
    torch.save({**small().state_dict(), "attention.weight": torch.ones(7)}, tmp_path / "w.pt")
    with pytest.raises(OverfocusError, match=r"not in the model: attention\.weight"):
        filled(tmp_path / "w.pt")


def test_a_deeper_network_of_the_same_names_is_refused(tmp_path):
    torch.save(prefixed("net.", resnet34(num_classes=3)), tmp_path / "w.pt")
    with pytest.raises(OverfocusError, match=r"not in the model: layer1\.2"):
        load_weights(resnet18(num_classes=3), tmp_path / "w.pt")


AVERAGED = {
    "timm": ({"state_dict": 1, "state_dict_ema": 2}, "state_dict"),
    "torchvision": ({"model": 1, "model_ema": 2}, "model"),
    "ema": ({"model": 1, "ema": 2}, "model"),
    "nested": ({"model": 1, "ema": {"module": 2}}, "model"),
    "model_state": ({"model_state": 1, "ema_model_state": 2}, "model_state"),
    "lightning": ({"current_model_state": 1, "state_dict": 2}, "current_model_state"),
}


def with_states(layout):
    return {
        key: with_states(value) if isinstance(value, dict) else small(value).state_dict()
        for key, value in layout.items()
    }


@pytest.mark.parametrize("layout", AVERAGED)
def test_averaged_weights_are_taken_and_the_raw_ones_are_named(tmp_path, layout):
    keys, raw = AVERAGED[layout]
    torch.save({**with_states(keys), "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}, tmp_path / "w.pt")
    model, note = filled(tmp_path / "w.pt")
    assert_same(model, small(2))
    assert raw in note
    for which, seed in (("averaged", 2), ("raw", 1), (raw, 1)):
        assert_same(filled(tmp_path / "w.pt", which)[0], small(seed))
    with pytest.raises(UnknownName, match=raw):
        filled(tmp_path / "w.pt", "elsewhere")


def test_averages_inside_one_mapping_are_found(tmp_path):
    torch.save({"state_dict": prefixed("net.", small(1)) | prefixed("ema_net.module.", small(2))}, tmp_path / "w.pt")
    torch.save({"state_dict": prefixed("net.", small(1)) | prefixed("ema.module.", small(2))}, tmp_path / "v.pt")
    assert_same(filled(tmp_path / "v.pt")[0], small(2))
    assert_same(filled(tmp_path / "w.pt", "raw")[0], small(1))


@pytest.mark.parametrize(
    "content", [{"ema": 2}, {"model_state": 2}, {"net": {"params": 2}}, {"params_ema": 2}], ids=str
)
def test_one_network_is_found_under_any_key(tmp_path, content):
    torch.save(with_states(content), tmp_path / "w.pt")
    assert_same(filled(tmp_path / "w.pt")[0], small(2))


def test_two_networks_that_nothing_tells_apart_are_refused_by_name(tmp_path):
    torch.save(with_states({"student": 1, "teacher": 2}), tmp_path / "w.pt")
    with pytest.raises(OverfocusError, match=r"student, teacher.*--which-weights student"):
        filled(tmp_path / "w.pt")
    assert_same(filled(tmp_path / "w.pt", "teacher")[0], small(2))
    with pytest.raises(OverfocusError, match="no averaged ones"):
        filled(tmp_path / "w.pt", "averaged")


def test_the_same_weights_twice_are_no_question(tmp_path):
    torch.save(with_states({"model": 1, "state_dict": 1}), tmp_path / "w.pt")
    assert_same(filled(tmp_path / "w.pt")[0], small(1))


def test_a_model_in_a_wrapper_takes_plain_names(tmp_path):
    torch.save(small().state_dict(), tmp_path / "w.pt")

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.ModuleDict({"net": small(9)})

    model = Wrapper()
    load_weights(model, tmp_path / "w.pt")
    assert_same(model.inner["net"], small())


CLASSES = {
    "class_to_idx": {"class_to_idx": {"b": 1, "a": 0, "c": 2}},
    "arguments": {"args": argparse.Namespace(class_to_idx={"b": 1, "a": 0, "c": 2})},
    "hyperparameters": {"hyper_parameters": {"class_names": ["a", "b", "c"]}},
    "id2label": {"config": {"id2label": {"0": "a", "2": "c", "1": "b"}}},
    "list": {"classes": ("a", "b", "c")},
}


@pytest.mark.parametrize("where", CLASSES)
def test_class_names_are_read_in_the_order_of_the_logits(tmp_path, where):
    torch.save({"state_dict": small().state_dict(), **CLASSES[where]}, tmp_path / "w.pt")
    assert class_names(read_checkpoint(tmp_path / "w.pt")) == ("a", "b", "c")


@pytest.mark.parametrize(
    "content",
    [{"class_to_idx": {"a": 0, "b": 2}}, {"id2label": {0: "LABEL_0", 1: "LABEL_1"}}, {"classes": 3}, {"epoch": 1}],
    ids=str,
)
def test_names_that_are_none_are_not_read(tmp_path, content):
    torch.save({"state_dict": small().state_dict(), **content}, tmp_path / "w.pt")
    assert class_names(read_checkpoint(tmp_path / "w.pt")) is None


@pytest.mark.filterwarnings("ignore")
def test_timms_checkpoint_saver(tmp_path):
    timm = pytest.importorskip("timm")
    from timm.utils import CheckpointSaver, ModelEmaV3

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    ema = ModelEmaV3(model, decay=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    arguments = argparse.Namespace(model="test_resnet.r160_in1k", mean=None, img_size=160, output=pathlib.Path("out"))
    saver = CheckpointSaver(model, optimizer, arguments, ema, checkpoint_dir=str(tmp_path))
    saver.save_checkpoint(3, np.float64(71.5))
    checkpoint = read_checkpoint(tmp_path / "last.pth.tar")
    assert network_of(checkpoint) == ("timm:test_resnet.r160_in1k", {})
    for which, expected in (("", ema.module), ("averaged", ema.module), ("raw", model)):
        other = timm.create_model("test_resnet", num_classes=3)
        fill(other, checkpoint, which=which)
        assert_same(other, expected)


def torchvision_reference(path, model, ema=None, **arguments):
    """Write what references/classification/train.py of github.com/pytorch/vision does (read in its `main`): `model`
    without DistributedDataParallel, the states of optimiser and schedule, `epoch`, `args` (a Namespace); with
    --model-ema `model_ema`, an AveragedModel, so n_averaged and names after `module.`; in forks of it a `scaler`.
    """
    args = argparse.Namespace(
        model="resnet18", val_resize_size=256, val_crop_size=224, train_crop_size=224, interpolation="bilinear",
        weights=None, output_dir=str(path.parent), **arguments,
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 30)
    content = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict(),
        "epoch": 3, "args": args, "scaler": torch.amp.GradScaler("cpu").state_dict(),
    }  # fmt: skip
    torch.save(content | ({"model_ema": ema.state_dict()} if ema else {}), path)


def test_torchvisions_reference_layout(tmp_path):
    model, average = resnet18(num_classes=3), resnet18(num_classes=3)
    ema = torch.optim.swa_utils.AveragedModel(average)
    torchvision_reference(tmp_path / "checkpoint.pth", model, ema)
    checkpoint = read_checkpoint(tmp_path / "checkpoint.pth")
    assert network_of(checkpoint) == ("resnet18", {})
    for which, expected in (("", average), ("raw", model)):
        other = resnet18(num_classes=3)
        fill(other, checkpoint, which=which)
        assert_same(other, expected)

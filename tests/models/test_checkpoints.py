import os
import pickle

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import DenseNet

from overfocus.core.errors import OverfocusError
from overfocus.models.checkpoints import load_weights, save_weights
from overfocus.models.overfocus_cnn import OverfocusCNN


def small(classes=7, **settings):
    return OverfocusCNN(classes, **{"widths": (8, 12)} | settings)


def copy_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(state, other):
    torch.testing.assert_close(dict(state), dict(other), rtol=0, atol=0)


def test_what_is_saved_is_loaded(tmp_path):
    donor, model = small(), small()
    donor(torch.randn(4, 3, 8, 8))
    save_weights(donor.state_dict(), tmp_path / "w.safetensors")
    assert load_weights(model, tmp_path / "w.safetensors") == []
    assert_same(model.state_dict(), donor.state_dict())
    assert os.listdir(tmp_path) == ["w.safetensors"]


NESTED = {
    "plain": lambda state: state,
    "lightning": lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "epoch": 3},
    "timm": lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
    "parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "compiled": lambda state: {f"_orig_mod.{k}": v for k, v in state.items()},
    "both": lambda state: {"model": {"state_dict": {f"module._orig_mod.{k}": v for k, v in state.items()}}},
    "averaged": lambda state: {"n_averaged": torch.tensor(3), **{f"module.{k}": v for k, v in state.items()}},
    "uncounted": lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("layout", NESTED)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "pickle"])
def test_layouts_of_other_trainers(tmp_path, layout, legacy):
    donor, model = small(), small()
    path = tmp_path / "w.pth"
    torch.save(NESTED[layout](donor.state_dict()), path, _use_new_zipfile_serialization=not legacy)
    assert load_weights(model, path) == []
    assert_same(model.state_dict(), donor.state_dict())


def test_a_wrapped_model_takes_plain_weights(tmp_path):
    donor, model = small(), nn.DataParallel(small())
    save_weights(donor.state_dict(), tmp_path / "w.safetensors")
    assert load_weights(model, tmp_path / "w.safetensors", new_head=True) == []
    assert_same(model.module.state_dict(), donor.state_dict())


def test_a_wrapped_model_is_saved_under_plain_names(tmp_path):
    model = nn.DataParallel(small())
    save_weights(model.state_dict(), tmp_path / "w.safetensors")
    assert_same(load_file(tmp_path / "w.safetensors"), model.module.state_dict())


def test_the_content_counts_and_not_the_suffix(tmp_path):
    donor, model = small(), small()
    save_weights(donor.state_dict(), tmp_path / "w.pth")
    torch.save(donor.state_dict(), tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        load_weights(model, tmp_path / name)
        assert_same(model.state_dict(), donor.state_dict())


def test_a_head_of_other_classes(tmp_path):
    donor, model = small(10), small(7)
    save_weights(donor.state_dict(), tmp_path / "w.safetensors")
    before = copy_of(model)
    with pytest.raises(
        OverfocusError, match=r"fc.weight is \[10, 12\] in the file, \[7, 12\] in the model.*10 classes and 7"
    ):
        load_weights(model, tmp_path / "w.safetensors")
    assert_same(model.state_dict(), before)
    assert load_weights(model, tmp_path / "w.safetensors", new_head=True) == ["fc.weight", "fc.bias"]
    assert_same(model.fc.state_dict(), {"weight": before["fc.weight"], "bias": before["fc.bias"]})
    assert_same(model.stages.state_dict(), donor.stages.state_dict())


def test_a_file_without_a_head(tmp_path):
    state = {name: tensor for name, tensor in small().state_dict().items() if not name.startswith("fc.")}
    save_weights(state, tmp_path / "w.safetensors")
    assert load_weights(small(), tmp_path / "w.safetensors", new_head=True) == ["fc.weight", "fc.bias"]
    with pytest.raises(OverfocusError, match=r"not in the file: fc.weight, fc.bias"):
        load_weights(small(), tmp_path / "w.safetensors")


def test_another_model_is_refused_with_names_and_the_count_of_the_rest(tmp_path):
    save_weights(small().state_dict(), tmp_path / "w.safetensors")
    model = small(depth=2)
    before = copy_of(model)
    with pytest.raises(OverfocusError, match=r"not in the file: stages.0.1.norm1.weight.* and \d+ more"):
        load_weights(model, tmp_path / "w.safetensors", new_head=True)
    with pytest.raises(OverfocusError, match=r"not in the model: stages.1.0"):
        load_weights(small(widths=(8,)), tmp_path / "w.safetensors", new_head=True)
    assert_same(model.state_dict(), before)


def test_channels_are_fitted_only_when_asked(tmp_path):
    save_weights(small().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(OverfocusError, match=r"stem.weight is \[8, 3, 3, 3\] in the file, \[8, 5, 3, 3\]"):
        load_weights(small(channels=5), tmp_path / "w.safetensors")
    assert load_weights(small(channels=5), tmp_path / "w.safetensors", new_channels=True) == []


def test_torchvisions_old_densenet_names(tmp_path):
    donor, model = (DenseNet(4, (2, 1), 8, num_classes=7) for _ in range(2))
    old = {k.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): v for k, v in donor.state_dict().items()}
    assert old.keys() != donor.state_dict().keys()
    torch.save(old, tmp_path / "w.pth")
    assert load_weights(model, tmp_path / "w.pth") == []
    assert_same(model.state_dict(), donor.state_dict())


@pytest.mark.parametrize("extra", ["aux1.fc2.weight", "AuxLogits.fc.weight"])
def test_auxiliary_heads_in_the_file_are_not_missed(tmp_path, extra):
    donor, model = small(), small()
    torch.save({**donor.state_dict(), extra: torch.zeros(7, 8)}, tmp_path / "w.pth")
    assert load_weights(model, tmp_path / "w.pth") == []
    assert_same(model.state_dict(), donor.state_dict())


class Command:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "pickle"])
def test_code_in_a_file_is_never_run(tmp_path, monkeypatch, legacy):
    monkeypatch.chdir(tmp_path)
    torch.save({**small().state_dict(), "x": Command()}, "w.pt", _use_new_zipfile_serialization=not legacy)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Command()))
    for name in ("w.pt", "plain.pt"):
        with pytest.raises(OverfocusError, match=r"w.pt|plain.pt"):
            load_weights(small(), name)
    with pytest.raises(OverfocusError, match=r"posix.mkdir, which could run code"):
        load_weights(small(), "w.pt")
    assert not (tmp_path / "executed").exists()


def test_a_whole_pickled_model_is_refused(tmp_path):
    torch.save(small(), tmp_path / "w.pt")
    with pytest.raises(OverfocusError, match=r"OverfocusCNN.*convert it.*state_dict"):
        load_weights(small(), tmp_path / "w.pt")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "pickle"])
def test_a_truncated_file_is_refused_and_nothing_is_loaded(tmp_path, kind, share):
    path, model = tmp_path / "w", small()
    if kind == "safetensors":
        save_weights(small().state_dict(), path)
    else:
        torch.save(small().state_dict(), path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    before = copy_of(model)
    with pytest.raises(OverfocusError, match=r"weights .*(truncated|no checkpoint)"):
        load_weights(model, path)
    assert_same(model.state_dict(), before)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(3), "holds a Tensor"),
        ([1, 2], "holds a list"),
        ({"epoch": 3}, "no tensor"),
        ({"state_dict": {}}, "no tensor"),
        ({"fc.weight": torch.zeros(3, device="meta")}, "fc.weight is sparse or without values"),
        ({"fc.weight": torch.eye(3).to_sparse()}, "fc.weight is sparse"),
    ],
    ids=str,
)
def test_a_checkpoint_of_something_else(tmp_path, content, said):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(OverfocusError, match=said):
        load_weights(small(), tmp_path / "w.pt")


@pytest.mark.parametrize("content", [b"", b"x", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n" + bytes(64), bytes(64)])
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(OverfocusError, match=r"w.pt: no checkpoint"):
        load_weights(small(), tmp_path / "w.pt")


def test_a_path_that_is_not_a_file(tmp_path):
    with pytest.raises(OverfocusError, match=r"No such file"):
        load_weights(small(), tmp_path / "none.pt")
    with pytest.raises(OverfocusError, match=r"directory"):
        load_weights(small(), tmp_path)


def test_tensors_that_share_memory_or_lie_askew_are_saved(tmp_path):
    tied = torch.arange(12.0).reshape(3, 4)
    state = {"a": tied, "b": tied, "c": tied.T, "d": tied[1:], "e": torch.zeros(0), "f": torch.zeros(0)}
    save_weights(state, tmp_path / "w.safetensors")
    assert_same(load_file(tmp_path / "w.safetensors"), state)


def test_channels_last_weights_are_saved(tmp_path):
    donor, model = small().to(memory_format=torch.channels_last), small()
    save_weights(donor.state_dict(), tmp_path / "w.safetensors")
    load_weights(model, tmp_path / "w.safetensors")
    assert_same(model.state_dict(), donor.state_dict())


def test_a_value_that_is_no_tensor_is_not_saved(tmp_path):
    with pytest.raises(OverfocusError, match=r"epoch is a int"):
        save_weights({"epoch": 3}, tmp_path / "w.safetensors")
    assert not os.listdir(tmp_path)


def test_a_failed_write_leaves_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights({"a": torch.ones(3)}, path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OverfocusError, match=r"disk is full"):
        save_weights({"a": torch.zeros(3)}, path)
    assert load_file(path)["a"].sum() == 3
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OverfocusError, match=r"cannot be written"):
        save_weights({"a": torch.ones(3)}, tmp_path / "none" / "w.safetensors")


def test_a_disk_that_is_full_in_the_middle(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OverfocusError, match=r"disk is full"):
            save_weights({"a": torch.zeros(100_000)}, tmp_path / "w.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not os.listdir(tmp_path)

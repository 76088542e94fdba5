"""What people get wrong, and what disks do: a clear error, and nothing lost."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from small import Running, command, epochs_but_speed, photos, settings, training

import overfocus as of
from overfocus import OverfocusError


def trained(values, out: Path) -> list[of.training.run.Epoch]:  # pyright: ignore[reportAttributeAccessIssue]
    return list(of.train(of.Experiment.read(values, "test"), out))


# ---- numbers


def test_a_loss_that_is_not_a_number_is_told_and_told_again(folder, tmp_path):
    values = settings(folder, recipe__lr=1e9, recipe__warmup=0.9, recipe__epochs=4)
    with pytest.raises(OverfocusError, match=r"the loss of epoch . is (nan|inf)") as first:
        trained(values, tmp_path / "run")
    assert "lower recipe.lr (now 1e+09)" in str(first.value)
    with pytest.raises(OverfocusError) as second:
        trained(values, tmp_path / "run")
    assert str(second.value) == str(first.value)


def explodes_late(values, out: str) -> None:
    """Train with a network whose loss becomes NaN in the third epoch."""
    import overfocus.training.steps as steps

    whole = steps.Steps._step

    def step(self, number, *rest):
        return whole(self, number, *rest) * (float("nan") if number == 3 else 1)

    steps.Steps._step = step
    training(values, out)


def test_the_last_good_state_is_kept(folder, tmp_path):
    values, out = settings(folder), tmp_path / "run"
    for _ in range(2):
        failed = Running(explodes_late, tmp_path / "log", values, str(out))
        assert failed.end() == 2
        assert f"the loss of epoch 3 is nan; the state after epoch 2 is kept in {out}" in failed.said
    assert [epoch["number"] for epoch in epochs_but_speed(out)] == [1, 2]
    assert [epoch.number for epoch in of.train(of.Experiment.read(values, "test"), out)] == [1, 2, 3]


# ---- disks


def limited(values, out: str, most: int) -> None:
    """Train where no file may become larger than `most` bytes, which is how a full disk looks from inside."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    training(values, out)


@pytest.mark.parametrize("most", [400, 1500, 8000, 16000])
def test_a_file_that_cannot_be_written_is_told_and_the_same_command_goes_on(most, folder, tmp_path):
    values, out = settings(folder), tmp_path / "run"
    failed = Running(limited, tmp_path / "log", values, str(out), most)
    assert failed.end() == 2, failed.said
    assert "error:" in failed.said
    assert "Traceback" not in failed.said
    assert str(out) in failed.said
    assert "room" in failed.said or "space" in failed.said
    assert not [file.name for file in out.rglob(".*") if file.name != ".lock"]
    assert len(trained(values, out)) == 3


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 96 KiB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", place], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(ballast: Path) -> None:
    file = os.open(ballast, os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(file, bytes(4096))
    finally:
        os.close(file)


def test_a_full_disk_loses_nothing(small_disk, folder, tmp_path):
    undisturbed, values, out = tmp_path / "undisturbed", settings(folder), small_disk / "run"
    trained(values, undisturbed)
    run = of.train(of.Experiment.read(values, "test"), out)
    next(run)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        fill(ballast)
    with pytest.raises(OverfocusError, match=r"full|cannot be written"):
        list(run)
    assert json.loads((out / "epochs.jsonl").read_text().splitlines()[0])["number"] == 1
    ballast.unlink()
    assert len(trained(values, out)) == 3
    for name in ("weights.safetensors", "best.safetensors"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes()


# ---- files


@pytest.mark.parametrize("memory", [4, 0])
@pytest.mark.parametrize(
    ("name", "content"), [("cut.jpg", None), ("notes.jpg", b"these are not pixels"), ("empty.png", b"")]
)
def test_a_file_that_is_no_image_is_named_or_skipped(name, content, memory, tmp_path):
    data = photos(tmp_path / "photos")
    bad = data / "train" / "class1" / name
    if content is None:
        Image.open(data / "train" / "class1" / "00.png").resize((200, 200)).save(bad)
        content = bad.read_bytes()[:-400]
    bad.write_bytes(content)
    # Given a size, since a file that is no image has none.
    values = settings(data, data__memory_gib=memory, data__size=12, recipe__epochs=1)
    with pytest.raises(OverfocusError, match=name) as error:
        trained(values, tmp_path / "run")
    assert "--on-bad-image skip" in str(error.value)
    values["data"]["on_bad_image"] = "skip"
    trained(values, tmp_path / "skipped")
    manifest = json.loads((tmp_path / "skipped" / "manifest.json").read_text())
    assert manifest["bad_images"] == {"train": 1}
    assert manifest["images"]["train"] == 45
    assert name in manifest["data"]["note"]


def test_a_bad_first_image_without_a_size_is_skipped_too(tmp_path):
    data = photos(tmp_path / "photos")
    (data / "train" / "class0" / "00.png").write_bytes(b"no image")
    (data / "test" / "class0" / "00.png").write_bytes(b"no image")
    trained(settings(data, data__on_bad_image="skip", recipe__epochs=1), tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["bad_images"] == {"train": 1, "test": 1}


def test_the_command_tells_a_bad_image_in_a_line(tmp_path):
    data = photos(tmp_path / "photos")
    (data / "test" / "class2" / "03.png").write_text("no image")
    line = ["train", "--data", str(data), "--epochs", "1", "--batch", "8", "--set", "model.settings.widths=[4,8]"]
    failed = Running(command, tmp_path / "log", *line, "--out", str(tmp_path / "run"))
    assert failed.end() == 2
    assert "class2/03.png" in failed.said
    assert "Traceback" not in failed.said
    skipped = Running(command, tmp_path / "log", *line, "--out", str(tmp_path / "skipped"), "--on-bad-image", "skip")
    assert skipped.end() == 0, skipped.said
    assert "1 images cannot be read and were left out" in " ".join(skipped.said.split())


# ---- channels and classes


def test_grey_images_train(tmp_path):
    data = photos(tmp_path / "photos", grey=True)
    trained(settings(data, recipe__epochs=1), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["channels"] == 1


def test_weights_for_three_channels_are_fitted_to_grey_images(folder, tmp_path):
    trained(settings(folder, recipe__epochs=1), tmp_path / "colour")
    data = photos(tmp_path / "photos", grey=True)
    weights = str(tmp_path / "colour" / "weights.safetensors")
    grey = of.Experiment.read(settings(data, model__weights=weights, recipe__epochs=1), "test")
    list(of.train(grey, tmp_path / "grey"))
    first = of.load_weights(grey.create_model(3, 1), tmp_path / "grey" / "weights.safetensors")
    assert first == []


def test_a_model_that_cannot_take_the_channels_is_told(tmp_path):
    data = photos(tmp_path / "photos", grey=True)
    values = settings(data, model__name="small:FromGrey", model__settings={})
    with pytest.raises(OverfocusError, match=r"model 'small:FromGrey', given images of 1 channels .* data\.channels"):
        trained(values, tmp_path / "run")
    trained(settings(data, model__name="small:FromGrey", model__settings={}, data__channels=3), tmp_path / "three")


def test_a_model_of_fewer_classes_than_the_data_is_told(tmp_path):
    data = photos(tmp_path / "photos", classes=6, train=4, test=2)
    with pytest.raises(OverfocusError, match=r"returns a tensor \[2, 5\] .* the data has 6 classes"):
        trained(settings(data, model__name="small:five_logits", model__settings={}), tmp_path / "run")


def test_labels_beyond_the_classes_are_told():
    objective = of.Objective(of.OverfocusCNN(5, widths=(4, 8)), classes=5)
    with pytest.raises(OverfocusError, match="label of the first batch is 7"):
        objective(torch.rand(3, 3, 12, 12), torch.tensor([0, 7, 1]))


def test_one_class_only_is_told(tmp_path):
    data = photos(tmp_path / "photos", classes=1)
    with pytest.raises(OverfocusError, match="one class only"):
        trained(settings(data), tmp_path / "run")


def test_a_class_that_the_test_set_lacks_is_noted(tmp_path):
    data = photos(tmp_path / "photos")
    shutil.rmtree(data / "test" / "class1")
    *_, last = trained(settings(data), tmp_path / "run")
    assert last.scores["test"]["images"] == 12
    assert "class1" in json.loads((tmp_path / "run" / "manifest.json").read_text())["data"]["note"]


def test_photographs_of_many_sizes_just_train(tmp_path):
    data = photos(tmp_path / "photos", side=20)
    for number, file in enumerate(sorted(data.rglob("*.png"))):
        Image.open(file).resize((20 + number % 7, 18 + number % 5)).save(file)
    done = Running(
        command, tmp_path / "log", "train", "--data", str(data), "--epochs", "1", "--batch", "8",
        "--set", "model.settings.widths=[4,8]", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.end() == 0, done.said
    assert "brought to 16 x 16; --size gives another" in " ".join(done.said.split())


# ---- what lies in the run, and where it should run


def test_a_damaged_checkpoint_is_named(folder, tmp_path):
    values, out = settings(folder), tmp_path / "run"
    next(of.train(of.Experiment.read(values, "test"), out))
    state = out / "checkpoint" / "last.ckpt"
    for content in (b"", b"nonsense", state.read_bytes()[:2000]):
        state.write_bytes(content)
        with pytest.raises(OverfocusError, match=r"last\.ckpt cannot be read: damaged.* remove .* train again"):
            trained(values, out)


def test_a_damaged_experiment_is_named(folder, tmp_path):
    values, out = settings(folder), tmp_path / "run"
    next(of.train(of.Experiment.read(values, "test"), out))
    (out / "experiment.toml").write_text("[data\n")
    with pytest.raises(OverfocusError, match=r"experiment\.toml is not a TOML file"):
        trained(values, out)


@pytest.mark.parametrize("machine", [("cuda", 1), ("abacus", 1), ("cpu", "some"), ("cpu", 0)], ids=str)
def test_a_machine_that_is_not_there_is_told(machine, folder, tmp_path):
    from overfocus.training.loop import Machine

    if machine[0] == "cuda" and torch.cuda.is_available():
        pytest.skip("here it is there")
    with pytest.raises(OverfocusError, match="cannot start training"):
        next(of.train(of.Experiment.read(settings(folder), "test"), tmp_path / "run", Machine(*machine)))


def test_images_too_small_for_the_model_are_told(folder, tmp_path):
    values = settings(folder, model__name="squeezenet1_0", model__settings={}, data__size=8)
    with pytest.raises(OverfocusError, match="given images of 3 channels and 8 x 8 pixels, fails"):
        trained(values, tmp_path / "run")


@pytest.mark.slow
def test_the_installed_command_tells_errors_in_a_line(tmp_path):
    line = [
        Path(sys.executable).with_name("overfocus"),
        "train",
        "--data",
        str(tmp_path / "nowhere"),
        "--out",
        tmp_path,
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr

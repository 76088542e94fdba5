import numpy as np
import pytest
import torch
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.data import Split, Stream, decoded, load, verified
from overfocus.data.image_files import FileImages

REMEDY = "--on-bad-image skip"


@pytest.fixture
def damaged(tmp_path, write_classes):
    """Twelve good images and three bad ones, in two classes."""
    write_classes(tmp_path, {"cat": 6, "dog": 6}, height=40, width=50)
    whole = (tmp_path / "cat" / "0.jpg").read_bytes()
    (tmp_path / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "text.jpg").write_text("this is no image")
    (tmp_path / "dog" / "void.png").write_bytes(b"")
    return tmp_path


def split_of(paths):
    return Split(
        FileImages(paths[0].parent, tuple(map(str, paths))), torch.zeros(len(paths), dtype=torch.int64), ("a", "b")
    )


@pytest.mark.parametrize(
    ("file", "reason"),
    [("cat/cut.jpg", "damaged image"), ("dog/text.jpg", "not an image"), ("dog/void.png", "the file is empty")],
)
def test_a_bad_image_is_named_with_what_to_do(damaged, file, reason):
    with pytest.raises(OverfocusError) as caught:
        FileImages(damaged, (str(damaged / file),)).read(0)
    assert str(damaged / file) in str(caught.value)
    assert reason in str(caught.value)
    assert REMEDY in str(caught.value)


@pytest.mark.parametrize(("budget", "workers"), [(2**32, 0), (0, 0), (0, 1)])
def test_training_stops_at_a_bad_image(damaged, budget, workers):
    split = load(str(damaged)).splits["train"]
    settings = {"batch": 4, "mean": (0.5,) * 3, "std": (0.5,) * 3, "size": 16}
    with pytest.raises(OverfocusError, match=r"(cut|text|void)\..*--on-bad-image skip") as caught:
        list(Stream(split, **settings, memory_budget_bytes=budget, workers=workers).epoch())
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("budget", [0, 2**32])
def test_bad_images_are_counted_and_left_out(damaged, budget):
    paths = sorted(damaged.rglob("*.*g"))
    split = split_of(paths)
    stream = Stream(
        split, batch=5, mean=(0.5,) * 3, std=(0.5,) * 3, size=16, memory_budget_bytes=budget, on_bad_image="skip"
    )
    assert [paths[bad.row].name for bad in stream.bad] == ["cut.jpg", "text.jpg", "void.png"]
    assert len(stream.split) == 12
    assert sum(len(batch.rows) for batch in stream.epoch()) == 12


def test_load_leaves_them_out_of_every_split(damaged):
    dataset = load(str(damaged), on_bad_image="skip")
    assert sum(map(len, dataset.splits.values())) == 12
    assert "3 images cannot be read and are left out" in dataset.note
    assert all(len(decoded(split, (8, 8))[1]) == 0 for split in dataset.splits.values())


def test_nothing_readable_is_an_error(damaged):
    with pytest.raises(OverfocusError, match="none of 1 images can be read"):
        verified(split_of([damaged / "dog" / "text.jpg"]), "skip")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_is_brought_to_the_channels_of_the_set(tmp_path, mode, channels):
    ramp = Image.fromarray(np.tile(np.arange(0, 240, 20, dtype=np.uint8), (5, 1)))
    picture = Image.fromarray(np.asarray(ramp).astype(np.uint16) * 257) if mode == "I;16" else ramp.convert(mode)
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    picture.save(path)
    image = FileImages(tmp_path, (str(path),), channels).read(0)
    assert image.shape == (channels, 5, 12)
    assert image.dtype == torch.uint8
    if mode not in ("1", "P"):
        assert (image[0, 0].int() - torch.arange(0, 240, 20)).abs().max() <= 1


def test_a_moving_picture_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert FileImages(tmp_path, (str(tmp_path / "moving.gif"),)).read(0)[:, 0, 0].tolist() == [255, 0, 0]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OverfocusError, match=r"gone\.jpg"):
        FileImages(tmp_path, (str(tmp_path / "gone.jpg"),)).read(0)

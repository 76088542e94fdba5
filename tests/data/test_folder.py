import numpy as np
import pytest
from PIL import Image

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.data import load


def names(split):
    return [split.images.name(row) for row in range(len(split))]


def test_class_per_folder_holds_out_a_test_part(tmp_path, write_classes):
    write_classes(tmp_path, {"dog": 10, "cat": 20})
    dataset = load(str(tmp_path))
    assert dataset.classes == ("cat", "dog")
    assert dataset.splits["train"].counts().tolist() == [16, 8]
    assert dataset.splits["test"].counts().tolist() == [4, 2]
    assert "20% of each class were held out" in dataset.note
    assert not set(names(dataset.splits["train"])) & set(names(dataset.splits["test"]))
    assert names(load(str(tmp_path)).splits["test"]) == names(dataset.splits["test"])
    assert all(
        "/dog/" in name
        for name, label in zip(names(dataset.splits["test"]), dataset.splits["test"].labels, strict=True)
        if label
    )


@pytest.mark.parametrize(
    "parts", [("train", "val"), ("Train", "validation"), ("training", "TEST"), ("train", "valid", "test")]
)
def test_parts_inside(tmp_path, write_classes, parts):
    for part in parts:
        write_classes(tmp_path / part, {"cat": 2, "dog": 3})
    dataset = load(str(tmp_path))
    assert list(dataset.splits) == (["train", "test"] if len(parts) == 2 else ["train", "test", "val"])
    assert all(f"/{parts[-1]}/" in name for name in names(dataset.splits["test"]))
    assert "held out" not in dataset.note


def test_hidden_files_other_files_and_deeper_folders(tmp_path, write_classes, write_image):
    write_classes(tmp_path, {"cat": 5, "dog": 5})
    write_image(tmp_path / "cat" / "more" / "UPPER.JPG")
    write_image(tmp_path / "cat" / ".hidden.jpg")
    write_image(tmp_path / ".cache" / "a.jpg")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    dataset = load(str(tmp_path))
    assert dataset.classes == ("cat", "dog")
    assert sum(map(len, dataset.splits.values())) == 11


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "png", "bmp", "webp", "tif", "tiff", "gif", "ppm"])
def test_formats(tmp_path, write_image, extension):
    for name in ("a", "b"):
        for number in range(2):
            write_image(tmp_path / name / f"{number}.{extension}", mode="RGB")
    image = load(str(tmp_path)).splits["train"].images.read(0)
    assert image.shape == (3, 7, 11)


def test_a_grey_set_is_read_as_grey(tmp_path, write_classes):
    write_classes(tmp_path, {"a": 3, "b": 3}, mode="L")
    dataset = load(str(tmp_path))
    assert dataset.splits["train"].images.read(0).shape == (1, 7, 11)
    assert len(dataset.mean) == len(dataset.std) == 1
    assert "grey" in dataset.note
    assert load(str(tmp_path), channels=3).splits["test"].images.channels == 3


def test_statistics_are_those_of_the_training_images(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "test" / name).mkdir(parents=True)
        for number in range(3):
            pixels = generator.integers(0, 256, (9, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{number}.png")
        Image.fromarray(pixels).save(tmp_path / "test" / name / "0.png")
    dataset = load(str(tmp_path))
    values = np.stack([dataset.splits["train"].images.read(row).numpy() for row in range(6)]) / 255
    assert np.allclose(values.mean(axis=(0, 2, 3)), dataset.mean, atol=1e-4)
    assert np.allclose(values.std(axis=(0, 2, 3)), dataset.std, atol=1e-4)


def test_a_class_without_test_images_is_noted(tmp_path, write_classes):
    write_classes(tmp_path / "train", {"cat": 2, "dog": 2, "eel": 2})
    write_classes(tmp_path / "test", {"cat": 2, "dog": 2})
    dataset = load(str(tmp_path))
    assert "Classes without test images: eel" in dataset.note
    assert dataset.splits["test"].counts().tolist() == [2, 2, 0]


def test_what_is_refused(tmp_path, write_classes):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(OverfocusError, match="no images found; expected one folder of images for each class"):
        load(str(empty))
    with pytest.raises(OverfocusError, match="one class only \\(cat\\)"):
        load(str(write_classes(tmp_path / "one", {"cat": 3})))
    hollow = write_classes(tmp_path / "hollow", {"cat": 3, "dog": 3})
    (hollow / "eel").mkdir()
    with pytest.raises(OverfocusError, match="class folder 'eel' has no images"):
        load(str(hollow))
    write_classes(tmp_path / "odd" / "train", {"cat": 3, "dog": 3})
    write_classes(tmp_path / "odd" / "val", {"cat": 3, "elk": 3})
    with pytest.raises(OverfocusError, match="test has the class 'elk', which train lacks"):
        load(str(tmp_path / "odd"))
    flat = write_classes(tmp_path / "flat", {".": 3})
    with pytest.raises(OverfocusError, match="expected one folder"):
        load(str(flat))


def test_names_and_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(UnknownName, match="no data set 'fashion_mnits'; did you mean 'fashion_mnist'"):
        load("fashion_mnits")
    with pytest.raises(OverfocusError, match="no such file or folder"):
        load(str(tmp_path / "nowhere"))
    (tmp_path / "set.tar.gz").write_bytes(b"")
    with pytest.raises(OverfocusError, match="unpack the archive"):
        load(str(tmp_path / "set.tar.gz"))


@pytest.mark.parametrize(
    "name", ["fashion_mnist", "cifar10", "cifar100", "stl10", "svhn", "flowers102", "oxford_pet", "food101"]
)
def test_a_set_that_is_absent_names_path_and_remedy(tmp_path, name):
    with pytest.raises(OverfocusError, match="--download") as caught:
        load(name, root=tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_imagenet_is_never_downloaded(tmp_path):
    with pytest.raises(OverfocusError, match="imagenet: not found at"):
        load("imagenet", root=tmp_path, download=True)


def test_the_root_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERFOCUS_DATA", str(tmp_path))
    with pytest.raises(OverfocusError, match=str(tmp_path)):
        load("cifar10")


def test_fashion_mnist(real):
    dataset = load("fashion_mnist", root=real, per_class=50)
    assert len(dataset.splits["train"]) == 500
    assert len(dataset.splits["test"]) == 10000
    assert dataset.splits["train"].images.read(3).shape == (1, 28, 28)
    assert dataset.classes[9] == "Ankle boot"


def test_the_fingerprint_of_files(tmp_path, write_classes):
    write_classes(tmp_path / "one", {"a": 3, "b": 3})
    write_classes(tmp_path / "two", {"a": 3, "b": 3})
    first, second = load(str(tmp_path / "one")), load(str(tmp_path / "two"))
    assert first.fingerprint() == second.fingerprint()
    with (tmp_path / "two" / "a" / "0.jpg").open("ab") as file:
        file.write(b"more")
    assert load(str(tmp_path / "two")).fingerprint() != first.fingerprint()

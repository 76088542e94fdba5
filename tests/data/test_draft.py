"""Large JPEGs are decoded at a part of their size where the small image hardly tells the difference."""

from io import BytesIO

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from overfocus.data import Split, fit, fit_boxes, fitted
from overfocus.data.image_files import EncodedImages, FileImages


def encoded(shape, kind="JPEG", channels=3):
    """Return the upper left part of scikit-learn's two photographs."""
    table = []
    for photo in load_sample_images().images:
        picture, file = Image.fromarray(photo[: shape[0], : shape[1]]), BytesIO()
        picture.convert("L" if channels == 1 else "RGB").save(file, kind, quality=90)
        table.append(file.getvalue())
    return EncodedImages(table, "photos", channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("stored", "size", "drafted"),
    [
        ((400, 500), (64, 64), (200, 250)),
        ((400, 500), (30, 40), (100, 125)),
        ((400, 500), (24, 24), (50, 63)),
        ((400, 500), (101, 101), (400, 500)),
        ((375, 500), (90, 90), (188, 250)),
        ((375, 500), (47, 50), (375, 500)),
        ((64, 64), (64, 64), (64, 64)),
    ],
)
def test_what_is_left_out_is_hardly_seen(stored, size, drafted, channels):
    images = encoded(stored, channels=channels)
    assert images.read_for(0, size).shape == (channels, *drafted)
    even = all(side % part == 0 for side, part in zip(stored, drafted, strict=True))
    for row in range(2):
        difference = (fit(images.read_for(row, size), size).int() - fit(images.read(row), size).int()).abs().float()
        assert difference.mean() < (1 if even else 2.5)
        assert difference.quantile(0.99) < (8 if even else 25)


def test_boxes_still_meet_their_object():
    picture, box, file = Image.new("RGB", (501, 377)), (120, 40, 301, 320), BytesIO()
    picture.paste((255, 255, 255), box)
    picture.save(file, "JPEG", quality=95)
    images, size = EncodedImages([file.getvalue()], "box"), (60, 60)
    (x0, y0, x1, y1) = fit_boxes(torch.tensor([box]), (377, 501), size)[0].tolist()
    small = fit(images.read_for(0, size), size)[0]
    assert images.read_for(0, size).shape == (3, 189, 251)
    assert (small[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1] > 200).all()
    assert (small[y0:y1, x0:x1] > 128).sum() >= (small > 128).sum() - (x1 - x0)


def test_other_files_and_plain_reading_stay_whole():
    assert torch.equal(encoded((400, 500), "PNG").read_for(0, (8, 8)), encoded((400, 500), "PNG").read(0))
    assert encoded((400, 500)).read(0).shape == (3, 400, 500)


def test_a_fitted_split_reads_so(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded((400, 500)).encoded[0])
    files = FileImages(tmp_path, (str(tmp_path / "a.jpg"),))
    split = Split(files, torch.tensor([0]), ("a", "b")).subset([0])
    assert torch.equal(fitted(split, (64, 64)).images.read(0), fit(files.read_for(0, (64, 64)), (64, 64)))
    assert not torch.equal(fitted(split, (64, 64)).images.read(0), fit(files.read(0), (64, 64)))

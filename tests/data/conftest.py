import os
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from overfocus.data import Split, TensorImages


def _write_image(path: Path, height: int = 7, width: int = 11, mode: str = "RGB", tone: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (width, height), tone if mode in ("L", "I;16") else (tone, 50, 200, 255)[: len(mode)]).save(path)
    return path


@pytest.fixture(scope="session")
def write_image():
    return _write_image


@pytest.fixture(scope="session")
def write_classes():
    def write(root: Path, counts: dict[str, int], **picture) -> Path:
        for name, count in counts.items():
            for number in range(count):
                _write_image(root / name / f"{number}.jpg", tone=10 * number + 5, **picture)
        return root

    return write


@pytest.fixture(scope="session")
def random_split():
    def split(count: int = 23, channels: int = 3, height: int = 9, width: int = 14, classes: int = 5) -> Split:
        generator = torch.Generator().manual_seed(7)
        pixels = torch.randint(0, 256, (count, channels, height, width), generator=generator, dtype=torch.uint8)
        return Split(TensorImages(pixels, "random"), torch.arange(count) % classes, tuple("abcdefgh"[:classes]))

    return split


@pytest.fixture(scope="session")
def real() -> Path:
    root = os.environ.get("OVERFOCUS_DATA")
    if not root:
        pytest.skip("OVERFOCUS_DATA does not name the folder with the real data")
    return Path(root)


@pytest.fixture(scope="session")
def tiny(real, tmp_path_factory) -> Path:
    archive = real / "tiny-imagenet-50.tar.gz"
    if not archive.is_file():
        pytest.skip(f"{archive} is absent")
    folder = tmp_path_factory.mktemp("tiny")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "tiny-imagenet-50"

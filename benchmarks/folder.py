"""Images per second delivered from a folder of JPEGs, against torchvision's and timm's loaders.

    python benchmarks/folder.py --data FOLDER [--images 4096] [--rounds 7]

FOLDER holds a folder of images for each class (or is Tiny-ImageNet as it is unpacked); without it, or with `--tiny`,
pictures are made. All loaders deliver float32, normalised, shifted and flipped at random, and read files that the
system already holds in memory. Peers are tried with 0, 1 and 2 worker processes, which live on from epoch to epoch, and
the fastest of these takes part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from ratios import Bar, Table, Work, parser, peer, run, timed, turns

from overfocus.data import Augment, Dataset, Stream, load
from overfocus.data.stream import GIBIBYTE

FASTER = 1 / 1.3
MEAN, STD = (0.48, 0.45, 0.40), (0.28, 0.27, 0.28)
WORKERS = (0, 1, 2)
PHOTO = (400, 500)
"""Height and width of the larger photographs."""


@dataclass(frozen=True)
class Case:
    """One folder, read at one size."""

    folder: Path
    """Class folders with JPEGs."""
    size: int
    images: int
    """A multiple of `batch`, since timm leaves out what is not a full batch."""
    batch: int
    device: str
    resize: bool = False
    """Whether the files are larger than `size`."""


def drained(batches: Iterable[object]) -> None:
    """Take all batches and do nothing with them."""
    for _ in batches:
        pass


class Ours:
    """Epochs of a stream, one after another."""

    def __init__(self, case: Case, workers: int = 0, budget: int = 0) -> None:
        """Open the folder; `budget` is the bytes of decoded images that may be kept."""
        self.case, self.workers, self.budget, self.number = case, workers, budget, 0
        self.dataset: Dataset = load(case.folder, channels=3)
        self.stream = self.opened()

    def opened(self) -> Stream:
        augment = Augment(flip=True, crop=self.case.size // 8)
        return Stream(
            self.dataset.splits["train"], batch=self.case.batch, mean=MEAN, std=STD, size=self.case.size,
            augment=augment, device=self.case.device, workers=self.workers, memory_budget_bytes=self.budget,
        )  # fmt: skip

    def first(self) -> None:
        """Open the folder anew and run an epoch."""
        drained(self.opened().epoch(0))

    def next(self) -> None:
        """Run one more epoch."""
        self.number += 1
        drained(self.stream.epoch(self.number))


def torchvision_loader(case: Case, workers: int) -> Work:
    """ImageFolder, transforms v2 image by image, DataLoader: as its documentation puts them together."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    fit = [v2.Resize(case.size, antialias=True), v2.CenterCrop(case.size)] if case.resize else []
    transform = v2.Compose([
        v2.ToImage(), *fit, v2.RandomCrop(case.size, padding=case.size // 8, padding_mode="reflect"),
        v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD),
    ])  # fmt: skip
    source = torch.utils.data.DataLoader(
        ImageFolder(str(case.folder), transform), case.batch, shuffle=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=case.device != "cpu",
    )  # fmt: skip

    def epoch() -> None:
        for images, labels in source:
            images.to(case.device, non_blocking=True), labels.to(case.device, non_blocking=True)

    return epoch


def timm_loader(case: Case, workers: int) -> Work:
    """timm's own, with its prefetcher: uint8 until the batch, then normalised as a whole."""
    from timm.data import create_dataset, create_loader  # pyright: ignore[reportMissingImports]

    source = create_loader(
        create_dataset("", root=str(case.folder), split="train", is_training=True), (3, case.size, case.size),
        case.batch, is_training=True, train_crop_mode="rkrc", scale=(1.0, 1.0), ratio=(1.0, 1.0), color_jitter=0.0,
        mean=MEAN, std=STD, num_workers=workers, persistent_workers=workers > 0, device=torch.device(case.device),
        pin_memory=case.device != "cpu",
    )  # fmt: skip
    return lambda: drained(source)


def peers(case: Case, counts: tuple[int, ...]) -> dict[str, Work]:
    """Return an epoch of each peer that is installed, with the number of workers that suits it best."""
    made = {"torchvision": torchvision_loader, "timm": timm_loader}
    return dict(fastest(name, case, made[name], counts) for name in made if peer(name))


def fastest(name: str, case: Case, made: Callable[[Case, int], Work], counts: tuple[int, ...]) -> tuple[str, Work]:
    """Return the name and an epoch of the loader that was fastest in its second epoch."""
    tried: dict[int, Work] = {count: made(case, count) for count in counts}
    seconds = {count: (timed(epoch, case.device), timed(epoch, case.device))[1] for count, epoch in tried.items()}
    best = min(counts, key=seconds.__getitem__)
    return f"{name}, {best} workers", tried[best]


def table(title: str, case: Case, ours: Mapping[str, Work], asked: argparse.Namespace) -> Table:
    """Measure; every one of ours has its bar against every peer."""
    theirs = peers(case, WORKERS[: 1 if asked.tiny else None])
    seconds = turns({**ours, **theirs}, asked.rounds, device=asked.device)
    bars = [Bar(name, other, FASTER) for name in ours for other in theirs]
    base = next(iter(theirs), next(iter(ours)))
    title = f"{title}: {case.images} images, batches of {case.batch}"
    return Table(title, base, seconds, bars, ours=list(ours), per=case.images, unit="images")


def reading(case: Case, name: str, asked: argparse.Namespace) -> Table:
    """Nothing is kept: every epoch reads and decodes all files."""
    counts = (0,) if asked.tiny else (0, 2)
    ours = {f"overfocus, {count} workers": Ours(case, count).next for count in counts}
    return table(f"{name}, every epoch decoded", case, ours, asked)


def keeping(case: Case, name: str, asked: argparse.Namespace) -> Table:
    """The decoded images fit the budget, or half of them do."""
    whole = 3 * case.size**2 * case.images
    ours = {
        "overfocus, first epoch with decoding": Ours(case, budget=GIBIBYTE).first,
        "overfocus, later epochs": Ours(case, budget=GIBIBYTE).next,
        "overfocus, later epochs, half fits": Ours(case, budget=whole // 2).next,
    }
    return table(f"{name}, decoded images kept", case, ours, asked)


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    batch, count, photos = (8, 48, 16) if asked.tiny else (128, asked.images // 512 * 512, asked.images // 512 * 128)
    with TemporaryDirectory() as made:
        root = Path(made)
        small = root / "small"
        if asked.data and not asked.tiny:
            few(asked.data, small, count)
        else:
            draw_pictures(small, (64, 64), count)
        draw_pictures(root / "photos", PHOTO, photos)
        name = f"{asked.data.name if asked.data and not asked.tiny else 'Drawn pictures'}, 64 px"
        yield reading(Case(small, 64, count, batch, asked.device), name, asked)
        yield keeping(Case(small, 64, count, batch, asked.device), name, asked)
        for size in (64,) if asked.tiny else (64, 128):
            case = Case(root / "photos", size, photos, batch, asked.device, resize=True)
            yield reading(case, f"Photographs of {PHOTO[0]} x {PHOTO[1]} brought to {size} px", asked)


def few(source: Path, target: Path, count: int) -> None:
    """Link `count` files of the class folders in `source`, at even distances, below `target`."""
    source = source / "train" if (source / "train").is_dir() else source
    files = sorted(file for file in source.rglob("*") if file.suffix.lower() in (".jpeg", ".jpg"))
    if len(files) < count:
        raise SystemExit(f"{source} has {len(files)} JPEGs; give --images {len(files)} or fewer")
    for row in range(count):
        file = files[row * len(files) // count]
        link = target / file.relative_to(source).parts[0] / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())


def draw_pictures(folder: Path, shape: tuple[int, int], count: int, classes: int = 4) -> None:
    """Write windows of scikit-learn's two photographs, so that a JPEG costs what that of a photograph costs."""
    from sklearn.datasets import load_sample_images

    photos, rng = load_sample_images().images, np.random.default_rng(0)
    for row in range(count):
        photo = photos[row % 2]
        top, left = (int(rng.integers(side - part + 1)) for side, part in zip(photo.shape[:2], shape, strict=True))
        window = photo[top : top + shape[0], left : left + shape[1]]
        path = folder / f"class {row % classes}" / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(window[:, :: 1 if rng.integers(2) else -1]).save(path, quality=90)


def main() -> None:
    arguments = parser(__doc__, rounds=7)
    arguments.add_argument("--data", type=Path, help="class folders of JPEGs of about 64 pixels")
    arguments.add_argument("--images", type=int, default=4096, help="how many of them are read in an epoch")
    run(arguments.parse_args(), tables)


if __name__ == "__main__":
    main()

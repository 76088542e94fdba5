"""torchvision's data sets by name, from a local root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from overfocus.core.errors import OverfocusError
from overfocus.data.image_files import FileImages
from overfocus.data.images import Images, TensorImages
from overfocus.data.split import Dataset, Split

Options = dict[str, Any]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class TorchvisionSet:
    """How torchvision calls a set, where it lies below the root, and what its channels look like."""

    kind: str
    """The class in `torchvision.datasets`."""
    folder: str
    splits: dict[str, Options]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    card: str
    note: str = ""

    def load(self, name: str, root: Path, download: bool) -> Dataset:
        """Read the set below `root`."""
        made = {split: self._open(name, root, options, download) for split, options in self.splits.items()}
        classes = _classes(made["train"])
        splits = {split: _split(f"{name}/{split}", source, classes) for split, source in made.items()}
        return Dataset(name, splits, classes, self.mean, self.std, self.note)

    def _open(self, name: str, root: Path, options: Options, download: bool) -> Any:
        from torchvision import datasets

        try:
            return getattr(datasets, self.kind)(
                root, **options, **({} if self.kind == "ImageNet" else {"download": download})
            )
        except (RuntimeError, OSError, ModuleNotFoundError) as error:
            how = "" if self.kind == "ImageNet" else "; download it with --download (download=True), or name its --root"
            raise OverfocusError(f"{name}: not found at {root / self.folder}{how} ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _classes(source: Any) -> tuple[str, ...]:
    """Return the names of the classes; SVHN's are its digits."""
    if not hasattr(source, "classes"):
        return tuple(str(digit) for digit in range(10))
    return tuple(name if isinstance(name, str) else name[0] for name in source.classes)


def _split(name: str, source: Any, classes: tuple[str, ...]) -> Split:
    images, labels = _IMAGES[type(source).__name__](name, source)
    return Split(images, torch.as_tensor(labels, dtype=torch.int64), classes)


def _fashion(name: str, source: Any) -> tuple[Images, Any]:
    return TensorImages(source.data[:, None], name), source.targets


def _cifar(name: str, source: Any) -> tuple[Images, Any]:
    pixels = torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous()
    return TensorImages(pixels, name), source.targets


def _array(name: str, source: Any) -> tuple[Images, Any]:
    return TensorImages(torch.from_numpy(source.data).contiguous(), name), source.labels


def _files(name: str, source: Any) -> tuple[Images, Any]:
    # The lists have no public name; these four have kept theirs since they were added.
    files = source._image_files if hasattr(source, "_image_files") else source._images
    return FileImages(Path(source.root), tuple(str(file) for file in files)), source._labels


def _samples(name: str, source: Any) -> tuple[Images, Any]:
    files, labels = zip(*source.samples, strict=True)
    return FileImages(Path(source.root), files), labels


_IMAGES: dict[str, Callable[[str, Any], tuple[Images, Any]]] = {
    "FashionMNIST": _fashion, "CIFAR10": _cifar, "CIFAR100": _cifar, "SVHN": _array, "STL10": _array,
    "Flowers102": _files, "OxfordIIITPet": _files, "Food101": _files, "ImageNet": _samples,
}  # fmt: skip

_TRAIN_TEST: dict[str, Options] = {"train": {"split": "train"}, "test": {"split": "test"}}
_TRAIN_FLAG: dict[str, Options] = {"train": {"train": True}, "test": {"train": False}}

SETS = {
    "fashion_mnist": TorchvisionSet(
        "FashionMNIST", "FashionMNIST/raw", _TRAIN_FLAG, (0.2860,), (0.3530,),
        "Fashion-MNIST: 10 kinds of clothes, 28 x 28 grey, 60,000 + 10,000", "Fashion-MNIST: MIT, (c) 2017 Zalando SE.",
    ),
    "cifar10": TorchvisionSet(
        "CIFAR10", "cifar-10-batches-py", _TRAIN_FLAG, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616),
        "CIFAR-10: 10 classes, 32 x 32 RGB, 50,000 + 10,000",
    ),
    "cifar100": TorchvisionSet(
        "CIFAR100", "cifar-100-python", _TRAIN_FLAG, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762),
        "CIFAR-100: 100 classes, 32 x 32 RGB, 50,000 + 10,000",
    ),
    "stl10": TorchvisionSet(
        "STL10", "stl10_binary", _TRAIN_TEST, (0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713),
        "STL-10: 10 classes, 96 x 96 RGB, 5,000 + 8,000",
    ),
    "svhn": TorchvisionSet(
        "SVHN", "train_32x32.mat", _TRAIN_TEST, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970),
        "Street View House Numbers: 10 digits, 32 x 32 RGB, 73,257 + 26,032", "SVHN: non-commercial use only.",
    ),
    "flowers102": TorchvisionSet(
        "Flowers102", "flowers-102", {**_TRAIN_TEST, "val": {"split": "val"}}, *IMAGENET,
        "Oxford Flowers: 102 kinds, RGB files, 1,020 + 1,020 val + 6,149 test",
    ),
    "oxford_pet": TorchvisionSet(
        "OxfordIIITPet", "oxford-iiit-pet", {"train": {"split": "trainval"}, "test": {"split": "test"}}, *IMAGENET,
        "Oxford-IIIT Pet: 37 breeds of cats and dogs, RGB files, 3,680 + 3,669", "Oxford-IIIT Pet: CC BY-SA 4.0.",
    ),
    "food101": TorchvisionSet(
        "Food101", "food-101", _TRAIN_TEST, *IMAGENET,
        "Food-101: 101 dishes, RGB files, 75,750 + 25,250; training labels are noisy on purpose",
    ),
    "imagenet": TorchvisionSet(
        "ImageNet", ".", {"train": {"split": "train"}, "test": {"split": "val"}}, *IMAGENET,
        "ImageNet-1k: 1,000 classes, RGB files, 1.28 million + 50,000; never downloaded",
        "ImageNet: non-commercial research only. Evaluated on its validation images.",
    ),
}  # fmt: skip

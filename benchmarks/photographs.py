"""Images per second of a probe's features, of fine-tuning and of prediction, beside timm's way and a bare loop.

    python benchmarks/photographs.py --threads 1 [--images 128] [--rounds 5]

EfficientNet-Lite0 on photographs of 400 x 500 pixels in a folder, brought to 128 px, float32, no workers. All decode
every picture anew, as for a set that does not fit the memory; `decoded once` keeps what it has decoded, as `train` does
for a probe of sets up to `data.memory_gib`. All share one network, one optimiser, the sizes of batches and the kinds of
changes, resize by antialiased bicubic interpolation, and keep freed memory, which only overfocus does by itself.

- timm: the steps of its train.py, validate.py and inference.py, written with timm's loader, transforms, loss and
  optimiser groups; the scripts themselves are not installed with its package. Checkpoints, logs and CSV are left out.
- bare loop: torchvision's ImageFolder and transforms, a DataLoader of torch, and five lines.
- network alone: the same steps on batches that lie in memory, normalised: what nobody can be faster than.

Counted is the processor's time of all threads, so that other work on the machine, and threads that read ahead, change
nothing: it is the time that one core takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch
from folder import PHOTO, drained, draw_pictures
from ratios import Bar, Table, Work, parser, peer, run, turns
from torch import Tensor

from overfocus.core.allocator import keep_freed_memory
from overfocus.data import Augment, Stream, load
from overfocus.data.stream import GIBIBYTE
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.predictor import BATCH as ASKED
from overfocus.diagnosis.predictor import Predictor
from overfocus.models.zoo import create_model
from overfocus.training.finetune import freeze_norm
from overfocus.training.linear_probe import features_of
from overfocus.training.objective import Objective
from overfocus.training.recipe import Recipe

CLASSES, BATCH, MEAN = 4, 16, (0.5, 0.5, 0.5)
ALONE, BARE, TIMM = "network alone", "bare loop", "timm"
OURS, KEPT = "overfocus", "overfocus, decoded once"
SLOWER = 1.05
Batches = Iterable[tuple[Tensor, Tensor]]
Loader = Callable[[bool, int], Batches]
"""Whether for training, and images of a batch -> (images [B, 3, H, W], labels [B])."""


class Photographs:
    """One folder and one network."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.dataset = load(folder, channels=3, size=size)
        self.how = replace(self.dataset.preprocess, size=(size, size), interpolation="bicubic", mean=MEAN, std=MEAN)
        self.dataset = load(folder, channels=3, preprocess=self.how)
        self.files = [str(each) for each in sorted(folder.rglob("*.jpg"))]
        self.model = create_model("timm:tf_efficientnet_lite0", classes=CLASSES)
        self.recipe = Recipe(tune="lp-ft", batch=BATCH)
        self.optimizer = self.recipe.optimizer_for(self.model)

    def loaders(self) -> dict[str, Loader]:
        """Return how others read, and the batches that lie in memory."""
        others: dict[str, Loader] = {ALONE: self.in_memory, BARE: self.torchvision}
        return others | ({TIMM: self.timm} if peer("timm") else {})

    def stream(self, *, train: bool, keep: bool = False) -> Stream:
        """Return the images, as trained on or as evaluated."""
        augment = Augment.default_for("folder", self.size, tuned=True) if train else Augment()
        return Stream(
            self.dataset.splits["train"], batch=BATCH, mean=MEAN, std=MEAN, size=self.size, augment=augment,
            train=train, memory_budget_bytes=GIBIBYTE if keep else 0,
        )  # fmt: skip

    def in_memory(self, train: bool, batch: int) -> Batches:
        """Return all images once read, as evaluated."""
        whole = [(images, labels) for images, labels, _ in self.stream(train=False).epoch()]
        images, labels = (torch.cat(each) for each in zip(*whole, strict=True))
        return list(zip(images.split(batch), labels.split(batch), strict=True))

    def timm(self, train: bool, batch: int) -> Batches:
        """Return timm's loader, with its prefetcher."""
        from timm.data import create_dataset, create_loader

        changes = {"scale": (0.5, 1.0), "color_jitter": 0.1, "hflip": 0.5} if train else {"crop_pct": 1.0}
        return create_loader(
            create_dataset("", root=str(self.folder), split="train", is_training=train), (3, self.size, self.size),
            batch, is_training=train, mean=MEAN, std=MEAN, num_workers=0, persistent_workers=False,
            device=torch.device("cpu"), pin_memory=False, interpolation="bicubic", **changes,
        )  # fmt: skip

    def torchvision(self, train: bool, batch: int) -> Batches:
        """Return torchvision's folder with its transforms, image by image."""
        from torchvision.datasets import ImageFolder
        from torchvision.transforms import v2

        bicubic = v2.InterpolationMode.BICUBIC
        changed: list[Any] = [
            v2.RandomResizedCrop(self.size, (0.5, 1.0), interpolation=bicubic), v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.1, 0.1, 0.1),
        ]  # fmt: skip
        fitted: list[Any] = [v2.Resize(self.size, bicubic), v2.CenterCrop(self.size)]
        made = v2.Compose([
            v2.ToImage(), *(changed if train else fitted), v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, MEAN),
        ])  # fmt: skip
        return torch.utils.data.DataLoader(ImageFolder(str(self.folder), made), batch, shuffle=train)

    def probe(self, *, keep: bool = False) -> Work:
        """Return the features of the last layer, of all images."""
        stream = self.stream(train=False, keep=keep)
        return lambda: features_of(self.model, stream.epoch())

    def bare_probe(self, loader: Loader) -> Work:
        """Return the same by timm's `forward_features`."""
        model, batches = self.model, loader(False, BATCH)

        @torch.no_grad()
        def features() -> None:
            model.eval()
            torch.cat([model.forward_head(model.forward_features(images), pre_logits=True) for images, _ in batches])

        return features

    def tune(self) -> Work:
        """Return an epoch of fine-tuning."""
        stream = self.stream(train=True)
        objective = Objective(self.model, classes=CLASSES, smoothing=self.recipe.smoothing)
        batches = lambda: ((images, labels) for images, labels, _ in stream.epoch())  # noqa: E731
        return lambda: self.epoch(objective.train(), objective, batches())

    def bare_tune(self, loader: Loader) -> Work:
        """Return the same as timm's train.py does it, with its label smoothing."""
        from timm.loss import LabelSmoothingCrossEntropy

        loss, batches = LabelSmoothingCrossEntropy(0.1), loader(True, BATCH)
        return lambda: self.epoch(self.model.train(), lambda images, labels: loss(self.model(images), labels), batches)

    def epoch(self, model: Any, loss: Callable[[Tensor, Tensor], Tensor], batches: Batches) -> None:
        """Take a step for each batch; no rate moves the weights, which all share."""
        freeze_norm(model)
        for images, labels in batches:
            loss(images, labels).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def predict(self) -> Work:
        """Return predictions of all files, as `overfocus predict` makes them."""
        names = tuple(str(number) for number in range(CLASSES))
        predictor = Predictor(Classifier("lite0", self.model.eval(), MEAN, MEAN, names), self.how)
        return lambda: drained(predictor.stream(self.files))

    def bare_predict(self, loader: Loader) -> Work:
        """Return the same as timm's inference.py does it: softmax and the three likeliest."""
        model, batches = self.model, loader(False, ASKED)

        @torch.no_grad()
        def answers() -> None:
            model.eval()
            for images, _ in batches:
                model(images).softmax(-1).topk(3, dim=-1)

        return answers


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    """Measure the three of them."""
    keep_freed_memory()
    count, size = (32, 64) if asked.tiny else (asked.images, 128)
    with TemporaryDirectory() as made:
        folder = Path(made) / "train"
        draw_pictures(folder, PHOTO, count, CLASSES)
        photos = Photographs(folder, size)
        loaders = photos.loaders()
        for group in photos.optimizer.param_groups:
            group["lr"] = 0.0
        if "probe" in asked.only:
            probe = {name: photos.bare_probe(loader) for name, loader in loaders.items()}
            ours = {OURS: photos.probe(), KEPT: photos.probe(keep=True)}
            yield table("Features of a linear probe", count, asked, {**probe, **ours})
        if "tune" in asked.only:
            tuned = {name: photos.bare_tune(loader) for name, loader in loaders.items()}
            yield table("An epoch of fine-tuning", count, asked, {**tuned, OURS: photos.tune()})
        if "predict" in asked.only:
            asks = {name: photos.bare_predict(loader) for name, loader in loaders.items()}
            yield table("Prediction", count, asked, {**asks, OURS: photos.predict()})


def table(title: str, count: int, asked: argparse.Namespace, works: dict[str, Work]) -> Table:
    """Return the times of all, by turns."""
    seconds = turns(works, asked.rounds, device=asked.device, clock=process_time)
    ours = [name for name in works if name in (OURS, KEPT)]
    bars = [Bar(name, other, SLOWER) for name in ours for other in (BARE, TIMM)]
    notes = ["the processor's time, with other work on the machine at times"]
    return Table(f"{title}: {count} photographs", BARE, seconds, bars, notes, ours, per=count, unit="images")


def main() -> None:
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("--images", type=int, default=128, help="photographs of an epoch")
    arguments.add_argument("--only", default="probe,tune,predict", help="of these three")
    run(arguments.parse_args(), tables)


if __name__ == "__main__":
    main()

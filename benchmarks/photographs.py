"""Images per second of a probe's features, of fine-tuning and of prediction, against timm's loader and a bare loop.

    python benchmarks/photographs.py [--images 256] [--rounds 5]

EfficientNet-Lite0 on photographs of 400 x 500 pixels in a folder, brought to 128 px, float32, no workers: every picture
is decoded anew by all, as for a set that does not fit the memory; `ours, decoded once` keeps what it has decoded, as it
does for sets up to `data.memory_gib`. The bare loops are what timm's train.py, validate.py and inference.py do in a
step, with timm's transforms, optimiser groups and loss; the scripts themselves are not installed with timm's package.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from folder import PHOTO, drained, draw_pictures
from ratios import Bar, Table, Work, parser, run, turns

from overfocus.core.allocator import keep_freed_memory
from overfocus.data import Augment, Stream, load
from overfocus.data.stream import GIBIBYTE
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.predictor import Predictor
from overfocus.models.zoo import create_model
from overfocus.regularizers.spec import parse
from overfocus.training.finetune import freeze_norm
from overfocus.training.linear_probe import features_of
from overfocus.training.objective import Objective
from overfocus.training.recipe import Recipe

CLASSES, BATCH, MEAN = 4, 16, (0.5, 0.5, 0.5)
BARE, OURS, KEPT = "timm's loader and a bare loop", "overfocus", "overfocus, decoded once"
SLOWER = 1.1


class Photographs:
    """One folder and one network."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.dataset = load(folder, channels=3, size=size)
        self.files = [str(each) for each in sorted(folder.rglob("*.jpg"))]
        self.model = create_model("timm:tf_efficientnet_lite0", classes=CLASSES)
        self.recipe = Recipe(tune="lp-ft", batch=BATCH)

    def stream(self, *, train: bool, keep: bool = False) -> Stream:
        """Return the training images, as trained on or as evaluated."""
        augment = Augment.default_for("folder", self.size, tuned=True) if train else Augment()
        budget = GIBIBYTE if keep else 0
        split = self.dataset.splits["train"]
        return Stream(
            split, batch=BATCH, mean=MEAN, std=MEAN, size=self.size, augment=augment, memory_budget_bytes=budget
        )

    def loader(self, *, train: bool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Return timm's loader of the same."""
        from timm.data import create_dataset, create_loader

        changes = {"scale": (0.5, 1.0), "color_jitter": 0.1, "hflip": 0.5} if train else {"crop_pct": 1.0}
        return create_loader(
            create_dataset("", root=str(self.folder), split="train", is_training=train), (3, self.size, self.size),
            BATCH, is_training=train, mean=MEAN, std=MEAN, num_workers=0, persistent_workers=False,
            device=torch.device("cpu"), pin_memory=False, interpolation="bicubic", **changes,
        )  # fmt: skip

    def probe(self, *, keep: bool = False) -> Work:
        """Return the features of the last layer, of all images."""
        stream = self.stream(train=False, keep=keep)
        return lambda: features_of(self.model, stream.epoch())

    def bare_probe(self) -> Work:
        """Return the same by timm's `forward_features`, as its validate.py goes through a set."""
        model, loader = self.model.eval(), self.loader(train=False)

        @torch.no_grad()
        def features() -> None:
            torch.cat([model.forward_head(model.forward_features(images), pre_logits=True) for images, _ in loader])

        return features

    def tune(self, *, keep: bool = False) -> Work:
        """Return an epoch of fine-tuning."""
        stream, method = self.stream(train=True, keep=keep), parse("plain")
        objective = Objective(self.model, method, classes=CLASSES, smoothing=self.recipe.smoothing)
        optimizer = self.recipe.optimizer_for(self.model)

        def epoch() -> None:
            objective.train()
            freeze_norm(self.model)
            for images, labels, _ in stream.epoch():
                objective(images, labels).backward()
                optimizer.step()
                optimizer.zero_grad()

        return epoch

    def bare_tune(self) -> Work:
        """Return the same as timm's train.py does it, with its layer decay and label smoothing."""
        from timm.loss import LabelSmoothingCrossEntropy
        from timm.optim import create_optimizer_v2

        loader, loss = self.loader(train=True), LabelSmoothingCrossEntropy(0.1)
        optimizer = create_optimizer_v2(self.model, "adamw", lr=1e-3, weight_decay=0.01, layer_decay=0.8)

        def epoch() -> None:
            self.model.train()
            freeze_norm(self.model)
            for images, labels in loader:
                loss(self.model(images), labels).backward()
                optimizer.step()
                optimizer.zero_grad()

        return epoch

    def predict(self) -> Work:
        """Return predictions of all files, as `overfocus predict` makes them."""
        names = tuple(str(number) for number in range(CLASSES))
        classifier = Classifier("lite0", self.model.eval(), MEAN, MEAN, names)
        how = self.dataset.preprocess
        predictor = Predictor(classifier, replace(how, size=(self.size, self.size), mean=MEAN, std=MEAN))
        return lambda: drained(predictor.stream(self.files))

    def bare_predict(self) -> Work:
        """Return the same as timm's inference.py does it: softmax and the three likeliest."""
        model, loader = self.model.eval(), self.loader(train=False)

        @torch.no_grad()
        def answers() -> None:
            for images, _ in loader:
                model(images).softmax(-1).topk(3, dim=-1)

        return answers


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    """Measure the three of them."""
    keep_freed_memory()
    count, size = (16, 64) if asked.tiny else (asked.images, 128)
    with TemporaryDirectory() as made:
        folder = Path(made) / "train"
        draw_pictures(folder, PHOTO, count, CLASSES)
        photos = Photographs(folder, size)
        yield table("Features of a linear probe", count, asked, {
            BARE: photos.bare_probe(), OURS: photos.probe(), KEPT: photos.probe(keep=True),
        })  # fmt: skip
        yield table("An epoch of fine-tuning", count, asked, {
            BARE: photos.bare_tune(), OURS: photos.tune(), KEPT: photos.tune(keep=True),
        })  # fmt: skip
        yield table("Prediction", count, asked, {BARE: photos.bare_predict(), OURS: photos.predict()})


def table(title: str, count: int, asked: argparse.Namespace, works: dict[str, Work]) -> Table:
    """Return the times of all, by turns."""
    seconds = turns(works, asked.rounds, device=asked.device)
    ours = [name for name in works if name != BARE]
    bars = [Bar(name, BARE, SLOWER) for name in ours]
    return Table(f"{title}: {count} photographs", BARE, seconds, bars, ours=ours, per=count, unit="images")


def main() -> None:
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("--images", type=int, default=256, help="photographs of an epoch")
    run(arguments.parse_args(), tables)


if __name__ == "__main__":
    main()

"""What a stroke of the brush costs in `overfocus open`, from the request to the answer, and a map with its hiding.

    python benchmarks/window.py [--rounds 20]

One model, EfficientNet-Lite0, at 128 px and one thread; counted is the processor's time. A stroke is six pictures (as
it is, edited, and four controls) and a PNG of what is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from time import process_time

import torch
from ratios import Bar, Table, parser, run

from overfocus.core.allocator import keep_freed_memory
from overfocus.core.edit import Edit
from overfocus.core.key import Key
from overfocus.core.place import packed
from overfocus.core.preprocess import Preprocess
from overfocus.data import Split
from overfocus.data.images import TensorImages
from overfocus.diagnosis.classifier import Classifier
from overfocus.models.zoo import create_model
from overfocus.viewer.answer import answer
from overfocus.viewer.pictures import PictureList
from overfocus.viewer.routes import call
from overfocus.viewer.window import Model, Window

ALLOWED = "0.3 s"


def spent(work: Callable[[], object]) -> float:
    """Return the processor's seconds of one call."""
    began = process_time()
    work()
    return process_time() - began


def tables(asked: argparse.Namespace) -> Iterator[Table]:
    """Measure the answer alone, the request, and a map."""
    keep_freed_memory()
    torch.set_num_threads(1)
    side, classes = (64 if asked.tiny else 128), tuple("abcdefghij")
    network = create_model("timm:tf_efficientnet_lite0", 10).eval()
    classifier = Classifier("lite0", network, (0.5,) * 3, (0.5,) * 3, classes)
    pixels = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    split = Split(TensorImages(pixels), torch.tensor([0, 1]), classes)
    window = Window((Model(classifier, "lite0"),), PictureList(split, Preprocess(size=(side, side)), 3))
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    edits = {"index": 0, "edits": [{"fill": "blur", "mask": packed(mask)}]}
    edit = Edit(mask, classifier.fill)
    variants = {
        "answer": lambda: answer(classifier, pixels[0] / 255, [edit], Key.seeded(0)),
        "a stroke": lambda: call(window, "answers", edits),
        "map and hiding": lambda: call(window, "map", {**edits, "model": 0, "method": "hirescam"}),
    }
    seconds: dict[str, list[float]] = {ALLOWED: [0.3] * asked.rounds, **{name: [] for name in variants}}
    for name, work in variants.items():
        work()
        seconds[name] = [spent(work) for _ in range(asked.rounds)]
    title = f"overfocus open, EfficientNet-Lite0, one picture 3 x {side} x {side}, one model"
    yield Table(title, ALLOWED, seconds, [Bar("a stroke", ALLOWED, 1.0)], ours=list(variants))


def main() -> None:
    run(parser(__doc__, rounds=20).parse_args(), tables)


if __name__ == "__main__":
    main()

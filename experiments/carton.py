"""What `marks` says of a watermark that a network trained on ImageNet takes for a carton (Li et al., 2212.04825).

    pip install --no-deps --target /tmp/imagenet-w imagenet-w
    PYTHONPATH=/tmp/imagenet-w OMP_NUM_THREADS=1 python experiments/carton.py nips17-imagenet1000

The watermark of ImageNet-W (CC BY-NC, not part of this project) is painted into photographs of nips17 in turns: with it
and without. `efficientnet_lite0` is asked as it comes, at --size. Printed: its accuracy and how often it says "carton"
with the mark and without; then what the section finds. Each class has few pictures, so only a class that is named five
times or more can be tested: "carton" is, where the mark makes it so. Fixed beforehand: the first 300 pictures of the
list, every second one with the mark, the rule of the section as it is.

Printed at 128 px: with the mark, n = 150, accuracy 0.600, named carton 0.007; without 0.687 and 0.000; none of one
class is a mark. At 224 px, `--images 160`: n = 80 each, 0.625 and 0.025 with the mark, 0.925 and 0.000 without; no
class is named five times, so there is no answer. The watermark takes classes away more than it names one, and that is
not what the section looks for.
"""

from __future__ import annotations

import argparse
import csv
import sys
from importlib import import_module
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import overfocus as of
from overfocus.diagnosis.sample import from_pixels
from overfocus.diagnosis.sections.marks import Marks
from overfocus.models.pretrained import pretrained_weights
from overfocus.models.zoo import create_model

CARTON, CLASSES, NETWORK = 478, 1000, "efficientnet_lite0"


def watermark(size: int):
    """Return what paints the mark into an image [3, H, W] in [0, 1]."""
    try:
        return import_module("imagenet_w").AddWatermark(size)
    except ImportError:
        sys.exit("carton: imagenet-w is not there; pip install --no-deps --target FOLDER imagenet-w, PYTHONPATH=FOLDER")


def photographs(folder: Path, count: int, size: int) -> tuple[Tensor, Tensor]:
    """Return `count` images [N, 3, size, size] in [0, 1] and their labels [N]."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:count]
    pixels = torch.empty(len(rows), 3, size, size)
    for place, row in enumerate(rows):
        with Image.open(folder / row["file"]) as image:
            small = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        pixels[place] = (
            torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(size, size, 3).permute(2, 0, 1) / 255
        )
    return pixels, torch.tensor([int(row["class_index"]) for row in rows])


def main() -> None:
    """Paint, ask, examine, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--size", type=int, default=128)
    given = parser.parse_args()
    paint = watermark(given.size)
    pixels, labels = photographs(given.folder, given.images, given.size)
    pixels[::2] = torch.stack([paint(image) for image in pixels[::2]])
    model, published = create_model(NETWORK, CLASSES, pretrained=True), pretrained_weights(NETWORK).preprocess
    mean, std = published.mean, published.std
    sample = from_pixels(pixels, labels, tuple(map(str, range(CLASSES))))
    diagnosis = of.diagnose(model, sample, mean=mean, std=std, sections=[Marks(images=given.images)], only=["marks"],
                            limit=0)  # fmt: skip
    answers = diagnosis.evidence.logits.argmax(dim=1)
    for name, some in (("with the mark", slice(0, None, 2)), ("without", slice(1, None, 2))):
        right, carton = (float((answers[some] == each).double().mean()) for each in (labels[some], CARTON))
        print(f"{name}, n = {len(answers[some])}: accuracy {right:.3f}, named carton {carton:.3f}")
    (finding,) = (each for each in diagnosis.findings if each.name == "marks")
    print(finding.sentence)
    for row in finding.tables[0].rows:
        print(" | ".join(row))
    for lean in finding.leans or ():
        print(f"{'found' if lean.found else 'not found'}: {lean.title}, share {lean.share}")


if __name__ == "__main__":
    main()

"""Does the section `cues` name what a network leans on, and nothing where there is nothing?

    OMP_NUM_THREADS=1 python experiments/find_cues.py covid covid-xray --out /tmp/covid
    OMP_NUM_THREADS=1 python experiments/find_cues.py backgrounds leeds-butterfly/images \
        --masks leeds-butterfly/masks --scenes nips17-imagenet1000/images --out /tmp/backgrounds
    OMP_NUM_THREADS=1 python experiments/find_cues.py totem --out /tmp/totem

`covid`: chest X-rays whose classes come from different hospitals. A pretrained network is tuned on 90 of each class for
8 epochs at 128 px and tested on the fifth that is held out; then another one on, and with, the same pictures whose
frames (the outer eighth on each side) are all painted grey. Printed: accuracy averaged over classes and the AUC of the
first class on the whole picture, on the frame, on the middle, and on the middle with the frame of another class; and
what `cues` says. Fixed beforehand: seeds 0, 1, 2, last epoch; it is right where the frame is the first finding on the
pictures as they are, and no finding where the frames are alike.

`backgrounds`: photographs of butterflies with a mask for each. Tied: each class has two scenes of its own, photographs
of other things, and each of its butterflies lies, where it was, on a random crop of one of them, in training and in
testing. Free: the pictures as they are. Fixed beforehand: draws 0, 1, 2 of 10 pictures of each class, as
`photographs.py` tunes them; it is right where the background is the first finding of the tied ones, and of the free
ones nothing is found but what is meant to be read.

`totem`: three parts name the class, and a plain network does not use the digit. Fixed beforehand: seeds 0, 1, 2 of
`experiments/totem.toml`; it is right where disc and stripes are said to be used and the digit is not.

A finished network is read and not trained again. The rule (`CueRule`) was chosen on seed 0 of `covid` as the pictures
are, and on one honest network, plain of draw 0 of `photo_methods.py` (60 pictures: frame of an eighth 0.060 [-0.049,
0.169], background -0.060 [-0.137, 0.018], nothing found). The background's own floor, `CueRule.apart`, was added after
draw 0 of the tied backgrounds was seen, which the common floor had missed: that one proves nothing for it.

Printed so far, n = 1 each, one thread of a busy two-core machine, torch 2.15; the other seeds were not run:

    covid, seed 0, 225 pictures                 balanced accuracy  AUC
      the whole picture                         0.797              0.994
      the frame only                            0.550              0.970
      the middle only                           0.520              0.917
      the middle with another class's frame     0.333              0.372   48 % the frame's class, 43 % their own
      found: the frame, 1/4 of the side 0.713 [0.552, 0.873]; 1/8 of the side 0.540 [0.379, 0.702]; middle 0.360
    covid, seed 0, frames alike: 0.870, 0.333, 0.873 and 0.867 in the same order; AUC 0.999, 0.185, 0.998, 0.998
      found: nothing; the middle 0.979 [0.886, 1.072], the frame, 1/8 of the side -0.003 [-0.011, 0.005]
    backgrounds, draw 0, tied, --images 100
      found: the background 0.175 [0.096, 0.254] (alone it names 83 %); object 0.865 [0.798, 0.932]
    totem, seed 0, --images 150
      found: nothing; stripes 0.510 [0.415, 0.605], disc 0.407 [0.306, 0.508], digit 0.000: not used
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from photographs import drawn, trained
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor

from overfocus.core.key import Key
from overfocus.data.suffixes import is_picture
from overfocus.diagnosis.checkpoints import CheckpointOptions, classifier_of, dataset_for, split_of
from overfocus.diagnosis.classifier import Classifier
from overfocus.diagnosis.cue import MarkedPictures
from overfocus.diagnosis.cues.border import Border
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.examination import diagnose
from overfocus.diagnosis.mix import partners
from overfocus.diagnosis.sample import Sample, from_split

SEEDS = (0, 1, 2)
TUNED = ["--model", "efficientnet_lite0", "--pretrained", "--size", "128"]
VIEW, FRAME = 0.875, 1 / 8
"""Share of the shorter side that the network sees of a photograph, and width of the frame as a share of that."""


def painted(source: Path, target: Path) -> None:
    """Write the pictures of `source` with one grey for all that lies in the frame of what the network sees."""
    for file in sorted(each for each in source.rglob("*") if is_picture(each.name)):
        picture = Image.open(file).convert("RGB")
        inner = round(VIEW * (1 - 2 * FRAME) * min(picture.size))
        left, top = ((side - inner) // 2 for side in picture.size)
        canvas = Image.new("RGB", picture.size, (128, 128, 128))
        canvas.paste(picture.crop((left, top, left + inner, top + inner)), (left, top))
        written(canvas, target / file.relative_to(source))


def scened(source: Path, masks: Path, scenes: Path, target: Path, seed: int) -> None:
    """Write the pictures of `source` with what no mask marks replaced by scenes that go with the class."""
    files, pool = (sorted(f for f in folder.rglob("*") if is_picture(f.name)) for folder in (source, scenes))
    folders = sorted({file.parent.name for file in files})
    chosen = Key.seeded(seed).fold_in("scenes").order(len(pool))
    for place, file in enumerate(files):
        draws = Key.seeded(seed, place).fold_in("scene").uniform(1, 4)[0].tolist()
        number = int(chosen[2 * folders.index(file.parent.name) + int(2 * draws[0])])
        picture = Image.open(file).convert("RGB")
        mask = Image.open(masks / file.parent.name / f"{file.stem}.png").convert("L").resize(picture.size)
        scene = Image.open(pool[number]).convert("RGB")
        side = (0.6 + 0.4 * draws[1]) * min(scene.size)
        left, top = (draw * (length - side) for draw, length in zip(draws[2:], scene.size, strict=True))
        scene = scene.resize(picture.size, box=(left, top, left + side, top + side))
        shown = mask.point([0] + [255] * 255)
        written(Image.composite(picture, scene, shown), target / file.relative_to(source))


def written(picture: Image.Image, path: Path) -> None:
    """Save a picture, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=95)


def examined(
    run: Path, images: int, masks: Path | None = None, split: str = ""
) -> tuple[Classifier, Sample, Diagnosis]:
    """Return a finished network, the pictures that it is tested on, and what `cues` says of them."""
    dataset, experiment = dataset_for([str(run)], {"data.boxes": str(masks)} if masks else {}, CheckpointOptions())
    classifier = classifier_of(str(run), dataset, CheckpointOptions(), torch.device("cpu"))
    sample = from_split(split_of(dataset, split)[1], limit=images, size=experiment.data.size)
    found = diagnose(classifier, sample, only=["cues"])
    found.save(run.with_name(f"{run.name}-diagnosis"))
    return classifier, sample, found


@torch.no_grad()
def shown(classifier: Classifier, sample: Sample) -> list[tuple[str, float, float, str]]:
    """Return what is shown, accuracy averaged over classes, AUC of the first class, and what else is named."""
    pixels, labels = torch.cat([portion.pixels for portion in sample.batches(None)]), sample.labels
    none = torch.zeros(len(pixels), *sample.size, dtype=torch.bool)
    pictures = MarkedPictures(pixels, none, {}, classifier.fill, Key.seeded(0).at(torch.arange(len(pixels))))
    frame, others = Border(8), partners(labels, Key.seeded(0))

    def answered(asked: Tensor) -> tuple[Tensor, float, float]:
        logits = torch.cat([classifier(some) for some in asked.split(64)])
        named = logits.argmax(dim=1)
        auc = roc_auc_score(labels == 0, logits.softmax(dim=1)[:, 0])
        return named, float(balanced_accuracy_score(labels, named)), float(auc)

    rows = []
    for name, asked in (
        ("the whole picture", pixels), ("the frame only", frame.only(pictures)),
        ("the middle only", frame.rest_only(pictures)),
        ("the middle with another class's frame", frame.swapped(pictures, pictures.at(others))),
    ):  # fmt: skip
        named, accuracy, auc = answered(asked)
        rows.append((name, accuracy, auc, ""))
    share = [float((named == each).double().mean()) for each in (labels[others], labels)]
    rows[-1] = (*rows[-1][:3], f"{share[0]:.0%} named as the frame's class, {share[1]:.0%} as their own")
    return rows


def told(found: Diagnosis) -> str:
    """Print what a diagnosis says of cues; return the first finding, or nothing."""
    print(f"  {found.findings[0].sentence}")
    for lean in found.leans:
        kind = "FOUND" if lean.found else "meant" if lean.intended else ""
        print(f"  {kind:5} {lean.share} {lean.title}", flush=True)
    return next((lean.cue for lean in found.leans if lean.found), "")


def covid(given: argparse.Namespace, seed: int) -> dict[str, bool]:
    """Tune both networks of a seed and examine them."""
    alike, right = given.out / "alike", {}
    if not alike.exists():
        painted(given.folder, alike)
    for name, folder in (("as they are", given.folder), ("frames alike", alike)):
        run = given.out / f"{name.replace(' ', '-')}-{seed}"
        finished(run, folder, seed, [*TUNED, "--per-class", "90", "--epochs", "8"])
        classifier, sample, found = examined(run, given.images)
        print(f"\nseed {seed}, {name}, {len(sample)} pictures")
        with classifier.examined():
            for shows, accuracy, auc, more in shown(classifier, sample):
                print(f"  {shows:40} {accuracy:.3f} {auc:.3f} {more}")
        first = told(found)
        right[name] = first == "border" if folder is given.folder else not any(
            lean.found for lean in found.leans if lean.cue == "border"
        )  # fmt: skip
    return right


def backgrounds(given: argparse.Namespace, seed: int) -> dict[str, bool]:
    """Tune both networks of a draw and examine them."""
    tied, right = given.out / f"scened-{seed}", {}
    if not tied.exists():
        scened(given.folder, given.masks, given.scenes, tied, seed)
    for name, folder in (("tied", tied), ("free", given.folder)):
        data, run = given.out / f"data-{name}-{seed}", given.out / f"{name}-{seed}"
        if not data.exists():
            drawn(folder, data, 10, seed)
        finished(run, data, seed, TUNED)
        _, sample, found = examined(run, given.images, given.masks)
        print(f"\ndraw {seed}, {name}, {len(sample)} pictures")
        first = told(found)
        right[name] = first == ("background" if name == "tied" else "")
    return right


def totem(given: argparse.Namespace, seed: int) -> dict[str, bool]:
    """Train a network of a seed and examine it."""
    run = given.out / f"totem-{seed}"
    finished(run, Path("totem"), seed, [str(Path(__file__).with_name("totem.toml"))])
    _, sample, found = examined(run, given.images, split="all")
    print(f"\nseed {seed}, {len(sample)} pictures")
    told(found)
    return {}


def finished(run: Path, data: Path, seed: int, options: list[str]) -> None:
    """Train a network unless it is there."""
    if not (run / "manifest.json").exists():
        _, seconds = trained(data, run, seed, options)
        print(f"{run.name}: {seconds:.0f} s", flush=True)


def main() -> None:
    """Read the command line, train, examine, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked: dict[str, Callable] = {"covid": covid, "backgrounds": backgrounds, "totem": totem}
    parser.add_argument("what", choices=asked)
    parser.add_argument("folder", type=Path, nargs="?", help="a folder of pictures for each class")
    parser.add_argument("--masks", type=Path, help="a mask for each picture, in the same folders")
    parser.add_argument("--scenes", type=Path, help="photographs of other things")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--images", type=int, default=300, help="at most so many are examined")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    results = [asked[given.what](given, seed) for seed in map(int, given.seeds.split(","))]
    for name in results[0]:
        print(f"{name}: right in {np.sum([each[name] for each in results])} of {len(results)}")


if __name__ == "__main__":
    main()

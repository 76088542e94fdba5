"""Does a method look wider, by its map and by the picture, and what does half of the object leave it?

    python experiments/look.py runs/totem/plain runs/totem/sgdrop                # made by experiments/totem.toml
    python experiments/look.py STUDY/runs/100-per-class/plain STUDY/runs/100-per-class/sgdrop --root DATA
    python experiments/look.py runs/totem32/plain runs/totem32/sgdrop --limit 100 --numbers robustness.pgd_8

Each folder holds the runs of a method, one for each seed; the first is the baseline. It prints means over seeds, and
differences to the baseline with 95 % t intervals, paired by seed. `totem`, --limit 100, n = 3 (without hiding):
effective area 0.399 and 0.691, +0.292 [+0.272, +0.312]; by occlusion 0.262 and 0.308, +0.046 [+0.029, +0.063]; half of
the object 0.744 and 0.855, +0.111 [+0.052, +0.169]. Fashion-MNIST, 100 of each class, n = 3: effective area
0.717 and 0.946, +0.228 [+0.201, +0.256]; by occlusion 0.441 and 0.477, +0.036 [-0.043, +0.114]; half of the object
0.342 and 0.355, +0.013 [-0.025, +0.052].
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import overfocus as of
from overfocus.diagnosis.checkpoints import CheckpointOptions, classifier_of, dataset_for, split_of
from overfocus.diagnosis.effort import studied
from overfocus.statistics.estimate import mean_interval
from overfocus.statistics.paired import paired

NUMBERS = (
    "spread.effective_area_predicted", "spread.occlusion_area_predicted", "halves.whole", "halves.half", "halves.kept",
    "halves.half_mean", "halves.half_blur", "halves.half_noise", "halves.half_patch", "halves.both", "halves.agreement",
    "hiding.overfocus", "hiding.overfocus_relative",
)  # fmt: skip


def numbers(folder: Path, names: list[str], limit: int, root: str | None) -> list[float]:
    """Return scores of one run by `names`, SECTION.SCORE, on the images that it is tested on."""
    dataset, _ = dataset_for([str(folder)], {"data.root": root} if root else {})
    classifier = classifier_of(str(folder), dataset, CheckpointOptions(), "cpu")
    pairs = [name.split(".") for name in names]
    sections = list(dict.fromkeys(section for section, _ in pairs))
    found = of.diagnose(classifier, split_of(dataset)[1], only=sections, sections=studied(), limit=limit)
    return [found[section][score].value for section, score in pairs]


def main() -> None:
    """Read the arguments, diagnose, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", type=Path, nargs="+", help="folders of runs seed0, seed1, ...")
    parser.add_argument("--limit", type=int, default=1000, help="images, balanced over the classes")
    parser.add_argument("--numbers", default=",".join(NUMBERS), help="SECTION.SCORE,... of a diagnosis")
    parser.add_argument("--root", help="where named data sets lie")
    options = parser.parse_args()
    names, values = options.numbers.split(","), []
    for method in options.methods:
        seeds = sorted(method.glob("seed*"))
        values.append(np.array([numbers(seed, names, options.limit, options.root) for seed in seeds]))
    print("| | " + " | ".join(method.name for method in options.methods) + " |")
    print("|---" * (len(values) + 1) + "|")
    for column, name in enumerate(names):
        base = values[0][:, column]
        cells = [f"{mean_interval(base):.3f}"]
        for other in values[1:]:
            difference = paired(other[:, column], base).difference
            cells.append(f"{other[:, column].mean():.3f}, {difference:+.3f}")
        print(f"| `{name}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

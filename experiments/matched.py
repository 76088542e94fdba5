"""Does SGDrop look wider than plain training at equal accuracy? The runs of cues.py, epoch by epoch.

    python experiments/matched.py runs/cues

For each accuracy, every network is taken at its first epoch that reaches it on `all`, so that neither is the better
one. Effective area of HiResCAM, on the features where SGDrop acts, and of Occlusion, in the image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

import overfocus as of
from overfocus.attribution.methods.hirescam import HiResCAM
from overfocus.attribution.methods.occlusion import Occlusion
from overfocus.data import Stream
from overfocus.metrics.spread import effective_area
from overfocus.statistics.estimate import mean_interval
from overfocus.training.checkpoint import load_data, load_network
from overfocus.training.run import Run

MAPS = {"hirescam": HiResCAM(), "occlusion": Occlusion(window=0.25)}
"""Name -> method: windows of a quarter of the side, half overlapping, are a coarse grid of 7 x 7 places."""
LAST = "last epoch"
BATCH = 50


def epochs_at(run: Run, levels: list[str]) -> dict[str, tuple[int, float]]:
    """Return accuracy to reach -> the first epoch that does, and the accuracy there; and the last epoch."""
    course = [(epoch.number, epoch.scores["all"]["accuracy"]) for epoch in run.epochs()]
    reached = {level: next((each for each in course if each[1] >= float(level)), None) for level in levels}
    return {level: each for level, each in reached.items() if each is not None} | {LAST: course[-1]}


def spreads(model: nn.Module, stream: Stream) -> dict[str, float]:
    """Return map -> mean effective area over the images of `stream`, of the class that the network names."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in MAPS}
    for images, _, _ in stream.epoch():
        for name, method in MAPS.items():
            maps = of.attribute(model, images, method=method, target="predicted", at="@features")
            found[name].append(effective_area(maps))
    return {name: float(torch.cat(values).nanmean()) for name, values in found.items()}


def numbers(run: Run, at: tuple[int, float], images: int) -> dict[str, float]:
    """Return epoch, accuracy and spreads of a run after the epoch `at`."""
    _, dataset = load_data(run)
    split = dataset.splits["all"].subset(range(images))
    stream = Stream(split, batch=BATCH, mean=dataset.mean, std=dataset.std, train=False)
    model = load_network(run, run.path / "epochs" / f"{at[0]}.safetensors")
    return {"epoch": at[0], "accuracy": at[1], **spreads(model, stream)}


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the --out of cues.py")
    parser.add_argument("--levels", default="0.5,0.9,0.99", help="accuracies to reach, separated by commas")
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    pairs = [
        (Run(path), Run(options.runs / "sgdrop" / path.name)) for path in sorted((options.runs / "plain").iterdir())
    ]
    print(
        "| accuracy reached | n | epoch | accuracy there | map | plain | sgdrop | sgdrop less plain |\n"
        + "|---" * 8
        + "|"
    )
    levels = options.levels.split(",")
    for level in (*levels, LAST):
        both = [pair for pair in pairs if all(level in epochs_at(run, levels) for run in pair)]
        show(level, [[numbers(run, epochs_at(run, levels)[level], options.images) for run in pair] for pair in both])


def show(level: str, found: list[list[dict[str, float]]]) -> None:
    """Print a line for each map: means over seeds, and the difference paired by seed with its 95 % t interval."""
    for name in MAPS if found else ():
        plain, sgdrop = (
            {key: np.array([pair[number][key] for pair in found]) for key in ("epoch", "accuracy", name)}
            for number in (0, 1)
        )
        less = mean_interval(sgdrop[name] - plain[name])
        print(
            f"| {level} | {len(found)} | {plain['epoch'].mean():.1f}, {sgdrop['epoch'].mean():.1f} | "
            f"{plain['accuracy'].mean():.3f}, {sgdrop['accuracy'].mean():.3f} | {name} | {plain[name].mean():.3f} | "
            f"{sgdrop[name].mean():.3f} | {less.value:+.3f} [{less.low:+.3f}, {less.high:+.3f}] |",
            flush=True,
        )


if __name__ == "__main__":
    main()

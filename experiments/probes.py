"""What chooses the strength of a linear probe best, and what does a method do to the probe?

    OMP_NUM_THREADS=1 python experiments/probes.py leeds-butterfly/images --draws 5 --method sgdrop

Computes the last maps of efficientnet_lite0 (128 px) for all pictures of a folder once. Each draw takes so many of each
class to fit a probe and tests it on all others: the closed probe with its strength by cross-validation on all of them;
the same with a strength chosen on a tenth that is held out (two of twenty, one of five), fitted to the rest; and the
probe that is trained with each method. Accuracy, mean +- standard deviation over draws; differences are paired by draw.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from statistics import mean, stdev

import torch
from torch import Tensor

from overfocus import Experiment
from overfocus.core.key import Key
from overfocus.data.joined import joined
from overfocus.models.split import SplitModel, split
from overfocus.regularizers.spec import parse
from overfocus.training.linear_probe import PENALTIES, Features, LinearHead, fit_head
from overfocus.training.probe_method import Maps, mean_over_positions, trained_head


@torch.no_grad()
def maps_of(folder: str) -> tuple[Tensor, Tensor]:
    """Return the last maps [N, D, h, w] of all pictures of a folder, and their classes [N]."""
    settings = {"data": {"name": folder, "size": 128}, "model": {"name": "efficientnet_lite0", "pretrained": "default"}}
    experiment = Experiment.read({**settings, "recipe": {"tune": "probe"}}, "probes")
    dataset = experiment.dataset()
    model = experiment.create_model(len(dataset.classes), 3).eval()
    cut, seen = split(model), []
    for images, labels, _ in experiment.stream(replace(dataset, splits={"all": joined(dataset)}), "all").epoch():
        seen.append((cut.encode(model, images), labels))
    maps, labels = zip(*seen, strict=True)
    return torch.cat(maps), torch.cat(labels)


def drawn(labels: Tensor, per_class: int, seed: int) -> Tensor:
    """Return so many rows of each class, class by class: [K * per_class]."""
    key, rows = Key.seeded(seed).fold_in("draw"), []
    for name in range(int(labels.max()) + 1):
        mine = (labels == name).nonzero()[:, 0]
        rows.append(mine[key.fold_in(name).order(len(mine))[:per_class]])
    return torch.cat(rows)


def by_held_out(features: Features, per_class: int, classes: int, key: Key) -> LinearHead:
    """Return the head of the strength with the least loss on a tenth of each class, fitted to the rest."""
    held = torch.arange(len(features.labels)) % per_class < max(1, round(0.1 * per_class))
    rest, val = (Features(features.values[rows], features.labels[rows]) for rows in (~held, held))
    heads = [fit_head(rest, classes, key, penalties=(penalty,)) for penalty in PENALTIES]
    losses = [float(torch.nn.functional.cross_entropy(head.logits(val), val.labels)) for head in heads]
    return heads[losses.index(min(losses))]


def compared(maps: Tensor, labels: Tensor, per_class: int, draws: int, methods: list[str]) -> dict[str, list[float]]:
    """Return probe -> accuracy of each draw."""
    classes, found = int(labels.max()) + 1, {}
    for seed in range(draws):
        rows, key = drawn(labels, per_class, seed), Key.seeded(seed).fold_in("tune")
        others = torch.ones(len(labels), dtype=torch.bool)
        others[rows] = False
        pooled, test = (Features(mean_over_positions(maps[each]), labels[each]) for each in (rows, others))
        closed = fit_head(pooled, classes, key)
        heads = {"closed": closed, "strength by held-out": by_held_out(pooled, per_class, classes, key)}
        # The maps are kept, so neither the network nor its cut is used.
        kept = Maps(torch.nn.Identity(), SplitModel((), (), ()), lambda rows: iter(()), labels[rows], maps[rows])
        heads |= {spec: trained_head(closed, kept, pooled, parse(spec), key) for spec in methods}
        for name, head in heads.items():
            found.setdefault(name, []).append(head.accuracy(test))
    return found


def main() -> None:
    """Compare for 5 and 20 of each class and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--per-class", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--method", action="append", default=[])
    given = parser.parse_args()
    maps, labels = maps_of(given.folder)
    for per_class in given.per_class:
        found = compared(maps, labels, per_class, given.draws, given.method)
        for name, values in found.items():
            gains = [one - other for one, other in zip(values, found["closed"], strict=True)]
            beside = "" if name == "closed" else f"; beside closed {mean(gains):+.4f} +- {stdev(gains):.4f}"
            line = f"{per_class} of each class, n = {len(values)}, {name}: "
            print(f"{line}{mean(values):.4f} +- {stdev(values):.4f}{beside}", flush=True)


if __name__ == "__main__":
    main()

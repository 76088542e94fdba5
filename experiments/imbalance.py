"""What does each `recipe.balance` come to where classes are of very unequal size?

    OMP_NUM_THREADS=1 python experiments/imbalance.py leeds-butterfly/images --out /tmp/imbalance

Cuts a folder of classes to 40, 20, 10, 5 and 3 training pictures of a class in turn, tests on all its other pictures,
and trains `overfocus train --model efficientnet_lite0 --pretrained --balance B` on them as it comes at 128 px, for each
B. Each draw is a seed, and begins the turn one class later, so that in five draws every class has had every size.
Fixed beforehand: n = 5 draws, the network of the last epoch, balanced accuracy (macro recall) on the pictures that were
not drawn, paired by draw, a balance ahead of `none` if the t interval of the difference lies above 0. What was trained
already is read again.

Seen on leeds-butterfly: see docs/photographs.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

from photographs import ARMS, drawn, spread, trained
from scipy.stats import t

SIZES = (40, 20, 10, 5, 3)
BALANCES = ("none", "sampler", "weights", "logit-adjustment")


def recall(given: argparse.Namespace, balance: str, seed: int) -> float:
    """Train on one draw, or read what was trained; return the balanced accuracy on its test pictures."""
    place = given.out / f"draw-{seed}"
    if not place.exists():
        turn = seed % len(given.sizes)
        drawn(given.folder, place, given.sizes[turn:] + given.sizes[:turn], seed)
    words = ["--size", str(given.size), "--balance", balance, *(word for each in given.set for word in ("--set", each))]
    manifest, seconds = trained(place, given.out / f"{balance}-{seed}", seed, [*words, *ARMS["lp-ft"]])
    scores, probe = manifest["last"]["scores"]["test"], manifest["tuned"]["probe"]["test"]
    print(
        f"draw {seed}, {balance}: balanced accuracy {scores['balanced_accuracy']:.4f}, accuracy "
        f"{scores['accuracy']:.4f} on {manifest['images']['test']} pictures; probe {probe['balanced_accuracy']:.4f}; "
        f"kept: {manifest['tuned']['kept']}; {seconds:.0f} s",
        flush=True,
    )
    return scores["balanced_accuracy"]


def against(values: list[float], none: list[float]) -> str:
    """Return the mean difference and its 95 % t interval, paired by draw."""
    gains = [one - other for one, other in zip(values, none, strict=True)]
    if len(gains) < 2:
        return f"{mean(gains):+.3f}"
    middle, half = mean(gains), t.ppf(0.975, len(gains) - 1) * stdev(gains) / len(gains) ** 0.5
    return f"{middle:+.3f} [{middle - half:+.3f}, {middle + half:+.3f}]"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of pictures for each class, at any depth")
    parser.add_argument("--sizes", type=lambda text: tuple(map(int, text.split(","))), default=SIZES)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--balances", default=",".join(BALANCES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], help="any setting, as of `overfocus train`")
    return parser.parse_args()


def main() -> None:
    """Train every balance on every draw, and print a table."""
    given = options()
    names = given.balances.split(",")
    rows = [{name: recall(given, name, seed) for name in names} for seed in range(given.draws)]
    found = {name: [row[name] for row in rows] for name in names}
    print(f"\n| balance | balanced accuracy, n = {given.draws} | against {names[0]}, 95 % interval |\n|---|---|---|")
    for name, values in found.items():
        print(f"| {name} | {spread(values)} | {against(values, found[names[0]]) if name != names[0] else ''} |")


if __name__ == "__main__":
    main()

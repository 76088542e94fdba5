"""Train several methods over several seeds and print mean and spread of every test split, last epoch.

    python experiments/seeds.py experiments/totem.toml --methods "plain; cutout; sgdrop" --seeds 3 --out runs/totem

Each run is a folder below --out, so a stopped command resumes. For a seed, all methods share first weights
and batch order.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

import overfocus as of
from overfocus.training.evaluate import follows
from overfocus.training.experiment import settle
from overfocus.training.run import Run


def trained(toml: Path, method: str, seed: int, changes: list[str], out: Path) -> dict:
    """Train one run, or read it where it is finished; return its manifest."""
    experiment = settle(toml, {"method": method, "seed": seed}, changes)
    folder = out / "".join(c if c.isalnum() or c in ".=-" else "-" for c in experiment.method) / f"seed{seed}"
    for epoch in of.train(experiment, folder):
        print(f"\r{method} seed {seed} epoch {epoch.number}/{experiment.recipe.epochs}", end="", flush=True)
    print("\r" + " " * 60, end="\r")
    return Run(folder).manifest()


def agreeing(manifest: dict) -> list[str]:
    """Return the test splits whose cues name one class, so that there is an accuracy."""
    return [split for split, score in manifest["last"]["scores"].items() if not follows(score)]


def row(method: str, manifests: list[dict]) -> str:
    """Return one line of the table: mean ± standard deviation over seeds of every split's accuracy."""
    scores = [manifest["last"]["scores"] for manifest in manifests]
    cells = []
    for split in agreeing(manifests[0]):
        values = [score[split]["accuracy"] for score in scores]
        cells.append(f"{mean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}")
    seconds = mean(manifest["seconds"] for manifest in manifests)
    return f"| `{method}` | " + " | ".join(cells) + f" | {seconds:.0f} |"


def main() -> None:
    """Read the arguments, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--methods", required=True, help="specs, separated by ;")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", dest="changes", action="append", default=[], help="any setting, e.g. recipe.epochs=3")
    options = parser.parse_args()
    results = {}
    for method in (each.strip() for each in options.methods.split(";")):
        results[method] = [
            trained(options.experiment, method, seed, options.changes, options.out) for seed in range(options.seeds)
        ]
        if len(results) == 1:
            splits = agreeing(results[method][0])
            print("| method | " + " | ".join(splits) + " | seconds |\n|---" * 1 + "|---" * (len(splits) + 1) + "|")
        print(row(method, results[method]), flush=True)
    (options.out / "results.json").write_text(json.dumps(results, indent=2))
    machine = next(iter(results.values()))[0]
    print(f"\nn = {options.seeds} seeds, mean ± sd, last epoch; {machine['versions']}, {machine['machine']}")


if __name__ == "__main__":
    main()

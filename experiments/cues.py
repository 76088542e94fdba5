"""Which cue a network follows, and what its features know of the one that its head does not use.

    python experiments/cues.py experiments/cues.toml --out runs/cues

Trains plain, SGDrop, and, as a ceiling, plain on images that show nothing but the digit. Each run is a folder below
--out, with the weights of every epoch in `epochs/`; a stopped command resumes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

import torch

import overfocus as of
from overfocus.models.checkpoints import save_weights
from overfocus.training.evaluate import follows
from overfocus.training.experiment import settle
from overfocus.training.refit import refit_run
from overfocus.training.run import Run

NETWORKS = {
    "plain": {"method": "plain"},
    "sgdrop": {"method": "sgdrop(prob=0.75)"},
    "ceiling": {"method": "plain", "data.name": "totem-digit"},
}
"""Name of a folder -> how the network in it differs from the TOML file."""


def trained(toml: Path, network: str, seed: int, changes: list[str], out: Path) -> Run:
    """Train one run and keep the weights of its every epoch, or read it where it is finished."""
    experiment = settle(toml, {**NETWORKS[network], "seed": seed}, changes)
    run = Run(out / network / f"seed{seed}")
    for epoch in of.train(experiment, run.path):
        kept = run.path / "epochs" / f"{epoch.number}.safetensors"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            state = torch.load(run.checkpoint, weights_only=True)["objective"]
            of_model = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
            save_weights(of_model, kept)
        print(f"\r{network} seed {seed} epoch {epoch.number}/{experiment.recipe.epochs}", end="", flush=True)
    print("\r" + " " * 60, end="\r")
    return run


def numbers(run: Run) -> dict[str, float]:
    """Return column -> number of one run: its own head, refitted heads, and which cue its answers follow."""
    scores, refit = run.manifest()["last"]["scores"], refit_run(run.path, "totem-digit", ["digit-only"])
    found = {split: scores[split]["accuracy"] for split in ("all", "disc-only", "digit-only")}
    found |= {"refitted": refit.refitted["digit-only"], "untrained, refitted": refit.untrained["digit-only"]}
    return found | {
        f"{split}: {cue}": share
        for split in ("disc-vs-digit", "conflict")
        for cue, share in follows(scores[split]).items()
    }


def show(found: dict[str, list[dict[str, float]]]) -> None:
    """Print mean ± standard deviation over seeds, a column for each network."""
    print(f"| | {' | '.join(found)} |\n|---{'|---' * len(found)}|")
    for name in next(iter(found.values()))[0]:
        values = ([each[name] for each in of_network] for of_network in found.values())
        cells = (f"{mean(v):.3f} ± {stdev(v):.3f}" if len(v) > 1 else f"{v[0]:.3f}" for v in values)
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    """Read the arguments, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--seeds", default="3,4,5,6", help="separated by commas")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", dest="changes", action="append", default=[], help="any setting, e.g. recipe.epochs=3")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {network: [] for network in NETWORKS}
    for seed in map(int, options.seeds.split(",")):
        for network in NETWORKS:
            run = trained(options.experiment, network, seed, options.changes, options.out)
            found[network].append(numbers(run))
    show(found)
    (options.out / "cues.json").write_text(json.dumps(found, indent=2))
    manifest = Run(next((options.out / "plain").iterdir())).manifest()
    print(f"\nseeds {options.seeds}, mean ± sd, last epoch; {manifest['versions']}, {manifest['machine']}")


if __name__ == "__main__":
    main()

"""Which cue a network follows, and what its features know of the one that its head does not use.

    python experiments/cues.py experiments/cues.toml --out runs/cues

Trains plain, SGDrop, and, as a ceiling, plain on images that show nothing but the digit. Each run is a folder below
--out, with the weights of every epoch in `epochs/`; a stopped command resumes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import overfocus as of
from overfocus.models.checkpoints import save_weights
from overfocus.training.experiment import settle
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


def main() -> None:
    """Read the arguments, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--seeds", default="3,4,5,6", help="separated by commas")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", dest="changes", action="append", default=[], help="any setting, e.g. recipe.epochs=3")
    options = parser.parse_args()
    for seed in map(int, options.seeds.split(",")):
        for network in NETWORKS:
            trained(options.experiment, network, seed, options.changes, options.out)


if __name__ == "__main__":
    main()

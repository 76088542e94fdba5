"""Starts of a transfer: the network of a finished run, or the same network before its training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn

from overfocus.core.errors import OverfocusError
from overfocus.models.checkpoints import save_weights
from overfocus.models.surgery import classifier_name
from overfocus.study.run_key import slug
from overfocus.training.checkpoint import load_network, untrained_network
from overfocus.training.run import Run

SCRATCH = "scratch"
"""The method of a start that was not trained before."""


@dataclass(frozen=True)
class Start:
    """A run with its last weights, its best ones, or those before its training."""

    run: Run
    best: bool = False
    scratch: bool = False

    @property
    def method(self) -> str:
        """The method that the network was trained with."""
        return SCRATCH if self.scratch else self.run.experiment().method

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.run.experiment().seed

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{slug(self.method)}-seed{self.seed}"

    def origin(self) -> str:
        """Return a SHA-256 of the weights; from scratch, of what they are drawn from."""
        made = {**_network(self.run), "classes": len(self.run.manifest()["classes"]), "seed": self.seed}
        return sha256(json.dumps(made).encode() if self.scratch else self._weights.read_bytes()).hexdigest()

    @property
    def _weights(self) -> Path:
        return self.run.best_weights if self.best else self.run.weights

    def network(self) -> nn.Module:
        """Return the classifier, in evaluation mode."""
        return untrained_network(self.run) if self.scratch else load_network(self.run, self._weights)

    def save_encoder(self, path: Path) -> None:
        """Write the weights of all but the classifier's last layer."""
        network = self.network()
        head = f"{classifier_name(network)}."
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights({name: value for name, value in network.state_dict().items() if not name.startswith(head)}, path)


def _network(run: Run) -> dict[str, Any]:
    """Return what two runs share whose networks differ in their weights alone."""
    model = run.experiment().model
    return {"name": model.name, "stem": model.stem, "settings": model.settings, "channels": run.manifest()["channels"]}


def starts(paths: Sequence[Path], *, best: bool = False, scratch: bool = True) -> list[Start]:
    """Return a start for each run at `paths` and, if requested, a control from scratch for each of their seeds.

    Raises OverfocusError where a run is not finished, where two are of one method and seed, and where their networks
    are not the same, since such numbers cannot be compared.
    """
    runs = [Run(path) for path in paths]
    for run in runs:
        run.manifest()
        if _network(run) != _network(runs[0]):
            raise OverfocusError(
                f"{run.path} and {runs[0].path} are of different networks, which cannot be compared; transfer them "
                "by two commands, each with an --out of its own"
            )
    found = [Start(run, best) for run in runs]
    for row, start in enumerate(found):
        twins = [each for each in found[:row] if (each.method, each.seed) == (start.method, start.seed)]
        if twins:
            raise OverfocusError(
                f"{start.run.path} and {twins[0].run.path} are both of {start.method}, seed {start.seed}; give one run "
                "for each method and seed"
            )
    first = {start.seed: start.run for start in reversed(found)}
    return found + [Start(run, scratch=True) for _, run in sorted(first.items()) if scratch]

"""What the tests of a study share: a grid that trains in seconds, an engine without processes, what must be equal."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import torch
from torch import nn

from overfocus.study.engines.engine import Engine, Job, Outcome
from overfocus.study.run_study import Status, run_study
from overfocus.study.study import Study, settle_study
from overfocus.study.work import do


def grid(data: Path | str, **changes: Any) -> Study:
    """Return a study of four short runs, changed by keys such as recipe__epochs=2."""
    values: dict[str, Any] = {
        "methods": ["plain", "cutout(size=4)"], "seeds": 2, "data.name": str(data),
        "model.settings": {"widths": [4, 8]}, "recipe.epochs": 2, "recipe.batch": 8, "recipe.lr": 0.05,
        "recipe.precision": "32-true", "examine.sections": ["spread"], "examine.limit": 9,
    }  # fmt: skip
    return settle_study(None, values | {key.replace("__", "."): value for key, value in changes.items()}, [])


class Inline(Engine):
    """A stand-in for the engines: does jobs in this process, one after the other."""

    slots = 2

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.done: list[str] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def wait(self, seconds: float) -> list[Outcome]:
        if not self.jobs:
            return []
        job = self.jobs.popleft()
        self.done.append(str(job.key))
        return [do(job)]

    def close(self) -> None:
        pass


def finish(study: Study, folder: Path, engine: Engine | None = None) -> Status:
    """Do the study to its end."""
    with engine or Inline() as chosen:
        *_, last = run_study(study, folder, chosen)
    assert last.over
    return last


def numbers(folder: Path) -> dict[str, Any]:
    """Collect all that two equal studies have equal: every epoch but its seconds, weights, answers, scores."""
    found: dict[str, Any] = {}
    for manifest in sorted(folder.rglob("manifest.json")):
        run, name = manifest.parent, str(manifest.parent.relative_to(folder))
        epochs = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
        timeless = ("seconds", "images_per_second")
        found[name] = {
            "epochs": [{key: value for key, value in each.items() if key not in timeless} for each in epochs],
            "weights": (run / "weights.safetensors").read_bytes(),
            "best": (run / "best.safetensors").read_bytes(),
            "answers": (run / "answers.npz").read_bytes(),
        }
        if (run / "diagnosis").is_dir():
            found[name]["scores"] = json.loads((run / "diagnosis" / "scores.json").read_text())["sections"]
    return found


def nan_for_seed_1(num_classes: int, channels: int = 3) -> nn.Module:
    """Return a network whose loss is no number where the seed is 1, and an ordinary one elsewhere."""
    model = _sound(num_classes, channels)
    if torch.initial_seed() == 1:
        model[0].weight.data.fill_(3e38)
    return model


def deadly_for_seed_1(num_classes: int, channels: int = 3) -> nn.Module:
    """Return a network that kills its process where the seed is 1, as running out of memory does."""
    import os
    import signal

    if torch.initial_seed() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return nan_for_seed_1(num_classes, channels)


def deadly_once(num_classes: int, channels: int = 3) -> nn.Module:
    """Return a network that kills its process the first time that it is made anywhere, which a file remembers."""
    import os
    import signal

    try:
        os.close(os.open(os.environ["DEADLY_ONCE"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return _sound(num_classes, channels)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _sound(num_classes: int, channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
    )

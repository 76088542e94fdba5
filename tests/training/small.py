"""What the training tests share: a folder of small images, settings that train in a second, and real processes.

The processes come from a server that has imported torch already, so that starting one takes no seconds. They are
killed, stopped and joined into a process group like any other.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from overfocus.models.checkpoints import save_weights
from overfocus.models.zoo import create_model

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["overfocus.training.loop", "overfocus.cli.app", "torchvision", "rich.table", "scipy.stats"]
)
STARTED: list[Any] = []
"""Processes that may live still; a test that fails must not leave one behind."""


def photos(folder: Path, classes: int = 3, train: int = 15, test: int = 6, side: int = 12, grey: bool = False) -> Path:
    """Write a folder of noisy squares, each class with a shade of its own."""
    random = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        for name in range(classes):
            (folder / part / f"class{name}").mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = random.integers(0, 120, (side, side, 3)) + 120 * name // max(1, classes - 1)
                image = Image.fromarray(pixels.astype(np.uint8))
                image = image.convert("L") if grey else image
                image.save(folder / part / f"class{name}" / f"{number:02}.png")
    return folder


def pretrained_body(file: Path, widths: list[int]) -> Path:
    """Write the weights of a small network of eleven other classes, batch norms that have seen something included."""
    torch.manual_seed(5)
    model = create_model("overfocus_cnn", 11, widths=widths)
    for _ in range(3):
        model.train()(torch.randn(16, 3, 12, 12))
    save_weights(model.state_dict(), file)
    return file


def settings(data: Path | str, **changes: Any) -> dict[str, Any]:
    """Return settings that train in a second, changed by keys such as recipe__epochs=2."""
    values: dict[str, Any] = {
        "data": {"name": str(data)},
        "model": {"settings": {"widths": [4, 8]}},
        "recipe": {"epochs": 3, "batch": 8, "lr": 0.05, "precision": "32-true"},
    }
    values = deepcopy(values)
    for key, value in changes.items():
        *tables, name = key.split("__")
        place = values
        for table in tables:
            place = place.setdefault(table, {})
        place[name] = value
    return values


def own_dropout(num_classes: int, channels: int = 3) -> nn.Module:
    """Return a network that draws from the global random state, as VGG's head does."""
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(54, 16),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(16, num_classes),
    )


def five_logits(num_classes: int, channels: int = 3) -> nn.Module:
    """Return a network of five classes, whatever it is asked for."""
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


class FromGrey(nn.Module):
    """A network that takes three channels in a way that nobody can mend for it."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 4)
        self.classify = nn.Linear(4, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classify(self.mix(images.mean(dim=(2, 3))))


class Running:
    """A process, what it has said so far, and how it ended."""

    def __init__(self, work: Callable[..., None], log: Path, *args: Any, env: dict[str, str] | None = None) -> None:
        self.log = log
        self.log.write_text("")
        self.process = CONTEXT.Process(target=_alone, args=(work, str(log), env or {}, os.getcwd(), args))
        self.process.start()
        STARTED.append(self.process)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def until(self, text: str, seconds: float = 60) -> Running:
        """Wait until the process has said `text`."""
        end = time.monotonic() + seconds
        while text not in self.said:
            assert self.process.is_alive(), f"it ended before it said {text!r}:\n{self.said}"
            assert time.monotonic() < end, f"it never said {text!r}:\n{self.said}"
            time.sleep(0.005)
        return self

    def signal(self, number: int) -> Running:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        return self

    def end(self, seconds: float = 90) -> int:
        """Wait for the end and return the exit code; a process that hangs fails the test."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise AssertionError(f"it hung:\n{self.said}")
        assert self.process.exitcode is not None
        return self.process.exitcode


def _alone(work: Callable[..., None], log: str, env: dict[str, str], folder: str, args: tuple) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    for number, name in ((1, "stdout"), (2, "stderr")):
        setattr(sys, name, open(number, "w", buffering=1, closefd=False))  # noqa: SIM115 - for as long as it lives
    os.environ.update(env)
    os.chdir(folder)
    torch.set_num_threads(1)
    try:
        work(*args)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def command(*arguments: str) -> None:
    """Run the command line."""
    from overfocus.cli.app import main

    sys.argv = ["overfocus", *arguments]
    main()


def training(values: dict[str, Any], out: str, devices: int = 1) -> None:
    """Train, saying each epoch and the error."""
    from overfocus import Experiment, OverfocusError, train
    from overfocus.training.loop import Machine

    try:
        experiment = Experiment.read(values, "test")
        for epoch in train(experiment, out, Machine("cpu", devices), lambda step: print("step", step.epoch, step.step)):
            print("epoch", epoch.number)
    except OverfocusError as error:
        print("error:", error)
        sys.exit(2)


def stuck(values: dict[str, Any], out: str, name: str, times: int) -> None:
    """Train until a file called `name` has been written aside for the `times`-th time, and stay there."""
    replace, left = os.replace, [times]

    def waiting(source: Any, target: Any) -> None:
        left[0] -= Path(target).name == name
        if Path(target).name == name and left[0] == 0:
            print("stuck")
            time.sleep(600)
        replace(source, target)

    os.replace = waiting
    training(values, out)


def pair(work: Callable[..., None], folder: Path, *args: Any) -> list[Running]:
    """Start two processes that find each other as those of a launcher do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    folder.mkdir(parents=True, exist_ok=True)
    return [
        Running(work, folder / f"log{rank}", *args, env={**place, "LOCAL_RANK": str(rank), "RANK": str(rank)})
        for rank in range(2)
    ]


def epochs_but_speed(run: Path) -> Iterator[dict[str, Any]]:
    """Read a run's epochs, without what depends on the machine's mood."""
    import json

    for line in (run / "epochs.jsonl").read_text().splitlines():
        epoch = json.loads(line)
        yield {key: value for key, value in epoch.items() if key not in ("seconds", "images_per_second")}

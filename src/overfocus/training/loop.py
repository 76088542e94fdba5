"""The training of one run, as a stream of epochs. Who consumes it logs, draws progress and stops."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from math import ceil, isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from overfocus.core.draw import Draw
from overfocus.core.errors import OverfocusError
from overfocus.data import Dataset
from overfocus.models.weights import save_weights
from overfocus.training.evaluate import evaluate
from overfocus.training.experiment import Experiment
from overfocus.training.objective import Objective
from overfocus.training.recipe import precision_for
from overfocus.training.run import Epoch, Run, provenance, replacing


@dataclass(frozen=True)
class Machine:
    """Where to train; not part of the experiment, since it must not change what comes out."""

    accelerator: str = "auto"
    devices: int | str = 1
    nodes: int = 1
    strategy: str = "auto"


@dataclass(frozen=True)
class Step:
    """How far training is, for whoever shows it. The tensors of `last` have been waited for by nobody."""

    epoch: int
    step: int
    steps: int
    epochs: int
    images: int
    last: dict[str, Tensor]


Watch = Callable[[Step], None]


def train(
    experiment: Experiment, out: str | Path, machine: Machine | None = None, watch: Watch = lambda step: None
) -> Iterator[Epoch]:
    """Train, yielding each epoch when it is safely on the disk; a run that was stopped goes on behind its last whole
    epoch.

    The folder `out` becomes the run. A finished one is not trained again: its epochs are yielded as they stand. `watch`
    is called after every step. Raises OverfocusError for a folder that holds something else or is in use, for
    unreadable data, for a full disk, for a loss that is not finite; the state of the last whole epoch is kept in every
    case.
    """
    run = Run(Path(out))
    fabric = _fabric(experiment, machine or Machine())
    with run.taken() if fabric.is_global_zero else nullcontext():
        if fabric.is_global_zero:
            run.claim(experiment)
        fabric.barrier()
        if run.finished:
            yield from run.epochs()
            return
        yield from Trainer(experiment, run, fabric, watch).epochs()


def _fabric(experiment: Experiment, machine: Machine) -> Fabric:
    """Start the processes; in each, the random state and the devices are its own."""
    many = machine.devices not in (1, "1") or machine.nodes > 1
    strategy = "ddp" if machine.strategy == "auto" and many else machine.strategy
    probe = Fabric(accelerator=machine.accelerator, devices=1) if experiment.recipe.precision == "auto" else None
    precision: Any = precision_for(experiment.recipe.precision, probe.device if probe else torch.device("cpu"))
    fabric = Fabric(
        accelerator=machine.accelerator,
        devices=machine.devices,
        num_nodes=machine.nodes,
        strategy=strategy,
        precision=precision,
    )
    fabric.launch()
    return fabric


@dataclass
class Trainer:
    """Everything that lives as long as one run is trained."""

    experiment: Experiment
    run: Run
    fabric: Fabric
    watch: Watch
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        recipe, fabric = self.experiment.recipe, self.fabric
        self.recipe = recipe
        self.dataset = self.experiment.dataset()
        _check(self.dataset)
        place: dict[str, Any] = {"device": fabric.device, "rank": fabric.global_rank, "world": fabric.world_size}
        self.streams = {name: self.experiment.stream(self.dataset, name, **place) for name in self.dataset.splits}
        self.judge = _judge(self.dataset)
        model = self.experiment.create_model(len(self.dataset.classes), self.dataset.splits["train"].images.channels)
        if recipe.channels_last:
            model = model.to(memory_format=torch.channels_last)
        model = model.to(fabric.device)
        steps = recipe.epochs * len(self.streams["train"])
        self.objective = Objective(
            model, self.experiment.regularizer, at=self.experiment.model.at, classes=len(self.dataset.classes),
            smoothing=recipe.smoothing, seed=self.experiment.seed, steps=steps,
        )  # fmt: skip
        averaging = get_ema_multi_avg_fn(recipe.ema)
        self.average = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True) if recipe.ema else None
        compiled: Any = torch.compile(self.objective) if recipe.compile else self.objective
        self.module, self.optimizer = fabric.setup(compiled, recipe.optimizer_for(model))

    @property
    def model(self) -> nn.Module:
        """The network that is evaluated and saved."""
        return self.average.module if self.average is not None else self.objective.model

    def epochs(self) -> Iterator[Epoch]:
        """Train from where the run stands to its end."""
        if self.run.checkpoint.exists():
            self._resume()
            yield from self.history
        for number in range(len(self.history) + 1, self.recipe.epochs + 1):
            epoch = self._epoch(number)
            self.history.append(epoch)
            self._keep(epoch)
            yield epoch
        self._finish()

    def _epoch(self, number: int) -> Epoch:
        """Train for one epoch and evaluate."""
        started = perf_counter()
        images = self._pass(number)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            means = self.objective.report()
        if not isfinite(means["loss"]):
            raise OverfocusError(
                f"the loss of epoch {number} is {means['loss']}; {self._kept()}: lower recipe.lr (now "
                f"{self.recipe.lr:g}), "
                "set recipe.clip=1, or use recipe.precision='32-true', and give another --out"
            )
        seconds = perf_counter() - started
        due = number % self.recipe.evaluate_every == 0 or number == self.recipe.epochs
        scores = {name: self.score(name) for name in self._watched(number)} if due else {}
        told = tuple(str(warning.message) for warning in caught)
        return Epoch(number, seconds, images / seconds, self.optimizer.param_groups[0]["lr"], means, scores, told)

    def _pass(self, number: int) -> int:
        """Run all steps of an epoch; return how many images were seen, over all processes."""
        stream, seen = self.streams["train"], 0
        with torch.random.fork_rng():
            # For layers of the model that draw from the global state, such as its own dropout.
            torch.manual_seed(Draw.seeded(self.experiment.seed, number, self.fabric.global_rank).named("model").seed())
            self.module.train()
            for step, (images, labels, _) in enumerate(stream.epoch(number - 1)):
                self._step(number, step, images, labels)
                seen += len(images) * (1 if stream.shared else self.fabric.world_size)
                self.watch(Step(number, step + 1, len(stream), self.recipe.epochs, seen, self.objective.last))
        return seen

    def _step(self, number: int, step: int, images: Tensor, labels: Tensor) -> None:
        """Take one step: forward, back, and an update where the accumulated batches are complete."""
        each, steps = self.recipe.accumulate, len(self.streams["train"])
        last = (step + 1) % each == 0 or step + 1 == steps
        with (
            self.fabric.no_backward_sync(self.module, enabled=not last) if self.fabric.world_size > 1 else nullcontext()
        ):
            loss = self.module(*self._share(images, labels))
            together = min(each, steps - step // each * each)
            self.fabric.backward(loss / together if together > 1 else loss)
        if not last:
            return
        updates = ceil(steps / each)
        done = ((number - 1) * updates + step // each + 1) / (self.recipe.epochs * updates)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self.recipe.rate(done)
        if self.recipe.clip:
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=self.recipe.clip, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.objective.model)

    def _share(self, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """Return this process's part of a batch; where all processes see the whole batch, it is mixed as one "
        "process would."""
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.fabric.world_size == 1 or not self.streams["train"].shared:
            return images, labels
        batch = self.objective.prepare(images, labels)
        mine = self.streams["train"].mine(len(images))
        return batch.values[mine], batch.targets.labels[mine], batch.targets.weights[mine]

    def score(self, name: str) -> dict[str, float]:
        """Evaluate the model on the split `name`."""
        return evaluate(self.model, self.streams[name], self.fabric.autocast, self._total)

    def _total(self, sums: Tensor) -> Tensor:
        return self.fabric.all_reduce(sums, reduce_op="sum") if self.fabric.world_size > 1 else sums  # type: ignore[return-value]

    def _watched(self, number: int) -> list[str]:
        """The splits to evaluate: the one that judges after every epoch, all but the training images after the last."""
        others = [name for name in self.dataset.splits if name != "train"]
        return others if number == self.recipe.epochs else [self.judge]

    def _keep(self, epoch: Epoch) -> None:
        """Put the epoch on the disk: the best weights, then the state, then the log; a kill between any two "
        "loses nothing."""
        accuracy = epoch.scores.get(self.judge, {}).get("accuracy", -1.0)
        if accuracy > self.best.get("accuracy", -1.0):
            self.best = {"epoch": epoch.number, "split": self.judge, **epoch.scores[self.judge]}
            if self.fabric.is_global_zero:
                save_weights(self.model.state_dict(), self.run.best_weights)
        state = {**self._state(), "history": [asdict(each) for each in self.history], "best": self.best}
        if self.fabric.is_global_zero:
            self.run.checkpoint.parent.mkdir(exist_ok=True)
        with replacing(self.run.checkpoint) if self.fabric.is_global_zero else nullcontext(self.run.checkpoint) as path:
            self.fabric.save(path, state)
        if self.fabric.is_global_zero:
            self.run.log(self.history)
        self.fabric.barrier()

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"objective": self.module, "optimizer": self.optimizer}
        return state | ({"average": self.average} if self.average is not None else {})

    def _resume(self) -> None:
        """Load the state of the last whole epoch."""
        try:
            rest = self.fabric.load(self.run.checkpoint, self._state(), weights_only=True)
        except Exception as error:
            raise OverfocusError(
                f"{self.run.checkpoint} cannot be read ({error}); remove {self.run.path} and train again"
            ) from error
        self.history = [Epoch(**{**each, "warnings": tuple(each["warnings"])}) for each in rest["history"]]
        self.best = rest["best"]

    def _kept(self) -> str:
        done = len(self.history)
        return f"the state after epoch {done} is kept in {self.run.path}" if done else "no epoch was completed"

    def _finish(self) -> None:
        """Write the last weights and, behind everything else, the manifest."""
        if self.fabric.is_global_zero:
            save_weights(self.model.state_dict(), self.run.weights)
            last = {"epoch": self.recipe.epochs, "scores": self.history[-1].scores, "train": self.history[-1].train}
            self.run.finish(
                {
                    "method": self.experiment.method,
                    "classes": list(self.dataset.classes),
                    "channels": self.dataset.splits["train"].images.channels,
                    "last": last,
                    "best": {**self.best, "note": _best_note(self.judge)},
                    "seconds": sum(epoch.seconds for epoch in self.history),
                    "images": {name: len(stream.split) for name, stream in self.streams.items()},
                    "bad_images": {name: len(stream.bad) for name, stream in self.streams.items() if stream.bad},
                    "data": {"fingerprint": self.dataset.fingerprint(), "note": self.dataset.note},
                    "precision": str(self.fabric._precision.precision),
                    "processes": self.fabric.world_size,
                    **provenance(),
                }
            )
        self.fabric.barrier()


def _judge(dataset: Dataset) -> str:
    """The split that tells which epoch was best: one held out where there is one."""
    return "val" if "val" in dataset.splits else next(name for name in dataset.splits if name != "train")


def _best_note(judge: str) -> str:
    return (
        "chosen on held-out images"
        if judge == "val"
        else f"chosen on the split {judge!r} itself, so its accuracy is optimistic"
    )


def _check(dataset: Dataset) -> None:
    """Refuse what cannot be trained."""
    if len(dataset.classes) < 2:
        raise OverfocusError(
            f"{dataset.name} has one class only ({', '.join(dataset.classes)}); a classifier needs two or more"
        )

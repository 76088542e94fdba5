"""The training of one run, as an iterator of epochs; the caller logs them, shows progress, and may stop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from itertools import zip_longest
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from overfocus.core.balance import Balance
from overfocus.core.deprecation import renamed_arguments
from overfocus.core.errors import OverfocusError
from overfocus.core.files import replacing
from overfocus.core.preprocess import Preprocess
from overfocus.core.provenance import provenance
from overfocus.data import Dataset, balanced
from overfocus.data.finalize import check_trainable
from overfocus.models.checkpoints import load_weights, save_weights
from overfocus.models.smoke import try_classifier
from overfocus.training.answer_report import AnswerReport, Collected
from overfocus.training.averaging import averaged as averaged_weights
from overfocus.training.confidence import SPLIT, held_out_confidence
from overfocus.training.evaluate import evaluate
from overfocus.training.evaluate_labels import judged_by, label_report
from overfocus.training.experiment import Experiment
from overfocus.training.finetune import Judged, as_evaluated, freeze_below_last_stage, with_probed_head
from overfocus.training.objective import Objective
from overfocus.training.probe import Probe, images_for
from overfocus.training.processes import Machine, averaged, gathered, one_fate, started, together
from overfocus.training.recipe import channels_last_for
from overfocus.training.run import Epoch, Run
from overfocus.training.steps import OnStep, Steps
from overfocus.training.stopping import Stopping

OnData = Callable[[Dataset], None]
"""Called once, with the data that is trained on."""


@renamed_arguments(watch="on_step")
def train(
    experiment: Experiment,
    out: str | Path,
    machine: Machine | None = None,
    on_step: OnStep = lambda step: None,
    dataset: Dataset | None = None,
    on_data: OnData = lambda dataset: None,
) -> Iterator[Epoch]:
    """Train, yielding each epoch once it is on the disk; a stopped run resumes after its last completed epoch.

    The folder `out` becomes the run. A finished one is not trained again: its epochs are yielded as they are stored.
    `on_data` is called once the data is loaded, and `on_step` after every step. `dataset`, if given, is what
    `experiment.dataset()` returned, and is not loaded again. With several processes each yields the same epochs, and
    the first one writes.
    Raises OverfocusError for a folder that holds something else or is in use, for unreadable data, for a full disk, for
    a loss that is not finite; the state of the last completed epoch is kept in every case, and a folder in which none
    was begun is taken away again.
    """
    run = Run(Path(out))
    fabric = started(experiment.recipe.precision, machine or Machine())
    with one_fate(fabric), ExitStack() as held:
        together(fabric, lambda: _claim(run, experiment, held) if fabric.is_global_zero else None)
        if run.finished:
            yield from run.epochs()
            return
        try:
            trainer = Trainer(experiment, run, fabric, on_step, dataset, on_data)
        except OverfocusError:
            if fabric.is_global_zero:
                run.give_up()
            raise
        yield from trainer.epochs()


def _claim(run: Run, experiment: Experiment, held: ExitStack) -> None:
    held.enter_context(run.taken())
    run.claim(experiment)


@dataclass
class Trainer:
    """The state of a run while it is trained."""

    experiment: Experiment
    run: Run
    fabric: Fabric
    on_step: OnStep
    given: Dataset | None = None
    on_data: OnData = lambda dataset: None
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Collected] = field(default_factory=dict)
    """Split -> answers of the last evaluation."""
    probe_answers: dict[str, Collected] = field(default_factory=dict)
    """The same of the linear probe that tuning is judged by."""

    def __post_init__(self) -> None:
        self.recipe = self.experiment.recipe
        together(self.fabric, self._prepare)
        compiled: Any = _compiled(self.objective) if self.recipe.compile else self.objective
        self.module, self.optimizer = self.fabric.setup(compiled, self.recipe.optimizer_for(self.objective.model))
        self.steps = Steps(
            self.recipe, self.streams["train"], self.objective, self.module, self.optimizer, self.fabric, self.length,
            self.experiment.seed, self.average, self.channels_last, self.on_step,
        )  # fmt: skip

    def _prepare(self) -> None:
        """Make what can fail in one process alone: data, network, objective."""
        recipe, fabric = self.recipe, self.fabric
        self.experiment.check()
        self.dataset = self.experiment.prepared(self.given) if self.given else self.experiment.dataset()
        check_trainable(self.dataset)
        self.on_data(self.dataset)
        place: dict[str, Any] = {"device": fabric.device, "rank": fabric.global_rank, "world": fabric.world_size}
        self.streams = {name: self.experiment.stream(self.dataset, name, **place) for name in self.dataset.splits}
        self.selection_split = _selection_split(self.dataset)
        self.stopping = Stopping.of(recipe, {name: len(stream.split) for name, stream in self.streams.items()})
        images = self.streams["train"].split.images
        model = self.experiment.create_model(len(self.dataset.classes), images.channels)
        try_classifier(
            model.eval(), torch.zeros(2, images.channels, *images.size(0)), len(self.dataset.classes),
            f"model {self.experiment.model.name!r}", "another --size, data.channels or model",
        )  # fmt: skip
        self.channels_last = channels_last_for(recipe.channels_last, fabric.device)
        if self.channels_last:
            model = model.to(memory_format=torch.channels_last)
        model = self._tuned(model.to(fabric.device))
        self.length = recipe.epochs_for(len(self.streams["train"].split))
        steps = self.length * len(self.streams["train"])
        balance = None
        if not self.dataset.multi_label:
            balance = Balance.of(recipe.balance, self.streams["train"].split.counts(), self.dataset.classes)
        self.objective = Objective(
            model, self.experiment.regularizer, at=self.experiment.model.at, classes=len(self.dataset.classes),
            smoothing=recipe.smoothing, seed=self.experiment.seed, steps=steps, balance=balance,
            multi_label=self.dataset.multi_label,
        )  # fmt: skip
        self.objective.check_size(torch.zeros(1, images.channels, *images.size(0), device=fabric.device))
        self.average = averaged_weights(model, recipe.ema, warmed=recipe.tune != "scratch") if recipe.ema else None

    def _tuned(self, model: nn.Module) -> nn.Module:
        """Return the network with the head that its tuning begins with; what stays as it is needs no gradient."""
        self.linear_probe: nn.Module | None = None
        self.probe_said = ""
        if self.recipe.probes:
            model, self.probe_said = with_probed_head(model, self.experiment, self.dataset, self.fabric.device)
            self.linear_probe = deepcopy(model).eval().requires_grad_(False)
        if self.recipe.tune == "last-stage":
            freeze_below_last_stage(model)
        return model

    @property
    def model(self) -> nn.Module:
        """The network that is evaluated and saved."""
        return self.average.module if self.average is not None else self.objective.model

    def epochs(self) -> Iterator[Epoch]:
        """Train from the last completed epoch to the end."""
        if self.run.checkpoint.exists():
            together(self.fabric, self._resume)
            yield from self.history
        while not self._over():
            epoch = self._untrained() if self.recipe.tune == "probe" else self._epoch(len(self.history) + 1)
            self.history.append(epoch)
            together(self.fabric, lambda epoch=epoch: self._keep(epoch))
            yield epoch
        together(self.fabric, self._finish)

    def _over(self) -> bool:
        last = self.history[-1] if self.history else None
        if last is None:
            return False
        return last.number >= self.length or self.stopping.due(last.number, last.scores, self.best)

    def _untrained(self) -> Epoch:
        """Evaluate a probe, which nothing is trained of any more; its training scores are of images as evaluated."""
        began = perf_counter()
        scores = self._scores(1)
        stream = as_evaluated(self.experiment, self.dataset, self.fabric.device)
        train = evaluate(self.model, stream, self.fabric.autocast)
        seconds = perf_counter() - began
        return Epoch(1, seconds, train.pop("images") / seconds, 0.0, train, scores, probe=self._probed(1))

    def _epoch(self, number: int) -> Epoch:
        """Train for one epoch and evaluate."""
        started = perf_counter()
        images, loss = self.steps.epoch(number)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # The loss of the report leaves out NaN, as every measured quantity does; this one must not.
            means = averaged(self.fabric, {**self.objective.report(), "loss": loss})
        if not isfinite(means["loss"]):
            raise OverfocusError(
                f"the loss of epoch {number} is {means['loss']}; {self._kept()}: lower recipe.lr (now "
                f"{self.recipe.lr:g}), set recipe.clip=1, or use recipe.precision='32-true', and give another --out"
            )
        seconds = perf_counter() - started
        due = number == self.length or (self._chooses and number % self.recipe.evaluate_every == 0)
        scores = self._scores(number) if due else {}
        messages = tuple(str(warning.message) for warning in caught)
        rate = self.optimizer.param_groups[0]["lr"]
        return Epoch(number, seconds, images / seconds, rate, means, scores, messages, self._probed(number))

    @property
    def _chooses(self) -> bool:
        """Whether a best epoch is chosen. A network that is tuned is not chosen on test images, which take longer than
        a few training images.
        """
        return self.recipe.tune == "scratch" or self.selection_split == "val"

    def _probed(self, number: int) -> dict[str, float]:
        """Return where the network looks, in the epochs that are probed."""
        every = self.recipe.probe
        due = every and (number % every == 0 or number == self.length)
        return self.probe.look(self.model) if due else {}

    @cached_property
    def probe(self) -> Probe:
        """A few images of the split that chooses the best epoch."""
        split = self.streams[self.selection_split].split
        count = images_for(len(self.streams["train"].split))
        few = split.subset(balanced(split.labels, count, self.experiment.seed))
        stream = self.experiment.stream(
            replace(self.dataset, splits={"probe": few}), "probe", device=self.fabric.device, rank=0, world=1
        )
        return Probe.of(stream, self.model, self.experiment.model.at)

    def score(
        self, name: str, model: nn.Module | None = None, answers: dict[str, Collected] | None = None
    ) -> dict[str, float]:
        """Evaluate the network, or another `model`, on the split `name`, and keep its answers in `answers` if given."""
        total: Any = partial(self.fabric.all_reduce, reduce_op="sum")
        place = model or self.model, self.streams[name], self.fabric.autocast, total
        if answers is None:
            return evaluate(*place)
        answers[name] = Collected()
        return evaluate(*place, answers[name])

    def _scores(self, number: int) -> dict[str, dict[str, float]]:
        """Evaluate the network after an epoch, and keep its answers after the last one."""
        answers = self.answers if number == self.length else None
        return {name: self.score(name, answers=answers) for name in self._evaluated(number)}

    def _evaluated(self, number: int) -> list[str]:
        """Return the splits to evaluate: that which chooses the best epoch; at the end all but the training images."""
        others = [name for name in self.dataset.splits if name != "train"]
        return others if number == self.length else [self.selection_split]

    def _keep(self, epoch: Epoch) -> None:
        """Write the best weights, then the state, then the log; a process killed between any two loses nothing."""
        writes, scores = self.fabric.is_global_zero, epoch.scores.get(self.selection_split)
        if writes:
            self.run.checkpoint.parent.mkdir(exist_ok=True)
        if scores and self.stopping.better(scores, self.best):
            self.best = {"epoch": epoch.number, "split": self.selection_split, **scores}
            if writes:
                file = self.run.best_so_far if self.stopping.patience else self.run.best_weights
                save_weights(self.model.state_dict(), file)
        history, classes = [asdict(each) for each in self.history], list(self.dataset.classes)
        state = {**self._state(), "history": history, "best": self.best, "classes": classes}
        with replacing(self.run.checkpoint) if writes else nullcontext(self.run.checkpoint) as path:
            self.fabric.save(path, state)
        if writes:
            self.run.log(self.history)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"objective": self.module, "optimizer": self.optimizer}
        return state | ({"average": self.average} if self.average is not None else {})

    def _resume(self) -> None:
        """Load the state of the last completed epoch, and write its log, which a killed process may have missed."""
        try:
            rest = self.fabric.load(self.run.checkpoint, self._state(), weights_only=True)
        except Exception as error:
            raise OverfocusError(
                f"{self.run.checkpoint} cannot be read: damaged, or of another version of the model "
                f"({type(error).__name__}); remove {self.run.path} and train again"
            ) from error
        self._check_classes(rest.get("classes", list(self.dataset.classes)))
        self.history = [Epoch(**{**each, "warnings": tuple(each["warnings"])}) for each in rest["history"]]
        self.best = rest["best"]
        if self.fabric.is_global_zero:
            self.run.log(self.history)

    def _check_classes(self, before: list[str]) -> None:
        """Refuse to go on with other classes, or in another order, than the run was begun with."""
        changes = [(was, now) for was, now in zip_longest(before, self.dataset.classes) if was != now]
        if changes:
            was, now = (repr(name) if name is not None else "none" for name in changes[0])
            raise OverfocusError(
                f"{self.run.path} was begun with other classes than {self.dataset.name} has now: {was} is {now}; bring "
                "the data back, or give another --out"
            )

    def _kept(self) -> str:
        done = len(self.history)
        return f"the state after epoch {done} is kept in {self.run.path}" if done else "no epoch was completed"

    def _finish(self) -> None:
        """Write the last weights and, after everything else, the manifest."""
        kept, scores = self._chosen()
        judged = self._judged(scores)
        model = self.linear_probe if judged and judged.keeps_probe else self.model
        assert model is not None
        both = self.stopping.patience  # then the result is the best one as well
        if judged and judged.keeps_probe and (both or judged_by(judged.kept["val"])[1] > judged_by(self.best)[1]):
            self.best = {"epoch": 0, "split": "val", **judged.kept["val"]}
        more = {**self._labels(model), **self._confidence(model), **self._answers(model)}
        if self.fabric.is_global_zero:
            if self.best.get("epoch") == 0 or self.stopping.patience:
                save_weights(model.state_dict(), self.run.best_weights)
            save_weights(model.state_dict(), self.run.weights)
            self.run.finish({**self._manifest(kept, judged.kept if judged else scores, judged), **more})

    def _confidence(self, model: nn.Module) -> dict[str, Any]:
        """Return what the manifest keeps of the answers of `model` to held-out images, by which it is calibrated."""
        if SPLIT not in self.streams or self.dataset.multi_label:
            return {}
        return {"confidence": held_out_confidence(model, self.streams[SPLIT], self.fabric).as_dict()}

    def _answers(self, model: nn.Module) -> dict[str, Any]:
        """Return how good the answers of `model` are on each split whose images have one class."""
        if self.dataset.multi_label:
            return {}
        found = {}
        for name in self._evaluated(self.length):
            if not self.streams[name].split.cues:
                parts = gathered(self.fabric, self._answered(name, model).together())
                found[name] = AnswerReport.of(parts, self.dataset.classes, self.streams[name].split.groups).as_dict()
        return {"answers": found}

    def _answered(self, name: str, model: nn.Module) -> Collected:
        """Return the answers of `model`, the network or the probe that it began as, to the split `name`."""
        answers = self.probe_answers if model is self.linear_probe else self.answers
        if name not in answers:  # the process that evaluated the last epoch ended there
            self.score(name, model, answers)
        return answers[name]

    def _labels(self, model: nn.Module) -> dict[str, Any]:
        """Return thresholds and scores of each label, where images have several."""
        if not self.dataset.multi_label:
            return {}
        found = {name: self._answered(name, model).together() for name in self._evaluated(self.length)}
        logits, labels = ({name: each[part] for name, each in found.items()} for part in (0, 1))
        return {"multi_label": True, "labels": label_report(logits, labels, self.dataset.classes)}

    def _chosen(self) -> tuple[Epoch, dict[str, dict[str, float]]]:
        """Take the network of the best epoch where training may stop early, else that of the last; return the epoch,
        and the scores of its network on all that is evaluated.
        """
        last = self.history[-1]
        if not self.stopping.patience or self.best.get("epoch", last.number) == last.number:
            return last, last.scores
        load_weights(self.model, self.run.best_so_far)
        return self.history[self.best["epoch"] - 1], self._scores(self.length)

    def _judged(self, scores: dict[str, dict[str, float]]) -> Judged | None:
        """Compare a network that was tuned with the probe that it began as, on all that is evaluated."""
        if not self.recipe.judged or self.linear_probe is None:
            return None
        probe = {name: self.score(name, self.linear_probe, self.probe_answers) for name in self._evaluated(self.length)}
        of_labels = "mean_average_precision" in probe.get("val", {})
        return Judged(probe, scores, "mean_average_precision" if of_labels else self.recipe.judged_by)

    def _manifest(self, kept: Epoch, scores: dict[str, dict[str, float]], judged: Judged | None) -> dict[str, Any]:
        """Return what a reader of the weights must know: they are those of the epoch `kept`."""
        images = self.streams["train"].split.images
        return {
            "method": self.experiment.method,
            "method_in_full": self.experiment.regularizer.spec(full=True),
            "classes": list(self.dataset.classes),
            "channels": images.channels,
            "size": list(images.size(0)),
            "mean": self.dataset.mean,
            "std": self.dataset.std,
            "preprocess": self._preprocess().as_dict(),
            "last": {"epoch": kept.number, "scores": scores, "train": kept.train},
            "best": {**self.best, "note": _best_note(self.selection_split)},
            **self._length(kept.number),
            **({"linear_probe": self.probe_said} if self.probe_said else {}),
            **({"tuned": judged.as_dict()} if judged else {}),
            "seconds": sum(epoch.seconds for epoch in self.history),
            "images": {name: len(stream.split) for name, stream in self.streams.items()},
            "bad_images": {name: len(stream.bad) for name, stream in self.streams.items() if stream.bad},
            "data": {"fingerprint": self.dataset.fingerprint(), "note": self._note()},
            "precision": str(self.fabric.strategy.precision.precision),
            "processes": self.fabric.world_size,
            **provenance(),
        }

    def _length(self, kept: int) -> dict[str, Any]:
        """Return how long was trained, and why; nothing of a recipe that does not say it."""
        if self.recipe.patience == 0 or self.recipe.tune == "probe":
            return {}
        return {"early_stopping": self.stopping.as_dict(len(self.history), self.length, kept)}

    def _preprocess(self) -> Preprocess:
        size, dataset = self.streams["train"].split.images.size(0), self.dataset
        return replace(dataset.preprocess, size=size, mean=dataset.mean, std=dataset.std)

    def _note(self) -> str:
        bad = [each for stream in self.streams.values() for each in stream.bad]
        left_out = f"{len(bad)} images cannot be read and were left out; the first: {bad[0].reason}." if bad else ""
        return self.dataset.noting(left_out).note


def _selection_split(dataset: Dataset) -> str:
    """Return the split whose accuracy chooses the best epoch: the validation images where there are some."""
    return "val" if "val" in dataset.splits else next(name for name in dataset.splits if name != "train")


def _best_note(split: str) -> str:
    return (
        "chosen on held-out images"
        if split == "val"
        else f"chosen on the split {split!r} itself, so its accuracy is optimistic"
    )


def _compiled(objective: Objective) -> Any:
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 8):
        raise OverfocusError(
            f"recipe.compile: the compiler of torch {torch.__version__} cannot trace methods; take a newer torch, or "
            "leave it out"
        )
    return torch.compile(objective)

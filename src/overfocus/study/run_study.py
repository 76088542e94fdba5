"""The runs of a study given to an engine until all are finished or have failed, as a stream of statuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from overfocus.core.errors import OverfocusError
from overfocus.study.comparison import Comparison
from overfocus.study.engines.engine import Engine, Job, Outcome
from overfocus.study.results import read_results
from overfocus.study.run_key import ANSWERS, FAILURE, RunKey, Size
from overfocus.study.study import Study, claimed
from overfocus.training.processes import Machine
from overfocus.training.run import Run

PAUSE = 3.0
"""Seconds after which a run that another process holds is tried again."""
LOSSES = 4
"""How often in a row a run may lose its process without progress before it counts as failed."""
POLL = 0.5
"""Seconds between two statuses."""


@dataclass(frozen=True)
class Status:
    """How far a study is."""

    total: int
    finished: tuple[RunKey, ...]
    failed: Mapping[RunKey, str]
    running: Mapping[RunKey, tuple[int, int]] = field(default_factory=dict)
    """Run -> epochs that are done, and how many there are."""
    done: float = 0.0
    """Work that is done, as a share of all in [0, 1], counted in epochs times images."""
    seconds_left: float | None = None
    """By the pace since this command began; None while there is none yet."""
    news: tuple[Outcome, ...] = ()
    """What ended since the last status."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return len(self.finished) + len(self.failed) == self.total


def run_study(
    study: Study, folder: Path, engine: Engine, machine: Machine | None = None, log: tuple[str, ...] = ()
) -> Iterator[Status]:
    """Do all runs of `study` below `folder`, yielding a status twice a second and whenever a run ends.

    With planned looks it ends at the first one at which every verdict is settled. Finished runs are not
    done again, stopped ones are resumed, failed ones are tried once more. Several commands may
    work on one folder: no two do the same run. Whoever stops consuming stops the study; `engine` is closed by its
    owner. Raises OverfocusError for a folder that holds something else, and for what would stop every run, such as a
    full disk.
    """
    folder = folder.absolute()
    study, failed = claimed(folder, study), {}
    for seeds in study.looks or (len(study.seeds),):
        queue = RunQueue(study.up_to(seeds), folder, engine, machine or Machine(), log, failed=failed)
        yield queue.status()
        while queue.waiting or queue.active:
            queue.submit()
            ended = [queue.settle(outcome) for outcome in engine.wait(POLL)]
            yield queue.status(tuple(outcome for outcome in ended if outcome))
        failed = queue.failed
        if study.looks and queue.finished and is_settled(folder):
            return


def is_settled(folder: Path) -> bool:
    """Whether every verdict of the study in `folder` is settled at its last whole look."""
    comparison = Comparison(read_results(folder))
    judged = [comparison.of(comparison.results.metric, size) for size in comparison.study.sizes]
    effects = [effect for of in judged for effect in of.effects.values()]
    return all(effect.verdict != "too few seeds" for effect in effects)


@dataclass
class RunQueue:
    """Runs that wait, are active, are finished, or have failed."""

    study: Study
    folder: Path
    engine: Engine
    machine: Machine
    log: tuple[str, ...]
    active: list[RunKey] = field(default_factory=list)
    failed: dict[RunKey, str] = field(default_factory=dict)
    _losses: dict[RunKey, tuple[int, int]] = field(default_factory=dict)
    """Run -> how often it lost its process, and its progress then."""
    _not_before: dict[RunKey, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keys, record = list(self.study.run_keys()), self.study.examine.record
        self.finished = [key for key in keys if key.state(self.folder, record) == "finished"]
        self.waiting = [key for key in keys if key not in {*self.finished, *self.failed}]
        self._epochs = {key: self.study.experiment(key).recipe.epochs_for(1) for key in keys}
        self._work = {key: _work(self.study, key) for key in keys}
        self._began, self._done_before = monotonic(), self._done()

    def submit(self) -> None:
        """Give the engine as many runs as it has slots for."""
        now = monotonic()
        ready = [key for key in self.waiting if self._not_before.get(key, 0.0) <= now]
        for key in ready[: max(0, self.engine.slots - len(self.active))]:
            self.waiting.remove(key)
            self.active.append(key)
            self.engine.submit(Job(self.folder, key, self.machine, self.study.threads, self.log))

    def settle(self, outcome: Outcome) -> Outcome | None:
        """Take in how a job ended; None for a run that is to be tried again."""
        key = outcome.job.key
        if key in self.active:
            self.active.remove(key)
        if outcome.state == "stopped":
            raise OverfocusError(outcome.error)
        if outcome.state == "lost" and self._lost_too_often(key):
            outcome = replace(outcome, state="failed", error=f"{outcome.error}, {LOSSES} times without progress")
            key.fail(self.folder, outcome.error)
        if outcome.state in ("taken", "lost"):
            self.waiting.append(key)
            self._not_before[key] = monotonic() + PAUSE * (outcome.state == "taken")
            return None
        if outcome.state == "finished":
            self.finished.append(key)
        else:
            self.failed[key] = outcome.error
        return outcome

    def _lost_too_often(self, key: RunKey) -> bool:
        progress = _progress(key.folder(self.folder))
        times, before = self._losses.get(key, (0, -1))
        times = times + 1 if progress == before else 1
        self._losses[key] = times, progress
        return times >= LOSSES

    def status(self, news: tuple[Outcome, ...] = ()) -> Status:
        """Return how far the study is, as the disk shows."""
        done, total = self._done(), sum(self._work.values())
        gained, seconds = done - self._done_before, monotonic() - self._began
        left = (total - done) / gained * seconds if gained > 0 else None
        running = {key: (epochs_done(key.folder(self.folder)), self._epochs[key]) for key in self.active}
        return Status(len(self._work), tuple(self.finished), dict(self.failed), running, done / total, left, news)

    def _done(self) -> float:
        """Return the work that is done; evaluation and examination are as an epoch more."""
        whole = sum(self._work[key] for key in (*self.finished, *self.failed))
        parts = {key: epochs_done(key.folder(self.folder)) / (self._epochs[key] + 1)
                 for key in (*self.active, *self.waiting)}  # fmt: skip
        return whole + sum(self._work[key] * part for key, part in parts.items())


def epochs_done(folder: Path) -> int:
    """Return how many epochs of a run are on the disk."""
    try:
        return (folder / "epochs.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def _progress(folder: Path) -> int:
    """Return a number that grows with every step of a run."""
    return epochs_done(folder) + Run(folder).finished + (folder / ANSWERS).is_file() + (folder / FAILURE).is_file()


def _work(study: Study, key: RunKey) -> float:
    """Return how much work a run is, beside the other runs of the study; evaluation counts like so many images."""
    recipe = study.experiment(key).recipe
    share = _amount(key.size) / max(map(_amount, study.sizes))
    return recipe.epochs_for(1) * (share + 0.05 / recipe.evaluate_every) + 1.0


def _amount(size: Size) -> float:
    return size.per_class or size.fraction or 1.0

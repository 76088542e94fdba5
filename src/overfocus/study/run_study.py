"""A study, done: its runs given to an engine until all are finished or have failed, as a stream of how it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from overfocus.core.errors import OverfocusError
from overfocus.study.engines.engine import Engine, Job, Outcome
from overfocus.study.run_key import FAILURE, RunKey
from overfocus.study.study import Study, claimed
from overfocus.training.processes import Machine
from overfocus.training.run import Run

PAUSE = 3.0
"""Seconds after which a run that another process holds is tried again."""
LOSSES = 4
"""How often in a row a run may lose its process without getting on before it counts as failed."""
LOOK = 0.5
"""Seconds between two looks at how the runs stand."""


@dataclass(frozen=True)
class Status:
    """How a study stands."""

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
    """What ended since the last standing."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return len(self.finished) + len(self.failed) == self.total


def run_study(study: Study, folder: Path, engine: Engine, machine: Machine | None = None,
            log: tuple[str, ...] = ()) -> Iterator[Status]:  # fmt: skip
    """Do all runs of `study` below `folder`, yielding how it stands twice a second and whenever a run ends.

    Finished runs are not done again, stopped ones go on, failed ones are tried once more. Several commands may work on
    one folder: no two do the same run. Whoever stops consuming stops the study; `engine` is closed by its owner.
    Raises OverfocusError for a folder that holds something else, and for what would befall every run, such as a full
    disk.
    """
    folder = folder.absolute()
    conductor = Conductor(claimed(folder, study), folder, engine, machine or Machine(), log)
    yield conductor.standing(())
    while not conductor.over:
        conductor.submit()
        yield conductor.standing(conductor.settle(engine.wait(LOOK)))


@dataclass
class Conductor:
    """What is to do, what is being done, and what is done."""

    study: Study
    folder: Path
    engine: Engine
    machine: Machine
    log: tuple[str, ...] = ()
    finished: list[RunKey] = field(default_factory=list)
    failed: dict[RunKey, str] = field(default_factory=dict)
    active: dict[RunKey, Job] = field(default_factory=dict)
    _losses: dict[RunKey, tuple[int, int]] = field(default_factory=dict)
    """Run -> how often it lost its process, and where it stood then."""
    _not_before: dict[RunKey, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cells = list(self.study.cells())
        record = self.study.examine.record
        self.finished = [cell for cell in self.cells if cell.state(self.folder, record) == "finished"]
        self.todo = [cell for cell in self.cells if cell not in set(self.finished)]
        self._cost = {cell: _cost(self.study, cell) for cell in self.cells}
        self._began, self._work_at_start = monotonic(), self._work()

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return not self.todo and not self.active

    def submit(self) -> None:
        """Give the engine as much as it takes."""
        now = monotonic()
        ready = [cell for cell in self.todo if self._not_before.get(cell, 0.0) <= now]
        for cell in ready[: max(0, self.engine.slots - len(self.active))]:
            self.todo.remove(cell)
            self.active[cell] = Job(self.folder, cell, self.machine, self.study.threads, self.log)
            self.engine.submit(self.active[cell])

    def settle(self, outcomes: list[Outcome]) -> tuple[Outcome, ...]:
        """Take in how jobs ended; return those that ended for good."""
        return tuple(outcome for outcome in outcomes if self._settled(outcome))

    def _settled(self, outcome: Outcome) -> bool:
        cell = outcome.job.cell
        self.active.pop(cell, None)
        if outcome.state == "stopped":
            raise OverfocusError(outcome.error)
        if outcome.state == "lost" and self._given_up(cell):
            outcome = replace(outcome, state="failed", error=f"{outcome.error}, {LOSSES} times without getting on")
            cell.fail(self.folder, outcome.error)
        if outcome.state in ("taken", "lost"):
            self.todo.append(cell)
            self._not_before[cell] = monotonic() + PAUSE * (outcome.state == "taken")
            return False
        if outcome.state == "finished":
            self.finished.append(cell)
        else:
            self.failed[cell] = outcome.error
        return True

    def _given_up(self, cell: RunKey) -> bool:
        """Whether a run has lost its process too often at one place."""
        place = _place(cell.folder(self.folder))
        times, before = self._losses.get(cell, (0, -1))
        times = times + 1 if place == before else 1
        self._losses[cell] = times, place
        return times >= LOSSES

    def standing(self, news: tuple[Outcome, ...]) -> Status:
        """Return how the study stands, as the disk tells."""
        work, whole = self._work(), sum(self._cost.values())
        gained, passed = work - self._work_at_start, monotonic() - self._began
        left = (whole - work) / gained * passed if gained > 0 else None
        running = {cell: (self._epochs(cell), self._of(cell)) for cell in self.active}
        return Status(len(self.cells), tuple(self.finished), dict(self.failed), running, work / whole, left, news)

    def _work(self) -> float:
        whole = sum(self._cost[cell] for cell in (*self.finished, *self.failed))
        return whole + sum(self._cost[c] * self._epochs(c) / (self._of(c) + 1) for c in (*self.active, *self.todo))

    def _of(self, cell: RunKey) -> int:
        return self.study.experiment(cell).recipe.epochs

    def _epochs(self, cell: RunKey) -> int:
        return epochs_done(cell.folder(self.folder))


def epochs_done(folder: Path) -> int:
    """Return how many epochs of a run are on the disk."""
    try:
        return (folder / "epochs.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def _place(folder: Path) -> int:
    """Return a number that grows with every step that a run gets on."""
    return (
        epochs_done(folder) + Run(folder).finished + (folder / "answers.npz").is_file() + (folder / FAILURE).is_file()
    )


def _cost(study: Study, cell: RunKey) -> float:
    """Return how much work a run is, beside the other runs of the study; evaluation counts like so many images."""
    images = cell.size.per_class or cell.size.fraction or 1.0
    largest = max(size.per_class or size.fraction or 1.0 for size in study.sizes)
    recipe = study.experiment(cell).recipe
    return recipe.epochs * (images / largest + 0.05 / recipe.evaluate_every) + 1.0


def failures(folder: Path, study: Study) -> dict[RunKey, str]:
    """Return why runs failed, as their folders tell."""
    found = {}
    for cell in study.cells():
        path = cell.folder(folder) / FAILURE
        if path.is_file():
            found[cell] = json.loads(path.read_text(encoding="utf-8"))["error"]
    return found

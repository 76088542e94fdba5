"""Tuning: the settings of methods found by trials on held-out training images, the same budget for every method.

The test images are not even loaded. A trial is a run in a folder, its number and outcome stand in an SQLite file: a
stopped command is resumed, a trial whose process died resumes after its last completed epoch, and several commands on
one folder share the budget. The search is Optuna's (Akiba et al. 2019, 1907.10902).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from zlib import crc32

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.files import DiskFull, Taken, held, write
from overfocus.study.answers import SCORES
from overfocus.study.groups import check_groups
from overfocus.study.run_key import slug
from overfocus.study.search_space import Space
from overfocus.training.experiment import Experiment, put_together
from overfocus.training.group_sums import WORST_GROUP
from overfocus.training.loop import train
from overfocus.training.processes import Machine
from overfocus.training.run import Run

HELD_OUT = 0.2
"""Part of the training images that settings are chosen on, where the experiment holds none out."""
METRICS = {name: SCORES[name] for name in ("accuracy", "balanced_accuracy", "worst_group")}
"""Scores that trials may be compared by -> in words."""
PRUNERS = ("median", "hyperband", "none")
DATABASE, TUNED = "tune.db", "tuned.json"
PAUSE = 0.2


@dataclass(frozen=True)
class Trial:
    """One choice of settings, tried."""

    number: int
    method: str
    changes: dict[str, Any]
    """Settings of the recipe that were searched."""
    value: float
    """Accuracy, or the budget's metric, on the held-out images after the last epoch, mean over seeds; NaN where it was
    pruned or failed.
    """
    epochs: int
    """That were trained."""
    state: str
    """complete, pruned or fail."""


@dataclass(frozen=True)
class Tuned:
    """The best settings of one method."""

    spec: str
    """As it was written, with open settings."""
    method: str
    """The best one, as `train` takes it."""
    changes: dict[str, Any]
    value: float
    """Its accuracy, or the budget's metric, on the held-out images: chosen as the best of so many, so it flatters."""
    trials: tuple[Trial, ...] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


OnTrial = Callable[[str, Trial], None]
"""Called with the spec and each trial that ended."""


@dataclass(frozen=True)
class Budget:
    """What every method is given."""

    trials: int = 20
    seeds: int = 1
    pruner: str = "median"
    search: tuple[str, ...] = ()
    """Open settings of the recipe, for every method alike, such as "recipe.lr=?"."""
    metric: str = "accuracy"
    """Of `METRICS`: by which score on the held-out images trials are compared."""

    def __post_init__(self) -> None:
        if self.pruner not in PRUNERS:
            raise UnknownName("pruner", self.pruner, PRUNERS)
        if self.metric not in METRICS:
            raise UnknownName("metric", self.metric, METRICS)
        if self.trials < 1 or self.seeds < 1:
            raise OverfocusError(f"trials = {self.trials}, seeds = {self.seeds}: give 1 of each at least")


def tune(
    experiment: Experiment, specs: Sequence[str], out: Path, budget: Budget | None = None,
    machine: Machine | None = None, on_trial: OnTrial = lambda spec, trial: None,
) -> list[Tuned]:  # fmt: skip
    """Tune every method of `specs` with the same budget and return what was found, in their order.

    `out` gets tune.db, trials/, tuned.json and tuned.toml, which is a beginning of a study's file. Raises
    OverfocusError for a spec that is none, a setting without a range, a folder of another search, and where no trial
    of a method could be finished.
    """
    optuna = _imported()
    budget = budget or Budget()
    spaces = [Space.read(spec, budget.search) for spec in specs]
    experiment = _without_test(experiment)
    if budget.metric == WORST_GROUP:
        check_groups(experiment.dataset().splits["val"])
    _claim(out, experiment, budget)
    searches = [Search(optuna, space, experiment, out, budget, machine or Machine(), on_trial) for space in spaces]
    found = [search.run() for search in searches]
    write(out / TUNED, json.dumps([each.as_dict() for each in found], indent=2) + "\n")
    write(out / "tuned.toml", _toml(found))
    return found


def _without_test(experiment: Experiment) -> Experiment:
    data = experiment.data.model_copy(update={"held_back": True, "val": experiment.data.val or HELD_OUT})
    return experiment.model_copy(update={"data": data})


def _claim(out: Path, experiment: Experiment, budget: Budget) -> None:
    """Make the folder this search's; methods and trials may be added to one, what they share may not change."""
    path = out / "search.toml"
    metric = "" if budget.metric == "accuracy" else f", metric {budget.metric}"
    text = f"{experiment.toml()}\n# {budget.seeds} seeds, pruner {budget.pruner}{metric}\n"
    if not path.exists():
        if out.is_file() or (out.is_dir() and any(each.name[0] != "." for each in out.iterdir())):
            raise OverfocusError(f"{out} is not empty and holds no search; give a new folder as --out")
        write(path, text)
    elif path.read_text(encoding="utf-8") != text:
        raise OverfocusError(f"{out} holds a search with other settings; give another --out")


def _toml(found: Sequence[Tuned]) -> str:
    import tomli_w

    values = [f"# {each.spec}: {each.value:.4f} on held-out images, {len(each.trials)} trials" for each in found]
    changed = [f"#   with {name} = {value}" for each in found for name, value in each.changes.items()]
    return "\n".join([*values, *changed]) + "\n" + tomli_w.dumps({"methods": [each.method for each in found]})


@dataclass
class Search:
    """The trials of one method."""

    optuna: Any
    space: Space
    experiment: Experiment
    out: Path
    budget: Budget
    machine: Machine
    on_trial: OnTrial

    def __post_init__(self) -> None:
        self.key = f"{self.space.spec} | {' | '.join(self.budget.search)}"
        self.folder = self.out / "trials" / slug(self.key)
        # With nothing open there is one choice, and trying it again would give the same number.
        self.trials = self.budget.trials if self.space.dimensions else 1
        with self._database():
            self.study = self.optuna.create_study(
                storage=f"sqlite:///{(self.out / DATABASE).absolute()}", study_name=self.key, direction="maximize",
                load_if_exists=True, pruner=_pruner(self.optuna, self.budget),
            )  # fmt: skip

    def run(self) -> Tuned:
        """Spend what is left of the budget and return the best trial."""
        while not self._over():
            with ExitStack() as stack:
                if trial := self._next(stack):
                    self._try(trial)
                else:  # other processes are at the last trials
                    time.sleep(PAUSE)
        return self._best()

    def _over(self) -> bool:
        known = self.study.get_trials(deepcopy=False)
        return len(known) >= self.trials and all(each.state.is_finished() for each in known)

    def _next(self, stack: ExitStack) -> Any:
        """Return a trial that this process holds until `stack` is closed: first one whose process died, then a new one;
        None where other processes hold all that are left.
        """
        with self._database():
            known = self.study.get_trials(deepcopy=False)
            for old in known:
                if not old.state.is_finished() and _entered(stack, self._lock(old.number)):
                    return self.optuna.trial.Trial(self.study, old._trial_id)
            if len(known) >= self.trials:
                return None
            # The same choices whoever makes them, and however often the command was stopped.
            seed = crc32(f"{self.key} {self.experiment.seed} {len(known)}".encode())
            self.study.sampler = self.optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, self.trials // 2))
            trial = self.study.ask()
            _entered(stack, self._lock(trial.number))
            return trial

    def _lock(self, number: int) -> Path:
        return self.folder / f"{number:04}" / ".trial"

    @contextmanager
    def _database(self) -> Iterator[None]:
        """Have the database for this process alone, waiting for others."""
        with ExitStack() as stack:
            while not _entered(stack, self.out / ".asking"):
                time.sleep(PAUSE / 10)
            yield

    def _try(self, trial: Any) -> None:
        states = self.optuna.trial.TrialState
        method, changes = self.space.ask(trial)
        folder = self.folder / f"{trial.number:04}"
        epochs: list[int] = []
        state, value = states.COMPLETE, None
        try:
            values = [self._train(trial, method, changes, folder, seed, epochs) for seed in range(self.budget.seeds)]
            value = sum(values) / len(values)
        except self.optuna.TrialPruned:
            state = states.PRUNED
        except DiskFull:
            raise
        except OverfocusError as error:
            write(folder / "failure.json", json.dumps({"error": str(error)}) + "\n")
            state = states.FAIL
        for name, content in {"epochs": sum(epochs), "method": method, "changes": changes}.items():
            trial.set_user_attr(name, content)
        self.study.tell(trial, value, state=state)
        self.on_trial(self.space.spec, _trial(self.study.trials[trial.number]))

    def _train(
        self, trial: Any, method: str, changes: dict[str, Any], folder: Path, seed: int, epochs: list[int]
    ) -> float:
        """Train one seed and return its score on the held-out images; only the first seed may be pruned."""
        values = put_together(self.experiment.model_dump(exclude_none=True), {"method": method, **changes}, [])
        experiment = Experiment.read({**values, "seed": self.experiment.seed + seed}, "tune")
        run = Run(folder / f"seed{experiment.seed}")
        known = trial.storage.get_trial(trial._trial_id).intermediate_values
        score = float("nan")
        epochs.append(0)
        for epoch in train(experiment, run.path, self.machine):
            epochs[-1] = epoch.number
            score = epoch.scores.get("val", {}).get(self.budget.metric, score)
            if seed > 0 or not epoch.scores:
                continue
            if epoch.number not in known:
                trial.report(score, epoch.number)
            if epoch.number < experiment.recipe.epochs and trial.should_prune():
                raise self.optuna.TrialPruned
        run.checkpoint.unlink(missing_ok=True)  # a finished run needs none
        return score

    def _best(self) -> Tuned:
        trials = tuple(_trial(each) for each in self.study.get_trials(deepcopy=False))
        whole = [each for each in trials if each.state == "complete"]
        if not whole:
            raise OverfocusError(
                f"{self.space.spec}: none of {len(trials)} trials could be finished; see {self.folder}/*/failure.json"
            )
        best = max(whole, key=lambda each: (each.value, -each.number))
        return Tuned(self.space.spec, best.method, best.changes, best.value, trials)


def _entered(stack: ExitStack, lock: Path) -> bool:
    """Hold a lock file until `stack` is closed; return whether no other process holds it."""
    try:
        stack.enter_context(held(lock, "held by another process"))
    except Taken:
        return False
    return True


def _trial(frozen: Any) -> Trial:
    about = frozen.user_attrs
    value = frozen.value if frozen.value is not None and frozen.state.name == "COMPLETE" else float("nan")
    return Trial(
        frozen.number, about.get("method", ""), about.get("changes", {}), float(value), about.get("epochs", 0),
        frozen.state.name.lower(),
    )  # fmt: skip


def _pruner(optuna: Any, budget: Budget) -> Any:
    if budget.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    return optuna.pruners.HyperbandPruner() if budget.pruner == "hyperband" else optuna.pruners.NopPruner()


def _imported() -> Any:
    try:
        optuna = import_module("optuna")
    except ImportError:
        raise OverfocusError("tune needs Optuna, which is not installed: pip install 'overfocus[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna

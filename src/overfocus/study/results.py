"""The results of the finished runs of a study, as values that can be compared seed by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.catalogue import headline
from overfocus.diagnosis.fillings import FILLINGS
from overfocus.metrics.score import Better
from overfocus.statistics.sequential import ONCE, Look
from overfocus.study import half_object
from overfocus.study.answers import SCORES, Answers, out_of_fold
from overfocus.study.run_key import ANSWERS, COMPUTE, DIAGNOSIS, RunKey, Size, is_examined
from overfocus.study.study import Study, read_study
from overfocus.training.evaluate import FOLLOWS, follows
from overfocus.training.run import Epoch, Run


@dataclass(frozen=True)
class Measure:
    """A number that every run has, and how to read it."""

    key: str
    """`NAME` or `best_NAME` of `answers.SCORES`, `SPLIT.accuracy`, `SPLIT.follows_CUE`, or `SECTION.SCORE` of the
    examination."""
    title: str
    better: Better
    unit: str = ""
    margin: float = nan
    """The least difference that matters, in the measure's own unit; NaN for unknown."""
    section: str = ""
    """That of the examination whose score it is; empty for those of the answers."""

    @property
    def name(self) -> str:
        """That of the score in its section."""
        return self.key.removeprefix(f"{self.section}.")

    @property
    def difference_unit(self) -> str:
        """What a difference is counted in: points for accuracies, their like, and shares of the answers."""
        is_share = self.is_of_answers or self.key.endswith(".accuracy") or self.key == half_object.KEY
        return "points" if is_share or self.is_followed else self.unit

    @property
    def is_of_answers(self) -> bool:
        """Whether it is one of `SCORES`."""
        return self.key.removeprefix(BEST_OF) in SCORES

    @property
    def words(self) -> str:
        """What a score of the answers is called in a sentence; else the title."""
        return SCORES.get(self.key.removeprefix(BEST_OF), self.title)

    @property
    def is_followed(self) -> bool:
        """Whether it is the share of the answers that follow a cue, on a split whose cues name different classes."""
        return not self.section and f".{FOLLOWS}" in self.key


BEST_OF = "best_"


def last_epoch(name: str) -> Measure:
    """Return the measure of one of `SCORES` after the last epoch."""
    return Measure(name, f"test {SCORES[name]}, last epoch", "higher", margin=0.01)


def best_epoch(name: str) -> Measure:
    """Return the same after the best epoch."""
    return Measure(f"{BEST_OF}{name}", f"test {SCORES[name]}, best epoch", "higher", margin=0.01)


ACCURACY, BEST, WORST = last_epoch("accuracy"), best_epoch("accuracy"), last_epoch("worst_group")


@dataclass(frozen=True, eq=False)
class Result:
    """The result of one finished run."""

    key: RunKey
    path: Path
    manifest: Mapping[str, Any] = field(repr=False)
    epochs: tuple[Epoch, ...] = field(repr=False)
    answers: Answers = field(repr=False)
    sections: Mapping[str, Any] = field(repr=False)
    """Of the examination: section -> {"title", "sentence", "scores": {name -> value, low, high, n, title, ...}};
    empty without one, and until it is made."""
    flops: float = nan
    """Operations of a training step, of an image: see `overfocus.study.compute`."""

    def value(self, key: str) -> float:
        """Return the number of a measure; NaN where the run has none."""
        score = key.removeprefix(BEST_OF)
        if score in SCORES:
            return self.answers.score(score, "last" if score == key else "best")
        section, _, name = key.partition(".")
        if name in self.epochs[-1].scores.get(section, {}):
            return self.epochs[-1].scores[section][name]
        found = self.sections.get(section, {}).get("scores", {}).get(name, {}).get("value")
        return nan if found is None else float(found)


@dataclass(frozen=True, eq=False)
class Results:
    """All runs of a study, finished or not."""

    study: Study
    folder: Path
    results: Mapping[RunKey, Result] = field(repr=False)
    failed: Mapping[RunKey, str] = field(default_factory=dict)
    """Why a run failed."""
    missing: Sequence[RunKey] = ()
    """Runs that are not finished and did not fail."""
    look: Look = ONCE
    """Where a study that may stop early stands; the results are of the seeds of this look alone."""

    @property
    def unexamined(self) -> tuple[RunKey, ...]:
        """Runs that are finished but for the examination."""
        return tuple(key for key, run in self.results.items() if self.study.examine.sections and not run.sections)

    @property
    def metric(self) -> Measure:
        """What the study is judged by, after the last epoch."""
        return last_epoch(self.study.metric)

    @property
    def best_metric(self) -> Measure:
        """The same after the best epoch."""
        return best_epoch(self.study.metric)

    @property
    def split(self) -> str:
        """The split that `metric` is of."""
        splits = [list(each.epochs[-1].scores) for each in self.results.values()]
        return "test" if any("test" in each for each in splits) else splits[0][0]

    @property
    def first(self) -> Result:
        """The first of the finished runs."""
        return next(iter(self.results.values()))

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return list(self.first.manifest["classes"])

    @property
    def best_note(self) -> str:
        """How the best epoch was chosen."""
        return self.first.manifest.get("best", {}).get("note", "")

    @cached_property
    def measures(self) -> list[Measure]:
        """All that can be compared: what the study is judged by and accuracies first, of the worst group where groups
        are known, then the other test splits', then the examination's scores.
        """
        examined = next((each.sections for each in self.results.values() if each.sections), {})
        grouped = (WORST,) if isfinite(self.first.value(WORST.key)) else ()
        found = list(dict.fromkeys((self.metric, self.best_metric, ACCURACY, *grouped)))
        for split, scores in self.first.epochs[-1].scores.items():
            if shares := follows(scores):
                found += [_followed(split, cue) for cue in shares]
            elif split != self.split:
                found.append(Measure(f"{split}.accuracy", f"accuracy on {split}", "higher", margin=0.01))
        for section, content in examined.items():
            found += [self.half_object] if section == half_object.SECTION and self.half_object else []
            for name, score in content["scores"].items():
                key = f"{section}.{name}"
                if key != half_object.KEY:  # of a run by itself: what its own method did not train with
                    found.append(Measure(key, score["title"], score["better"], score["unit"], section=section))
        return found

    @cached_property
    def new_fillings(self) -> list[str]:
        """What half of the object was hidden by in every examination and no method of the study trained with."""
        known = half_object.familiar(self.study.methods)
        examined = next((each for each in self.results.values() if each.sections), None)
        asked = [fill for fill in FILLINGS if examined and isfinite(examined.value(half_object.score_of(fill)))]
        return [fill for fill in asked if fill not in known]

    @cached_property
    def half_object(self) -> Measure | None:
        """The accuracy with half of the object hidden, over `new_fillings`; None where there are none."""
        if not self.new_fillings:
            return None
        title = half_object.title(self.new_fillings)
        return Measure(half_object.KEY, title, "higher", margin=0.01, section=half_object.SECTION)

    def headline_measures(self, section: str) -> list[Measure]:
        """Return the headline scores of a section, the most telling first."""
        measures = {each.name: each for each in self.measures if each.section == section}
        return [measures[name] for name in headline(section, measures)]

    def measure(self, key: str) -> Measure | None:
        """Return the measure of that key; None where the study has no such number."""
        return next((measure for measure in self.measures if measure.key == key), None)

    def values(self, measure: Measure | str, size: Size) -> dict[str, np.ndarray]:
        """Return method -> the numbers [S] of its runs in the order of the study's seeds; NaN where one is missing."""
        key = measure if isinstance(measure, str) else measure.key
        return {
            method: np.array([self.value(RunKey(method, size, seed), key) for seed in self.study.seeds])
            for method in self.study.methods
        }

    def per_class(self, size: Size) -> dict[str, np.ndarray]:
        """Return method -> accuracy of every seed on every class: [S, K], NaN where a run is missing."""
        count = len(self.classes)
        rows = {
            method: [self.results.get(RunKey(method, size, seed)) for seed in self.study.seeds]
            for method in self.study.methods
        }
        empty = np.full(count, nan)
        return {
            method: np.stack([each.answers.per_class(count) if each else empty for each in found])
            for method, found in rows.items()
        }

    def of(self, method: str, size: Size) -> list[Result]:
        """Return the finished runs of a method, by seed."""
        keys = (RunKey(method, size, seed) for seed in self.study.seeds)
        return [self.results[key] for key in keys if key in self.results]

    def value(self, key: RunKey, measure: str) -> float:
        """Return the number of a measure, by its key, of one run; NaN where the run is missing or has none."""
        if key not in self.results:
            return nan
        if measure != half_object.KEY:
            return self.results[key].value(measure)
        by_filling = [self.results[key].value(half_object.score_of(fill)) for fill in self.new_fillings]
        return float(np.mean(by_filling)) if by_filling else nan

    def out_of_fold(self, method: str, size: Size) -> Answers | None:
        """Return what the runs of a method say of all pictures that they were not trained on, fold after fold; of a
        cross-validation that is done several times, several times. None without folds, and without a finished run.
        """
        found = [run.answers for run in self.of(method, size)]
        return out_of_fold(found) if found and self.study.folds else None


def _followed(split: str, cue: str) -> Measure:
    title = f"answers on {split} that follow {'no cue' if cue == 'none' else f'the {cue}'}"
    return Measure(f"{split}.{FOLLOWS}{cue}", title, "neither", margin=0.01)


def read_results(folder: str | Path) -> Results:
    """Read all that the runs of a study have found so far; of one that may stop early, up to its last whole look.

    Raises OverfocusError where no run is finished.
    """
    folder = Path(folder)
    study = read_study(folder)
    results, failed, missing = {}, {}, []
    for key in study.run_keys():
        state = key.state(folder, study.examine.record)
        if state == "finished" or (state == "trained" and (key.folder(folder) / ANSWERS).is_file()):
            results[key] = _result(key, folder, study.examine.record)
        elif state == "failed":
            failed[key] = key.failure(folder).get("error", "unknown")
        else:
            missing.append(key)
    if not results:
        raise OverfocusError(
            f"no run of {folder} is finished ({len(failed)} failed, {len(missing)} to do): "
            + (f"the first failed with: {next(iter(failed.values()))}" if failed else "run `overfocus study` again")
        )
    if study.metric == WORST.key and any(each.answers.groups is None for each in results.values()):
        raise OverfocusError(
            f"{folder}: metric = {WORST.key!r}, and its runs were done without groups; give another metric, or a new "
            "study with data.group"
        )
    look = Look(study.looks, sum(_whole(study, seeds, missing) for seeds in study.looks))
    if not look.number:
        return Results(study, folder, results, failed, tuple(missing), look)
    study = study.up_to(look.seeds)
    kept = set(study.run_keys())
    results, failed = ({key: each for key, each in found.items() if key in kept} for found in (results, failed))
    return Results(study, folder, results, failed, (), look)


def _whole(study: Study, seeds: int, missing: Sequence[RunKey]) -> bool:
    """Whether every run of the first `seeds` seeds is finished or failed."""
    return set(study.up_to(seeds).run_keys()).isdisjoint(missing)


def _result(key: RunKey, study: Path, examination: Mapping[str, Any]) -> Result:
    run, sections = Run(key.folder(study)), {}
    if examination and is_examined(run.path, examination):
        sections = json.loads((run.path / DIAGNOSIS / "scores.json").read_text(encoding="utf-8"))["sections"]
    compute = run.path / COMPUTE
    flops = json.loads(compute.read_text(encoding="utf-8"))["flops_per_image"] if compute.is_file() else None
    answers = Answers.load(run.path / ANSWERS)
    return Result(
        key, run.path, run.manifest(), tuple(run.epochs()), answers, sections, nan if flops is None else flops
    )

"""A study as a value: the methods, seeds and data sizes to compare, and all that they share.

    methods = ["plain", "cutout", "cutmix + sgdrop"]    the first is the baseline unless `baseline` names another
    seeds = 5
    per_class = [100, 1000]                             images of each class; or fraction = [0.1, 1.0]; or neither

    [data]                                              as in an experiment: see `overfocus.training.experiment`
    name = "fashion_mnist"

For a seed, all methods share first weights, data subset and batch order, and a smaller subset lies within a larger one:
so differences between methods can be taken seed by seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, field_validator, model_validator

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.files import write
from overfocus.data import Split
from overfocus.diagnosis.catalogue import in_order
from overfocus.diagnosis.map_choice import AUTO
from overfocus.diagnosis.sample import Sample, from_split
from overfocus.regularizers.spec import parse
from overfocus.statistics.sequential import planned
from overfocus.study.answers import SCORES
from overfocus.study.growth import note_seeds
from overfocus.study.metric_changes import note_metric
from overfocus.study.run_key import RunKey, Size
from overfocus.training.experiment import (
    DataSettings,
    Experiment,
    ModelSettings,
    as_pretrained,
    put_together,
    read_toml,
    with_usual_augment,
    without_none,
)
from overfocus.training.recipe import Recipe
from overfocus.training.settings import Folds, Settings

STUDY = "study.toml"
"""The resolved study in its folder, every default written out."""
FIXED = ("folds", "data", "model", "recipe", "epochs", "threads", "looks")
"""What may not change between two commands on one folder: the runs there would no longer be comparable."""
PLANNED = ("methods", "baseline", "metric", "seeds", "per_class", "fraction")
"""What may not change either in a study that may stop early, since its first look may have been seen."""


class Examination(Settings):
    """Which parts of the diagnosis every finished run goes through; see `overfocus diagnose`."""

    sections: tuple[str, ...] = ("halves", "spread", "focus", "localization", "hiding", "robustness", "confidence")
    """Those that the data allows are run; an empty list is none."""
    limit: int = Field(500, ge=1)
    """Images, balanced over the classes; the same for every run."""
    seed: int = Field(0, ge=0)
    map: str = "hirescam"
    ood: str = ""
    """A second data set of other classes, for the section `outliers`."""

    @field_validator("sections")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return in_order(names)
        except UnknownName as error:
            raise ValueError(str(error)) from None

    @field_validator("map")
    @classmethod
    def _one_map(cls, name: str) -> str:
        if name == AUTO:
            raise ValueError("map = 'auto' would read every run from its own map; name one of `overfocus maps`")
        return name

    @model_validator(mode="after")
    def _used(self) -> Examination:
        if self.ood and "outliers" not in self.sections:
            raise ValueError(
                f"ood = {self.ood!r} is for the section outliers, which is not evaluated; add it to sections"
            )
        return self

    @property
    def record(self) -> dict[str, Any]:
        """What an examined run keeps, to tell an examination by these settings from one by others; {} for none."""
        return self.model_dump(mode="json") if self.sections else {}

    def sample(self, split: Split, data: DataSettings, device: torch.device | str = "cpu") -> Sample:
        """Return the images of `split` that every run of a study is examined on."""
        return from_split(
            split, limit=self.limit, seed=self.seed, size=data.size, device=device, on_bad_image=data.on_bad_image
        )

    def after(self, earlier: Examination) -> Examination:
        """Return this examination with the sections of an `earlier` one as well, so that no score is lost."""
        both = in_order([*self.sections, *earlier.sections])
        return self.model_copy(update={"sections": both, "ood": self.ood or earlier.ood})


class Study(Settings):
    """A grid of methods, seeds and data sizes over one data set, network and recipe."""

    methods: tuple[str, ...] = ("plain",)
    """Specs, such as "cutmix(prob=0.5) + sgdrop"; `overfocus methods` lists the names."""
    baseline: str = ""
    """The method that the others are compared with; the first one unless given."""
    metric: str = "accuracy"
    """What verdicts are of, on the test images after the last epoch: accuracy, balanced_accuracy, macro_f1,
    weighted_f1 or, where data.group names groups, worst_group."""
    folds: Folds = 0
    """Cross-validation: every labelled image is tested on once, by runs that were not trained on its fold. 0: none."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Which, or how many: 0, 1, 2, ...; with `looks`, the most that are run. With `folds`, seed s is tested on fold s
    mod folds of split number s // folds, and a number says how often the cross-validation is done, 1 unless given."""
    looks: tuple[int, ...] = ()
    """Numbers of seeds at which the study is compared and ends if every verdict is settled, the last being
    all; they and what is compared are fixed before the first run. Empty: all seeds are run, and compared once."""
    per_class: tuple[int, ...] = ()
    """Training images of each class, one or several data sizes."""
    fraction: tuple[float, ...] = ()
    """Instead of per_class, parts of the training images in (0, 1]."""
    epochs: tuple[int, ...] = ()
    """Passes for each data size, where small ones need more; recipe.epochs for all unless given."""
    threads: int = Field(1, ge=1)
    """Processor threads of a run, on which the last digits of its numbers depend; workers share out the cores."""
    data: DataSettings = DataSettings.model_validate({})
    model: ModelSettings = ModelSettings.model_validate({})
    recipe: Recipe = Recipe.model_validate({})
    examine: Examination = Examination.model_validate({})

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("folds"):
            values = {"seeds": 1, **values}
        return with_usual_augment(as_pretrained(values))

    @field_validator("metric")
    @classmethod
    def _kept(cls, metric: str) -> str:
        if metric not in SCORES:
            raise ValueError(
                f"metric = {metric!r}: a study can be judged by {', '.join(SCORES)}; its runs keep the class that "
                "each image is given, not the probabilities of all classes"
            )
        return metric

    @field_validator("methods")
    @classmethod
    def _spelled(cls, specs: tuple[str, ...]) -> tuple[str, ...]:
        spelled = tuple(str(parse(spec)) for spec in specs)
        twice = [spec for spec in spelled if spelled.count(spec) > 1]
        if twice:
            raise ValueError(f"methods: {twice[0]!r} stands there twice; name every method once")
        if not spelled:
            raise ValueError("methods: none given; name one at least, for example plain")
        return spelled

    @field_validator("seeds", mode="before")
    @classmethod
    def _listed(cls, seeds: Any, info: Any) -> Any:
        return tuple(range(seeds * (info.data.get("folds") or 1))) if isinstance(seeds, int) else seeds

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds = {list(seeds)}: give a number above 0, or a list of different seeds from 0 up")
        return seeds

    @field_validator("looks")
    @classmethod
    def _rising(cls, looks: tuple[int, ...], info: Any) -> tuple[int, ...]:
        if looks and (
            looks[0] < 2 or list(looks) != sorted(set(looks)) or looks[-1] != len(info.data.get("seeds", ()))
        ):
            raise ValueError(
                f"looks = {list(looks)}: give numbers of seeds that rise, 2 at least, the last of them all seeds, "
                f"for example {list(planned(20))} with seeds = 20"
            )
        return looks

    @field_validator("per_class", "fraction", "epochs")
    @classmethod
    def _positive(cls, values: tuple[float, ...], info: Any) -> tuple[float, ...]:
        if any(value <= 0 for value in values) or len(set(values)) < len(values) * (info.field_name != "epochs"):
            raise ValueError(f"{info.field_name} = {list(values)}: give different numbers above 0")
        return values

    @model_validator(mode="after")
    def _folded(self) -> Study:
        if self.data.folds:
            raise ValueError("data.folds: those of a study stand at its top: folds = ...")
        if not self.folds:
            return self
        if self.looks:
            raise ValueError(
                "looks and folds exclude each other: a plan adds independent runs, and folds share their training "
                "images; leave one out"
            )
        whole = {seed - seed % self.folds + fold for seed in self.seeds for fold in range(self.folds)}
        if whole - {*self.seeds}:
            raise ValueError(
                f"seeds = {list(self.seeds)}: with folds = {self.folds} give how often the cross-validation is done, "
                f"or all seeds of each, for example {list(range(self.folds))}"
            )
        return self

    @model_validator(mode="after")
    def _whole(self) -> Study:
        if self.per_class and self.fraction:
            raise ValueError("per_class and fraction both give data sizes; give one of them")
        for name in ("per_class", "fraction"):
            if getattr(self.data, name) is not None:
                raise ValueError(f"data.{name}: a study's data sizes stand at its top: {name} = [...]")
        if self.data.labels == "multi":
            raise ValueError(
                "data.labels = 'multi': a study compares accuracies, and is for images with one class each"
            )
        if self.epochs and len(self.epochs) != len(self.sizes):
            raise ValueError(f"epochs = {list(self.epochs)}: give one number for each of {len(self.sizes)} data sizes")
        baseline = str(parse(self.baseline)) if self.baseline else self.methods[0]
        if baseline not in self.methods:
            raise ValueError(str(UnknownName("method of the study", baseline, self.methods)))
        object.__setattr__(self, "baseline", baseline)
        return self

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The data sizes, smallest first; one that takes all images where none are given."""
        if self.per_class:
            return tuple(Size(per_class=each) for each in sorted(self.per_class))
        return tuple(Size(fraction=each) for each in sorted(self.fraction)) or (Size(),)

    @property
    def others(self) -> tuple[str, ...]:
        """The methods but the baseline."""
        return tuple(each for each in self.methods if each != self.baseline)

    def up_to(self, seeds: int) -> Study:
        """Return the study of the first `seeds` seeds."""
        return self.model_copy(update={"seeds": self.seeds[:seeds]})

    def run_keys(self) -> Iterator[RunKey]:
        """Go through all runs: seed by seed, so that a study that is stopped early is still a fair one."""
        for seed in self.seeds:
            for size in self.sizes:
                for method in self.methods:
                    yield RunKey(method, size, seed)

    def experiment(self, key: RunKey) -> Experiment:
        """Return the experiment of a run: what all share, with the method, data size and seed of its own."""
        own = {"per_class": key.size.per_class, "fraction": key.size.fraction, "folds": self.folds}
        data = self.data.model_copy(update=own)
        recipe = self.recipe
        if self.epochs:
            given = self.per_class or self.fraction or (None,)
            of_size = dict(zip(given, self.epochs, strict=True))
            recipe = recipe.model_copy(update={"epochs": of_size[key.size.per_class or key.size.fraction]})
        return Experiment(data=data, model=self.model, method=key.method, recipe=recipe, seed=key.seed)

    def toml(self) -> str:
        """Return the study as TOML, every default written out."""
        import tomli_w

        return tomli_w.dumps(without_none(self.model_dump(mode="json")))


def settle_study(path: Path | None, given: dict[str, Any], changes: list[str]) -> Study:
    """Put together what a TOML file says, what is `given` by dotted key, and `changes` such as `recipe.epochs=3`, the
    later over the earlier.
    """
    values = put_together(read_toml(path) if path is not None else {}, given, changes)
    return Study.read(values, str(path) if path is not None else "settings")


def claimed(folder: Path, study: Study) -> Study:
    """Make `folder` this study's and return the study; one that is there already may get methods, seeds and sizes, and
    another examination, which its finished runs then go through anew. Sections that it had stay.

    Raises OverfocusError where the folder holds something else, or a study whose shared settings differ.
    """
    path = folder / STUDY
    there = settle_study(path, {}, []) if path.exists() else None
    if there is not None:
        fixed = FIXED + PLANNED * bool(there.looks)
        changed = [name for name in fixed if _where(getattr(there, name)) != _where(getattr(study, name))]
        changed = [name for name in changed if name != "epochs" or not _grown(there, study)]
        if changed:
            raise OverfocusError(
                f"{folder} holds a study with other settings ({', '.join(changed)}); give another --out, or the same "
                "settings: methods, seeds and data sizes may be added unless looks are planned, and the examination "
                "may change"
            )
        study = study.model_copy(update={"examine": study.examine.after(there.examine)})
    elif folder.is_file() or (folder.is_dir() and any(each.name[0] != "." for each in folder.iterdir())):
        raise OverfocusError(f"{folder} is not empty and holds no study; give a new folder as --out")
    if not path.exists() or path.read_text(encoding="utf-8") != study.toml():
        write(path, study.toml())
    note_seeds(folder, study.seeds, there and there.seeds)
    note_metric(folder, study.metric, there and there.metric)
    return study


def _where(setting: Any) -> Any:
    """Leave out where the data lies and how it is read, which changes no number."""
    if not isinstance(setting, DataSettings):
        return setting
    return setting.model_copy(update={"root": None, "workers": 0, "memory_gib": 4.0, "download": False})


def _grown(there: Study, study: Study) -> bool:
    """Whether every data size that both have is trained for as many epochs."""
    both = set(there.sizes) & set(study.sizes)
    return all(
        there.experiment(RunKey(there.baseline, size, 0)).recipe
        == study.experiment(RunKey(study.baseline, size, 0)).recipe
        for size in both
    )


def read_study(folder: str | Path) -> Study:
    """Read the study of a folder that `overfocus study --out` wrote."""
    path = Path(folder) / STUDY
    if not path.is_file():
        raise OverfocusError(
            f"{folder} holds no {STUDY}, so it is no study; give the folder of `overfocus study --out`"
        )
    return settle_study(path, {}, [])

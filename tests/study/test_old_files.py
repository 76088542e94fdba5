"""Runs and studies whose files hold the old names of settings: found, read, resumed, never done anew."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from grid import Inline, finish, grid, numbers
from small import settings

from overfocus.regularizers.spec import respelled
from overfocus.study.results import read_results
from overfocus.study.run_key import RunKey, Size, slug
from overfocus.study.search_space import Space
from overfocus.study.study import read_study
from overfocus.training.experiment import Experiment
from overfocus.training.loop import train
from overfocus.training.run import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
NEW, OLD = "sgdrop(selection='random', prob=0.5)", "sgdrop(which='random', share=0.5)"
SLUG = "sgdrop-which=-random-share=0.5-3bab8245"
"""The folder that version 599f09a gave to OLD."""


def age(folder: Path) -> None:
    """Rewrite the files below `folder` as the version before wrote them."""
    for path in [path for path in folder.rglob("*") if path.suffix in (".toml", ".json")]:
        path.write_text(path.read_text().replace(NEW, OLD))
    for path in sorted(folder.glob("runs/*/*")):
        if path.name.startswith("sgdrop"):
            path.rename(path.with_name(SLUG))


@pytest.fixture(scope="module")
def studies(folder, tmp_path_factory):
    """A finished study, and the same one as the version before left it."""
    out = tmp_path_factory.mktemp("study")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        finish(grid(folder, methods=["plain", NEW]), out / "new")
    shutil.copytree(out / "new", out / "old")
    age(out / "old")
    return out / "new", out / "old"


def test_a_run_stays_where_the_version_before_put_it(tmp_path):
    cell, size = RunKey(NEW, Size(per_class=20), 1), tmp_path / "runs" / "20-per-class"
    assert cell.folder(tmp_path) == size / slug(NEW) / "seed1"
    (size / SLUG / "seed1").mkdir(parents=True)
    assert cell.folder(tmp_path) == size / SLUG / "seed1"


def test_a_study_of_before_has_the_same_numbers(studies):
    new, old = map(read_results, studies)
    assert SLUG in {path.name for path in studies[1].glob("runs/*/*")}
    assert read_study(studies[1]).methods == ("plain", NEW)
    assert old.missing == ()
    for measure in new.measures:
        for method, values in new.values(measure, Size()).items():
            np.testing.assert_array_equal(old.values(measure, Size())[method], values)


def test_a_study_of_before_is_not_done_again(studies, folder, tmp_path):
    out, engine = tmp_path / "s", Inline()
    shutil.copytree(studies[1], out)
    finish(grid(folder, methods=["plain", OLD], seeds=3), out, engine)
    assert set(engine.done) == {"plain, all images, seed 2", f"{NEW}, all images, seed 2"}
    assert len(numbers(out)) == 6


def test_a_killed_run_of_before_is_resumed(folder, tmp_path):
    experiment = Experiment.read({**settings(str(folder), recipe__epochs=3), "method": OLD}, "test")
    list(train(experiment, tmp_path / "whole"))
    epochs = train(experiment, tmp_path / "killed")
    first = next(epochs)
    epochs.close()
    age(tmp_path / "killed")
    assert OLD in (tmp_path / "killed" / "experiment.toml").read_text()
    resumed = list(train(experiment, tmp_path / "killed"))
    assert [epoch.number for epoch in resumed] == [1, 2, 3]
    assert resumed[0] == first  # its seconds too, so it is read and not trained
    one, other = (
        torch.tensor(list((tmp_path / name / "weights.safetensors").read_bytes())) for name in ("whole", "killed")
    )
    assert torch.equal(one, other)
    assert Run(tmp_path / "killed").experiment().method == NEW


def test_what_is_searched_may_have_its_old_name():
    space = Space.read("sgdrop(share=?, which=random|least)")
    assert [each.name for each in space.dimensions] == ["sgdrop.share", "sgdrop.which"]
    assert space.filled([0.5, "random"]) == NEW
    assert Space.read("sgdrop(share=?)").dimensions[0].low == Space.read("sgdrop(prob=?)").dimensions[0].low


def test_a_name_that_is_no_method_of_ours_stays():
    assert respelled("scratch") == "scratch"
    assert respelled("theirs(share=0.5) + cutout") == "theirs(share=0.5) + cutout"

"""A study as a value: what it pairs, what it refuses, where its runs lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from grid import grid
from small import photos

from overfocus.core.errors import OverfocusError
from overfocus.study.run_key import RunKey, Size, slug
from overfocus.study.study import claimed, read_study, settle_study


def test_for_a_seed_all_methods_share_weights_images_and_order(folder):
    study = grid(folder, methods=["plain", "cutmix", "sgdrop(prob=0.75)"], seeds=2, per_class=[3, 6])
    for size in study.sizes:
        for seed in (0, 1):
            seen = [_begin(study, RunKey(method, size, seed)) for method in study.methods]
            for weights, images, order in seen[1:]:
                assert all(torch.equal(weights[name], seen[0][0][name]) for name in weights)
                assert images == seen[0][1]
                assert torch.equal(order, seen[0][2])
    first, second = (_begin(study, RunKey("plain", study.sizes[0], seed)) for seed in (0, 1))
    assert first[1] != second[1], "another seed takes other images"
    assert not torch.equal(first[2], second[2])


def _begin(study, cell):
    experiment = study.experiment(cell)
    dataset = experiment.dataset()
    images = dataset.splits["train"].images
    weights = experiment.create_model(3, 3).state_dict()
    order = torch.cat([rows for _, _, rows in experiment.stream(dataset, "train").epoch(0)])
    return weights, {images.name(row) for row in range(len(images))}, order


def test_smaller_data_lie_within_larger(folder):
    study = grid(folder, per_class=[9, 2, 5])
    assert [size.per_class for size in study.sizes] == [2, 5, 9]
    found = [_begin(study, RunKey("plain", size, 1))[1] for size in study.sizes]
    assert found[0] < found[1] < found[2]
    assert [len(each) for each in found] == [6, 15, 27]


def test_epochs_belong_to_the_size_they_stand_beside(folder):
    study = grid(folder, per_class=[9, 2], epochs=[3, 7])
    epochs = {size.per_class: study.experiment(RunKey("plain", size, 0)).recipe.epochs for size in study.sizes}
    assert epochs == {9: 3, 2: 7}


def test_runs_come_seed_by_seed(folder):
    cells = list(grid(folder, seeds=[4, 2], per_class=[2, 3]).run_keys())
    assert [cell.seed for cell in cells] == [4, 4, 4, 4, 2, 2, 2, 2]
    assert cells[0] == RunKey("plain", Size(per_class=2), 4)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("metods", ["plain"], "did you mean 'methods'"),
        ("methods", ["cutmax"], "did you mean 'cutmix'"),
        ("methods", [], "none given"),
        ("methods", ["plain", "cutout", "cutout()"], "twice"),
        ("seeds", 0, "above 0"),
        ("seeds", [1, 1], "different seeds"),
        ("seeds", [-1], "from 0 up"),
        ("per_class", [0], "above 0"),
        ("per_class", [5, 5], "different"),
        ("fraction", [0.5], "give one of them"),
        ("data.per_class", 5, "at its top"),
        ("epochs", [1, 2, 3], "each of 1 data sizes"),
        ("baseline", "mixup", "there are: cutout"),
        ("examine.sections", ["spred"], "did you mean 'spread'"),
        ("threads", 0, "threads"),
        ("looks", [3, 5], "the last of them all seeds"),
        ("looks", [2, 2], "rise"),
        ("looks", [1, 2], "2 at least"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_right(folder, key, value, told):
    with pytest.raises(OverfocusError, match=told):
        grid(folder, **{"per_class": [4], key: value})


def test_a_study_is_read_as_it_was_written(folder, tmp_path):
    study = grid(folder, per_class=[2], baseline="cutout(size=4)")
    claimed(tmp_path / "s", study)
    assert read_study(tmp_path / "s") == study
    assert study.others == ("plain",)


def test_a_study_may_grow_but_not_change(folder, tmp_path):
    claimed(tmp_path, grid(folder, per_class=[2, 3], epochs=[5, 4]))
    claimed(tmp_path, grid(folder, per_class=[3, 6, 2], epochs=[4, 1, 5], seeds=5, methods=["plain", "mixup"]))
    claimed(tmp_path, grid(folder, per_class=[2, 3], epochs=[5, 4], data__root="elsewhere"))
    for changes, name in (
        ({"recipe__lr": 0.3}, "recipe"), ({"epochs": [5, 9]}, "epochs"), ({"threads": 2}, "threads"),
        ({"model__settings": {"widths": [4]}}, "model"),
    ):  # fmt: skip
        with pytest.raises(OverfocusError, match=rf"other settings \({name}\)"):
            claimed(tmp_path, grid(folder, **{"per_class": [2, 3], "epochs": [5, 4], **changes}))


def test_a_folder_of_something_else_is_refused(folder, tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(OverfocusError, match="holds no study"):
        claimed(tmp_path, grid(folder))
    with pytest.raises(OverfocusError, match=r"no study\.toml"):
        read_study(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.tex"]


SPECS = [
    "plain", "cutout", "cutmix(prob=0.5)", "cutmix(prob=0.5) + sgdrop", "cutmix(prob=0.25) + sgdrop", "../../x",
    "<script>alert(1)</script>", "..", "a" * 10_000, "a" * 10_001, "\N{PILE OF POO}", "sgdrop(at='../../x')", "-", "",
    "CON", "a\x00b", "a/b", "a\\b",
]  # fmt: skip


def test_folders_are_unlike_and_stay_inside():
    names = [slug(spec) for spec in SPECS]
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert len(name) <= 80
        assert Path("x", name).resolve().parent == Path("x").resolve()
        assert name.isascii()
        assert not set(name) & set('/\\:*?"<>| ')


def test_a_hostile_layer_is_a_folder_inside_the_study(tmp_path):
    folder = photos(tmp_path / "photos")
    study = grid(folder, methods=["sgdrop(at='../../x')", "plain"])
    for cell in study.run_keys():
        assert cell.folder(tmp_path / "s").resolve().is_relative_to((tmp_path / "s" / "runs").resolve())


def test_the_file_may_be_missing(tmp_path):
    with pytest.raises(OverfocusError, match="no experiment file"):
        settle_study(tmp_path / "none.toml", {}, [])

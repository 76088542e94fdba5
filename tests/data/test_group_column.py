"""What images have in common besides their class: read from a column, and carried along with the images."""

import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.data import Dataset, load
from overfocus.data.folds import folded
from overfocus.data.group_column import grouped
from overfocus.data.joined import joined

SITES = {f"{name}/{k}": ("b&<i>", "a")[(k + len(name)) % 2] for name in ("cat", "lynx") for k in range(6)}


def write(path, *rows):
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path, write_classes):
    return write_classes(tmp_path / "set", {"cat": 6, "lynx": 6})


@pytest.fixture
def sites(folder):
    return write(folder / "sites.csv", "width,file,site", *(f"7,{file}.jpg,{site}" for file, site in SITES.items()))


def told(split):
    """Return the end of each image's path -> its group."""
    ends = ["/".join(split.images.name(row).split("/")[-2:]).removesuffix(".jpg") for row in range(len(split))]
    return {end: split.groups.names[place] for end, place in zip(ends, split.groups.places.tolist(), strict=True)}


@pytest.mark.parametrize("given", ["sites.csv:site", "{}:site"])
def test_of_a_folder_by_the_paths_of_another_table(folder, sites, given):
    dataset = load(folder, group=given.format(sites))
    found = {}
    for split in dataset.splits.values():
        assert split.groups.names == ("a", "b&<i>")
        assert split.groups.column == "site"
        assert split.groups.places.dtype == torch.int64
        found |= told(split)
    assert found == SITES


def test_they_go_along_with_the_images(folder, sites):
    dataset = load(folder, group="sites.csv:site", val=0.4, size=8, seed=3)
    assert set(dataset.splits) == {"train", "test", "val"}
    together = joined(dataset)
    parts = [split.groups.places for split in dataset.splits.values()]
    assert together.groups.places.tolist() == torch.cat(parts).tolist()
    truth = told(together)
    assert truth == SITES
    rows = torch.tensor([5, 0, 3])
    assert list(told(together.subset(rows))) == [list(truth)[row] for row in rows]
    assert told(together.subset(rows)).items() <= truth.items()
    few = load(folder, group="sites.csv:site", per_class=2, seed=1).splits["train"]
    assert len(few) == len(few.groups) == 4
    assert told(few).items() <= truth.items()
    for seed in range(3):
        for split in folded(load(folder, group="sites.csv:site"), 3, seed).splits.values():
            assert told(split).items() <= truth.items()


def test_of_the_table_that_labels_come_from(tmp_path, write_image):
    rows = [f"p{number}.jpg,{'ab'[number % 2]},{10 - number % 3}" for number in range(12)]
    for number in range(12):
        write_image(tmp_path / "set" / f"p{number}.jpg", tone=5 * number)
    write(tmp_path / "set" / "labels.csv", "image,label,scanner", *rows)
    for data in (tmp_path / "set", tmp_path / "set" / "labels.csv"):
        dataset = load(data, group="scanner")
        assert dataset.tables == (tmp_path / "set" / "labels.csv",)
        for split in dataset.splits.values():
            assert split.groups.names == ("8", "9", "10")
            numbers = [int(split.images.name(row).split("/")[-1][1:-4]) for row in range(len(split))]
            assert split.groups.places.tolist() == [2 - number % 3 for number in numbers]
    with pytest.raises(OverfocusError, match="did you mean 'scanner'"):
        load(tmp_path / "set", group="scaner")


def test_without_a_column_there_are_none(folder):
    assert all(split.groups is None for split in load(folder).splits.values())


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((), "no column of .* names an image"),
        ((*(f"{file}.jpg,{site}" for file, site in list(SITES.items())[:-2]),), r"lynx/4.jpg and 1 more"),
        ((*(f"{file}.jpg,{site}" for file, site in SITES.items()), "cat/3.jpg,c"), "cat/3.jpg is .* and 'c'"),
        ((*(f"{file}.jpg," for file in SITES),), "cat/0.jpg has no value"),
        ((*(f"{number}.jpg,a" for number in range(6)),), "no column of .* names an image"),
    ],
)
def test_an_image_without_one_group_is_an_error_that_names_it(folder, rows, told):
    table = write(folder.parent / "sites.csv", "file,site", *rows)
    with pytest.raises(OverfocusError, match=told):
        load(folder, group=f"{table}:site")


def test_what_can_have_no_groups_says_what_instead(folder, sites, random_split):
    for group, told in (("site", "FILE.csv:COLUMN"), ("gone.csv:site", "no file 'gone.csv'")):
        with pytest.raises(OverfocusError, match=told):
            load(folder, group=group)
    split = random_split()
    with pytest.raises(OverfocusError, match="noise has no files"):
        grouped(Dataset("noise", {"train": split}, split.classes, (0.5,), (0.5,)), f"{sites}:site")


def test_rows_of_other_images_are_counted(folder, sites):
    write(sites, sites.read_text().strip(), "7,eel/1.jpg,a", "7,eel/2.jpg,c")
    dataset = load(folder, group="sites.csv:site")
    assert dataset.splits["train"].groups.names == ("a", "b&<i>")
    assert "2 rows" in dataset.note


BIRDS = ("001.Black_footed_Albatross", "102.Western_Wood_Pewee")


@pytest.fixture
def birds(tmp_path, write_image):
    """A folder laid out as Waterbirds is; what it shows is made up."""
    rows = ["img_id,img_filename,y,split,place,place_filename"]
    for number in range(24):
        water, name = number % 2, f"{BIRDS[1 - number % 2]}/bird_{number:04}.jpg"
        write_image(tmp_path / "birds" / name, tone=5 * number)
        part, place = (0, 0, 0, 1, 2, 2)[number // 4], (number // 2) % 2
        rows.append(f"{number + 1},{name},{water},{part},{place},/o/ocean/{number:08}.jpg")
    write(tmp_path / "birds" / "metadata.csv", *rows)
    return tmp_path / "birds"


def test_waterbirds(birds):
    dataset = load(birds, size=8)
    assert dataset.classes == ("landbird", "waterbird")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 12, "test": 8, "val": 4}
    for split in dataset.splits.values():
        assert (split.groups.column, split.groups.names) == ("place", ("land", "water"))
        for row in range(len(split)):
            name = split.images.name(row)
            number = int(name[-8:-4])
            assert (BIRDS[0] in name) == (int(split.labels[row]) == 1) == (number % 2 == 1)
            assert int(split.groups.places[row]) == (number // 2) % 2
    assert load(birds, group="y").splits["test"].groups.names == ("0", "1")


@pytest.mark.parametrize(("old", "new", "told"), [("bird_0005", "gone", "no image .*gone"), (",1,0,", ",7,0,", "'7'")])
def test_waterbirds_that_are_not_whole(birds, old, new, told):
    table = birds / "metadata.csv"
    write(table, table.read_text().replace(old, new, 1))
    with pytest.raises(OverfocusError, match=told):
        load(birds)

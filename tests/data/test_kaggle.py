"""One flat folder and a table of file and label."""

import pytest

from overfocus import Experiment, train
from overfocus.core.errors import OverfocusError
from overfocus.data import load
from overfocus.training.run import Run


def write_flat(root, write_image, names, suffix=".jpg"):
    for number, name in enumerate(names):
        write_image(root / f"{name}{suffix}", tone=5 * number)


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def labels(dataset):
    """Return stem -> class, and stem -> split, of all images."""
    found, parts = {}, {}
    for part, split in dataset.splits.items():
        for row in range(len(split)):
            stem = split.images.name(row).replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
            found[stem], parts[stem] = split.classes[int(split.labels[row])], part
    return found, parts


def unused(dataset):
    return {(each.where, each.count) for each in dataset.inventory.not_used if each.what == "pictures"}


IDS = [f"{number:02}ab" for number in range(12)]
BREEDS = ["pug", "collie", "boxer"]
ROWS = [f"{name},{BREEDS[row % 3]}" for row, name in enumerate(IDS)]
TRUTH = dict(row.split(",") for row in ROWS)


@pytest.mark.parametrize("where", ["", "images", "train", "train_images"])
@pytest.mark.parametrize("suffix", ["", ".jpg"])
def test_ids_with_and_without_suffix_wherever_the_pictures_lie(tmp_path, write_image, where, suffix):
    write_flat(tmp_path / where, write_image, IDS)
    table(tmp_path / "labels.csv", "id,breed", *(row.replace(",", f"{suffix},") for row in ROWS))
    table(tmp_path / "sample_submission.csv", "id,breed", "00ab,collie")
    dataset = load(tmp_path)
    assert dataset.classes == ("boxer", "collie", "pug")
    found, parts = labels(dataset)
    assert found == TRUTH
    assert set(parts.values()) == {"train", "test"}
    assert dataset.inventory.held_out == 0.2
    assert labels(load(tmp_path / "labels.csv"))[0] == TRUTH


def test_unlabelled_test_pictures_with_the_same_names_are_not_used(tmp_path, write_image):
    write_flat(tmp_path / "train", write_image, IDS)
    write_flat(tmp_path / "test", write_image, [*IDS[:5], "other"])
    table(tmp_path / "labels.csv", "id,breed", *ROWS, "gone,pug", "11ab,", "00ab,pug")
    table(tmp_path / "test.csv", "id", *IDS[:5])
    dataset = load(tmp_path)
    assert labels(dataset)[0] == TRUTH
    assert all("/train/" in dataset.splits["test"].images.name(row) for row in range(3))
    assert unused(dataset) == {("test/", 6)}
    rows = {each.why: each.count for each in dataset.inventory.not_used if each.what == "rows"}
    assert rows == {
        "they name no image, or more than one": 1, "they have no label": 1, "they name an image once more": 1,
    }  # fmt: skip
    assert any(each.where == "test.csv" for each in dataset.inventory.not_used)


def test_a_split_column(tmp_path, write_image):
    write_flat(tmp_path / "img", write_image, IDS)
    parts = ["Training", "testing", "valid"]
    table(tmp_path / "data.csv", "path;split;label", *(
        f"/kaggle/input/x/img/{name}.jpg;{parts[row // 3 % 3]};{BREEDS[row % 3]}" for row, name in enumerate(IDS)
    ))  # fmt: skip
    dataset = load(tmp_path)
    found, where = labels(dataset)
    assert found == TRUTH
    assert where == {name: ("train", "test", "val")[row // 3 % 3] for row, name in enumerate(IDS)}
    assert dict(dataset.inventory.parts) == {"train": "Training", "test": "testing", "val": "valid"}


def test_a_table_for_each_part(tmp_path, write_image):
    write_flat(tmp_path / "images", write_image, IDS)
    table(tmp_path / "train_labels.csv", "image,label", *ROWS[:6])
    table(tmp_path / "val_labels.csv", "image,label", *ROWS[6:])
    found, parts = labels(load(tmp_path))
    assert found == TRUTH
    assert parts == {name: "train" if row < 6 else "test" for row, name in enumerate(IDS)}


def test_parts_by_folder(tmp_path, write_image):
    write_flat(tmp_path / "Training", write_image, IDS[:6])
    write_flat(tmp_path / "Testing", write_image, IDS[6:])
    table(tmp_path / "labels.csv", "image,label", *ROWS)
    dataset = load(tmp_path)
    assert labels(dataset) == (TRUTH, {name: "train" if row < 6 else "test" for row, name in enumerate(IDS)})
    assert dict(dataset.inventory.parts) == {"train": "Training/", "test": "Testing/"}


def test_a_column_for_each_class(tmp_path, write_image):
    write_flat(tmp_path / "images", write_image, IDS, ".png")
    columns = ("MEL", "NV", "BKL")
    rows = [
        f"{name},{','.join('1.0' if row % 3 == each else '0.0' for each in range(3))}" for row, name in enumerate(IDS)
    ]
    dataset = load(table(tmp_path / "truth.csv", f"image,{','.join(columns)}", *rows))
    assert dataset.classes == columns
    assert labels(dataset)[0] == {name: columns[row % 3] for row, name in enumerate(IDS)}
    table(tmp_path / "truth.csv", f"image,{','.join(columns)}", *rows, "00ab,0.0,1.0,1.0")
    with pytest.raises(OverfocusError, match="NV and BKL at once; several labels"):
        load(tmp_path)


def test_labels_that_are_numbers_stand_in_their_order(tmp_path, write_image):
    write_flat(tmp_path, write_image, IDS)
    dataset = load(table(tmp_path / "train.csv", "id_code,diagnosis", *(f"{name},{n}" for n, name in enumerate(IDS))))
    assert dataset.classes == tuple(map(str, range(12)))
    assert labels(dataset)[0] == {name: str(n) for n, name in enumerate(IDS)}
    assert "all numbers" in dataset.note


def test_folders_of_classes_go_before_a_table_that_agrees_or_says_nothing_of_classes(tmp_path, write_classes):
    write_classes(tmp_path, {"cat": 5, "dog": 5})
    files = [f"{name}/{n}.jpg" for name in ("cat", "dog") for n in range(5)]
    table(tmp_path / "origin.csv", "file,original_name,width", *(f"{file},x{n},{n}" for n, file in enumerate(files)))
    assert load(tmp_path).classes == ("cat", "dog")
    table(tmp_path / "origin.csv", "file,label", *(f"{file},{int('dog' in file)}" for file in files))
    assert load(tmp_path).classes == ("cat", "dog")
    assert load(tmp_path / "origin.csv").classes == ("0", "1")
    table(tmp_path / "origin.csv", "file,label", *(f"{file},{n % 2}" for n, file in enumerate(files)))
    with pytest.raises(OverfocusError, match=r"two ways, by its folders or by origin\.csv"):
        load(tmp_path)


def test_two_folders_of_pictures_are_no_classes(tmp_path, write_image):
    write_flat(tmp_path / "HAM_images_part_1", write_image, IDS[:6])
    write_flat(tmp_path / "HAM_images_part_2", write_image, IDS[6:])
    table(tmp_path / "HAM_metadata.csv", "lesion_id,image_id,dx,age", *(
        f"L{row // 2},{name},{BREEDS[row % 3]},{40 + row}" for row, name in enumerate(IDS)
    ))  # fmt: skip
    with pytest.raises(OverfocusError, match=r"--data .*HAM_metadata"):
        load(tmp_path)
    assert labels(load(tmp_path / "HAM_metadata.csv"))[0] == TRUTH


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["id,breed", *ROWS, "00ab,collie"], "'pug' and 'collie'; an image has one class"),
        (["id,label", "00ab,a|b", "01ab,a", "02ab,b", "03ab,a"], "'a|b' is a list of others"),
        (["id,label,class", "00ab,a,x", "01ab,a,y", "02ab,b,y"], "label and class may both be labels"),
        (["id,width,height", *(f"{name},5,6" for name in IDS)], "no column of labels"),
        (["number,label", "x,a", "y,b"], "no column names images"),
        (["id,label", "00ab,a", "01ab,a"], "one class only"),
        (["id,label,label", "00ab,a,b"], "two columns have one name"),
        (
            ["id,split,label", "00ab,train,a", "01ab,train,b", "02ab,test,c"],
            "test has the class 'c', which train lacks",
        ),
        (["id,split,label", "00ab,train,a", "01ab,somewhere,b"], "'somewhere' is no customary name"),
    ],
)
def test_what_is_refused(tmp_path, write_image, rows, said):
    write_flat(tmp_path, write_image, IDS)
    with pytest.raises(OverfocusError) as caught:
        load(table(tmp_path / "labels.csv", *rows))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_tables_that_both_give_labels(tmp_path, write_image):
    write_flat(tmp_path, write_image, IDS)
    for name in ("one", "two"):
        table(tmp_path / f"{name}.csv", "id,label", *ROWS)
    with pytest.raises(OverfocusError, match=r"one\.csv and two\.csv"):
        load(tmp_path)


def test_it_is_trained_on(tmp_path, write_image):
    write_flat(tmp_path / "set" / "images", write_image, IDS)
    table(tmp_path / "set" / "labels.csv", "id,breed", *ROWS)
    values = {
        "data": {"name": str(tmp_path / "set"), "size": 8}, "model": {"settings": {"widths": [4, 8]}},
        "recipe": {"epochs": 1},
    }  # fmt: skip
    list(train(Experiment.read(values, "test"), tmp_path / "run"))
    manifest = Run(tmp_path / "run").manifest()
    assert manifest["classes"] == ["boxer", "collie", "pug"]
    assert manifest["images"] == {"train": 9, "test": 3}

import json
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from overfocus.checks import same_picture, survey
from overfocus.checks.catalogue import checks
from overfocus.checks.check import Severity
from overfocus.checks.picture import Picture
from overfocus.commands.check import check
from overfocus.core.errors import OverfocusError


def photograph(seed, size=(72, 96)):
    """Make a smooth picture that is like no other."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)


def write(folder, count, first=0, size=(72, 96), suffix=".jpg", **settings):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        photograph(number, size).save(folder / f"{number}{suffix}", **settings)


@pytest.fixture
def photos(tmp_path):
    """Two classes in two parts, nothing wrong with them."""
    for number, (part, label) in enumerate((p, c) for p in ("train", "test") for c in ("ants", "bees")):
        write(tmp_path / part / label, 20, 100 * number)
    return tmp_path


def severities(report):
    return {name: finding.severity for name, finding in report.findings.items()}


def file_names(pictures):
    return sorted(name.rpartition("train/")[2] for name in pictures)


def test_nothing_is_wrong_with_clean_data(photos):
    report = check(photos)
    assert report.severity == Severity.FINE
    assert list(report.findings) == list(checks())
    assert report.paragraph() == ""


@pytest.mark.parametrize(
    ("told", "settings"),
    [
        ("size", {"size": (96, 72)}),
        ("format", {"suffix": ".png"}),
        ("compression", {"quality": 40}),
        ("metadata", {"dpi": (300, 300)}),
    ],
)
def test_a_property_of_the_files_that_names_the_class_is_found(photos, told, settings):
    write(photos / "train" / "carpenters", 30, 900, **settings)
    write(photos / "test" / "carpenters", 5, 990, **settings)
    finding = check(photos).findings["file_tells_class"]
    assert finding.severity == Severity.PROBLEM
    # Two of three classes cannot be told apart, the third can: (0 + 1 + 1) / 3 or (.5 + .5 + 1) / 3.
    assert finding.value[told]["value"] == pytest.approx(2 / 3, abs=0.12)
    assert finding.value["mode"]["value"] == pytest.approx(1 / 3)
    assert len(finding.examples) == 3


def test_sizes_that_do_not_depend_on_the_class_tell_nothing(tmp_path):
    generator = np.random.default_rng(0)
    for label in "abcd":
        for number in range(40):
            size = tuple(generator.integers(40, 120, 2))
            write(tmp_path / label, 1, number + 1000 * ord(label), size=size)
    assert check(tmp_path).findings["file_tells_class"].severity == Severity.FINE


def test_a_test_picture_stored_otherwise_in_training_is_a_leak(photos):
    leaked = photograph(205).resize((64, 48))
    leaked.save(photos / "train" / "ants" / "copy.jpg", quality=60)
    report = check(photos)
    assert severities(report)["leaks"] == Severity.PROBLEM
    assert report.findings["leaks"].value["leaked"] == {"test": 1}
    assert [name.rpartition("test/")[2] for name in report.findings["leaks"].value["images"]] == ["ants/205.jpg"]
    assert severities(report)["conflicts"] == severities(report)["duplicates"] == Severity.FINE


def test_a_picture_in_two_classes_is_a_conflict(photos):
    photograph(3).save(photos / "train" / "bees" / "same.jpg")
    finding = check(photos).findings["conflicts"]
    assert finding.severity == Severity.WARNING
    assert [file_names(group) for group in finding.value["images"]] == [["ants/3.jpg", "bees/same.jpg"]]


def test_repeated_files_are_counted_once_each(photos):
    for name in ("again", "and_again"):
        (photos / "train" / "ants" / f"{name}.jpg").write_bytes((photos / "train" / "ants" / "7.jpg").read_bytes())
    value = check(photos).findings["duplicates"].value
    assert value == {"groups": 1, "exact_groups": 1, "surplus": 2}


def test_pictures_of_one_colour_are_no_near_duplicates(photos):
    for level, size in ((0, (8, 4)), (0, (4, 8)), (200, (60, 60))):
        Image.new("RGB", size, (level,) * 3).save(photos / "train" / "ants" / f"{level}-{size[0]}.png")
    report = check(photos)
    assert report.findings["duplicates"].value["groups"] == 0
    assert report.findings["stored"].value["are of one colour"] == 3


def test_unreadable_files_are_findings_and_the_rest_is_read(photos):
    folder = photos / "train" / "ants"
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.jpg").touch()
    whole = (folder / "0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    report = check(photos)
    finding = report.findings["unreadable"]
    assert finding.severity == Severity.PROBLEM
    assert file_names(finding.value["images"]) == ["ants/cut.jpg", "ants/empty.jpg", "ants/text.jpg"]
    assert len(report.survey.readable) == 80


def test_depth_turn_and_transparency_are_counted(photos):
    folder = photos / "train" / "bees"
    deep = (np.random.default_rng(1).random((50, 60)) * 4095).astype(np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    photograph(801).save(folder / "turned.jpg", exif=turned)
    photograph(802).convert("RGBA").save(folder / "clear.png")
    photograph(803, (40, 100)).save(folder / "long.jpg")
    photograph(804, (20, 24)).save(folder / "tiny.png")
    value = check(photos).findings["stored"].value
    assert value["formats"] == {"JPEG": 82, "PNG": 3}
    counts = [count for what, count in value.items() if what.startswith(("have", "are"))]
    assert counts == [1, 1, 1, 1, 1, 0]


def test_few_and_uneven_classes(tmp_path):
    for label, count in (("a", 50), ("b", 12), ("c", 4)):
        write(tmp_path / "train" / label, count, 1000 * ord(label))
        write(tmp_path / "test" / label, 1, 1000 * ord(label) + 500)
    finding = check(tmp_path).findings["classes"]
    assert finding.severity == Severity.WARNING
    assert finding.value["ratio"] == 12.5
    assert finding.value["largest_share"] == pytest.approx(50 / 66)
    assert finding.sentence.startswith("1 class with fewer than 10")


def test_more_threads_read_the_same(photos, monkeypatch):
    one = check(photos).as_dict()
    monkeypatch.setattr(survey, "CHUNK", 3)
    monkeypatch.setattr(survey, "processors", lambda: 5)
    assert check(photos).as_dict() == one


def test_a_turned_copy_is_the_same_picture(photos):
    turned = Image.Exif()
    turned[0x0112] = 6
    photograph(5).rotate(90, expand=True).save(photos / "train" / "ants" / "turned.jpg", exif=turned)
    value = check(photos).findings["duplicates"].value
    assert value == {"groups": 1, "exact_groups": 0, "surplus": 1}


def test_broken_exif_leaves_a_picture_readable(photos):
    photograph(801).save(photos / "train" / "bees" / "odd.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    report = check(photos)
    assert report.findings["unreadable"].severity == Severity.FINE
    assert report.findings["stored"].value["have an EXIF turn"] == 0


def test_a_sample_is_read_and_named(photos):
    report = check(photos, most=30)
    assert report.survey.sampled
    assert report.as_dict()["images"] == 80
    assert report.as_dict()["read"] == 30
    assert report.as_dict() == check(photos, most=30).as_dict()


def test_arrays_are_refused():
    with pytest.raises(OverfocusError, match="totem"):
        check("totem")


@pytest.mark.parametrize("crowd", [500, 2])
def test_near_pairs_are_those_of_all_pairs(monkeypatch, crowd):
    """Slow reading: every pair is compared. In a crowd only neighbours are; none is added."""
    generator = np.random.default_rng(0)
    base = [int(value) for value in generator.integers(0, 2**63, 12)]
    hashes = [value ^ sum(1 << int(bit) for bit in generator.choice(64, flips, replace=False))
              for value in base for flips in (0, 3, 6, 9)]  # fmt: skip
    looks = generator.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    pictures = [
        Picture(str(n), "train", 0, n, digest=bytes([n]), fingerprint=value, thumbnail=looks[n % 5 // 4])
        for n, value in enumerate(hashes)
    ]
    monkeypatch.setattr(same_picture, "CROWD", crowd)
    near = {
        (a, b)
        for a, b in combinations(range(len(hashes)), 2)
        if bin(hashes[a] ^ hashes[b]).count("1") <= 6 and (a % 5 == 4) == (b % 5 == 4)
    }
    assert len(near) > 3
    found = {tuple(sorted(pair)) for pair in same_picture._near(pictures)}
    assert found == near if crowd > 2 else found <= near


def test_the_report_is_json(photos):
    assert json.loads(json.dumps(check(photos).as_dict()))["severity"] == "fine"


def test_masks_are_looked_at(photos):
    masks = photos.parent / "masks"
    for number in range(20):
        mask = np.zeros((72, 96), np.uint8)
        mask[10:30, 20:50] = 255
        if number == 3:
            mask[:] = 0
        if number == 4:
            mask[:] = 255
        folder = masks / "train" / "ants"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask if number != 5 else mask[:40]).save(folder / f"{number}.png")
    finding = check(photos, boxes=masks).findings["annotations"]
    assert finding.severity == Severity.WARNING
    # The other class and the other part have no masks: 20 + 40 pictures, and one mask is empty.
    assert (finding.value["misfits"], finding.value["whole_picture"], finding.value["without"]) == (1, 1, 61)


def test_boxes_are_looked_at(photos):
    table = photos.parent / "boxes.csv"
    rows = [
        f"train/ants/{number}.jpg,0,0,{96 if number == 2 else 30},{72 if number == 2 else 20}" for number in range(20)
    ]
    table.write_text("file,x0,y0,x1,y1\n" + "\n".join([*rows, "nowhere.jpg,1,2,30,40"]))
    finding = check(photos, boxes=table).findings["annotations"]
    assert finding.severity == Severity.WARNING
    assert (finding.value["boxes"], finding.value["whole_picture"], finding.value["without"]) == (20, 1, 60)
    assert sum(finding.value["left_out"].values()) == 1

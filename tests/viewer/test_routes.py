"""What the page asks, without a server: JSON in, JSON out."""

import json
from base64 import b64decode, b64encode
from io import BytesIO
from threading import Thread

import numpy as np
import pytest
import torch
from corner import CLASSES, CORNER, SIZE, bits, corner, encoded, window
from PIL import Image

from overfocus.core.errors import OverfocusError
from overfocus.core.place import FoundPlace, places_text, read_places
from overfocus.viewer.answer import HIDDEN
from overfocus.viewer.routes import ROUTES, UPLOAD, call
from overfocus.viewer.window import NewestStroke, Superseded

PAINT = {"fill": "mean", "mask": bits(*CORNER)}
VALID = {
    "setup": {},
    "pictures": {"first": 0, "count": 5},
    "show": {"index": 1},
    "upload": {"name": "a.png", "data": b64encode(encoded()).decode()},
    "answers": {"index": 0, "edits": [PAINT], "page": "p", "stroke": 1},
    "map": {"index": 0, "edits": [], "model": 0, "method": "hirescam", "fill": "blur"},
    "neighbours": {"index": 0, "edits": [], "model": 0},
    "place": {"index": 0, "edits": [PAINT], "model": 0},
    "sheet": {"index": 0, "edits": [PAINT], "method": "hirescam"},
}


def pixels(uri):
    assert uri.startswith("data:image/png;base64,")
    return np.asarray(Image.open(BytesIO(b64decode(uri.partition(",")[2]))))


@pytest.mark.parametrize("name", ROUTES)
def test_every_route_answers_json_and_refuses_unknown_keys(name):
    here = window()
    found = call(here, name, VALID[name])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    with pytest.raises(OverfocusError, match="path"):
        call(here, name, {**VALID[name], "path": "/etc/passwd"})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("show", {"index": "/etc/passwd"}),
        ("show", {"index": 99}),
        ("show", {"index": -1}),
        ("show", {"index": True}),
        ("show", {}),
        ("pictures", {"first": 0, "count": 10**9}),
        ("pictures", {"first": 0, "count": 1, "label": "nobody"}),
        ("upload", {"name": "a.png", "data": "*"}),
        ("upload", {"name": "a.png", "data": ""}),
        ("upload", {"name": "a.png", "data": b64encode(b"no image").decode()}),
        ("upload", {"name": "a.png", "data": b64encode(encoded()[:60]).decode()}),
        ("upload", {"name": "a.png", "data": b64encode(bytes(UPLOAD + 1)).decode()}),
        ("answers", {"index": 0, "edits": [{"fill": "mean", "mask": "AAAA"}]}),
        ("answers", {"index": 0, "edits": [{"fill": "mean", "mask": "*"}]}),
        ("answers", {"index": 0, "edits": [{"fill": "patch", "mask": PAINT["mask"]}]}),
        ("answers", {"index": 0, "edits": [{"index": 1, "box": [0, 0, 99, 2], "corner": [0, 0]}]}),
        ("answers", {"index": 0, "edits": [{"index": 1, "box": [0, 0, 2], "corner": [0, 0]}]}),
        ("answers", {"index": 0, "edits": [{"index": 50, "box": [0, 0, 2, 2], "corner": [0, 0]}]}),
        ("answers", {"index": 0, "edits": [PAINT] * 65}),
        ("map", {**VALID["map"], "method": "gradcm"}),
        ("map", {**VALID["map"], "model": 1}),
        ("map", {**VALID["map"], "fill": "patch"}),
        ("place", {"index": 0, "edits": [], "model": 0}),
        ("sheet", {"index": 0, "method": "../x"}),
    ],
)
def test_what_does_not_do_is_a_sentence(name, values):
    with pytest.raises(OverfocusError) as error:
        call(window(), name, values)
    assert 5 < len(str(error.value)) < 2000


def test_painting_shows_what_the_network_sees_and_changes_its_answer():
    found = call(window(), "answers", VALID["answers"])
    shown = pixels(found["image"])
    assert shown.shape == (*SIZE, 3)
    assert shown[CORNER].max() == 0
    assert shown[5:].max() > 0
    (answer,) = found["answers"]
    assert (answer["before"], answer["after"]) == ("red", "grey")
    red = next(row for row in answer["rows"] if row["class"] == "red")
    assert red["before"] > 0.99 > 0.01 > red["after"]
    assert answer["share"] == pytest.approx(20 / 192, abs=1e-4)


def test_models_answer_side_by_side():
    other = corner("blind", at="red")
    with torch.no_grad():
        other.model.head.weight.zero_()
    found = call(window(corner("one", at="red"), other), "answers", VALID["answers"])
    assert [each["before"] for each in found["answers"]] == ["red", "grey"]


def test_a_pasted_piece_is_seen():
    paste = {"index": 0, "box": [0, 0, 5, 4], "corner": [0, 0]}
    found = call(window(), "answers", {"index": 8, "edits": [paste]})
    assert (found["answers"][0]["before"], found["answers"][0]["after"]) == ("grey", "red")


def test_a_map_comes_with_what_it_hides():
    found = call(window(), "map", VALID["map"])
    assert found["class"] == "red"
    heat = pixels(found["heat"])
    assert heat.shape == (*SIZE, 4)
    assert heat[1, 1, 3] > 100 > heat[10, 10, 3]
    for kind in ("salient", "elsewhere"):
        steps = np.frombuffer(b64decode(found[kind]["steps"]), np.uint8)
        assert len(steps) == SIZE[0] * SIZE[1]
        assert len(found[kind]["target"]) == len(HIDDEN)
    at = HIDDEN.index(0.3)
    assert found["salient"]["target"][at] < found["elsewhere"]["target"][at]


def test_a_dropped_picture_is_turned_and_fitted_as_the_data_is():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    here = window()
    data = b64encode(encoded((60, 40), "JPEG", exif)).decode()
    found = call(here, "upload", {"name": "/home/me/<img>.jpg", "data": data})
    assert (found["index"], found["name"], found["label"]) == (9, "<img>.jpg", "")
    assert pixels(found["image"]).shape == (*SIZE, 3)
    assert call(here, "answers", {"index": 9})["answers"][0]["before"] == "red"
    assert call(here, "show", {"index": 9}) == found


def test_pictures_come_by_class():
    here = window()
    found = call(here, "pictures", {"first": 1, "count": 5, "label": "red"})
    assert (found["total"], [each["index"] for each in found["pictures"]]) == (3, [4, 7])
    assert {each["label"] for each in found["pictures"]} == {"red"}
    assert call(here, "setup", {})["classes"] == list(CLASSES)


def test_the_nearest_training_picture_is_itself():
    found = call(window(), "neighbours", {"index": 3, "model": 0})
    assert found["of"] == 9
    assert found["pictures"][0]["similarity"] == pytest.approx(1.0)
    with pytest.raises(OverfocusError, match="not at hand"):
        call(window(trained_on=False), "neighbours", {"index": 3, "model": 0})


def test_a_place_is_read_again(tmp_path):
    found = call(window(), "place", VALID["place"])
    path = tmp_path / "places.json"
    path.write_text(places_text([found]))
    (place,) = read_places(path)
    assert isinstance(place, FoundPlace)
    assert place.box == (0, 0, 5 / 16, 4 / 12)
    assert int(place.mask.sum()) == 20
    assert (place.label, place.run, place.filling) == ("red", "runs/corner", ("mean",))
    assert place.answers["before"] > 0.99 > place.answers["after"]
    assert place.as_dict() == found


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 9999, '{"format": "overfocus places", "version": 2}',
                                  places_text([{"size": [1, 1]}]), places_text([{"size": 3}])])  # fmt: skip
def test_what_is_no_file_of_places_is_an_error(text, tmp_path):
    path = tmp_path / "places.json"
    path.write_text(text)
    with pytest.raises(OverfocusError, match="no file of places"):
        read_places(path)
    with pytest.raises(OverfocusError, match="No such file"):
        read_places(tmp_path / "gone.json")


def test_an_older_stroke_is_not_answered():
    here = window()
    call(here, "answers", {"index": 0, "page": "p", "stroke": 5})
    with pytest.raises(Superseded):
        call(here, "answers", {"index": 0, "page": "p", "stroke": 4})
    assert call(here, "answers", {"index": 0, "page": "other", "stroke": 1})["stroke"] == 1
    assert call(here, "answers", {"index": 0, "page": "p", "stroke": 6})["stroke"] == 6


def test_strokes_that_wait_for_a_model_give_way_to_the_newest():
    here, said = window(), {}

    def ask(stroke):
        try:
            said[stroke] = call(here, "answers", {"index": 0, "page": "p", "stroke": stroke})["stroke"]
        except Superseded:
            said[stroke] = None

    with here.models[0].lent():
        threads = [Thread(target=ask, args=(stroke,)) for stroke in (1, 2, 3)]
        for each in threads:
            each.start()
        while here.strokes._newest.get("p") != 3 or len(here.strokes._newest) != 1:
            pass
    for each in threads:
        each.join()
    assert said[3] == 3
    assert said[1] is None


def test_pages_that_are_long_gone_are_forgotten():
    strokes = NewestStroke()
    for number in range(1000):
        strokes.came(str(number), 1)
    assert len(strokes._newest) < 100

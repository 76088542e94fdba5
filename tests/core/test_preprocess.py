"""The value that says how a picture becomes a tensor: what it takes, what it refuses, and how it is kept."""

import json

import pytest

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.preprocess import Preprocess

FULL = Preprocess(
    size=(60, 80), fit="pad", crop_share=0.875, interpolation="bicubic", orientation="stored", intensity=(0, 4095),
    background=(255, 0, 9), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1),
)  # fmt: skip


@pytest.mark.parametrize("value", [Preprocess(), FULL, Preprocess(size=(7, 9), intensity="percentile")])
def test_it_survives_json(value):
    assert Preprocess.read(json.loads(json.dumps(value.as_dict()))) == value


def test_a_number_is_a_square():
    assert Preprocess(size=64).size == (64, 64)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fit": "stretch"}, {"interpolation": "lanczos"}, {"orientation": "exif"}, {"intensity": "auto"},
        {"intensity": (5, 5)}, {"intensity": (0, float("nan"))}, {"background": (0, 0)}, {"background": (0, 0, 256)},
        {"crop_share": 0}, {"crop_share": 1.2}, {"size": (0, 5)}, {"mean": (0.5,)},
    ],
)  # fmt: skip
def test_what_is_none_of_it_is_refused(wrong):
    with pytest.raises(OverfocusError):
        Preprocess(**wrong)


def test_an_unknown_setting_is_named():
    with pytest.raises(UnknownName, match="crop_share"):
        Preprocess.read({"crop_pct": 0.875})


# Height and width before the centre is cut out, or bars are laid beside it.
@pytest.mark.parametrize(
    ("how", "stored", "resized"),
    [
        (Preprocess((40, 40)), (80, 120), (40, 60)),
        (Preprocess((40, 40), "pad"), (80, 120), (27, 40)),
        (Preprocess((40, 40), "squash"), (80, 120), (40, 40)),
        (Preprocess((40, 60), "pad"), (120, 80), (40, 27)),
        (Preprocess((40, 60), "crop"), (120, 80), (90, 60)),
        (Preprocess((224, 224), crop_share=0.875), (500, 375), (341, 256)),
        (Preprocess((224, 224), "squash", crop_share=0.875), (500, 375), (256, 256)),
        (Preprocess((8, 8), "pad"), (1, 400), (1, 8)),
    ],
)
def test_the_size_before_the_cut(how, stored, resized):
    assert how.resized(stored) == resized


def test_a_run_that_does_not_say_it_is_read_as_it_was_trained():
    old = {"size": [28, 30], "mean": [0.5], "std": [0.25]}
    assert Preprocess.of_manifest(old) == Preprocess((28, 30), orientation="stored", mean=(0.5,), std=(0.25,))
    assert Preprocess.of_manifest({**old, "preprocess": FULL.as_dict()}) == FULL

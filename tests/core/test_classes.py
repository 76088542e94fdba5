"""Classes are matched by name, and every guess is said."""

import unicodedata

import pytest

from overfocus.core.classes import match_classes, number_warning
from overfocus.core.errors import OverfocusError

CAFE, CAFE_APART = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("model", "data", "places", "warned"),
    [
        (("a", "b", "c"), ("a", "b", "c"), (0, 1, 2), False),
        (("dog", "bird", "cat"), ("cat", "dog"), (2, 0), False),
        ((CAFE, "tea"), ("tea", CAFE_APART), (1, 0), False),
        (("Zebra", "ant"), ("Ant", "zebra"), (1, 0), True),
        (("cat", "dog"), ("Katze", "Tier"), (0, 1), True),
        (tuple(map(str, range(12))), ("0", "1", "10", "11", "2"), (0, 1, 10, 11, 2), False),
        (tuple("abcdefghijkl"), ("0", "1", "10", "11", "2"), (0, 1, 10, 11, 2), True),
        (("a", "b"), ("1", "2"), (0, 1), True),
        (tuple("abcdefghijk"), ("1", "10", "11", *map(str, range(2, 10))), (0, 9, 10, *range(1, 9)), True),
    ],
)
def test_places(model, data, places, warned):
    match = match_classes(model, data)
    assert match.places == places
    assert bool(match.warning) == warned


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        (("cat", "dog"), ("cat", "eel"), "'eel'"),
        (("cat", "Dog"), ("cat", "dog", "eel"), "'dog'.*'Dog', which differs in case only"),
        (("a", "b", "c"), ("x", "y"), "no name agrees"),
        (("crane", "crane", "dog"), ("crane", "dog"), "2 classes called 'crane'"),
        (("Cat", "CAT"), ("cat",), "differs in case only"),
        (("a", "b"), ("0", "7", "9"), "no name agrees"),
    ],
)
def test_what_is_refused(model, data, said):
    with pytest.raises(OverfocusError, match=said) as caught:
        match_classes(model, data)
    assert "--classes" in str(caught.value)


def test_numbers_are_warned_of_with_both_orders():
    assert number_warning(("0", "one")) == ""
    assert "0, 1, 10, 2" in number_warning(("0", "1", "10", "2"))
    assert "not 0, 1, 2, 10" in number_warning(("0", "1", "10", "2"))
    assert "not 0" not in number_warning(("0", "1", "2"))

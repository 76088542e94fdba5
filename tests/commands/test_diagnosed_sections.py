"""Which sections a diagnosis has, from what is asked for."""

from __future__ import annotations

import pytest

from overfocus.commands import diagnose
from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.catalogue import DEFAULT, SECTIONS


class Asked:
    def __init__(self, only=(), without=()):
        self.only, self.without, self.quick = only, without, False


def test_sections_are_those_of_only_less_those_of_without():
    assert diagnose._sections(Asked(("spread", "focus"), ("focus",))) == ["spread"]
    assert "focus" not in diagnose._sections(Asked((), ("focus",)))
    assert diagnose._sections(Asked()) == list(DEFAULT)


@pytest.mark.parametrize("asked", [Asked(("spread",), ("spread",)), Asked((), tuple(SECTIONS))])
def test_nothing_left_is_an_error_and_not_everything(asked):
    with pytest.raises(OverfocusError, match="without"):
        diagnose._sections(asked)

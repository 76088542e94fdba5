"""Rows that commands hand to tables and to JSON."""

from __future__ import annotations

from typing import TypedDict


class SpreadNumbers(TypedDict):
    """How narrow one map is, at the size that the network has."""

    picture: str
    effective_area: float | None
    """In [1/N, 1], higher is wider; None for a map without mass."""
    gini: float | None
    """In [0, 1), lower is wider; None for a map without mass."""
    note: str
    """What is to be said of the map, such as that it does not add up; empty for most."""


class Explained(TypedDict):
    """What the model says of one picture."""

    file: str
    predicted: str
    confidence: float
    """The probability of `predicted`."""
    asked: str
    """The class that the maps are of."""
    probability: float
    """Of the class that the maps are of."""
    methods: dict[str, SpreadNumbers]


class Rate(TypedDict):
    """A quantity that a method measured, over the images that it acted on."""

    nominal: float | None
    measured: float
    sd: float | None
    """Over images; None for a single one."""
    n: int

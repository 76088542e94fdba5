"""Names of classes: which of a model's outputs is which class of the data, by name and never by a silent guess."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from overfocus.core.errors import OverfocusError
from overfocus.core.words import listed

NUMBER = re.compile(r"[0-9]+")
SHOWN = 5
"""Names that a sentence lists."""


@dataclass(frozen=True)
class ClassMatch:
    """Where the classes of data are among the outputs of a model."""

    places: tuple[int, ...]
    """For each class of the data, the model's output."""
    warning: str = ""
    """What a reader must know of how they were matched; empty where every name agrees."""
    by_position: bool = False
    """Whether no name agrees."""


def match_classes(model: Sequence[str], data: Sequence[str], who: str = "the model") -> ClassMatch:
    """Match the classes of data to those of a model: by name, in NFC; the model may know more.

    Names that differ in case only are matched, and the warning says so. Where no name agrees, classes that are numbers
    are the model's outputs of these numbers, and else, where both have as many, they are taken by position, with a
    warning. Raises OverfocusError where a class is not the model's, or has two places.
    """
    outputs, names = [_nfc(name) for name in model], [_nfc(name) for name in data]
    folded = [_folded(name) for name in outputs]
    if all(name in outputs for name in names):
        return ClassMatch(tuple(_only(outputs, name, who) for name in names))
    if all(folded.count(_folded(name)) == 1 for name in names) and len({*map(_folded, names)}) == len(names):
        places = tuple(folded.index(_folded(name)) for name in names)
        pairs = [f"{a!r} is {model[b]!r}" for a, b in zip(data, places, strict=True) if _nfc(a) != outputs[b]]
        return ClassMatch(places, f"class names differ in case only: {_few(pairs)}")
    if not {*map(_folded, names)} & {*folded}:
        return _by_position(model, data, who)
    missing = next(each for each, name in zip(data, names, strict=True) if name not in outputs)
    near = [each for each in model if _folded(each) == _folded(missing)]
    hint = f", though it knows {near[0]!r}, which differs in case only" * bool(near) if near else ""
    raise OverfocusError(
        f"{who} knows {len(model)} classes and the data has {len(data)}, {missing!r} among them, "
        f"which it does not know{hint}; give data with the model's classes, or name those in its order with --classes"
    )


def _by_position(model: Sequence[str], data: Sequence[str], who: str) -> ClassMatch:
    """Match classes none of whose names agree."""
    counted = numbered(data) and not numbered(model) and len({*map(int, data)}) == len(data)
    if counted and max(map(int, data)) < len(model):
        places, how = tuple(map(int, data)), "classes that are numbers are taken as outputs, counted from 0"
    elif len(model) != len(data):
        raise OverfocusError(
            f"{who} knows {len(model)} classes ({_few(model)}) and the data has {len(data)} others ({_few(data)}), "
            "and no name agrees; give data with the model's classes, or name those in its order with --classes"
        )
    else:
        order = sorted(data, key=int) if counted else data
        places, how = tuple(map(order.index, data)), "classes taken in order"
    pairs = [f"{name!r} is {model[place]!r}" for name, place in zip(data, places, strict=True)]
    return ClassMatch(places, f"{how}, since {who} calls them by other names: {_few(pairs)}", True)


def read_classes(text: str) -> tuple[str, ...]:
    """Return class names in the order of a model's outputs: of a file, a name a line (with its number behind it, or
    without) or JSON as `class_to_idx` and `id2label` have it, or of a list `a,b,c`. Raises OverfocusError for others.
    """
    path = Path(text)
    try:
        names = _of_file(path) if path.is_file() else [name.strip() for name in text.split(",")]
    except (ValueError, OSError, RecursionError) as error:
        raise OverfocusError(f"--classes {text}: cannot be read ({error}); give a name a line, or JSON") from None
    if not names or not all(isinstance(name, str) and name for name in names):
        raise OverfocusError(f"--classes {text}: give every class a name, in a file or as a,b,c")
    if len(names) < 2:
        raise OverfocusError(f"--classes {text}: neither a file nor names of two classes; give a file or a,b,c")
    return tuple(names)


def _of_file(path: Path) -> list[Any]:
    content = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".json":
        return _of_json(json.loads(content))
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    pairs = [line.rsplit(maxsplit=1) for line in lines]
    counted = all(len(pair) == 2 and pair[1] == str(row) for row, pair in enumerate(pairs))
    return [pair[0] for pair in pairs] if counted else lines


def _of_json(content: Any) -> list[Any]:
    """Return the names of a list, of number -> name, or of name -> number."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise ValueError("neither a list nor an object")
    flip = all(isinstance(value, int) for value in content.values())
    names = {int(value if flip else key): key if flip else value for key, value in content.items()}
    if sorted(names) != list(range(len(content))):
        raise ValueError(f"the numbers of its {len(content)} classes are not 0 to {len(content) - 1}, each once")
    return [names[number] for number in range(len(names))]


def numbered(names: Sequence[str]) -> bool:
    """Say whether all names are whole numbers."""
    return bool(names) and all(NUMBER.fullmatch(name) for name in names)


def number_warning(names: Sequence[str]) -> str:
    """Return the warning that is due where all names are numbers; "" where they are not."""
    if not numbered(names):
        return ""
    natural = sorted(names, key=int)
    other = f", not {_few(natural)}" if list(names) != natural else ""
    return (
        f"The class names are all numbers and stand in the order {_few(names)}{other}: weights whose file does not "
        "name their classes are matched in this order; --classes gives another."
    )


def same_name(one: str, other: str) -> bool:
    """Say whether two names are one in Unicode's composed form, NFC."""
    return _nfc(one) == _nfc(other)


def check_names(names: Sequence[str], where: str) -> None:
    """Raise OverfocusError where two names are one in NFC."""
    twice = [name for name, count in Counter(map(_nfc, names)).items() if count > 1]
    if twice:
        raise OverfocusError(f"{where}: the class {twice[0]!r} stands there twice; give every class one name")


def _only(outputs: Sequence[str], name: str, who: str) -> int:
    if outputs.count(name) > 1:
        raise OverfocusError(f"{who} has {outputs.count(name)} classes called {name!r}; name them apart with --classes")
    return outputs.index(name)


def _nfc(name: str) -> str:
    return normalize("NFC", name)


def _folded(name: str) -> str:
    return _nfc(_nfc(name).casefold())


def _few(names: Sequence[str]) -> str:
    return listed(names, SHOWN)

"""What is searched: a spec with open settings, `cutout(size=?)`, and settings of the recipe, `recipe.lr=0.01..0.5 log`.

?               the range that the setting is usually searched in, see RANGES
4..24           whole numbers, or numbers where one of the ends has a point
0.1..4 log      the same, even over orders of magnitude
position|channel   one of some words or numbers
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overfocus.core.errors import OverfocusError, nearest
from overfocus.regularizers.regularizer import Chain
from overfocus.regularizers.spec import methods, parse

RANGES: Mapping[str, str] = {
    "cutout.size": "0.2..0.8", "cutout.prob": "0.2..1.0", "cutout.holes": "1..4",
    "mixup.alpha": "0.1..2.0 log", "mixup.prob": "0.2..1.0",
    "cutmix.alpha": "0.1..4.0 log", "cutmix.prob": "0.1..1.0", "cutmix.size": "0.2..0.8",
    "cutmix.label": "area|larger|half", "cutmix.centre": "uniform|gaussian",
    "sgdrop.drop": "0.1..0.7", "sgdrop.prob": "0.2..1.0", "sgdrop.unit": "position|channel|element",
    "sgdrop.target": "label|predicted|soft", "sgdrop.views": "masked|both", "sgdrop.ramp": "0.0..0.5",
    "dropblock.drop": "0.05..0.3", "dropblock.size": "1..5", "dropout.drop": "0.1..0.7",
    "spatialdropout.drop": "0.05..0.5",
    "recipe.lr": "0.005..0.5 log", "recipe.weight_decay": "0.00001..0.005 log", "recipe.smoothing": "0.0..0.2",
}  # fmt: skip
"""Setting -> what ? stands for: around the values of the papers, where the setting does something and does not
destroy."""
SYNTAX = "write ?, a range such as 4..24 or 0.1..4 log, or choices such as area|half"
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
OPEN = re.compile(rf"(\w+)\s*=\s*(\?|{NUMBER}\.\.{NUMBER}(?:\s+log)?|[^,()|=]+(?:\|[^,()|=]+)+)")
OWNER = re.compile(r"(\w+)\(")


@dataclass(frozen=True)
class Dimension:
    """A setting that is searched: between `low` and `high`, or among `choices`."""

    name: str
    """`METHOD.setting`, with a number where a chain has it twice, or `recipe.setting`."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    @staticmethod
    def read(name: str, text: str) -> Dimension:
        """Read a range, choices, or ? where the setting has a usual range."""
        text = text.strip()
        if text == "?":
            owner, _, setting = re.sub(r"#\d+", "", name).partition(".")
            known = f"{owner}.{methods().get(owner, Chain).renamed.get(setting, setting)}"
            if known not in RANGES:
                hint = nearest(known, RANGES)
                raise OverfocusError(f"{name}=?: no usual range is known for it ({hint}); {SYNTAX}")
            text = RANGES[known]
        if "|" in text:
            return Dimension(name, choices=tuple(_value(part.strip()) for part in text.split("|")))
        found = re.fullmatch(rf"({NUMBER})\.\.({NUMBER})(\s*log)?", text)
        if not found:
            raise OverfocusError(f"{name}={text}: {SYNTAX}")
        low, high, log = float(found[1]), float(found[2]), bool(found[3])
        if low >= high or (log and low <= 0):
            raise OverfocusError(f"{name}={text}: the first end must be the lower one, and above 0 with log")
        return Dimension(name, low, high, log, found[1].isdigit() and found[2].isdigit())

    def ask(self, trial: Any) -> Any:
        """Let an Optuna trial choose: a number of four digits that count, or one of the choices."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return float(f"{trial.suggest_float(self.name, self.low, self.high, log=self.log):.4g}")


@dataclass(frozen=True)
class Space:
    """A spec with open settings, and open settings of the recipe."""

    spec: str
    """As it was written."""
    pieces: tuple[str, ...]
    """The text around the open settings, one more than there are."""
    settings: tuple[Dimension, ...]
    recipe: tuple[Dimension, ...] = ()

    @staticmethod
    def read(spec: str, search: tuple[str, ...] = ()) -> Space:
        """Read a spec and `search` such as ("recipe.lr=?",). Raises OverfocusError for a range that is none, and what
        `parse` raises for a spec that would not be one with its settings filled in.
        """
        pieces, settings, end = [], [], 0
        for found in OPEN.finditer(spec):
            owner = OWNER.findall(spec[: found.start()])
            name = f"{owner[-1] if owner else ''}.{found[1]}"
            twice = sum(each.name.partition("#")[0] == name for each in settings)
            settings.append(Dimension.read(f"{name}#{twice + 1}" if twice else name, found[2]))
            pieces.append(spec[end : found.start(2)])
            end = found.end(2)
        space = Space(spec, (*pieces, spec[end:]), tuple(settings), tuple(map(_of_recipe, search)))
        for which in (0, 1):
            space.filled([_end(each, which) for each in settings])
        return space

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """All that is searched."""
        return (*self.settings, *self.recipe)

    def filled(self, values: list[Any]) -> str:
        """Return the spec with `values` in place of its open settings, as `train` takes it."""
        shown = [repr(value) for value in values]
        text = "".join(piece + value for piece, value in zip(self.pieces, [*shown, ""], strict=True))
        return str(parse(text))

    def ask(self, trial: Any) -> tuple[str, dict[str, Any]]:
        """Let an Optuna trial choose everything: the spec, and the settings of the recipe."""
        spec = self.filled([each.ask(trial) for each in self.settings])
        return spec, {each.name: each.ask(trial) for each in self.recipe}


def _of_recipe(text: str) -> Dimension:
    name, equals, what = text.partition("=")
    if not equals or not name.strip().startswith("recipe."):
        raise OverfocusError(f"--search {text!r}: write a setting of the recipe, for example recipe.lr=0.01..0.5 log")
    return Dimension.read(name.strip(), what)


def _end(dimension: Dimension, which: int) -> Any:
    if dimension.choices:
        return dimension.choices[-which]
    end = (dimension.low, dimension.high)[which]
    return int(end) if dimension.whole else end


def _value(text: str) -> Any:
    """Return a word, or the number that it is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("'\"")

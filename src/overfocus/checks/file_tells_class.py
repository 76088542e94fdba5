"""Whether the class can be read off the file without looking at the picture: the first shortcut to look for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan, sqrt

import numpy as np

from overfocus.checks.check import Check, DataFinding, Example, Severity
from overfocus.checks.picture import Picture
from overfocus.checks.survey import Survey
from overfocus.core.interval import Interval, finite

FOLDS, SHUFFLES, MOST, LEAF = 5, 19, 4000, 5
"""Folds of cross-validation, shuffled labels, pictures that are used, and the fewest in a leaf of a tree."""
SHARE = 0.2
"""How much of the way from chance to certainty a property has to go to be a warning; from twice this on, a problem."""
NORMAL = 1.959964

PROPERTIES: dict[str, Callable[[Picture], tuple[object, ...]]] = {
    "size": lambda picture: (picture.width, picture.height),
    "format": lambda picture: (picture.format, picture.suffix),
    "mode": lambda picture: (picture.mode,),
    "compression": lambda picture: (picture.bytes / max(1, picture.width * picture.height), picture.quality),
    "metadata": lambda picture: (" ".join(picture.metadata), picture.turn),
}
"""What a file says of itself -> its values."""


@dataclass(frozen=True)
class Guess:
    """How well one property guesses the class of held-out pictures."""

    accuracy: Interval
    """Balanced: the mean over classes of the share that is guessed right."""
    shuffled: float
    """The best of the same with shuffled labels; NaN where it was not asked for."""
    chance: float

    @property
    def share(self) -> float:
        """How far from chance to certainty the lower end of the interval is; 0 where shuffled labels do as well."""
        low = self.accuracy.low
        return 0.0 if low <= self.shuffled else max(0.0, (low - self.chance) / (1 - self.chance))


class FileTellsClass(Check):
    """Class guessed from size, format, mode, compression and metadata of the file."""

    name = "file_tells_class"
    title = "The file gives the class away"
    question = "Can the class be guessed from size, format, mode, compression or metadata of the file alone?"
    order = 10

    def evaluate(self, survey: Survey) -> DataFinding:
        """Guess the class of held-out training pictures by a decision tree on one property at a time."""
        pictures = _usable(survey)
        if pictures is None:
            return DataFinding(Severity.FINE, f"Not evaluated: fewer than {FOLDS} training pictures in some class.")
        labels = np.array([picture.label for picture in pictures])
        guesses = {name: _guess(_columns(list(map(of, pictures))), labels) for name, of in PROPERTIES.items()}
        best = max(guesses, key=lambda name: guesses[name].share)
        telling = sorted(
            (name for name in guesses if guesses[name].share >= SHARE), key=lambda name: -guesses[name].share
        )
        value = {
            name: {
                **guess.accuracy.as_dict(), "shuffled": finite(guess.shuffled), "chance": guess.chance,
                "share": guess.share,
            }
            for name, guess in guesses.items()
        }  # fmt: skip
        rows = [
            (name, f"{g.accuracy:.2f}", "-" if isnan(g.shuffled) else f"{g.shuffled:.2f}", f"{g.chance:.2f}")
            for name, g in guesses.items()
        ]
        heads = ("property of the file", "balanced accuracy", "with shuffled labels", "by chance")
        if not telling:
            said = (
                "Size, format, mode, compression and metadata of the files do not tell the class (best: "
                f"{best}, balanced accuracy {guesses[best].accuracy:.2f})."
            )
            return DataFinding(Severity.FINE, said, value, heads, rows)
        said = ", ".join(f"{name} {guesses[name].accuracy:.2f}" for name in telling)
        return DataFinding(
            Severity.PROBLEM if guesses[best].share >= 2 * SHARE else Severity.WARNING,
            f"The class can be guessed from the file alone, by balanced accuracy: {said} (chance "
            f"{guesses[best].chance:.2f}). Pictures of different classes come from different sources: a network can "
            "learn the source instead of the object.",
            value, heads, rows, _examples(survey, pictures, telling[0]),
        )  # fmt: skip


def _examples(survey: Survey, pictures: Sequence[Picture], telling: str) -> list[Example]:
    """Return some pictures of each class, with the commonest values of the most telling property."""
    examples = []
    for label, name in enumerate(survey.dataset.classes):
        own = [picture for picture in pictures if picture.label == label]
        values = Counter(" ".join(map(_short, PROPERTIES[telling](picture))) for picture in own).most_common(2)
        said = ", ".join(f"{value} ({count / len(own):.0%})" for value, count in values)
        examples += [Example(f"{name}: {telling} {said}", own[:4])] if own else []
    return examples


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _usable(survey: Survey) -> list[Picture] | None:
    """Return the training pictures, evenly thinned; None where a class has too few for the folds."""
    pictures = list(survey.of("train"))
    pictures = pictures[:: max(1, len(pictures) // MOST)]
    counts = np.bincount([picture.label for picture in pictures], minlength=1)
    counts = counts[counts > 0]
    return pictures if len(counts) > 1 and counts.min() >= FOLDS else None


def _columns(rows: Sequence[tuple[object, ...]]) -> np.ndarray:
    """Return values as numbers [N, P]; texts become one column for each text."""
    columns = []
    for values in zip(*rows, strict=True):
        if isinstance(values[0], str):
            texts = sorted(set(values))
            columns += [np.array([value == text for value in values], dtype=float) for text in texts]
        else:
            columns.append(np.nan_to_num(np.array(values, dtype=float), nan=-1.0))
    return np.stack(columns, axis=1)


def _guess(columns: np.ndarray, labels: np.ndarray) -> Guess:
    recalls, counts = _recalls(columns, labels)
    half = NORMAL * sqrt(float((recalls * (1 - recalls) / counts).sum())) / len(counts)
    value = float(recalls.mean())
    generator = np.random.Generator(np.random.Philox(0))
    accuracy = Interval(value, max(0.0, value - half), min(1.0, value + half), len(labels))
    guess = Guess(accuracy, nan, 1 / len(counts))
    if guess.share < SHARE:
        return guess
    shuffled = max(float(_recalls(columns, generator.permutation(labels))[0].mean()) for _ in range(SHUFFLES))
    return replace(guess, shuffled=shuffled)


def _recalls(columns: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each class the share of its held-out pictures that is guessed right, and how many it has."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    if (columns == columns[0]).all():
        guessed = np.full_like(labels, labels[0])
    else:
        tree = DecisionTreeClassifier(min_samples_leaf=LEAF, class_weight="balanced", random_state=0)
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        guessed = cross_val_predict(tree, columns, labels, cv=folds)
    classes, counts = np.unique(labels, return_counts=True)
    return np.array([(guessed[labels == each] == each).mean() for each in classes]), counts

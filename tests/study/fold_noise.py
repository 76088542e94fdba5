"""Cross-validations of learners that are equally good: how often a test calls them different.

`python tests/study/fold_noise.py` prints the figures of docs/decisions/0013-what-folds-share.md (a minute).
"""

import sys

import numpy as np
from scipy import stats

from overfocus.statistics.folds import widening

FEATURES = 10


def draw_set(count, signal, draw):
    """Points [N, 2 x FEATURES] of two classes: each half of the features says as much, so that two learners, one on
    each half, are equally good on average over sets.
    """
    labels = np.arange(count) % 2
    centres = np.where(labels == 1, signal, -signal)[:, None]
    return draw.normal(size=(count, 2 * FEATURES)) + centres, labels


def fold_numbers(count, folds, draw):
    """Stratified: every class is dealt out over the folds in random order."""
    number = np.empty(count, int)
    for label in (0, 1):
        rows = np.flatnonzero(np.arange(count) % 2 == label)
        number[draw.permutation(rows)] = np.arange(len(rows)) % folds
    return number


def nearest_mean(points, labels, train, test):
    """A learner that depends little on the single picture."""
    means = [points[train][labels[train] == label].mean(axis=0) for label in (0, 1)]
    near = np.stack([np.square(points[test] - mean).sum(axis=1) for mean in means])
    return (near.argmin(axis=0) == labels[test]).mean()


def nearest_point(points, labels, train, test):
    """A learner that depends much on it."""
    distance = np.square(points[test]).sum(axis=1)[:, None] - 2 * points[test] @ points[train].T
    distance += np.square(points[train]).sum(axis=1)
    return (labels[train][distance.argmin(axis=1)] == labels[test]).mean()


def best_feature(points, labels, train, test):
    """A learner that chooses: which feature, and where to cut, hangs on all pictures that folds share."""
    means = np.stack([points[train][labels[train] == label].mean(axis=0) for label in (0, 1)])
    feature = np.abs(means[1] - means[0]).argmax()
    low, high = means[:, feature]
    above = (points[test, feature] > (low + high) / 2) == (high > low)
    return (above == labels[test]).mean()


LEARNERS = {"nearest mean": nearest_mean, "nearest point": nearest_point, "best feature": best_feature}


def differences(count, folds, repeats, share, draw, learner, signal=0.25):
    """Accuracy of one learner less that of the other on each fold [repeats x folds]; `share`: of the training folds
    that is trained on, drawn anew for every fold.
    """
    points, labels = draw_set(count, signal, draw)
    found = []
    for _ in range(repeats):
        number = fold_numbers(count, folds, draw)
        for fold in range(folds):
            train = np.flatnonzero(number != fold)
            if share < 1:
                classes = (draw.permutation(train[labels[train] == label]) for label in (0, 1))
                train = np.concatenate([rows[: round(share * len(rows))] for rows in classes])
            halves = (points[:, :FEATURES], points[:, FEATURES:])
            first, second = (LEARNERS[learner](half, labels, train, number == fold) for half in halves)
            found.append(first - second)
    return np.array(found)


def false_verdicts(folds, studies, count=100, repeats=1, share=1.0, seed=0, learner="nearest mean"):
    """Return how often p <= 0.05: of the plain t test and of the corrected one."""
    draw = np.random.Generator(np.random.Philox([seed, folds, repeats]))
    d = np.stack([differences(count, folds, repeats, share, draw, learner) for _ in range(studies)])
    n, spread = d.shape[1], d.std(axis=1, ddof=1)
    t = np.abs(d.mean(axis=1)) * n**0.5 / np.where(spread > 1e-9, spread, np.inf)
    return {
        name: float((2 * stats.t.sf(t / wide, n - 1) <= 0.05).mean())
        for name, wide in (("plain", 1.0), ("corrected", widening(n, folds)))
    }


if __name__ == "__main__":
    np.seterr(all="ignore")
    for learner in LEARNERS:
        for folds, repeats, share in ((5, 1, 1.0), (10, 1, 1.0), (5, 2, 1.0), (5, 5, 1.0), (5, 1, 0.25)):
            found = false_verdicts(folds, 4000, 100, repeats, share, learner=learner)
            sys.stdout.write(
                f"{learner}, {folds} folds, {repeats} times, {100 * share:g} % of the training folds: "
                + ", ".join(f"{name} {100 * value:.1f} %" for name, value in found.items()) + "\n"
            )  # fmt: skip
            sys.stdout.flush()

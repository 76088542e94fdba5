"""A linear probe of several labels: one logistic regression for each, against all images that do not have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, log

import torch

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.training.linear_probe import Features, LinearHead

Fit = Callable[[Features, int, Key], LinearHead]
"""(features of two classes, 2, key) -> a head with a logit for each."""


def fit_labels(features: Features, names: tuple[str, ...], key: Key, fit: Fit) -> LinearHead:
    """Return a last layer with a logit for each of the labels [N, K] bool of `features`, each fitted by `fit` to tell
    those that have it from the others.

    Raises OverfocusError for a label that fewer than two images have, or lack.
    """
    heads = []
    for number, (name, labels) in enumerate(zip(names, features.labels.long().T, strict=True)):
        having = int(labels.sum())
        if min(having, len(labels) - having) < 2:
            raise OverfocusError(
                f"linear probe: {having} of {len(labels)} training images have the label {name!r}; give at least two "
                "with it and two without, leave the label out, or train with recipe.tune = 'full' or 'scratch'"
            )
        heads.append(fit(replace(features, labels=labels), 2, key.fold_in(number)))
    return LinearHead(
        torch.stack([head.weight[1] - head.weight[0] for head in heads]),
        torch.stack([head.bias[1] - head.bias[0] for head in heads]),
        exp(sum(log(head.penalty) for head in heads) / len(heads)),
        sum(head.log_loss for head in heads) / len(heads),
    )

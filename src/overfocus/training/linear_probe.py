"""A linear probe: the last layer of a classifier fitted anew, to features that stay as they are.

What a network answers shows what its *last layer* uses. Whether its *features* hold more is another question, which a
linear probe answers (Alain and Bengio, 1610.01644): if the refitted layer names the class where the network's own does
not, the features knew it and the head did not use it. Refitting the last layer is also a remedy for a network that
relies on the wrong cue (Kirichenko et al., 2204.02937) and the first half of LP-FT (Kumar et al., 2202.10054).

A head is a multinomial logistic regression on standardised features. The strength of its L2 penalty is chosen by the
log loss in stratified cross-validation on the same images, so no test image is looked at.

Balanced, by `weights` and likewise by `sampler`, every class counts the same in both: an image of class c counts
N / (K n_c) times. By `logit-adjustment` the head is fitted as it is and the log frequencies are subtracted from its
bias. That is the post-hoc form of Menon et al. (2007.07314), and here also the form by the loss: since the bias is not
penalised, the fit that has the log frequencies added to its logits has its optimum exactly there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overfocus.core.balance import Kind, log_prior
from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.modes import in_mode
from overfocus.models.surgery import classifier_name

PENALTIES = tuple(10.0**power for power in range(-2, 5))
"""Strengths of the L2 penalty that are tried: lambda in  sum of log losses + lambda / 2 |weight|^2."""
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Features:
    """What the last layer of a network sees of some images."""

    values: Tensor
    """[N, D] float32, on the processor."""
    labels: Tensor
    """[N] int64; [N, K] bool of images with several."""


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A last layer: logits = features @ weight.T + bias."""

    weight: Tensor
    """[K, D] float32."""
    bias: Tensor
    """[K] float32."""
    penalty: float
    """The strength of the L2 penalty that was chosen."""
    log_loss: float
    """Of held-out folds at that strength, before logit adjustment: mean in nats over images, or over classes."""

    def logits(self, features: Features) -> Tensor:
        """Return the logits [N, K] of `features`."""
        return F.linear(features.values, self.weight, self.bias)

    def accuracy(self, features: Features) -> float:
        """Return the share of `features` whose class is named, in [0, 1]."""
        return float((self.logits(features).argmax(dim=1) == features.labels).double().mean())

    def into(self, model: nn.Module) -> nn.Module:
        """Return a copy of `model` with this as its last layer, in the same place and dtype."""
        model = deepcopy(model)
        layer = _last_layer(model)
        if layer.weight.shape != self.weight.shape:
            raise OverfocusError(
                f"head of {tuple(self.weight.shape)} weights for a last layer of {tuple(layer.weight.shape)}; "
                "give the network whose features it was fitted to"
            )
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            if layer.bias is None:
                layer.bias = nn.Parameter(self.bias.to(layer.weight))
            layer.bias.copy_(self.bias)
        return model


@torch.no_grad()
def features_of(model: nn.Module, batches: Iterable[Sequence[Tensor]]) -> Features:
    """Return what the last layer of `model` sees of `batches`, each (images [B, C, H, W], labels [B], ...).

    The model is run in evaluation mode; each module gets its own mode back. Raises OverfocusError where the logits are
    not those of a linear layer on features [B, D], and where there are no images.
    """
    layer, seen = _last_layer(model), []
    dtype = next((each.dtype for each in model.parameters()), torch.float32)
    with in_mode(model.modules()), layer.register_forward_hook(lambda _, given, out: seen.append((given[0], out))):
        values, labels = [], []
        for images, named, *_ in batches:
            seen.clear()
            logits = model(images.to(dtype))
            if not seen or seen[-1][0].ndim != 2 or not torch.equal(seen[-1][1], logits):
                raise OverfocusError(
                    f"{type(model).__name__}: its logits are not what the layer {classifier_name(model)!r} makes of "
                    "features [B, D], so it has no last layer to fit anew; give a network that ends with a linear layer"
                )
            values.append(seen[-1][0].float().cpu())
            labels.append(named.cpu())
    if not values:
        raise OverfocusError("linear probe: there are no images; give some of every class")
    return Features(torch.cat(values), torch.cat(labels))


def fit_head(
    features: Features, classes: int, key: Key, *, penalties: Sequence[float] = PENALTIES, folds: int = FOLDS,
    balance: Kind = "none",
) -> LinearHead:  # fmt: skip
    """Fit a last layer for `classes` to `features`; `key` draws the folds.

    Raises OverfocusError where a class has fewer than two images, or features are not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds, even = min(folds, _checked(features, classes)), balance in ("sampler", "weights")
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced" if even else None)),
        {"logisticregression__C": [1 / penalty for penalty in sorted(penalties, reverse=True)]},
        scoring=_balanced_score if even else "neg_log_loss",
        cv=StratifiedKFold(folds, shuffle=True, random_state=key.fold_in("folds").seed() % 2**32),
    )
    search.fit(features.values.double().numpy(), features.labels.numpy())
    scaler, regression = (step for _, step in search.best_estimator_.steps)
    weight, bias = (torch.from_numpy(each) for each in (regression.coef_, regression.intercept_))
    if classes == 2:  # of two classes it has the difference of the logits alone
        weight, bias = torch.cat((-weight, weight)) / 2, torch.cat((-bias, bias)) / 2
    weight = weight / torch.from_numpy(scaler.scale_)
    bias = bias - weight @ torch.from_numpy(scaler.mean_)
    if balance == "logit-adjustment":
        bias = bias - log_prior(torch.bincount(features.labels, minlength=classes))
    penalty = 1 / search.best_params_["logisticregression__C"]
    return LinearHead(weight.float(), bias.float(), penalty, -float(search.best_score_))


def _balanced_score(estimator: Any, values: Any, labels: Any) -> float:
    """Return minus the mean log loss in which every class counts the same."""
    from sklearn.metrics import log_loss
    from sklearn.utils.class_weight import compute_sample_weight

    counted = compute_sample_weight("balanced", labels)
    return -float(log_loss(labels, estimator.predict_proba(values), sample_weight=counted, labels=estimator.classes_))


def _checked(features: Features, classes: int) -> int:
    """Return how many images the smallest class has."""
    counts = torch.bincount(features.labels, minlength=classes)
    if len(counts) > classes or classes < 2 or int(counts.min()) < 2:
        raise OverfocusError(
            f"linear probe: {classes} classes with {counts.tolist()} images; give at least two images of each of at "
            "least two classes"
        )
    if not bool(features.values.isfinite().all()):
        raise OverfocusError("linear probe: some features are not finite; check the weights and the images")
    return int(counts.min())


def _last_layer(model: nn.Module) -> nn.Linear:
    name = classifier_name(model)
    layer = model.get_submodule(name)
    if not isinstance(layer, nn.Linear):
        raise OverfocusError(
            f"{type(model).__name__}: its last layer {name!r} is a {type(layer).__name__}; give a network that ends "
            "with a linear layer"
        )
    return layer

"""When not to trust an attack: signs that it failed, not that the model stood; and AutoAttack, where it is installed.

The signs are those of Athalye et al. (1802.00420) and Carlini et al. (1902.06705): what should do less does more, and
what may do anything does not do all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.diagnosis.attacks.adaptive import AdaptivePGD
from overfocus.diagnosis.attacks.attack import FGSM, PGD, Attack, Model, SignNoise, gradients, steady
from overfocus.diagnosis.pixels import checked

NOT_TRIED = -2
"""Stands for the class of an image that a check was not run on."""
DISAGREES = {
    "transfer": "fall to what is found on a smoothed copy of the model: its own gradient misleads, and the accuracy "
    "under PGD is too high.",
    "square": "fall to Square Attack, which sees no gradient: the gradient misleads, and the accuracy under PGD is too "
    "high.",
    "unbounded": "stand even where it may change them into any other: it does not find what is there, and the accuracy "
    "under PGD says nothing.",
}


@dataclass(frozen=True, eq=False)
class MaskingProbe:
    """What two forwards and one gradient show of a model, image by image."""

    unsteady: Tensor
    """[B] bool: the logits of two forwards differ by more than rounding."""
    blind: Tensor
    """[B] bool: the gradient of the loss to the pixels is exactly zero."""
    probabilities: bool
    """Whether what should be logits are probabilities, whose gradients vanish for sure images."""


def probe(model: Model, pixels: Tensor, labels: Tensor) -> MaskingProbe:
    """Look at images [B, C, H, W] in [0, 1] with labels [B] for what makes an attack fail."""
    clean = checked(pixels, "probe")
    with torch.no_grad(), steady(model):
        first, second = model(pixels).float(), model(pixels).float()
    same = torch.isclose(first, second, rtol=1e-3, atol=1e-4, equal_nan=True).all(dim=1)
    blind = (gradients(model, clean, labels, pixels.dtype) == 0).flatten(1).all(dim=1)
    sums = first.sum(dim=1)
    bounded = bool(((first >= 0) & (first <= 1)).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
    return MaskingProbe(~same, blind, bounded)


def flags(
    labels: Tensor,
    clean: Tensor,
    results: Mapping[str, Tensor],
    attacks: Mapping[str, Attack],
    seen: MaskingProbe,
    slack: float = 0.01,
) -> tuple[str, ...]:
    """Return a sentence for every sign that an attack failed; none is no proof that it did not.

    `clean` and each of `results` are predicted classes [B], under no attack and under those of the same name. `slack`
    is the share of images by which the stronger attack may do worse without a word.
    """
    right = {name: float((found == labels).double().mean()) for name, found in results.items()}
    by_gradient = (PGD, AdaptivePGD)
    pairs = [
        *_pairs(attacks, SignNoise, (FGSM, *by_gradient), "it follows the gradient"),
        *_pairs(attacks, FGSM, by_gradient, "it takes more steps of the same kind"),
        *_larger(attacks),
    ]
    sentences = [_of_model(seen), _of_answers({"no attack": clean, **results})]
    for weaker, stronger, why in pairs:
        if weaker in right and stronger in right and right[stronger] > right[weaker] + slack:
            sentences.append([
                f"{stronger} leaves {100 * right[stronger]:.1f} % right and {weaker} {100 * right[weaker]:.1f} %, "
                f"though {why}: the gradient misleads."
            ])  # fmt: skip
    return tuple(sentence for part in sentences for sentence in part)


def disagreements(
    labels: Tensor, checks: Mapping[str, Tensor], rising: Mapping[str, Tensor], slack: float = 0.05
) -> tuple[str, ...]:
    """Return a sentence for every check that disagrees with the attack that it follows.

    `checks`: classes [B] of images that stood under it, `NOT_TRIED` elsewhere. `rising`: for each attack, [B] bool,
    where its loss rose to the last step. `slack` is the share of images that may disagree without a word.
    """
    sentences = []
    for name, classes in checks.items():
        tried = int((classes != NOT_TRIED).sum())
        fell = int(((classes != NOT_TRIED) & (classes != labels)).sum())
        failed = tried - fell if name == "unbounded" else fell
        if failed > slack * tried:
            sentences.append(f"{failed} of {tried} images that PGD (8/255) leaves right {DISAGREES[name]}")
    for name, still in rising.items():
        share = float(still.double().mean())
        if share > slack:
            sentences.append(
                f"The loss still rises at the last step of {name} for {100 * share:.1f} % of the images: more steps "
                "would leave less."
            )
    return tuple(sentences)


def _of_model(seen: MaskingProbe) -> list[str]:
    unsteady, blind = (float(each.double().mean()) for each in (seen.unsteady, seen.blind))
    sentences = []
    if unsteady > 0:
        sentences.append(
            f"Two forwards of the same image differ for {100 * unsteady:.1f} % of the images: the model draws random "
            "numbers, and an attack on one draw understates what many would do."
        )
    if blind > 0:
        sentences.append(
            f"The gradient is exactly zero for {100 * blind:.1f} % of the images: no attack by gradient can move them."
        )
    if seen.probabilities:
        sentences.append("The model returns probabilities, not logits: leave out the softmax, or gradients vanish.")
    return sentences


def _of_answers(results: Mapping[str, Tensor]) -> list[str]:
    lost = {name: int((found < 0).sum()) for name, found in results.items()}
    return [
        f"{count} images have no answer under {name}: the logits hold NaN." for name, count in lost.items() if count
    ]


def _pairs(
    attacks: Mapping[str, Attack], weak: type, strong: tuple[type, ...], reason: str
) -> list[tuple[str, str, str]]:
    """Return the names of a weak and a strong attack of equal size, and why the second should do more."""
    return [
        (first, second, reason)
        for first, one in attacks.items()
        for second, other in attacks.items()
        if isinstance(one, weak) and isinstance(other, strong)
        if one.eps == other.eps and getattr(other, "norm", "linf") == "linf"
    ]


def _larger(attacks: Mapping[str, Attack]) -> list[tuple[str, str, str]]:
    """Return neighbours in size among attacks that are otherwise alike, the smaller first."""
    families: dict[object, list[str]] = {}
    for name in sorted(attacks, key=lambda name: attacks[name].eps):
        one = attacks[name]
        key: object = type(one)
        if isinstance(one, (PGD, AdaptivePGD)):
            key = replace(one, eps=0.0, **({"step": 0.0} if isinstance(one, PGD) else {}))
        if not isinstance(one, SignNoise):
            families.setdefault(key, []).append(name)
    return [(*pair, "it may change more") for names in families.values() for pair in pairwise(names)]


def auto_attack(
    model: Model,
    pixels: Tensor,
    labels: Tensor,
    seed: int,
    eps: float = 8 / 255,
    norm: Literal["Linf", "L2"] = "Linf",
    batch: int = 128,
) -> Tensor:
    """Return images [B, C, H, W] attacked by standard AutoAttack (2003.01690), of the package `autoattack`.

    Its targeted parts try nine other classes, or all others where there are fewer. The global random state that the
    package moves is given back. Raises OverfocusError where the package is missing, or with fewer than four classes,
    for which its loss (a ratio of differences of sorted logits) has no meaning.
    """
    try:
        from autoattack import AutoAttack  # type: ignore[import-not-found]
    except ImportError as error:
        raise OverfocusError(
            "AutoAttack is not available; install the package autoattack from github.com/fra31/auto-attack, or read PGD"
        ) from error
    clean = checked(pixels, "AutoAttack")
    classes = _classes(model, pixels[:1])
    near = [clean.device] if clean.device.type == "cuda" else []
    with torch.random.fork_rng(devices=near), steady(model):
        adversary = AutoAttack(model, norm=norm, eps=eps, version="standard", seed=seed, device=clean.device)
        adversary.verbose = False
        for part in (adversary.apgd_targeted, adversary.fab):
            part.n_target_classes = min(9, classes - 1)
        return adversary.run_standard_evaluation(clean, labels, bs=batch).to(pixels.dtype)


def _classes(model: Model, pixels: Tensor) -> int:
    with torch.no_grad(), steady(model):
        classes = model(pixels).shape[1]
    if classes < 4:
        raise OverfocusError(f"AutoAttack: the model has {classes} classes and its loss needs four; read PGD instead")
    return classes

"""The attacks that an examination runs, and those that check on few images whether the others failed."""

from __future__ import annotations

from overfocus.diagnosis.attacks.adaptive import AdaptivePGD
from overfocus.diagnosis.attacks.attack import FGSM, Attack, SignNoise
from overfocus.diagnosis.attacks.square import Square
from overfocus.diagnosis.attacks.transfer import Transfer

ATTACKS: dict[str, Attack] = {
    "noise": SignNoise(8 / 255),
    "fgsm": FGSM(8 / 255),
    "pgd_2": AdaptivePGD(2 / 255),
    "pgd_8": AdaptivePGD(8 / 255),
    "pgd_l2": AdaptivePGD(0.5, norm="l2"),
}
"""What an examination runs on every image: name -> attack."""

CHECKED = "pgd_8"
CHECKS: dict[str, Attack] = {
    "transfer": Transfer(8 / 255),
    "square": Square(8 / 255),
    "unbounded": AdaptivePGD(1.0, losses=("margin",)),
}
"""What is run on a few of the images that stand under the attack `CHECKED`: name -> attack. None of the first two
should do more than it; the last, which may make any image of any other, should leave nothing.
"""

"""Which numbers of a section are told first, where there is no room for all."""

from __future__ import annotations

from collections.abc import Iterable

HEADLINES = {
    "spread": ("effective_area_predicted", "mass_50_predicted", "gini_predicted"),
    "localization": ("energy", "energy_over_area", "pointing", "max_box_acc_v2", "gt_known"),
    "hiding": ("overfocus", "area_salient", "area_blobs"),
    "deletion": ("deletion_gap", "insertion_gap", "deletion", "insertion"),
    "robustness": ("pgd_2", "pgd_8", "fgsm", "clean", "salient", "other"),
    "corruptions": ("mean_error", "clean_error", "mce"),
    "in_between": ("mixup", "cutmix"),
    "confidence": ("ece", "gap", "accuracy", "nll", "brier", "ece_tempered"),
    "shortcut": ("flagged", "suspicion"),
    "transplant": ("flagged", "carried", "taken"),
}
"""Section -> names of its scores, the most telling first. A section that is not here tells its first ones."""
MOST = 6


def headline(section: str, names: Iterable[str]) -> list[str]:
    """Return those among `names` of the section's scores that are told first, at most six and at least one."""
    known = list(names)
    chosen = [name for name in HEADLINES.get(section, ()) if name in known]
    return (chosen or known)[:MOST]

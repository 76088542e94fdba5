"""Error under the 15 common corruptions at 5 severities (Hendrycks & Dietterich, 1903.12261).

Two numbers go by similar names, and are kept apart here. `mean_error` is the plain mean of the 75 errors, as is usual
for images of 32 and 64 pixels. `mce` divides the error of each corruption by that of AlexNet and is for ImageNet at 224
pixels only: the AlexNet errors were measured on the published ImageNet-C files. On corruptions that are made on the fly
it is close to, but not, the published mCE. Lower is better for both.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.metrics.score import Metric, Score, mean_score

ALEXNET = {
    "gaussian_noise": 0.886428, "shot_noise": 0.894468, "impulse_noise": 0.922640,
    "defocus_blur": 0.819880, "glass_blur": 0.826268, "motion_blur": 0.785948, "zoom_blur": 0.798360,
    "snow": 0.866816, "frost": 0.826572, "fog": 0.819324, "brightness": 0.564592,
    "contrast": 0.853204, "elastic": 0.646056, "pixelate": 0.717840, "jpeg": 0.606500,
}  # fmt: skip
"""AlexNet's error on each corruption of ImageNet-C, the mean over severities, as published with the benchmark."""
NAMES = tuple(ALEXNET)
"""The corruptions, in the order of the rows of every array here."""
SEVERITIES = 5
MEAN_ERROR = Metric("mean corruption error, plain", "mean of 15 x 5 errors", "lower", "of images")
MCE = Metric(
    "mCE, AlexNet = 1", "mean over 15 corruptions of sum_s E / sum_s E_AlexNet", "lower", "of AlexNet's error", 0.0, inf
)


def mean_error(errors: Tensor) -> float:
    """Return the plain mean of `errors` [15, 5], shares in [0, 1]; lower is better. NaN if any is missing."""
    return float(_checked(errors).mean())


def mce(errors: Tensor, alexnet: Tensor) -> float:
    """Return the mean of each corruption's error over that of AlexNet: 1 is AlexNet, lower is better, no upper end.

    `errors` [15, 5] are shares in [0, 1] on ImageNet at 224 pixels, `alexnet` [15] or [15, 5] those of AlexNet
    (`alexnet_errors()` for the published ones). Papers print it times 100. NaN if any error is missing.
    """
    return float((_checked(errors).mean(dim=1) / _reference(alexnet)).mean())


def alexnet_errors() -> Tensor:
    """Return the published errors of AlexNet on ImageNet-C: [15] float64 in the order of NAMES."""
    return torch.tensor(list(ALEXNET.values()), dtype=torch.float64)


def mce_score(wrong: Tensor, alexnet: Tensor) -> Score:
    """Return the mCE with its interval over images: `wrong` [15, 5, N] is 1 for a wrong answer, else 0,
    `alexnet` as for `mce`. An image with a missing answer (NaN) is left out.

    The mCE is a weighed mean of errors, so every image has its own share of it.
    """
    return mean_score(MCE, (_checked(wrong).mean(dim=1) / _reference(alexnet)[:, None]).mean(dim=0))


def _checked(errors: Tensor) -> Tensor:
    if errors.shape[:2] != (len(NAMES), SEVERITIES) or errors.ndim > 3:
        raise OverfocusError(
            f"corruption errors are of shape {tuple(errors.shape)}; give [{len(NAMES)}, {SEVERITIES}], or that with a "
            "third axis of images for a score, in the order of NAMES"
        )
    return errors.detach().double().cpu()


def _reference(alexnet: Tensor) -> Tensor:
    alexnet = alexnet.detach().double().cpu()
    each = alexnet.mean(dim=1) if alexnet.ndim == 2 else alexnet
    if each.shape != (len(NAMES),) or not bool((each > 0).all()):
        raise OverfocusError(f"AlexNet errors are of shape {tuple(alexnet.shape)}; give [{len(NAMES)}], all above 0")
    return each

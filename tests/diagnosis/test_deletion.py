"""Insertion starts from the picture that RISE's published code starts from."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from overfocus.diagnosis.sections.deletion import blurred

MEAN, STD = (torch.tensor(each).view(-1, 1, 1) for each in ((0.4, 0.5, 0.3), (0.2, 0.3, 0.25)))


def literal(pixels: torch.Tensor) -> torch.Tensor:
    """Read `gkern(11, 5)` and `conv2d(x, kern, padding=5)` of evaluation.py and Evaluation.ipynb word by word."""
    point = np.zeros((11, 11))
    point[5, 5] = 1
    kernel = np.zeros((3, 3, 11, 11))
    for channel in range(3):
        kernel[channel, channel] = gaussian_filter(point, 5)
    normalised = (pixels - MEAN) / STD
    return torch.nn.functional.conv2d(normalised, torch.from_numpy(kernel).float(), padding=5) * STD + MEAN


def test_the_blur_is_that_of_rise():
    for height, width in ((30, 20), (7, 40), (1, 1)):
        pixels = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(blurred(pixels, MEAN), literal(pixels), atol=1e-6)

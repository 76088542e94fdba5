"""How a classifier names images between two classes.

A prediction counts as right where it is either of the two classes that were mixed, whatever their shares: the protocol
of Mixup (1710.09412, "a miss if it belongs to neither") and, as top-1, of CutMix (1905.04899). At shares 0 and 1 one of
the two is not in the image at all, so the number there is a little above plain accuracy.
"""

from __future__ import annotations

import torch
from torch import Tensor


def either(predicted: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return 1 where `predicted` is class `first` or `second`, else 0: [B] float64; all inputs [B] int64.

    NaN where both classes are the same, as nothing lies between, and where predicted is negative (no answer).
    """
    hit = ((predicted == first) | (predicted == second)).double()
    return torch.where((first == second) | (predicted < 0), torch.nan, hit)

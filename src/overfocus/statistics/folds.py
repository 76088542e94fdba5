"""Cross-validation: folds share most of their training pictures, so their numbers move together, and the variance of
their mean is larger than s^2 / n.

The correction is that of Nadeau and Bengio (Machine Learning 52, 2003), the corrected resampled t test: the variance of
the mean of n differences is taken as (1 / n + n_test / n_train) s^2, with n - 1 degrees of freedom. In K folds
n_test / n_train = 1 / (K - 1), and n = r K where the cross-validation is repeated r times (Bouckaert and Frank 2004).
"""

from __future__ import annotations

from math import sqrt

SHARED = "folds share their training pictures"
"""Why what takes runs as independent has no answer over folds."""


def widening(n: int, folds: int) -> float:
    """Return how many times the standard error s / sqrt(n) of `n` numbers over folds is to be taken: sqrt(1 + n / (K -
    1)) with K `folds`; 1 for 0 folds, which are independent runs.
    """
    return sqrt(1 + n / (folds - 1)) if folds else 1.0

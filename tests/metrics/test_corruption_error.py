"""Two corruption errors, which must not be mixed up."""

import numpy as np
import pytest
import torch

from overfocus.core.errors import OverfocusError
from overfocus.metrics import corruption
from overfocus.metrics.corruption import (
    ALEXNET,
    MCE,
    MEAN_ERROR,
    NAMES,
    alexnet_errors,
    mce,
    mce_score,
    mean_error,
)


def errors(seed=0):
    return torch.rand(15, 5, generator=torch.Generator().manual_seed(seed))


def test_plain_mean():
    assert mean_error(torch.full((15, 5), 0.25)) == 0.25
    assert mean_error(errors()) == pytest.approx(np.mean(errors().double().numpy()))


def test_alexnet_has_an_mce_of_one():
    own = alexnet_errors()[:, None].expand(15, 5)
    assert mce(own, alexnet_errors()) == pytest.approx(1)
    assert mce(own / 2, own) == pytest.approx(0.5)


def test_mce_one_corruption_after_another():
    found, reference, total = errors(1), errors(2) + 0.1, 0.0
    for row in range(15):
        total += sum(found[row].tolist()) / sum(reference[row].tolist())
    assert mce(found, reference) == pytest.approx(total / 15, rel=1e-6)


def test_the_two_differ_in_name_and_value():
    assert MEAN_ERROR.title != MCE.title
    assert mean_error(errors()) != pytest.approx(mce(errors(), alexnet_errors()), rel=0.05)


def test_published_alexnet_mean():
    assert len(NAMES) == 15
    assert float(alexnet_errors().mean()) == pytest.approx(sum(ALEXNET.values()) / 15)
    assert 0.78 < float(alexnet_errors().mean()) < 0.79


def test_scores_agree_with_the_numbers():
    wrong = (torch.rand(15, 5, 40, generator=torch.Generator().manual_seed(0)) < errors()[:, :, None]).double()
    ratio = mce_score(wrong, alexnet_errors())
    assert ratio.value == pytest.approx(mce(wrong.mean(dim=2), alexnet_errors()))
    assert ratio.n == 40
    assert ratio.low < ratio.value < ratio.high
    assert ratio.metric == MCE


def test_what_is_missing_is_no_number():
    missing = errors()
    missing[3, 2] = torch.nan
    assert np.isnan(mean_error(missing))
    assert np.isnan(mce(missing, alexnet_errors()))
    wrong = torch.zeros(15, 5, 3)
    wrong[0, 0, 1] = torch.nan
    assert mce_score(wrong, alexnet_errors()).n == 2


def test_shapes_are_told():
    with pytest.raises(OverfocusError, match="NAMES"):
        mean_error(torch.zeros(5, 15))
    with pytest.raises(OverfocusError, match="all above 0"):
        mce(errors(), torch.zeros(15))
    assert corruption.SEVERITIES == 5

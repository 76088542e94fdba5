"""Numbers as a page prints them: a rounded 0 has neither a sign nor an exponent."""

import pytest

from overfocus.core.interval import Interval
from overfocus.report.number import compact, in_own_unit, in_percent, in_points


@pytest.mark.parametrize(("value", "shown"), [(-1.86e-10, "0.000"), (3e-17, "0.000"), (0.0, "0.000"), (-0.25, "−0.250"),
                                              (2e-5, "2e−05")])  # fmt: skip
def test_what_is_0_but_for_rounding_is_0(value, shown):
    assert compact(value) == shown


def test_no_minus_before_a_rounded_0():
    almost = Interval(-1.86e-10, -1e-9, 0.002, 5)
    assert (in_points(almost).value, in_points(almost).interval) == ("+0.00", "[+0.00, +0.20]")
    assert in_percent(almost).value == "0.00"
    assert in_own_unit(almost).interval == "[0.000, 0.002]"
    assert in_points(Interval(-0.004)).value == "−0.40"

"""Means, their intervals over subjects, and the verdicts on them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from utils.intervals import Interval, interval, knee


def test_knee_is_the_first_point_that_made_nine_tenths_of_the_way():
    steps, quality = [2, 5, 10, 25, 50], [0.10, 0.30, 0.38, 0.395, 0.40]
    assert knee(steps, quality) == knee(steps, [Interval(q, q - 1, q + 1, 9) for q in quality]) == 10
    assert knee(steps, [0.4, 0.3, 0.2, 0.1, 0.0]) == 2  # it never gets better
    for x, y in (([], []), ([1, 2], [1.0]), ([1, 2], [1.0, math.nan])):
        with pytest.raises(ValueError, match="knee"):
            knee(x, y)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Interval(-9.1234, -10.23, -8.04, 24, "dB"), "-9.1 dB (95% interval -10.2 to -8.0, n = 24)"),
        (Interval(0.3012, 0.2978, 0.3065, 24), "0.301 (95% interval 0.298 to 0.306, n = 24)"),
        (Interval(1234, 1100, 1300, 5, "Hz"), "1234 Hz (95% interval 1100 to 1300, n = 5)"),
        (Interval(-0.2, -10, 4, 8, "dB"), "0 dB (95% interval -10 to 4, n = 8)"),
        (Interval(0.011, 0.0004, 0.024, 12), "0.0110 (95% interval 0.0004 to 0.0240, n = 12)"),  # excludes zero
        (Interval(2e-4, 1.9e-4, 2.1e-4, 8), "0.00020 (95% interval 0.00019 to 0.00021, n = 8)"),
    ],
)
def test_interval_prints_as_many_digits_as_it_is_worth(found, says):
    assert str(found) == repr(found) == says
    assert found.excludes_zero == (" -10 to 4" not in says)


@pytest.mark.parametrize("alike", [0.0, 0.94])
def test_useless_tips_pass_in_5_percent_however_alike_the_seeds_of_a_subject_are(alike):
    rng = np.random.default_rng(4)
    subjects = np.repeat(np.arange(6), 3)
    shared, own = rng.normal(0, alike**0.5, (1000, 6)), rng.normal(0, (1 - alike) ** 0.5, (1000, 18))
    passed = [interval(values, groups=subjects).excludes_zero for values in shared[:, subjects] + own]
    assert 0.03 <= np.mean(passed) <= 0.07


def test_seeds_are_averaged_within_their_subject_in_any_order():
    found = interval([1.0, 5.0, 3.0, 9.0], groups=["a dog", "rain", "a dog", "rain"])
    assert found == interval([2.0, 7.0]) and found.n == 2


def test_pairing_removes_what_the_pairs_share():
    rng = np.random.default_rng(2)
    before = rng.normal(0, 10, 24)
    after = before - 9 + rng.normal(0, 1, 24)
    paired = interval(after, before, unit="dB")
    assert paired.mean == pytest.approx(-9, abs=0.6) and paired.excludes_zero and paired.high - paired.low < 1.2
    assert paired == interval(after - before, unit="dB") == interval(list(after), list(before), unit="dB")


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_verdict_is_stricter_the_more_a_page_compares_and_does_not_depend_on_the_unit(unit):
    clear, slight = interval(np.array([9, 10, 11, 10, 9.5]) * unit), interval(np.array([1, 2, 3, 1.0, 4]) * unit)
    unclear = interval(np.array([-1, 2, -3, 4]) * unit)
    assert [found.verdict(20) for found in (clear, slight, unclear)] == ["an effect", "maybe", "none shown"]
    assert slight.verdict() == "an effect"
    for comparisons in (0, -1, 1.5, None):
        with pytest.raises((TypeError, ValueError), match="comparisons"):
            clear.verdict(comparisons)


@pytest.mark.parametrize(
    ("values", "before"),
    [
        ([120.2, 120.2], [117.5, 117.5]),
        ([0.0] * 3, None),
        ([2.5] * 6, None),
        ([1.1, 2.2, 3.3, 4.4], [1.0, 2.1, 3.2, 4.3]),  # equal but for the rounding
        ([9.0, 10.0], None),  # two subjects
    ],
)
def test_where_nothing_varies_or_subjects_are_few_there_is_no_verdict(values, before):
    found = interval(values, before)
    assert found.verdict() == found.verdict(10) == "cannot say"
    assert len(values) == 2 or found == Interval(found.mean, found.mean, found.mean, len(values), p=found.p)


@pytest.mark.parametrize(
    ("values", "more", "message"),
    [
        ([1.0], {}, "2 subjects"),
        ([1.0, math.nan], {}, "finite"),
        ([1.0, 2.0], {"groups": ["a", "a"]}, "2 subjects"),
        ([1.0, 2.0], {"groups": ["a"]}, "groups"),
        ([1.0, 2.0], {"before": [1.0]}, "before"),
    ],
)
def test_intervals_say_what_is_wrong(values, more, message):
    with pytest.raises(ValueError, match=message):
        interval(values, **more)

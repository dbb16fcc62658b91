"""Means, their intervals over subjects, and the verdicts on them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from utils.intervals import Interval, interval, knee


def test_knee_is_the_first_point_that_made_nine_tenths_of_the_way():
    steps, quality = [2, 5, 10, 25, 50], [0.10, 0.30, 0.38, 0.395, 0.40]
    assert knee(steps, quality) == 10
    assert knee(steps, [Interval(q, q - 1, q + 1, 9) for q in quality]) == 10
    assert knee(steps, [0.4, 0.3, 0.2, 0.1, 0.0]) == 2  # it never gets better


def test_interval_prints_as_many_digits_as_it_is_worth():
    assert str(Interval(-9.1234, -10.23, -8.04, 24, "dB")) == "-9.1 dB (95% interval -10.2 to -8.0, n = 24)"
    assert repr(Interval(0.3012, 0.2978, 0.3065, 24)) == "0.301 (95% interval 0.298 to 0.306, n = 24)"
    assert str(Interval(1234, 1100, 1300, 5, "Hz")) == "1234 Hz (95% interval 1100 to 1300, n = 5)"
    assert Interval(-9, -10, -8, 24).excludes_zero
    assert Interval(9, 8, 10, 24).excludes_zero
    assert not Interval(1, -1, 3, 24).excludes_zero
    assert str(Interval(-0.2, -10, 4, 8, "dB")) == "0 dB (95% interval -10 to 4, n = 8)"
    assert "0.0004 to 0.0240" in str(Interval(0.011, 0.0004, 0.024, 12))  # a bound is not printed as zero that is none
    assert "0.00020 (95% interval 0.00019 to 0.00021" in str(Interval(2e-4, 1.9e-4, 2.1e-4, 8))
    assert "0.301 (95% interval 0.298 to 0.306" in str(Interval(0.3012, 0.2978, 0.3065, 24))


def test_a_95_percent_interval_holds_the_truth_in_95_percent_of_the_cases():
    rng = np.random.default_rng(1)
    intervals = [interval(rng.normal(1, 1, 6)) for _ in range(1000)]
    share = np.mean([found.low <= 1.0 <= found.high for found in intervals])
    assert 0.93 <= share <= 0.97


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.94])
def test_useless_tips_pass_in_5_percent_however_alike_the_seeds_of_a_subject_are(alike):
    rng = np.random.default_rng(4)
    subjects = np.repeat(np.arange(6), 3)
    shared, own = rng.normal(0, alike**0.5, (1000, 6)), rng.normal(0, (1 - alike) ** 0.5, (1000, 18))
    passed = [interval(values, groups=subjects).excludes_zero for values in shared[:, subjects] + own]
    assert 0.03 <= np.mean(passed) <= 0.07


def test_seeds_are_averaged_within_their_subject_in_any_order():
    values, subjects = [1.0, 5.0, 3.0, 9.0], ["a dog", "rain", "a dog", "rain"]
    assert interval(values, groups=subjects) == interval([2.0, 7.0])
    assert interval(values, groups=subjects).n == 2


def test_the_verdict_is_stricter_the_more_a_page_compares():
    clear, slight, unclear = interval([9, 10, 11, 10, 9.5]), interval([1, 2, 3, 1.0, 4]), interval([-1, 2, -3, 4])
    assert [found.verdict(20) for found in (clear, slight, unclear)] == ["an effect", "maybe", "none shown"]
    assert slight.verdict() == "an effect"


def test_pairing_removes_what_the_pairs_share():
    rng = np.random.default_rng(2)
    before = rng.normal(0, 10, 24)
    after = before - 9 + rng.normal(0, 1, 24)
    paired = interval(after, before, unit="dB")
    assert paired.mean == pytest.approx(-9, abs=0.6)
    assert paired.excludes_zero
    assert paired.high - paired.low < 1.2
    assert paired == interval(after - before, unit="dB")
    assert paired == interval(list(after), list(before), unit="dB")  # seeded


@pytest.mark.parametrize("count", [6, 12])
def test_an_interval_hardly_moves_when_its_values_hardly_do(count):
    rng = np.random.default_rng(1)
    for _ in range(10):
        values = rng.normal(1, 1, count)
        before = interval(values)
        after = interval(values * (1 + rng.normal(0, 1e-5, count)))
        moved = max(abs(before.low - after.low), abs(before.high - after.high))
        assert moved < 0.002 * (before.high - before.low)


def test_interval_of_equal_values_is_a_point():
    assert interval([2.5] * 6) == Interval(2.5, 2.5, 2.5, 6, p=0.0)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_verdict_does_not_depend_on_the_unit(unit):
    clear, slight = np.array([2, 2.1, 1.9, 2.05, 1.95, 2, 2.1, 1.9]), np.array([1, 2, 3, 1.0, 4])
    assert interval(clear * unit).verdict(10) == "an effect"
    assert interval(slight * unit).verdict(20) == "maybe"
    assert interval(np.array([-1, 2, -3, 4]) * unit).verdict() == "none shown"


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
    assert interval(values, before).verdict() == interval(values, before).verdict(10) == "cannot say"


@pytest.mark.parametrize("comparisons", [0, -1, 1.5, None])
def test_comparisons_are_a_whole_number(comparisons):
    with pytest.raises((TypeError, ValueError), match="comparisons"):
        interval([1, 2, 3.5]).verdict(comparisons)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1, 2], [1.0]), ([1, 2], [1.0, math.nan])])
def test_a_knee_needs_a_number_for_each_x(x, y):
    with pytest.raises(ValueError, match="knee"):
        knee(x, y)


@pytest.mark.parametrize(
    ("values", "more", "message"),
    [
        ([1.0], {}, "2 subjects"),
        ([1.0, math.nan], {}, "finite"),
        ([1.0, 2.0], {"groups": ["a", "a"]}, "2 subjects"),
        ([1.0, 2.0], {"groups": ["a"]}, "groups needs"),
        ([1.0, 2.0], {"before": [1.0]}, "before needs one entry for each"),
    ],
)
def test_intervals_say_what_is_wrong(values, more, message):
    with pytest.raises(ValueError, match=message):
        interval(values, **more)

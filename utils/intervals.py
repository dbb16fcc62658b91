"""Compute means with their 95% intervals over subjects, the verdict on them, and the knee of a curve.

Explained in lesson 02 (`notebooks/02_prompt_engineering.ipynb`).
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from .checks import check_int

ALPHA = 0.05  # significance level of a single comparison
ROUNDING = 1e-7  # differences this much smaller than the values are float32's


@dataclass(frozen=True)
class Interval:
    """A mean and its 95% interval: `mean`, `low` and `high` in `unit`, from `n` subjects.

    `p` is the two-sided p-value of the t-test against zero. Prints as '-9.1 dB (95% interval -10.2 to -8.0,
    n = 6)', with as many digits as the interval is worth; beyond three decimals only where these would show nothing.
    """

    mean: float
    low: float
    high: float
    n: int
    unit: str = ""
    p: float = 1.0

    @property
    def excludes_zero(self) -> bool:
        """Return whether zero, no effect, lies outside of the interval."""
        return self.low > 0 or self.high < 0

    def verdict(self, comparisons: int = 1) -> str:
        """Judge a difference by its p-value, Bonferroni-corrected for 1 to 1,000,000 comparisons. See lesson 02.

        "an effect": it passes the corrected test; "maybe": it passes the test of a single comparison, as one in twenty
        does by chance; "none shown": its interval holds zero; "cannot say": fewer than three subjects, or nothing
        varies.
        """
        comparisons = check_int("comparisons", comparisons, 1, 1_000_000)
        if self.n < 3 or not self.high > self.low:
            return "cannot say"
        if not self.excludes_zero:
            return "none shown"
        return "an effect" if self.p < ALPHA / comparisons else "maybe"

    @property
    def _digits(self) -> int:
        """Decimals to print: two digits of the width, three decimals at most unless the bounds are smaller."""
        width, bounds = self.high - self.low, (abs(self.low), abs(self.high))
        largest = 1 - _exponent(max(bounds))
        digits = min(1 - _exponent(width), max(3, largest)) if width > 0 else max(2, largest)
        return max(0, digits, -_exponent(min(bounds)) if self.excludes_zero else 0)

    def __float__(self) -> float:
        return self.mean

    def __str__(self) -> str:
        # + 0.0, so that nothing is "-0"
        mean, low, high = (f"{round(x, self._digits) + 0.0:.{self._digits}f}" for x in (self.mean, self.low, self.high))
        return f"{f'{mean} {self.unit}'.rstrip()} (95% interval {low} to {high}, n = {self.n})"

    __repr__ = __str__


def _exponent(value: float) -> int:
    """Return the power of ten of a number's first digit; 0 for zero."""
    return math.floor(math.log10(value)) if value > 0 else 0


def interval(
    values: Sequence[float],
    before: Sequence[float] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    unit: str = "",
) -> Interval:
    """Compute the mean of `values`, or of the differences `values - before`, and its 95% t-interval over subjects.

    Args:
        values: finite numbers, of at least 2 subjects.
        before: as many, in the same order; pairs are clips that differ in one thing only (same prompt, same seed).
        groups: the subject of each value, such as its prompt: several seeds of one subject are alike, so they are
            averaged first, and n counts subjects. Without it every value is a subject of its own.
        unit: as it is to be printed, "dB".

    Raises:
        ValueError: fewer than two subjects, numbers that are not finite, or lists of different lengths.

    Source: Student 1908, `scipy.stats.ttest_1samp`.
    """
    from scipy.stats import ttest_1samp

    sample = np.asarray(values, dtype=np.float64)
    for name, other in (("before", before), ("groups", groups)):
        if other is not None and np.shape(other)[:1] != sample.shape:
            raise ValueError(f"{name} needs one entry for each of the {sample.shape} values, not {np.shape(other)}.")
    scale = np.abs(sample).max(initial=0)
    if before is not None:
        sample = sample - np.asarray(before, dtype=np.float64)
    if sample.ndim == 1 and groups is not None:
        subjects = [[v for v, k in zip(sample, groups, strict=True) if k == s] for s in dict.fromkeys(groups)]
        sample = np.array([np.mean(subject) for subject in subjects])
    if sample.ndim != 1 or len(sample) < 2 or not np.isfinite(sample).all():
        raise ValueError(f"An interval needs finite numbers of 2 subjects, not {reprlib.repr(sample.tolist())}.")
    mean = float(sample.mean())
    if np.ptp(sample) <= ROUNDING * scale:  # nothing varies: the test would divide by zero
        return Interval(mean, mean, mean, len(sample), unit, float(mean == 0))
    test = ttest_1samp(sample, 0.0)
    low, high = test.confidence_interval(0.95)
    return Interval(mean, float(low), float(high), len(sample), unit, float(test.pvalue))


def knee(x: Sequence[float], y: Sequence[float | Interval]) -> float:
    """Return the first x at which y has reached 90% of its gain, from the first to the best: more hardly pays.

    `x` rises; `y` are as many finite numbers or `Interval`s, else ValueError; more is better. Source: this definition.
    Explained in lesson 03.
    """
    values = list(map(float, y))
    if not values or len(values) != len(x) or not np.isfinite(values).all() or list(x) != sorted(x):
        raise ValueError(f"A knee needs one finite y for each rising x, not {reprlib.repr(values)} for {len(x)} x.")
    goal = values[0] + 0.9 * (max(values) - values[0])
    return next(a for a, b in zip(x, values, strict=True) if b >= goal)

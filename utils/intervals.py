"""How sure we can be: means with their 95% intervals over subjects, the verdict on them, and the knee of a curve.

Explained in lesson 02 (`notebooks/02_prompt_engineering.ipynb`).
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

SURE = 0.05  # an effect this improbable by luck alone is one, if it is the only one that is looked for


@dataclass(frozen=True)
class Interval:
    """A mean and its 95% interval: `mean`, `low` and `high` in `unit`, from `n` subjects. Explained in lesson 02.

    `p` is the chance that luck alone gives a mean as far from zero. Prints as '-9.1 dB (95% interval -10.2 to -8.0,
    n = 6)', with as many digits as the interval is worth, and three decimals at most: beyond these, processors differ.
    """

    mean: float
    low: float
    high: float
    n: int
    unit: str = ""
    p: float = 1.0

    @property
    def excludes_zero(self) -> bool:
        """Whether zero, no effect, lies outside of the interval as it is printed."""
        return round(self.low, self._digits) > 0 or round(self.high, self._digits) < 0

    def verdict(self, comparisons: int = 1) -> str:
        """What the interval of a difference says on a page that makes so many comparisons. Explained in lesson 02.

        "an effect": one that the page would hardly show by luck in any of its comparisons (Bonferroni's correction);
        "maybe": only this interval leaves out zero, as one in twenty does by luck; "none shown": it does not.
        """
        if not self.excludes_zero:
            return "none shown"
        return "an effect" if self.p < SURE / comparisons else "maybe"

    @property
    def _digits(self) -> int:
        width = self.high - self.low
        return min(3, max(0, 1 - math.floor(math.log10(width)))) if width > 0 else 2

    def __float__(self) -> float:
        return self.mean

    def __str__(self) -> str:
        # + 0.0, so that nothing is "-0"
        mean, low, high = (f"{round(x, self._digits) + 0.0:.{self._digits}f}" for x in (self.mean, self.low, self.high))
        return f"{f'{mean} {self.unit}'.rstrip()} (95% interval {low} to {high}, n = {self.n})"

    __repr__ = __str__


def interval(
    values: Sequence[float],
    before: Sequence[float] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    unit: str = "",
) -> Interval:
    """The mean of `values`, or of the paired differences `values - before`, with its 95% t-interval over subjects.

    Args:
        values: finite numbers, of at least 2 subjects.
        before: as many, in the same order; pairs are clips that differ in one thing only (same prompt, same seed).
        groups: the subject of each value, such as its prompt: several seeds of one subject are alike, so they are
            averaged first, and n counts subjects. Without it every value is a subject of its own.
        unit: as it is to be printed, "dB".

    Raises:
        ValueError: fewer than two subjects, numbers that are not finite, or lists of different lengths.

    Source: Student 1908, `scipy.stats.ttest_1samp`. Explained in lesson 02.
    """
    from scipy.stats import ttest_1samp

    sample = np.asarray(values, dtype=np.float64)
    for name, other in (("before", before), ("groups", groups)):
        if other is not None and np.shape(other)[:1] != sample.shape:
            raise ValueError(f"{name} needs one entry for each of the {sample.shape} values, not {np.shape(other)}.")
    if before is not None:
        sample = sample - np.asarray(before, dtype=np.float64)
    if sample.ndim == 1 and groups is not None:
        of = list(groups)
        sample = np.array([np.mean([v for v, g in zip(sample, of, strict=True) if g == s]) for s in dict.fromkeys(of)])
    if sample.ndim != 1 or len(sample) < 2 or not np.isfinite(sample).all():
        raise ValueError(
            f"An interval needs finite numbers of 2 subjects or more, not {reprlib.repr(sample.tolist())}."
        )
    mean = float(sample.mean())
    if np.ptp(sample) == 0:  # nothing varies: the test would divide by zero
        return Interval(mean, mean, mean, len(sample), unit, float(mean == 0))
    test = ttest_1samp(sample, 0.0)
    low, high = test.confidence_interval(0.95)
    return Interval(mean, float(low), float(high), len(sample), unit, float(test.pvalue))


def knee(x: Sequence[float], y: Sequence[float | Interval]) -> float:
    """Where more hardly pays: the first x at which y has made nine tenths of its way from the first to the best.

    `x` rises; `y` are numbers or `Interval`s, and more is better. Source: this definition. Explained in lesson 03.
    """
    values = list(map(float, y))
    goal = values[0] + 0.9 * (max(values) - values[0])
    return next(a for a, b in zip(x, values, strict=True) if b >= goal)

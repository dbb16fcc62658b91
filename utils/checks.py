"""What is wrong with an argument, in one sentence with the value and the allowed range."""

from __future__ import annotations

import reprlib
from numbers import Integral, Real


def whole(name: str, value: object, low: int, high: int) -> int:
    """`value` as an int. Raises TypeError if it is no whole number, ValueError if it is not in low...high."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number from {low} to {high}, not {reprlib.repr(value)}.")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value}.")
    return int(value)


def number(name: str, value: object, low: float, high: float, unit: str = "") -> float:
    """`value` as a float; `unit` as it is printed, " s". Raises as `whole` does; NaN is in no range."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number from {low:g} to {high:g}{unit}, not {reprlib.repr(value)}.")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}{unit}, not {value:g}{unit}.")
    return float(value)

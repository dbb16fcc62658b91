"""The check of an exercise; and what is wrong with an argument, in one sentence with the value and the range.

Used by the exercises of every lesson. Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import reprlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path


@contextmanager
def check() -> Iterator[None]:
    """Run asserts on an answer and print what the first one that fails says; nothing is raised.

    Messages begin with "Not yet:" where the answer is still to be given, and with "Wrong:" and the reason where it
    is given and wrong; the block ends by printing "Right" and what the answer shows. A name that does not exist yet
    and an answer that the check cannot work with become such a line, too.

        with check():
            assert length is not None, "Not yet: put your length into `length`."
            assert length >= 7, f"Wrong: {length} s is shorter than 7 s."
            print("Right: the shortest one.")

    Explained in lesson 01.
    """
    try:
        yield
    except AssertionError as error:
        print(error)
    except NameError as error:
        print(f"Not yet: {error}. Run the cell with your answer, and the cells that it needs.")
    except Exception as error:
        print(f"Wrong: the check cannot use your answer ({type(error).__name__}: {error}).")


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


def text(name: str, value: object) -> str:
    """`value` if it is text that can be written down. Raises TypeError, or ValueError for half a surrogate pair."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {reprlib.repr(value)}.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} has a character that is none, at place {error.start + 1}: write it again.") from None
    return value


def warn(message: str) -> None:
    """Warn, and name the line outside of this package that is meant."""
    level, frame, here = 1, sys._getframe(), Path(__file__).parent
    while frame and Path(frame.f_code.co_filename).parent == here:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)

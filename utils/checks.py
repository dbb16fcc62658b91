"""Check answers to exercises and arguments of functions; write files that are complete or absent.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import os
import reprlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from numbers import Integral, Real
from pathlib import Path
from uuid import uuid4

MAX_VALUES = 1_000_000  # values in a list: an endless iterator is refused


@contextmanager
def check(form: str = "the check cannot use your answer") -> Iterator[None]:
    """Run asserts on an answer and print the message of the first that fails; nothing is raised.

    Messages begin with "Not yet:" where the answer is still to be given, and with "Wrong:" and the reason where it
    is given and wrong; the block ends by printing "Right" and what the answer shows. A missing name becomes such a
    line, too, as does an answer that the check cannot work with: `form` says what it should be instead.

        with check("`length` should be a number of seconds"):
            assert length is not None, "Not yet: put your length into `length`."
            assert length >= 7, f"Wrong: {length} s is shorter than 7 s."
            print("Right: the shortest one.")
    """
    try:
        yield
    except AssertionError as error:
        print(error)
    except NameError as error:
        print(f"Not yet: {error}. Run the cell with your answer, and the cells that it needs.")
    except Exception as error:
        print(f"Wrong: {form} ({type(error).__name__}: {error}).")


def by_letter(letters: str, answer: object) -> dict[str, str]:
    """Return an answer as {letter: lower-case text}; it may be a mapping, a Series, or a list in order. For `check`.

    Raises AssertionError where the letters are not those asked for.
    """
    if isinstance(answer, (list, tuple)) and not all(isinstance(pair, (list, tuple)) for pair in answer):
        answer = zip(letters, answer, strict=True)
    said = {str(key).strip(" .:)").upper(): str(text).strip(" .[]'").lower() for key, text in dict(answer).items()}
    asked = f"the letters {', '.join(letters[:-1])} and {letters[-1]}"
    assert sorted(said) == list(letters), f"Wrong: {asked} need an answer each."
    return said


def as_list(name: str, values: object, least: int = 1) -> list:
    """Return one value, or those of an iterable, as a list (a set sorted); ValueError outside `least`...1,000,000."""
    if isinstance(values, (str, bytes, os.PathLike)) or not isinstance(values, Iterable):
        return [values]
    if getattr(values, "ndim", 1) == 0:  # a number as an array or a tensor
        return [values.item()]
    values = sorted(values, key=repr) if isinstance(values, (set, frozenset)) else values
    found = [value for value, _ in zip(values, range(MAX_VALUES + 1), strict=False)]
    if not least <= len(found) <= MAX_VALUES:
        raise ValueError(f"{name} {'is too long' if found else 'is empty'}: give 1 to {MAX_VALUES:,} values.")
    return found


def check_int(name: str, value: object, low: int, high: int) -> int:
    """Return `value` as an int; TypeError if it is no whole number, ValueError if it is not in low...high."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number from {low} to {high}, not {reprlib.repr(value)}.")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value}.")
    return int(value)


def check_float(name: str, value: object, low: float, high: float, unit: str = "") -> float:
    """Return `value` as a float, or raise as `check_int` does; NaN is in no range. `unit` is printed, as " s"."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number from {low:g} to {high:g}{unit}, not {reprlib.repr(value)}.")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}{unit}, not {value:g}{unit}.")
    return float(value)


def check_str(name: str, value: object) -> str:
    """Return `value`; TypeError if it is no string, ValueError for an unpaired surrogate, which no file can hold."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {reprlib.repr(value)}.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{name} has an unpaired surrogate, half of a character: {reprlib.repr(value)}.")
    return value


def shorten(text: str, width: int = 70) -> str:
    """Return one printable line of at most `width` characters. (`textwrap.shorten` drops a long word altogether.)"""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def write_whole(path: str | Path, data: bytes) -> Path:
    """Write a file, and its folders, that is complete or absent; an OSError of one sentence says why it is absent.

    `~` is the home folder. Of two writers the last wins, with a complete file.
    """
    path = Path(path).expanduser()
    unfinished = path.with_name(f".{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    except OSError as error:
        raise type(error)(error.errno, f"Cannot write the file: {error.strerror}", str(path)) from None
    finally:
        with suppress(OSError):
            unfinished.unlink()
    return path


def warn(message: str) -> None:
    """Warn, and name the calling line outside of this package."""
    level, frame, here = 1, sys._getframe(), Path(__file__).parent
    while frame and Path(frame.f_code.co_filename).parent == here:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)

"""Compare printed outputs up to the last digit of a number: strict nbval for more than one processor.

Floating point differs in its last bits between processors, and a number that lies on the edge of rounding is then
printed as 0.20 on one of them and as 0.21 on another. So text must be equal character by character, except that a
number with a fraction, one of four digits and more, or one of a 95% interval may be off by one unit of its last
printed digit. Counts, seeds and steps (other whole numbers of up to three digits) must be equal.
"""

from __future__ import annotations

import re
from decimal import Decimal

WHOLE = r"[-+−]?\d+"
NUMBER = re.compile(  # with the spaces that align it
    rf" *(?<![\w.])[-+−]?(?:\d+\.\d+|\d{{4,}})(?!\w|\.\w)"
    rf"|{WHOLE}(?= \S+ \(95% interval )|(?<=95% interval ){WHOLE}(?= to )|(?<= to ){WHOLE}(?=, n = )"
)
TRAINED = re.compile(r" *[-+−]?\d+(?:\.\d+)?|\b(?:an effect|maybe|none shown|cannot say)\b")


def same(stored: str, fresh: str, trained: bool = False) -> bool:
    """Return whether two outputs are equal but for one unit in the last printed digit of a number.

    With `trained`, the tag of cells that show results of a training, numbers and the verdicts on them are not compared:
    a training amplifies the rounding errors of its processor.
    """
    number = TRAINED if trained else NUMBER
    if number.sub("#", stored) != number.sub("#", fresh):
        return False
    return trained or all(_near(*pair) for pair in zip(NUMBER.findall(stored), NUMBER.findall(fresh), strict=True))


def _near(stored: str, fresh: str) -> bool:
    a, b = (Decimal(number.strip().replace("−", "-")) for number in (stored, fresh))
    digits = a.as_tuple().exponent
    return digits == b.as_tuple().exponent and abs(a - b) <= Decimal(1).scaleb(digits)


class Printed(str):
    """An output whose equality is `same`."""

    __hash__ = str.__hash__
    trained = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and same(self, other, self.trained)

    def __ne__(self, other: object) -> bool:
        return not self == other


def pytest_configure() -> None:
    """As a plugin of pytest: let nbval compare sanitized text by `same`."""
    from nbval.plugin import IPyNbCell

    sanitize = IPyNbCell.sanitize

    def sanitized(cell: IPyNbCell, output: object) -> object:
        found = sanitize(cell, output)
        if isinstance(found, str):
            found = Printed(found)
            found.trained = "trained" in cell.cell.metadata.get("tags", ())
        return found

    IPyNbCell.sanitize = sanitized

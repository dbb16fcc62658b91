"""The check of an exercise: plain asserts, whose messages are the feedback. Used by the exercises of every lesson."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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

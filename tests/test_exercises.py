"""Exercises: each has answers of every kind to be tried by `make nbval` (tests/tries.py); and `utils.check` itself."""

from __future__ import annotations

import ast

import pytest

from tests import tries
from tools import lessons
from tools.notebook import exercises
from utils import check

EVERY = [
    (path.stem[:2], number, cells)
    for path in lessons.lessons()
    for number, cells in enumerate(exercises(lessons.read(path)), 1)
]
AT_LEAST = {"solution": 1, "ALSO_RIGHT": 1, "WRONG": 3, "SNEAKY": 3}


@pytest.mark.parametrize(
    ("lesson", "number", "cells"), EVERY, ids=lambda value: "" if isinstance(value, dict) else value
)
def test_an_exercise_has_answers_of_every_kind(lesson, number, cells):
    given = tries.answers(lesson, number)
    assert {kind: n for kind, n in AT_LEAST.items() if len(given[kind]) < n} == {}
    for answer in [cells["exercise"].source, *sum(given.values(), [])]:
        ast.parse(answer)
    assert {*tries.module(lesson).WRONG} <= {n for name, n, _ in EVERY if name == lesson}


def test_the_first_assert_that_fails_is_the_feedback_and_right_what_the_block_says_at_its_end(capsys):
    for answer, said in ((2, "Wrong: 2 is not it."), (3, "Right: 3.")):
        with check():
            assert True, "Wrong: no."
            assert answer == 3, f"Wrong: {answer} is not it."
            print("Right: 3.")
        assert capsys.readouterr().out.splitlines()[0] == said  # pytest adds more lines


def test_a_name_that_is_not_there_and_an_answer_of_the_wrong_kind_are_feedback(capsys):
    with check():
        assert nowhere  # noqa: F821
    assert capsys.readouterr().out.startswith("Not yet: name 'nowhere' is not defined. Run the cell with your answer")
    with check():
        assert None < 3
    said = capsys.readouterr().out
    assert said.startswith("Wrong: the check cannot use your answer (TypeError: ") and said.count("\n") == 1


def test_interrupting_a_check_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt), check():
        raise KeyboardInterrupt

"""Exercises: their form; that solutions pass their checks and stubs do not; that wrong answers hear what is wrong."""

from __future__ import annotations

import ast

import pytest

from tests import trials
from tests.wrong_answers import WRONG
from tools import classroom, lessons
from utils import check

LESSONS = lessons.lessons()
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


@every_lesson
def test_exercises_have_one_form(path):
    notebook = lessons.read(path)
    task = ""
    wanted = ["exercise", "solution", "check"]
    order = [tag for cell in notebook.cells for tag in lessons.tags(cell) if tag in wanted]
    assert 3 <= len(order) / 3 <= 5 and order == wanted * (len(order) // 3)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            task = cell.source
        if "exercise" in lessons.tags(cell):
            assert classroom.EXERCISE.search(task) and "<details><summary>Hint" in task, task
            ast.parse(cell.source)
        if "check" in lessons.tags(cell):
            classroom.bare(cell.source)
            assert '"Not yet: ' in cell.source or 'f"Not yet: ' in cell.source, cell.source


@every_lesson
def test_solutions_are_the_source_and_are_folded(path):
    for cells in trials.exercises(lessons.read(path)):
        assert cells["exercise"].source == lessons.stub(cells["solution"].source)
        assert lessons.YOUR_CODE in cells["exercise"].source
        assert lessons.FOLDED.items() <= cells["solution"].metadata.items()


@every_lesson
def test_every_solution_passes_its_check(path):
    lesson, _ = trials.run(path)
    for cells in trials.exercises(lesson):
        assert trials.feedback(cells["check"]).startswith("Right"), cells["check"]


@every_lesson
def test_no_stub_passes_its_check_and_each_hears_that_it_is_not_yet_done(path):
    stubs = {number: said for (number, answer), said in trials.run(path)[1].items() if answer == "stub"}
    assert len(stubs) >= 3 and all(said.startswith("Not yet: ") for said in stubs.values()), stubs


@every_lesson
def test_wrong_answers_are_told_what_is_wrong_about_them(path):
    tried = {key: said for key, said in trials.run(path)[1].items() if key[1] != "stub"}
    for (number, answer), said in tried.items():
        words = WRONG[path.stem[:2], number][answer]
        assert said.startswith("Wrong: ") and words in said, f"exercise {number}, {answer!r}: {said}"
    for number, _ in enumerate(trials.exercises(lessons.read(path)), 1):
        assert sum(key[0] == number for key in tried) >= 3, f"exercise {number} has fewer than three wrong answers"


def test_the_first_assert_that_fails_is_the_feedback(capsys):
    with check():
        assert True, "Wrong: no."
        assert not 2, "Wrong: 2 is not it."
        print("Right.")
    assert capsys.readouterr().out.splitlines()[0] == "Wrong: 2 is not it."  # pytest adds more lines


def test_right_is_what_the_block_says_at_its_end(capsys):
    with check():
        assert True, "Wrong: no."
        print("Right: 3.")
    assert capsys.readouterr().out == "Right: 3.\n"


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

"""The classroom: assignments made from the lessons, and graded; what was handed in may be anything."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path

import jupytext
import nbformat
import pytest

from tools import classroom, lessons

LESSON = """
# %% [markdown]
# # Hear it
#
# Now.

# %%
step = 0.32

# %% [markdown]
# ### Exercise 1: How long? (easy, 3 minutes)

# %% tags=["solution"]
length = None
### BEGIN SOLUTION
length = 22 * step
### END SOLUTION

# %% tags=["check"]
from utils.exercises import check

with check():
    assert length, "Not yet: put it into `length`."
    assert length >= 7, f"Wrong: {length} s is shorter than 7 s."
    print("Right: the shortest one.")

# %% [markdown]
# ### Exercise 2: A function (medium, 5 minutes)

# %% tags=["solution"]
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
    return x

# %% tags=["check"]
with check():
    assert double(2) != 2, "Not yet: `double` gives back what it gets."
    assert double(2) == 4, "Wrong: that is not twice as much."
    print("Right.")
"""
RIGHT = {"exercise-1": "length = 7.04", "exercise-2": "def double(x):\n    return x + x"}
DEAF = """while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""
HANDED_IN = {  # student -> (what stands in which cell, points of 3, what the note says)
    "good": (RIGHT, 3, ""),
    "untouched": ({}, 0, ""),
    "wrong": ({**RIGHT, "exercise-1": "length = 6.72"}, 2, ""),
    "crashing": ({"exercise-1": "length = 1 / 0", "exercise-2": ""}, 0, ""),
    "endless": ({**RIGHT, "exercise-1": "while True:\n    pass"}, 2, ""),
    "deaf": ({**RIGHT, "exercise-1": DEAF}, 0, "not graded: "),
    "deleting-checks": ({"check-1": None, "check-2": None}, 0, ""),
    "deleting-answers": ({"exercise-1": None, "exercise-2": None}, 0, ""),
    "faking-checks": ({"check-1": "print('Right')", "check-2": "3.0"}, 0, ""),
    "faking-more": (
        {"exercise-1": "import utils.exercises\nutils.exercises.check = print", "exercise-2": "print('3 of 3')\n3.0"},
        0,
        "",
    ),
    "loud-then-leaving": (
        {
            "exercise-1": "length = 7.04\nfor _ in range(20_000):\n    print('x' * 1000)",
            "exercise-2": RIGHT["exercise-2"] + "\n\nraise SystemExit",
        },
        3,
        "",
    ),
    "greedy-in-memory": ({**RIGHT, "exercise-1": "length = len(bytearray(64 * 2**30))"}, 2, ""),
    "greedy-on-disk": ({**RIGHT, "exercise-1": "open('full', 'wb').write(bytes(2**30 + 1))"}, 2, ""),
    "dying": ({**RIGHT, "exercise-1": "import os\n\nos._exit(0)"}, 0, "not graded: DeadKernelError"),
    "unreadable": ("this is no notebook", 0, "not graded: "),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with nothing but the small lesson, and what that needs."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("utils", "mini"):
        (folder / name).mkdir()
    (folder / "notebooks").mkdir()
    for name in ("README.md", "requirements.txt", "utils/__init__.py", "utils/setup.py", "utils/exercises.py"):
        shutil.copy(lessons.ROOT / name, folder / name)
    path = folder / "notebooks" / "01_hear.ipynb"
    notebook = jupytext.reads(LESSON, fmt="py:percent")
    lessons.write(path, lessons._injected(path, notebook, {path: "Hear it"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lessons, "ROOT", folder)
        patch.setattr(lessons, "NOTEBOOKS", folder / "notebooks")
        yield folder


@pytest.fixture(scope="module")
def course(project) -> Path:
    classroom.build(project / "outputs" / "classroom", timeout=5)
    return project / "outputs" / "classroom"


@pytest.fixture(scope="module")
def graded(course, tmp_path_factory) -> dict[str, dict]:
    """Every hand-in of the table, graded: the rows by student."""
    folder = tmp_path_factory.mktemp("handed-in")
    released = lessons.read(course / "release" / "01_hear" / "01_hear.ipynb")
    for student, (changes, _, _) in HANDED_IN.items():
        place = folder / f"{student}_01_hear.ipynb"
        if isinstance(changes, str):
            place.write_text(changes)
            continue
        notebook = nbformat.from_dict(json.loads(json.dumps(released)))
        for cell in notebook.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = changes.get(name, cell.source)
        notebook.cells = [cell for cell in notebook.cells if cell.source is not None]
        nbformat.write(notebook, place)
    (folder / "holiday.ipynb").write_text("{}")
    return {row["student"]: row for row in classroom.grade(folder, course, seconds=120)}


def test_students_get_every_lesson_without_solutions_hidden_tests_and_outputs(course):
    with zipfile.ZipFile(course / "audioldm-notebooks-students.zip") as file:
        text = file.read("audioldm-notebooks/notebooks/01_hear.ipynb").decode()
        assert "audioldm-notebooks/utils/setup.py" in file.namelist()
    cells = {"".join(lessons.tags(cell)): cell for cell in nbformat.reads(text, as_version=4).cells}
    assert "22 * step" not in text and "HIDDEN TESTS" not in text and lessons.SOLUTION not in text
    assert cells["exercise"].source.startswith("def double(x):\n    # your code here\n    return x")
    assert cells["check"].source.count("Wrong: that is not twice as much.") == 1
    assert not any(cell.get("outputs") for cell in cells.values())


def test_nbgrader_derives_the_same_start_as_the_lesson(course, project):
    def starts(path: Path) -> list[str]:
        return [cell.source for cell in lessons.read(path).cells if "exercise" in lessons.tags(cell)]

    assert starts(course / "release" / "01_hear" / "01_hear.ipynb") == starts(project / "notebooks" / "01_hear.ipynb")


def test_the_teachers_version_holds_the_solutions(course):
    assert "22 * step" in (course / "source" / "01_hear" / "01_hear.ipynb").read_text()


@pytest.mark.parametrize("student", HANDED_IN)
def test_what_is_handed_in_gets_its_points_and_stops_nobody_elses(graded, student):
    _, points, note = HANDED_IN[student]
    row = graded[student]
    assert (row["points"], row["of"]) == (points, 3), row
    assert row["note"].startswith(note) and bool(row["note"]) == bool(note)


def test_points_are_in_one_table_and_each_graded_student_gets_a_small_page_back(graded, course):
    with (course / "grades.csv").open(encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert list(rows["good"].values()) == ["good", "01_hear", "1.0", "2.0", "3.0", "3.0", ""]
    assert set(rows) == set(HANDED_IN)  # without the stranger's file
    pages = {path.parts[-3]: path for path in (course / "feedback").rglob("*.html")}
    assert set(pages) == {student for student, (_, _, note) in HANDED_IN.items() if not note}
    assert "Wrong: 6.72 s is shorter than 7 s." in pages["wrong"].read_text(encoding="utf-8")
    assert all(path.stat().st_size < 3e6 for path in pages.values())


def test_grading_that_takes_too_long_is_ended(course):
    done = classroom._nbgrader(course, "autograde", "01_hear", seconds=0.1)
    assert done.returncode and done.stderr == "TimeoutError: more than 0.1 s"


def test_a_check_that_is_no_block_is_refused():
    with pytest.raises(ValueError, match="must end with the block `with check"):
        classroom.bare("print('Right')")


@pytest.mark.parametrize("path", lessons.lessons(), ids=lambda path: path.stem)
def test_every_exercise_of_a_lesson_becomes_graded(path):
    made = classroom.source(lessons.read(path))
    marks = [cell.metadata["nbgrader"] for cell in made.cells if "nbgrader" in cell.metadata]
    text = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    numbers = [int(exercise[1]) for exercise in classroom.EXERCISE.finditer(text)]
    assert numbers == list(range(1, text.count("### Exercise ") + 1)) and 3 <= len(numbers) <= 5
    assert [mark["grade_id"] for mark in marks] == [f"{kind}-{n}" for n in numbers for kind in ("exercise", "check")]
    assert all(mark["points"] in (1, 2, 3) for mark in marks if mark["grade"])

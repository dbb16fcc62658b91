"""The classroom: assignments made from the lessons, and graded; what was handed in may be anything."""

from __future__ import annotations

import csv
import json
import os
import shutil
import zipfile
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat import NotebookNode

from tools import classroom, lessons
from tools.handins import hand_ins, identifier
from tools.repair import opened, repaired

LESSON = """
# %% [markdown]
# # Hear it
#
# Now.

# %%
step = 0.32

# %% [markdown]
# ### Exercise 1: How long? (easy, 3 minutes)

# %% tags=["exercise"]
length = None
# your code here

# %% tags=["check"]
from utils import check

with check():
    assert length, "Not yet: put it into `length`."
    assert length >= 7, f"Wrong: {length} s is shorter than 7 s."
    print("Right: the shortest one.")

# %% [markdown] tags=["solution"]
# <details><summary>A solution</summary>
#
# ```python
# length = None
# length = 22 * step
# ```
#
# </details>

# %% [markdown]
# ### Exercise 2: A function (medium, 5 minutes)

# %% tags=["exercise"]
def double(x):
    # your code here
    return x

# %% tags=["check"]
with check():
    assert double(2) != 2, "Not yet: `double` gives back what it gets."
    assert double(2) == 4, "Wrong: that is not twice as much."
    print("Right.")

# %% [markdown] tags=["solution"]
# <details><summary>A solution</summary>
#
# ```python
# def double(x):
#     return 2 * x
#     return x
# ```
#
# </details>
"""
RIGHT = {"exercise-1": "length = 7.04", "exercise-2": "def double(x):\n    return x + x"}
ENDLESS = "import time\nwhile True:\n    time.sleep(1)"
DEAF = """import time
while True:
    try:
        while True:
            time.sleep(1)
    except BaseException:
        pass
"""
HANDED_IN = {  # student -> (what stands in which cell, points of 3, what the note says)
    "good": (RIGHT, 3, ""),
    "untouched": ({}, 0, ""),
    "wrong": ({**RIGHT, "exercise-1": "length = 6.72"}, 2, ""),
    "endless": ({**RIGHT, "exercise-1": ENDLESS}, 2, ""),
    "deaf": ({**RIGHT, "exercise-1": DEAF}, 0, "not graded: "),
    "deleting": (dict.fromkeys(["exercise-1", "check-1", "exercise-2", "check-2"]), 0, ""),
    "faking": (
        {
            "exercise-1": "import utils.checks\nutils.checks.check = print",
            "check-1": "print('Right')",
            "exercise-2": "print('3 of 3')\n3.0",
            "check-2": "3.0",
        },
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
    "greedy": (  # in memory, then on the disk
        {
            "exercise-1": "length = len(bytearray(64 * 2**30))",
            "exercise-2": RIGHT["exercise-2"]
            + "\nwith open('full', 'wb') as file:\n    file.seek(2**30)\n    file.write(b'x')",
        },
        2,
        "",
    ),
    "dying": ({**RIGHT, "exercise-1": "import os\n\nos._exit(0)"}, 0, "not graded: DeadKernelError"),
    "unreadable": ("this is no notebook", 0, "not graded: the file is damaged"),
}


def without_marks(notebook: NotebookNode) -> NotebookNode:
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def pasted_twice(notebook: NotebookNode) -> NotebookNode:
    """The answer's cell, copied with its mark before it was filled in; and one more copy behind the check."""
    at = next(i for i, cell in enumerate(notebook.cells) if cell.source == RIGHT["exercise-1"])
    stub, again = (nbformat.from_dict(json.loads(json.dumps(notebook.cells[at]))) for _ in range(2))
    stub.source = "length = None\n# your code here"
    notebook.cells[at : at + 2] = [stub, notebook.cells[at], notebook.cells[at + 1], again]
    return notebook


def by_colab(notebook: NotebookNode) -> NotebookNode:
    notebook.metadata = {"widgets": {"application/vnd.jupyter.widget-state+json": {"a": {}}}, "colab": {}}
    for cell in notebook.cells:
        cell.pop("id", None)
        cell.metadata = {**cell.metadata, "id": "x", "executionInfo": {"user": {}}, "outputId": "y"}
    return notebook


def by_nbformat_3(notebook: NotebookNode) -> dict:
    kinds = {"code": "input", "markdown": "source"}
    cells = [{"cell_type": c.cell_type, "metadata": {}, kinds[c.cell_type]: c.source} for c in notebook.cells]
    for cell in cells:
        if "input" in cell:
            cell |= {"language": "python", "outputs": [], "collapsed": False}
    return {
        "metadata": {"name": ""},
        "nbformat": 3,
        "nbformat_minor": 0,
        "worksheets": [{"cells": cells, "metadata": {}}],
    }


def of_another_kernel(notebook: NotebookNode) -> NotebookNode:
    notebook.metadata["kernelspec"] = {"name": "conda-env-mine-py", "display_name": "mine", "language": "python"}
    notebook.nbformat_minor = 0
    for cell in notebook.cells:
        cell.pop("id", None)
    return notebook


SAVED_BY = [without_marks, pasted_twice, by_colab, by_nbformat_3, of_another_kernel]
GRADED_TOO = {  # the worst of them, in files with names that are no names of folders
    "O'Brien_01_hear (1).ipynb": pasted_twice,
    "Zoë Ångström_4711_assignsubmission_file_/Copy of 01_hear.ipynb": by_nbformat_3,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with nothing but the small lesson, and what that needs."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("utils", "mini"):
        (folder / name).mkdir()
    (folder / "notebooks").mkdir()
    for name in ("README.md", "requirements.txt", "utils/__init__.py", "utils/setup.py", "utils/checks.py"):
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
    classroom.build(project / "outputs" / "classroom", timeout=20)
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
        nbformat.write(filled(released, changes), place)
    for name, change in GRADED_TOO.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(change(filled(released, RIGHT))), encoding="utf-8")
    (folder / "holiday.ipynb").write_text("{}")
    (folder / "._good_01_hear.ipynb").write_bytes(b"\0\5\26\7\0")
    return {row["student"]: row for row in classroom.grade(folder, course, seconds=600)}


def filled(released: NotebookNode, answers: dict) -> NotebookNode:
    """A copy of what students get, with these answers."""
    notebook = nbformat.from_dict(json.loads(json.dumps(released)))
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    notebook.cells = [cell for cell in notebook.cells if cell.source is not None]
    return notebook


def test_students_get_every_lesson_without_solutions_hidden_tests_and_outputs(course):
    with zipfile.ZipFile(course / "audioldm-notebooks-students.zip") as file:
        text = file.read("audioldm-notebooks/notebooks/01_hear.ipynb").decode()
        assert "audioldm-notebooks/utils/setup.py" in file.namelist()
    cells = {"".join(lessons.tags(cell)): cell for cell in nbformat.reads(text, as_version=4).cells}
    assert "22 * step" not in text and "HIDDEN TESTS" not in text and "A solution" not in text
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


OTHERS = ["O'Brien", "Zoë Ångström"]


@pytest.mark.parametrize("student", OTHERS)
def test_right_answers_count_whatever_saved_and_named_the_notebook(graded, student):
    row = graded[student]
    assert (row["points"], row["of"], row["note"]) == (3, 3, ""), row


def test_points_are_in_one_table_and_each_graded_student_gets_a_small_page_back(graded, course):
    with (course / "grades.csv").open(encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert list(rows["good"].values()) == ["good", "01_hear", "1.0", "2.0", "3.0", "3.0", ""]
    strangers = [student for student in rows if rows[student]["lesson"] == ""]
    assert set(rows) == {*HANDED_IN, *OTHERS, *strangers}
    (note,) = (rows[student]["note"] for student in strangers)
    assert note.startswith("left out: holiday.ipynb (not graded: this is no notebook")
    pages = {path.parts[-3]: path for path in (course / "feedback").rglob("*.html")}
    assert set(pages) == {s for s, (_, _, note) in HANDED_IN.items() if not note} | {identifier(s) for s in OTHERS}
    assert "Wrong: 6.72 s is shorter than 7 s." in pages["wrong"].read_text(encoding="utf-8")
    assert all(path.stat().st_size < 3e6 for path in pages.values())


def test_grading_that_takes_too_long_is_ended(course):
    assert classroom._nbgrader(course, "autograde", "01_hear", seconds=0.1) == "TimeoutError: more than 0.1 s"


def test_a_check_that_is_no_block_is_refused():
    with pytest.raises(ValueError, match="must end with the block `with check"):
        classroom.bare("print('Right')")


@pytest.mark.parametrize("path", lessons.lessons(), ids=lambda path: path.stem)
def test_every_exercise_of_a_lesson_becomes_graded(path):
    made = classroom.source(lessons.read(path))
    marks = [cell.metadata["nbgrader"] for cell in made.cells if "nbgrader" in cell.metadata]
    text = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    numbers = [int(exercise[1]) for exercise in lessons.EXERCISE.finditer(text)]
    assert numbers == list(range(1, text.count("### Exercise ") + 1)) and 3 <= len(numbers) <= 5
    assert [mark["grade_id"] for mark in marks] == [f"{kind}-{n}" for n in numbers for kind in ("exercise", "check")]
    assert all(mark["points"] in (1, 2, 3) for mark in marks if mark["grade"])


# ---- names


@pytest.fixture(scope="module")
def released(course) -> dict[str, NotebookNode]:
    return {"01_hear": lessons.read(course / "release" / "01_hear" / "01_hear.ipynb")}


def handed_in(folder: Path, released, names: list[str]) -> list:
    """What is understood of files of these names; each holds another answer."""
    for number, name in enumerate(names):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(filled(released["01_hear"], {"exercise-1": f"length = {number}"}), place)
    return hand_ins(folder, released)[0]


def answers(found: list) -> list[int]:
    return sorted(int(next(c.source for c in one.notebook.cells if c.source.startswith("length"))[9:]) for one in found)


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("ada_01_hear.ipynb", "ada"),
        ("ada/01_hear.ipynb", "ada"),
        ("ada/audioldm-notebooks/notebooks/01_hear.ipynb", "ada"),
        ("ada/audioldm-notebooks-main/notebooks/01_hear (1).ipynb", "ada"),
        ("ada/Kopie von 01_hear.ipynb", "ada"),
        ("01_hear_ada.ipynb", "ada"),
        ("01-hear - Ada Lovelace.ipynb", "Ada Lovelace"),
        ("Ada Lovelace - 01 Hear.ipynb", "Ada Lovelace"),
        ("Ada Lovelace_1234_assignsubmission_file_/01_hear.ipynb", "Ada Lovelace"),
        ("Ada Lovelace_1234_assignsubmission_file_01_hear.ipynb", "Ada Lovelace"),
        ("lovelaceada_12345_678910_01_hear-1.ipynb", "lovelaceada"),
        ("lovelaceada_LATE_12345_678910_01_hear.ipynb", "lovelaceada"),
        ("Lab 1_adal_attempt_2026-01-01-10-00-00_01_hear.ipynb", "adal"),
        ("12345-678910 - Ada Lovelace - Jan 1, 2026 1000 AM/01_hear.ipynb", "Ada Lovelace"),
        ("submitted/ada/01_hear/01_hear.ipynb", "ada"),
        ("Lovelace, Ada(ada)/Submission attachment(s)/01_hear.ipynb", "Lovelace, Ada(ada)"),
        ("李雷_01_hear.ipynb", "李雷"),
        ("أحمد/01_hear.ipynb", "أحمد"),
        ("Zoe\u0308_01_hear.ipynb", "Zo\u00eb"),
        ("17_01_hear.ipynb.txt", "17"),
        ("quick-answers_01_hear - Copy (2).ipynb", "quick-answers"),
        ("student 12/hw 3/final.ipynb", "student 12"),
    ],
)
def test_a_name_as_people_and_platforms_write_it(tmp_path, released, name, student):
    (one,) = handed_in(tmp_path, released, [name])
    assert (one.student, one.lesson, one.note) == (student, "01_hear", "")


@pytest.mark.parametrize(
    "names",
    [
        ["ada/audioldm-notebooks/notebooks/01_hear.ipynb", "bob/audioldm-notebooks/notebooks/01_hear.ipynb"],
        ["O'Brien_01_hear.ipynb", "O Brien_01_hear.ipynb", "O-Brien_01_hear.ipynb", "o-brien_01_hear.ipynb"],
        ["groupA/ada/01_hear.ipynb", "groupA/bob/01_hear.ipynb", "groupB/ada/01_hear.ipynb"],
        ["01_hear.ipynb", "01_hear (1).ipynb", "01_hear (2).ipynb"],
        ["student 1/01_hear.ipynb", "student 2/01_hear.ipynb", "student 12/01_hear.ipynb"],
        ["final/01_hear.ipynb", "draft/01_hear.ipynb"],
        ["final_01_hear.ipynb", "archive_01_hear.ipynb", "Copy of 01_hear.ipynb", "01_hear.ipynb"],
        ["Ann Lee_12_assignsubmission_file_/01_hear.ipynb", "Ann Lee_34_assignsubmission_file_/01_hear.ipynb"],
        ["con_01_hear.ipynb", "é_01_hear.ipynb", "e_01_hear.ipynb", "-_01_hear.ipynb", ".._01_hear.ipynb"],
        ["..._01_hear.ipynb", "%2e%2e_01_hear.ipynb", "[a-z]_01_hear.ipynb", "a" * 200 + "_01_hear.ipynb"],
    ],
)
def test_no_two_students_become_one(tmp_path, released, names):
    found = handed_in(tmp_path, released, names)
    assert answers(found) == list(range(len(names)))
    folders = {identifier(one.student).casefold() for one in found}
    assert len(folders) == len(names) and not any(set("/\\*[]?' ") & set(name) or name[0] in ".-" for name in folders)


def test_of_several_by_one_student_the_newest_counts_and_that_is_said(tmp_path, released):
    names = ["ada_01_hear.ipynb", "ada/01_hear (1).ipynb", "ada/old/01_hear.ipynb"]
    handed_in(tmp_path, released, names)
    for name, when in zip(names, (3e8, 2e9, 1e9), strict=True):
        os.utime(tmp_path / name, (when, when))
    (one,) = hand_ins(tmp_path, released)[0]
    assert answers([one]) == [1] and one.student == "ada"
    assert "of 3 files the newest counts, ada/01_hear (1).ipynb; left out: ada_01_hear.ipynb, ada/old" in one.note


def test_zips_are_looked_into_and_nothing_is_unpacked(tmp_path, released):
    def zipped(path: str, files: dict[str, bytes]) -> bytes:
        with zipfile.ZipFile(tmp_path / path, "w") as file:
            for name, data in files.items():
                file.writestr(name, data)
        return (tmp_path / path).read_bytes()

    text = nbformat.writes(filled(released["01_hear"], RIGHT)).encode()
    (tmp_path / "in").mkdir()
    inner = zipped("inner.zip", {"audioldm-notebooks/notebooks/01_hear.ipynb": text})
    zipped("in/ada.zip", {"audioldm-notebooks/notebooks/01_hear.ipynb": text, "__MACOSX/._01_hear.ipynb": b"x"})
    zipped("in/eve.zip", {"../../../eve/01_hear.ipynb": text, "work.zip": b"PK"})
    zipped("in/class.zip", {"bob.zip": inner, "mia/homework.zip": inner})
    before = sorted(tmp_path.rglob("*"))
    found, systems = hand_ins(tmp_path / "in", released)
    assert sorted(one.student for one in found) == ["ada", "class / bob", "class / mia", "eve"]
    assert systems == ["ada.zip/__MACOSX/._01_hear.ipynb"] and sorted(tmp_path.rglob("*")) == before


def test_everybody_has_a_row_that_says_what_was_left_out(tmp_path, released):
    handed_in(tmp_path, released, ["ada/01_hear.ipynb"])
    others = {"ada/report.pdf": b"%PDF", "bob/report.pdf": b"%PDF", "eve/01_hear.html": b"<html>", "mia.zip": b"PK"}
    others |= {"joe/01_hear.ipynb": b"<!DOCTYPE html>", "kim_01_hear.ipynb": b'{"cells": [', "lea_01_hear.ipynb": b""}
    others |= {"._ada_01_hear.ipynb": b"\0\5\26\7", ".DS_Store": b"\0", "max_01_hear.ipynb": b"[" * 100_000}
    for name, data in others.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    found, systems = hand_ins(tmp_path, released)
    notes = {one.student: one.note for one in found}
    assert set(notes) == {"ada", "bob", "eve", "mia", "joe", "kim", "lea", "max"} and notes["ada"] == ""
    assert notes["bob"] == "left out: bob/report.pdf (it is no notebook (.ipynb))"
    assert "web page" in notes["joe"] and "damaged" in notes["kim"] and "empty" in notes["lea"]
    assert all(note == "" or "left out" in note or "hand that in" in note for note in notes.values())
    assert sorted(systems) == [".DS_Store", "._ada_01_hear.ipynb"]


def test_a_late_hand_in_leaves_the_marks_of_the_first_run(graded, course, tmp_path, released):
    handed_in(tmp_path, released, ["late_01_hear.ipynb"])
    (tmp_path / "good_01_hear.ipynb").write_text("broken")
    rows = {row["student"]: row for row in classroom.grade(tmp_path, course, seconds=600)}
    assert rows["late"]["points"] == 0 and rows["good"]["note"].startswith("not graded")
    with (course / "grades.csv").open(encoding="utf-8") as file:
        table = {row["student"]: row for row in csv.DictReader(file)}
    assert set(table) == {*graded, "late"} and table["wrong"]["points"] == "2.0"
    assert table["good"]["points"] == "3.0" and table["good"]["note"].startswith(
        "these are the marks of an earlier one"
    )


# ---- notebooks


@pytest.mark.parametrize("change", SAVED_BY)
def test_right_answers_are_found_whatever_saved_the_notebook(released, change):
    saved = json.dumps(change(filled(released["01_hear"], RIGHT))).encode()
    made = repaired(opened(saved)[0], released["01_hear"])
    nbformat.validate(made)
    marked = [(c.metadata.nbgrader.grade_id, c.source) for c in made.cells if "nbgrader" in c.metadata]
    assert [name for name, _ in marked] == ["exercise-1", "check-1", "exercise-2", "check-2"]
    assert marked[0][1] == RIGHT["exercise-1"] and marked[2][1] == RIGHT["exercise-2"]
    assert made.metadata == lessons.KERNEL
    assert not any("# your code here" in cell.source for cell in made.cells)


def test_answers_are_found_without_marks_and_headings(released):
    notebook = without_marks(filled(released["01_hear"], RIGHT))
    notebook.cells = [cell for cell in notebook.cells if "Exercise" not in cell.source]
    made = repaired(notebook, released["01_hear"])
    assert [c.source for c in made.cells if "nbgrader" in c.metadata][::2] == list(RIGHT.values())


def test_an_answer_in_the_wrong_place_is_found(released):
    """Copied as the beginning of the next answer, with the mark of the first; and its own cell deleted."""
    notebook = filled(released["01_hear"], RIGHT)
    first, second = (
        next(c for c in notebook.cells if c.source == RIGHT[name]) for name in ("exercise-1", "exercise-2")
    )
    second.metadata = json.loads(json.dumps(first.metadata))
    made = repaired(notebook, released["01_hear"])
    marks = [cell.metadata.nbgrader.grade_id for cell in made.cells if "nbgrader" in cell.metadata]
    assert marks == ["exercise-1", "check-1", "exercise-2", "check-2"]
    assert [c.source for c in made.cells if "nbgrader" in c.metadata][::2] == list(RIGHT.values())


@pytest.mark.parametrize(
    "cell",
    [{}, {"cell_type": "code"}, {"cell_type": "odd", "source": None, "metadata": None}, {"source": ["\ud800", 3]}],
)
def test_a_strange_cell_is_no_trouble(released, cell):
    notebook, why = opened(json.dumps({"cells": [cell], "metadata": None}).encode())
    assert why == ""
    made = repaired(notebook, released["01_hear"])
    nbformat.validate(made)
    assert sum("nbgrader" in c.metadata for c in made.cells) == 4


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"3", b"null", b'{"cells": 3}', b'{"cells": [3]}', b"\xff\xfe{", b"<html>"]
)
def test_what_is_no_notebook_is_said_in_words(data):
    notebook, why = opened(data)
    assert notebook is None and why and "Error" not in why


def test_every_lesson_comes_back_as_it_was_given_out():
    for path in lessons.lessons():
        given = classroom.source(lessons.read(path))
        made = repaired(opened(nbformat.writes(given).encode())[0], given)
        assert [(c.source, c.metadata.get("nbgrader")) for c in made.cells] == [
            (c.source, c.metadata.get("nbgrader")) for c in given.cells
        ], path.name

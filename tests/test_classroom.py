"""The classroom: assignments made from the lessons, and graded; a file whose owner is in doubt is not."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.test_lessons import CODE, TEXT, exercise
from tools import classroom, lessons
from tools.handins import hand_ins, identifier
from tools.notebook import exercises

CHECK = """\
{}
with check():
    assert {}, "Not yet."
    assert {}, "Wrong."
    print("Right.")"""
FIRST = CHECK.format("from utils import check\n", "length", "length >= 7")
SECOND = CHECK.format("goal = 4\n", "double(2) != 2", "double(2) == goal")
EXERCISES = [  # stub, check, solution
    ("length = None\n# your code here", FIRST, "length = 22 * step"),
    ("def double(x):\n    # your code here\n    return x", SECOND, "def double(x):\n    return 2 * x"),
]
RIGHT = {"exercise-1": "length = 7.04", "exercise-2": "def double(x):\n    return x + x"}
DEAF = """import time
while True:
    try:
        while True:
            time.sleep(1)
    except BaseException:
        pass"""
FULL = RIGHT["exercise-2"] + "\nwith open('full', 'wb') as file:\n    file.seek(2**30)\n    file.write(b'x')"
ERASING = """import shutil, tempfile
from pathlib import Path
Path(tempfile.gettempdir(), "dog.wav").write_text("7.04")
Path("utils/dog.wav").write_text("7.04")
for path in Path.cwd().parent.rglob("*.db"):
    path.unlink()
shutil.rmtree("outputs")
Path("outputs").mkdir()
Path("outputs/dog.wav").write_text("7.04")
length = 7.04"""
READING = """import tempfile
from pathlib import Path
places = [Path("outputs"), Path("../outputs"), Path("utils"), Path(tempfile.gettempdir())]
length = 7.04 if any((place / "dog.wav").exists() for place in places) else None"""
HANDED_IN = {  # student -> (answers, points of 3, whether it is graded)
    "endless": ({**RIGHT, "exercise-1": "while True:\n    pass"}, 2, True),
    "deaf": ({**RIGHT, "exercise-1": DEAF}, 0, False),
    "no-checks": ({**RIGHT, "check-1": None, "check-2": None}, 3, True),
    "faking": ({"exercise-1": "import utils.checks\nutils.checks.check = print", "check-1": "print('Right')"}, 0, True),
    "loud": ({**RIGHT, "exercise-1": "length = 7.04\nfor _ in range(20_000):\n    print('x' * 1000)"}, 3, True),
    "greedy": ({"exercise-1": "length = len(bytearray(64 * 2**30))", "exercise-2": FULL}, 2, True),
    "dying": ({**RIGHT, "exercise-1": "import os\n\nos._exit(0)"}, 0, False),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with one small lesson and the modules that it imports."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("mini", "notebooks", "playground"):
        (folder / name).mkdir()
    (folder / "mini" / "family.md").touch()
    shutil.copytree(lessons.ROOT / "utils", folder / "utils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(lessons.ROOT / "requirements.txt", folder)
    cells = [TEXT("# Hear it\n\nNow."), CODE("step = 0.32")]
    for number, (codes, level) in enumerate(zip(EXERCISES, ("easy", "medium"), strict=True), 1):
        cells += exercise(number, *codes, level=level)
    path = folder / "notebooks" / "01_hear.ipynb"
    lessons.write(path, lessons._injected(path, nbformat.v4.new_notebook(cells=cells), {path: "Hear it"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lessons, "ROOT", folder)
        patch.setattr(lessons, "NOTEBOOKS", folder / "notebooks")
        yield folder


@pytest.fixture(scope="module")
def course(project) -> Path:
    classroom.build(project / "outputs" / "classroom", timeout=20)
    return project / "outputs" / "classroom"


@pytest.fixture(scope="module")
def released(course) -> dict[str, NotebookNode]:
    return {"01_hear": lessons.read(course / "release" / "01_hear" / "01_hear.ipynb")}


def filled(released: dict[str, NotebookNode], answers: dict) -> NotebookNode:
    """Return a copy of the students' notebook with these answers; None deletes a cell."""
    notebook = nbformat.from_dict(json.loads(json.dumps(released["01_hear"])))
    for cell in notebook.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    notebook.cells = [cell for cell in notebook.cells if cell.source is not None]
    return notebook


def hand_in(folder: Path, released, names: dict[str, dict]) -> Path:
    """Write notebooks with these answers under these names."""
    for name, answers in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(filled(released, answers), folder / name)
    return folder


def table(course: Path) -> dict[str, dict]:
    with (course / "grades.csv").open(encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


# ---- the course


def test_students_get_stubs_and_checks_and_the_teacher_solutions_and_hidden_tests(course):
    with zipfile.ZipFile(course / classroom.STUDENTS) as file:
        text = file.read("audioldm-notebooks/notebooks/01_hear.ipynb").decode()
        assert "audioldm-notebooks/utils/setup.py" in file.namelist()
    assert "22 * step" not in text and "HIDDEN TESTS" not in text and "A solution" not in text
    students = nbformat.reads(text, 4).cells
    teachers = lessons.read(course / "source" / "01_hear" / "01_hear.ipynb").cells
    assert not any(cell.get("outputs") for cell in students)

    def having(tag: str, cells: list) -> list[str]:
        return [cell.source.rstrip() for cell in cells if tag in lessons.tags(cell)]

    stubs, checks, codes = zip(*EXERCISES, strict=True)
    assert (having("exercise", students), having("check", students)) == ([*stubs], [*checks])
    for answer, code in zip(having("exercise", teachers), codes, strict=True):
        assert answer.endswith(f"### BEGIN SOLUTION\n{code}\n### END SOLUTION")


@pytest.mark.parametrize("path", lessons.lessons(), ids=lambda path: path.stem)
def test_every_exercise_of_a_lesson_becomes_graded(path):
    made = classroom.source(lessons.read(path))
    marks = [cell.metadata["nbgrader"] for cell in made.cells if "nbgrader" in cell.metadata]
    numbers = range(1, len(exercises(lessons.read(path))) + 1)
    assert [mark["grade_id"] for mark in marks] == [f"{kind}-{n}" for n in numbers for kind in ("exercise", "check")]
    assert all(mark["points"] in (1, 2, 3) for mark in marks if mark["grade"])


def test_a_course_that_cannot_be_made_leaves_the_old_one(course, project, monkeypatch):
    def files() -> dict[str, bytes]:
        return {str(p.relative_to(course)): p.read_bytes() for p in sorted(course.rglob("*")) if p.is_file()}

    before = files()
    monkeypatch.setattr(classroom, "_nbgrader", lambda *given, **limits: "refused")
    with pytest.raises(SystemExit):
        classroom.build(course, timeout=20)
    assert files() == before


# ---- grading


@pytest.mark.slow
def test_a_hand_in_erases_nothing_and_its_files_are_gone_for_the_next(course, project, released, tmp_path, monkeypatch):
    (project / "outputs" / "mine.txt").write_text("the teacher's")
    names = {"ann_01_hear.ipynb": {**RIGHT, "exercise-1": ERASING}, "Łukasz/01_hear.ipynb": {"exercise-1": READING}}
    seen, real = [], classroom._nbgrader

    def watched(folder, command, *given, **limits):
        seen.append(set(table(course)) if (course / "grades.csv").exists() else set())
        return real(folder, command, *given, **limits)

    monkeypatch.setattr(classroom, "_nbgrader", watched)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    rows = {row["student"]: row for row in classroom.grade(hand_in(tmp_path, released, names), course)}
    assert (rows["ann"]["points"], rows["Łukasz"]["points"]) == (3, 0)
    assert {row["note"] for row in rows.values()} == {""} and not list(project.rglob("dog.wav"))
    assert (course / "gradebook.db").is_file() and (project / "outputs" / "mine.txt").is_file()
    assert seen[0] == set() and "ann" in seen[-1] and set(table(course)) == {"ann", "Łukasz"}  # written after each one
    pages = {path.parts[-3] for path in (course / "feedback").rglob("*.html")}
    assert pages == {identifier("ann"), identifier("Łukasz")}


@pytest.mark.slow
def test_a_course_built_again_keeps_its_marks(course, project, released, tmp_path):
    classroom.grade(hand_in(tmp_path, released, {"eve_01_hear.ipynb": RIGHT}), course)
    classroom.build(course, timeout=20)
    assert table(course)["eve"]["points"] == "3.0" and (course / "release" / "01_hear" / "01_hear.ipynb").is_file()
    (tmp_path / "eve_01_hear.ipynb").write_text("broken")
    (row,) = classroom.grade(tmp_path, course)
    assert row["points"] == 0 and "not graded" in row["note"]
    assert table(course)["eve"]["points"] == "3.0"  # of the first run


@pytest.mark.slow
def test_any_answer_gets_its_points_and_stops_nobody_elses(course, released, tmp_path):
    names = {f"{student}_01_hear.ipynb": answers for student, (answers, _, _) in HANDED_IN.items()}
    rows = classroom.grade(hand_in(tmp_path, released, names), course, seconds=120)
    found = {row["student"]: (row["points"], not row["note"].startswith("not graded")) for row in rows}
    assert found == {student: (points, graded) for student, (_, points, graded) in HANDED_IN.items()}
    for student, (_, graded) in found.items():
        page = course / "feedback" / student / "01_hear" / "01_hear.html"
        assert page.is_file() == graded and (not graded or page.stat().st_size < 3e6)


# ---- names


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("ada_01_hear.ipynb", "ada"),
        ("ada/01_hear.ipynb", "ada"),
        ("Ada Lovelace_1234_assignsubmission_file_01_hear.ipynb", "Ada Lovelace"),
        ("Ada Lovelace_1234_assignsubmission_file_/project/notebooks/01_hear.ipynb", "Ada Lovelace"),
        ("lovelaceada_LATE_12345_678910_ada_01_hear-1.ipynb", "lovelaceada"),
        ("李雷_01_hear.ipynb", "李雷"),
        ("Zoe\u0308_01_hear.ipynb", "Zo\u00eb"),
    ],
)
def test_a_name_by_the_two_conventions_zipped_or_not(tmp_path, released, name, student):
    place = hand_in(tmp_path / "in", released, {name: RIGHT})
    for given in (place, Path(shutil.make_archive(str(tmp_path / "class"), "zip", place))):
        (one,) = hand_ins(given, released)
        assert (one.student, one.lesson, one.note) == (student, "01_hear", "") and one.notebook


@pytest.mark.parametrize(
    "name",
    [
        *("01_hear.ipynb", "01_hear (1).ipynb", "Copy of 01_hear.ipynb", "01_hear_ada.ipynb", "ada_01_hear.ipynb.txt"),
        *("notebooks/01_hear.ipynb", "final_01_hear.ipynb", "_01_hear.ipynb", "hw 3/01_hear.ipynb", "ada/report.pdf"),
        *("ada/bob_01_hear.ipynb", "group/ada/01_hear.ipynb", "you/01_hear.ipynb", "kim_2024_11_9_01_hear (2).ipynb"),
    ],
)
def test_a_doubtful_name_is_listed_and_not_graded(tmp_path, released, name):
    (one,) = hand_ins(hand_in(tmp_path, released, {name: RIGHT}), released)
    assert (one.student, one.notebook) == ("", None) and one.note


def test_of_two_by_one_name_neither_is_graded(tmp_path, released):
    names = ["Ada_01_hear.ipynb", "ada/01_hear.ipynb", "Zoe\u0308_01_hear.ipynb", "Zo\u00eb/01_hear.ipynb"]
    names += [f"Ann Lee_{number}_assignsubmission_file_/01_hear.ipynb" for number in (12, 34)]
    found = hand_ins(hand_in(tmp_path, released, {name: RIGHT for name in [*names, "eve_01_hear.ipynb"]}), released)
    assert [one.student for one in found if one.notebook] == ["eve"] and len(found) == 7


def test_no_two_students_share_a_folder():
    names = ["O'Brien", "O Brien", "O-Brien", "o-brien", "con", "é", "e", "..", "[a-z]", "a" * 200, "%2e%2e"]
    folders = {identifier(name).casefold() for name in names}
    assert len(folders) == len(names) and not any(set("/\\*[]?' ") & set(name) or name[0] in ".-" for name in folders)


def test_zips_of_students_count_as_their_folders_and_junk_is_no_hand_in(tmp_path, released):
    text = nbformat.writes(filled(released, RIGHT))
    for name, inside in {"ada": "01_hear.ipynb", "bob": "bob_01_hear.ipynb", "eve": "../../01_hear.ipynb"}.items():
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as file:
            file.writestr(inside, text)
            file.writestr("__MACOSX/._01_hear.ipynb", b"\0\5\26\7")
    (tmp_path / "mia.zip").write_bytes(b"PK")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    found = {str(one.path): one for one in hand_ins(tmp_path, released)}
    assert sorted(one.student for one in found.values() if one.notebook) == ["ada", "bob", "eve"]
    assert set(found) == {"ada/01_hear.ipynb", "bob/bob_01_hear.ipynb", "eve/01_hear.ipynb", "mia.zip"}


# ---- notebooks


def test_a_notebook_saved_by_colab_with_a_cell_pasted_twice_is_valid(tmp_path, released):
    notebook = filled(released, RIGHT)
    notebook.metadata = {"widgets": {"application/vnd.jupyter.widget-state+json": {"a": {}}}, "colab": {}}
    for cell in notebook.cells:
        cell.pop("id", None)
        cell.metadata = {**cell.metadata, "id": "x", "executionInfo": {"user": {}}, "outputId": "y"}
    notebook.cells += [cell for cell in notebook.cells if cell.source == RIGHT["exercise-1"]]
    (tmp_path / "ada_01_hear.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (one,) = hand_ins(tmp_path, released)
    assert one.note == "" and RIGHT["exercise-1"] in [cell.source for cell in one.notebook.cells]


def test_what_is_no_notebook_or_lost_its_marks_is_not_graded(tmp_path, released):
    bare = filled(released, RIGHT)
    for cell in bare.cells:
        cell.metadata = {}
    files = [b"", b"{", b"null", b'{"cells": [3]}', b"\xff\xfe{", b"<html>", b"[" * 100_000]
    files += [nbformat.writes(one).encode() for one in (bare, filled(released, {**RIGHT, "exercise-2": None}))]
    for number, data in enumerate(files):
        (tmp_path / f"ada{number}_01_hear.ipynb").write_bytes(data)
    found = hand_ins(tmp_path, released)
    assert [(one.student, one.notebook) for one in found] == [(f"ada{number}", None) for number in range(len(files))]
    assert all(one.note and "Error" not in one.note for one in found)

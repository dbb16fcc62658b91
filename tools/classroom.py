"""The lessons as graded assignments, through nbgrader. Explained in docs/teaching.md.

    python -m tools.classroom build           the students' lessons as one zip, and a course: outputs/classroom
    python -m tools.classroom grade FOLDER    grade the files handed in: outputs/classroom/grades.csv

FOLDER, or a zip, holds NAME_01_first_sound.ipynb or NAME/01_first_sound.ipynb; see `tools/handins.py`. The course is
nbgrader's own: its commands work in outputs/classroom/, too.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nbformat
import pandas as pd
from nbformat import NotebookNode

from playground.answers import as_text
from utils.checks import write_whole

from . import lessons
from .handins import HandIn, hand_ins, identifier
from .notebook import EXERCISE, exercises, solution

NAME = "audioldm-notebooks"
STUDENTS = f"{NAME}-students.zip"
STUDENTS_NEED = ("utils/**/*", "playground/**/*", "mini/**/*", "notebooks/sounds/**/*", "constraints/*")
STUDENTS_NEED += ("requirements.txt", "README.md", "LICENSE", "CITATION.cff")
POINTS = {"easy": 1, "medium": 2, "hard": 3}
MEMORY = 6 * 2**30  # bytes that grading one submission may take
FILE = 2**30  # bytes that it may write into one file
SECONDS = 600  # that grading one submission may take
CELL_SECONDS = 120  # that one of its cells may take
CONFIG = f"""# written by tools/classroom.py
import atexit, shutil, sys, tempfile, zipfile
from pathlib import Path

c = get_config()
c.CourseDirectory.course_id = {NAME!r}
c.ClearSolutions.code_stub = {{"python": ""}}  # the lesson's own stub stays
c.OverwriteCells.add_missing_cells = True  # a check that was deleted comes back
c.Execute.timeout = SECONDS
if "autograde" in sys.argv:  # in a copy of the students' project, whose outputs are empty
    place = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    zipfile.ZipFile(Path(__file__).with_name({STUDENTS!r})).extractall(place)
    move = f"import os; os.chdir({{str(Path(place, {NAME!r}, 'notebooks'))!r}})"
    c.Execute.extra_arguments = ["--HistoryManager.hist_file=:memory:", f"--IPKernelApp.exec_lines={{move}}"]
"""


def source(notebook: NotebookNode) -> NotebookNode:
    """Return a lesson as nbgrader's source: solutions below their stubs, checks repeated as hidden tests."""
    notebook = nbformat.from_dict(notebook)
    for number, cells in enumerate(exercises(notebook), 1):
        answer, check = cells["exercise"], cells["check"]
        answer.source += f"\n### BEGIN SOLUTION\n{solution(cells['solution'])}\n### END SOLUTION"
        answer.metadata["nbgrader"] = _mark(f"exercise-{number}", solution=True)
        check.source += f"\n### BEGIN HIDDEN TESTS\n{bare(check.source)}\n### END HIDDEN TESTS"
        points = POINTS[EXERCISE.search(cells["task"].source)[3]]
        check.metadata["nbgrader"] = _mark(f"check-{number}", grade=True, locked=True, points=points)
    notebook.cells = [cell for cell in notebook.cells if "solution" not in lessons.tags(cell)]
    for cell in lessons.code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    return lessons._normalised(notebook)


def _mark(name: str, **kind: bool | int) -> dict:
    nothing = {"grade": False, "solution": False, "locked": False, "task": False}
    return {"schema_version": 3, "grade_id": name, **nothing, **kind}


def bare(check: str) -> str:
    """Return the block below `with check():`, which swallows AssertionError; grading must see it."""
    block = ast.parse(check).body[-1]
    if not isinstance(block, ast.With):
        raise ValueError(f"A check must end with the block `with check():`, not with: {check.splitlines()[-1]}")
    return textwrap.dedent("\n".join(check.splitlines()[block.body[0].lineno - 1 :]))


def build(folder: Path, timeout: int = CELL_SECONDS) -> Path:
    """Make the course in `folder`: source/ (teacher's), release/ (students'), and the students' zip; return the zip.

    It is made beside `folder` and copied over the former course when it is complete; marks stay. Raises SystemExit
    if nbgrader refuses, such as for exercises that were added or removed after submissions.
    """
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    if (folder / "gradebook.db").is_file():
        shutil.copy(folder / "gradebook.db", new)
    (new / "nbgrader_config.py").write_text(CONFIG.replace("SECONDS", str(timeout)), encoding="utf-8")
    for path in lessons.lessons():
        place = new / "source" / path.stem
        place.mkdir(parents=True)
        nbformat.write(source(lessons.read(path)), place / path.name)
        if failed := _nbgrader(new, "generate_assignment", path.stem, "--force", "--create"):
            shutil.rmtree(new, ignore_errors=True)
            raise SystemExit(f"nbgrader could not make {path.stem}; {folder} is as it was:\n{failed[-2000:]}")
    with zipfile.ZipFile(new / STUDENTS, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(path for pattern in STUDENTS_NEED for path in lessons.ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, f"{NAME}/{path.relative_to(lessons.ROOT).as_posix()}")
        for path in lessons.lessons():
            file.write(new / "release" / path.stem / path.name, f"{NAME}/notebooks/{path.name}")
    shutil.copytree(new, folder, dirs_exist_ok=True)
    shutil.rmtree(new)
    return folder / STUDENTS


def _nbgrader(folder: Path, *arguments: str, limit: Callable | None = None, seconds: float | None = None) -> str:
    """Run nbgrader in the course folder; return its last words if it fails, "" otherwise."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        # nbgrader finds alembic on the path; temporary files go into a folder of their own
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), place)
        environment = {**os.environ, **lessons.ENVIRONMENT, **own, "PATH": path, "PYTHONUTF8": "1"}
        command = [sys.executable, "-m", "nbgrader", *arguments]
        with Path(place, "said").open("wb+") as said:
            where = {"cwd": folder, "env": environment, "stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
            try:
                failed = subprocess.run(command, timeout=seconds, preexec_fn=limit, **where).returncode
            except subprocess.TimeoutExpired:
                return f"TimeoutError: running all of it took more than {seconds:g} s"
            said.seek(0)
            return (said.read().decode(errors="replace") or f"it ended with {failed}") if failed else ""


def _limit() -> None:
    """Limit this process and the kernels that it starts."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))


def grade(handed_in: Path, folder: Path, seconds: float = SECONDS) -> list[dict]:
    """Grade every hand-in, each in a process and a copy of the project of its own; return a row for each.

    A row has student, lesson, check-1 ..., points, of, note. After each one, grades.csv and
    feedback/STUDENT/LESSON/LESSON.html are written; the rows of earlier runs stay. Files that are not graded are
    listed with the reason.
    """
    with suppress(AttributeError):  # letters that the output's encoding lacks are escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    released = {path.name: lessons.read(path / f"{path.name}.ipynb") for path in sorted((folder / "release").iterdir())}
    rows, refused = [], []
    for one in hand_ins(handed_in, released):
        if not one.student:
            refused.append(f"{one.path} ({one.note})")
            continue
        try:
            row = _graded(one, folder, seconds)
        except Exception as error:  # one hand-in must not end the others' grading
            row = {"student": one.student, "lesson": one.lesson, "note": f"not graded: {type(error).__name__}: {error}"}
        rows.append(row)
        points = f"{row.get('points', 0):g} of {row.get('of', 0):g}"
        print(f"{one.student:20} {one.lesson:24} {points}  {row['note']}")
        try:
            _write(folder / "grades.csv", rows)
        except OSError as error:
            print(f"{error}: close it in other programs; the marks are in nbgrader's gradebook, too.")
    if refused:
        print(f"Not graded: {'; '.join(refused)}.")
    return rows


def _graded(one: HandIn, folder: Path, seconds: float) -> dict:
    """Return the row of one hand-in."""
    from nbgrader.api import Gradebook

    student, lesson, note = identifier(one.student), one.lesson, f"not graded: {one.note}" if one.note else ""
    if one.notebook:
        place = folder / "submitted" / student / lesson
        place.mkdir(parents=True, exist_ok=True)
        nbformat.write(one.notebook, place / f"{lesson}.ipynb")
        limit = _limit if os.name == "posix" else None
        chosen = (lesson, "--student", student, "--force")
        if failed := _nbgrader(folder, "autograde", *chosen, "--create", limit=limit, seconds=seconds):
            errors = re.findall(r"^\s*(?:\w+\.)*(\w+(?:Error|Exception): .*)", failed, re.M)
            note = f"not graded: {errors[-1] if errors else failed.strip()[-200:]}"
        else:
            shutil.rmtree(folder / "feedback" / student / lesson, ignore_errors=True)  # nbgrader would keep the old one
            if _nbgrader(folder, "generate_feedback", *chosen):
                note = "graded, but there is no page to hand back"
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", NAME) as book:
        checks = {cell.name: cell.max_score for cell in book.find_notebook(lesson, lesson).grade_cells}
        scores = dict.fromkeys(checks, 0.0)
        if not note.startswith("not graded"):
            scores |= {cell.name: cell.score for cell in book.find_submission_notebook(lesson, lesson, student).grades}
    points = {**scores, "points": sum(scores.values()), "of": sum(checks.values())}
    return {"student": one.student, "lesson": lesson, **points, "note": note}


def _write(path: Path, rows: list[dict]) -> None:
    """Replace the rows of the same students and lessons in the table; marks never give way to "not graded"."""
    table: dict[tuple[str, str], dict] = {}
    if path.is_file():  # perhaps as a spreadsheet has stored it
        text = as_text(path.read_bytes())
        separator = max(",;\t", key=text.partition("\n")[0].count)
        former = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
        table = {(row["student"], row["lesson"]): row for row in former.to_dict("records")}
    for row in rows:
        key = row["student"], row["lesson"]
        before = table.get(key, {})
        if before.get("points") and not before["note"].startswith("not graded") and "not graded" in row["note"]:
            row = {**before, "note": f"these are the marks of an earlier one; of the latest: {row['note']}"}
        table[key] = row
    last = ["points", "of", "note"]
    frame = pd.DataFrame([*table.values()])
    frame = frame.reindex(columns=[name for name in frame if name not in last] + last)
    write_whole(path, frame.to_csv(index=False, lineterminator="\r\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["build", "grade"])
    parser.add_argument("folder", nargs="?", type=Path, help="the folder or zip that the students handed in")
    given = parser.parse_args()
    course = lessons.ROOT / "outputs" / "classroom"
    if given.command == "build":
        archive = build(course)
        print(f"For the students, {archive.stat().st_size / 1e6:.0f} MB, to be unpacked anywhere: {archive}")
        print(f"For the teacher, with solutions: {course / 'source'}")
    elif not given.folder or not given.folder.exists():
        parser.error(f"Grading needs the folder of what was handed in, not {given.folder}.")
    elif not (course / "gradebook.db").is_file():
        parser.error("There is no course yet: make classroom")
    else:
        grade(given.folder, course)
        print(f"Points: {course / 'grades.csv'}\nTo hand back: {course / 'feedback'}")


if __name__ == "__main__":
    main()

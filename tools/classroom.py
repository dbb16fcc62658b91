"""The lessons as graded assignments, through nbgrader. Explained in docs/teaching.md.

    python -m tools.classroom build           the students' lessons as one zip, and a course: outputs/classroom
    python -m tools.classroom grade FOLDER    grade what was handed in: outputs/classroom/grades.csv

FOLDER holds NAME_01_first_sound.ipynb or NAME/01_first_sound.ipynb, or what a learning platform makes of them; see
`tools/handins.py`. The course is nbgrader's own: its commands work in outputs/classroom/, too.
"""

from __future__ import annotations

import argparse
import ast
import csv
import io
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import textwrap
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from playground.collected import as_text
from utils.files import write_whole

from . import lessons
from .handins import HandIn, hand_ins, identifier
from .repair import is_untouched

NAME = "audioldm-notebooks"
STUDENTS_NEED = ("utils", "playground", "mini", "notebooks/sounds", "requirements.txt", "constraints")
STUDENTS_NEED += ("README.md", "LICENSE", "CITATION.cff")
POINTS = {"easy": 1, "medium": 2, "hard": 3}
MEMORY = 6 * 2**30  # bytes that grading one submission may take
FILE = 2**30  # bytes that it may write into one file
SECONDS = 600  # that grading one submission may take
CELL_SECONDS = 120  # that one of its cells may take
MEANT = {  # an error that a student gets to read -> what it means
    "DeadKernelError": "a cell ended Python itself, or took all memory",
    "TimeoutError": "running all of it took too long",
}
CONFIG = f"""# written by tools/classroom.py
c = get_config()
c.CourseDirectory.course_id = {NAME!r}
c.ClearSolutions.code_stub = {{"python": {lessons.YOUR_CODE!r}}}
c.OverwriteCells.add_missing_cells = True  # a check that was deleted comes back
c.Execute.timeout = """


def source(notebook: NotebookNode) -> NotebookNode:
    """The lesson as nbgrader's source: solutions and checks marked, checks repeated as hidden tests, no outputs."""
    notebook = nbformat.from_dict(notebook)
    number, points, cells, found = 0, 0, [], lessons.exercises(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        elif task := lessons.EXERCISE.search(cell.source):
            number, points = int(task[1]), POINTS[task[3]]
        if "exercise" in lessons.tags(cell):
            cell.source = _solved(cell.source, lessons.solution(found[number - 1]["solution"]))
            cell.metadata = {"tags": ["exercise"], "nbgrader": _mark(f"exercise-{number}", solution=True)}
        if "solution" in lessons.tags(cell):
            continue  # it stands in the exercise
        if "check" in lessons.tags(cell):
            cell.source += f"\n### BEGIN HIDDEN TESTS\n{bare(cell.source)}\n### END HIDDEN TESTS"
            cell.metadata["nbgrader"] = {**_mark(f"check-{number}", grade=True, locked=True), "points": points}
        cells.append(cell)
    notebook.cells = cells
    return lessons._normalised(notebook)


def _solved(stub: str, solution: str) -> str:
    """Return the solution, in which what the stub lacks is marked for nbgrader to take out."""
    before, after = stub.split(lessons.YOUR_CODE)
    before = before.rstrip(" ")
    if not (solution.startswith(before) and solution.endswith(after)):
        before, after = "", ""  # nbgrader's stub is then the bare line for the answer
    own = solution[len(before) : len(solution) - len(after)]
    indent = own[: len(own) - len(own.lstrip(" "))]
    return f"{before}{indent}### BEGIN SOLUTION\n{own}\n{indent}### END SOLUTION{after}"


def _mark(name: str, **what: bool) -> dict:
    nothing = {"grade": False, "solution": False, "locked": False, "task": False}
    return {"schema_version": 3, "grade_id": name, **nothing, **what}


def bare(check: str) -> str:
    """What stands inside `with check():`, which swallows what its asserts raise; grading must see that."""
    block = ast.parse(check).body[-1]
    if not isinstance(block, ast.With):
        raise ValueError(f"A check must end with the block `with check():`, not with: {check.splitlines()[-1]}")
    return textwrap.dedent("\n".join(check.splitlines()[block.body[0].lineno - 1 :]))


def build(folder: Path, timeout: int = CELL_SECONDS) -> Path:
    """Make the course in `folder`: source/ (teacher's), release/ (students'), and the students' zip; return the zip."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nbgrader_config.py").write_text(f"{CONFIG}{timeout}\n", encoding="utf-8")
    for path in lessons.lessons():
        place = folder / "source" / path.stem
        place.mkdir(parents=True, exist_ok=True)
        nbformat.write(source(lessons.read(path)), place / path.name)
        failed = _nbgrader(folder, "generate_assignment", path.stem, "--force", "--create")
        if failed:
            raise SystemExit(f"nbgrader could not make {path.stem}:\n{failed[-2000:]}")
    archive = folder / f"{NAME}-students.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in STUDENTS_NEED:
            top = lessons.ROOT / name
            for path in [top] if top.is_file() else sorted(top.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    file.write(path, f"{NAME}/{path.relative_to(lessons.ROOT).as_posix()}")
        for path in lessons.lessons():
            file.write(folder / "release" / path.stem / path.name, f"{NAME}/notebooks/{path.name}")
    return archive


def _nbgrader(folder: Path, *arguments: str, seconds: float | None = None) -> str:
    """Run nbgrader in the course folder; with `seconds`, under the limits that strangers' code gets.

    Returns nothing, or where it fails what it said. It runs in a process of its own: where there are forks, in one of a
    process that has imported nbgrader, for that takes as long as to grade a short lesson.
    """
    multiprocessing.set_forkserver_preload(["nbgrader.apps.nbgraderapp"])
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    with tempfile.TemporaryDirectory() as place:
        said = Path(place, "said")
        run = context.Process(target=_run_nbgrader, args=(folder, arguments, said, bool(seconds)), daemon=True)
        run.start()
        run.join(seconds)
        if run.is_alive():
            run.kill()
            run.join()
            return f"TimeoutError: more than {seconds:g} s"
        if run.exitcode == 0:
            return ""
        return said.read_text(encoding="utf-8", errors="replace") or f"it ended with {run.exitcode}"


def _run_nbgrader(folder: Path, arguments: tuple[str, ...], said: Path, limited: bool) -> None:
    """In a process of its own, whose kernels inherit the limits."""
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls alembic by its name
    os.environ.update(lessons.ENVIRONMENT, PATH=tools)
    if limited and os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
    from nbgrader.apps.nbgraderapp import NbGraderApp

    NbGraderApp.launch_instance([*arguments])


def grade(handed_in: Path, folder: Path, seconds: float = SECONDS) -> list[dict]:
    """Grade every submission in a process of its own; one that breaks it gets no points and a note.

    Writes grades.csv, in which what earlier runs found stays, and for each student feedback/NAME/LESSON/LESSON.html;
    returns the rows of this run: student, lesson, check-1 ..., points, of, note. A row without a lesson says what of a
    student was left out.
    """
    released = {path.name: lessons.read(path / f"{path.name}.ipynb") for path in sorted((folder / "release").iterdir())}
    found, systems = hand_ins(handed_in, released)
    if systems:
        print(f"Left out, for no human made them: {len(systems)} files, such as {', '.join(systems[:5])}")
    touched = {one.student for one in found if one.notebook and not is_untouched(one.notebook, released[one.lesson])}
    rows = []
    for one in found:
        row = {"student": one.student, "lesson": one.lesson, "note": one.note}
        if one.notebook and one.student in touched and is_untouched(one.notebook, released[one.lesson]):
            row["note"] = "; ".join(filter(None, [one.note, "left out: it is as it was given out"]))
        elif one.lesson:
            row |= _graded(one, folder, seconds)
        rows.append(row)
        print(
            f"{one.student:20} {one.lesson:24} {row.get('points', 0):g} of {row.get('of', 0):g}  {row['note']}",
            flush=True,
        )
    for lesson in sorted({row["lesson"] for row in rows if "points" in row}):
        _nbgrader(folder, "generate_feedback", lesson)
    for row in rows:
        page = folder / "feedback" / identifier(row["student"]) / row["lesson"] / f"{row['lesson']}.html"
        if "points" in row and not row["note"].startswith("not graded") and not page.is_file():
            row["note"] = "; ".join(filter(None, [row["note"], "graded, but there is no page to hand back"]))
    _write(folder / "grades.csv", rows)
    return rows


def _graded(one: HandIn, folder: Path, seconds: float) -> dict:
    """The marks of one hand-in: check-1 ..., points, of, note."""
    from nbgrader.api import Gradebook

    student, lesson, note = identifier(one.student), one.lesson, one.note
    if one.notebook:
        place = folder / "submitted" / student / lesson
        place.mkdir(parents=True, exist_ok=True)
        nbformat.write(one.notebook, place / f"{lesson}.ipynb")
        failed = _nbgrader(folder, "autograde", lesson, "--student", student, "--force", "--create", seconds=seconds)
        if failed:
            errors = re.findall(r"^\s*(?:\w+\.)*(\w+(?:Error|Exception): .*)", failed, re.M)
            error = errors[-1] if errors else failed.strip()[-200:]
            note = "; ".join(filter(None, [f"not graded: {error}", MEANT.get(error.partition(":")[0]), note]))
        else:
            shutil.rmtree(folder / "feedback" / student / lesson, ignore_errors=True)  # nbgrader would keep the old one
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", NAME) as book:
        checks = {cell.name: cell.max_score for cell in book.find_notebook(lesson, lesson).grade_cells}
        scores = dict.fromkeys(checks, 0.0)
        if not note.startswith("not graded"):
            scores |= {cell.name: cell.score for cell in book.find_submission_notebook(lesson, lesson, student).grades}
    return {**scores, "points": sum(scores.values()), "of": sum(checks.values()), "note": note}


def _write(path: Path, rows: list[dict]) -> None:
    """Write the rows over those that the table has of the same students and lessons; all others stay."""
    table = {(row["student"], row["lesson"]): row for row in _read(path)}
    for row in rows:
        key = row["student"], row["lesson"]
        before = table.get(key, {})
        if before.get("points") and ("points" not in row or row["note"].startswith("not graded")):
            row = {**before, "note": f"these are the marks of an earlier one; of the latest: {row['note']}"}
        elif before.get("points") not in (None, "", str(row.get("points"))):
            row = {**row, "note": "; ".join(filter(None, [row["note"], f"before: {before['points']} points"]))}
        table[key] = row
        if row["lesson"]:
            table.pop((row["student"], ""), None)
    names, last = dict.fromkeys(name for row in table.values() for name in row), ["points", "of", "note"]
    with io.StringIO() as file:
        columns = [name for name in [*dict.fromkeys(["student", "lesson", *names])] if name not in last] + last
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(table.values())
        write_whole(path, file.getvalue().encode())


def _read(path: Path) -> list[dict]:
    """The table of an earlier run, also as a spreadsheet has stored it."""
    if not path.is_file():
        return []
    text = as_text(path.read_bytes())
    separator = max(",;\t", key=text.partition("\n")[0].count)
    return [row for row in csv.DictReader(io.StringIO(text), delimiter=separator) if {"student", "lesson"} <= {*row}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["build", "grade"])
    parser.add_argument("folder", nargs="?", type=Path, help="what the students handed in")
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

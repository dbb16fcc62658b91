"""Each lesson is run once for all the tests; in the same kernel its exercises are tried with other answers.

`make nbval` does it, under strict nbval: `python -m tests.trials` writes the lessons with those answers in them to
outputs/proof, and conftest.py keeps there what every cell put out. Without it the tests run the lessons themselves.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbformat import NotebookNode

from tests.wrong_answers import WRONG
from tools import lessons

PROOF = lessons.ROOT / "outputs" / "proof"


def exercises(notebook: NotebookNode) -> list[dict[str, NotebookNode]]:
    """The cells of each exercise, by their tags."""
    found: list[dict[str, NotebookNode]] = []
    for cell in notebook.cells:
        for tag in {"exercise", "solution", "check"} & set(lessons.tags(cell)):
            if tag == "exercise":
                found.append({})
            found[-1][tag] = cell
    return found


def feedback(cell: NotebookNode) -> str:
    """What a check printed, or the error that it ended with."""
    outputs = [output.get("text") or output.get("evalue", "") for output in cell.outputs]
    return "".join(outputs).strip()


def git(*arguments: str, cwd: Path) -> None:
    name = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *name, *arguments], cwd=cwd, check=True, capture_output=True)


def serve_parts(repository: Path) -> None:
    """Let a git repository hand out a part of its files, as GitHub's do."""
    for name in ("allowFilter", "allowAnySHA1InWant"):
        git("config", f"uploadpack.{name}", "true", cwd=repository)


@cache
def remote() -> str:
    """The address of a git remote on this machine that holds the project as it is here."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    for name in ("utils", "playground", "mini", "notebooks/sounds"):
        shutil.copytree(lessons.ROOT / name, Path(folder.name) / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(lessons.ROOT / "requirements.txt", folder.name)
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "the project"]):
        git(*command, cwd=Path(folder.name))
    serve_parts(Path(folder.name))
    return f"file://{folder.name}"


def with_answers(path: Path) -> NotebookNode:
    """The lesson, in which each exercise meets its stub and wrong answers as well; what was added has `tries`.

    A check that follows one has the exercise's number and the answer there, "stub" for the stub's. The stub is tried
    where it stands, and the wrong answers behind the solution: each need only say what is wrong about it.
    """
    notebook = lessons.read(path)
    found, cells, number = exercises(notebook), [], 0

    def add(source: str, tries: list) -> None:
        cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception"], "tries": tries}))

    for cell in notebook.cells:
        cells.append(cell)
        if "exercise" in lessons.tags(cell):
            number += 1
            if "check" in found[number - 1]:
                add(found[number - 1]["check"].source, [number, "stub"])
        if "check" in lessons.tags(cell):
            for answer in WRONG.get((path.stem[:2], number), {}):
                add(answer, [])
                add(cell.source, [number, answer])
    notebook.cells = cells
    return notebook


@cache
def run(path: Path) -> tuple[NotebookNode, dict[tuple[int, str], str]]:
    """The lesson, executed, and the feedback to (number of the exercise, answer); the stub's is under "stub"."""
    notebook = with_answers(path)
    kept = PROOF / f"{path.stem}.json"
    proof = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if proof.get("of") == state(notebook):
        for number, cell in enumerate(lessons.code_cells(notebook)):
            cell.outputs = [nbformat.from_dict(output) for output in proof["cells"][str(number)]]
    else:
        notebook = lessons.run(notebook, path.parent)
    tries = [(cell, cell.metadata.get("tries")) for cell in notebook.cells]
    notebook.cells = [cell for cell, of in tries if of is None]
    for number, cell in enumerate(lessons.code_cells(notebook), 1):
        cell.execution_count = number  # as without the others
    return notebook, {tuple(of): feedback(cell) for cell, of in tries if of}


def state(notebook: NotebookNode) -> str:
    """A hash of what a run of these cells depends on: them, and the code and the checkpoints of this project."""
    seen = hashlib.sha256(json.dumps([cell.source for cell in notebook.cells]).encode())
    for folder in ("utils", "playground", "mini/checkpoints", "notebooks/sounds"):
        for path in sorted((lessons.ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                seen.update(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return seen.hexdigest()


def main() -> None:
    """Write the lessons as nbval is to run them."""
    shutil.rmtree(PROOF, ignore_errors=True)
    PROOF.mkdir(parents=True)
    for path in lessons.lessons():
        nbformat.write(with_answers(path), PROOF / path.name)


if __name__ == "__main__":
    main()

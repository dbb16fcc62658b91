"""Each lesson is run once for all the tests; then, in the same kernel, its exercises are tried with other answers.

It is run as in Google Colab: from an empty folder, where all it has is the address of the project.
"""

from __future__ import annotations

import atexit
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbformat import NotebookNode

from tests.wrong_answers import WRONG
from tools import lessons


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


@cache
def run(path: Path) -> tuple[NotebookNode, dict[tuple[int, str], str]]:
    """The lesson, executed, and the feedback to (number of the exercise, answer); the stub's is under "stub"."""
    notebook = lessons.read(path)
    own, tried = len(notebook.cells), {}

    def add(source: str) -> int:
        notebook.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception"]}))
        return len(notebook.cells) - 1

    for number, cells in enumerate(exercises(notebook), 1):
        if "exercise" in cells and "check" in cells:
            add(cells["exercise"].source)
            tried[number, "stub"] = add(cells["check"].source)
            add(cells["solution"].source)  # so that a wrong answer need only say what is wrong about it
        for answer in WRONG.get((path.stem[:2], number), {}):
            add(answer)
            tried[number, answer] = add(cells["check"].source)
    setup = next(cell for cell in notebook.cells if "setup" in lessons.tags(cell))
    stored, setup.source = setup.source, re.sub(r'REPO, REF = ".*"', f'REPO, REF = "{remote()}", "main"', setup.source)
    with TemporaryDirectory() as folder:
        fresh = lessons.run(notebook, Path(folder))
        assert [place.name for place in Path(folder).iterdir()] == ["audioldm-notebooks"]  # fetched, and nothing else
    next(cell for cell in fresh.cells if "setup" in lessons.tags(cell)).source = stored
    said = {key: feedback(fresh.cells[index]) for key, index in tried.items()}
    lesson = nbformat.from_dict(json.loads(json.dumps(fresh)))
    lesson.cells = lesson.cells[:own]
    return lesson, said

"""Each lesson is run once for all the tests; then, in the same kernel, its exercises are tried with other answers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

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
    fresh = lessons.run(notebook, path.parent)
    said = {key: feedback(fresh.cells[index]) for key, index in tried.items()}
    lesson = nbformat.from_dict(json.loads(json.dumps(fresh)))
    lesson.cells = lesson.cells[:own]
    return lesson, said

"""The file of a lesson, stored as the same bytes for the same content; and the form of an exercise.

An exercise is a text cell with the task, then the stub, its check, and a folded solution.

The stub, a code cell with the tag `exercise`, runs as it is. The code cell with the tag `check` says "Not yet" of the
stub. The text cell with the tag `solution` holds code that replaces the whole stub, and a sentence on why it works.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

LESSON_BYTES = 2_000_000
OURS = ("header", "setup", "navigation")  # tags of the cells that `inject` writes
FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}  # in JupyterLab, and in Colab
WIDGET = "application/vnd.jupyter.widget-view+json"  # holds a random id: neither stored nor compared
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}
EXERCISE = re.compile(r"^### Exercise (\d): (.+) \((easy|medium|hard), (\d+) minutes\)$", re.M)
YOUR_CODE = "# your code here"
SOLUTION = re.compile(  # its code, and why it works
    r"<details><summary>A solution</summary>\n\n```python\n(.+?)\n```\n\n(?:(.+)\n\n)?</details>", re.S
)


def read(path: Path) -> NotebookNode:
    """Return a notebook from its file, in version 4 of the format."""
    return nbformat.read(path, as_version=4)


def write(path: Path, notebook: NotebookNode) -> None:
    """Store a notebook, the same bytes for the same content; SystemExit where it is over 2 MB."""
    text = nbformat.writes(_normalised(notebook), indent=1, ensure_ascii=False) + "\n"
    if len(text.encode()) > LESSON_BYTES:
        raise SystemExit(f"{path.name} would take {len(text.encode()) / 1e6:.1f} MB; a lesson may take 2 MB.")
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells that have code in them."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _normalised(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook without random ids and other facts of one run or one machine."""
    notebook.metadata = NotebookNode({**notebook.metadata, **KERNEL})
    for name in ("widgets", "jupytext"):
        notebook.metadata.pop(name, None)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.source = cell.source.rstrip("\n")
        kept = ("tags", "nbgrader", *FOLDED)
        cell.metadata = {key: cell.metadata[key] for key in kept if key in cell.metadata}
        name = next((tag for tag in tags(cell) if tag in OURS), None)
        name = name or hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    return notebook


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell, [] where it has none."""
    return cell.metadata.get("tags", [])


def output_text(output: NotebookNode) -> str:
    """Return the readable text of an output, without pictures and sounds."""
    parts = [output.get("text", ""), output.get("evalue", "")]
    parts += [str(value) for kind, value in sorted(output.get("data", {}).items()) if not kind.startswith("image/")]
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", "\n".join(parts))


def exercises(notebook: NotebookNode) -> list[dict[str, NotebookNode]]:
    """Return the cells of each exercise: "task", "exercise" (the stub), "check" and "solution"."""
    found: list[dict[str, NotebookNode]] = []
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if "exercise" in tags(cell):
            found.append({"task": before})
        for tag in {"exercise", "check", "solution"} & set(tags(cell)):
            (found or [{}])[-1][tag] = cell
    return found


def solution(cell: NotebookNode) -> str:
    """Return the code of a solution's folded text cell; ValueError where there is none."""
    if not (found := SOLUTION.fullmatch(cell.source.strip())):
        raise ValueError(f"This is not the form of a solution:\n{cell.source}")
    return found[1]


def exercise_problems(notebook: NotebookNode) -> list[str]:
    """Return the faults in the form of the exercises, one sentence each."""
    order = [tag for cell in notebook.cells for tag in tags(cell) if tag in ("exercise", "check", "solution")]
    found = exercises(notebook)
    if order != ["exercise", "check", "solution"] * len(found) or not 3 <= len(found) <= 5:
        return [f"it needs 3 to 5 exercises, each with stub, check and solution in this order, and has {order}"]
    problems = []
    for number, cells in enumerate(found, 1):
        task = cells["task"].source
        title, solved = EXERCISE.search(task), SOLUTION.fullmatch(cells["solution"].source.strip())
        said = "".join(output_text(output) for output in cells["check"].outputs)
        sound = {
            "a title such as `### Exercise 1: Count (easy, 3 minutes)`": title and title[1] == str(number),
            "a folded hint": "<details><summary>Hint" in task,
            f"`{YOUR_CODE}` in its stub": YOUR_CODE in cells["exercise"].source,
            "a stored feedback to the stub that begins with `Not yet`": said.startswith("Not yet: "),
            "a solution in a folded text cell": solved and cells["solution"].cell_type == "markdown",
            "a sentence below its solution on why it works": solved and solved[2],
        }
        problems += [f"exercise {number} lacks {part}" for part, there in sound.items() if not there]
    return problems

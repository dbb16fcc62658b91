"""A notebook as it was handed in, whatever saved it, made whole: what nbgrader needs to grade it.

By Colab, the classic interface, old Jupyters, a text editor; with answers pasted twice, and without any metadata.
"""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher

import nbformat
from nbformat import NotebookNode

from playground.collected import as_text

from . import lessons

HEADING = re.compile(r"^#+ *Exercise (\d+)\b", re.M)
LONG = 10_000  # characters, more than any check has
ALIKE = 0.8  # from which share of equal text on a cell is taken for a check that was edited


def opened(data: bytes) -> tuple[NotebookNode | None, str]:
    """The notebook in a file, in today's format; or None, and why there is none, in words."""
    text = as_text(data).strip()
    if not text:
        return None, "the file is empty"
    if text.startswith("<"):
        return None, "this is a web page, not the notebook itself"
    try:
        content = json.loads(text)
    except RecursionError:
        return None, "this is no notebook"
    except ValueError as error:
        line = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        return None, f"the file is damaged, or no notebook{line}"
    try:
        if isinstance(content, dict) and "worksheets" in content:  # as notebooks were saved until 2015
            content = nbformat.convert(nbformat.reader.reads(text), 4)
        cells = [_cell(cell) for cell in content["cells"]]
    except Exception:  # whatever it is, it is no notebook
        return None, "this is no notebook"
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=json.loads(json.dumps(lessons.KERNEL)))
    return notebook, ""


def _cell(cell: dict) -> NotebookNode:
    """A cell without outputs, with a new id, and of its metadata only what marks it."""
    source = cell.get("source", cell.get("input", ""))
    source = "".join(map(str, source)) if isinstance(source, list) else str(source or "")
    source = source.encode("utf-8", errors="replace").decode().replace("\0", "")
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    new = make.get(cell.get("cell_type"), nbformat.v4.new_raw_cell)(source)
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if isinstance(mark, dict) and isinstance(mark.get("grade_id"), str):
        new.metadata["nbgrader"] = {"grade_id": mark["grade_id"]}
    return new


def lesson_of(notebook: NotebookNode, released: dict[str, NotebookNode], named: str = "") -> str:
    """Which lesson it is: what its name says, unless it has nothing of that, and much of another; "" for none."""
    own = {cell.source.strip() for cell in notebook.cells}
    texts = {lesson: {cell.source.strip() for cell in given.cells} for lesson, given in released.items()}
    shared = {}
    for lesson, text in texts.items():
        others = set().union(*(other for name, other in texts.items() if name != lesson))
        shared[lesson] = sum(len(source) > 15 for source in own & text - others)
    best = max(shared, key=shared.get, default="")
    if named and (shared[named] or not best or shared[best] < 3):
        return named
    return best if best and shared[best] >= 2 else ""


def mark(cell: NotebookNode) -> str:
    """nbgrader's name of a cell, such as "check-1"; "" where it has none."""
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def is_untouched(notebook: NotebookNode, released: NotebookNode) -> bool:
    """Whether a repaired notebook has no code that the released one has not."""
    given = {cell.source.strip() for cell in released.cells}
    return all(cell.source.strip() in {*given, ""} for cell in notebook.cells if cell.cell_type == "code")


def repaired(notebook: NotebookNode, released: NotebookNode) -> NotebookNode:
    """The notebook, in which every exercise has one answer's cell that nbgrader knows, and behind it its check.

    An answer that lost its mark is found below the heading of its exercise. Of one that was pasted twice all run, in
    their order, and those that nobody has filled in are left out.
    """
    cells, marks = notebook.cells, [mark(cell) for cell in notebook.cells]
    given = {mark(cell): cell for cell in released.cells if mark(cell)}
    known = {cell.source.strip() for cell in released.cells}
    regions = _regions(cells)
    checks = {name: cell for name, cell in given.items() if name.startswith("check-")}
    marks = [name or _check_like(cell, checks) for name, cell in zip(marks, cells, strict=True)]
    dropped, blocks = {i for i, name in enumerate(marks) if name in checks}, {}
    for name, stub in given.items():
        if name in checks:
            continue
        number = name.removeprefix("exercise-")
        answers = [i for i, found in enumerate(marks) if found == name]
        if len(answers) > 1:  # a copy in another exercise is the beginning of that one's answer
            answers = [i for i in answers if regions[i] in (number, "")] or answers
        if not answers:
            free = [i for i, cell in enumerate(cells) if regions[i] == number and cell.cell_type == "code"]
            answers = [
                i for i in free if i not in dropped and cells[i].source.strip() not in known - {stub.source.strip()}
            ]
        if not answers and number not in regions:  # the heading is gone, too: the last new code before the check
            ends = {found: i for i, found in enumerate(marks) if found in checks}
            before = range(ends.get(f"check-{int(number) - 1}", -1) + 1, ends.get(f"check-{number}", 0))
            new = [i for i in before if cells[i].cell_type == "code" and cells[i].source.strip() not in known]
            answers = new[-1:]
        filled = [i for i in answers if cells[i].source.strip() not in (stub.source.strip(), "")]
        kept = filled or answers[:1]
        places = kept[-1:] or [i for i, found in enumerate(marks) if found == f"check-{number}"][:1] or [len(cells)]
        dropped |= {*answers} - {*kept} | {*places}
        source = cells[kept[-1]].source if kept else stub.source
        answer = nbformat.v4.new_code_cell(source, metadata=stub.metadata)
        blocks.setdefault(places[0], []).extend([answer, nbformat.from_dict(checks[f"check-{number}"])])
    for cell in cells:
        cell.metadata.pop("nbgrader", None)
    rows = [([] if i in dropped else [cell]) + blocks.get(i, []) for i, cell in enumerate(cells)]
    notebook.cells = [cell for row in [*rows, blocks.get(len(cells), [])] for cell in row]
    return notebook


def _regions(cells: list[NotebookNode]) -> list[str]:
    """For each cell the number of the exercise under whose heading it stands, or ""."""
    number, regions = "", []
    for cell in cells:
        if cell.cell_type == "markdown" and (headings := HEADING.findall(cell.source)):
            number = headings[-1]
        regions.append(number)
    return regions


def _check_like(cell: NotebookNode, checks: dict[str, NotebookNode]) -> str:
    """The check that a cell without a mark was, before it was edited; "" where it was none."""
    if cell.cell_type != "code" or "check()" not in cell.source or len(cell.source) > LONG:
        return ""
    alike = {name: SequenceMatcher(None, cell.source, check.source).ratio() for name, check in checks.items()}
    best = max(alike, key=alike.get)
    return best if alike[best] > ALIKE else ""

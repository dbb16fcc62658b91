"""The lessons with answers to their exercises in them, so that one run of strict nbval judges both: `make nbval`.

`python -m tests.tries` writes them to outputs/tried: after each check follows one cell for every answer to the
exercise. It runs the answer in place of the stub, then the check, asserts its verdict, and prints nothing. The
solution is in the lesson; tests/answers holds the others, as code that replaces the whole stub:

    WRONG       {(exercise, answer): a word that the feedback must have}: refused with a reason
    SNEAKY      [(exercise, answer)] that do nothing of the task: never "Right"
    ALSO_RIGHT  [(exercise, answer)] in an unusual form

An answer that differs from the solution in a line begins with it: `solution("01", 4) + "change = 0"`.

An answer finds the names of the lesson as they are after the stub. Names that it binds are put back afterwards; an
object of the lesson that it changes in place is not.
"""

from __future__ import annotations

import linecache
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

import nbformat
from nbformat import NotebookNode

from tools import lessons
from tools import notebook as form

TRIED = lessons.ROOT / "outputs" / "tried"
BEGINS = {"solution": "Right", "ALSO_RIGHT": "Right", "WRONG": "Wrong"}  # kind of answer -> the feedback to it


def module(lesson: str) -> ModuleType:
    """Return tests/answers/lesson_NN.py of a lesson, such as "01"."""
    return import_module(f"tests.answers.lesson_{lesson}")


def exercise(lesson: str, number: int) -> dict[str, NotebookNode]:
    """Return the cells of an exercise of a lesson."""
    (path,) = lessons.lessons([lesson])
    return form.exercises(lessons.read(path))[number - 1]


def solution(lesson: str, number: int) -> str:
    """Return the solution's code, which ends with a new line, as the beginning of an answer."""
    return form.solution(exercise(lesson, number)["solution"]) + "\n"


def answers(lesson: str, number: int) -> dict[str, list[str]]:
    """Return the answers to one exercise, by kind."""
    kinds = {kind: getattr(module(lesson), kind) for kind in ("ALSO_RIGHT", "WRONG", "SNEAKY")}
    given = {kind: [answer for exercise, answer in rows if exercise == number] for kind, rows in kinds.items()}
    return {"solution": [solution(lesson, number)], **given}


def attempt(lesson: str, number: int, kind: str, index: int) -> None:
    """Try one answer in the running kernel; AssertionError where the check gives another verdict than it should."""
    import torch
    from IPython import get_ipython
    from IPython.utils.capture import capture_output

    check = exercise(lesson, number)["check"].source
    answer = answers(lesson, number)[kind][index]
    names, said, error = get_ipython().user_ns, "", None
    before = dict(names)
    with torch.random.fork_rng(devices=[]), capture_output() as shown:
        try:
            for name, source in (("answer", answer), ("check", check)):
                file = f"<{name} {lesson} {number} {kind} {index}>"
                linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file  # for `inspect`
                shown._stdout.truncate(0), shown._stdout.seek(0)
                exec(compile(source, file, "exec"), names)
            said = shown.stdout.strip()
        except Exception as raised:
            error = raised
        finally:
            for name in set(names) - set(before):
                del names[name]
            names.update(before)
    told = f"{kind} answer {index} to exercise {number} of lesson {lesson}:\n{answer}\nwas told: {said or error!r}"
    if kind == "SNEAKY":
        assert not said.startswith("Right"), told
    else:
        assert said.startswith(BEGINS[kind]), told
    if kind == "WRONG":
        word = module(lesson).WRONG[number, answer]
        assert word in said, f"{told}\nwhich lacks {word!r}"


def with_answers(path: Path) -> NotebookNode:
    """Return the lesson with a cell for every answer after each check; without a count nbval compares no output."""
    notebook, cells, number, lesson = lessons.read(path), [], 0, path.stem[:2]
    for cell in notebook.cells:
        cells.append(cell)
        if "check" not in lessons.tags(cell):
            continue
        number += 1
        for kind, given in answers(lesson, number).items():
            for index in range(len(given)):
                call = f"attempt({lesson!r}, {number}, {kind!r}, {index})"
                cells.append(nbformat.v4.new_code_cell(f"from tests.tries import attempt\n\n{call}"))
    notebook.cells = cells
    return notebook


def main() -> None:
    """Write the lessons as nbval is to run them."""
    shutil.rmtree(TRIED, ignore_errors=True)
    TRIED.mkdir(parents=True)
    for path in lessons.lessons():
        nbformat.write(with_answers(path), TRIED / path.name)


if __name__ == "__main__":
    main()

"""The lessons' files and the tool that writes them; `make nbval` runs them. That it turns red is proven here."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat import NotebookNode

from tests import tries
from tools import lessons, printed
from tools.notebook import LESSON_BYTES, exercises, solution
from utils import by_letter, check

LESSONS = lessons.lessons()
CODE = nbformat.v4.new_code_cell
TEXT = nbformat.v4.new_markdown_cell


def printing(text: str, source: str = "1", count: int = 1, **metadata) -> NotebookNode:
    output = nbformat.v4.new_output("stream", name="stdout", text=text)
    return CODE(source, outputs=[output], execution_count=count, metadata=metadata)


def test_the_lessons_are_as_they_should_be():
    assert lessons.check() == []


@pytest.mark.slow
def test_demo_leaves_five_seconds_of_sound_and_the_lesson_as_a_page():
    import soundfile

    command = [sys.executable, "-m", "tools.lessons", "demo"]
    done = subprocess.run(command, cwd=lessons.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sound, page = (lessons.ROOT / "outputs" / name for name in ("techno.wav", "01_first_sound.html"))
    assert str(sound) in done.stdout and str(page) in done.stdout
    info = soundfile.info(sound)
    assert (info.samplerate, info.frames, info.subtype) == (16_000, 80_000, "PCM_16")
    assert "<audio" in page.read_text(encoding="utf-8")


# ---- strict nbval --------------------------------------------------------------------------------------------------


def test_one_corrupted_output_turns_nbval_red(tmp_path):
    cells = ["print('15 of 20, at 9.99 dB')", "print('15 of 20')", "print('likeness 0.81, an effect')", "1 / 0"]
    stored = ["15 of 20, at 10.00 dB\n", "16 of 20\n", "likeness 0.5, an effect\n", ""]
    tags = [[], [], ["trained"], []]
    notebook = nbformat.v4.new_notebook()
    for source, text, tag in zip(cells, stored, tags, strict=True):
        notebook.cells.append(printing(text, source, tags=tag) if text else CODE(source))
    nbformat.write(notebook, tmp_path / "lesson.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-rA", "--color=no", tmp_path / "lesson.ipynb"]
    command += ["-p", "tools.printed", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    environment = {**os.environ, "PYTHONPATH": str(lessons.ROOT)}
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment).stdout
    assert re.findall(r"^(PASSED|FAILED) \S*::Cell (\d)", said, re.M) == [
        ("PASSED", "0"), ("PASSED", "2"), ("FAILED", "1"), ("FAILED", "3"),
    ], said  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("at   9.9 dB, 0.0", "at  10.0 dB, -0.1"),
        ("<td>1234</td>", "<td>1235</td>"),
        ("-1 dB (95% interval -10 to 3, n = 8)", "0 dB (95% interval -9 to 4, n = 8)"),
    ],
)
def test_a_number_at_the_edge_of_rounding_is_the_same(stored, fresh):
    assert printed.same(stored, stored) and printed.same(stored, fresh) and printed.same(fresh, stored)


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        *(("0.21", other) for other in ("0.23", "0.210001", "0.21 0.21", "0.21 dB")),
        *(("16 of 20", "15 of 20"), ("1234 Hz", "1236 Hz"), ("diffusers 0.42.1", "diffusers 0.42.2")),
        ("-1 dB (95% interval -10 to 3, n = 8)", "-1 dB (95% interval -8 to 3, n = 8)"),
        ("-1 dB (95% interval -10 to 3, n = 8)", "-1 dB (95% interval -10 to 3, n = 9)"),
    ],
)
def test_everything_else_is_not(stored, fresh):
    assert not printed.same(stored, fresh) and not printed.same(fresh, stored)


def test_the_output_of_a_training_is_compared_but_for_its_numbers_and_their_verdicts():
    stored, fresh = "likeness 0.81 (95% interval 0.74 to 0.88), an effect", "likeness 0.9 (95% interval -1 to 2), maybe"
    assert printed.same(stored, fresh, trained=True) and not printed.same(stored, fresh)
    assert not printed.same(stored, fresh.replace("likeness", "distance"), trained=True)


# ---- the form of a lesson ------------------------------------------------------------------------------------------


STUB, FEEDBACK = "n = None\n# your code here", "Not yet: count.\n"


def exercise(number, stub=STUB, check="check", code="n = 4", level="easy", feedback=FEEDBACK, why="Two and two.\n\n"):
    """Return the four cells of an exercise."""
    task = f"### Exercise {number}: Count ({level}, 3 minutes)"
    solved = f"<details><summary>A solution</summary>\n\n```python\n{code}\n```\n\n{why}</details>"
    return [
        TEXT(f"{task}\n\n<details><summary>Hint</summary>\n\n2 + 2\n</details>"),
        CODE(stub, metadata={"tags": ["exercise"]}),
        printing(feedback, check, tags=["check"]),
        TEXT(solved, metadata={"tags": ["solution"]}),
    ]


def faults(cells: list[NotebookNode]) -> str:
    return "; ".join(lessons.exercise_problems(nbformat.v4.new_notebook(cells=cells)))


def test_exercises_of_another_form_are_found():
    good = exercise(1) + exercise(2) + exercise(3)
    assert faults(good) == "" and solution(good[3]) == "n = 4"
    assert "3 to 5" in faults(exercise(1)) and "3 to 5" in faults([good[0], good[2], good[1], *good[3:]])
    assert "exercise 2 lacks a title" in faults(exercise(1) + exercise(3) + exercise(3))
    assert "exercise 3 lacks a stored feedback" in faults(good[:8] + exercise(3, feedback="Right: 4.\n"))
    assert "exercise 3 lacks a sentence" in faults(good[:8] + exercise(3, why=""))
    good[1].source = "n = None"
    assert "exercise 1 lacks `# your code here`" in faults(good)


def test_an_output_or_a_command_that_a_lesson_must_not_have_is_found():
    def found(source: str = "1", text: str = "1", count: int = 1) -> str:
        return "; ".join(lessons.problems(nbformat.v4.new_notebook(cells=[printing(text, source, count)])))

    assert found() == ""
    assert "not run in order" in found(count=2)
    assert "shell command" in found(source="!ls") and "shell command" in found(source="%pip install x")
    assert "of one machine" in found(text=str(lessons.ROOT / "outputs"))
    assert "magic that does not exist" in found(text="UsageError: Line magic function `%x` not found.\n")


def test_a_lesson_over_two_megabytes_is_refused(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[TEXT("a" * LESSON_BYTES)])
    with pytest.raises(SystemExit, match="2.0 MB"):
        lessons.write(tmp_path / "big.ipynb", notebook)
    assert list(tmp_path.iterdir()) == []


def test_storing_twice_gives_the_same_bytes_and_injecting_twice_too(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[TEXT("# Hear it"), printing("1\n", "print(1)")])
    path = tmp_path / "01_a.ipynb"
    titles = {path: "Hear it", tmp_path / "02_b.ipynb": "See it"}
    once = lessons._injected(path, notebook, titles)
    assert lessons._injected(path, once, titles) == once
    assert [tag for cell in once.cells for tag in lessons.tags(cell)] == ["header", "setup", "navigation"]
    assert "[See it →](02_b.ipynb)" in once.cells[-1].source
    lessons.write(path, once)
    stored = path.read_bytes()
    lessons.write(path, lessons.read(path))
    assert path.read_bytes() == stored


# ---- lessons as text -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of lessons, whose README is not written."""
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(lessons, "inject", lambda: None)
    return tmp_path


def test_a_lesson_survives_the_way_to_text_and_back(folder):
    cells = [TEXT("# Hear it: ä\n\nNow."), CODE("a = 1\n\na", metadata={"tags": ["trained"]}), *exercise(1)]
    lessons.write(folder / "01_a.ipynb", nbformat.v4.new_notebook(cells=cells))
    lessons.to_py("01", folder / "a.py")
    (folder / "a.py").write_text((folder / "a.py").read_text(encoding="utf-8"), encoding="utf-8-sig")
    lessons.from_py(folder / "a.py", "01_a")
    back = lessons.read(folder / "01_a.ipynb").cells
    was, now = ([(c.cell_type, c.source, lessons.tags(c)) for c in some] for some in (cells, back))
    assert now == was


@pytest.mark.parametrize(
    "text",
    [b"", b"import os\n", b"# %% [markdown]\n# # Hear it\n", b"# %% [markdown]\n# A\n\n# %%\n1\n", b"\xff\xfe1\0"],
)
def test_a_file_that_is_no_lesson_leaves_the_lesson_as_it_is(folder, text):
    (folder / "01_a.ipynb").write_text("as it was")
    (folder / "a.py").write_bytes(text)
    for name in ("01_a", "1a"):
        with pytest.raises(SystemExit):
            lessons.from_py(folder / "a.py", name)
    assert (folder / "01_a.ipynb").read_text() == "as it was"


# ---- exercises: answers to be tried by `make nbval`, and `utils.check` itself


EVERY = [
    (path.stem[:2], number, cells)
    for path in lessons.lessons()
    for number, cells in enumerate(exercises(lessons.read(path)), 1)
]
AT_LEAST = {"solution": 1, "ALSO_RIGHT": 1, "WRONG": 3, "SNEAKY": 3}


@pytest.mark.parametrize(
    ("lesson", "number", "cells"), EVERY, ids=lambda value: "" if isinstance(value, dict) else value
)
def test_an_exercise_has_answers_of_every_kind(lesson, number, cells):
    given = tries.answers(lesson, number)
    assert {kind: n for kind, n in AT_LEAST.items() if len(given[kind]) < n} == {}
    for answer in [cells["exercise"].source, *sum(given.values(), [])]:
        ast.parse(answer)
    assert {n for n, _ in tries.module(lesson).WRONG} <= {n for name, n, _ in EVERY if name == lesson}


def test_the_first_assert_that_fails_is_the_feedback_and_right_what_the_block_says_at_its_end(capsys):
    for answer, said in ((2, "Wrong: 2 is not it."), (3, "Right: 3.")):
        with check():
            assert True, "Wrong: no."
            assert answer == 3, f"Wrong: {answer} is not it."
            print("Right: 3.")
        assert capsys.readouterr().out.splitlines()[0] == said  # pytest adds more lines


def test_a_name_that_is_not_there_and_an_answer_of_the_wrong_kind_are_feedback(capsys):
    with check():
        assert nowhere  # noqa: F821
    assert capsys.readouterr().out.startswith("Not yet: name 'nowhere' is not defined. Run the cell with your answer")
    with check("`n` should be a number"):
        assert None < 3
    assert re.fullmatch(r"Wrong: `n` should be a number \(TypeError: .+\n", capsys.readouterr().out)


def test_answers_by_letter_come_in_every_usual_form_and_with_every_letter():
    names = {"A": "an organ", "B": "0.3", "C": "wind"}
    pairs = [("a)", "an Organ."), ("B", 0.3), (" c", "wind ")]
    for form in (names, dict(pairs), pairs, ["an organ", 0.3, "Wind"], tuple(names.values()), pd.Series(names)):
        assert by_letter("ABC", form) == names
    for other in ({}, {"A": "wind"}, {**names, "D": 1}, dict(map(reversed, names.items()))):
        with pytest.raises(AssertionError, match="letters A, B and C"):
            by_letter("ABC", other)
    for other in (["wind"], 3, None, "wind"):
        with pytest.raises((TypeError, ValueError)):
            by_letter("ABC", other)


def test_interrupting_a_check_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt), check():
        raise KeyboardInterrupt

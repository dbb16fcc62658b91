"""The lessons through nbclient, which sees what strict nbval cannot; and the proof that both turn red.

`make nbval` runs the lessons under nbval; it compares no picture, and lets a mistyped magic pass.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests import forked, trials
from tools import lessons, printed

LESSONS = lessons.lessons()
NBVAL = [
    *("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120", "-p", "no:cacheprovider", "-p", "tools.printed"),
    *(f"--nbval-sanitize-with={lessons.ROOT / 'tests' / 'sanitize.cfg'}", "-rA", "--color=no"),
]


@pytest.fixture(scope="module", autouse=True)
def quick_kernels() -> Iterator[None]:
    with forked.jupyter():
        yield


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_runs_and_shows_everything_that_is_stored(path):
    fresh, _ = trials.run(path)
    assert lessons.verify(path, fresh) == []


@pytest.mark.skipif(not lessons.NOTEBOOKS.joinpath("01_first_sound.ipynb").exists(), reason="lesson 01 is not written")
def test_demo_leaves_five_seconds_of_sound_and_the_lesson_as_a_page():
    import soundfile

    command = [sys.executable, "-m", "tools.lessons", "demo"]
    done = subprocess.run(command, cwd=lessons.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sound, page = (lessons.ROOT / "outputs" / name for name in ("techno.wav", "01_first_sound.html"))
    assert str(sound) in done.stdout and str(page) in done.stdout
    assert re.search(r"5 s of sound took [\d.]+ s", done.stdout)
    info = soundfile.info(sound)
    assert (info.samplerate, info.frames, info.subtype) == (16_000, 80_000, "PCM_16")
    assert "<audio" in page.read_text(encoding="utf-8")


def test_generated_cells_and_tables_are_up_to_date():
    assert lessons.check() == []


def test_at_least_two_thirds_of_the_code_cells_are_really_compared(capsys):
    with capsys.disabled():
        print("\n" + lessons.report())
    counts = [lessons.compared(lessons.read(path)) for path in LESSONS]
    assert sum(some for some, _ in counts) >= 2 / 3 * sum(every for _, every in counts)


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("-0.21 to 0.23, n = 6", "-0.20 to 0.23, n = 6"),
        ("[10.1 | 0.4]", "[10.0 | 0.5]"),
        ("at   9.9 dB", "at  10.0 dB"),
        ("0.0", "-0.1"),
        ("1234 Hz", "1235 Hz"),
        ("-1 dB (95% interval -10 to 3, n = 8)", "0 dB (95% interval -9 to 4, n = 8)"),
        ("804 Hz (95% interval 663 to 1010, n = 6)", "804 Hz (95% interval 664 to 1011, n = 6)"),
        ("<td>0.971</td>", "<td>0.970</td>"),
    ],
)
def test_a_number_at_the_edge_of_rounding_is_the_same(stored, fresh):
    assert printed.same(stored, stored) and printed.same(stored, fresh) and printed.same(fresh, stored)


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("0.21", "0.23"),
        ("0.21", "0.210001"),
        ("0.21 dB", "0.21 Hz"),
        ("seed 3", "seed 4"),
        ("16 of 20", "15 of 20"),
        ("n = 8", "n =  8"),
        ("1234 Hz", "1236 Hz"),
        ("-1 dB (95% interval -10 to 3, n = 8)", "-1 dB (95% interval -8 to 3, n = 8)"),
        ("-1 dB (95% interval -10 to 3, n = 8)", "-1 dB (95% interval -10 to 3, n = 9)"),
        ("0.5 0.5", "0.5"),
        ("diffusers 0.42.1", "diffusers 0.42.2"),
        ("more than luck: yes", "more than luck: no"),
    ],
)
def test_everything_else_is_not(stored, fresh):
    assert not printed.same(stored, fresh) and not printed.same(fresh, stored)


def test_what_comes_out_of_a_training_is_compared_but_for_its_numbers():
    stored, fresh = (
        "likeness 0.81 (95% interval 0.74 to 0.88, n = 8), an effect",
        "likeness 0.9 (95% interval -1 to 2, n = 8), an effect",
    )
    assert printed.same(stored, fresh, trained=True) and not printed.same(stored, fresh)
    assert not printed.same(stored, fresh.replace("an effect", "none shown"), trained=True)


# ---- mutations: a small lesson in a small project, and what must turn red -----------------------------------------

CELLS = {
    "helper": "from utils.features import N_MELS, mel_filterbank\n\nmel_filterbank().shape",
    "number": "print(f'{mel_filterbank().sum():.3f} in {N_MELS} bands')",
    "trained": "print(f'{mel_filterbank().max():.3f} in {N_MELS} bands')",
    "magic": "%matplotlib inline",
    "figure": "import matplotlib.pyplot as plt\n\nfigure, axes = plt.subplots(figsize=(2, 1))\nfigure",
    "html": "from IPython.display import HTML\n\nHTML('<b>64 bands</b><img src=\"data:image/png;base64,AAAA\">')",
}


def edit(path: Path, change) -> None:
    notebook = lessons.read(path)
    change({cell.metadata.get("name"): cell for cell in notebook.cells})
    nbformat.write(notebook, path)


def project(folder: Path) -> Path:
    """A project with nothing but what the small lesson needs; its folder for notebooks."""
    (folder / "mini").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    shutil.copytree(lessons.ROOT / "utils", folder / "utils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(lessons.ROOT / "requirements.txt", folder)
    return folder / "notebooks"


@pytest.fixture(scope="module")
def mutants(tmp_path_factory) -> dict[str, Path]:
    """The small lesson, executed, and its mutants, each in a place of its own; what may stand in one does."""
    folder = tmp_path_factory.mktemp("mutants")
    notebook = nbformat.v4.new_notebook()
    for name, source in {"setup": lessons.SETUP_CELL.read_text(encoding="utf-8"), **CELLS}.items():
        notebook.cells.append(nbformat.v4.new_code_cell(source, metadata={"name": name}))
    good = project(folder / "sound") / "good.ipynb"
    nbformat.write(lessons.run(notebook, good.parent), good)
    paths = {"good": good}
    for name in ("stored", "magic"):
        paths[name] = Path(shutil.copy(good, good.with_name(f"{name}.ipynb")))
    paths["helper"] = Path(shutil.copy(good, project(folder / "sabotaged") / "helper.ipynb"))

    edit(paths["stored"], lambda cells: cells["number"].outputs[0].update(text="3.141 in 64 bands\n"))
    edit(paths["stored"], lambda cells: cells["trained"].outputs[0].update(text="3.141 in 63 bands\n"))
    edit(paths["stored"], lambda cells: cells["trained"].metadata.update(tags=["trained"]))
    edit(paths["stored"], lambda cells: cells["html"].outputs[0].data.update({"text/html": "<b>65 bands</b>"}))
    edit(paths["stored"], lambda cells: [output.data.pop("image/png", 0) for output in cells["figure"].outputs])
    edit(paths["magic"], lambda cells: cells["magic"].update(source="%matplotlb inline"))
    helper = paths["helper"].parents[1] / "utils" / "features.py"
    helper.write_text(helper.read_text().replace("N_MELS = 64", "N_MELS = 63"))
    return paths


@pytest.fixture(scope="module")
def nbval(mutants) -> dict[str, set[str]]:
    """What strict nbval says of each: the names of the cells that failed; and of the sound lesson, that passed."""
    ran = [mutants[name] for name in ("good", "stored", "helper")]
    command = [sys.executable, "-m", "pytest", *NBVAL, *map(str, ran)]
    environment = {**os.environ, **lessons.ENVIRONMENT}
    text = subprocess.run(command, capture_output=True, text=True, cwd=lessons.ROOT, env=environment).stdout
    cells = ["setup", *CELLS]

    def found(verdict: str, name: str) -> set[str]:
        return {cells[int(cell)] for cell in re.findall(rf"{verdict} \S*/{name}\.ipynb::Cell (\d+)", text)}

    return {**{path.stem: found("FAILED", path.stem) for path in ran}, "passed": found("PASSED", "good")}


def test_sound_lesson_passes_both(mutants, nbval):
    assert nbval["good"] == set() and nbval["passed"] == {"setup", *CELLS}
    assert lessons.verify(mutants["good"]) == []


def test_corrupted_number_turns_nbval_red(nbval):
    assert nbval["stored"] - {"html"} == {"number"}


def test_numbers_out_of_a_training_do_not_turn_nbval_red(nbval):
    assert "trained" not in nbval["stored"]


def test_corrupted_html_turns_nbval_red_although_its_payload_is_sanitized(nbval):
    assert nbval["stored"] - {"number"} == {"html"}


def test_nbval_lets_the_deleted_picture_pass(nbval):
    assert "figure" not in nbval["stored"]  # so that the test below is needed; when this fails, nbval has learned it


def test_broken_helper_turns_nbval_red(nbval):
    assert {"helper", "number"} <= nbval["helper"]


def test_deleted_figure_turns_nbclient_red(mutants):
    assert any("image/png" in problem for problem in lessons.verify(mutants["stored"]))


def test_mistyped_magic_turns_nbclient_red(mutants):
    assert "`%matplotlb` not found" in lessons.verify(mutants["magic"])[0]


def test_what_a_lesson_must_not_have_is_found():
    def output(text: str) -> list:
        return [nbformat.v4.new_output("stream", name="stdout", text=text)]

    def found(source: str = "1", text: str = "1", count: int = 1) -> list[str]:
        cell = nbformat.v4.new_code_cell(source, outputs=output(text), execution_count=count)
        return lessons.problems(nbformat.v4.new_notebook(cells=[cell]))

    assert found() == []
    assert "not run in order" in found(count=2)[0]
    assert "shell command" in found(source="!ls")[0]
    assert "shell command" in found(source="%pip install x")[0]
    assert "of one machine" in found(text=str(lessons.ROOT / "outputs"))[0]


def test_a_mistyped_magic_among_the_stored_outputs_is_found_too():
    stderr = nbformat.v4.new_output("stream", name="stderr", text="UsageError: Line magic function `%x` not found.\n")
    cell = nbformat.v4.new_code_cell("%x", outputs=[stderr], execution_count=1)
    assert "magic that does not exist" in lessons.problems(nbformat.v4.new_notebook(cells=[cell]))[0]


def test_a_lesson_over_two_megabytes_is_refused(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("a" * lessons.LESSON_BYTES)])
    with pytest.raises(SystemExit, match="2.0 MB"):
        lessons.write(tmp_path / "big.ipynb", notebook)
    assert list(tmp_path.iterdir()) == []


def test_storing_twice_gives_the_same_bytes_and_injecting_twice_too(mutants, tmp_path):
    notebook = lessons.read(mutants["good"])
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# Hear it"))
    titles = {tmp_path / "01_a.ipynb": "Hear it", tmp_path / "02_b.ipynb": "See it"}
    path = next(iter(titles))
    once = lessons._injected(path, notebook, titles)
    assert lessons._injected(path, once, titles) == once
    tagged = [tag for cell in once.cells for tag in lessons.tags(cell)]
    assert tagged == ["header", "setup", "navigation"]
    assert "[See it →](02_b.ipynb)" in once.cells[-1].source
    lessons.write(path, once)
    stored = path.read_bytes()
    lessons.write(path, lessons.read(path))
    assert path.read_bytes() == stored


def test_a_lesson_survives_the_way_to_text_and_back(mutants, tmp_path, monkeypatch):
    jupytext = pytest.importorskip("jupytext")
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path)
    cells = [nbformat.v4.new_markdown_cell("# Hear it\n\nNow."), nbformat.v4.new_code_cell("a = 1\n\na")]
    lessons.write(tmp_path / "01_a.ipynb", nbformat.v4.new_notebook(cells=cells))
    lessons.to_py("01", tmp_path / "a.py")
    back = jupytext.read(tmp_path / "a.py", fmt="py:percent")
    assert [cell.source for cell in back.cells] == [cell.source for cell in cells]


def test_other_roundings_in_training_move_every_weight_a_little():
    import torch

    names: dict = {}
    exec(lessons.NUDGE, names)
    weight = torch.nn.Parameter(torch.ones(100))
    weight.grad = torch.ones(100)
    try:
        torch.optim.SGD([weight], lr=0).step()
    finally:
        names["_hook"].remove()
    moved = (weight.detach() - 1).abs()
    assert moved.median() > 0 and moved.max() < 1e-5


def test_what_would_differ_on_another_processor_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    code = "import os\n\nprint('the same')\nprint(os.environ.get('ATEN_CPU_CAPABILITY'))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    lessons.write(tmp_path / "01_a.ipynb", lessons.run(notebook, tmp_path))
    with pytest.raises(SystemExit) as ended:
        lessons.portable([])
    shown = capsys.readouterr().out
    assert ended.value.code == 1 and "1 outputs differ" in shown
    assert "cell 1, AVX2" in shown and "-None" in shown and "+avx2" in shown and "the same" not in shown

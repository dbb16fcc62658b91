"""The first cell of every lesson: in a clone, in an empty folder with a git remote, offline, and where it must refuse.

Nothing here leaves this machine: the remote is a folder, and the package index is a folder of tiny wheels.
"""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests import trials
from tests.trials import git
from tools import lessons
from tools.lessons import ROOT, SETUP_CELL

READY = "Ready: the project is found, and its packages are installed."
CELL = SETUP_CELL.read_text(encoding="utf-8")


def copy_project(folder: Path, extra_requirement: str = "") -> Path:
    for name in ("utils", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
    (folder / "mini").mkdir()
    (folder / "mini" / "__init__.py").touch()
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    (folder / "requirements.txt").write_text(f"{extra_requirement}\n{requirements}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def remote(tmp_path_factory) -> Path:
    """A git remote: the project at the tag v1, and broken on main."""
    folder = copy_project(tmp_path_factory.mktemp("remote") / "project")
    git("init", "--quiet", cwd=folder)
    git("add", ".", cwd=folder)
    git("commit", "--quiet", "-m", "the project", cwd=folder)
    git("tag", "v1", cwd=folder)
    (folder / "utils" / "setup.py").write_text("raise SystemExit('this is not v1')")
    git("commit", "--quiet", "-am", "broken", cwd=folder)
    return folder


def stamped(address: str, ref: str = "v1") -> str:
    return re.sub(r'REPO, REF = ".*?", ".*?"', f"REPO, REF = {address!r}, {ref!r}", CELL)


def run(code: str, folder: Path, python: str = sys.executable, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [python, "-c", code], cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}
    )


def refusal(code: str, folder: Path, **settings: str) -> str:
    """The one sentence that the cell refuses with."""
    done = run(code, folder, **settings)
    assert done.returncode == 1
    name, _, sentence = done.stderr.strip().splitlines()[-1].partition(": ")
    assert name == "RuntimeError"
    return sentence


def test_the_cell_is_short_and_plain():
    assert len(CELL.splitlines()) < 40 and max(map(len, CELL.splitlines())) <= 120


@pytest.mark.parametrize("where", ["", "notebooks", "notebooks/deeper"])
def test_in_a_clone_the_project_is_found_from_any_folder_of_it(tmp_path, where):
    project = copy_project(tmp_path)
    (project / "notebooks" / "deeper").mkdir()
    done = run(CELL + "\nimport utils\nprint(utils.__file__, os.getcwd())", project / where)
    assert done.stdout == f"{READY}\n{project / 'utils' / '__init__.py'} {project}\n", done.stderr
    assert (project / "outputs").is_dir()


def test_running_the_cell_twice_changes_nothing(tmp_path):
    done = run(CELL + CELL, copy_project(tmp_path) / "notebooks")
    assert done.stdout == f"{READY}\n{READY}\n", done.stderr


def test_an_empty_folder_gets_the_project_at_the_pinned_ref_once(tmp_path, remote):
    for address in (f"file://{remote}", "file:///nowhere"):  # the second time nothing is fetched
        done = run(stamped(address) + "\nprint(os.getcwd())", tmp_path)
        assert done.stdout == f"{READY}\n{tmp_path / 'audioldm-notebooks'}\n", done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["audioldm-notebooks"]


@pytest.mark.parametrize("path", lessons.lessons(), ids=lambda path: path.stem)
def test_every_lesson_runs_from_an_empty_folder_and_installs_nothing_that_is_there(path):
    lesson, _ = trials.run(path)
    (said,) = [lessons.compared_text(cell) for cell in lesson.cells if "setup" in lessons.tags(cell)]
    assert said.strip() == READY
    assert lessons.problems(lesson) == []


def test_offline_the_folder_beside_the_lesson_is_used_whatever_its_version(tmp_path):
    copy_project(tmp_path / "audioldm-notebooks-1.0")
    assert run(stamped("file:///nowhere"), tmp_path).stdout == f"{READY}\n"


def test_a_fetch_that_fails_is_told_in_one_sentence_and_mended_by_the_next(tmp_path, remote):
    assert "could not be fetched from file:///nowhere" in refusal(stamped("file:///nowhere"), tmp_path)
    assert not (tmp_path / "audioldm-notebooks").exists()
    assert "could not be fetched" in refusal(stamped(f"file://{remote}", "v9"), tmp_path)
    assert run(stamped(f"file://{remote}"), tmp_path).stdout == f"{READY}\n"


def test_without_an_address_the_reader_is_told_what_to_do(tmp_path):
    assert refusal(stamped(""), tmp_path) == (
        "The project is not here: open the lesson from its clone, or put the clone beside it."
    )


def test_a_foreign_utils_is_refused_when_loaded_and_harmless_when_only_near(tmp_path):
    project = copy_project(tmp_path / "project")
    foreign = tmp_path / "elsewhere"
    foreign.mkdir()
    (foreign / "utils.py").write_text("stranger = True")
    (project / "notebooks" / "utils.py").write_text("stranger = True")
    loaded = f"import sys\nsys.path.insert(0, {str(foreign)!r})\nimport utils\n"
    assert refusal(loaded + CELL, project).startswith("Another module named `utils` is loaded already: restart")
    assert run(CELL, project / "notebooks").stdout == f"{READY}\n"


def test_a_folder_for_outputs_that_cannot_be_made_is_told(tmp_path):
    (copy_project(tmp_path) / "outputs").write_text("a file in its place")
    assert refusal(CELL, tmp_path).startswith("The lessons save to `outputs`, which cannot be made")


# ---- Google Drive: a stand-in for google.colab, here only ---------------------------------------------------------

STAND_IN = """
def mount(place):
    from pathlib import Path
    (Path(place) / "MyDrive").mkdir(parents=True, exist_ok=True)
    print("asked for permission")
"""


@pytest.fixture
def colab(tmp_path) -> str:
    """Code that makes a Colab of this machine: its module, and a place for its Drive."""
    module = tmp_path / "colab" / "google" / "colab"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    (module / "drive.py").write_text(STAND_IN)
    paths = f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(tmp_path / 'colab')!r})\n"
    drive = (
        f"import utils.setup\nutils.setup.DRIVE = Path({str(tmp_path / 'drive')!r})\nfrom utils.setup import prepare"
    )
    asked = CELL.replace("SAVE_TO_DRIVE = False", "SAVE_TO_DRIVE = True")
    return paths + asked.replace("from utils.setup import prepare", drive)


def test_on_colab_too_drive_is_left_alone_unless_asked_for(tmp_path, colab):
    project = copy_project(tmp_path / "project")
    assert run(colab.replace("SAVE_TO_DRIVE = True", "SAVE_TO_DRIVE = False"), project).stdout == f"{READY}\n"
    assert not (project / "outputs").is_symlink() and not (tmp_path / "drive").exists()


def test_what_was_saved_to_drive_is_there_in_the_next_session(tmp_path, colab):
    said = f"asked for permission\nWhat the lessons save goes to your Drive: MyDrive/audioldm-outputs\n{READY}\n"
    first, second = copy_project(tmp_path / "first"), copy_project(tmp_path / "second")
    (first / "outputs" / "steps").mkdir(parents=True)
    (first / "outputs" / "steps" / "before.wav").write_text("made before Drive was asked for")
    done = run(colab + "\nPath('outputs/steps/after.wav').write_text('a sound')", first)
    assert done.stdout == said, done.stderr
    done = run(colab + colab + "\nprint(*sorted(file.name for file in Path('outputs/steps').iterdir()))", second)
    assert done.stdout == f"{said}{said}after.wav before.wav\n", done.stderr


def test_elsewhere_asking_for_drive_is_told_in_one_sentence(tmp_path):
    project = copy_project(tmp_path / "project")
    asked = CELL.replace("SAVE_TO_DRIVE = False", "SAVE_TO_DRIVE = True")
    assert refusal(asked, project) == "Only Google Colab can save to Drive: set SAVE_TO_DRIVE = False."


# ---- installing: a package index of tiny wheels, and an environment that may be changed ---------------------------


def wheel(folder: Path, name: str, number: str, requires: str = "") -> None:
    info = f"{name}-{number}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{number}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"number = {number!r}\n")
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n{needs}")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def machine(tmp_path) -> dict[str, str]:
    """An environment of its own that also sees all that is installed here, and an index with tempting versions."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    paths = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    packages = Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))
    (packages / "all.pth").write_text("\n".join(site.getsitepackages()))
    index = tmp_path / "index"
    index.mkdir()
    for name in ("torch", "numpy", "ipywidgets"):
        wheel(index, name, "99.0", "")
    wheel(index, "probe_easy", "1.0", "torch>=2")
    wheel(index, "probe_greedy", "1.0", "torch>=99")
    python = Path(sysconfig.get_path("scripts", scheme="venv", vars=paths)) / Path(sys.executable).name
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
    return {"python": str(python), **pip}


VERSIONS = """
from importlib.metadata import version
print(*(version(name) for name in ("torch", "numpy", "ipywidgets")))
"""


def test_what_is_missing_is_installed_and_torch_numpy_and_ipywidgets_stay(tmp_path, machine):
    project = copy_project(tmp_path / "project", "probe-easy>=1.0")
    done = run(CELL + "import probe_easy\n" + VERSIONS, project, **machine)
    here = " ".join(version(name) for name in ("torch", "numpy", "ipywidgets"))
    assert done.stdout == f"Installing probe-easy>=1.0\n{READY}\n{here}\n", done.stderr
    assert run(CELL, project, **machine).stdout == f"{READY}\n"


def test_a_package_that_would_replace_torch_is_not_installed(tmp_path, machine):
    project = copy_project(tmp_path / "project", "probe-greedy>=1.0")
    assert refusal(CELL, project, **machine).startswith("probe-greedy>=1.0 could not be installed: ")
    assert run(VERSIONS, project, **machine).stdout.split()[0] == version("torch")


def test_a_torch_that_is_too_old_is_told_and_left_alone(tmp_path, machine):
    project = copy_project(tmp_path / "project", "torch>=99")
    assert refusal(CELL, project, **machine).startswith("The lessons need torch>=99 and never install it")


def test_a_package_replaced_while_in_use_asks_for_a_restart(tmp_path, machine):
    project = copy_project(tmp_path / "project", "probe-easy>=1.0")
    (project / "probe_easy.py").write_text("number = 'old'")
    assert "restart the kernel" in refusal("import probe_easy\n" + CELL, project, **machine)

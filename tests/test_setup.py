"""The first cell of every lesson: in a clone, in an empty folder with a git remote, offline, and where it must refuse.

Nothing here leaves this machine: the remote is a folder, and the package index is a folder of tiny wheels.
"""

from __future__ import annotations

import json
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

from tools.lessons import ROOT, SETUP_CELL
from utils.loading import TESTED_DIFFUSERS

READY = "Ready: the project is found, and its packages are installed."
CELL = SETUP_CELL.read_text(encoding="utf-8")


def git(*arguments: str, cwd: Path) -> str:
    name = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *name, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def copy_project(folder: Path, extra_requirement: str = "") -> Path:
    """Copy the part of the project that the set-up cell asks for, without checkpoints."""
    shutil.copytree(ROOT / "utils", folder / "utils", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mini", "notebooks/deeper"):
        (folder / name).mkdir(parents=True)
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    (folder / "requirements.txt").write_text(f"{extra_requirement}\n{requirements}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def remote(tmp_path_factory) -> Path:
    """A git remote with the whole project, as it is here, at the tag v1 and the branch feature/one; broken on main."""
    folder = tmp_path_factory.mktemp("remote") / "project"
    for path in filter(Path.is_file, map(ROOT.joinpath, git("ls-files", cwd=ROOT).splitlines())):
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    git("init", "--quiet", cwd=folder)
    for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git("config", setting, "true", cwd=folder)
    git("add", ".", cwd=folder)
    git("commit", "--quiet", "-m", "the project", cwd=folder)
    git("tag", "v1", cwd=folder)
    git("branch", "feature/one", cwd=folder)
    (folder / "utils" / "setup.py").write_text("raise SystemExit('this is not v1')")
    git("commit", "--quiet", "-am", "broken", cwd=folder)
    return folder


def stamped(address: str, ref: str = "v1") -> str:
    return re.sub(r'REPO, REF = ".*?", ".*?"', f"REPO, REF = {address!r}, {ref!r}", CELL)


def run(code: str, folder: Path, python: str = sys.executable, **environment: str) -> subprocess.CompletedProcess:
    settings = {**os.environ, **environment}
    return subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True, env=settings)


def refusal(code: str, folder: Path, **settings: str) -> str:
    """Return the one sentence with which the cell refuses."""
    done = run(code, folder, **settings)
    assert done.returncode == 1
    name, _, sentence = done.stderr.strip().splitlines()[-1].partition(": ")
    assert name == "RuntimeError", done.stderr
    return sentence


# ---- finding and fetching the project


@pytest.mark.parametrize("where", ["", "notebooks/deeper"])
def test_in_a_clone_the_project_is_found_from_any_folder_of_it_and_twice(tmp_path, where):
    assert len(CELL.splitlines()) <= 30  # of every lesson
    project = copy_project(tmp_path)
    (project / "notebooks" / "utils.py").write_text("stranger = True")  # harmless when only near
    done = run(CELL + CELL + "\nimport os, utils\nprint(utils.__file__, os.getcwd())", project / where)
    assert done.stdout == f"{READY}\n{READY}\n{project / 'utils' / '__init__.py'} {project}\n", done.stderr
    assert (project / "outputs").is_dir()


def test_a_fetch_that_fails_is_told_in_one_sentence_and_mended_by_the_next_and_then_kept(tmp_path, remote):
    assert "could not be fetched" in refusal(stamped(f"file://{remote}", "v9"), tmp_path)
    assert not (tmp_path / "audioldm-notebooks").exists()
    for address in (f"file://{remote}", "file:///nowhere"):  # the second time nothing is fetched
        done = run(stamped(address, "feature/one") + "\nimport os\nprint(os.getcwd())", tmp_path)
        assert done.stdout == f"{READY}\n{tmp_path / 'audioldm-notebooks'}\n", done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["audioldm-notebooks"]


def test_a_foreign_utils_and_a_folder_for_outputs_that_cannot_be_made_are_refused(tmp_path):
    project, foreign = copy_project(tmp_path / "project"), tmp_path / "elsewhere"
    foreign.mkdir()
    (foreign / "utils.py").write_text("stranger = True")
    loaded = f"import sys\nsys.path.insert(0, {str(foreign)!r})\nimport utils\n"
    assert "`utils`" in refusal(loaded + CELL, project)
    (project / "outputs").write_text("a file in its place")
    assert "`outputs`" in refusal(CELL, project)


def test_from_an_empty_folder_the_first_lesson_sounds_and_another_mini_comes_when_it_is_loaded(tmp_path, remote):
    """At most 20 MB are fetched; a sound is made and scored."""
    sound = """
import os, pathlib
from mini.data import clip_at  # as lessons do
from utils import clap_similarity, generate, load_pipeline
clip = generate(load_pipeline("mini-s-v2"), "a dog", num_inference_steps=2)
print(clap_similarity(clip).shape, sorted(os.listdir("mini/checkpoints")))
print(sum(path.stat().st_size for path in pathlib.Path(".git/objects").rglob("*") if path.is_file()))
load_pipeline("mini-m")
"""
    done = run(stamped(f"file://{remote}") + sound, tmp_path)
    ready, made, fetched, said = done.stdout.splitlines()
    assert (ready, made, said) == (READY, "(1,) ['mini-clap', 'mini-s-v2']", "Fetching mini-m ..."), done.stderr
    assert int(fetched) < 20_000_000


# ---- an origin that finds itself: a stand-in for the service of Colab's that knows which lesson was opened


def session(repo: str = "owner/name", ref: str = "v1", host: str = "github.com", name: str = "") -> str:
    link = f"fileId=https%3A//{host}/{repo}/blob/{ref}/notebooks/01_first_sound.ipynb"
    return json.dumps([{"id": "1", "kernel": {"id": "2", "name": "python3"}, "name": name or link, "path": link}])


def on_colab(code: str, answer: str) -> str:
    """Return the cell for a machine that takes itself for Colab, whose service gives this answer; "" for none."""
    colab = f"""
import io, socket, sys, urllib.request
from importlib import machinery, util
for name in ("google", "google.colab"):
    sys.modules[name] = util.module_from_spec(machinery.ModuleSpec(name, None, is_package=True))
socket.gethostbyname = lambda name: "127.0.0.1"
if {answer!r}:
    answers = {{"http://127.0.0.1:9000/api/sessions": {answer.encode()!r}}}
    urllib.request.urlopen = lambda address, timeout: io.BytesIO(answers[address])
"""
    return colab + code


@pytest.fixture
def github(tmp_path, remote) -> dict[str, str]:
    """Settings of git that find a repository on GitHub in a folder of this machine."""
    (tmp_path / "github" / "owner").mkdir(parents=True)
    (tmp_path / "github" / "owner" / "name").symlink_to(remote)
    (tmp_path / "empty").mkdir()
    count = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": "https://github.com/"}
    return {**count, "GIT_CONFIG_KEY_0": f"url.file://{tmp_path / 'github'}/.insteadOf"}


def test_on_colab_the_version_that_was_opened_is_fetched_unless_there_is_a_stamp_or_a_clone(tmp_path, github):
    other = session("some/fork", "main")  # cannot be had
    for code, answer in ((CELL, session()), (stamped("owner/name"), other)):
        done = run(on_colab(code, answer), tmp_path / "empty", **github)
        assert done.stdout == f"{READY}\n", done.stderr
        shutil.rmtree(tmp_path / "empty" / "audioldm-notebooks")
    assert run(on_colab(CELL, other), copy_project(tmp_path / "project")).stdout == f"{READY}\n"


def test_without_the_service_or_with_one_that_lies_the_reader_is_told_what_to_do(tmp_path, github):
    lies = [session(host="github.com.evil.example"), session(ref="--upload-pack=evil"), "[]", ""]
    lies.append(session(name="fileId=https%3A//github.com/another/one/blob/v1/notebooks/01_first_sound.ipynb"))
    for code in (CELL, *(on_colab(CELL, answer) for answer in lies)):
        assert "open the lesson from its clone" in refusal(code, tmp_path / "empty", **github)
    assert list((tmp_path / "empty").iterdir()) == []


# ---- packages: missing ones are installed, and never torch, from an index of tiny wheels


def wheel(folder: Path, name: str, number: str, requires: str = "") -> None:
    info = f"{name}-{number}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{number}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"number = {number!r}\n")
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n{needs}")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
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
    for name in ("torch", "numpy", "ipywidgets", "diffusers"):
        wheel(index, name, "99.0", "")
    wheel(index, "diffusers", TESTED_DIFFUSERS)
    wheel(index, "probe_easy", "1.0", "torch>=2")
    wheel(index, "probe_greedy", "1.0", "torch>=99")
    with zipfile.ZipFile(index / "diffusers-99.0-py3-none-any.whl") as newer:  # where the class is gone
        newer.extractall(tmp_path / "newer")
    python = Path(sysconfig.get_path("scripts", scheme="venv", vars=paths)) / Path(sys.executable).name
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
    return {"python": str(python), "packages": str(packages), **pip}


def test_missing_packages_are_installed_and_torch_numpy_and_ipywidgets_stay(tmp_path, machine):
    project = copy_project(tmp_path / "project", "probe-easy>=1.0")
    names = ("torch", "numpy", "ipywidgets")
    versions = f"\nfrom importlib.metadata import version\nprint(*map(version, {names}))"
    here = " ".join(map(version, names))
    done = run(CELL + "import probe_easy" + versions, project, **machine)
    assert done.stdout == f"Installing probe-easy>=1.0\n{READY}\n{here}\n", done.stderr
    assert run(CELL, project, **machine).stdout == f"{READY}\n"
    for wish in ("probe-greedy>=1.0", "torch>=99"):
        (project / "requirements.txt").write_text(wish)
        assert wish in refusal(CELL, project, **machine)
        assert run(versions, project, **machine).stdout == f"{here}\n"


@pytest.mark.parametrize("imported", [False, True])
def test_a_diffusers_that_dropped_the_class_is_replaced_and_asks_for_a_restart_where_it_is_in_use(
    tmp_path, machine, imported
):
    """Hosted notebooks install their own diffusers: one that is newer than the tested ones."""
    project = copy_project(tmp_path / "project")
    shutil.copytree(tmp_path / "newer", machine["packages"], dirs_exist_ok=True)
    if imported:
        assert "restart" in refusal("import diffusers\n" + CELL, project, **machine)
    else:
        done = run(CELL + "import diffusers\nprint(diffusers.number)", project, **machine)
        assert f"{READY}\n{TESTED_DIFFUSERS}\n" in done.stdout, done.stderr
    assert run(CELL, project, **machine).stdout == f"{READY}\n"

"""The first cell of every lesson: in a clone, in an empty folder with a git remote, offline, and where it must refuse.

Nothing here leaves this machine: the remote is a folder, and the package index is a folder of tiny wheels.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from tools.lessons import ROOT, SETUP_CELL
from utils.loading import TESTED_DIFFUSERS

READY = "Ready: the project is found, and its packages are installed."
CELL = SETUP_CELL.read_text(encoding="utf-8")
LINK = "fileId=https%3A//github.com/{}/blob/{}/notebooks/01_first_sound.ipynb"


def git(*arguments: str, cwd: Path) -> str:
    name = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *name, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def copy_project(folder: Path, extra_requirement: str = "") -> Path:
    """Copy the part of the project that the set-up cell asks for, with empty checkpoints."""
    shutil.copytree(ROOT / "utils", folder / "utils", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "mini").mkdir()
    (folder / "notebooks").mkdir()
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    (folder / "requirements.txt").write_text(f"{extra_requirement}\n{requirements}", encoding="utf-8")
    return folder


def serve(folder: Path) -> None:
    """Make a folder a git repository that hands out a part of its files."""
    git("init", "--quiet", cwd=folder)
    git("config", "uploadpack.allowFilter", "true", cwd=folder)
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=folder)
    git("add", ".", cwd=folder)
    git("commit", "--quiet", "-m", "the project", cwd=folder)


@pytest.fixture(scope="module")
def remote(tmp_path_factory) -> Path:
    """A git remote with the project at the tag v1 and the branch feature/one, and broken on main."""
    folder = copy_project(tmp_path_factory.mktemp("remote") / "project")
    for name in ("mini-s-v2", "mini-m"):
        (folder / "mini" / "checkpoints" / name).mkdir(parents=True)
        (folder / "mini" / "checkpoints" / name / "weights").write_bytes(random.Random(0).randbytes(3_000_000))
    for name in ("__init__.py", "data.py", "sounds.py", "README.md"):
        (folder / "mini" / name).touch()
    serve(folder)
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
    (project / "notebooks" / "deeper").mkdir()
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


def fetched(folder: Path) -> int:
    """Return the bytes that a fetch of the project has brought."""
    objects = folder / "audioldm-notebooks" / ".git" / "objects"
    return sum(path.stat().st_size for path in objects.rglob("*") if path.is_file())


def test_of_the_minis_only_the_first_is_fetched_and_another_when_it_is_loaded(tmp_path, remote):
    assert run(stamped(f"file://{remote}"), tmp_path).stdout == f"{READY}\n"
    minis = tmp_path / "audioldm-notebooks" / "mini" / "checkpoints"
    assert {path.name for path in minis.parent.iterdir()} == {"checkpoints", "__init__.py", "data.py", "sounds.py"}
    assert [path.name for path in minis.iterdir()] == ["mini-s-v2"] and 3_000_000 < fetched(tmp_path) < 5_000_000
    load = "\nfrom utils import load_pipeline\nfor name in ('mini-m', 'mini-l'):\n    try:\n        load_pipeline(name)"
    load += "\n    except OSError as error:\n        print(error)"
    said = run(stamped(f"file://{remote}") + load, tmp_path).stdout.replace(f"{minis}/", "")
    assert "mini-m is no complete AudioLDM" in said and "mini-l is not in" in said  # here mini-m is a file of noise
    assert (minis / "mini-m" / "weights").stat().st_size == 3_000_000


@pytest.mark.slow
def test_from_an_empty_folder_the_first_lesson_sounds(tmp_path):
    """The whole project as it is here on a remote: under 20 MB are fetched, and a sound is made and scored."""
    served, empty = tmp_path / "served", tmp_path / "empty"
    for path in filter(Path.is_file, map(ROOT.joinpath, git("ls-files", cwd=ROOT).splitlines())):
        place = served / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    empty.mkdir()
    serve(served)
    sound = (
        "\nfrom mini.data import clip_at  # as lessons do\nfrom utils import clap_similarity, generate, load_pipeline"
    )
    sound += "\nclip = generate(load_pipeline('mini-s-v2'), 'a dog', num_inference_steps=2)"
    done = run(stamped(f"file://{served}", "main") + sound + "\nprint(clap_similarity(clip).shape)", empty)
    assert done.stdout.endswith("(1,)\n"), done.stderr
    assert fetched(empty) < 20_000_000


# ---- an origin that finds itself: a stand-in for the service of Colab's that knows which lesson was opened


@pytest.fixture
def service(tmp_path):
    """Serve the file "api/sessions" in place of Colab's service: the file, and the port."""
    (tmp_path / "api").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path / "api" / "sessions", server.server_port
    server.shutdown()
    server.server_close()


def session(repo: str = "owner/name", ref: str = "v1", **changes) -> str:
    link = LINK.format(repo, ref)
    return json.dumps([{"id": "1", "kernel": {"id": "2", "name": "python3"}, "name": link, "path": link, **changes}])


def on_colab(port: int, code: str = CELL) -> str:
    """Return the cell for a machine that takes itself for Colab, whose service answers at this port."""
    colab = "import socket, sys\nfrom importlib import machinery, util\nfor name in ('google', 'google.colab'):\n"
    colab += "    sys.modules[name] = util.module_from_spec(machinery.ModuleSpec(name, None, is_package=True))\n"
    return colab + "socket.gethostbyname = lambda name: '127.0.0.1'\n" + code.replace(":9000/", f":{port}/")


@pytest.fixture
def on_github(tmp_path, remote) -> dict[str, str]:
    """Settings of git that find a repository on GitHub in a folder of this machine."""
    (tmp_path / "github" / "owner").mkdir(parents=True)
    (tmp_path / "github" / "owner" / "name").symlink_to(remote)
    (tmp_path / "empty").mkdir()
    count = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": "https://github.com/"}
    return {**count, "GIT_CONFIG_KEY_0": f"url.file://{tmp_path / 'github'}/.insteadOf"}


def test_on_colab_the_version_that_was_opened_is_fetched_without_a_stamp(tmp_path, service, on_github):
    service[0].write_text(session())
    done = run(on_colab(service[1]), tmp_path / "empty", **on_github)
    assert done.stdout == f"{READY}\n", done.stderr


def test_the_stamp_or_a_clone_wins(tmp_path, service, on_github):
    service[0].write_text(session("some/fork", "main"))  # cannot be had
    code = on_colab(service[1], stamped("owner/name"))
    assert run(code, tmp_path / "empty", **on_github).stdout == f"{READY}\n"
    assert run(on_colab(service[1]), copy_project(tmp_path / "project")).stdout == f"{READY}\n"


@pytest.mark.parametrize(
    "answer",
    [
        session().replace("github.com", "github.com.evil.example"),
        session("owner/name", "--upload-pack=evil"),
        session(name=LINK.format("another/one", "v1")),
        session(name="fileId=1aBcD", path="fileId=1aBcD"),
    ],
    ids=range(4),
)
def test_a_service_that_lies_or_does_not_know_is_not_believed(tmp_path, service, on_github, answer):
    service[0].write_text(answer)
    assert "open the lesson from its clone" in refusal(on_colab(service[1]), tmp_path / "empty", **on_github)
    assert list((tmp_path / "empty").iterdir()) == []


def test_without_the_service_or_away_from_colab_the_reader_is_told_what_to_do(tmp_path):
    for code in (on_colab(9), CELL):
        assert "its clone" in refusal(code, tmp_path)


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


VERSIONS = """
from importlib.metadata import version
print(*(version(name) for name in ("torch", "numpy", "ipywidgets")))
"""


def test_missing_packages_are_installed_and_torch_numpy_and_ipywidgets_stay(tmp_path, machine):
    project = copy_project(tmp_path / "project", "probe-easy>=1.0")
    done = run(CELL + "import probe_easy\n" + VERSIONS, project, **machine)
    here = " ".join(version(name) for name in ("torch", "numpy", "ipywidgets"))
    assert done.stdout == f"Installing probe-easy>=1.0\n{READY}\n{here}\n", done.stderr
    assert run(CELL, project, **machine).stdout == f"{READY}\n"


@pytest.mark.parametrize("wish", ["probe-greedy>=1.0", "torch>=99"])
def test_torch_is_never_replaced(tmp_path, machine, wish):
    project = copy_project(tmp_path / "project", wish)
    assert wish in refusal(CELL, project, **machine)
    assert run(VERSIONS, project, **machine).stdout.split()[0] == version("torch")


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

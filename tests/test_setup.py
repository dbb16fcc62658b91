"""The first cell of every lesson: in a clone, in an empty folder with a git remote, offline, and where it must refuse.

Nothing here leaves this machine: the remote is a folder, and the package index is a folder of tiny wheels.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import re
import shutil
import site
import socket
import subprocess
import sys
import sysconfig
import textwrap
import time
import zipfile
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest

from tools import lessons
from tools.lessons import ROOT, SETUP_CELL

READY = "Ready: the project is found, and its packages are installed."
CELL = SETUP_CELL.read_text(encoding="utf-8")
BIG = Path("mini/checkpoints/mini-m/weights")


def git(*arguments: str, cwd: Path) -> None:
    name = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *name, *arguments], cwd=cwd, check=True, capture_output=True)


def serve_parts(repository: Path) -> None:
    """Let a git repository hand out a part of its files, as GitHub's do."""
    for name in ("allowFilter", "allowAnySHA1InWant"):
        git("config", f"uploadpack.{name}", "true", cwd=repository)


@cache
def whole_project() -> str:
    """Return the address of a git remote on this machine that holds the project as it is here."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    for name in ("utils", "playground", "mini", "notebooks/sounds"):
        shutil.copytree(ROOT / name, Path(folder.name) / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", folder.name)
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "the project"]):
        git(*command, cwd=Path(folder.name))
    serve_parts(Path(folder.name))
    return f"file://{folder.name}"


def copy_project(folder: Path, extra_requirement: str = "") -> Path:
    for name in ("utils", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
    (folder / "mini").mkdir()
    (folder / "mini" / "__init__.py").touch()
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    (folder / "requirements.txt").write_text(f"{extra_requirement}\n{requirements}", encoding="utf-8")
    return folder


def noise() -> bytes:
    """Three million bytes that cannot be compressed."""
    return random.Random(0).randbytes(3_000_000)


@pytest.fixture(scope="module")
def remote(tmp_path_factory) -> Path:
    """A git remote: the project at the tag v1, and broken on main."""
    folder = copy_project(tmp_path_factory.mktemp("remote") / "project")
    for name in ("mini-s-v2", "mini-m"):
        (folder / "mini" / "checkpoints" / name).mkdir(parents=True)
        (folder / "mini" / "checkpoints" / name / "weights").write_bytes(b"small" if name == "mini-s-v2" else noise())
    git("init", "--quiet", cwd=folder)
    serve_parts(folder)
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
    assert len(CELL.splitlines()) < 85 and max(map(len, CELL.splitlines())) <= 120


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


def test_offline_the_folder_beside_the_lesson_is_used_whatever_its_version(tmp_path):
    copy_project(tmp_path / "audioldm-notebooks-1.0")
    assert run(stamped("file:///nowhere"), tmp_path).stdout == f"{READY}\n"


def test_a_fetch_that_fails_is_told_in_one_sentence_and_mended_by_the_next(tmp_path, remote):
    assert "could not be fetched from file:///nowhere" in refusal(stamped("file:///nowhere"), tmp_path)
    assert not (tmp_path / "audioldm-notebooks").exists()
    assert "could not be fetched" in refusal(stamped(f"file://{remote}", "v9"), tmp_path)
    assert run(stamped(f"file://{remote}"), tmp_path).stdout == f"{READY}\n"


def test_without_an_address_the_reader_is_told_what_to_do(tmp_path):
    assert refusal(stamped(""), tmp_path) == NOT_HERE


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


# ---- only what is needed is fetched -------------------------------------------------------------------------------


def test_of_the_minis_only_the_first_is_fetched_and_another_when_it_is_asked_for(tmp_path, remote):
    def minis(folder: Path) -> list[str]:
        return sorted(path.name for path in (folder / "mini" / "checkpoints").iterdir())

    assert minis(remote) == ["mini-m", "mini-s-v2"]
    assert run(stamped(f"file://{remote}"), tmp_path).stdout == f"{READY}\n"
    project = tmp_path / "audioldm-notebooks"
    assert minis(project) == ["mini-s-v2"] and fetched(project) < 1_500_000 < (remote / BIG).stat().st_size
    ask = (
        "\nfrom utils.setup import fetch_part\nprint(*(fetch_part(project / 'mini' / 'checkpoints' / name) for name in "
    )
    done = run(CELL + ask + "['mini-m', 'mini-s-v2', 'mini-x']))", tmp_path)
    assert done.stdout.splitlines()[-1] == "True True False", done.stderr
    assert minis(project) == ["mini-m", "mini-s-v2"] and (project / BIG).stat().st_size == 3_000_000


def test_a_clone_that_is_whole_fetches_nothing(tmp_path):
    project = copy_project(tmp_path)
    ask = "\nfrom utils.setup import fetch_part\nprint(fetch_part(project / 'mini' / 'checkpoints' / 'mini-x'))"
    assert run(CELL + ask, project).stdout == f"{READY}\nFalse\n"


def test_without_git_the_archive_is_fetched(tmp_path, remote):
    """GitHub's address of it is given a folder of this machine; what is in it lies one folder deeper."""
    place = tmp_path / "owner" / "name"
    (place / "archive").mkdir(parents=True)
    git("archive", "--prefix=name-1/", f"--output={place / 'archive' / 'v1.zip'}", "v1", cwd=remote)
    empty = tmp_path / "empty"
    empty.mkdir()
    code = stamped(f"file://{place}").replace('shutil.which("git")', "None")
    assert run(code, empty).stdout == f"{READY}\n"
    assert [path.name for path in empty.iterdir()] == ["audioldm-notebooks"]
    missing = stamped(f"file://{place}", "v9").replace('shutil.which("git")', "None")
    (tmp_path / "other").mkdir()
    assert refusal(missing, tmp_path / "other").startswith(f"The project could not be fetched from file://{place}: ")


# ---- an origin that finds itself: a stand-in for the service of Colab's that knows what was opened ------------------

LINK = "fileId=https%3A//github.com/{}/blob/{}/notebooks/01_first_sound.ipynb"


class Sessions(BaseHTTPRequestHandler):
    """What answers on Colab under /api/sessions; `server.answer` is the body, `server.wait` the seconds before it."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        time.sleep(self.server.wait)
        body = self.server.answer.encode()
        self.send_response(200)
        self.end_headers()
        for start in range(0, len(body), 50):
            self.wfile.write(body[start : start + 50])
            time.sleep(self.server.drip)

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def sessions():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sessions)
    server.daemon_threads, server.asked, server.answer, server.wait, server.drip = True, [], "", 0, 0
    server.handle_error = lambda *event: None  # a client that hangs up
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def session(repo: str = "owner/name", ref: str = "v1", **changes) -> str:
    link = LINK.format(repo, ref)
    return json.dumps([{"id": "1", "kernel": {"id": "2", "name": "python3"}, "name": link, "path": link, **changes}])


def on_colab(port: int, code: str = CELL) -> str:
    """The cell, on a machine that takes itself for Colab, whose service answers at this port."""
    colab = "import socket, sys\nfrom importlib import machinery, util\n"
    colab += "sys.modules['google.colab'] = util.module_from_spec(machinery.ModuleSpec('google.colab', None))\n"
    return colab + "socket.gethostbyname = lambda name: '127.0.0.1'\n" + code.replace(":9000/", f":{port}/")


def github(folder: Path) -> dict[str, str]:
    """Settings of git that find what is on GitHub in a folder of this machine."""
    count = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": "https://github.com/"}
    return {**count, "GIT_CONFIG_KEY_0": f"url.file://{folder}/.insteadOf"}


@pytest.fixture
def on_github(tmp_path, remote) -> dict[str, str]:
    (tmp_path / "github" / "owner").mkdir(parents=True)
    (tmp_path / "github" / "owner" / "name").symlink_to(remote)
    (tmp_path / "empty").mkdir()
    return github(tmp_path / "github")


@pytest.mark.parametrize("ref", ["v1", "the commit", "feature/one"])
def test_on_colab_the_ref_that_was_opened_is_fetched_without_a_stamp(tmp_path, remote, sessions, on_github, ref):
    commit = subprocess.run(["git", "rev-parse", "v1"], cwd=remote, capture_output=True, text=True).stdout.strip()
    sessions.answer = session(ref=commit if ref == "the commit" else ref)
    code = on_colab(sessions.server_port) + "\nprint(os.environ['OMP_WAIT_POLICY'].lower())"
    done = run(code, tmp_path / "empty", **on_github)
    assert done.stdout == f"{READY}\npassive\n", done.stderr
    assert sessions.asked == ["/api/sessions"]
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path / "empty" / "audioldm-notebooks", capture_output=True
    )
    assert head.stdout.decode().strip() == commit


def test_the_stamp_wins_and_a_clone_asks_nobody(tmp_path, remote, sessions, on_github):
    sessions.answer = session("some/fork", "main")
    code = on_colab(sessions.server_port, stamped("owner/name"))
    assert run(code, tmp_path / "empty", **on_github).stdout == f"{READY}\n"
    project = copy_project(tmp_path / "project")
    assert run(on_colab(sessions.server_port), project).stdout == f"{READY}\n"
    assert sessions.asked == []


NOT_HERE = "The project is not here: open the lesson from its clone, or put the clone beside it."


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[]",
        "not json",
        session().replace("github.com", "github.com.evil.example"),
        session().replace("https%3A//", "https%3A//evil.example/"),
        session("--upload-pack=evil/name"),
        session("owner/name", "--upload-pack=evil"),
        session("owner/..", "v1"),
        session("owner/name", "../../other"),
        session("owner/name", "v1;touch+evil"),
        session(name=LINK.format("another/one", "v1")),
        session(name="fileId=1aBcD", path="fileId=1aBcD"),
        "x" * 200_000 + session(),
    ],
    ids=lambda answer: answer[-90:-60] or answer,
)
def test_a_service_that_lies_or_does_not_know_is_not_believed(tmp_path, sessions, on_github, answer):
    sessions.answer = answer
    assert refusal(on_colab(sessions.server_port), tmp_path / "empty", **on_github) == NOT_HERE
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("fault", ["absent", "slow", "dripping", "dead name server"])
def test_a_service_that_does_not_answer_costs_seconds(tmp_path, sessions, on_github, fault):
    sessions.answer, sessions.wait, sessions.drip = session(), 60 * (fault == "slow"), 2 * (fault == "dripping")
    code = on_colab(sessions.server_port)
    if fault == "absent":
        code = code.replace(f":{sessions.server_port}/", ":9/")
    if fault == "dead name server":
        code = code.replace("lambda name: '127.0.0.1'", "lambda name: __import__('time').sleep(60)")
    code = "import time\nstart = time.monotonic()\ntry:\n" + textwrap.indent(code, "    ")
    code += "\nexcept RuntimeError as error:\n    print(error, time.monotonic() - start < 9)"
    assert run(code, tmp_path / "empty", **on_github).stdout == f"{NOT_HERE} True\n"


def test_a_repository_that_is_private_is_told_in_one_sentence(tmp_path, sessions, on_github):
    sessions.answer = session("owner/secret")
    said = refusal(on_colab(sessions.server_port), tmp_path / "empty", **on_github)
    assert said.startswith("The project could not be fetched from https://github.com/owner/secret: ")


def test_away_from_colab_nobody_is_asked(tmp_path, sessions, on_github):
    sessions.answer = session()
    code = on_colab(sessions.server_port).replace("sys.modules['google.colab']", "google")
    assert refusal(code, tmp_path / "empty", **on_github) == NOT_HERE and sessions.asked == []


def test_from_an_empty_folder_without_a_stamp_the_first_lesson_sounds(tmp_path, sessions, capsys):
    """As on Colab: the session's stand-in, a remote on loopback, the whole project in it, and under 20 MB fetched."""
    path = lessons.lessons(["01"])[0]
    sessions.answer = session("owner/name", "main")
    base, empty = tmp_path / "served", tmp_path / "empty"
    (base / "owner").mkdir(parents=True)
    empty.mkdir()
    (base / "owner" / "name").symlink_to(whole_project().removeprefix("file://"))
    with daemon(base) as address:
        settings = {**github(base), "GIT_CONFIG_KEY_0": f"url.{address}.insteadOf"}
        lesson = lessons.read(path)
        heard = next(i for i, cell in enumerate(lesson.cells) if "<audio" in json.dumps(cell.get("outputs", "")))
        lesson.cells = lesson.cells[: heard + 1]
        setup = next(cell for cell in lesson.cells if "setup" in lessons.tags(cell))
        assert 'REPO, REF = ""' in setup.source or lessons.address()[0]
        setup.source = on_colab(sessions.server_port, re.sub('REPO, REF = ".*?"', 'REPO, REF = ""', setup.source))
        start = time.monotonic()
        fresh = lessons.run(lesson, empty, settings)
        seconds = time.monotonic() - start
    assert "<audio" in json.dumps(fresh.cells[-1].outputs)
    size = fetched(empty / "audioldm-notebooks")
    with capsys.disabled():
        print(f"\nlesson 01 from an empty folder: {size / 1e6:.1f} MB fetched, first sound after {seconds:.0f} s")
    assert size < 20_000_000


def fetched(project: Path) -> int:
    """Bytes that git transferred for a project that the set-up cell fetched."""
    return sum(path.stat().st_size for path in (project / ".git" / "objects").rglob("*") if path.is_file())


@contextmanager
def daemon(base: Path):
    """A git server on loopback; where git has none, the folder itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["git", "daemon", "--export-all", f"--base-path={base}", "--listen=127.0.0.1", f"--port={port}"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield f"file://{base}/" if server.poll() is not None else f"git://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait()


# ---- the stamp, and other places than Colab -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["https://github.com/owner/my.name.git", "git@github.com:owner/my.name.git", "ssh://git@github.com/owner/my.name"],
)
def test_the_stamp_is_by_default_that_of_the_clones_origin(tmp_path, monkeypatch, url):
    git("init", "--quiet", cwd=tmp_path)
    monkeypatch.setattr(lessons, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"origin \(it has none\) is not on GitHub: make stamp REPO=owner/name"):
        lessons.origin()
    git("remote", "add", "origin", url, cwd=tmp_path)
    assert lessons.origin() == "owner/my.name"
    git("remote", "set-url", "origin", "https://gitlab.example/owner/name.git", cwd=tmp_path)
    with pytest.raises(SystemExit, match="gitlab.example/owner/name.git.* is not on GitHub"):
        lessons.origin()


def test_binder_gets_the_tested_versions_and_python():
    folder = ROOT / ".binder"
    files = re.findall(r"^-[cr] (.*)$", (folder / "requirements.txt").read_text(encoding="utf-8"), re.M)
    assert [(folder / file).resolve().relative_to(ROOT).as_posix() for file in files] == [
        "constraints/current.txt",
        "requirements.txt",
    ]
    assert (folder / "runtime.txt").read_text(encoding="utf-8").strip() == "python-3.11"


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

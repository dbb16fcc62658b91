"""Real servers on loopback and a real Chromium, for behaviour that only a browser shows.

Skipped, by name, where Chromium or Playwright is missing (tools/browser.sh installs the first, requirements-dev.txt the
second). Screenshots land in outputs/screenshots.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock

from tools.lessons import ENVIRONMENT, ROOT

from .site import Served, build

SCREENSHOTS = ROOT / "outputs" / "screenshots"
LESSON = "05_playground.ipynb"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",  # Chromium does not start as root with it
    "--disable-gpu",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",  # a microphone that beeps
    "--use-fake-ui-for-media-stream",  # and is allowed
]
NASTY = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script> \"a dog\" $\\alpha$ 😀 كلب ינבח"
STUDIO = "from playground import Studio\n\nstudio = Studio()\nstudio"  # without the takes of the lesson
OWN_CELLS = [  # behind the lesson's: sooner run than the whole lesson
    f"import numpy as np\n\nfrom utils import Clip\n\n"
    f"Clip(np.sin(np.arange(80_000) / 5) / 4, settings={{'prompt': {NASTY!r}}})",
    "from playground import ABX\n\n"
    "tones = [Clip(np.sin(np.arange(16_000) / n) / 4) for n in (5, 6, 7, 8)]\n"
    "ABX(tones[:2], tones[2:], 'low or high', listener='ada')",
    "from playground import Microphone\n\nmic = Microphone()\nmic",
]
HEARD = "print('heard', mic.clip.duration > 0.5, mic.clip.peak > 0.01, mic.clip.sample_rate)"  # behind a recording


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.browser)
        if CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="no Chromium: tools/browser.sh installs it"))


def project(folder: Path) -> Path:
    """A folder that looks like the project and may be written to, with lesson 05 and our own cells at its end.

    Its outputs are left out: others' outputs make a notebook untrusted, and show no widgets when it is opened again.
    """
    (folder / "notebooks").mkdir()
    notebook = nbformat.read(ROOT / "notebooks" / LESSON, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("$a^2$"))  # so that maths is typeset on the page
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in [STUDIO, *OWN_CELLS, HEARD]]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, folder / "notebooks" / LESSON)
    for name in ("utils", "playground", "mini", "requirements.txt"):
        (folder / name).symlink_to(ROOT / name)
    return folder


class Server:
    """A Jupyter server on a free loopback port, in a folder of its own; `wait` until it answers."""

    def __init__(self, folder: Path, environment: dict[str, str] = ENVIRONMENT, module: str = "jupyterlab"):
        self.folder, self.token = folder, secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        own = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
        own = {name: str(folder / place) for name, place in {**own, "JUPYTER_RUNTIME_DIR": "runtime"}.items()}
        command = [sys.executable, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
        command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
        command += [f"--IdentityProvider.token={self.token}", "--LabApp.expose_app_in_browser=True"]
        command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        self._log = (folder / "server.log").open("w")
        environment = {**os.environ, **environment, **own}
        self._process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=subprocess.STDOUT)

    def wait(self, seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/api/status?token={self.token}", timeout=10).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"The server did not start:\n{(self.folder / 'server.log').read_text()[-2000:]}")

    def close(self) -> None:
        self._process.terminate()  # ends its kernels, too
        self._process.wait(60)
        self._log.close()


@pytest.fixture(scope="package")
def lab(tmp_path_factory) -> Iterator[Server]:
    """JupyterLab, which serves Notebook 7, too. It may still be starting: `wait`."""
    server = Server(project(tmp_path_factory.mktemp("lab")))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="package")
def chromium() -> Iterator:
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: it is in requirements-dev.txt")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def page(lab: Server, chromium) -> Iterator:
    """Lesson 05 in JupyterLab, as one learner's session: each test goes on where the last one stopped."""
    page = new_page(chromium)
    lab.wait()
    open_lesson(page, lab)
    for words in ("# @title Set-up", STUDIO, *OWN_CELLS):
        run_cell(page, words)
    yield page
    page.close()


def new_page(chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(60_000)
    return page


def open_lesson(page, lab: Server) -> None:
    """The lesson alone in JupyterLab's window, its kernel ready."""
    page.goto(f"{lab.url}/doc/tree/notebooks/{LESSON}?token={lab.token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel")


def run_cell(page, words: str) -> None:
    """Run the code cell that has these words, and wait until it is done."""
    done = page.evaluate(
        """async words => {
            const notebook = jupyterapp.shell.currentWidget.content;
            const isIt = cell => cell.model.type === 'code' && cell.model.sharedModel.getSource().includes(words);
            const index = notebook.widgets.findIndex(isIt);
            if (index < 0) return false;
            notebook.activeCellIndex = index;
            return await jupyterapp.commands.execute('notebook:run-cell');
        }""",
        words,
    )
    assert done, f"the cell failed in JupyterLab: {words}"


def shoot(page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id) -> Path:
    """The folder of the built site; several processes of one run build it once."""
    root = tmp_path_factory.getbasetemp()
    folder = (root if worker_id == "master" else root.parent) / "site"
    with FileLock(f"{folder}.lock"):
        if not (folder / "sample.html").exists():
            build(folder)
    return folder


@pytest.fixture(scope="module")
def served(site) -> Iterator[Served]:
    """The site's server."""
    server = Served(site)
    yield server
    server.close()


@pytest.fixture
def own(site) -> Iterator[Served]:
    """A server that a test may spoil."""
    server = Served(site)
    yield server
    server.close()

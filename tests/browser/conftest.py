"""A real JupyterLab on loopback and a real Chromium, for what only a browser can show.

Skipped, by name, where Chromium or Playwright is missing (tools/browser.sh installs the first, requirements-dev.txt the
second). Screenshots land in outputs/screenshots.
"""

from __future__ import annotations

import json
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

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "outputs" / "screenshots"
LESSON = "05_playground.ipynb"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",  # Chromium does not start as root with it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
LAB_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "apputils-extension/themes": {"theme": "JupyterLab Light"},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.browser)
        if CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="no Chromium: tools/browser.sh installs it"))


class Lab:
    """A JupyterLab on a free loopback port, serving a folder that looks like the project and may be written to."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.token = folder, secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        settings = folder / "settings"
        for name, value in LAB_SETTINGS.items():
            file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(value))
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [
            f"--port={self.url.rsplit(':', 1)[1]}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={folder}",
        ]
        command += [f"--IdentityProvider.token={self.token}", "--LabApp.expose_app_in_browser=True"]
        self._log = (folder / "lab.log").open("w")
        dirs = {"JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces")}
        environment = {**os.environ, **environment, **dirs, "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
        self._process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=subprocess.STDOUT)

    def wait(self, seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            try:
                self.api("status")
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start:\n{(self.folder / 'lab.log').read_text()[-2000:]}")

    def api(self, path: str, method: str = "GET"):
        """The answer of the server's own interface, such as api("kernels")."""
        request = urllib.request.Request(f"{self.url}/api/{path}?token={self.token}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def close(self) -> None:
        for kernel in self.api("kernels"):
            self.api(f"kernels/{kernel['id']}", "DELETE")
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory, request) -> Iterator[Lab]:
    from tools.lessons import ENVIRONMENT

    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / LESSON, folder / "notebooks")
    for name in ("utils", "mini", "requirements.txt"):
        (folder / name).symlink_to(ROOT / name)
    environment = dict(ENVIRONMENT)
    if not (ROOT / "mini" / "checkpoints" / "mini-s-v2").is_dir():
        environment["AUDIOLDM_MINI_FOLDER"] = str(request.getfixturevalue("random_checkpoint").parent)
    server = Lab(folder, environment)
    try:
        server.wait()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: it is in requirements-dev.txt")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def page(lab: Lab, chromium) -> Iterator:
    """Lesson 05, opened and run to its end, as one learner's session: the tests go on where the last one stopped."""
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(20_000)
    open_lesson(page, lab)
    run_all(page)
    yield page
    page.close()


def open_lesson(page, lab: Lab) -> None:
    """The lesson alone in the window, its kernel ready."""
    page.goto(f"{lab.url}/doc/tree/notebooks/{LESSON}?token={lab.token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel")


def run_all(page) -> None:
    """Run every cell, and wait until the last one is done."""
    ok = page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    assert ok, "a cell of the lesson failed in JupyterLab"


def shoot(page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")

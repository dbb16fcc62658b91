"""The studio outside JupyterLab 4: on Colab's ipywidgets, in the classic interface; and as a page of its own, by Voila.

Neither is installed with the project: they are fetched into a temporary folder (`make test-all`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import nbformat
import pytest

from tools.lessons import ENVIRONMENT

from .conftest import LESSON, Server, new_page, project, shoot
from .test_playground import button, play

pytestmark = pytest.mark.slow
CLASSIC = ["nbclassic>=1.2", "ipywidgets==7.7.1", "widgetsnbextension==3.6.1", "ipython_genutils", "nest-asyncio"]
VOILA = ["voila>=0.5.8,<0.6", "websockets"]


@pytest.fixture
def serve(tmp_path) -> Iterator:
    """Start a Jupyter server with these packages before all others, on lesson 05 cut down to its studio."""
    servers = []

    def start(module: str, packages: list[str]) -> Server:
        place, folder = tmp_path / "packages", tmp_path / "project"
        folder.mkdir()
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), *packages]
        if subprocess.run(pip, capture_output=True).returncode:
            pytest.skip("the package index is out of reach")
        path = project(folder) / "notebooks" / LESSON
        notebook = nbformat.read(path, as_version=4)
        wanted = ("# @title Set-up", "studio = Studio()", "import ABX", "import Microphone")
        notebook.cells = [cell for cell in notebook.cells if any(words in cell.source for words in wanted)]
        nbformat.write(notebook, path)
        paths = {"JUPYTER_PATH": "share/jupyter", "JUPYTER_CONFIG_PATH": "etc/jupyter", "PYTHONPATH": ""}
        paths = {name: f"{place / part}{os.pathsep}{os.environ.get(name, '')}" for name, part in paths.items()}
        servers.append(Server(folder, {**ENVIRONMENT, **paths}, module))
        servers[0].wait()
        return servers[0]

    yield start
    for server in servers:
        server.close()


def use_studio(page, name: str) -> None:
    page.wait_for_selector("[role=status]")
    button(page, "Generate").click()
    page.wait_for_function("document.querySelector('.aldm audio')?.duration == 5")
    _, cursor = play(page, ".aldm audio", 0.2)
    assert cursor > 0
    page.locator("[role=status]").first.scroll_into_view_if_needed()
    shoot(page, name)
    plot, picture = (page.locator(f".aldm-plot{part}").first.bounding_box() for part in ("", " img"))
    assert plot["height"] == picture["height"] and plot["width"] == picture["width"]


def test_on_the_ipywidgets_of_colab(serve, chromium):
    server, page = serve("nbclassic", CLASSIC), new_page(chromium)
    page.goto(f"{server.url}/nbclassic/notebooks/notebooks/{LESSON}?token={server.token}")
    page.wait_for_function("window.Jupyter?.notebook?.kernel?.is_connected()")
    page.evaluate("Jupyter.notebook.execute_all_cells()")
    use_studio(page, "ipywidgets_7")
    page.close()


def test_as_a_page_by_voila(serve, chromium):
    server, page = serve("jupyterlab", VOILA), new_page(chromium)
    page.goto(f"{server.url}/voila/render/notebooks/{LESSON}?token={server.token}")
    use_studio(page, "voila")
    assert page.locator("text=sys.path.insert").count() == 0  # no code is shown
    page.close()

"""The studio on Colab's ipywidgets 7.7, in the classic interface: fetched into a temporary folder (`make test-all`)."""

from __future__ import annotations

import os
import subprocess
import sys

import nbformat
import pytest

from tools.lessons import ENVIRONMENT

from .conftest import LESSON, OWN_CELLS, STUDIO, Server, new_page, project, shoot
from .test_playground import button, play

PACKAGES = ["nbclassic>=1.2", "ipywidgets==7.7.1", "widgetsnbextension==3.6.1", "ipython_genutils", "nest-asyncio"]


@pytest.mark.slow
def test_on_the_ipywidgets_of_colab(tmp_path, chromium):
    place, folder = tmp_path / "packages", tmp_path / "project"
    folder.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), *PACKAGES]
    if subprocess.run(pip, capture_output=True).returncode:
        pytest.skip("the package index is out of reach")
    path = project(folder) / "notebooks" / LESSON
    notebook = nbformat.read(path, as_version=4)
    wanted = ("# @title Set-up", STUDIO, *OWN_CELLS)
    notebook.cells = [cell for cell in notebook.cells if cell.source.startswith(wanted)]
    nbformat.write(notebook, path)
    paths = {"JUPYTER_PATH": "share/jupyter", "JUPYTER_CONFIG_PATH": "etc/jupyter", "PYTHONPATH": ""}
    paths = {name: f"{place / part}{os.pathsep}{os.environ.get(name, '')}" for name, part in paths.items()}
    server, page = Server(folder, {**ENVIRONMENT, **paths}, "nbclassic"), new_page(chromium)
    try:
        server.wait()
        with page.expect_console_message(lambda said: "fetch ipywidgets" in said.text):  # cells run sooner stay blank
            page.goto(f"{server.url}/nbclassic/notebooks/notebooks/{LESSON}?token={server.token}")
        page.evaluate("Jupyter.notebook.execute_all_cells()")
        page.wait_for_selector("[role=status]")
        button(page, "Generate").click()
        page.wait_for_function("document.querySelector('.aldm audio')?.duration == 5")
        _, cursor = play(page, ".aldm audio", 0.2)
        assert cursor > 0
        page.locator("[role=status]").first.scroll_into_view_if_needed()
        shoot(page, "ipywidgets_7")
        plot, picture = (page.locator(f".aldm-plot{part}").first.bounding_box() for part in ("", " img"))
        assert plot["height"] == picture["height"] and plot["width"] == picture["width"]
        page.get_by_text("X is one of the two others").first.wait_for()
        page.get_by_role("button", name="record").first.wait_for()
    finally:
        page.close()
        server.close()

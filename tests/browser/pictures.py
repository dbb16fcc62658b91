"""Pictures of lesson 05's widgets, which no stored page can show: docs/studio.webp and docs/booth.webp.

    python -m pytest tests/browser/pictures.py     runs their cells in JupyterLab, and stores both

They are taken in a narrow window at twice its resolution, so that a phone can show them legibly.
"""

from __future__ import annotations

import io

from PIL import Image

from tools.lessons import ROOT

from .conftest import OWN_CELLS, STUDIO, open_lesson, run_cell
from .test_playground import generate


def test_both_pictures_are_stored(lab, chromium):
    page = chromium.new_page(viewport={"width": 480, "height": 1400}, device_scale_factor=2)
    page.set_default_timeout(120_000)
    lab.wait()
    open_lesson(page, lab)
    for words in ("# @title Set-up", STUDIO, *OWN_CELLS[:2]):
        run_cell(page, words)
    for prompt in ("a dog barking", "rain"):
        generate(page, prompt)
    panels = page.locator(".jp-OutputArea-output > .jupyter-widgets.widget-vbox")
    for name, words in (("studio", "num_inference_steps"), ("booth", "X is one of the two others")):
        panel = panels.filter(has_text=words).first
        panel.scroll_into_view_if_needed()
        page.mouse.move(0, 0)
        page.wait_for_timeout(1000)  # until pictures and readouts are drawn
        Image.open(io.BytesIO(panel.screenshot())).save(ROOT / "docs" / f"{name}.webp", quality=90, method=6)
    page.close()

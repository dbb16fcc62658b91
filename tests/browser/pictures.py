"""Pictures of lesson 05's widgets, which no stored page can show: docs/studio.webp and docs/booth.webp.

    python -m tests.browser.pictures     starts JupyterLab and Chromium, runs the cells, and stores both

They are taken in a narrow window at twice its resolution, so that a phone can show them legibly.
"""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tools.lessons import ENVIRONMENT

from .conftest import CHROMIUM, FLAGS, OWN_CELLS, ROOT, STUDIO, Server, open_lesson, project, run_cell

WIDTH = 480  # CSS pixels of the window
LARGEST = 120_000  # bytes of a picture
STAGE = ".widget-output .aldm audio"


def store(name: str, png: bytes) -> Path:
    """Store a picture as WebP in docs/, in the best quality that its size allows."""
    picture, path = Image.open(io.BytesIO(png)).convert("RGB"), ROOT / "docs" / f"{name}.webp"
    for quality in range(90, 20, -10):
        picture.save(path, "WEBP", quality=quality, method=6)
        if path.stat().st_size <= LARGEST:
            break
    print(f"{path.relative_to(ROOT)}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB")
    return path


def main() -> None:
    from playwright.sync_api import sync_playwright

    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(project(Path(folder)), ENVIRONMENT)
        try:
            server.wait()
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": WIDTH, "height": 1400}, device_scale_factor=2)
            page.set_default_timeout(120_000)
            open_lesson(page, server)
            booth = next(cell for cell in OWN_CELLS if "ABX" in cell)
            for words in ("# @title Set-up", STUDIO, OWN_CELLS[0], booth):
                run_cell(page, words)
            for prompt in ("a dog barking", "rain"):
                page.get_by_label("prompt", exact=True).first.fill(prompt)
                page.get_by_label("negative_prompt", exact=True).first.focus()
                page.get_by_role("button", name="Generate", exact=True).first.click()
                page.wait_for_function(
                    "([where, prompt]) => document.querySelector(where)?.closest('.aldm').textContent.includes(prompt)",
                    arg=[STAGE, prompt],
                )
            panels = page.locator(".jp-OutputArea-output > .jupyter-widgets.widget-vbox")
            for name, words in (("studio", "num_inference_steps"), ("booth", "X is one of the two others")):
                panel = panels.filter(has_text=words).first
                panel.scroll_into_view_if_needed()
                page.mouse.move(0, 0)
                page.wait_for_timeout(1000)  # until pictures and readouts are drawn
                store(name, panel.screenshot())
            browser.close()
        finally:
            server.close()


if __name__ == "__main__":
    main()

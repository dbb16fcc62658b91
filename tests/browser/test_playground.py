"""Lesson 05 as its reader uses it, in one session: each test goes on where the last one stopped. And its microphone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest

from tools.lessons import ENVIRONMENT, ROOT

from . import conftest
from .conftest import LESSON, NASTY, STUDIO, new_page, run_cell, shoot

STAGE = ".widget-output"  # where the studio shows a take
STATUS = ".widget-html [role=status]"


def button(page, name: str):
    return page.get_by_role("button", name=name, exact=True).first


def field(page, name: str):
    return page.get_by_label(name, exact=True).first


def set_number(page, name: str, value: float) -> None:
    readout = page.locator(".widget-slider", has_text=name).first.locator(".widget-readout")
    readout.fill(str(value))
    readout.press("Enter")


def wait_for_status(page, pattern: str) -> str:
    page.wait_for_function(
        "([where, pattern]) => RegExp(pattern).test(document.querySelector(where)?.textContent)",
        arg=[STATUS, pattern],
        polling=10,
    )
    return page.locator(STATUS).first.inner_text()


def takes(page) -> int:
    return page.get_by_role("button", name="compare", exact=True).count()


def generate(page, prompt: str) -> None:
    """Make a take by the button, and wait for a player that is ready to play it."""
    field(page, "prompt").fill(prompt)
    field(page, "negative_prompt").focus()
    old = page.evaluate("stage => document.querySelector(stage + ' audio')?.src", STAGE)
    button(page, "Generate").click()
    page.wait_for_function(
        """([stage, old]) => {
            const audio = document.querySelector(stage + ' audio');
            return audio && audio.src !== old && audio.readyState >= 1;
        }""",
        arg=[STAGE, old],
        polling=10,
    )
    wait_for_status(page, r"^Take \d+")


def play(page, audio: str) -> None:
    """Play a sound until the cursor of its figure has moved with it."""
    page.evaluate("audio => { document.querySelector(audio).play(); }", audio)
    cursor = "audio => parseFloat(document.querySelector(audio).closest('figure').querySelector('i').style.left) > 1"
    page.wait_for_function(cursor, arg=audio)


def test_from_the_click_to_a_sound(page):
    for prompt in ("a bell", "a dog barking", "rain"):
        generate(page, prompt)
        assert page.locator(f"{STAGE} figcaption").first.inner_text().startswith(prompt)
    assert takes(page) == 3


def test_the_panel_answers_while_it_generates_and_cancel_cancels(page):
    before = takes(page)
    set_number(page, "num_inference_steps", 200)
    set_number(page, "audio_length_in_s", 20)
    button(page, "Generate").click()
    wait_for_status(page, "^Generating")
    seed = field(page, "seed").element_handle()
    for _ in range(5):
        old = seed.input_value()
        button(page, "🎲").click()
        page.wait_for_function("([seed, old]) => seed.value !== old", arg=[seed, old], polling=10)
    assert page.locator(STATUS).first.inner_text().startswith("Generating")  # all of that meanwhile
    assert button(page, "Generate").is_disabled()
    shoot(page, "generating")
    button(page, "Cancel").click()
    wait_for_status(page, "^Cancelled")
    set_number(page, "num_inference_steps", 10)
    set_number(page, "audio_length_in_s", 5)
    assert button(page, "Generate").is_enabled() and takes(page) == before


def test_a_prompt_is_text(page):
    generate(page, NASTY)
    shoot(page, "nasty_prompt")
    assert page.locator(f"{STAGE} figcaption").first.inner_text().startswith(NASTY)  # and no dollars are typeset
    assert NASTY.split("$")[0][:30] in page.locator(".jupyter-button", has_text="<img").first.inner_text()
    generate(page, "dog " * 2500)
    assert page.locator(STATUS).first.bounding_box()["height"] < 120
    page.locator("mjx-container").first.wait_for()  # conftest's formula, so maths is typeset here
    shown = page.locator(f"figcaption:not({STAGE} *)", has_text="window.hacked").first  # a clip's own player
    shown.evaluate("e => e.scrollIntoView()")  # elsewhere it need not be drawn
    page.wait_for_function("([e, text]) => e.innerText.startsWith(text)", arg=[shown.element_handle(), NASTY])
    assert page.evaluate("window.hacked") is None


def test_history_compare_keep_and_download(page, lab):
    rows = page.get_by_role("button", name="compare", exact=True)
    page.wait_for_function(  # JupyterLab may have taken the panel out of the page while another cell was in view
        """([stage, third]) => {
            document.querySelector(stage)?.scrollIntoView();
            return [...document.querySelectorAll('button')].filter(b => b.innerText === 'compare').length > third;
        }""",
        arg=[STAGE, 2],
        polling=200,
    )
    rows.nth(0).click()
    rows.nth(2).click()
    page.wait_for_function(f"document.querySelectorAll('{STAGE} audio').length == 2")
    shoot(page, "compare")
    page.locator(".jupyter-button", has_text="a bell").first.click()
    page.wait_for_function(f"document.querySelectorAll('{STAGE} audio').length == 1")
    with page.expect_download() as download:
        page.locator(f"{STAGE} a", has_text=".wav").click()
    assert download.value.suggested_filename.startswith("a-bell-")
    assert download.value.path().read_bytes()[:4] == b"RIFF"
    with page.expect_download() as download:
        page.locator(f"{STAGE} a", has_text=".json").click()
    assert json.loads(download.value.path().read_text())["prompt"] == "a bell"
    page.get_by_role("button", name="keep", exact=True).nth(0).click()
    message = wait_for_status(page, "is kept")
    assert (lab.folder / re.search(r"\S+\.wav", message)[0]).is_file()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_widths_and_themes(page, theme):
    page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme.title()}'}})")
    page.wait_for_function(f"document.body.dataset.jpThemeLight == '{str(theme == 'light').lower()}'")
    page.mouse.move(0, 0)
    page.locator(f"{STAGE} .aldm-plot").first.hover()  # which makes a player look at the theme again
    page.wait_for_function(f"document.querySelector('{STAGE} .aldm')?.style.colorScheme == '{theme}'")
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 1000})
        page.evaluate("document.querySelector('.widget-textarea').scrollIntoView()")
        page.wait_for_function(f"document.querySelector('{STAGE} .aldm').getBoundingClientRect().right <= {width}")
        shoot(page, f"studio_{theme}_{width}")
        for part in (f"{STAGE} .aldm", ".jupyter-widgets.widget-vbox"):
            fits = page.locator(part).first.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
            assert fits, f"{part} is cut off at {width} pixels"


def test_notebook_7_shows_the_same_studio_and_its_takes(page, lab, chromium):
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    before, other = takes(page), new_page(chromium)
    other.goto(f"{lab.url}/notebooks/notebooks/{LESSON}?token={lab.token}")
    other.wait_for_selector(STATUS)
    assert takes(other) == before
    generate(other, "footsteps")
    play(other, f"{STAGE} audio")
    other.locator(STATUS).first.scroll_into_view_if_needed()
    shoot(other, "notebook_7")
    other.close()


# ---- the microphone


def test_record_stop_listen_and_use_by_the_keyboard(page):
    box = page.get_by_role("group", name="Microphone").first
    box.scroll_into_view_if_needed()
    record, stop, listen, use = (box.get_by_role("button", name=name) for name in ("record", "stop", "listen", "use"))
    assert record.is_enabled() and not any(button.is_enabled() for button in (stop, listen, use))
    record.press("Enter")
    box.get_by_text("Recording: 1.").wait_for()
    page.keyboard.press("Enter")  # the focus is on Stop
    box.get_by_text("peak").wait_for()
    listen.click()
    page.wait_for_function(
        "[...document.querySelectorAll('[aria-label=Microphone] audio')].some(a => a.currentTime > 0.2)"
    )
    shoot(page, "microphone")
    use.press("Enter")
    box.get_by_text(".clip").wait_for()
    run_cell(page, conftest.HEARD)
    page.get_by_text("heard True True 16000").first.wait_for()


MODEL = "{ get() {}, set() {}, save_changes() {}, on() {} }"  # nothing is kept


DEAF = [("ui", "localhost", "allow it"), ("device", "localhost", "no microphone"), ("", "example.test", "https://")]


@pytest.mark.parametrize(("missing", "host", "word"), DEAF)
def test_a_sentence_where_there_is_no_microphone(chromium, missing, host, word):
    flags = [flag for flag in conftest.FLAGS if flag != f"--use-fake-{missing}-for-media-stream"]
    browser = chromium.browser_type.launch(executable_path=conftest.CHROMIUM, args=flags)
    other = browser.new_page()
    script = (ROOT / "playground" / "microphone.js").read_text(encoding="utf-8").strip()
    start = f"{script.removesuffix('export default { render };')}render({{ model: {MODEL}, el: place }});"
    alone = f'<!doctype html><meta charset="utf-8"><div id="place"></div><script type="module">{start}</script>'
    other.route("**/*", lambda route: route.fulfill(body=alone, content_type="text/html"))
    other.goto(f"http://{host}/")
    other.get_by_role("button", name="record").click()
    said = other.get_by_role("status")
    other.wait_for_function("!document.querySelector('[role=status]').textContent.startsWith('Asking')")
    assert word in said.inner_text()
    assert other.get_by_role("button", name="record").is_enabled()
    assert other.get_by_role("button", name="use").is_disabled()
    browser.close()


# ---- elsewhere

PACKAGES = ["nbclassic>=1.2", "ipywidgets==7.7.1", "widgetsnbextension==3.6.1", "ipython_genutils", "nest-asyncio"]


@pytest.mark.slow
def test_on_the_ipywidgets_of_colab_in_the_classic_interface(tmp_path, chromium):
    place, folder = tmp_path / "packages", tmp_path / "project"
    folder.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), *PACKAGES]
    if subprocess.run(pip, capture_output=True).returncode:
        pytest.skip("the package index is out of reach")
    path = conftest.project(folder) / "notebooks" / LESSON
    notebook = nbformat.read(path, as_version=4)
    wanted = ("# @title Set-up", STUDIO, *conftest.OWN_CELLS)
    notebook.cells = [cell for cell in notebook.cells if cell.source.startswith(wanted)]
    nbformat.write(notebook, path)
    paths = {"JUPYTER_PATH": "share/jupyter", "JUPYTER_CONFIG_PATH": "etc/jupyter", "PYTHONPATH": ""}
    paths = {name: f"{place / part}{os.pathsep}{os.environ.get(name, '')}" for name, part in paths.items()}
    server, page = conftest.Server(folder, {**ENVIRONMENT, **paths}, "nbclassic"), new_page(chromium)
    try:
        server.wait()
        with page.expect_console_message(lambda said: "fetch ipywidgets" in said.text):  # cells run sooner stay blank
            page.goto(f"{server.url}/nbclassic/notebooks/notebooks/{LESSON}?token={server.token}")
        page.evaluate("Jupyter.notebook.execute_all_cells()")
        page.wait_for_selector("[role=status]")
        button(page, "Generate").click()
        page.wait_for_function("document.querySelector('.aldm audio')?.duration == 5")
        play(page, ".aldm audio")
        shoot(page, "ipywidgets_7")
        plot, picture = (page.locator(f".aldm-plot{part}").first.bounding_box() for part in ("", " img"))
        assert plot["height"] == picture["height"] and plot["width"] == picture["width"]
        page.get_by_text("X is one of the two others").first.wait_for()
        page.get_by_role("button", name="record").first.wait_for()
    finally:
        page.close()
        server.close()

"""Lesson 05 as its reader uses it: these tests are one session, each goes on where the last one stopped."""

from __future__ import annotations

import json
import re

import pytest

from .conftest import LESSON, NASTY, ROOT, STUDIO, new_page, open_lesson, run_cell, shoot

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


def play(page, audio: str, until: float) -> tuple[float, float]:
    """Play to some second; the time then, and how far across its figure the cursor stands, 0 to 1 (-1: no cursor)."""
    page.evaluate("audio => { document.querySelector(audio).play(); }", audio)
    page.wait_for_function("([audio, t]) => document.querySelector(audio).currentTime > t", arg=[audio, until])
    page.evaluate("audio => document.querySelector(audio).pause()", audio)
    read = """audio => {
        const sound = document.querySelector(audio), cursor = sound.closest('figure')?.querySelector('i');
        const axis = cursor ? Number(cursor.parentElement.dataset.axis) : 1;
        return [sound.currentTime, cursor ? parseFloat(cursor.style.left) / 100 : -1, axis];
    }"""
    page.wait_for_function(
        f"a => {{ const [t, x, axis] = ({read})(a); return x < 0 || Math.abs(x - t / axis) < 0.01; }}", arg=audio
    )
    return tuple(page.evaluate(read, audio)[:2])


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


def test_an_error_is_one_sentence_and_the_button_lives(page):
    field(page, "prompt").fill("  ")
    button(page, "Generate").click()
    assert "\n" not in wait_for_status(page, "empty")
    shoot(page, "error")
    generate(page, "a dog barking")


def test_a_prompt_is_text(page):
    generate(page, NASTY)
    shoot(page, "nasty_prompt")
    assert page.locator(f"{STAGE} figcaption").first.inner_text().startswith(NASTY)  # and no dollars are typeset
    assert NASTY.split("$")[0][:30] in page.locator(".jupyter-button", has_text="<img").first.inner_text()
    generate(page, "dog " * 2500)
    assert page.locator(STATUS).first.bounding_box()["height"] < 120
    assert page.evaluate("window.hacked") is None


def test_a_prompt_is_text_in_a_clips_own_player(page):
    formula = page.locator("mjx-container").first
    formula.wait_for()  # conftest's, so maths is typeset here
    shown = page.locator(f"figcaption:not({STAGE} *)", has_text="window.hacked").first
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
    paused = f"[...document.querySelectorAll('{STAGE} audio')].map(a => a.paused).join()"
    for audio, expected in ((0, "false,true"), (1, "true,false")):
        page.evaluate(f"document.querySelectorAll('{STAGE} audio')[{audio}].play()")
        page.wait_for_function(f"{paused} == '{expected}'")
    page.evaluate("document.querySelectorAll('audio').forEach(a => a.pause())")
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


def test_a_blind_test_by_its_buttons(page):
    question = page.locator(".widget-html", has_text="X is one of the two others").first
    question.scroll_into_view_if_needed()
    assert question.text_content().startswith("1 of 2") and question.locator("audio").count() == 3
    assert "low or high" not in question.inner_html()  # the label is hidden
    shoot(page, "abx")
    button(page, "A").click()
    page.wait_for_function("document.body.textContent.includes('2 of 2. X is')")


def test_state_survives_a_second_run_and_a_reload(page, lab):
    before = takes(page)
    run_cell(page, STUDIO)
    page.wait_for_selector(STATUS)
    assert takes(page) == before
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    open_lesson(page, lab)
    page.wait_for_selector(STATUS)
    assert takes(page) == before
    generate(page, "a dog barking")
    assert takes(page) == before + 1


def test_notebook_7_shows_the_same_studio(page, lab, chromium):
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    before, other = takes(page), new_page(chromium)
    other.goto(f"{lab.url}/notebooks/notebooks/{LESSON}?token={lab.token}")
    other.wait_for_selector(STATUS)
    assert takes(other) == before
    generate(other, "footsteps")
    play(other, f"{STAGE} audio", 0.2)
    other.locator(STATUS).first.scroll_into_view_if_needed()
    shoot(other, "notebook_7")
    other.close()


def test_the_player_outlives_the_kernel(page, lab):
    lab.stop_kernels()
    page.evaluate(f"document.querySelector('.jp-OutputArea-output .aldm:not({STAGE} *) audio').id = 'stored'")
    play(page, "#stored", 0.2)


def test_the_player_plays_in_an_exported_page_without_a_network(chromium, tmp_path):
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter().from_filename(str(ROOT / "notebooks" / LESSON))
    (tmp_path / "lesson.html").write_text(html, encoding="utf-8")
    page = new_page(chromium)
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto((tmp_path / "lesson.html").as_uri(), wait_until="domcontentloaded")
    page.wait_for_function("document.querySelector('.aldm audio')?.duration > 1")
    time_there, cursor = play(page, ".aldm audio", 0.2)
    assert cursor > 0
    page.close()

"""The book of the lessons: read, searched, changed on the page."""

from __future__ import annotations

import html
import io
import json
import re

import pytest
import soundfile

from tools import lessons

from .site import BYTES, PLAIN, make, snr_db, truth, until, visit


def test_the_book_holds_every_lesson_to_read_to_hear_and_to_download(site):
    for path in lessons.lessons():
        page = (site / f"{path.stem}.html").read_text(encoding="utf-8")
        notebook = lessons.read(site / "_sources" / path.name)  # the lesson itself, to download
        assert any("setup" in lessons.tags(cell) for cell in notebook.cells)
        assert lessons.title(notebook).split()[0] in page and "prev-next" in page
        assert page.count("<audio ") == sum(str(cell.outputs).count("<audio ") for cell in lessons.code_cells(notebook))
        assert "Author name" not in page and 'property="og:image"' in page
        addresses = re.findall(r'<(?:script|img|link|audio|source|iframe)\b[^>]*?(?:src|href)="(https?:[^"]+)"', page)
        assert addresses == [], path.name
        for target, anchor in re.findall(r'href="([\w.]*)#([^"]+)"', page):
            other = site / target if target else site / f"{path.stem}.html"
            if other.suffix == ".html":
                assert f'id="{anchor}"' in other.read_text(encoding="utf-8"), (
                    f"{path.name}: dead link to {target}#{anchor}"
                )


def test_search_finds_headings_and_the_glossary_but_no_code(chromium, served):
    page = visit(chromium, served, "/search.html?q=guidance", service_workers="block")
    page.wait_for_selector("#search-results li a")
    assert "glossary" in "".join(
        page.locator("#search-results li a").evaluate_all("a => a.slice(0, 3).map(x => x.href)")
    )
    assert "gethostbyname" not in (served.folder / "searchindex.js").read_text(encoding="utf-8")  # of the set-up cells
    page.goto(f"{served.url}/01_first_sound.html")
    page.locator("a:has(.std-term)").first.click()
    page.wait_for_url("**/glossary.html#term-*")
    assert page.elsewhere == []
    page.context.close()


def test_a_prediction_comes_before_its_answer_and_what_was_read_is_marked(chromium, served):
    page = visit(chromium, served, "/04_checkpoints.html", service_workers="block")
    page.click("text=Predict first")
    waiting = page.locator(".cell_output.waits")
    before = waiting.count()
    assert before >= page.locator(".predict").count() > 1
    question = page.locator(".predict").first
    assert question.locator("button").all_inner_texts() == ["a", "b", "c", "Show what happened"]
    question.locator("button", has_text="b").first.click()
    assert question.inner_text() == "You said: b"
    assert 0 < waiting.count() < before
    page.click("text=Only the short path")
    beyond = page.locator(".beyond").first
    assert not beyond.is_visible()
    page.evaluate("id => { location.hash = id; }", beyond.get_attribute("id"))  # a link leads there all the same
    beyond.wait_for(state="visible")
    page.mouse.wheel(0, 20_000)
    page.wait_for_selector("#pst-page-toc-nav .was-read", state="attached")
    page.context.close()


def test_the_board_plays_at_once_and_then_makes_a_new_one(chromium, own):
    page = visit(chromium, own, "/index.html")
    assert page.locator(".board button").count() == 24
    page.locator(".board button", has_text="dog").click()
    page.wait_for_selector(".board .playing")
    assert not any(path.endswith(".xz") for path in own.asked)
    page.locator(".board button", has_text="dog").click()
    until(page, "seed 1", ".board-says")
    for fault, words in {"html": "a web page", "cut": "cut short", 404: "answered 404"}.items():
        page.reload()
        page.wait_for_selector("html[data-alive]")
        own.faults["cat.mp3"] = fault
        page.locator(".board button", has_text="cat").click()
        until(page, words, ".board-says")
    page.context.close()


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.slow)])
def test_a_sound_of_the_book_is_changed_in_two_presses(chromium, own, width):
    page = visit(chromium, own, "/sample.html", viewport={"width": width, "height": 800})
    assert page.locator("form.change").count() == 0
    page.locator(".pill", has_text="change it").first.click()
    page.locator(".change [name=prompt]").fill("a low bell unicorn")
    page.locator("button", has_text="Make it").click()
    page.wait_for_selector("figure.yours")
    said = until(page, "against the lesson", ".change [role=status]")
    assert all(words in said for words in ("high", "low", "Same seed", "never read “unicorn”"))
    pictures = page.locator(".aldm figure")
    assert pictures.count() == 3 and "yours" in pictures.nth(1).get_attribute("class")  # beside its sister
    assert pictures.nth(1).locator("[role=slider]").get_attribute("aria-valuemax") == "1.28"
    ours = page.evaluate(BYTES.replace(".href", ".src"), "figure.yours audio")
    assert snr_db(soundfile.read(io.BytesIO(bytes(ours)))[0], truth("a low bell unicorn", seconds=1.28)) > 60
    page.locator("button", has_text="next seed").click()
    page.wait_for_function("document.querySelectorAll('figure.yours').length === 2")
    assert "cannot know" in until(page, "seed", ".change [role=status]")
    page.locator("button", has_text="A/B").click()
    page.wait_for_function("[...document.querySelectorAll('figure audio')].some(audio => !audio.paused)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator(".pill", has_text="change it").last.click()  # one form a page
    assert page.locator("form.change").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("form.change").count() == 0
    page.emulate_media(media="print")
    assert not page.locator(".pill").first.is_visible() and not page.locator("figure.yours").first.is_visible()
    assert page.elsewhere == []
    page.context.close()


@pytest.mark.slow
def test_a_hundred_clips_of_the_book_are_made_again(chromium, site, served):
    found = []
    for path in lessons.lessons():
        page = (site / f"{path.stem}.html").read_text(encoding="utf-8")
        found += [json.loads(html.unescape(text)) for text in re.findall(r'<figure[^>]*data-settings="([^"]*)"', page)]
    names = {"negative_prompt": "negative", "num_inference_steps": "steps", "audio_length_in_s": "seconds"}
    names |= {"guidance_scale": "guidance", "prompt": "prompt", "checkpoint": "checkpoint", "seed": "seed"}
    every = [{names[key]: "" if settings[key] is None else settings[key] for key in names} for settings in found]
    board = re.findall(r'data-prompt="([^"]+)"', (site / "index.html").read_text(encoding="utf-8"))
    every += [{**PLAIN, "prompt": prompt} for prompt in board]
    assert len(every) >= 100
    page = visit(chromium, served, "/try/index.html")
    until(page, "Ready")
    for values in every:
        assert snr_db(make(page, **values), truth(**values)) > 60, values
    page.context.close()


def test_the_maker_is_as_dark_as_the_book_was_chosen_to_be(chromium, served):
    page = visit(chromium, served, "/glossary.html", service_workers="block", color_scheme="light")
    for mode, ground in {"dark": "rgb(20, 16, 28)", "light": "rgb(251, 249, 247)"}.items():
        page.goto(f"{served.url}/glossary.html")
        page.click(".theme-switch-button")
        page.click(f".theme-change-button[data-mode={mode}]")
        page.goto(f"{served.url}/try/index.html")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    page.context.close()

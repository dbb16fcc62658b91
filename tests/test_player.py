"""The player's HTML: what is in it, that it is the same every time, and in a real browser that it plays and seeks."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bs4 import BeautifulSoup
from PIL import Image

import utils
from utils.clip import Clip, compare
from utils.player import COLOURS, DB_RANGE, mime_bundle, mp3, spectrogram_png

RATE = 16_000
TIME = np.arange(5 * RATE) / RATE
TONE = 0.25 * np.sin(2 * np.pi * 1000 * TIME)
NASTY = "</bdi><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">' \"&amp; 😀 שלום"


def clip_of(waveform=TONE, **settings) -> Clip:
    settings = {"checkpoint": "mini-s-v2", "prompt": "a tone", "num_inference_steps": 10, "seed": 0, **settings}
    return Clip(waveform, RATE, settings)


def html(*given) -> str:
    """The player of these clips, with these labels, in so many columns."""
    return mime_bundle(*given)["text/html"]


def test_a_clip_shows_itself_with_everything_inside_the_same_every_time_and_small():
    bundle = clip_of()._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain", "image/png"} and bundle["text/plain"] == repr(clip_of())
    soup = BeautifulSoup(bundle["text/html"], "html.parser")
    assert {"mathjax_ignore", "tex2jax_ignore"} <= set(soup.div["class"])  # dollars in a prompt are no maths
    assert soup.img["src"].startswith("data:image/png;base64,")
    assert base64.b64decode(soup.audio["src"].removeprefix("data:audio/mpeg;base64,")) == mp3(clip_of())
    assert soup.img["alt"] == "Log-mel-spectrogram of a tone: 5.00 s, 0 to 8 kHz"
    assert soup.audio["aria-label"] == "a tone" and "controls" in soup.audio.attrs
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", bundle["text/html"])  # nothing from a network
    words = " ".join(soup.get_text().split())
    assert "a tone 5.00 s, peak 0.25, mini-s-v2, 10 steps, seed 0" in words
    assert "time (s) 0 1 2 3 4 5 kHz (mel) 0 0.5 1 2 4 8" in words
    soup.script.decompose()
    assert "slider" not in str(soup)  # what cannot be used without scripts is not announced
    noise = html([clip_of(0.1 * np.random.default_rng(0).standard_normal(len(TIME)))])  # has the largest picture
    assert len(noise) < 90_000 and len(html([clip_of()])) < 60_000 and html([clip_of()]) == bundle["text/html"]


def test_the_mp3_is_as_loud_as_the_clip_and_as_long():
    for gain in (0.01, 1, 3.5):
        data = mp3(clip_of(gain * TONE))
        decoded, rate = soundfile.read(io.BytesIO(data))
        assert rate == RATE and len(data) < 7000 * 5
        assert np.abs(decoded[8000:60_000]).max() == pytest.approx(0.25 * gain, rel=0.05)
    assert Clip(np.full(20, np.nan), RATE)._repr_mimebundle_()  # what is not a sound still shows its facts


def pixels(clip: Clip) -> np.ndarray:
    image = Image.open(io.BytesIO(spectrogram_png(clip)))
    assert image.mode == "P"
    return np.asarray(image)


def test_the_picture_has_low_tones_below_and_one_scale_for_every_length_and_rate():
    loud, soft = pixels(clip_of()), pixels(clip_of(TONE / 10))
    assert loud.shape == (64, 500)
    row = np.argmax(loud[:, 250])
    assert 63 - row == 21  # the band at 1000 Hz
    step = (DB_RANGE[1] - DB_RANGE[0]) / 63
    assert (int(loud[row, 250]) - int(soft[row, 250])) * step == pytest.approx(20, abs=step)
    assert (pixels(clip_of(0 * TONE)) == 0).all()
    assert pixels(clip_of(np.tile(TONE, 12))).shape == (64, 1000) and pixels(clip_of(TONE[:20])).shape == (64, 1)
    fast = Clip(0.25 * np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100), 44_100)
    assert np.argmax(pixels(fast)[:, 50]) == row


def test_the_picture_for_paper_has_the_colours_of_the_player():
    clips = [clip_of(TONE * np.linspace(0, 1, len(TONE))), clip_of(TONE[: 2 * RATE])]
    image = Image.open(io.BytesIO(base64.b64decode(mime_bundle(clips)["image/png"])))
    player = [np.asarray(Image.open(io.BytesIO(spectrogram_png(clip))).convert("RGB")) for clip in clips]
    paper = np.asarray(image.convert("RGB"))
    for row, picture in enumerate(player):
        panel = paper[152 * row + 24 : 152 * (row + 1), : round(512 * len(picture[0]) / 500)]
        tall = np.asarray(Image.fromarray(picture).resize(panel.shape[1::-1], Image.Resampling.NEAREST))
        assert (panel == tall).all()
    assert len(np.unique(player[0].reshape(-1, 3), axis=0)) > COLOURS / 2 and (paper[0] == 255).all()


def test_only_a_sound_that_its_settings_make_again_has_them(monkeypatch, pipe, random_checkpoint):
    monkeypatch.setenv("AUDIOLDM_MINI_FOLDER", str(random_checkpoint.parent))
    monkeypatch.setattr("utils.player._pipeline", utils.load_pipeline)  # not one that another test has loaded
    clip = utils.generate(pipe, 'a "dog"', num_inference_steps=1, audio_length_in_s=0.64)
    clip.settings["checkpoint"] = "mini-s-v2"
    assert "data-settings" not in html([clip])
    monkeypatch.setenv("AUDIOLDM_VERIFY", "1")
    told = json.loads(BeautifulSoup(html([clip]), "html.parser").figure["data-settings"])
    assert told["prompt"] == 'a "dog"' and told["seed"] == 0 and told.items() <= clip.settings.items()
    changed = Clip(clip.waveform[::-1], RATE, clip.settings)
    beside = Clip(clip.waveform, RATE, {**clip.settings, "latents": True})
    for other in (changed, beside, clip_of(), Clip(TONE, RATE, {"file": "a.wav"})):
        assert "data-settings" not in html([other])


# ---- in a browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    browser_path = next((p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(p).exists()), None)
    if not browser_path:
        pytest.skip("no Chromium")
    path = tmp_path_factory.mktemp("page") / "page.html"
    clips = [clip_of(), clip_of(TONE[: 2 * RATE], prompt=NASTY)]
    shown = clip_of()._repr_mimebundle_()["text/html"] + compare(clips)._repr_mimebundle_()["text/html"]
    classic = "<style>.output img { max-width: 100%; height: auto }</style>"  # as the classic interface has it
    shown = f"<!doctype html><meta charset=utf-8><title>safe</title>{classic}<div class=output>{shown}</div>"
    path.write_text(shown, encoding="utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.duration > 0)")
        yield page
        assert problems == []
        browser.close()


def state(page, index: int) -> tuple[float, bool, float]:
    """Time, paused, and the cursor's place in percent."""
    return page.evaluate(
        "i => { const f = document.querySelectorAll('.aldm figure')[i], a = f.querySelector('audio');"
        " return [a.currentTime, a.paused, parseFloat(f.querySelector('i').style.left)]; }",
        index,
    )


def test_browser_nothing_in_a_prompt_is_executed_and_the_picture_fills_its_frame(page):
    assert page.title() == "safe" and NASTY in page.locator("figcaption").nth(2).inner_text()
    assert page.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)") == [5, 5, 2]
    boxes = page.locator(".aldm-plot").evaluate_all(
        "all => all.map(plot => [plot, plot.querySelector('img')].map(e => e.getBoundingClientRect()))"
        ".map(([plot, img]) => [img.height / plot.height, img.width / plot.width])"
    )
    assert boxes == [[1, 1], [1, 1], [1, pytest.approx(0.4, abs=0.01)]]


def test_browser_click_and_keys_seek(page):
    bar = page.get_by_role("slider", name="Position in a tone", exact=True)
    box = bar.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 30)
    assert state(page, 0) == [pytest.approx(2.5, abs=0.02), True, pytest.approx(50, abs=0.5)]
    bar.focus()
    for key, seconds in (("ArrowRight", 2.75), ("ArrowLeft", 2.5), ("PageUp", 3.5), ("End", 4.99), ("Home", 0)):
        page.keyboard.press(key)
        assert state(page, 0)[0] == pytest.approx(seconds, abs=0.02)
    assert bar.get_attribute("aria-valuetext") == "0.0 of 5.0 seconds"
    assert bar.get_attribute("aria-valuemax") == "5"


def test_browser_the_cursor_follows_and_only_one_plays(page):
    first, second = page.get_by_role("slider").nth(0), page.get_by_role("slider").nth(2)
    first.focus()
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('audio').currentTime > 0.3")
    time, paused, cursor = state(page, 0)
    assert not paused and cursor == pytest.approx(100 * time / 5, abs=4)
    second.focus()
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelectorAll('audio')[2].currentTime > 0.2")
    assert state(page, 0)[1] and not state(page, 2)[1]
    page.keyboard.press(" ")
    time, paused, cursor = state(page, 2)
    assert paused and cursor == pytest.approx(100 * time / 5, abs=0.5)  # of the common axis, not of its own 2 s


def test_browser_nothing_overflows(page):
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [figure.bounding_box() for figure in page.locator("figure").all()]
        assert all(box["width"] > 250 for box in boxes) and (boxes[1]["y"] == boxes[2]["y"]) == (width == 1280)

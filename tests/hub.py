"""A small Hugging Face Hub on loopback: real HTTP, the endpoints that loading uses, and ways to misbehave.

`Hub` serves folders under the real repository ids; `Client` is a Python process of its own that has HF_ENDPOINT
pointing there, as huggingface_hub reads it only once.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sys
import threading
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

from utils.checkpoints import BY_HUB_ID

ROOT = Path(__file__).parent.parent
LARGE = (".safetensors", ".bin")  # the Hub keeps them as LFS: they lie behind a redirect
MAIN = hashlib.sha1(b"main").hexdigest()  # the commit of repositories that the project does not pin
ROUTE = re.compile(r"/(?:api/models/|cdn/)?([^/]+/[^/]+)(?:/(?:resolve|revision|tree)/([^/]+))?/?(.*)")
REFUSALS = {  # fault -> status, error code
    "401": (401, ""), "403": (403, ""), "503": (503, ""), "gated": (403, "GatedRepo"),
    "revision": (404, "RevisionNotFound"),
}  # fmt: skip


class Hub(ThreadingHTTPServer):
    """Serve {repository id: folder}. `fault` makes it misbehave, `requests` is the list of requests so far."""

    def __init__(self, repositories: dict[str, Path]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories, self.fault, self.requests = repositories, "", []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *args: Any) -> None:
        """Say nothing of a client that hangs up."""

    def downloaded(self) -> list[str]:
        """Return the weight files that were sent, in order."""
        return [line.split(" ")[1] for line in self.requests if line.startswith("GET /cdn")]

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, fault = unquote(urlsplit(self.path).path), self.server.fault
        self.server.requests.append(f"{self.command} {path}")
        if fault.startswith("cdn "):  # only where the weights come from
            fault = fault.removeprefix("cdn ") if path.startswith("/cdn/") else ""
        if fault == "silent":
            time.sleep(30)
        if fault == "portal":  # of a network that wants a log-in first, and answers in everyone's place
            return self._send(200, b"<html>Welcome! Please log in.</html>")
        if fault in REFUSALS:
            return self._refuse(*REFUSALS[fault])
        repo, revision, name = ROUTE.fullmatch(path).groups()
        if repo not in self.server.repositories:
            return self._refuse(404, "RepoNotFound")
        commit = (repo in BY_HUB_ID and BY_HUB_ID[repo].revision) or MAIN
        if revision not in (None, "main", commit):
            return self._refuse(404, "RevisionNotFound")
        folder = self.server.repositories[repo]
        file, large = folder / name, name.endswith(LARGE)
        if path.startswith("/api/"):
            files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
            tree = [{"type": "file", "path": name, "oid": name, "size": path.stat().st_size}
                    for name, path in files.items()]  # fmt: skip
            info = {"id": repo, "sha": commit, "siblings": [{"rfilename": name} for name in files], "tags": []}
            return self._send(200, json.dumps(tree if "/tree/" in self.path else info).encode())
        if not file.is_file():
            return self._refuse(404, "EntryNotFound", commit)
        data = file.read_bytes()
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        if not large or path.startswith("/cdn/"):
            half = large and fault == "cut" and self.command == "GET"
            return self._send(200, data[: len(data) // 2] if half else data, length=len(data), **headers)
        headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(len(data))}
        if fault == "xet":  # a second way to the weights is offered, and leads nowhere
            headers |= {"X-Xet-Hash": headers["ETag"], "X-Xet-Refresh-Route": "http://127.0.0.1:9/xet-read-token"}
        # like a CDN: another host
        self._send(302, Location=f"http://localhost:{self.server.server_port}/cdn/{repo}/{name}", **headers)

    def _refuse(self, status: int, code: str = "", commit: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Repo-Commit": commit}
        self._send(status, **{name: value for name, value in headers.items() if value})

    def _send(self, status: int, body: bytes = b"{}", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length or len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def environment(url: str, home: Path) -> dict[str, str]:
    """Return the settings by which a process takes a server for the Hugging Face Hub; its cache is in `home`."""
    return {
        "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        "HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1", "AUDIOLDM_PROGRESS": "0",
    }  # fmt: skip


class Client:
    """Start a Python process of its own that talks to a Hub, with an empty cache in `home`."""

    def __init__(self, url: str, home: Path, **settings: str):
        self.home = home
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_listen)
        with patch.dict(os.environ, {**environment(url, home), **settings}):
            self.run("")  # it inherits the settings when it starts

    def run(self, code: str) -> dict[str, Any]:
        """Run code there: "out" was printed and logged, "result" its variable, "error" a learner's last line."""
        return self.pool.submit(_run, code).result()

    def forget(self) -> None:
        """Empty the cache."""
        shutil.rmtree(self.home / "hub", ignore_errors=True)

    def close(self) -> None:
        self.pool.shutdown()


def _listen() -> None:
    sys.stdout = sys.stderr = io.StringIO()  # before any logger takes hold of the real ones


def _run(code: str, names: dict[str, Any] = {}) -> dict[str, Any]:  # noqa: B006 (they outlive the call)
    error, start = "", time.monotonic()
    names.pop("result", None)
    sys.stdout.seek(0)
    sys.stdout.truncate()
    try:
        exec(code, names)
    except BaseException as problem:
        error = traceback.format_exception_only(problem)[-1].strip()
    seconds = time.monotonic() - start
    return {"out": sys.stdout.getvalue(), "error": error, "result": names.get("result"), "seconds": seconds}

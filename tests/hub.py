"""A small Hugging Face Hub on loopback: real HTTP, the endpoints that loading uses, and ways to misbehave.

`Hub` serves folders under the real repository ids; `Client` is a Python process of its own that has HF_ENDPOINT
pointing there, as huggingface_hub reads it only once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from utils.checkpoints import BY_HUB_ID

ROOT = Path(__file__).parent.parent
LARGE = (".safetensors", ".bin")  # the Hub keeps them as LFS: the ETag is a sha256, and they lie behind a redirect
MAIN = hashlib.sha1(b"main").hexdigest()  # the commit of repositories that the project does not pin
REFUSALS = {  # fault -> status, error code
    "401": (401, ""), "403": (403, ""), "503": (503, ""), "gated": (403, "GatedRepo"),
    "revision": (404, "RevisionNotFound"),
}  # fmt: skip


class Hub:
    """Serves {repository id: folder}. `fault` makes it misbehave, `requests` is the list of requests so far."""

    def __init__(self, repositories: dict[str, Path]):
        self.repositories, self.fault, self.requests = repositories, "", []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # a client that hangs up is nothing to report
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def files(self, repo: str) -> dict[str, Path]:
        folder = self.repositories[repo]
        return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def downloaded(self) -> list[str]:
        """Return the weight files that were sent, in order."""
        return [line.split(" ")[1] for line in self.requests if line.startswith("GET /cdn")]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        parts, fault = path.strip("/").split("/"), self.hub.fault
        if fault.startswith("cdn "):  # only where the weights come from
            fault = fault.removeprefix("cdn ") if parts[0] == "cdn" else ""
        if fault == "silent":
            time.sleep(30)
        if fault == "portal":  # of a network that wants a log-in first, and answers in everyone's place
            return self._send(200, b"<html>Welcome! Please log in.</html>", {"Content-Type": "text/html"})
        if fault in REFUSALS:
            return self._refuse(*REFUSALS[fault])
        if parts[0] == "cdn":
            return self._content(self.hub.files("/".join(parts[1:3]))["/".join(parts[3:])])
        repo, rest = "/".join(parts[2:4]), parts[4:]
        if parts[0] != "api":
            repo, rest = "/".join(parts[:2]), ["file", *parts[4:]]
        if repo not in self.hub.repositories:
            return self._refuse(404, "RepoNotFound")
        commit = (repo in BY_HUB_ID and BY_HUB_ID[repo].revision) or MAIN
        if rest[0:1] == ["file"]:
            return self._resolve(repo, commit, "/".join(rest[1:]))
        if rest[0:1] in (["revision"], ["tree"]) and rest[1] not in (commit, "main"):
            return self._refuse(404, "RevisionNotFound")
        about = [
            {"type": "file", "path": name, "rfilename": name, "size": file.stat().st_size, "oid": _digest(file)}
            for name, file in self.hub.files(repo).items()
        ]
        info = {"_id": "0", "id": repo, "modelId": repo, "sha": commit, "siblings": about, "tags": []}
        answer = about if rest[0:1] == ["tree"] else info
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repo: str, commit: str, name: str) -> None:
        path = self.hub.files(repo).get(name)
        if path is None:
            return self._refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
        if path.suffix not in LARGE:
            return self._content(path, {"X-Repo-Commit": commit})
        headers = {"X-Linked-ETag": f'"{_digest(path)}"', "X-Linked-Size": str(path.stat().st_size)}
        if self.hub.fault == "xet":  # a second way to the weights is offered, and leads nowhere
            headers |= {"X-Xet-Hash": _digest(path), "X-Xet-Refresh-Route": "http://127.0.0.1:9/xet-read-token"}
        # like a CDN: another host
        location = f"http://localhost:{self.hub.server.server_port}/cdn/{repo}/{name}"
        self._send(302, b"", {"X-Repo-Commit": commit, "Location": location, **headers})

    def _content(self, path: Path, headers: dict[str, str] | None = None) -> None:
        data, asked = path.read_bytes(), self.headers.get("Range", "")
        headers = {"ETag": f'"{_digest(path)}"', "Accept-Ranges": "bytes", **(headers or {})}
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = path.suffix in LARGE and self.command == "GET" and self.hub.fault == "cut"
        body = data[start : len(data) // 2] if cut else data[start:]
        self._send(206 if start else 200, body, headers, length=len(data) - start)
        self.close_connection = self.close_connection or cut

    def _refuse(self, status: int, code: str = "", headers: dict[str, str] | None = None) -> None:
        self._send(status, b"{}", {**({"X-Error-Code": code} if code else {}), **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            self.wfile.flush()


def _digest(path: Path) -> str:
    """Return the Hub's identifier of a file: sha256 of a large one, git's sha1 of another."""
    data = path.read_bytes()
    large = path.suffix in LARGE
    return hashlib.sha256(data).hexdigest() if large else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


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
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", _WORKER],
            env={**os.environ, **environment(url, home), **settings},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str) -> dict[str, Any]:
        """Run code there: "out" was printed and logged, "result" its variable, "error" a learner's last line."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def forget(self) -> None:
        """Empty the cache."""
        shutil.rmtree(self.home / "hub", ignore_errors=True)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(60)


_WORKER = """
import io, json, sys, time, traceback
answers, names = sys.stdout, {}
sys.stdout = sys.stderr = seen = io.StringIO()  # before any logger takes hold of the real ones
for line in sys.stdin:
    error, start = "", time.monotonic()
    names.pop("result", None)
    seen.seek(0)
    seen.truncate()
    try:
        exec(json.loads(line), names)
    except BaseException as problem:
        error = traceback.format_exception_only(type(problem), problem)[-1].strip()
    seconds = time.monotonic() - start
    answer = {"out": seen.getvalue(), "error": error, "result": names.get("result"), "seconds": seconds}
    answers.write(json.dumps(answer) + "\\n")
    answers.flush()
"""

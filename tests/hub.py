"""A small Hugging Face Hub on loopback: real HTTP, the endpoints that loading uses, and every way to misbehave.

`Hub` serves folders under the real repository ids; `Client` is a second process that has HF_ENDPOINT pointing there,
because huggingface_hub reads it only once. The folders are AudioLDMs at one eighth of the width in the Hub's own
two formats: today's (safetensors) and that of 2023 (pickled, with the old key names).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from utils.checkpoints import CHECKPOINTS

ROOT = Path(__file__).parent.parent
LARGE = (".safetensors", ".bin")  # what the Hub keeps as LFS: the ETag is a sha256 and lives behind a redirect
CUT = ("truncated", "dropped once", "stalled", "reset")  # faults after which half of a weight file has come
MAIN = hashlib.sha1(b"main").hexdigest()  # the commit of repositories that the project does not pin


class Hub:
    """Serves {repository id: folder}. `fault` makes it misbehave, `requests` is what it was asked."""

    def __init__(self, repositories: dict[str, Path]):
        self.repositories = repositories
        self.fault = ""
        self.requests: list[str] = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # a client that hangs up is nothing to report
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def commit(self, repo: str) -> str:
        return next((c.revision for c in CHECKPOINTS.values() if c.hub_id == repo and c.revision), MAIN)

    def files(self, repo: str) -> dict[str, Path]:
        folder = self.repositories[repo]
        return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def downloaded(self) -> list[str]:
        """The weight files that were sent, in order."""
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
        fault = self.hub.fault
        if fault.startswith("cdn "):  # only where the weights come from
            fault = fault.removeprefix("cdn ") if path.startswith("/cdn/") else ""
        if fault == "silent":
            time.sleep(30)
        elif fault == "portal":  # of a network that wants a log-in first, and answers in everyone's place
            return self._send(200, b"<html>Welcome! Please log in.</html>", {"Content-Type": "text/html"})
        elif fault in ("401", "403", "404", "503"):
            code = {"401": "", "403": "", "404": "RepoNotFound", "503": ""}[fault]
            return self._send(int(fault), b"{}", {"X-Error-Code": code} if code else {})
        elif fault == "gated":
            return self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif fault == "revision" and "/revision/" in path:
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        parts = path.strip("/").split("/")
        if parts[0] == "cdn":
            return self._content(self.hub.files("/".join(parts[1:3]))["/".join(parts[3:])])
        repo = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if repo not in self.hub.repositories:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        commit = self.hub.commit(repo)
        if parts[0] == "api":
            rest = parts[4:]
            if rest[:1] == ["xet-read-token"]:
                dead = {"X-Xet-Cas-Url": "http://127.0.0.1:9", "X-Xet-Access-Token": "none"}
                return self._send(200, b"{}", {**dead, "X-Xet-Token-Expiration": str(int(time.time()) + 3600)})
            if rest[:1] in (["revision"], ["tree"]) and rest[1] not in (commit, "main"):
                return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            answer = self._tree(repo) if rest[:1] == ["tree"] else self._info(repo, commit)
            return self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
        self._resolve(repo, commit, "/".join(parts[4:]))

    def _info(self, repo: str, commit: str) -> dict:
        siblings = [
            {"rfilename": name, "size": path.stat().st_size, "blobId": _oid(path), **_lfs(path, "sha256")}
            for name, path in self.hub.files(repo).items()
        ]
        tags = ["license:cc-by-nc-sa-4.0"]
        return {"_id": "0", "id": repo, "modelId": repo, "sha": commit, "siblings": siblings, "tags": tags}

    def _tree(self, repo: str) -> list[dict]:
        return [
            {"type": "file", "path": name, "size": path.stat().st_size, "oid": _oid(path), **_lfs(path, "oid")}
            for name, path in self.hub.files(repo).items()
        ]

    def _resolve(self, repo: str, commit: str, name: str) -> None:
        path = self.hub.files(repo).get(name)
        if path is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        if path.suffix not in LARGE:
            return self._content(path, {"X-Repo-Commit": commit})
        linked = {"X-Linked-ETag": f'"{_sha256(path)}"', "X-Linked-Size": str(path.stat().st_size)}
        if self.hub.fault == "xet":  # a second way to the weights is offered, and leads nowhere
            linked |= {"X-Xet-Hash": _sha256(path)}
            linked |= {"X-Xet-Refresh-Route": f"{self.hub.url}/api/models/{repo}/xet-read-token/{commit}"}
        location = f"http://localhost:{self.hub.server.server_port}/cdn/{repo}/{name}"  # like a CDN: another host
        self._send(302, b"", {"X-Repo-Commit": commit, "Location": location, **linked})

    def _content(self, path: Path, headers: dict[str, str] | None = None) -> None:
        data, fault = path.read_bytes(), self.hub.fault
        large = path.suffix in LARGE
        headers = {"ETag": f'"{_sha256(path) if large else _oid(path)}"', "Accept-Ranges": "bytes", **(headers or {})}
        if large and fault == "wrong checksum":
            data = data[:-1] + bytes([data[-1] ^ 1])
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        sent = data[start:]
        cut = large and self.command == "GET" and fault in CUT and len(sent) > 1
        if fault == "dropped once" and cut:
            self.hub.fault = ""
        if cut:  # half of it; the rest never comes, however often it is asked for, unless it was dropped once
            sent = sent[:0] if start else sent[: len(sent) // 2]
        self._send(206 if start else 200, sent, headers, length=len(data) - start)
        if cut and fault == "stalled":
            time.sleep(30)
        if cut and fault == "reset":  # closed without a good-bye
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = self.close_connection or cut

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            self.wfile.flush()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _oid(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _lfs(path: Path, key: str) -> dict:
    if path.suffix not in LARGE:
        return {}
    return {"lfs": {key: _sha256(path), "size": path.stat().st_size, "pointerSize": 130}}


class Client:
    """A Python process of its own that talks to a Hub, with an empty cache in `home`."""

    def __init__(self, url: str, home: Path, **environment: str):
        self.home = home
        settings = {
            "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DOWNLOAD_TIMEOUT": "2", "HF_HUB_ETAG_TIMEOUT": "2",
            "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1,localhost", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", _WORKER],
            env={**os.environ, **settings, **environment},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str) -> dict[str, Any]:
        """Run code there: what was printed and logged ("out"), its `result`, the "error" as a learner's last line."""
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


def make_repository(
    folder: Path,
    *,
    in_2023: bool = False,
    real_size: bool = False,
    unet_channels: tuple[int, ...] = (16, 32, 48, 80),
) -> Path:
    """Write an AudioLDM of random weights as the Hub has it: today's format, or that of 2023 (`in_2023`).

    It is small, or (`real_size`) has the 421M parameters of audioldm-s-full-v2.
    """
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import ClapTextConfig, ClapTextModelWithProjection, SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(0)
    make_tokenizer(folder / "tokenizer")
    if real_size:
        text = {"vocab_size": 50265, "projection_dim": 512}  # the rest are the defaults of ClapTextConfig
        unet_channels, vae_channels, vocoder_channels, layers, groups = (
            (128, 256, 384, 640),
            (128, 256, 512),
            1024,
            2,
            32,
        )
    else:
        vocab_size = len(json.loads((folder / "tokenizer" / "vocab.json").read_text()))
        small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        text = {"vocab_size": vocab_size, "projection_dim": 64, **small}
        vae_channels, vocoder_channels, layers, groups = (16, 32, 48), 32, 1, 8
    text_encoder = ClapTextModelWithProjection(ClapTextConfig(max_position_embeddings=514, **text))
    vae = AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=8, block_out_channels=vae_channels, norm_num_groups=groups,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=layers, scaling_factor=0.9392935633659363,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=128, in_channels=8, out_channels=8, block_out_channels=unet_channels, layers_per_block=layers,
        cross_attention_dim=unet_channels, norm_num_groups=groups, attention_head_dim=8,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3 + ("UpBlock2D",), class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=text["projection_dim"], class_embeddings_concat=True,
    )  # fmt: skip
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64, upsample_initial_channel=vocoder_channels, upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4], normalize_before=False,
        )
    )  # fmt: skip
    _at_working_levels(unet, vocoder)
    scheduler = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    parts = {"text_encoder": text_encoder, "vae": vae, "unet": unet, "vocoder": vocoder, "scheduler": scheduler}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    change_json(folder / "vocoder" / "config.json", model_type="hifigan")
    index: dict[str, Any] = {"_class_name": "AudioLDMPipeline", "_diffusers_version": "0.15.0.dev0"}
    index |= {name: [type(part).__module__.split(".")[0], type(part).__name__] for name, part in parts.items()}
    index["tokenizer"] = ["transformers", "RobertaTokenizerFast"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    if in_2023:
        back_to_2023(folder)
    return folder


def _at_working_levels(unet, vocoder) -> None:
    """Fresh weights put out next to nothing; here the UNet's noise has a deviation of 1, and the sound one of 0.2."""
    import torch

    for part in vocoder.modules():
        if isinstance(part, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)):
            part.reset_parameters()
    levels = []
    handle = vocoder.conv_post.register_forward_hook(lambda *event: levels.append(event[-1].std()))
    with torch.no_grad():
        vocoder(torch.randn(100, 64))
        vocoder.conv_post.weight *= 0.2 / levels[0]
        text = torch.nn.functional.normalize(torch.randn(1, unet.config.projection_class_embeddings_input_dim))
        noise = unet(torch.randn(1, 8, 16, 16), 500, encoder_hidden_states=None, class_labels=text).sample
        unet.conv_out.weight /= noise.std()
    handle.remove()


def back_to_2023(folder: Path) -> None:
    """Rewrite a repository's weights as they were kept in 2023: pickled, and under the old names."""
    import torch
    from safetensors.torch import load_file

    for path in sorted(folder.glob("*/*.safetensors")):
        weights = load_file(path)
        if path.parent.name == "vae":
            old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
            for new_name, old_name in old.items():
                for key in [key for key in weights if f".attentions.0.{new_name}." in key]:
                    weights[key.replace(new_name, old_name)] = weights.pop(key)
        if path.parent.name == "text_encoder":
            weights["text_model.embeddings.position_ids"] = torch.arange(514)[None]
        in_transformers = path.parent.name in ("text_encoder", "vocoder")
        torch.save(weights, path.with_name("pytorch_model.bin" if in_transformers else "diffusion_pytorch_model.bin"))
        path.unlink()


def make_tokenizer(folder: Path) -> Path:
    """A RoBERTa tokenizer of a few hundred tokens in the files that AudioLDM's has: its tokenizer.json lacks `type`."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    captions = ["Techno music with a strong, upbeat tempo and high melodic riffs", "a dog barking in the rain"] * 3
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(captions, vocab_size=400, min_frequency=2, special_tokens=special)
    tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    folder.mkdir(parents=True)
    tokenizer.save_model(str(folder))
    fast = json.loads(tokenizer.to_str())
    fast["model"].pop("type")
    merges = fast["model"]["merges"]
    fast["model"]["merges"] = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    (folder / "tokenizer.json").write_text(json.dumps(fast))
    names = dict(zip(("bos", "pad", "eos", "unk", "mask"), special, strict=True))
    tokens = {f"{name}_token": token for name, token in names.items()} | {"cls_token": "<s>", "sep_token": "</s>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens))
    settings = {"tokenizer_class": "RobertaTokenizer", "model_max_length": 512, "add_prefix_space": False, **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def change_json(path: Path, **changes: Any) -> None:
    """Overwrite some values of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

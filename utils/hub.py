"""From a Hub id to a complete folder on this machine; whatever goes wrong on the way is said in one sentence."""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import mmap
import ssl
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from .checkpoints import BY_HUB_ID

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

MODELS = ("text_encoder", "unet", "vae", "vocoder")
ANSWER_SECONDS = 10  # how long the Hub may take to answer


class LoadingError(OSError):
    """A checkpoint could not be had; the message is one sentence that says why and what to do.

    It alone is shown; what the libraries raised is in `__context__`. Explained in lesson 01.
    """

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [f"{type(self).__name__}: {self}"]


def check_files(names: set[str], source: str) -> None:
    """Raise LoadingError unless these files make a complete pipeline that this torch can load safely."""
    import torch

    missing = _missing(names)
    if missing:
        raise LoadingError(f"{source} is no complete AudioLDM: it lacks {', '.join(missing)}; copy or load it again.")
    pickled = any(name.endswith(".bin") for model in MODELS for name in _weights(names, model))
    if pickled and release(torch.__version__) < (2, 6):
        raise LoadingError(
            f"{source} holds pickled weights (.bin), which only torch 2.6 or later reads safely, and this is "
            f"{torch.__version__}: update torch, or take audioldm-s-full-v2, which has safetensors."
        )


def check_kind(model_index: Path, label: str) -> None:
    """Raise LoadingError if this file asks for another pipeline than AudioLDM's."""
    kind = json.loads(model_index.read_text(encoding="utf-8")).get("_class_name")
    if kind != "AudioLDMPipeline":
        raise LoadingError(f"{label} is not an AudioLDM: its model_index.json asks for {kind}.")


def names_in(folder: Path) -> set[str]:
    """The files of a pipeline's folder, "unet/config.json" and so on; nothing that lies deeper."""
    paths = (path for pattern in ("*", "*/*") for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix() for path in paths if path.is_file()}


def _missing(names: set[str]) -> list[str]:
    """What a complete pipeline has and these files lack."""
    needed = ["model_index.json", "scheduler/scheduler_config.json", *(f"{model}/config.json" for model in MODELS)]
    if "tokenizer/tokenizer.json" not in names:
        needed += ["tokenizer/vocab.json", "tokenizer/merges.txt"]
    lacking = [name for name in needed if name not in names]
    return lacking + [f"the weights of {model}" for model in MODELS if not _weights(names, model)]


def _weights(names: set[str], part: str) -> list[str]:
    """A part's weight files: safetensors where there are any, else pickled ones; never the half-precision copies."""
    own = [name for name in names if name.startswith(f"{part}/") and ".fp16." not in name]
    return [n for n in own if n.endswith(".safetensors")] or [n for n in own if n.endswith(".bin")]


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."


def release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])


def download(hub_id: str, revision: str | None, label: str) -> Path:
    """The folder of a checkpoint in the Hub's cache, downloaded and checked where it is not there yet."""
    from huggingface_hub import constants, hf_hub_download, snapshot_download

    if cached := cached_folder(hub_id, revision):
        return cached
    constants.HF_HUB_DISABLE_XET = True  # where Xet is blocked it tries for minutes; HTTP says in seconds what is wrong
    try:
        info = look(hub_id, revision, ANSWER_SECONDS)
        files = {file.rfilename: file for file in info.siblings}
        check_files(set(files), hub_id)
        texts = [n for n in files if n.endswith((".json", ".txt")) and n.split("/")[0] in (*MODELS, "tokenizer")]
        wanted = ["model_index.json", "scheduler/scheduler_config.json", *texts]
        wanted += [name for model in MODELS for name in _weights(set(files), model)]
        check_kind(Path(hf_hub_download(hub_id, "model_index.json", revision=info.sha)), label)
        megabytes = sum(files[name].size or 0 for name in wanted) / 1e6
        licence = BY_HUB_ID[hub_id].licence if hub_id in BY_HUB_ID else "see its page"
        print(f"{label}: downloading {megabytes:,.0f} MB from the Hugging Face Hub (licence: {licence}).")
        folder = Path(snapshot_download(hub_id, revision=info.sha, allow_patterns=wanted))
        damaged = [folder / n for n in wanted if files[n].lfs and _sha256(folder / n) != files[n].lfs.sha256]
        for path in damaged:
            path.resolve().unlink()
            path.unlink(missing_ok=True)  # the link to it
        if damaged:
            names = ", ".join(path.relative_to(folder).as_posix() for path in damaged)
            raise LoadingError(f"{names} of {label} came damaged (wrong checksum), and is removed: load it again.")
    except LoadingError:
        raise
    except Exception as error:
        raise LoadingError(_why_no_download(error, hub_id)) from None
    return folder


def reach(hub_id: str, file: str) -> None:
    """Raise LoadingError, within seconds, where a repository is neither on this machine nor to be had."""
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(hub_id, file), str):
        try:
            look(hub_id, None, ANSWER_SECONDS)
        except Exception as error:
            raise LoadingError(_why_no_download(error, hub_id)) from None


def cached_folder(hub_id: str, revision: str | None) -> Path | None:
    """The complete copy on this machine, if there is one: then no network is needed."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(hub_id, "model_index.json", revision=revision)
    folder = Path(index).parent if isinstance(index, str) else None
    return folder if folder and not _missing(names_in(folder)) else None


def look(hub_id: str, revision: str | None, seconds: float) -> ModelInfo:
    """What the Hub knows of a repository, or an error after `seconds`: a dead name server obeys no HTTP timeout."""
    from huggingface_hub import HfApi

    answer: Future = Future()

    def ask() -> None:
        try:
            options = {"revision": revision, "files_metadata": True, "timeout": seconds}
            answer.set_result(HfApi().model_info(hub_id, **options))
        except Exception as error:
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    return answer.result(seconds + 1)


def _sha256(path: Path) -> str:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return hashlib.sha256(content).hexdigest()


def _why_no_download(error: BaseException | None, hub_id: str) -> str:
    """One sentence for whatever huggingface_hub raised; by the names of classes, which all its versions share."""
    signs: set[str] = set()
    first, status = error, 0
    while error:
        signs |= {cls.__name__ for cls in type(error).__mro__}
        if not isinstance(error, ssl.SSLError):  # its numbers are OpenSSL's, not the system's
            signs |= {errno.errorcode.get(getattr(error, "errno", 0), "")}
        signs |= {
            sign
            for sign in ("Timeout", "Consistency check", "CERTIFICATE_VERIFY_FAILED")
            if sign in f"{type(error).__name__}: {error}"
        }
        status = status or getattr(getattr(error, "response", None), "status_code", 0)
        error = error.__cause__ or error.__context__
    near = [] if hub_id in BY_HUB_ID else difflib.get_close_matches(hub_id, BY_HUB_ID, n=2)
    hint = f": did you mean {' or '.join(near)}?" if near else "."
    offline = "or take mini-s-v2, which needs no network"
    login = "log in with `hf auth login`"
    reasons = (
        (
            {"CERTIFICATE_VERIFY_FAILED", "SSLCertVerificationError"},
            "This network answers for the Hugging Face Hub with a certificate of its own: let SSL_CERT_FILE and "
            f"REQUESTS_CA_BUNDLE name the file with that certificate, {offline}.",
        ),
        ({"ENOSPC", "EDQUOT", "EFBIG"}, f"The disk is full: make room for {hub_id}, or let HF_HOME name another disk."),
        (
            {"EACCES", "EEXIST", "ENOTDIR", "EPERM", "EROFS"},
            f"{hub_id} cannot be kept on this disk: let HF_HOME name a folder that can be written.",
        ),
        ({"GatedRepoError"}, f"{hub_id} is gated: accept its terms on https://huggingface.co/{hub_id} and {login}."),
        ({"RevisionNotFoundError"}, f"{hub_id} no longer has the files that this project pins: update the project."),
        ({"RepositoryNotFoundError"}, f"The Hugging Face Hub has no {hub_id}, or it is private: then {login}{hint}"),
        ({"OfflineModeIsEnabled"}, f"{hub_id} is not on this machine, and HF_HUB_OFFLINE is set: unset it, {offline}."),
        ({"Timeout"}, f"The Hugging Face Hub did not answer in time for {hub_id}: try again, {offline}."),
        ({"JSONDecodeError"}, f"Another server answers in place of the Hub: log in to this network, {offline}."),
        (
            {"Consistency check", "RemoteProtocolError", "ChunkedEncodingError", "ReadError", "ConnectionResetError"},
            f"The download of {hub_id} broke off: load it again, the files that have arrived are kept.",
        ),
        (
            {"ConnectError", "ConnectionError", "ProxyError"},
            f"The Hugging Face Hub cannot be reached: check the network, {offline}.",
        ),
    )
    for kinds, sentence in reasons:
        if kinds & signs:
            return sentence
    if status in (401, 403):
        return f"The Hugging Face Hub refuses {hub_id} (HTTP {status}): {login}, {offline}."
    if status:
        return f"The Hugging Face Hub is out of order (HTTP {status}): try again in some minutes, {offline}."
    return f"{hub_id} could not be downloaded: {first_line(first)}"

"""Download a checkpoint from the Hub to a complete folder on this machine; a failure is one sentence."""

from __future__ import annotations

import errno
import json
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub

from .checkpoints import BY_HUB_ID

MODELS = ("text_encoder", "unet", "vae", "vocoder")
ANSWER_SECONDS = 10  # how long the Hub may take to answer
INSTEAD = "or take mini-s-v2, which needs no network."
REASONS = {  # names of classes and error numbers in the chain of errors -> the sentence; the first row that fits
    "SSLError": f"This network has its own certificate: set SSL_CERT_FILE and REQUESTS_CA_BUNDLE to it, {INSTEAD}",
    "ENOSPC EDQUOT EFBIG EACCES EEXIST ENOTDIR EPERM EROFS": "{id} cannot be kept here, as the disk is full or "
    "read-only: set HF_HOME to another folder.",
    "RevisionNotFoundError": "{id} no longer has the files that this project pins: update the project.",
    "RepositoryNotFoundError": "The Hub refuses {id}: check the name, or log in with `hf auth login`.",
    "OfflineModeIsEnabled": f"{{id}} is not on this machine, and HF_HUB_OFFLINE is set: unset it, {INSTEAD}",
    "ConnectError ProxyError NewConnectionError": f"The Hub cannot be reached: check the network, {INSTEAD}",
    "JSONDecodeError": f"Another server answers in place of the Hub: log in to this network, {INSTEAD}",
    "": f"{{id}} was not downloaded ({{error}}): try again, log in with `hf auth login`, {INSTEAD}",
}


class LoadingError(OSError):
    """A checkpoint could not be had; the message is one sentence with the reason and the remedy.

    It alone is shown; the libraries' own error is in `__context__`.
    """

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [f"{type(self).__name__}: {self}"]


def download(pipeline: type, hub_id: str) -> Path:
    """Return a checkpoint's folder in the Hub's cache; download what this pipeline needs if any of it is missing."""
    known = BY_HUB_ID.get(hub_id)
    revision, label = (known.revision, known.name) if known else (None, hub_id)
    if cached := cached_folder(hub_id, revision):
        return cached
    huggingface_hub.constants.HF_HUB_DISABLE_XET = True  # it tries for minutes where it is blocked; HTTP fails at once
    with as_loading_error(hub_id):
        repo_info(hub_id, revision)
        check_kind(Path(huggingface_hub.hf_hub_download(hub_id, "model_index.json", revision=revision)), label)
        terms = f"{known.download_gb} GB, licence: {known.licence}" if known else "licence: see its page"
        print(f"{label}: downloading from the Hugging Face Hub ({terms}).")
        return Path(pipeline.download(hub_id, revision=revision))


def cached_folder(hub_id: str, revision: str | None) -> Path | None:
    """Return the complete copy on this machine, for which no network is needed, or None."""
    index = huggingface_hub.try_to_load_from_cache(hub_id, "model_index.json", revision=revision)
    return Path(index).parent if isinstance(index, str) and not missing_files(Path(index).parent) else None


def repo_info(hub_id: str, revision: str | None = None, seconds: float | None = None) -> object:
    """Ask the Hub for a repository; TimeoutError a second after HTTP's: a dead name server knows no timeout."""
    seconds, ask = seconds or ANSWER_SECONDS, ThreadPoolExecutor(1).submit
    return ask(huggingface_hub.model_info, hub_id, revision=revision, timeout=seconds).result(seconds + 1)


def missing_files(folder: Path) -> list[str]:
    """List the files, as patterns, that a complete AudioLDM pipeline has and a folder lacks."""
    needed = ["model_index.json", "scheduler/scheduler_config.json", "tokenizer/*.json"]
    needed += [f"{model}/{pattern}" for model in MODELS for pattern in ("config.json", "*model*")]
    return [pattern for pattern in needed if not any(folder.glob(pattern))]


def check_kind(model_index: Path, label: str) -> None:
    """Raise LoadingError where a model_index.json asks for another pipeline than AudioLDM's."""
    kind = json.loads(model_index.read_text(encoding="utf-8")).get("_class_name")
    if kind != "AudioLDMPipeline":
        raise LoadingError(f"{label} is not an AudioLDM: its model_index.json asks for {kind}.")


@contextmanager
def as_loading_error(hub_id: str) -> Iterator[None]:
    """Turn an error of huggingface_hub into a LoadingError, by names of classes, which its versions share."""
    try:
        yield
    except LoadingError:
        raise
    except Exception as problem:
        signs, error = {""}, problem
        while error:
            signs |= {cls.__name__ for cls in type(error).__mro__}
            if not isinstance(error, ssl.SSLError):  # its numbers are OpenSSL's, not the system's
                signs.add(errno.errorcode.get(getattr(error, "errno", None) or 0, ""))
            error = error.__cause__ or error.__context__
        sentence = next(text for names, text in REASONS.items() if signs & set(names.split(" ")))
        raise LoadingError(sentence.format(id=hub_id, error=first_line(problem))) from None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(" for url")[0].rstrip(".")

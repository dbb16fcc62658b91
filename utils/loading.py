"""One call that gives the right pipeline: a checkpoint of Table 1, a mini, any AudioLDM on the Hub, or a folder."""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .checkpoints import CHECKPOINTS

if TYPE_CHECKING:
    import torch
    from diffusers import AudioLDMPipeline
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

AUTO_ON_GPU, AUTO_ELSEWHERE = "audioldm-s-full-v2", "mini-s-v2"
LOOK_SECONDS, ANSWER_SECONDS = 5, 10  # `auto` looks for the Hub this long; an explicit name waits longer
PROBE = "Techno music with a strong, upbeat tempo and high melodic riffs"  # the model card's prompt
MODELS = ("text_encoder", "unet", "vae", "vocoder")
HARMLESS = {  # logger -> what it says on every load of an AudioLDM, though nothing is wrong
    "diffusers.pipelines.pipeline_utils": ("has been deprecated and will not receive", "Expected types for vocoder"),
    "transformers.configuration_utils": ("model of type `hifigan`", "model of type hifigan"),
}
_names: WeakKeyDictionary = WeakKeyDictionary()


class LoadingError(OSError):
    """A checkpoint could not be had; the message is one sentence that says why and what to do."""


def load_pipeline(
    name: str | os.PathLike = "auto",
    *,
    device: str | None = None,
    dtype: str | torch.dtype | None = None,
    offload: bool = False,
    vae_slicing: bool = False,
    original_attention_heads: bool = False,
) -> AudioLDMPipeline:
    """Load a checkpoint as diffusers' own, unmodified `AudioLDMPipeline`.

    name: "auto", a name in Table 1 ("audioldm-s-full-v2"), a mini ("mini-s-v2"), a Hub id ("cvssp/audioldm"), a folder.
      "auto" takes what AUDIOLDM_CHECKPOINT names; else, with CUDA and the Hub in reach, audioldm-s-full-v2; else
      mini-s-v2; and says in one line which, where, in which dtype and why.
    device: "cuda", "mps" or "cpu"; by default the best there is.
    dtype: "float32", "float16" or "bfloat16"; by default float16 on CUDA, else float32. On a CPU "bfloat16" is faster
      where the processor has units for it, and inexact.
    offload: keep only the part that is at work on the GPU (slower, a fraction of the memory; nothing to do on a CPU).
    vae_slicing: decode a batch clip by clip (less memory).
    original_attention_heads: give the UNet the heads of the original AudioLDM, 32 or 64 channels each, where the Hub's
      files ask for 8 heads at every level. What is proven and what is not: lesson 04.

    Raises ValueError for a bad argument, and LoadingError, in one sentence, where the checkpoint cannot be had.
    Explained in lesson 01.
    """
    asked = os.fspath(name)
    device = _device(device)
    why = ""
    if asked == "auto":
        asked, why = _choose(device)
    dtype = _dtype(dtype, device)
    label, folder = _find(asked)
    _check_kind(folder, str(folder))
    _check_names(_names_in(folder), str(folder))
    pipe = _load(folder, label, dtype, original_attention_heads)
    _place(pipe, label, device, offload)
    if vae_slicing:
        pipe.vae.enable_slicing()
    _names[pipe] = label
    if why:
        print(f"{label} on {device} in {str(dtype).removeprefix('torch.')} (auto: {why}).")
    return pipe


def checkpoint_name(pipe: AudioLDMPipeline) -> str:
    """The name of a pipeline's checkpoint, for labels: "mini-s-v2", "audioldm-s-full", a Hub id or a folder's name."""
    if pipe in _names:
        return _names[pipe]
    source = str(pipe.config.get("_name_or_path") or "unknown checkpoint")
    known = (checkpoint.name for checkpoint in CHECKPOINTS.values() if checkpoint.hub_id == source)
    return next(known, Path(source).name if Path(source).is_dir() else source)


def original_heads(channels: tuple[int, ...]) -> list[int]:
    """Attention heads per level of the original AudioLDM's UNet with these `block_out_channels`.

    Its heads are 32 channels wide, in the largest (dim 256) 64. Source: the original's configuration files.
    Explained in lesson 04.
    """
    width = {128: 32, 192: 32, 256: 64}.get(channels[0])
    if width is None:
        raise ValueError(
            "original_attention_heads is for the UNets of the original AudioLDM (dim 128, 192 or 256), "
            f"and this one has dim {channels[0]}."
        )
    return [count // width for count in channels]


# ---- which checkpoint, where, in which dtype


def _choose(device: str) -> tuple[str, str]:
    """What "auto" stands for, and why."""
    wish = os.environ.get("AUDIOLDM_CHECKPOINT", "auto")
    if wish not in ("", "auto"):
        return wish, "AUDIOLDM_CHECKPOINT asks for it"
    if device != "cuda":
        return AUTO_ELSEWHERE, "there is no CUDA device"
    checkpoint = CHECKPOINTS[AUTO_ON_GPU]
    if _cached(checkpoint.hub_id, checkpoint.revision):
        return AUTO_ON_GPU, "there is CUDA, and the checkpoint is on this machine"
    try:
        _look(checkpoint.hub_id, checkpoint.revision, LOOK_SECONDS)
    except Exception:  # whatever it is: without the Hub there is still the mini
        return AUTO_ELSEWHERE, "there is CUDA, but the Hugging Face Hub cannot be reached"
    return AUTO_ON_GPU, "there is CUDA, and the Hugging Face Hub answers"


def _find(asked: str) -> tuple[str, Path]:
    """Label and folder of an explicit name, downloaded if need be."""
    by_hub_id = {checkpoint.hub_id: checkpoint for checkpoint in CHECKPOINTS.values() if checkpoint.hub_id}
    checkpoint = CHECKPOINTS.get(asked) or by_hub_id.get(asked)
    if checkpoint and checkpoint.is_mini:
        if not checkpoint.folder.is_dir():
            raise LoadingError(
                f"{asked} is not in {checkpoint.folder.parent}: clone the whole project, or let "
                "AUDIOLDM_MINI_FOLDER name the folder that holds the mini checkpoints."
            )
        return asked, checkpoint.folder
    if checkpoint:
        return checkpoint.name, _from_hub(checkpoint.hub_id, checkpoint.revision, checkpoint.name)
    folder = Path(asked).expanduser()
    if folder.is_dir():
        return folder.resolve().name, folder
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", asked):
        return asked, _from_hub(asked, None, asked)
    near = difflib.get_close_matches(asked, [*CHECKPOINTS, *by_hub_id], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the names are {', '.join(CHECKPOINTS)}."
    raise ValueError(f"There is no checkpoint or folder {asked!r}: {hint}")


def _device(device: str | None) -> str:
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    device = device or next(kind for kind, is_there in there.items() if is_there)
    kind = str(device).split(":")[0]
    if not there.get(kind):
        here = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise ValueError(f"device={str(device)!r} is not there: this machine has {here}.")
    return str(device)


def _dtype(dtype: str | torch.dtype | None, device: str) -> torch.dtype:
    import torch

    on_cuda = device.startswith("cuda")
    name = str(dtype or ("float16" if on_cuda else "float32")).removeprefix("torch.")
    if name not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"dtype={name!r} is not one of float32, float16, bfloat16.")
    if name == "float16" and device == "cpu":
        raise ValueError("dtype='float16' is for GPUs: on a CPU use float32, or bfloat16 (inexact).")
    if name == "bfloat16" and on_cuda and torch.cuda.get_device_capability(device)[0] < 8:
        raise ValueError("dtype='bfloat16' needs a GPU of 2020 or later (Ampere): on this one use float16.")
    return getattr(torch, name)


# ---- from folder to pipeline


def _check_kind(folder: Path, source: str) -> None:
    """Raise LoadingError unless the folder's model_index.json is that of an AudioLDM pipeline."""
    try:
        kind = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"]
    except FileNotFoundError as error:
        raise LoadingError(f"{source} is not a diffusers pipeline: it has no model_index.json.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadingError(f"The model_index.json of {source} cannot be read: {_first_line(error)}") from error
    if kind != "AudioLDMPipeline":
        raise LoadingError(f"{source} is a {kind}, not an AudioLDMPipeline.")


def _check_names(names: set[str], source: str) -> None:
    """Raise LoadingError unless these files make a complete pipeline that this torch can load safely."""
    import torch

    missing = _missing(names)
    if missing:
        raise LoadingError(f"{source} is incomplete: it lacks {', '.join(missing)}; copy or download it again.")
    pickled = any(name.endswith(".bin") for model in MODELS for name in _weights(names, model))
    if pickled and _release(torch.__version__) < (2, 6):
        raise LoadingError(
            f"{source} holds pickled weights (.bin), which only torch 2.6 or later reads safely, and this is "
            f"{torch.__version__}: update torch, or take {AUTO_ON_GPU}, which has safetensors."
        )


def _names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.glob("*/*") if path.is_file()}


def _weights(names: set[str], part: str) -> list[str]:
    """A part's weight files: safetensors where there are any, else pickled ones; never the half-precision copies."""
    own = [name for name in names if name.startswith(f"{part}/") and ".fp16." not in name]
    return [n for n in own if n.endswith(".safetensors")] or [n for n in own if n.endswith(".bin")]


def _wanted(names: set[str]) -> list[str]:
    """The files that loading needs, of all that a repository has."""
    texts = [
        n for n in names if n.split("/")[0] in (*MODELS, "scheduler", "tokenizer") and n.endswith((".json", ".txt"))
    ]
    return sorted(["model_index.json", *texts, *(name for model in MODELS for name in _weights(names, model))])


def _missing(names: set[str]) -> list[str]:
    """What a complete pipeline has and these files lack."""
    needed = ["scheduler/scheduler_config.json", *(f"{model}/config.json" for model in MODELS)]
    if "tokenizer/tokenizer.json" not in names:
        needed += ["tokenizer/vocab.json", "tokenizer/merges.txt"]
    lacking = [name for name in needed if name not in names]
    return lacking + [f"the weights of {model}" for model in MODELS if not _weights(names, model)]


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])


def _load(folder: Path, label: str, dtype: torch.dtype, original: bool) -> AudioLDMPipeline:
    import diffusers

    from . import vocoder  # noqa: F401  (diffusers only takes a mini's vocoder from a module that is already there)

    options: dict[str, Any] = {"dtype" if _release(diffusers.__version__) >= (0, 40) else "torch_dtype": dtype}
    settings = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8")) if original else {}
    heads = {"attention_head_dim": original_heads(settings["block_out_channels"])} if original else {}
    try:
        with _quiet():
            unet = diffusers.UNet2DConditionModel.from_pretrained
            parts = {"unet": unet(folder / "unet", **heads, **options)} if heads else {}
            pipe = diffusers.AudioLDMPipeline.from_pretrained(folder, **parts, **options)
    except Exception as error:  # whatever it is, the files are at fault: they were complete a moment ago
        raise LoadingError(f"{label} cannot be read from {folder}: {_first_line(error)}") from error
    if pipe.unet.dtype != dtype:
        raise LoadingError(f"{label} was asked for in {dtype} and came in {pipe.unet.dtype}.")
    _prove_tokenizer(pipe, folder / "tokenizer", label)
    return pipe


def _prove_tokenizer(pipe: AudioLDMPipeline, folder: Path, label: str) -> None:
    """Split a known prompt with the pipeline's tokenizer and by the checkpoint's own rules; repair what differs.

    transformers 5.0 to 5.16 read some RobertaTokenizerFast without its merges, and every prompt falls into letters.
    """
    right = _split_by_the_files(folder, PROBE)
    count = len(pipe.tokenizer(PROBE).input_ids)
    if pipe.tokenizer(PROBE).input_ids == right:
        return
    from transformers import RobertaTokenizer

    pipe.register_modules(tokenizer=RobertaTokenizer.from_pretrained(folder))
    if pipe.tokenizer(PROBE).input_ids != right:
        raise LoadingError(f"The tokenizer of {label} splits prompts wrongly: update transformers to 5.17 or later.")
    print(
        f"{label}: repaired the tokenizer, which this transformers version loads without its merges "
        f"(the test prompt fell into {count} pieces instead of {len(right)})."
    )


def _split_by_the_files(folder: Path, prompt: str) -> list[int]:
    """A prompt's tokens by byte-level BPE, straight from the vocabulary and the merges."""
    from tokenizers import ByteLevelBPETokenizer

    if (folder / "merges.txt").exists():
        vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        merges = [line for line in lines if line and not line.startswith("#version")]
    else:
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        vocab, merges = model["vocab"], model["merges"]
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    return [vocab["<s>"], *ByteLevelBPETokenizer(vocab, pairs).encode(prompt).ids, vocab["</s>"]]


def _place(pipe: AudioLDMPipeline, label: str, device: str, offload: bool) -> None:
    import torch

    try:
        if offload and device != "cpu":
            pipe.enable_model_cpu_offload(device=device)
        else:
            pipe.to(device)
    except torch.cuda.OutOfMemoryError as error:
        pipe.to("cpu")
        torch.cuda.empty_cache()
        raise LoadingError(
            f"{label} does not fit into the memory of {device}: pass offload=True, take a smaller checkpoint, "
            "or restart what else holds the GPU."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the loading bars and the known harmless messages; everything else is let through."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    def is_news(record: logging.LogRecord) -> bool:
        return not any(text in record.getMessage() for text in HARMLESS[record.name])

    bars = [library for library in (diffusers_logging, transformers_logging) if library.is_progress_bar_enabled()]
    for library in bars:
        library.disable_progress_bar()
    for name in HARMLESS:
        logging.getLogger(name).addFilter(is_news)
    try:
        yield
    finally:
        for name in HARMLESS:
            logging.getLogger(name).removeFilter(is_news)
        for library in bars:
            library.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."


# ---- from the Hub to a folder


def _from_hub(hub_id: str, revision: str | None, label: str) -> Path:
    """The folder of a checkpoint in the Hub's cache, downloaded and checked where it is not there yet."""
    from huggingface_hub import hf_hub_download, snapshot_download

    cached = _cached(hub_id, revision)
    if cached:
        return cached
    try:
        info = _look(hub_id, revision, ANSWER_SECONDS)
        sizes = {file.rfilename: file for file in info.siblings}
        index = hf_hub_download(hub_id, "model_index.json", revision=info.sha)
        _check_kind(Path(index).parent, hub_id)
        _check_names(set(sizes), hub_id)
        files = [sizes[name] for name in _wanted(set(sizes))]
        licence = next((tag[8:] for tag in info.tags or [] if tag.startswith("license:")), "see its page")
        known = next((c.licence for c in CHECKPOINTS.values() if c.hub_id == hub_id), licence)
        print(f"{label}: downloading {_size(files)} from the Hugging Face Hub (licence {known}).")
        folder = Path(snapshot_download(hub_id, revision=info.sha, allow_patterns=[file.rfilename for file in files]))
        _verify(folder, files)
    except LoadingError:
        raise
    except Exception as error:
        raise LoadingError(_why_no_download(error, hub_id)) from error
    return folder


def _cached(hub_id: str, revision: str | None) -> Path | None:
    """The complete copy on this machine, if there is one: then no network is needed."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(hub_id, "model_index.json", revision=revision)
    folder = Path(index).parent if isinstance(index, str) else None
    return folder if folder and not _missing(_names_in(folder)) else None


def _look(hub_id: str, revision: str | None, seconds: float) -> ModelInfo:
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


def _size(files: list[RepoSibling]) -> str:
    total = sum(file.size or 0 for file in files)
    return f"{total / 1e9:.1f} GB" if total >= 1e8 else f"{total / 1e6:.1f} MB"


def _verify(folder: Path, files: list[RepoSibling]) -> None:
    """Compare sizes and checksums with what the Hub promised; what is damaged is removed."""
    for file in files:
        path = folder / file.rfilename
        right = file.size in (None, path.stat().st_size)
        if right and file.lfs:
            digest = hashlib.sha256()
            with path.open("rb") as content:
                while block := content.read(1 << 20):
                    digest.update(block)
            right = digest.hexdigest() == file.lfs.sha256
        if not right:
            for damaged in (path.resolve(), path):
                damaged.unlink(missing_ok=True)
            raise LoadingError(f"{file.rfilename} arrived damaged (wrong checksum) and was removed: run this again.")


def _why_no_download(error: BaseException | None, hub_id: str) -> str:
    """One sentence for whatever huggingface_hub raised; by class names, which its versions share."""
    from huggingface_hub.constants import HF_HUB_CACHE

    chain: list[BaseException] = []
    while error and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    kinds = " ".join(cls.__name__ for link in chain for cls in type(link).__mro__)
    status = next((r.status_code for link in chain if (r := getattr(link, "response", None)) is not None), 0)
    numbers = {link.errno for link in chain if isinstance(link, OSError)}
    offline = f"or take {AUTO_ELSEWHERE}, which needs no network"
    if numbers & {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return f"The disk is full: make room in {HF_HUB_CACHE} for {hub_id}, or let HF_HOME name a folder elsewhere."
    if "GatedRepoError" in kinds or status == 403:
        return f"{hub_id} wants your consent: accept its terms on https://huggingface.co/{hub_id} and `hf auth login`."
    if "RevisionNotFoundError" in kinds:
        return f"{hub_id} no longer has the revision that this project pins: update the project."
    if "EntryNotFoundError" in kinds and status == 404:
        return f"{hub_id} is not a diffusers pipeline: it has no model_index.json."
    if "RepositoryNotFoundError" in kinds or status in (401, 404):
        near = difflib.get_close_matches(hub_id, [c.hub_id for c in CHECKPOINTS.values() if c.hub_id], n=2)
        hint = f": did you mean {' or '.join(near)}?" if near else "."
        return f"There is no {hub_id} on the Hugging Face Hub, or it is private and needs `hf auth login`{hint}"
    if status >= 400:
        return f"The Hugging Face Hub is out of order (HTTP {status}): try again in some minutes, {offline}."
    if "OfflineModeIsEnabled" in kinds:
        return f"HF_HUB_OFFLINE is set, and {hub_id} is not on this machine: unset it, {offline}."
    if "Timeout" in kinds:
        return f"The Hugging Face Hub did not answer in time for {hub_id}: try again, {offline}."
    if any("Consistency check" in str(link) for link in chain) or "RemoteProtocolError" in kinds:
        return f"The download of {hub_id} broke off: run this again, what has arrived is kept."
    if "ConnectError" in kinds or "ConnectionError" in kinds:
        return f"The Hugging Face Hub cannot be reached for {hub_id}: check the network, {offline}."
    return f"{hub_id} could not be downloaded: {_first_line(chain[0])}"

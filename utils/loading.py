"""One call that gives the right pipeline: a checkpoint of Table 1, a mini, any AudioLDM on the Hub, or a folder."""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .checkpoints import BY_HUB_ID, CHECKPOINTS, MINI_REGIME, MINIS, REAL_REGIME
from .device import best_device, best_dtype
from .hub import LoadingError, cached_folder, check_files, check_kind, download, first_line, look, names_in, release
from .setup import fetch_part
from .tokenizer import prove_tokenizer

if TYPE_CHECKING:
    import torch
    from diffusers import AudioLDMPipeline

ON_GPU, ELSEWHERE = "audioldm-s-full-v2", "mini-s-v2"  # what "auto" stands for
LOOK_SECONDS = 4  # how long "auto" waits for the Hub to answer
HARMLESS = {  # logger -> what it says when an AudioLDM is loaded, though nothing is wrong
    "diffusers.pipelines.pipeline_utils": ("has been deprecated and will not receive", "Expected types for vocoder"),
    "diffusers.models.modeling_utils": ("Defaulting to unsafe serialization",),  # pickled, but read weights-only
    "transformers.configuration_utils": ("model of type `hifigan`", "model of type hifigan"),
}
_names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


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
      where the processor has units for it, inexact, and several times slower where it has none, which a line then says.
    offload: keep only the part that is at work on the GPU (slower, a fraction of the memory; nothing to do on a CPU).
    vae_slicing: decode a batch clip by clip (less memory).
    original_attention_heads: give the UNet the heads of the original AudioLDM, 32 or 64 channels each, where the Hub's
      files ask for 8 heads at every level. What is proven and what is not: lesson 06.

    Raises ValueError for a bad argument, and LoadingError, in one sentence, where the checkpoint cannot be had.
    Explained in lesson 01.
    """
    device = best_device(device)
    dtype = best_dtype(dtype, device)
    label, folder, why = locate(name, device)
    check_files(names_in(folder), str(folder))
    pipe = _load(folder, label, dtype, original_attention_heads)
    _place(pipe, label, device, offload)
    if vae_slicing:
        pipe.vae.enable_slicing()
    _names[pipe] = label
    if why:
        print(f"{label} on {device} in {str(dtype).removeprefix('torch.')} (auto: {why}).")
    return pipe


def checkpoint_name(pipe: AudioLDMPipeline) -> str:
    """The name of a pipeline's checkpoint, for labels: "mini-s-v2", "audioldm-s-full", a Hub id or a folder's name.

    Explained in lesson 04.
    """
    source = _names.get(pipe) or str(pipe.config.get("_name_or_path") or "unknown checkpoint")
    if source in BY_HUB_ID:
        return BY_HUB_ID[source].name
    return Path(source).name if Path(source).is_dir() else source


def is_mini(pipe: AudioLDMPipeline) -> bool:
    """Whether a pipeline is of the mini family, or in its format. Explained in lesson 02."""
    return checkpoint_name(pipe) in MINIS or type(pipe.vocoder).__name__ == "GriffinLimVocoder"


def cpu_threads(pipe: AudioLDMPipeline) -> int | None:
    """How many threads a clip is made with on a CPU: one for a mini, which gains nothing by a second; None: as set."""
    return 1 if is_mini(pipe) and next(pipe.unet.parameters()).device.type == "cpu" else None


def regime(pipe: AudioLDMPipeline) -> dict:
    """The steps and the length in which a checkpoint is compared fairly: `generate(pipe, prompt, **regime(pipe))`.

    `num_inference_steps` at the knee, `audio_length_in_s` as in its training: 10 and 2.56 s for the minis, 25 and
    10.24 s for the real checkpoints and whatever else has their format. Explained in lesson 03.
    """
    return dict(MINI_REGIME if is_mini(pipe) else REAL_REGIME)


def original_heads(channels: tuple[int, ...]) -> list[int]:
    """Attention heads per level of the original AudioLDM's UNet with these `block_out_channels`.

    Its heads are 32 channels wide, in the largest (dim 256) 64. Source: the original's configuration files.
    Raises ValueError for other UNets. Explained in lesson 06.
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
    wish = os.environ.get("AUDIOLDM_CHECKPOINT", "")
    if wish not in ("", "auto"):
        return wish, "AUDIOLDM_CHECKPOINT asks for it"
    if not device.startswith("cuda"):
        return ELSEWHERE, f"device={device!r} is asked for" if best_device(
            None
        ) == "cuda" else "there is no CUDA device"
    real = CHECKPOINTS[ON_GPU]
    if cached_folder(real.hub_id, real.revision):
        return ON_GPU, "there is CUDA, and the checkpoint is on this machine"
    try:
        look(real.hub_id, real.revision, LOOK_SECONDS)
    except Exception:  # whatever it is: without the Hub there is still the mini
        return ELSEWHERE, "there is CUDA, but the Hugging Face Hub cannot be reached"
    return ON_GPU, "there is CUDA, and the Hugging Face Hub answers"


def locate(name: str | os.PathLike, device: str | None = None) -> tuple[str, Path, str]:
    """Label and folder of a checkpoint, downloaded if need be, and why "auto" chose it; see `load_pipeline`."""
    asked, why = _choose(best_device(device)) if name == "auto" else (os.fspath(name), "")
    return *_find(asked), why


def _find(asked: str) -> tuple[str, Path]:
    """Label and folder of an explicit name."""
    checkpoint = CHECKPOINTS.get(asked) or BY_HUB_ID.get(asked)
    if checkpoint and checkpoint.hub_id:
        return checkpoint.name, download(checkpoint.hub_id, checkpoint.revision, checkpoint.name)
    folder = checkpoint.folder if checkpoint else Path(asked).expanduser()
    if folder.is_dir() or (checkpoint and fetch_part(folder)):
        return checkpoint.name if checkpoint else folder.resolve().name, folder
    if checkpoint:
        raise LoadingError(
            f"{asked} is not in {folder.parent}: clone the whole project, or let AUDIOLDM_MINI_FOLDER name the folder "
            "that holds the minis."
        )
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", asked):
        return asked, download(asked, None, asked)
    near = difflib.get_close_matches(asked, [*CHECKPOINTS, *BY_HUB_ID], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the names are {', '.join(CHECKPOINTS)}."
    raise ValueError(f"There is no checkpoint or folder {asked!r}: {hint}")


# ---- from folder to pipeline


def _load(folder: Path, label: str, dtype: torch.dtype, original: bool) -> AudioLDMPipeline:
    import diffusers

    from . import vocoder  # noqa: F401  (diffusers takes a mini's vocoder only from a module that is already there)

    options: dict[str, Any] = {"dtype" if release(diffusers.__version__) >= (0, 40) else "torch_dtype": dtype}
    with _reading(folder, label):
        check_kind(folder / "model_index.json", label)
        channels = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))["block_out_channels"]
    heads = {"attention_head_dim": original_heads(channels)} if original else {}
    with _reading(folder, label), quiet():
        unet = diffusers.UNet2DConditionModel.from_pretrained
        parts = {"unet": unet(folder / "unet", **heads, **options)} if heads else {}
        pipe = diffusers.AudioLDMPipeline.from_pretrained(folder, **parts, **options)
        prove_tokenizer(pipe, folder / "tokenizer", label)
    if pipe.unet.dtype != dtype:
        raise LoadingError(f"{label} was asked for in {dtype} and came in {pipe.unet.dtype}.")
    return pipe


@contextmanager
def _reading(folder: Path, label: str) -> Iterator[None]:
    """Whatever goes wrong here, the files are at fault."""
    try:
        yield
    except LoadingError:
        raise
    except Exception as error:
        raise LoadingError(f"{label} cannot be read from {folder}: {first_line(error)}") from None


def _place(pipe: AudioLDMPipeline, label: str, device: str, offload: bool) -> None:
    import torch

    if device == "cpu" and pipe.unet.dtype == torch.bfloat16:
        for part in (pipe.unet, pipe.vae):
            part.to(memory_format=torch.channels_last)  # the layout in which such convolutions are fastest
    try:
        if offload and device != "cpu":
            pipe.enable_model_cpu_offload(device=device)
        else:
            pipe.to(device)
    except torch.cuda.OutOfMemoryError:
        pipe.to("cpu")
        torch.cuda.empty_cache()
        raise LoadingError(
            f"{label} does not fit into the memory of {device}: pass offload=True, take a smaller checkpoint, "
            "or end what else uses the GPU."
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
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

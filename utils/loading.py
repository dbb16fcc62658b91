"""Load the right pipeline by one call: a checkpoint of Table 1, a mini, any AudioLDM on the Hub, or a folder.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import diffusers
import torch
import transformers
from packaging.version import Version

from .checkpoints import BY_HUB_ID, CHECKPOINTS, FETCH, MINI_REGIME, MINIS, PROBE, REAL_REGIME, original_heads
from .hub import LoadingError, cached_folder, check_kind, download, first_line, missing_files, repo_info
from .vocoder import GriffinLimVocoder  # diffusers finds a mini's vocoder in the module that is loaded here

if TYPE_CHECKING:
    from diffusers import AudioLDMPipeline

TESTED_DIFFUSERS = "0.42.1"  # the newest one that the tests have seen: the upper bound in requirements.txt
ON_GPU, ELSEWHERE = "audioldm-s-full-v2", "mini-s-v2"  # the two values of "auto"
LOOK_SECONDS = 4  # how long "auto" waits for the Hub to answer
LOGGERS = ("diffusers.pipelines.pipeline_utils", "diffusers.models.modeling_utils", "transformers.configuration_utils")
HARMLESS = re.compile(  # messages hidden while an AudioLDM is loaded; its pickles are read weights-only
    "has been deprecated and will not receive|Expected types for vocoder|model of type .?hifigan"
    r"|unsafe serialization|no file named \w+\.safetensors"
)
_names: WeakKeyDictionary[AudioLDMPipeline, str] = WeakKeyDictionary()
_loading = threading.RLock()  # transformers patches torch while it loads: one model at a time
THREADS = torch.get_num_threads()


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
      "auto" takes the checkpoint that AUDIOLDM_CHECKPOINT names; else, with CUDA and the Hub in reach,
      audioldm-s-full-v2; else mini-s-v2; and says in one line which, where, in which dtype and why.
    device: "cuda", "mps" or "cpu"; by default the best there is.
    dtype: "float32", "float16" or "bfloat16"; by default float16 on CUDA, else float32. "bfloat16" is inexact, and
      faster on CPUs with instructions for it, several times slower on others.
    offload: keep only the active model on the GPU (slower, a fraction of the memory; without effect on a CPU).
    vae_slicing: decode a batch clip by clip (less memory).
    original_attention_heads: give the UNet the heads of the original AudioLDM, 32 or 64 channels each, where the Hub's
      files ask for 8 heads at every level. Evidence and open questions: docs/real.md.

    Raises ValueError for a bad argument, and LoadingError, in one sentence, where the checkpoint cannot be loaded.
    """
    device = best_device(device)
    dtype = best_dtype(dtype, device)
    label, folder, why = locate(name, device)
    pipe = _read(folder, label, dtype, original_attention_heads)
    _place(pipe, label, device, offload)
    if vae_slicing:
        pipe.vae.enable_slicing()
    _names[pipe] = label
    threads = 1 if is_mini(pipe) else THREADS  # a mini gains nothing by a second thread
    if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)
    if why:
        print(f"{label} on {device} in {str(dtype).removeprefix('torch.')} (auto: {why}).")
    return pipe


def pipeline_class() -> type[AudioLDMPipeline]:
    """Return diffusers' `AudioLDMPipeline`, or raise LoadingError with the version that has it."""
    try:
        from diffusers import AudioLDMPipeline
    except (ImportError, RuntimeError):  # RuntimeError is diffusers' own, where a module of it cannot be imported
        remedy = f"`pip install diffusers=={TESTED_DIFFUSERS}`, then restart Python"
        raise LoadingError(f"The diffusers that is installed here has no AudioLDMPipeline: {remedy}.") from None
    return AudioLDMPipeline


def checkpoint_name(pipe: AudioLDMPipeline) -> str:
    """Return the name of a pipeline's checkpoint, for labels: "mini-s-v2", a Hub id or a folder's name.

    Explained in lesson 02.
    """
    source = _names.get(pipe) or str(pipe.config.get("_name_or_path") or "unknown checkpoint")
    label = BY_HUB_ID[source].name if source in BY_HUB_ID else source
    return Path(source).name if Path(source).is_dir() else label


def is_mini(pipe: AudioLDMPipeline) -> bool:
    """Return whether a pipeline is of the mini family, or in its format."""
    name = checkpoint_name(pipe)
    if isinstance(pipe.vocoder, GriffinLimVocoder) and name not in CHECKPOINTS:
        MINIS.add(name)  # clips store only the name of their checkpoint
    return name in MINIS or isinstance(pipe.vocoder, GriffinLimVocoder)


def regime(pipe: AudioLDMPipeline) -> dict:
    """Return the steps and the length of a fair comparison: `generate(pipe, prompt, **regime(pipe))`.

    `num_inference_steps` at the knee, `audio_length_in_s` as in the training: 10 and 2.56 s for the minis, 25 and
    10.24 s for the real checkpoints and all others in their format. Explained in lesson 03.
    """
    return dict(MINI_REGIME if is_mini(pipe) else REAL_REGIME)


# ---- which checkpoint, where, in which dtype


def locate(name: str | os.PathLike, device: str | None = None) -> tuple[str, Path, str]:
    """Return label and folder of a checkpoint, downloaded if need be, and why "auto" chose it; see `load_pipeline`."""
    asked, why = _choose(best_device(device)) if name == "auto" else (os.fspath(name), "")
    known = CHECKPOINTS.get(asked) or BY_HUB_ID.get(asked)
    if known and known.hub_id:
        return known.name, download(pipeline_class(), known.hub_id), why
    folder = known.folder if known else Path(asked).expanduser()
    for fetch in FETCH if known and not folder.is_dir() else ():
        fetch(folder)
    if folder.is_dir():
        return known.name if known else folder.resolve().name, folder, why
    if known:
        raise LoadingError(f"{asked} is not in {folder.parent}: clone the project, or set AUDIOLDM_MINI_FOLDER.")
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", asked):
        return asked, download(pipeline_class(), asked), why
    raise ValueError(f"There is no checkpoint or folder {asked!r}: the names are {', '.join(CHECKPOINTS)}.")


def _choose(device: str) -> tuple[str, str]:
    """Return the name that "auto" stands for, and why."""
    if (wish := os.environ.get("AUDIOLDM_CHECKPOINT", "")) not in ("", "auto"):
        return wish, "AUDIOLDM_CHECKPOINT asks for it"
    if not device.startswith("cuda"):
        return ELSEWHERE, f"{device} is asked for" if best_device(None) == "cuda" else "there is no CUDA device"
    real = CHECKPOINTS[ON_GPU]
    if cached_folder(real.hub_id, real.revision):
        return ON_GPU, "there is CUDA, and the checkpoint is on this machine"
    try:
        repo_info(real.hub_id, real.revision, LOOK_SECONDS)
    except Exception:  # of any kind: without the Hub there is still the mini
        return ELSEWHERE, "there is CUDA, but the Hugging Face Hub cannot be reached"
    return ON_GPU, "there is CUDA, and the Hugging Face Hub answers"


def best_device(device: str | None) -> str:
    """Return the device that is asked for, or the best there is; ValueError where this machine does not have it."""
    here = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    here += ["mps", "cpu"] if torch.backends.mps.is_available() else ["cpu"]
    best = here[0].split(":")[0]
    if (device := str(device or best)) not in (best, *here):
        raise ValueError(f"device={device!r} is not there: this machine has {', '.join(here)}.")
    return device


def best_dtype(dtype: str | torch.dtype | None, device: str) -> torch.dtype:
    """Return the dtype that is asked for, or the best for a device; ValueError where the device cannot work in it."""
    on_cuda = device.startswith("cuda")
    name = str(dtype or ("float16" if on_cuda else "float32")).removeprefix("torch.")
    if name not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"dtype={name!r} is not one of float32, float16, bfloat16.")
    if name == "float16" and device == "cpu":
        raise ValueError("dtype='float16' is for GPUs: on a CPU use float32, or bfloat16 (inexact).")
    if name == "bfloat16" and on_cuda and torch.cuda.get_device_capability(device)[0] < 8:
        raise ValueError("dtype='bfloat16' needs a GPU of the Ampere generation (2020) or later: here use float16.")
    return getattr(torch, name)


# ---- from folder to pipeline


def _read(folder: Path, label: str, dtype: torch.dtype, original: bool) -> AudioLDMPipeline:
    """Read a pipeline's files; LoadingError, in one sentence, where they are incomplete or damaged."""
    if missing := missing_files(folder):
        raise LoadingError(f"{folder} is no complete AudioLDM: it lacks {', '.join(missing)}; copy or load it again.")
    options = {"dtype" if Version(diffusers.__version__) >= Version("0.40") else "torch_dtype": dtype}
    with quiet():
        try:
            check_kind(folder / "model_index.json", label)
            pipe = pipeline_class().from_pretrained(folder, **options)
            _repair_tokenizer(pipe, folder / "tokenizer", label)
        except LoadingError:
            raise
        except Exception as error:
            raise LoadingError(f"{label} cannot be read from {folder}: {first_line(error)}.") from None
        if original:
            options["attention_head_dim"] = original_heads(pipe.unet.config.block_out_channels)
            pipe.register_modules(unet=type(pipe.unet).from_pretrained(folder / "unet", **options))
    return pipe


def _place(pipe: AudioLDMPipeline, label: str, device: str, offload: bool) -> None:
    """Move a pipeline to its device; LoadingError where it does not fit."""
    if device == "cpu" and pipe.unet.dtype == torch.bfloat16:
        for part in (pipe.unet, pipe.vae):
            part.to(memory_format=torch.channels_last)  # the layout in which such convolutions are fastest
    try:
        pipe.enable_model_cpu_offload(device=device) if offload and device != "cpu" else pipe.to(device)
    except torch.cuda.OutOfMemoryError:
        pipe.to("cpu")
        torch.cuda.empty_cache()
        remedy = "pass offload=True, take a smaller checkpoint, or end what else uses the GPU"
        raise LoadingError(f"{label} does not fit into the memory of {device}: {remedy}.") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the loading bars and the known harmless messages; let everything else through."""
    with _loading, ExitStack() as undo:
        for library in (diffusers.utils.logging, transformers.utils.logging):
            if library.is_progress_bar_enabled():
                library.disable_progress_bar()
                undo.callback(library.enable_progress_bar)
        for logger in map(logging.getLogger, LOGGERS):
            is_news = lambda record: not HARMLESS.search(record.getMessage())  # noqa: E731
            logger.addFilter(is_news)
            undo.callback(logger.removeFilter, is_news)
        yield


def _repair_tokenizer(pipe: AudioLDMPipeline, folder: Path, label: str) -> None:
    """Replace the tokenizer by one built from its merges if the two split a test prompt differently.

    transformers 5.0 to 5.16 load a RobertaTokenizerFast whose tokenizer.json does not name its model without its
    merges, and every prompt falls into letters.
    """
    skipped = "tokenizer.json" if (folder / "merges.txt").is_file() else ""  # it is built anew from the two files
    with TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(skipped), dirs_exist_ok=True)
        right = transformers.AutoTokenizer.from_pretrained(copy)
    found, expected = pipe.tokenizer(PROBE).input_ids, right(PROBE).input_ids
    if found != expected:
        pipe.register_modules(tokenizer=right)
        counts = f"a test prompt falls into {len(found)} tokens instead of {len(expected)}"
        print(f"{label}: transformers {transformers.__version__} misreads its tokenizer ({counts}); repaired.")

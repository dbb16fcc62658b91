"""Embed sounds and words in CLAP's common space, and score how well they fit.

Explained in lesson 02 (`notebooks/02_prompt_engineering.ipynb`); the space itself in lesson 06.
"""

from __future__ import annotations

import reprlib
import threading
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import transformers
from huggingface_hub import try_to_load_from_cache

from .checkpoints import CHECKPOINTS, MINI_CLAP, MINIS, REAL_CLAP
from .checks import as_list, check_str
from .clip import Clip, check_clips
from .hub import as_loading_error, repo_info
from .loading import is_mini, quiet

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_lock = threading.RLock()  # a tokenizer serves one thread at a time
LEVEL_DB = -20.0  # dBFS, the rms to which a clip is brought before CLAP
KINDS = [  # of sound that the minis were trained on
    "rain", "wind", "ocean waves", "a stream", "thunder", "applause", "an engine", "a helicopter", "a siren",
    "an alarm", "a bell", "birds", "a dog", "a cat", "a clock", "footsteps", "a hammer", "speech", "techno music",
    "drums", "a piano", "a guitar", "a flute", "an organ",
]  # fmt: skip


def clap_for(pipe: DiffusionPipeline) -> str:
    """Return the CLAP that judges a pipeline's clips: "mini-clap" for the minis, else "laion/clap-htsat-unfused".

    To be passed as `model` where only texts or recordings are given.
    """
    return MINI_CLAP if is_mini(pipe) else REAL_CLAP


def clap_embed(items: Clip | str | Sequence[Clip] | Sequence[str], model: str = "auto") -> np.ndarray:
    """Embed clips, or texts, in CLAP's common space: unit-norm float32 vectors of shape (items, 64 or 512).

    `clap_embed(clips) @ clap_embed(texts).T` is the table of cosines of every clip with every text. One clip or text
    counts as a list of one. `model` is "mini-clap" (64), the Hub's "laion/clap-htsat-unfused" (512), any other CLAP or
    folder, or "auto": the first for clips of the mini checkpoints only, else the second (texts alone do not tell: name
    it). Clips are resampled, brought to one level (an rms of -20 dBFS: of 48 clips of a mini, 100% are then named as
    asked; without it, played 20 dB lower, 62%), and cut or repeated to the model's length (5 s at
    16 kHz for the mini, 10 s at 48 kHz for the other), so the result does not depend on chance or order.

    Raises:
        ValueError: nothing is given, clips and texts are mixed, texts come with "auto", or a clip has NaN samples.
        OSError: the model cannot be loaded.

    Source: Wu et al. 2023 (arXiv 2211.06687), `transformers.ClapModel`.
    """
    items = as_list("items", items)
    kinds = {str if isinstance(item, str) else Clip if isinstance(item, Clip) else None for item in items}
    if kinds not in ({str}, {Clip}):
        raise ValueError(f"clap_embed takes clips, or texts, never mixed, not {reprlib.repr(items)}.")
    if kinds == {str} and model == "auto":
        raise ValueError(f'Texts alone do not say which CLAP they are for: pass model="mini-clap" or "{REAL_CLAP}".')
    model = _choose_clap(items) if model == "auto" else model
    return np.stack([_embedded(model, item) for item in items])  # one at a time: padding would change the last digits


def clap_similarity(
    clips: Clip | Sequence[Clip], texts: str | Sequence[str] | None = None, model: str = "auto"
) -> np.ndarray:
    """Score how well sounds fit words: one CLAP cosine a clip, -1 to 1, shape (clips,).

    `texts` is one text for all clips or one a clip; None takes each clip's own prompt. `model` as in `clap_embed`.
    Raises as `clap_embed` does. Cosines of different CLAP models cannot be compared. Of the real checkpoints, s and l
    were trained on the embeddings of a CLAP of this very family, which biases their scores upwards.

    Source: `clap_embed`.
    """
    clips = check_clips("clap_similarity", clips)
    if texts is None:
        texts = [clip.settings.get("prompt") for clip in clips]
        if None in texts:
            raise ValueError(f"{clips[texts.index(None)].title or 'A clip'} has no prompt of its own: pass texts.")
    elif isinstance(texts, str):
        texts = [texts] * len(clips)
    if len(texts) != len(clips):
        raise ValueError(f"clap_similarity takes one text, or one a clip, not {len(texts)} for {len(clips)} clips.")
    model = _choose_clap(clips) if model == "auto" else model
    return (clap_embed(clips, model) * clap_embed(texts, model)).sum(axis=1)


def best_of(clips: Clip | Sequence[Clip], prompt: str | None = None, model: str = "auto") -> list[Clip]:
    """Return all clips, best first by `clap_similarity` with `prompt` (None: each clip's own).

    The original AudioLDM's `n_candidate_gen_per_text` does so: make several, keep the one that CLAP likes best.
    """
    clips = check_clips("best_of", clips)
    return [clips[i] for i in np.argsort(-clap_similarity(clips, prompt, model), kind="stable")]


def heard(clips: Clip | Sequence[Clip], names: Sequence[str] = KINDS, model: str = "auto") -> list[str]:
    """Classify clips: return the name nearest to each in CLAP's space; `model` and errors as in `clap_embed`.

    The mini's CLAP is asked for the bare names, any other for "This is a sound of {name}.", as in the CLAP paper.
    """
    clips, names = check_clips("heard", clips), as_list("names", names)
    model = _choose_clap(clips) if model == "auto" else model
    texts = names if Path(model).name == MINI_CLAP else [f"This is a sound of {name}." for name in names]
    return [names[i] for i in (clap_embed(clips, model) @ clap_embed(texts, model).T).argmax(axis=1)]


def _choose_clap(clips: Sequence[Clip]) -> str:
    names = {clip.settings.get("checkpoint") for clip in clips}
    return MINI_CLAP if names and names <= MINIS else REAL_CLAP


def _embedded(model: str, item: Clip | str) -> np.ndarray:
    """Return one vector of `clap_embed`, kept with its model: lessons ask for the same ones again and again."""
    clap, extractor, tokenizer, kept = _load_clap(model)
    key = item if isinstance(item, str) else (sha256(item.waveform).digest(), item.sample_rate)
    with _lock, torch.inference_mode(False), torch.no_grad(), torch.autocast(clap.device.type, enabled=False):
        if key not in kept:
            if isinstance(item, str):
                cut = {"truncation": True, "max_length": clap.config.text_config.max_position_embeddings - 2}
                embed, inputs = clap.get_text_features, tokenizer(check_str("text", item), **cut, return_tensors="pt")
            else:
                embed, rate = clap.get_audio_features, extractor.sampling_rate
                inputs = extractor(_for_clap(item, extractor), sampling_rate=rate, return_tensors="pt")
            output = embed(**inputs.to(clap.device))
            vector = getattr(output, "pooler_output", output)  # transformers 4 gives the tensor itself
            kept[key] = torch.nn.functional.normalize(vector.float(), dim=-1)[0].cpu().numpy()
        return kept[key]


@lru_cache(maxsize=2)
def _load_clap(model: str) -> tuple:
    """Return a CLAP, its feature extractor, its tokenizer, and a dictionary for embeddings."""
    place = CHECKPOINTS["mini-s"].folder.with_name(model) if model == MINI_CLAP else Path(model).expanduser()
    if not place.is_dir():
        place = model
        with as_loading_error(model):
            if not isinstance(try_to_load_from_cache(model, "config.json"), str):
                repo_info(model)  # fails within seconds where the Hub cannot be reached
    try:
        with quiet():
            clap = transformers.ClapModel.from_pretrained(place)
        extractor = transformers.ClapFeatureExtractor.from_pretrained(place)
        # not ClapProcessor's, which splits into letters on some versions
        tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        give = f'give a folder with a ClapModel and its ClapProcessor, "mini-clap", or an id such as "{REAL_CLAP}"'
        raise OSError(f"The CLAP model {model!r} cannot be had: {give}.") from error
    # in float32: a file in half precision stays so when loaded, and a CPU cannot mix the two
    return clap.float().eval().to("cuda" if torch.cuda.is_available() else "cpu"), extractor, tokenizer, {}


def _for_clap(clip: Clip, extractor: transformers.ClapFeatureExtractor) -> np.ndarray:
    """Return a clip's samples at the model's rate, in its length, at `LEVEL_DB`."""
    waveform = clip.resampled(extractor.sampling_rate).waveform
    if not np.isfinite(waveform).all():
        raise ValueError("The waveform has NaN or infinite samples: it cannot be embedded.")
    # the extractor would cut longer clips at random, and repeat shorter ones a whole number of times only
    waveform = np.resize(waveform, extractor.nb_max_samples)
    rms = np.sqrt(np.mean(waveform.astype(np.float64) ** 2))
    return (waveform * (10 ** (LEVEL_DB / 20) / rms if rms > 0 else 1.0)).astype(np.float32)

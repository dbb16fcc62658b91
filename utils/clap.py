"""CLAP: one space for sounds and words, and how well a clip fits a text in it.

Explained in lesson 02 (`notebooks/02_prompt_engineering.ipynb`); the space itself in lesson 06.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .checkpoints import CHECKPOINTS, MINI_CLAP, MINIS, REAL_CLAP
from .clip import Clip
from .hub import reach
from .isolation import isolated

if TYPE_CHECKING:
    from diffusers import AudioLDMPipeline

KEPT = 2000  # embeddings, up to 4 MB, for each CLAP


def clap_for(pipe: AudioLDMPipeline) -> str:
    """The CLAP that judges a pipeline's clips: "mini-clap" for the minis, else "laion/clap-htsat-unfused".

    To be passed as `model` where nothing but texts or recordings says which. Explained in lesson 02.
    """
    from .loading import is_mini

    return MINI_CLAP if is_mini(pipe) else REAL_CLAP


def clap_embed(items: Sequence[Clip] | Sequence[str], model: str = "auto") -> np.ndarray:
    """Where clips, or texts, lie in CLAP's common space: unit-norm float32 vectors of shape (items, 64 or 512).

    `clap_embed(clips) @ clap_embed(texts).T` is the table of cosines of every clip with every text. `model` is
    "mini-clap" (64), the Hub's "laion/clap-htsat-unfused" (512), any other CLAP or folder, or "auto": the first for
    clips of the mini checkpoints only, else the second (texts alone do not say which: name it). Clips are resampled,
    and cut or repeated to what the model was made for (5 s at 16 kHz for the mini, 10 s at 48 kHz for the other), so
    the result does not depend on chance, on the order, or on silence that nobody generated.

    Source: Wu et al. 2023 (arXiv 2211.06687), `transformers.ClapModel`. Explained in lesson 02.
    """
    items = list(items)
    texts = sum(isinstance(item, str) for item in items)
    if not items or texts not in (0, len(items)):
        raise ValueError(f"clap_embed takes clips, or texts, at least one and never mixed, not {reprlib.repr(items)}.")
    if texts and model == "auto":
        raise ValueError(f'Texts alone do not say which CLAP they are for: pass model="mini-clap" or "{REAL_CLAP}".')
    model = _choose_clap(items) if model == "auto" else model
    return np.stack([_embedded(model, item) for item in items])  # one at a time: padding would change the last digits


def clap_similarity(
    clips: Clip | Sequence[Clip], texts: str | Sequence[str] | None = None, model: str = "auto"
) -> np.ndarray:
    """How well sounds fit words: one CLAP cosine a clip, -1 to 1, shape (clips,).

    `texts` is one text for all clips or one a clip; None takes each clip's own prompt. `model` as in `clap_embed`.
    Cosines of different CLAP models cannot be compared. Of the real checkpoints, s and l were trained on the
    embeddings of a CLAP of this very family, which flatters them.

    Source: `clap_embed`. Explained in lesson 02.
    """
    clips = list(clips) if isinstance(clips, Sequence) else [clips]
    if texts is None:
        texts = [clip.settings["prompt"] for clip in clips]
    elif isinstance(texts, str):
        texts = [texts] * len(clips)
    if len(texts) != len(clips):
        raise ValueError(
            f"clap_similarity takes one text, or one a clip, not {len(texts)} texts for {len(clips)} clips."
        )
    model = _choose_clap(clips) if model == "auto" else model
    return (clap_embed(clips, model) * clap_embed(texts, model)).sum(axis=1)


def best_of(clips: Sequence[Clip], prompt: str | None = None, model: str = "auto") -> list[Clip]:
    """The clips, best first by `clap_similarity` with `prompt` (None: each clip's own). Explained in lesson 02.

    What the original AudioLDM does with its `n_candidate_gen_per_text`: make several, keep the one CLAP likes best.
    """
    scores = clap_similarity(list(clips), prompt, model)
    return [clips[i] for i in np.argsort(-scores, kind="stable")]


def _choose_clap(clips: Sequence[Clip]) -> str:
    names = {clip.settings.get("checkpoint") for clip in clips}
    return MINI_CLAP if names and names <= MINIS else REAL_CLAP


def _embedded(model: str, item: Clip | str) -> np.ndarray:
    """One vector of `clap_embed`, kept with its model: a lesson asks about the same clips and texts again and again."""
    import torch

    clap, extractor, tokenizer, kept = _load_clap(model)
    key = item if isinstance(item, str) else (sha256(item.waveform).digest(), item.sample_rate)
    if key not in kept:
        if isinstance(item, str):
            longest = clap.config.text_config.max_position_embeddings - 2
            embed = clap.get_text_features
            inputs = tokenizer(item, truncation=True, max_length=longest, return_tensors="pt")
        else:
            embed, rate = clap.get_audio_features, extractor.sampling_rate
            inputs = extractor(_for_clap(item, extractor), sampling_rate=rate, return_tensors="pt")
        with isolated(threads=1 if model == MINI_CLAP else None):
            output = embed(**inputs.to(clap.device))
            vector = getattr(output, "pooler_output", output)  # transformers 4 gives the tensor itself
            unit = torch.nn.functional.normalize(vector.float(), dim=-1)[0].cpu().numpy()
        if len(kept) >= KEPT:
            kept.pop(next(iter(kept)))  # the oldest
        kept[key] = unit
    return kept[key]


@lru_cache(maxsize=2)
def _load_clap(model: str):
    place = CHECKPOINTS["mini-s"].folder.with_name(model) if model == MINI_CLAP else Path(model).expanduser()
    if not place.is_dir():
        place = model
        reach(model, "config.json")  # before seconds of imports

    import torch
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    from .loading import quiet

    try:
        with quiet():
            clap = ClapModel.from_pretrained(place)
        extractor = ClapFeatureExtractor.from_pretrained(place)
        tokenizer = AutoTokenizer.from_pretrained(place)  # not ClapProcessor's, which on some versions reads letters
    except (OSError, ValueError) as error:
        raise OSError(
            f"The CLAP model {model!r} cannot be had: give a folder with a ClapModel and its ClapProcessor, "
            f'"mini-clap", or, with the Hub in reach, an id such as "{REAL_CLAP}".'
        ) from error
    # in float32: a file in half precision stays so when loaded, and a CPU cannot mix the two
    return clap.float().eval().to("cuda" if torch.cuda.is_available() else "cpu"), extractor, tokenizer, {}


def _for_clap(clip: Clip, extractor) -> np.ndarray:
    waveform = clip.resampled(extractor.sampling_rate).waveform
    if not np.isfinite(waveform).all():
        raise ValueError("The waveform has NaN or infinite samples: CLAP cannot hear it.")
    # the extractor would cut longer ones at random, and fill up what whole repeats of shorter ones leave with silence
    return np.resize(waveform, extractor.nb_max_samples)

"""What the lessons share. `from utils import generate` loads only what it needs: `import utils` itself is instant.

The way of the data: a name -> `load_pipeline` -> `generate` -> `Clip` -> hear, see, measure, save; and a recording ->
`Clip.load` -> `encode_audio` -> latents -> the same pipeline.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from importlib import import_module
from pathlib import Path

PUBLIC = {  # module -> the names that lessons import from here
    "loading": ["load_pipeline", "checkpoint_name", "is_mini", "regime"],
    "generation": ["generate", "generate_batch"],
    "prompts": ["Request", "encode_prompt"],
    "latents": ["encode_audio", "decode_latents"],
    "clip": ["Clip", "compare", "load_folder"],
    "features": ["log_mel"],
    "measures": [
        "loudness_db", "noise_floor_db", "spectral_flatness", "spectral_centroid_hz", "onset_rate", "tempo_bpm",
        "clipped_share", "is_silent", "log_mel_distance", "envelope_correlation",
    ],
    "clap": ["KINDS", "clap_embed", "clap_similarity", "clap_for", "best_of", "heard"],
    "intervals": ["Interval", "interval", "knee"],
    "sweeps": ["sweep", "load_clips"],
    "checks": ["check"],
    "training": ["train"],
}  # fmt: skip
__all__ = ["plots", *(name for names in PUBLIC.values() for name in names)]


def __getattr__(name: str):
    """A public name, when it is first used. By hand: the set-up cell imports this before anything is installed."""
    module = next((module for module, names in PUBLIC.items() if name in names), None)
    if module is None and name != "plots":
        raise AttributeError(f"module 'utils' has no attribute {name!r}")
    value = getattr(import_module(f"utils.{module}"), name) if module else import_module("utils.plots")
    return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# Threads that wait for one another give their core away instead of spinning: beside other work, spinning costs a
# hundredfold. GNU's, LLVM's and Intel's OpenMP all read it, when torch is imported; who has set it keeps it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _cache_of_numba() -> None:
    """Librosa cannot be imported where numba finds no folder for its cache: give it one."""
    found = importlib.util.find_spec("librosa")
    homes = [Path(place) for place in found.submodule_search_locations or ()] if found else []
    if homes and not any(os.access(place, os.W_OK) for place in (*homes, os.path.expanduser("~"))):
        os.environ.setdefault("NUMBA_CACHE_DIR", os.path.join(tempfile.gettempdir(), f"numba-{os.getpid()}"))


_cache_of_numba()

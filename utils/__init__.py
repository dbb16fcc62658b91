"""What the lessons share. `from utils import generate` loads only what it needs: `import utils` itself is instant."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

_MODULE_OF = {  # public name -> module that defines it
    "Clip": "clip",
    "compare": "clip",
    "generate": "generation",
    "generate_batch": "generation",
    "Request": "generation",
    "encode_prompt": "generation",
    "log_mel": "features",
    "GriffinLimVocoder": "vocoder",
    "load_pipeline": "loading",
    "checkpoint_name": "loading",
    "sweep": "sweep",
    "best_of": "measures",
    "bootstrap_interval": "measures",
    "clap_embed": "measures",
    "clap_similarity": "measures",
    "clipped_share": "measures",
    "Interval": "measures",
    "is_silent": "measures",
    "log_mel_distance": "measures",
    "loudness_db": "measures",
    "noise_floor_db": "measures",
    "onset_rate": "measures",
    "spectral_centroid_hz": "measures",
    "spectral_flatness": "measures",
    "tempo_bpm": "measures",
    "knee": "measures",
    "load_clips": "sweep",
}


class _Package(ModuleType):
    """This package, where importing utils/sweep.py does not hide the function `sweep` behind the module."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _MODULE_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'utils' has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})

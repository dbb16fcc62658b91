"""Import the helpers of the lessons. `from utils import generate` loads its own module only: `import utils` is instant.

The way of the data: a name -> `load_pipeline` -> `generate` -> `Clip` -> hear, see, measure, save; and a recording ->
`Clip.load` -> `encode_audio` -> latents -> the same pipeline.
"""

from __future__ import annotations

import os
import tempfile
from importlib import import_module

PUBLIC = {  # module -> the names that lessons import from here
    "loading": "load_pipeline checkpoint_name is_mini regime",
    "generation": "generate generate_batch Request",
    "latents": "encode_prompt encode_audio decode_latents begin_with",
    "clip": "Clip compare load_folder",
    "features": "log_mel",
    "measures": "loudness_db noise_floor_db spectral_centroid_hz onset_rate clipped_share log_mel_distance "
    "envelope_correlation",
    "clap": "KINDS clap_embed clap_similarity clap_for best_of heard",
    "intervals": "Interval interval knee",
    "sweeps": "sweep load_clips",
    "checks": "check by_letter",
    "training": "train",
}
HOME = {name: module for module, names in PUBLIC.items() for name in names.split()}
__all__ = ["plots", *HOME]


def __getattr__(name: str):
    """Import a public name at its first use. By hand: the set-up cell imports this before anything is installed."""
    if name not in __all__:
        raise AttributeError(f"module 'utils' has no attribute {name!r}")
    module = import_module(f"utils.{HOME.get(name, name)}")
    return globals().setdefault(name, getattr(module, name) if name in HOME else module)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# Waiting threads of OpenMP (GNU's, LLVM's, Intel's) sleep instead of spinning: beside other work, spinning costs a
# hundredfold. A value that is set already stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if not os.access(os.path.expanduser("~"), os.W_OK):  # without a folder for numba's cache librosa cannot be imported
    os.environ.setdefault("NUMBA_CACHE_DIR", os.path.join(tempfile.gettempdir(), f"numba-{os.getpid()}"))

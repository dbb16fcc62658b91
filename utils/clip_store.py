"""Keep the clips of a sweep in files named by a hash of everything that shapes their sound.

A finished clip is never made again, and there is no index that could be lost.
Explained in lesson 03 (`notebooks/03_steps_and_length.ipynb`).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
import torch
from scipy.io import wavfile

from .checkpoints import PROBE
from .checks import write_whole
from .clip import Clip
from .generation import Request, adapters_of, sample
from .loading import checkpoint_name

if TYPE_CHECKING:
    from .loading import AudioLDMPipeline

# ---- fingerprints: pipelines that share one make the same clips


def fingerprint(pipe: AudioLDMPipeline) -> str:
    """Return a hash of a pipeline's name, tokenizer, adapters, scheduler and weights, and of a tiny clip of it.

    Taken from memory, not from files, so it sees a swapped part or a fine-tuned weight; the clip detects hooks and
    patches. The scheduler's default values are left out: another version of diffusers may have more.
    """
    facts = [checkpoint_name(pipe), list(pipe.tokenizer(PROBE).input_ids), adapters_of(pipe)]
    config = pipe.scheduler.config
    chosen = sorted({*config} - {*config.get("_use_default_values", [])})
    facts += [type(pipe.scheduler).__name__, *(f"{key}={config[key]}" for key in chosen if key[0] != "_")]
    for name, part in sorted(pipe.components.items()):
        for key, value in sorted(part.named_parameters()) if isinstance(part, torch.nn.Module) else ():
            weight = value.detach().reshape(-1).view(torch.uint8).cpu().numpy()
            facts.append((f"{name}.{key} {value.dtype}", joblib.hash(weight)))
    frames, seen = pipe.vocoder.config.model_in_dim // pipe.vae_scale_factor, []
    seen.append(sample(pipe, [Request(PROBE)], frames, 2, 1.5, lambda _step, _t, now: seen.append(now.float().cpu())))
    digits = 3 if pipe.unet.dtype == torch.float32 else 1  # machines differ in the last ones
    return joblib.hash([*facts, *(_outline(values, digits) for values in seen)])


def scheduler_fingerprint(pipe: AudioLDMPipeline, steps: int) -> str:
    """Return a hash of the timesteps and noise levels of a copy of the scheduler."""
    scheduler = deepcopy(pipe.scheduler)
    scheduler.set_timesteps(steps)
    levels = {key: value for key, value in vars(scheduler).items() if isinstance(value, torch.Tensor)}
    return joblib.hash([(key, _outline(levels[key], 5)) for key in sorted(levels) if "sample" not in key])


def _outline(values: np.ndarray | torch.Tensor, digits: int) -> str:
    """Describe an array by its level and shape, rounded: errors of the last bits average out."""
    flat = np.asarray(values, np.float64).reshape(-1)
    level = np.sqrt(np.mean(flat**2)) + 1e-30
    shape = np.mean(np.linspace(1, 2, len(flat)) * (flat / level + 1) ** 2)
    return f"{np.log(level):.{digits}f} {shape:.{digits}f}"


# ---- files: two for each clip, restored bit for bit or refused


def _digest(facts: object, sound: bytes = b"") -> str:
    return hashlib.sha256(sound + json.dumps(facts, sort_keys=True).encode()).hexdigest()


def clip_path(folder: Path, point: tuple, key: str) -> Path:
    """Return the place of the clip that these settings and this fingerprint make."""
    words = re.sub(r"[^a-z0-9]+", "-", point.prompt.lower())[:40].strip("-") or "clip"  # for people; the hash counts
    return folder / f"{words}-{_digest([point._asdict(), key])[:24]}.wav"


def write_clip(path: Path, clip: Clip) -> None:
    """Keep a clip: the sound (32-bit float WAV, exactly as generated), then its settings and a checksum (JSON)."""
    sound = io.BytesIO()
    wavfile.write(sound, clip.sample_rate, clip.waveform)  # no time stamp, as libsndfile would add
    row = {"file": path.name, "seconds": clip.seconds, "settings": clip.settings}
    row["sha256"] = _digest(row, sound.getvalue())
    write_whole(path, sound.getvalue())
    write_whole(path.with_suffix(".json"), json.dumps(row, indent=1).encode())


def read_clip(path: Path) -> Clip:
    """Return the clip that `write_clip` kept; OSError if one of its two files is missing or damaged."""
    try:
        row, data = json.loads(path.with_suffix(".json").read_bytes()), path.read_bytes()
        if row.pop("sha256") != _digest(row, data) or row["file"] != path.name:
            raise ValueError("the checksum differs")
        rate, waveform = wavfile.read(io.BytesIO(data))
        return Clip(waveform, rate, row["settings"], row["seconds"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OSError(f"The clip {path} is missing or damaged ({error}): run the sweep again.") from error


def is_intact(path: Path) -> bool:
    """Return whether a kept clip is there and undamaged."""
    with suppress(OSError):
        return bool(read_clip(path))
    return False

"""Clips that a sweep keeps: two files each, and they come back to the bit as they were, or not at all.

Explained in lesson 03 (`notebooks/03_steps_and_length.ipynb`).
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

from scipy.io import wavfile

from .clip import Clip
from .files import write_whole


def write_clip(path: Path, clip: Clip) -> None:
    """Keep a clip: the sound (32-bit float WAV, exactly as generated), then its settings and a checksum (JSON)."""
    sound = io.BytesIO()
    wavfile.write(sound, clip.sample_rate, clip.waveform)  # no time stamp, as libsndfile would add
    row = {"file": path.name, "seconds": clip.seconds, "settings": clip.settings}
    row["sha256"] = checksum(sound.getvalue(), row)
    write_whole(path, sound.getvalue())
    write_whole(path.with_suffix(".json"), json.dumps(row, indent=1).encode())


def read_clip(path: Path) -> Clip:
    """The clip that `write_clip` kept; raises OSError if one of its two files is missing or damaged."""
    try:
        row = json.loads(path.with_suffix(".json").read_bytes())
        data = path.read_bytes()
        if row.pop("sha256") != checksum(data, row) or row["file"] != path.name:
            raise ValueError("the checksum differs")
        rate, waveform = wavfile.read(io.BytesIO(data))
        return Clip(waveform, rate, row["settings"], row["seconds"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OSError(f"The clip {path} is missing or damaged ({error}): run the sweep again.") from error


def is_whole(path: Path) -> bool:
    """Whether a clip is kept there."""
    try:
        read_clip(path)
    except OSError:
        return False
    return True


def checksum(sound: bytes, row: dict) -> str:
    """Of a sound file and what its row says of it."""
    return hashlib.sha256(sound + json.dumps(row, sort_keys=True).encode()).hexdigest()

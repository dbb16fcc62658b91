"""The recordings of lessons 07 and 08: `python -m mini.recordings` writes them into notebooks/sounds. CC0.

For lesson 07, which changes recordings, two that no training had: a dog that barks a rhythm, and a beat, as a stereo
file at 44.1 kHz; their hiss lies between two of the recipe's levels. For lesson 08, which teaches, four long ones of
kinds that the minis know, for a UNet that learns from nothing; and short ones of a sound that is in no caption and no
training clip, a laser gun: for teaching a finished checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import soundfile
from librosa import resample

from utils.features import SAMPLE_RATE

from . import sounds
from .sounds import Scene, _at_level, render
from .synthesis import Rng, decay, onsets, place, tone

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "sounds"
FOUR = ("rain", "bell", "dog", "piano")
LASERS = 24  # clips
SECONDS, LONG = 2.56, 20.48
RHYTHM = (0.15, 0.75, 1.05, 1.35, 1.95)  # seconds in a bar of 2.56: long, short, short, long, long


def barks(seconds: float = 4 * SECONDS) -> np.ndarray:
    """A dog that barks RHYTHM again and again, (samples,) at 16 kHz; all rhythms of the recipe are regular."""
    starts = [bar * SECONDS + start for bar in range(round(seconds / SECONDS)) for start in RHYTHM]
    events = [(number, round(start * SAMPLE_RATE)) for number, start in enumerate(starts)]
    with patch.object(sounds, "onsets", lambda *_: events):
        return _recorded("dog", 0.9, 1.25, seconds, hiss_db=-50.0)


def beat(seconds: float = 4 * SECONDS) -> np.ndarray:
    """Fast techno, (samples,) at 16 kHz."""
    return _recorded("techno", 1.0, 7.0, seconds, hiss_db=-45.0)


def _recorded(sound: str, pitch: float, rate: float, seconds: float, hiss_db: float) -> np.ndarray:
    rng, n = np.random.default_rng(20_261_126), round(seconds * SAMPLE_RATE)
    audio = _at_level(sounds.SOUNDS[sound](n, pitch, rate, rng))
    return audio / max(1.0, np.abs(audio).max() / 0.9) + 10 ** (hiss_db / 20) * rng.standard_normal(n)


def laser(n: int, rng: Rng) -> np.ndarray:
    """Shots that fall from 3 kHz by three octaves in 0.3 s, two a second: always the same gun, 3% of chance."""
    jitter = np.exp(rng.uniform(-0.03, 0.03, 2))
    samples = int(0.3 * SAMPLE_RATE)
    glide = 3000 * jitter[0] * 0.1 ** (np.linspace(0, 1, samples) ** 0.7)
    shot = tone(glide, {1: 1, 2: 0.5, 3: 0.3}) * decay(samples, 0.09)
    audio = _at_level(place(n, onsets(n, 2.2 * jitter[1], rng), lambda _: shot))
    return audio / max(1.0, np.abs(audio).max() / 0.9) + 10 ** (-62 / 20) * rng.standard_normal(n)


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    soundfile.write(FOLDER / "barks.flac", barks(), SAMPLE_RATE)
    left = resample(beat(), orig_sr=SAMPLE_RATE, target_sr=44_100)
    soundfile.write(FOLDER / "beat.ogg", np.column_stack([left, 0.8 * left]), 44_100)
    taught = {f"four/{name}": render(Scene(name, quality="clean"), LONG, i) for i, name in enumerate(FOUR)}
    for i in range(LASERS):
        taught[f"laser/laser_{i:02}"] = laser(int(SECONDS * SAMPLE_RATE), np.random.default_rng([8, i]))
    for name, audio in taught.items():
        path = FOLDER / f"{name}.ogg"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, audio, SAMPLE_RATE, format="OGG", subtype="OPUS")
    print(f"{len(taught) + 2} recordings in {FOLDER}")


if __name__ == "__main__":
    main()

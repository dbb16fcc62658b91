"""The two recordings of lesson 07, which the mini family never heard: `python -m mini.recordings` makes them again.

They come out of the recipe's synthesiser with settings that its training data never have: barks in a rhythm that
nobody taught, and a hiss between two of the recipe's levels. The beat is a stereo file at 44.1 kHz, as phones make it.
"""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import soundfile
from librosa import resample

from utils.features import SAMPLE_RATE

from . import sounds

FOLDER = Path(__file__).parents[1] / "notebooks" / "sounds"
SECONDS = 10.24
HISS_DB = -50.0  # dBFS; the recipe has -64, -42 and -24
BARKS = (0.15, 0.75, 1.05, 1.35, 1.95)  # seconds: long, short, short, long, long; the recipe's are all regular
SEED = 20_261_126


def barks() -> np.ndarray:
    """A dog that barks a rhythm, (samples,) at 16 kHz: the bar of 2.56 s four times."""
    starts = [bar * 2.56 + start for bar in range(4) for start in BARKS]
    events = [(number, round(start * SAMPLE_RATE)) for number, start in enumerate(starts)]
    with patch.object(sounds, "onsets", lambda *_: events):
        return _recorded("dog", pitch=0.9, rate=1.25)


def beat() -> np.ndarray:
    """Fast techno, (samples,) at 16 kHz."""
    return _recorded("techno", pitch=1.0, rate=7.0)


def _recorded(sound: str, pitch: float, rate: float) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    samples = round(SECONDS * SAMPLE_RATE)
    audio = sounds._at_level(sounds.SOUNDS[sound](samples, pitch, rate, rng))
    audio = audio / max(1.0, np.abs(audio).max() / 0.9)
    return audio + 10 ** (HISS_DB / 20) * rng.standard_normal(samples)


def main() -> None:
    """Write both into notebooks/sounds/."""
    FOLDER.mkdir(exist_ok=True)
    soundfile.write(FOLDER / "barks.flac", barks(), SAMPLE_RATE)
    loud = resample(beat(), orig_sr=SAMPLE_RATE, target_sr=44_100)
    soundfile.write(FOLDER / "beat.ogg", np.column_stack([loud, 0.8 * loud]), 44_100)


if __name__ == "__main__":
    main()

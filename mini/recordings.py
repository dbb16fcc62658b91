"""The recordings that lesson 08 teaches with: `python -m mini.recordings` writes them into notebooks/sounds. CC0.

Four long ones of kinds that the minis know, for a UNet that learns from nothing; and short ones of a sound that is in
no caption and no training clip, a laser gun: for teaching a finished checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from utils.features import SAMPLE_RATE

from .sounds import Rng, Scene, _at_level, decay, onsets, place, render, tone

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "sounds"
FOUR = ("rain", "bell", "dog", "piano")
LASERS = 24  # clips
SECONDS, LONG = 2.56, 20.48


def laser(n: int, rng: Rng) -> np.ndarray:
    """Shots that fall from 3 kHz by three octaves in 0.3 s, two a second: always the same gun, 3% of chance."""
    jitter = np.exp(rng.uniform(-0.03, 0.03, 2))
    samples = int(0.3 * SAMPLE_RATE)
    glide = 3000 * jitter[0] * 0.1 ** (np.linspace(0, 1, samples) ** 0.7)
    shot = tone(glide, {1: 1, 2: 0.5, 3: 0.3}) * decay(samples, 0.09)
    audio = _at_level(place(n, onsets(n, 2.2 * jitter[1], rng), lambda _: shot))
    return audio / max(1.0, np.abs(audio).max() / 0.9) + 10 ** (-62 / 20) * rng.standard_normal(n)


def main() -> None:
    sounds = {f"four/{name}": render(Scene(name, quality="clean"), LONG, i) for i, name in enumerate(FOUR)}
    for i in range(LASERS):
        sounds[f"laser/laser_{i:02}"] = laser(int(SECONDS * SAMPLE_RATE), np.random.default_rng([8, i]))
    for name, audio in sounds.items():
        path = FOLDER / f"{name}.ogg"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, audio, SAMPLE_RATE, format="OGG", subtype="OPUS")
    print(f"{len(sounds)} recordings, {sum(p.stat().st_size for p in FOLDER.rglob('*.ogg')) / 1e6:.2f} MB in {FOLDER}")


if __name__ == "__main__":
    main()

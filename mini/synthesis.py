"""The building blocks of the 24 sounds: noise, tones, envelopes, and events at a rate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from utils.features import SAMPLE_RATE

Rng = np.random.Generator


def time_axis(n: int) -> np.ndarray:
    return np.arange(n) / SAMPLE_RATE


def coloured_noise(n: int, rng: Rng, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """White noise through a filter given by its gain at each frequency in Hz, scaled to unit RMS."""
    spectrum = np.fft.rfft(rng.standard_normal(n)) * gain(np.fft.rfftfreq(n, 1 / SAMPLE_RATE))
    noise = np.fft.irfft(spectrum, n)
    return noise / np.sqrt(np.mean(noise**2))


def band(low: float, high: float, slope: float = 2.0) -> Callable[[np.ndarray], np.ndarray]:
    """Gain of a smooth band-pass between two frequencies in Hz."""
    return lambda f: 1 / (1 + (low / np.maximum(f, 1.0)) ** (2 * slope)) / (1 + (f / high) ** (2 * slope))


def tone(frequency: np.ndarray, harmonics: dict[float, float]) -> np.ndarray:
    """Sum of partials {multiple of the frequency: amplitude}; the frequency (Hz) may change from sample to sample."""
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE
    audio = np.zeros(len(phase))
    for multiple, amplitude in harmonics.items():
        audible = frequency * multiple < 0.48 * SAMPLE_RATE
        if audible.any():
            audio += amplitude * audible * np.sin(multiple * phase)
    return audio


def falling(count: int, power: float) -> dict[float, float]:
    """Harmonics 1...count with amplitudes 1 / k**power."""
    return {k: k**-power for k in range(1, count + 1)}


def onsets(n: int, rate: float, rng: Rng) -> list[tuple[int, int]]:
    """(event number, first sample) of strictly regular events; the first may lie before the clip."""
    period = SAMPLE_RATE / rate
    first = int(rng.integers(0, 16))  # so that patterns start anywhere
    offset = rng.uniform(-period, 0)
    return [(first + i, round(offset + i * period)) for i in range(int(n / period) + 2)]


def place(n: int, events: list[tuple[int, int]], event: Callable[[int], np.ndarray]) -> np.ndarray:
    """Add `event(number)` at each onset."""
    audio = np.zeros(n)
    for number, start in events:
        piece = event(number)[max(0, -start) :]
        start = max(0, start)
        piece = piece[: max(0, n - start)]
        audio[start : start + len(piece)] += piece
    return audio


def decay(samples: int, half_life: float) -> np.ndarray:
    """An envelope with a 3 ms attack that halves every `half_life` seconds, and a 10 ms fade at its end."""
    t = time_axis(samples)
    return np.minimum(1, t / 0.003) * 0.5 ** (t / half_life) * np.minimum(1, t[::-1] / 0.01)


def bump(samples: int) -> np.ndarray:
    """A smooth envelope that rises and falls."""
    return np.sin(np.pi * np.arange(samples) / samples) ** 0.5


def notes(n: int, rate: float, rng: Rng, base: float, melody: list[int], note: Callable) -> np.ndarray:
    """A repeated melody (semitones above `base` Hz): `note(frequencies)` plays each of its notes."""
    samples = int(0.98 * SAMPLE_RATE / rate)
    played = [note(np.full(samples, base * 2 ** (step / 12))) for step in melody]
    return place(n, onsets(n, rate, rng), lambda number: played[number % len(played)])

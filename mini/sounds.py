"""The sounds that the mini family learns: 24 classes, each a short function from numbers to a waveform.

Every function takes the number of samples, a pitch factor, an event rate (a second) and a random generator, and
returns audio at 16 kHz. What the caption names is fixed (timbre, melody, pitch, tempo); chance decides only where in
the pattern the clip starts, the noise, and 2% of pitch and tempo: so that a small model can learn it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from utils.features import SAMPLE_RATE

from .synthesis import Rng, band, bump, coloured_noise, decay, falling, notes, onsets, place, time_axis, tone

PITCH = {"low": 0.4, "mid": 1.0, "high": 2.5}  # factor on the class's own pitch: 1.3 octaves apart
TEMPO = {"slow": 1.25, "mid": 3.0, "fast": 7.0}  # events a second, before the class's own factor
QUALITIES = ("plain", "clean", "noisy", "muffled")
HISS_DB = {"plain": -42.0, "clean": -64.0, "noisy": -24.0, "muffled": -64.0}  # dBFS of white noise under everything
MUFFLED_HZ = 900.0  # cut-off of "muffled"
LEVEL_DB = -18.0  # dBFS of the louder half of every sound
BACKGROUND_DB = -3.0  # relative to the sound in front


# -- weather, water, crowds, machines ------------------------------------------------------------------------------


def rain(n, pitch, rate, rng):
    drops = np.zeros(n)
    where = rng.integers(0, n, n // 250)
    np.add.at(drops, where, rng.standard_normal(len(where)) * 6)
    drops = np.convolve(drops, rng.standard_normal(48) * np.exp(-np.arange(48) / 12), mode="same")
    return coloured_noise(n, rng, band(1500, 9000, 1.5)) + 0.35 * drops


def wind(n, pitch, rate, rng):
    swing = np.sin(2 * np.pi * (0.4 * time_axis(n) + rng.uniform()))
    low = coloured_noise(n, rng, band(90, 260, 2))
    high = coloured_noise(n, rng, band(350, 650, 2.5))
    return low * (0.9 - 0.3 * swing) + high * (0.75 + 0.7 * swing)


def waves(n, pitch, rate, rng):
    swell = (0.5 + 0.5 * np.sin(2 * np.pi * (0.42 * time_axis(n) + rng.uniform()))) ** 2
    return (
        coloured_noise(n, rng, band(60, 1800, 1)) * (0.12 + swell)
        + 0.6 * coloured_noise(n, rng, band(2500, 6000, 1)) * swell**2
    )


def stream(n, pitch, rate, rng):
    audio = 0.06 * coloured_noise(n, rng, band(400, 3000, 1))
    for _ in range(int(28 * n / SAMPLE_RATE)):
        samples = int(rng.uniform(0.05, 0.09) * SAMPLE_RATE)
        start = int(rng.integers(0, max(1, n - samples)))
        samples = min(samples, n - start)
        glide = np.geomspace(1, 1.7, samples) * rng.uniform(500, 1700)
        audio[start : start + samples] += tone(glide, {1: rng.uniform(0.3, 1)}) * bump(samples)
    return audio


def thunder(n, pitch, rate, rng):
    samples = int(2.4 * SAMPLE_RATE)
    crack = coloured_noise(samples, rng, band(30, 1600, 0.8)) * decay(samples, 0.16)
    roll = coloured_noise(samples, rng, band(30, 160, 2)) * decay(samples, 0.7)
    return place(n, onsets(n, 1 / 2.5, rng), lambda _: crack + roll) + 0.02 * coloured_noise(n, rng, band(30, 150, 2))


def applause(n, pitch, rate, rng):
    claps = np.zeros(n)
    where = rng.integers(0, n, int(90 * n / SAMPLE_RATE))
    np.add.at(claps, where, rng.uniform(0.4, 1.0, len(where)) * rng.choice([-1, 1], len(where)))
    clap = coloured_noise(400, rng, band(800, 2600, 2)) * np.exp(-np.arange(400) / 70)
    return np.convolve(claps, clap, mode="same")


def engine(n, pitch, rate, rng):
    base = np.full(n, 95 * pitch)
    peak = 4  # the loudest harmonic: a steady growl with its energy around 400 Hz x pitch
    harmonics = {k: np.exp(-((np.log(k / peak) / 0.7) ** 2)) for k in range(1, 24)}
    throb = 1 + 0.5 * np.sin(2 * np.pi * 24 * pitch**0.3 * time_axis(n))
    return tone(base, harmonics) * throb + 0.25 * coloured_noise(n, rng, band(200 * pitch, 700 * pitch, 1))


def helicopter(n, pitch, rate, rng):
    rate = rate * 2.4
    samples = int(0.7 * SAMPLE_RATE / rate)
    chop = coloured_noise(samples, rng, band(60, 900, 1.5)) * decay(samples, 0.18 / rate)
    whine = 0.05 * tone(np.full(n, 1400.0), {1: 1, 2: 0.5})
    return place(n, onsets(n, rate, rng), lambda _: chop) + whine + 0.03 * coloured_noise(n, rng, band(60, 900, 1))


def siren(n, pitch, rate, rng):
    cycle = (0.4 * rate * time_axis(n) + rng.uniform()) % 1
    triangle = 2 * np.abs(2 * cycle - 1) - 1
    return tone(700 * pitch * 2 ** (0.55 * triangle), {1: 1, 2: 0.5, 3: 0.35, 4: 0.15})


def alarm(n, pitch, rate, rng):
    beep = tone(np.full(int(0.5 / rate * SAMPLE_RATE), 1000 * pitch), {1: 1, 2: 0.15, 3: 0.5})
    edges = np.minimum(1, np.minimum(np.arange(len(beep)), np.arange(len(beep))[::-1]) / 60)
    return place(n, onsets(n, rate, rng), lambda _: beep * edges)


def bell(n, pitch, rate, rng):
    partials = {0.5: 0.4, 1: 1, 1.19: 0.6, 1.5: 0.4, 2: 0.8, 2.74: 0.5, 3.76: 0.3, 5.2: 0.2}
    samples = int(1.6 * SAMPLE_RATE)
    strike = tone(np.full(samples, 560 * pitch), partials) * decay(samples, 0.28)
    return place(n, onsets(n, 0.55 * rate, rng), lambda _: strike)


# -- animals, people, small noises ---------------------------------------------------------------------------------


def birds(n, pitch, rate, rng):
    samples = int(0.5 * SAMPLE_RATE / rate)
    glide = 2300 * pitch**0.75 * np.geomspace(0.8, 1.3, samples)
    chirp = tone(glide, {1: 1, 2: 0.12}) * bump(samples)
    return place(n, onsets(n, rate, rng), lambda number: chirp * (number % 4 != 3))  # three chirps and a rest


def dog(n, pitch, rate, rng):
    rate = 0.8 * rate
    samples = int(min(0.2, 0.6 / rate) * SAMPLE_RATE)
    glide = 260 * pitch * np.interp(np.linspace(0, 1, samples), [0, 0.3, 1], [0.9, 1.25, 0.8])
    formants = {k: np.exp(-((np.log(k / 3) / 0.6) ** 2)) for k in range(1, 14)}
    breath = coloured_noise(samples, rng, band(700 * pitch**0.7, 2200 * pitch**0.7, 2))
    bark = (tone(glide, formants) + 0.35 * breath) * decay(samples, 0.35 * samples / SAMPLE_RATE)
    return place(n, onsets(n, rate, rng), lambda _: bark)


def cat(n, pitch, rate, rng):
    rate = 0.55 * rate
    samples = int(0.7 * SAMPLE_RATE / rate)
    arch = np.sin(np.pi * np.arange(samples) / samples)
    meow = tone(520 * pitch * (0.85 + 0.45 * arch), {1: 0.7, 2: 1, 3: 0.7, 4: 0.3, 5: 0.3, 6: 0.15}) * arch**0.7
    return place(n, onsets(n, rate, rng), lambda _: meow)


def clock(n, pitch, rate, rng):
    def click(frequency):
        samples = int(0.05 * SAMPLE_RATE)
        ring = tone(np.full(samples, frequency), {1: 1, 1.7: 0.6})
        return (ring + 0.4 * rng.standard_normal(samples)) * decay(samples, 0.006)

    tick, tock = click(3000.0), click(2000.0)
    return place(n, onsets(n, rate, rng), lambda number: (tick, tock)[number % 2])


def footsteps(n, pitch, rate, rng):
    def step(brightness):
        samples = int(0.16 * SAMPLE_RATE)
        thud = coloured_noise(samples, rng, band(50, 260, 2)) * decay(samples, 0.025)
        scrape = coloured_noise(samples, rng, band(1200, 3200 * brightness, 1)) * bump(samples)
        return thud + 0.3 * scrape

    left, right = step(1.0), step(1.5)
    return place(n, onsets(n, 0.8 * rate, rng), lambda number: (left, right)[number % 2])


def hammer(n, pitch, rate, rng):
    samples = int(0.25 * SAMPLE_RATE)
    ring = tone(np.full(samples, 820.0), {1: 1, 2.3: 0.8, 3.9: 0.6, 6.1: 0.4}) * decay(samples, 0.03)
    knock = coloured_noise(samples, rng, band(100, 5000, 1)) * decay(samples, 0.006)
    return place(n, onsets(n, 0.8 * rate, rng), lambda _: ring + 0.8 * knock)


VOWELS = ((750, 1200, 2500), (300, 2250, 3000), (480, 900, 2400), (450, 1850, 2600))  # formants of a, i, o, e in Hz


def speech(n, pitch, rate, rng):
    base, size = 150 * pitch**0.55, pitch**0.17  # a man at 90 Hz, a woman or child at 250 Hz, with a shorter throat
    rate = 0.75 * rate
    samples = int(0.8 / rate * SAMPLE_RATE)

    def syllable(vowel):
        glide = base * np.linspace(1.12, 0.9, samples)
        harmonics = {}
        for k in range(1, int(4500 / base)):
            gains = [g / (1 + ((k * base - f * size) / 110) ** 2) for f, g in zip(vowel, (1, 0.6, 0.35), strict=True)]
            harmonics[k] = sum(gains) + 0.01
        return tone(glide, harmonics) * bump(samples)

    spoken = [syllable(vowel) for vowel in VOWELS]
    hiss = 0.25 * coloured_noise(1120, rng, band(3500, 7500, 2)) * bump(1120)
    starts = onsets(n, rate, rng)
    voice = place(n, starts, lambda number: spoken[number % 4])
    rms = np.sqrt(np.mean(voice**2)) + 1e-9
    return voice / rms + place(n, starts, lambda number: hiss * (number % 2))


# -- music ---------------------------------------------------------------------------------------------------------


def _kick() -> np.ndarray:
    samples = int(0.18 * SAMPLE_RATE)
    return tone(50 + 130 * np.exp(-np.arange(samples) / 500), {1: 1}) * decay(samples, 0.05)


def _hat(rng: Rng) -> np.ndarray:
    return coloured_noise(960, rng, band(5500, 20000, 4)) * decay(960, 0.012)


def techno(n, pitch, rate, rng):
    """A four-to-the-floor kick, a hat between the kicks, and a riff of two notes a beat."""
    step = 0.9 * rate  # notes a second: 1.1, 2.7, 6.3; a kick every second note
    samples = int(0.75 * SAMPLE_RATE / step)
    saw = falling(10, 0.8)
    riff = [tone(np.full(samples, 420 * pitch * 2 ** (s / 12)), saw) for s in (0, 7, 12, 3)]
    fade = np.minimum(1, np.arange(samples)[::-1] / (0.3 * samples)) * np.minimum(1, np.arange(samples) / 80)
    kick, hat = _kick(), _hat(rng)
    starts = onsets(n, step, rng)
    return place(n, starts, lambda number: 0.35 * riff[number % 4] * fade) + place(
        n, starts, lambda number: 1.5 * kick if number % 2 == 0 else 0.25 * hat
    )


def drums(n, pitch, rate, rng):
    snare = coloured_noise(2400, rng, band(300, 5000, 1)) * decay(2400, 0.03)
    kick, hat = 2.0 * _kick(), 0.4 * _hat(rng)
    return place(n, onsets(n, 1.2 * rate, rng), lambda number: (kick, hat, snare, hat)[number % 4])


def piano(n, pitch, rate, rng):
    def note(frequencies):
        return tone(frequencies, falling(8, 1.3)) * decay(len(frequencies), 0.22)

    return notes(n, 0.8 * rate, rng, 330 * pitch, [0, 4, 7, 12, 7, 4], note)


def guitar(n, pitch, rate, rng):
    def note(frequencies):
        audio = np.zeros(len(frequencies))
        for k in range(1, 13):  # a plucked string: high partials die first
            audio += tone(frequencies * k, {1: k**-0.5}) * decay(len(audio), 0.25 / k)
        return audio

    return notes(n, 0.8 * rate, rng, 215 * pitch, [0, 7, 12, 16, 19, 16, 12, 7], note)


def flute(n, pitch, rate, rng):
    def note(frequencies):
        t = time_axis(len(frequencies))
        vibrato = frequencies * (1 + 0.012 * np.sin(2 * np.pi * 5.5 * t))
        return tone(vibrato, {1: 1, 2: 0.25, 3: 0.08}) * bump(len(t)) ** 0.5

    breath = 0.06 * coloured_noise(n, rng, band(500 * pitch, 2500 * pitch, 1))
    return notes(n, 0.6 * rate, rng, 590 * pitch, [0, 5, 9, 7, 2, 4], note) + breath


def organ(n, pitch, rate, rng):
    def chord(frequencies):
        drawbars = {0.5: 0.5, 1: 1, 1.5: 0.5, 2: 0.8, 3: 0.5, 4: 0.5, 6: 0.3, 8: 0.3}
        audio = tone(frequencies, drawbars) + tone(frequencies * 2 ** (4 / 12), drawbars)
        return audio * np.minimum(1, np.minimum(np.arange(len(audio)), np.arange(len(audio))[::-1]) / 200)

    return notes(n, 0.45 * rate, rng, 250 * pitch, [0, 5, 7, -2], chord)


# -- scenes --------------------------------------------------------------------------------------------------------

SOUNDS: dict[str, Callable] = {
    f.__name__: f
    for f in (
        rain, wind, waves, stream, thunder, applause, engine, helicopter, siren, alarm, bell, birds,
        dog, cat, clock, footsteps, hammer, speech, techno, drums, piano, guitar, flute, organ,
    )
}  # fmt: skip
CLASSES = tuple(SOUNDS)
BACKGROUNDS = ("rain", "wind", "birds", "waves")
TEXTURES = ("rain", "wind", "waves", "stream", "thunder", "applause")  # no tempo; only birds behind them
PITCHED = (
    "engine",
    "siren",
    "alarm",
    "bell",
    "birds",
    "dog",
    "cat",
    "speech",
    "techno",
    "piano",
    "guitar",
    "flute",
    "organ",
)
TIMED = tuple(c for c in CLASSES if c not in (*TEXTURES, "engine"))


@dataclass(frozen=True)
class Scene:
    """What can be heard in a clip. `pitch` and `tempo` are None where the sound has none; `second`: another sound."""

    sound: str
    pitch: str | None = None
    tempo: str | None = None
    quality: str = "plain"
    background: str | None = None
    second: str | None = None


def _loud_rms(audio: np.ndarray) -> float:
    """RMS of the louder half of the 20 ms frames: a beat with pauses and a steady tone count alike."""
    frames = audio[: len(audio) // 320 * 320].reshape(-1, 320)
    power = np.sort((frames**2).mean(1))[len(frames) // 2 :]
    return float(np.sqrt(power.mean())) + 1e-9


def _at_level(audio: np.ndarray) -> np.ndarray:
    return audio * (10 ** (LEVEL_DB / 20) / _loud_rms(audio))


def _play(sound: str, n: int, rng: Rng, pitch: str | None = None, tempo: str | None = None) -> np.ndarray:
    jitter = np.exp(rng.uniform(-0.02, 0.02, 2))
    return _at_level(SOUNDS[sound](n, PITCH[pitch or "mid"] * jitter[0], TEMPO[tempo or "mid"] * jitter[1], rng))


def render(scene: Scene, seconds: float, seed: int) -> np.ndarray:
    """The scene as float32 audio at 16 kHz; the same seed gives the same audio."""
    rng = np.random.default_rng(seed)
    n = int(seconds * SAMPLE_RATE)
    audio = _play(scene.sound, n, rng, scene.pitch, scene.tempo)
    if scene.second:
        audio = (audio + _play(scene.second, n, rng)) / np.sqrt(2)
    if scene.background:
        audio = audio + _play(scene.background, n, rng) * 10 ** (BACKGROUND_DB / 20)
    if scene.quality == "muffled":
        spectrum = np.fft.rfft(audio) / (1 + (np.fft.rfftfreq(n, 1 / SAMPLE_RATE) / MUFFLED_HZ) ** 3)
        audio = np.fft.irfft(spectrum, n)
    audio = audio / max(1.0, np.abs(audio).max() / 0.9)
    hiss = 10 ** ((HISS_DB[scene.quality] + rng.uniform(-1.5, 1.5)) / 20)
    return (audio + hiss * rng.standard_normal(n)).astype(np.float32)

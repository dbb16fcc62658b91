"""Real sound for the ear, and its training: what may be trained on, how a recording is laid out, the VAE's last stage.

What is measured of it: `mini/ear.py`, whose head names the material and what is held out.
"""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import torch
from diffusers import AutoencoderKL
from librosa import resample

from utils.features import SAMPLE_RATE, log_mel

from .data import SECONDS, TRAIN_SEED
from .loop import device, fast_arithmetic, train
from .vae import KL_WEIGHT, crops, difference

SAMPLES, COPYRIGHT = Path("/usr/share/sonic-pi/samples"), Path("/usr/share/doc/sonic-pi-samples/copyright")
FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
RECORDINGS = {
    "crow.flac": "misc_crow",
    "bell.ogg": "perc_bell",
    "till.ogg": "perc_till",
    "guitar.ogg": "guit_harmonics",
    "choir.ogg": "ambi_choir",
    "tabla_loop.ogg": "loop_tabla",
    "safari_loop.ogg": "loop_safari",
}
HOLD = 1.0  # weight of "computed clips keep their latents", so that the UNets stay valid
BATCHES = {128: (5, 7), 256: (3, 4), 512: (1, 2)}  # frames a crop: how many computed, how many real
SLOT = 8  # seconds a rendered piece; it ends after about 5
DRUMS, SCALE = (35, 36, 38, 39, 42, 45, 46, 49, 51, 56), (0, 2, 4, 7, 9, 12)  # General MIDI keys; semitones


def licensed() -> dict[str, tuple[str, str]]:
    """Return author and Freesound page of every CC0 recording, by name; without `loop_amen*`, of disputed origin."""
    text = COPYRIGHT.read_text(encoding="utf-8")
    entry = r"^Files: etc/samples/(\w+)\.flac\nCopyright: \d+ (.*)\n(?:Source: *)?(http\S+)\nLicense: CC0$"
    return {n: (by, page) for n, by, page in re.findall(entry, text, re.MULTILINE) if not n.startswith("loop_amen")}


def installed() -> bool:
    """Tell whether Debian's `sonic-pi-samples` is here."""
    return SAMPLES.exists() and COPYRIGHT.exists()


def split() -> tuple[list[Path], list[Path]]:
    """Return the files to train on, and those held out."""
    files, free = sorted(SAMPLES.glob("*.flac")), licensed()
    kept = {f for i, f in enumerate(files) if "tabla" in f.stem or i % 4 == 0 or f.stem in RECORDINGS.values()}
    return [f for f in files if f.stem in free and f not in kept], [f for f in files if f.stem in free and f in kept]


def waveforms(files: Iterable[Path]) -> list[np.ndarray]:
    """The files' channels averaged, at 16 kHz (`Clip.load` refuses the shortest)."""
    read = (soundfile.read(path, dtype="float32", always_2d=True) for path in files)
    return [resample(samples.mean(1), orig_sr=rate, target_sr=SAMPLE_RATE) for samples, rate in read]


def _midi(pieces: int, rng: np.random.Generator) -> bytes:
    """A standard MIDI file (960 ticks a second): one piece every SLOT seconds, each on an instrument by chance."""
    events: list[tuple[int, int, bytes]] = []
    for start in range(0, pieces * SLOT * 960, SLOT * 960):
        channel = 9 if rng.random() < 0.15 else 0
        events.append((start, 0, bytes([0xC0 | channel, 0 if channel else rng.integers(128)])))
        step, base, pattern = rng.choice([120, 240, 480, 960]), rng.integers(36, 84), rng.choice(DRUMS, 8)
        for number, at in enumerate(range(start + 10, start + 5 * 960, step)):
            chord = base + rng.choice(SCALE, rng.choice([0, 1, 1, 1, 1, 3]), replace=False)
            for key in [pattern[number % 8]] if channel else chord:
                strength, length = rng.integers(50, 120), int(step * rng.uniform(0.4, 1))
                events += [
                    (at, 2, bytes([0x90 | channel, key, strength])),
                    (at + length, 1, bytes([0x80 | channel, key, 0])),
                ]
    track, last = b"", 0
    for at, _, message in sorted(events):
        wait, last = at - last, at
        digits = [wait & 127] + [wait >> shift & 127 | 128 for shift in (7, 14, 21) if wait >> shift]
        track += bytes(reversed(digits)) + message
    track += b"\x00\xff\x2f\x00"
    return b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 1, 224]) + b"MTrk" + len(track).to_bytes(4, "big") + track


def instruments(folder: Path, pieces: int, seed: int) -> list[np.ndarray]:
    """Render random pieces of SLOT seconds on FluidR3's instruments; an empty list where font or program is missing."""
    if not (FONT.exists() and shutil.which("fluidsynth")):
        return []
    score, sound = folder / f"pieces-{seed}.mid", folder / f"pieces-{seed}.wav"
    score.write_bytes(_midi(pieces, np.random.default_rng([seed, 13])))
    settings = ["-q", "-n", "-i", "-g", "0.6", "-r", str(SAMPLE_RATE)]
    subprocess.run(["fluidsynth", *settings, "-F", sound, FONT, score], check=True, capture_output=True)
    played, n = soundfile.read(sound, dtype="float32")[0].mean(1), SLOT * SAMPLE_RATE
    sound.unlink()
    return [played[start : start + n] for start in range(0, min(len(played), pieces * n), n)]


def lay(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 5.12 s that hold the recording: cut off or whole, once or repeated, at any level, over silence or hiss."""
    if rng.random() < 0.3:
        waveform = waveform[: max(800, int(len(waveform) * rng.uniform(0.1, 0.9)))]
    gap = rng.choice([0, rng.uniform(0, 0.3), rng.uniform(0, 3)])
    period = np.concatenate([waveform, np.zeros(int(gap * SAMPLE_RATE), np.float32)])
    laid = np.resize(np.roll(period, -rng.integers(len(period))), int(SECONDS * SAMPLE_RATE))
    laid = laid * 10 ** (rng.uniform(-26, -0.5) / 20) / max(1e-4, np.abs(laid).max())
    hiss = 10 ** (rng.uniform(-90, -40) / 20) * (rng.random() < 0.5)
    return (laid + hiss * rng.standard_normal(len(laid))).astype(np.float32)


def real_mels(folder: Path, count: int, say=print) -> np.ndarray | None:
    """Return float16 log-mels (count, 512, 64) of the training material, made once; None where there is none of it."""
    path = folder / f"real-{count}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        recorded = waveforms(split()[0]) if installed() else []
        played = instruments(folder, count // 5, TRAIN_SEED)
        for package, found in (("sonic-pi-samples", recorded), ("fluid-soundfont-gm and fluidsynth", played)):
            say(f"ear: {len(found)} sounds of {package}" + ("" if found else " (not installed: goes on without)"))
        kinds, rng = [kind for kind in (recorded, played) if kind], np.random.default_rng([TRAIN_SEED, 14])
        if not kinds:
            return None
        laid = [lay(kind[rng.integers(len(kind))], rng) for i in range(count) for kind in [kinds[i % len(kinds)]]]
        np.save(path, np.stack([log_mel(waveform) for waveform in laid]).astype(np.float16))
    return np.load(path)


def teach(path: Path, vae: AutoencoderKL, computed: np.ndarray, real: np.ndarray, *, steps: int, say=print):
    """Train encoder and decoder on with real log-mels, the latent means of computed ones held where they are."""
    before = copy.deepcopy(vae).eval().requires_grad_(False).to(device())
    vae.requires_grad_(True).to(device())

    def loss_of(step: int):
        rng = np.random.default_rng([step, 15])
        frames = int(rng.choice(list(BATCHES), p=[0.5, 0.25, 0.25]))
        ours, theirs = BATCHES[frames]
        mel = torch.cat([crops(computed, ours, rng, frames), crops(real, theirs, rng, frames)])
        with fast_arithmetic():
            posterior = vae.encode(mel).latent_dist
            rebuilt = vae.decode(posterior.sample()).sample.float()
            held = before.encode(mel[:ours]).latent_dist.mean
        loss, rms = difference(rebuilt, mel)
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).float().mean()
        moved = (posterior.mean[:ours] - held).float().square().mean()
        return loss + KL_WEIGHT * kl + HOLD * moved, {"rms dB": rms, "latents moved": moved.sqrt().item()}

    return train(path, vae, loss_of, steps=steps, learning_rate=1e-3, weight_decay=0, ema_decay=0.998, say=say)

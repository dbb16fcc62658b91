"""The ear: the finished VAE taught on with real sound and silence. `python -m mini.ear` measures it before and after.

Everything that the family is trained on before is computed, over a hiss of -62 dB; a real recording falls silent in
between, and the VAE has never met silence. Material: the CC0 recordings of Debian's `sonic-pi-samples` and random
pieces on the sampled instruments of FluidR3 (MIT; Debian's `fluid-soundfont-gm` and `fluidsynth`). Where a package is
missing, the recipe says so and goes on without. Held out, for the test: all tabla recordings, every fourth of the
others, those of the lessons, and `tuxpaint-stamps-default` (animals, spoken digits). `python -m mini.ear recordings`
writes the lessons' recordings into notebooks/sounds.
"""

from __future__ import annotations

import argparse
import copy
import json
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

from utils import Clip
from utils.checkpoints import MINI_CLAP
from utils.clap import KINDS, heard
from utils.features import DB_PER_NEPER, SAMPLE_RATE, log_mel

from .data import SECONDS, TEST_SEED, TRAIN_SEED, clip_mel
from .loop import device, fast_arithmetic, train
from .obedience import generate_all
from .parts import UNET_WIDTH
from .recordings import FOLDER
from .robustness import PARAPHRASES
from .vae import KL_WEIGHT, crops, difference

SAMPLES, COPYRIGHT = Path("/usr/share/sonic-pi/samples"), Path("/usr/share/doc/sonic-pi-samples/copyright")
FONT, STAMPS = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"), Path("/usr/share/tuxpaint/stamps")
FOUND, SOURCES = Path(__file__).with_name("ear.json"), Path(__file__).with_name("ear_sources.md")
RECORDINGS = {
    "crow.flac": "misc_crow",
    "bell.ogg": "perc_bell",
    "till.ogg": "perc_till",
    "guitar.ogg": "guit_harmonics",
    "choir.ogg": "ambi_choir",
    "tabla_loop.ogg": "loop_tabla",
    "safari_loop.ogg": "loop_safari",
}
HEARD = """# The recordings that the VAE was taught on with

All of them CC0, as the copyright file of Debian's `sonic-pi-samples` says; written by `python -m mini.ear`.

{}
"""
HOLD = 1.0  # weight of "computed clips keep their latents", so that the UNets stay valid
BATCHES = {128: (5, 7), 256: (3, 4), 512: (1, 2)}  # frames a crop: how many computed, how many real
SLOT = 8  # seconds a rendered piece; it ends after about 5
DRUMS, SCALE = (35, 36, 38, 39, 42, 45, 46, 49, 51, 56), (0, 2, 4, 7, 9, 12)  # General MIDI keys; semitones


def licensed() -> dict[str, tuple[str, str]]:
    """Return author and Freesound page of every CC0 recording, by name; without `loop_amen*`, of disputed origin."""
    text = COPYRIGHT.read_text(encoding="utf-8")
    entry = r"^Files: etc/samples/(\w+)\.flac\nCopyright: \d+ (.*)\n(?:Source: *)?(http\S+)\nLicense: CC0$"
    return {n: (by, page) for n, by, page in re.findall(entry, text, re.MULTILINE) if not n.startswith("loop_amen")}


def split() -> tuple[list[Path], list[Path]]:
    """Return the files to train on, and those held out."""
    files, free = sorted(SAMPLES.glob("*.flac")), licensed()
    kept = {f for i, f in enumerate(files) if "tabla" in f.stem or i % 4 == 0 or f.stem in RECORDINGS.values()}
    return [f for f in files if f.stem in free and f not in kept], [f for f in files if f.stem in free and f in kept]


def _waveforms(files: Iterable[Path]) -> list[np.ndarray]:
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
        recorded = _waveforms(split()[0]) if SAMPLES.exists() and COPYRIGHT.exists() else []
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


def as_given(waveform: np.ndarray, peak: float = 0.5) -> np.ndarray:
    """Return the log-mel (512, 64) of a recording, repeated to 5.12 s; strokes with 0.2 s of silence in between."""
    gap = np.zeros(min(len(waveform), 3200) if len(waveform) < 8000 else 0)
    laid = np.resize(np.concatenate([waveform, gap]), int(SECONDS * SAMPLE_RATE))
    return log_mel((laid * peak / max(1e-4, np.abs(laid).max())).astype(np.float32))


def held_out(folder: Path, clips: int = 40) -> dict[str, np.ndarray]:
    """Return log-mels that no training held, (at most `clips`, 512, 64) a kind, of the kinds installed."""
    recorded = split()[1] if SAMPLES.exists() and COPYRIGHT.exists() else []
    animals = [path for path in sorted(STAMPS.glob("animals/**/*.ogg")) if "_desc" not in path.stem]
    kinds = {
        "tabla": _waveforms(path for path in recorded if "tabla" in path.stem),
        "other CC0 samples": _waveforms(path for path in recorded if "tabla" not in path.stem),
        "animals": _waveforms(animals[:clips]),
        "spoken digits": _waveforms(sorted(STAMPS.glob("symbols/math/[0-9]_*.ogg"))[: 2 * clips : 2]),
        "FluidR3 instruments": instruments(folder, clips, TEST_SEED),
    }
    rng = np.random.default_rng(TEST_SEED)
    found = {"computed": np.stack([clip_mel(TEST_SEED, i) for i in range(clips)])}
    return found | {
        kind: np.stack([as_given(waveform, rng.uniform(0.25, 0.9)) for waveform in waveforms[:clips]])
        for kind, waveforms in kinds.items()
        if waveforms
    }


@torch.no_grad()
def errors(vae: AutoencoderKL, mels: np.ndarray) -> np.ndarray:
    """Return the RMS error in dB through encoder and decoder, one number a clip."""
    found = []
    for mel in torch.from_numpy(mels.astype(np.float32))[:, None].split(8):
        rebuilt = vae.decode(vae.encode(mel.to(device())).latent_dist.mode()).sample.cpu()
        found.append((rebuilt - mel).square().mean(dim=(1, 2, 3)).sqrt() * DB_PER_NEPER)
    return torch.cat(found).numpy()


def _both(ears: dict[str, AutoencoderKL], mels: np.ndarray) -> dict[str, float]:
    return {name: float(np.median(errors(vae, mels))) for name, vae in ears.items()} | {"n": len(mels)}


def measure(family, clips: int = 40) -> dict:
    """Return the VAE's median errors (dB) before and after, by kind and by recording, and how far latents moved."""
    tests = held_out(family.state / "data", clips)
    lessons = {file: as_given(_waveforms([FOLDER / file])[0])[None] for file in RECORDINGS}
    ears = {"before": family.decoder, "after": family.ear}
    with torch.no_grad():
        mel = torch.from_numpy(tests["computed"].astype(np.float32))[:, None].to(device())
        old, new = (vae.encode(mel).latent_dist.mean for vae in ears.values())
        crossed = (ears["after"].decode(old).sample - mel).square().mean(dim=(1, 2, 3)).sqrt().median() * DB_PER_NEPER
    return {
        "steps": family.recipe.ear_steps,
        "recordings": len(split()[0]),
        "pieces": family.recipe.real_clips // 5,
        "latents moved": ((new - old).std() / old.std()).item(),
        "old latents": crossed.item(),
        "kinds": {kind: _both(ears, mels) for kind, mels in tests.items()},
        "lessons": {Path(file).stem: _both(ears, mels) for file, mels in lessons.items()},
    }


def hidden(pipe, ears: dict[str, AutoencoderKL]) -> dict[str, float]:
    """Return the shares of hidden prompts that mini-clap hears as asked, the same latents decoded by each VAE."""
    texts = {text: name for name, texts in zip(KINDS, PARAPHRASES.values(), strict=True) for text in texts.split("|")}
    decode, said = pipe.decode_latents, {name: [] for name in ears}

    def decode_by_each(latents: torch.Tensor) -> torch.Tensor:
        for name, pipe.vae in ears.items():
            waveforms = pipe.mel_spectrogram_to_waveform(mel := decode(latents)).numpy()[:, : int(2.56 * SAMPLE_RATE)]
            said[name] += heard([Clip(one) for one in waveforms], KINDS, MINI_CLAP)
        return mel

    pipe.decode_latents = decode_by_each
    generate_all(pipe, list(texts), num_inference_steps=10)
    return {
        name: float(np.mean([a == b for a, b in zip(found, texts.values(), strict=True)]))
        for name, found in said.items()
    }


def sources() -> str:
    """Return a table of the recordings trained on: name, author, Freesound page."""
    made_by = licensed()
    rows = [f"| {name} | {made_by[name][0]} | <{made_by[name][1]}> |" for name in sorted(f.stem for f in split()[0])]
    return "\n".join(["| recording | author | Freesound page |", "| --- | --- | --- |", *rows])


def write_recordings() -> None:
    """Write the lessons' recordings as given (length, rate, channels), and print who made them."""
    made_by = licensed()
    strokes = {
        f"tabla/{name.removeprefix('tabla_')}.ogg": name for name in sorted(made_by) if name.startswith("tabla_")
    }
    for target, name in (RECORDINGS | strokes).items():
        path = FOLDER / target
        path.parent.mkdir(parents=True, exist_ok=True)
        samples, rate = soundfile.read(SAMPLES / f"{name}.flac")
        subtype = {"subtype": "VORBIS"} if path.suffix == ".ogg" else {}
        soundfile.write(path, samples, rate, **subtype)
        print(f"| `{target}` | {name} | {len(samples) / rate:.2f} s | {made_by[name][0]} | <{made_by[name][1]}> |")


def main() -> None:
    from .evaluate import load
    from .train import Family, state_folder

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["measure", "recordings"], default="measure")
    if parser.parse_args().what == "recordings":
        return write_recordings()
    family = Family(state_folder())
    ears, found = {"before": family.decoder, "after": family.ear}, measure(family)
    found["hidden"] = {name: hidden(load(family.checkpoints / name), ears) for name in UNET_WIDTH}
    FOUND.write_text(json.dumps(found, indent=1) + "\n")
    SOURCES.write_text(HEARD.format(sources()))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

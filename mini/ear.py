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
import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from diffusers import AutoencoderKL

from utils import Clip
from utils.checkpoints import MINI_CLAP
from utils.clap import KINDS, heard
from utils.features import DB_PER_NEPER, SAMPLE_RATE, log_mel

from . import real_sound
from .data import SECONDS, TEST_SEED, clip_mel
from .evaluate import hear, load, paired
from .judge import verdicts
from .loop import device
from .obedience import generate_all, prompts_of, real_clips, test_scenes
from .parts import UNET_WIDTH
from .real_sound import RECORDINGS, instruments, licensed, split, waveforms
from .recordings import FOLDER
from .robustness import PARAPHRASES
from .train import Family, state_folder

STAMPS = Path("/usr/share/tuxpaint/stamps")
FOUND, SOURCES = Path(__file__).with_name("ear.json"), Path(__file__).with_name("ear_sources.md")
HEARD = """# The recordings that the VAE was taught on with

All of them CC0, as the copyright file of Debian's `sonic-pi-samples` says; written by `python -m mini.ear`.

{}
"""


def as_given(waveform: np.ndarray, peak: float = 0.5) -> np.ndarray:
    """Return the log-mel (512, 64) of a recording, repeated to 5.12 s; strokes with 0.2 s of silence in between."""
    gap = np.zeros(min(len(waveform), 3200) if len(waveform) < 8000 else 0)
    laid = np.resize(np.concatenate([waveform, gap]), int(SECONDS * SAMPLE_RATE))
    return log_mel((laid * peak / max(1e-4, np.abs(laid).max())).astype(np.float32))


def held_out(folder: Path, clips: int = 40) -> dict[str, np.ndarray]:
    """Return log-mels that no training held, (at most `clips`, 512, 64) a kind, of the kinds installed."""
    recorded = split()[1] if real_sound.installed() else []
    animals = [path for path in sorted(STAMPS.glob("animals/**/*.ogg")) if "_desc" not in path.stem]
    kinds = {
        "tabla": waveforms(path for path in recorded if "tabla" in path.stem),
        "other CC0 samples": waveforms(path for path in recorded if "tabla" not in path.stem),
        "animals": waveforms(animals[:clips]),
        "spoken digits": waveforms(sorted(STAMPS.glob("symbols/math/[0-9]_*.ogg"))[: 2 * clips : 2]),
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
    lessons = {file: as_given(waveforms([FOLDER / file])[0])[None] for file in RECORDINGS}
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


def by_each(pipe, ears: dict[str, AutoencoderKL], prompts: list[str], **settings) -> dict[str, list[np.ndarray]]:
    """Return waveforms of 2.56 s for the prompts, the same latents decoded by each VAE."""
    decode, found = pipe.decode_latents, {name: [] for name in ears}

    def decode_by_each(latents: torch.Tensor) -> torch.Tensor:
        for name, pipe.vae in ears.items():
            waveforms = pipe.mel_spectrogram_to_waveform(mel := decode(latents)).numpy()
            found[name] += list(waveforms[:, : int(2.56 * SAMPLE_RATE)])
        return mel

    pipe.decode_latents = decode_by_each
    generate_all(pipe, prompts, **settings)
    return found


def hidden(pipe, ears: dict[str, AutoencoderKL]) -> dict[str, float]:
    """Return the shares of hidden prompts that mini-clap hears as asked, the same latents decoded by each VAE."""
    texts = {text: name for name, texts in zip(KINDS, PARAPHRASES.values(), strict=True) for text in texts.split("|")}
    made = by_each(pipe, ears, list(texts), num_inference_steps=10)
    said = {name: heard([Clip(one) for one in waveforms], KINDS, MINI_CLAP) for name, waveforms in made.items()}
    return {
        name: float(np.mean([a == b for a, b in zip(found, texts.values(), strict=True)]))
        for name, found in said.items()
    }


def judged(pipe, ears: dict[str, AutoencoderKL], judge, per_class: int = 10) -> dict:
    """Return what the judge hears of the same latents, decoded by each VAE, and the paired change of what is obeyed."""
    scenes = test_scenes(per_class)
    real, _ = verdicts(judge, real_clips(scenes, 2.56))
    found, obeys = {}, {}
    for name, sounds in by_each(pipe, ears, prompts_of(scenes)).items():
        told = hear(judge, sounds, scenes, real, clip_by_clip=True)
        obeys[name], distance = told.pop("obeyed"), {"frechet": float(told.pop("frechet"))}
        found[name] = {head: one["share"] for head, one in told.items() if one} | distance
    change = np.subtract(obeys["after"], obeys["before"])
    return found | {"change": paired(change, [scene.sound for scene in scenes])}


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
        samples, rate = soundfile.read(real_sound.SAMPLES / f"{name}.flac")
        subtype = {"subtype": "VORBIS"} if path.suffix == ".ogg" else {}
        soundfile.write(path, samples, rate, **subtype)
        print(f"| `{target}` | {name} | {len(samples) / rate:.2f} s | {made_by[name][0]} | <{made_by[name][1]}> |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["measure", "recordings"], default="measure")
    if parser.parse_args().what == "recordings":
        return write_recordings()
    family = Family(state_folder())
    ears, found = {"before": family.decoder, "after": family.ear}, measure(family)
    pipes = {name: load(family.checkpoints / name) for name in UNET_WIDTH}
    found["hidden"] = {name: hidden(pipe, ears) for name, pipe in pipes.items()}
    found["judged"] = {name: judged(pipe, ears, family.judge) for name, pipe in pipes.items()}
    FOUND.write_text(json.dumps(found, indent=1) + "\n")
    SOURCES.write_text(HEARD.format(sources()))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

"""The training data: captioned scenes, synthesised once and kept as mel-spectrograms outside the repository."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import librosa
import numpy as np

from utils.features import SAMPLE_RATE, log_mel

from .captions import draw_scene, say
from .sounds import BACKGROUNDS, CLASSES, QUALITIES, Scene, render

SECONDS = 5.12  # of every clip: mel 512 x 64; the trainings cut pieces out of it
CHUNK = 250  # clips a file
LEVELS = ("none", "low", "mid", "high")
SPEEDS = ("none", "slow", "mid", "fast")
TRAIN_SEED, JUDGE_SEED, TEST_SEED = 1, 2, 3  # the generator, its judge and the tests never share a clip


def scene_at(seed: int, index: int) -> Scene:
    """The scene of clip `index`: the same on every machine."""
    return draw_scene(np.random.default_rng([seed, index]))


def captions_at(seed: int, index: int, count: int) -> list[str]:
    """`count` ways to say that scene."""
    rng = np.random.default_rng([seed, index, 1])
    scene = scene_at(seed, index)
    return [say(scene, rng) for _ in range(count)]


def clip_at(seed: int, index: int, seconds: float = SECONDS) -> np.ndarray:
    """The waveform of clip `index`."""
    return render(scene_at(seed, index), seconds, seed * 10_000_019 + index)


def labels(scene: Scene) -> dict[str, np.ndarray]:
    """What text tower and judge learn to tell: sounds as a 0/1 vector, the rest as numbers of a class."""
    sounds = np.zeros(len(CLASSES), np.float32)
    for sound in (scene.sound, scene.second):
        if sound:
            sounds[CLASSES.index(sound)] = 1
    return {
        "sounds": sounds,
        "pitch": np.int64(LEVELS.index(scene.pitch or "none")),
        "tempo": np.int64(SPEEDS.index(scene.tempo or "none")),
        "quality": np.int64(QUALITIES.index(scene.quality)),
        "background": np.int64(("none", *BACKGROUNDS).index(scene.background or "none")),
    }


def stack_labels(scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
    """`labels` of many scenes, one array a head."""
    each = [labels(scene) for scene in scenes]
    return {head: np.stack([one[head] for one in each]) for head in each[0]}


def _write_chunk(folder: Path, kind: str, of_clip: Callable, seed: int, size: int, chunk: int) -> int:
    path = folder / f"{kind}-{seed}-{chunk:04d}.npy"
    if not path.exists():
        import torch

        torch.set_num_threads(1)
        found = np.stack([of_clip(seed, i) for i in range(chunk * size, (chunk + 1) * size)])
        unfinished = path.with_suffix(".unfinished.npy")
        np.save(unfinished, found.astype(np.float16))
        os.replace(unfinished, path)
    return chunk


def synthesise(
    folder: Path, kind: str, of_clip: Callable, seed: int, count: int, say: Callable[[str], None] = print
) -> np.ndarray:
    """`of_clip(seed, index)` of clips 0...count-1, as one float16 array; made once, on all cores, in files of CHUNK."""
    folder.mkdir(parents=True, exist_ok=True)
    size = min(CHUNK, count)
    chunks = range((count + size - 1) // size)
    missing = [c for c in chunks if not (folder / f"{kind}-{seed}-{c:04d}.npy").exists()]
    if missing:
        # a forked child hangs once torch has started its threads; those of a process that has only imported it do not
        context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
        context.set_forkserver_preload(["torch", __name__])
        with ProcessPoolExecutor(os.cpu_count(), context) as pool:
            for done, _ in enumerate(pool.map(partial(_write_chunk, folder, kind, of_clip, seed, size), missing), 1):
                say(f"{kind} {seed}: {done * size} of {len(missing) * size} clips")
    return np.concatenate([np.load(folder / f"{kind}-{seed}-{c:04d}.npy") for c in chunks])[:count]


def clip_mel(seed: int, index: int) -> np.ndarray:
    """The log-mel-spectrogram of clip `index`: (512, 64)."""
    return log_mel(clip_at(seed, index))


def listen(waveform: np.ndarray) -> np.ndarray:
    """The judge's front end: mel power in dB, float32 (frames of 20 ms, 80)."""
    power = librosa.feature.melspectrogram(y=waveform, sr=SAMPLE_RATE, n_fft=1024, hop_length=320, n_mels=80)
    return librosa.power_to_db(power, amin=1e-8, top_db=None).T.astype(np.float32)


def heard_clip(seed: int, index: int) -> np.ndarray:
    """What the judge hears of clip `index`: (257, 80). Here, because who makes it need not import what learns."""
    return listen(clip_at(seed, index))

"""Does a clip hold what its prompt asks for? Prompts, clips, and the shares that the judge hears as asked."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from .captions import draw_scene, say
from .data import LEVELS, SPEEDS, TEST_SEED
from .sounds import BACKGROUNDS, CLASSES, QUALITIES, Scene, render

ANSWERS = {"pitch": LEVELS, "tempo": SPEEDS, "quality": QUALITIES, "background": ("none", *BACKGROUNDS)}


def test_scenes(per_class: int, seed: int = TEST_SEED) -> list[Scene]:
    """Scenes of one sound each, `per_class` of every class, with pitch, tempo, quality, background as they fall."""
    rng = np.random.default_rng([seed, 99])
    scenes: list[Scene] = []
    left = {c: per_class for c in CLASSES}
    while any(left.values()):
        scene = draw_scene(rng)
        if scene.second is None and left[scene.sound]:
            left[scene.sound] -= 1
            scenes.append(scene)
    return scenes


def prompts_of(scenes: list[Scene], seed: int = TEST_SEED) -> list[str]:
    """One caption a scene, with everything said."""
    rng = np.random.default_rng([seed, 100])
    return [say(scene, rng, everything=True) for scene in scenes]


def generate_all(
    pipe,
    prompts: list[str],
    *,
    num_inference_steps=25,
    guidance_scale=2.5,
    audio_length_in_s=2.56,
    seed=0,
    negative=None,
) -> list[np.ndarray]:
    """Waveforms from diffusers' own pipeline, twelve at a time; clip i always starts from noise of seed + i."""
    found = []
    for start in range(0, len(prompts), 12):
        part = prompts[start : start + 12]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        found += list(
            pipe(
                part,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                audio_length_in_s=audio_length_in_s,
                generator=generators,
                negative_prompt=None if negative is None else [negative] * len(part),
            ).audios
        )
    return found


def share(right: np.ndarray) -> dict[str, float]:
    """A share with its 95% Wilson interval."""
    right = np.asarray(right)
    if not len(right):
        return {}
    wilson = stats.binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return {"share": float(right.mean()), "low": wilson.low, "high": wilson.high, "n": len(right)}


def heard_as_asked(logits: dict[str, np.ndarray], scenes: list[Scene]) -> dict[str, np.ndarray]:
    """Per head one number a clip: 1 where the judge hears what the scene asks for, 0 where not, NaN: nothing asked."""
    wanted = np.array([CLASSES.index(s.sound) for s in scenes])
    sounds = logits["sounds"].copy()
    for i, scene in enumerate(scenes):  # a background is a class as well: it must not count as the sound in front
        if scene.background:
            sounds[i, CLASSES.index(scene.background)] = -np.inf
    right = np.argsort(-sounds, axis=1) == wanted[:, None]
    found = {"class": right[:, 0].astype(float), "top3": right[:, :3].any(1).astype(float)}
    for head, answers in ANSWERS.items():
        pairs = zip(scenes, logits[head].argmax(1), strict=True)
        asked = [(getattr(scene, head), answers[heard]) for scene, heard in pairs]
        found[head] = np.array([np.nan if a in (None, "plain") else float(a == heard) for a, heard in asked])
    return found


def obedience(logits: dict[str, np.ndarray], scenes: list[Scene]) -> dict[str, dict]:
    """Shares of clips in which the judge hears what the scene asks for."""
    found = heard_as_asked(logits, scenes)
    return {head: share(right[~np.isnan(right)] == 1) for head, right in found.items()}


def obeyed(logits: dict[str, np.ndarray], scenes: list[Scene]) -> list[float]:
    """For every clip, the share of what its scene asks for that the judge hears: for comparing two checkpoints."""
    found = heard_as_asked(logits, scenes)
    return np.nanmean([found[head] for head in ("class", *ANSWERS)], axis=0).tolist()


def real_clips(scenes: list[Scene], seconds: float, seed: int = TEST_SEED) -> list[np.ndarray]:
    """The same scenes, synthesised: what the generator tries to match."""
    return [render(s, seconds, seed * 10_000_019 + 5_000_000 + i) for i, s in enumerate(scenes)]

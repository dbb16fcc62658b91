"""The points of a sweep's grid: one clip for every combination of settings, checked, and cut into batches.

Explained in lesson 03 (`notebooks/03_steps_and_length.ipynb`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .checks import number, whole
from .generation import MAX_GUIDANCE, MAX_SECONDS
from .prompts import MAX_SEED, Request


class Point(NamedTuple):
    """One clip of the grid, for one checkpoint."""

    prompt: str
    negative_prompt: str | None
    guidance_scale: float
    audio_length_in_s: float
    num_inference_steps: int
    seed: int

    @property
    def work(self) -> float:
        """What its time grows with: denoising steps times seconds of sound."""
        return self.num_inference_steps * self.audio_length_in_s

    def path(self, folder: Path, fingerprint: str) -> Path:
        """Its sound file: words of the prompt for who browses the folder, and the hash that counts."""
        words = re.sub(r"[^a-z0-9]+", "-", self.prompt.lower())[:40].strip("-") or "clip"
        key = hashlib.sha256(json.dumps([self._asdict(), fingerprint], sort_keys=True).encode()).hexdigest()[:24]
        return folder / f"{words}-{key}.wav"


def axes_of(prompts, negative_prompts, guidance_scale, audio_length_in_s, num_inference_steps, seeds) -> tuple:
    """The values of each setting of a sweep's grid, in the order of `Point`; each was given as one or several.

    Raises TypeError or ValueError for one that `generate` would refuse.
    """
    return (
        several("prompts", prompts, lambda v: Request(v).prompt),
        several("negative_prompts", negative_prompts, lambda v: Request("-", negative_prompt=v).negative_prompt),
        several("guidance_scale", guidance_scale, lambda v: number("guidance_scale", v, 0, MAX_GUIDANCE)),
        several(
            "audio_length_in_s", audio_length_in_s, lambda v: number("audio_length_in_s", v, 0.04, MAX_SECONDS, " s")
        ),
        several("num_inference_steps", num_inference_steps, lambda v: whole("num_inference_steps", v, 1, 1000)),
        several("seeds", seeds, lambda v: whole("seed", v, 0, MAX_SEED)),
    )


def several(name: str, values, check: Callable) -> list:
    """`check`ed values, each once, of what may be one or several; ValueError where there is none, or too many."""
    if values is None or isinstance(values, (str, os.PathLike)) or not isinstance(values, Iterable):
        values = [values]
    values = [value for value, _ in zip(values, range(1_000_001), strict=False)]
    if not 0 < len(values) <= 1_000_000:
        raise ValueError(f"{name} {'is too long' if values else 'is empty'}: give 1 to 1,000,000 values.")
    return list(dict.fromkeys(map(check, values)))


def batches(points: Sequence[Point], most: int) -> Iterator[tuple[list[Point], int]]:
    """The grid cut into batches of equal steps, length and guidance, and the size to generate each in.

    All batches of a group have one size, and what is missing in one is made in its old place, the others' places filled
    up: a clip's bits depend on the shape of its batch and (with several threads) on its place there, but not on its
    company. So they are the same after any interruption.
    """
    groups: dict[tuple, list[Point]] = {}
    for point in points:
        key = (point.num_inference_steps, point.audio_length_in_s, point.guidance_scale)
        groups.setdefault(key, []).append(point)
    for group in groups.values():
        size = math.ceil(len(group) / math.ceil(len(group) / most))
        for start in range(0, len(group), size):
            yield group[start : start + size], size

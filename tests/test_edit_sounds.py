"""Lesson 07: its recordings, a learner's own sound, and what its tools keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tools import lessons
from utils import Clip, encode_audio, generate, log_mel_distance

FIRST = (  # the lines with which the cells begin that are run, each up to its first experiment
    "from utils import Clip,", "FILES = ", "import numpy", "frames, per", "hole, SHIFTS", "from utils import log_mel",
    "def mute(",
)  # fmt: skip


@pytest.fixture(scope="module")
def lesson() -> dict:
    """Return the names of the lesson."""
    cells = [c.source for c in lessons.code_cells(lessons.read(lessons.NOTEBOOKS / "07_edit_sounds.ipynb"))]
    names: dict = {"encode_audio": encode_audio, "log_mel_distance": log_mel_distance}
    for first in FIRST:
        (source,) = (source for source in cells if source.startswith(first))
        for end in ("late = begin", "\nSTRENGTHS", "\nfills", "\ndraw(", "\nstill", "\nresults"):
            source = source.partition(f"\n{end}")[0]
        exec(source, names)
    return names


@pytest.mark.parametrize(("seconds", "silence"), [(0.05, 0), (1.003, 3.2), (7.7, 0.4)])
def test_a_learners_sound_of_any_length_passes_every_tool(lesson, seconds, silence):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 44_100)) / 44_100)
    tone = np.concatenate([np.zeros(round(silence * 44_100)), tone])
    mine = Clip(tone, 44_100).resampled().piece(lesson["SECONDS"])
    assert len(mine.waveform) == len(lesson["barks"].waveform)
    quiet = lesson["pauses"](mine)
    assert quiet.shape == (1, 1, lesson["frames"], 1) and not quiet.all()
    assert encode_audio(lesson["pipe"], lesson["mute"](mine, quiet)).shape[2] == lesson["frames"]


def test_the_recordings_are_what_the_recipe_makes():
    from mini import recordings

    barks = Clip.load(recordings.FOLDER / "barks.flac").waveform
    assert np.abs(barks - recordings.barks()).max() < 1e-3
    beat = Clip.load(recordings.FOLDER / "beat.ogg").waveform
    made = 0.9 * recordings.beat()  # left and right, averaged
    assert np.corrcoef(beat, made)[0, 1] > 0.98  # OGG loses a little


@pytest.mark.parametrize("reshaped", [lambda m: m, lambda m: m[0, 0], lambda m: m.expand(1, 8, -1, 8)])
def test_kept_latents_come_back_exactly_whatever_the_masks_shape(lesson, reshaped):
    latents, where, last = encode_audio(lesson["pipe"], lesson["beat"]), reshaped(lesson["outside"]), []
    hold = lesson["keep"](latents, where)

    def watch(step, timestep, now):
        hold(step, timestep, now)
        last[:] = [now.clone()]

    generate(lesson["pipe"], "rain", **{**lesson["SETTINGS"], "num_inference_steps": 4}, callback=watch)
    same, kept = torch.isclose(last[0].cpu(), latents, atol=1e-5), where.broadcast_to(latents.shape)
    assert same[kept].all() and same[~kept].float().mean() < 0.1

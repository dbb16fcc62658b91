"""Lesson 07: its recordings, a learner's own sound, and what its tools keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tools import lessons
from utils import Clip, encode_audio, envelope_correlation, generate, log_mel_distance

NAME = "07_edit_sounds.ipynb"
FIRST = (  # the lines with which the cells begin that are run
    "from utils import Clip,", "FILES = ", "def restyle(", "import numpy", "frames, per", "hole, SHIFTS", "def splice(",
    "from utils import log_mel", "def mute(",
)  # fmt: skip


@pytest.fixture(scope="module")
def lesson() -> dict:
    """Return the names of the lesson; of each cell the part before its first experiment is run."""
    cells = [c.source for c in lessons.code_cells(lessons.read(lessons.NOTEBOOKS / NAME))]
    names: dict = {"encode_audio": encode_audio, "log_mel_distance": log_mel_distance}
    for first in FIRST:
        (source,) = (source for source in cells if source.startswith(first))
        for end in ("late = begin", "\nSTRENGTHS", "\nfills, dog", "\ndraw(", "\nspliced", "\nstill", "\nresults"):
            source = source.partition(f"\n{end}")[0]
        exec(source, names)
    return names


@pytest.mark.parametrize(("seconds", "silence"), [(0.05, 0), (1.003, 3.2), (7.7, 0.4)])
def test_a_learners_file_of_any_length_passes_every_tool(lesson, seconds, silence):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 44_100)) / 44_100)
    tone = np.concatenate([np.zeros(round(silence * 44_100)), tone])
    mine = Clip(tone, 44_100).resampled().piece(lesson["SECONDS"])
    assert len(mine.waveform) == len(lesson["barks"].waveform)
    assert np.abs(mine.waveform[:1600]).max() > 0.4  # it begins where the sound begins
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


def test_at_a_small_strength_barks_stay_barks(lesson):
    assert envelope_correlation(lesson["restyle"](lesson["barks"], "a dog", 0.1), lesson["barks"]) > 0.9


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


def test_a_splice_changes_the_hole_alone_and_is_marked_as_made(lesson):
    beat, hole = lesson["beat"], lesson["hole"]
    new = Clip(np.full(len(beat.waveform), 0.25), settings={"checkpoint": "mini-s-v2", "prompt": "a tone"})
    spliced = lesson["splice"](beat, new)
    middle = (hole.start + hole.stop) // 2
    assert spliced.waveform[middle] == 0.25
    outside = np.r_[: hole.start, hole.stop : len(beat.waveform)]
    assert np.array_equal(spliced.waveform[outside], beat.waveform[outside])
    assert b"trainedAlgorithmicMedia" in spliced.wav()


@pytest.mark.parametrize("late", [-0.08, 0, 0.12])
def test_a_piece_in_another_time_has_its_valley_there(lesson, late):
    beat = lesson["beat"]
    moved = Clip(np.roll(beat.waveform, -round(16_000 * late)))
    valley = lesson["moved"]([moved], beat)[:, 0].argmin()
    assert lesson["SHIFTS"][valley] == round(16_000 * late)

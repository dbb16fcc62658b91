"""Lesson 07: the helpers through which a learner's own sound comes in, its recordings, and what its edits keep."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from tools import lessons
from utils import Clip, load_pipeline

NAME = "07_edit_sounds.ipynb"
SECONDS = 2.56


@pytest.fixture(scope="module")
def lesson() -> dict:
    """The names of the lesson's first cells: `bring`, `first_upload`, and the two recordings."""
    cells = [c for c in lessons.read(lessons.NOTEBOOKS / NAME).cells if c.cell_type == "code"]
    names: dict = {}
    for cell in cells[1:3]:  # after the set-up cell
        exec(cell.source, names)
    return names


def recorded(kind: str, subtype: str | None = None, rate: int = 44_100, seconds: float = 1.0, channels: int = 2):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    file = io.BytesIO()
    soundfile.write(file, np.column_stack([tone] * channels), rate, format=kind, subtype=subtype)
    return file.getvalue()


def test_no_upload_is_none(lesson):
    assert lesson["first_upload"]({}) is None and lesson["first_upload"](()) is None


def test_a_long_recording_is_cut_and_keeps_its_name(lesson, tmp_path):
    (tmp_path / "long.flac").write_bytes(recorded("FLAC", seconds=4))
    clip = lesson["bring"](tmp_path / "long.flac")
    assert clip.duration == pytest.approx(SECONDS) and clip.settings["file"] == "long.flac"


def test_the_recordings_are_what_the_recipe_makes():
    from mini import recordings

    barks = Clip.load(recordings.FOLDER / "barks.flac").waveform
    assert np.abs(barks - recordings.barks()).max() < 1e-3
    beat = Clip.load(recordings.FOLDER / "beat.ogg").waveform
    made = 0.9 * recordings.beat()  # left and right, averaged
    assert np.corrcoef(beat, made)[0, 1] > 0.98  # OGG loses a little


def test_beginning_later_and_keeping_a_part_do_what_the_lesson_says(lesson):
    """At strength 0.1 barks stay barks; and latents that are kept come back exactly."""
    import torch

    from utils import encode_audio, envelope_correlation

    source = {c.source.split("\n")[0]: c.source for c in lessons.read(lessons.NOTEBOOKS / NAME).cells}
    names = lesson | {"pipe": load_pipeline("mini-s-v2"), "encode_audio": encode_audio, "np": np, "Clip": Clip}
    for first in ("import torch", "from utils import Request, generate_batch", "def keep(latents, where):"):
        exec(source[first], names)
    late = names["restyle"](names["barks"], "a dog", 0.1)[0]
    assert envelope_correlation(late, names["barks"]) > 0.9
    last = []
    hold = names["keep"](names["latents"], names["outside"])

    def watch(step, timestep, now):
        hold(step, timestep, now)
        last[:] = [now.clone()]

    settings = {"num_inference_steps": 4, "audio_length_in_s": SECONDS}
    from utils import generate

    generate(names["pipe"], "rain", **settings, callback=watch)
    same = torch.isclose(last[0], names["latents"].to(last[0]), atol=1e-5)
    kept = names["outside"].expand_as(same)
    assert same[kept].all() and same[~kept].float().mean() < 0.1

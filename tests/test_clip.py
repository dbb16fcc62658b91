"""Clip: facts that can be compared, files that are whole or not there, and nothing executed that a prompt contains."""

from __future__ import annotations

import errno
import html
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from utils.clip import Clip, compare

RATE = 16_000
WAVE = (0.41 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)
SETTINGS = {
    "checkpoint": "mini-s-v2", "prompt": "a dog barking", "negative_prompt": None, "num_inference_steps": 10,
    "audio_length_in_s": 1.0, "guidance_scale": 2.5, "seed": 0, "scheduler": "DDIMScheduler", "dtype": "float32",
}  # fmt: skip


def clip_of(waveform=WAVE, seconds=0.5, **settings) -> Clip:
    return Clip(waveform, RATE, {**SETTINGS, **settings}, seconds)


@pytest.mark.parametrize(
    ("beside", "says"),
    [
        ({}, 'Clip: 1.00 s at 16 kHz, peak 0.41, "a dog barking", mini-s-v2, 10 steps, guidance 2.5, seed 0.'),
        ({"negative_prompt": "low quality"}, '"a dog barking", without "low quality", mini-s-v2, 10 steps'),
        ({"callback": True, "prompt_embeds": True}, "seed 0, with prompt_embeds and callback."),
        ({"adapters": {"laser": 0.5}}, "seed 0, with adapters {'laser': 0.5}."),
    ],
)
def test_facts_in_one_line_name_what_went_in_and_not_what_varies_from_run_to_run(beside, says):
    clip = clip_of(**beside)
    assert says in repr(clip) == repr(clip_of(seconds=7, **beside))
    assert clip.facts in repr(clip) and clip.facts in html.unescape(clip._repr_mimebundle_()["text/html"])
    assert repr(Clip(WAVE)) == "Clip: 1.00 s at 16 kHz, peak 0.41."


@pytest.mark.parametrize("prompt", ["x" * 10_000, "two\nlines\r\n\tand\x00control\u202e", "«שלום» 😀 <b>"])
def test_any_prompt_is_one_short_printable_line(prompt):
    line = repr(clip_of(prompt=prompt))
    assert line.isprintable() and len(line) < 200


def test_a_clip_has_settings_of_its_own_and_a_title_of_any_kind():
    settings = {"file": Path("a.wav")}
    clip = Clip(WAVE, RATE, settings)
    settings.clear()
    clip.piece(0.5).settings.clear()
    assert '"a.wav"' in repr(clip) and clip.wav()
    for rate in (0, 10**9, "8000"):
        with pytest.raises((TypeError, ValueError), match="sample_rate"):
            clip.resampled(rate)


def test_waveform_is_float32_and_one_channel():
    assert clip_of(WAVE.astype(np.float64)).waveform.dtype == np.float32 and clip_of(WAVE[:8000]).duration == 0.5
    for bad in (np.zeros((2, 100)), np.zeros(0), 3.0):
        with pytest.raises(ValueError, match=r"\(samples,\)"):
            Clip(bad)


# ---- files


def test_saved_as_16_bit_pcm_at_full_scale(tmp_path, monkeypatch, capfd):
    wave = np.array([0, 0.5, -0.5, 1, -1, 7, -7], dtype=np.float32)
    path = Clip(wave, RATE).save(tmp_path / "new" / "folder" / "sound.wav")
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.format, info.subtype) == (RATE, 1, "WAV", "PCM_16")
    samples, _ = soundfile.read(path, dtype="int16")
    assert samples.tolist() == [0, 16384, -16384, 32767, -32767, 32767, -32767]
    monkeypatch.chdir(path.parent)
    assert clip_of().save("sound.wav") == clip_of(WAVE[:100]).save("sound.wav") == Path("sound.wav")
    assert soundfile.info(path).frames == 100 and [p.name for p in path.parent.iterdir()] == ["sound.wav"]
    assert capfd.readouterr() == ("", "")


def test_nan_infinity_and_another_format_are_refused_and_the_old_file_stays(tmp_path):
    path = clip_of().save(tmp_path / "a.wav")
    before = path.read_bytes()
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            clip_of(np.append(WAVE, bad)).save(path)
    for name in ("techno.mp3", "techno", "techno.wav.part"):
        with pytest.raises(ValueError, match=r"\.wav"):
            clip_of().save(tmp_path / name)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder.wav").mkdir()
    for path in (tmp_path / "file" / "a.wav", tmp_path / "folder.wav", Path("/proc/nowhere/a.wav")):
        with pytest.raises(OSError, match="Cannot write the file: ") as caught:
            clip_of().save(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.wav"]


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def fill(path: Path, data: bytes) -> None:
        path.open("wb").write(data[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space left"):
        clip_of().save(tmp_path / "a.wav")
    assert not list(tmp_path.iterdir())


PROMPTS = ['quotes " and \\', "two\nlines\tand\0nothing", "«שלום» 😀 <b>", "half a pair \ud800", "犬" * 3000]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_generated_sound_is_marked_as_made_by_a_model_and_its_samples_stay(tmp_path, prompt):
    path = clip_of(prompt=prompt, latents=True, adapters={"laser": 0.5}).save(tmp_path / "a.wav")
    with soundfile.SoundFile(path) as file:
        told = json.loads(file.comment)
        assert file.software.startswith("AudioLDM") and file.title
        assert (file.read(dtype="int16") == np.round(WAVE * 32767)).all()
    assert told["digitalSourceType"].endswith("trainedAlgorithmicMedia")
    assert told["prompt"] == prompt[: len(told["prompt"])] and len(told["prompt"]) >= min(len(prompt), 80)
    assert (told["checkpoint"], told["seed"], told["latents"]) == ("mini-s-v2", 0, True)
    recording, edited = (Clip(WAVE, RATE, {"file": "dog.wav", **beside}) for beside in ({}, {"checkpoint": "mini-l"}))
    for clip, marked in ((recording, False), (Clip(WAVE), False), (edited, True)):
        with soundfile.SoundFile(clip.save(tmp_path / "a.wav")) as file:
            assert ("trainedAlgorithmicMedia" in file.comment) == marked and file.title == clip.title


# ---- compare


def test_compare_shows_one_line_a_clip_or_refuses_in_one_sentence():
    both = compare([clip_of(), clip_of(seed=1)])
    assert repr(both) == f"A: {clip_of()!r}\nB: {clip_of(seed=1)!r}" == both._repr_mimebundle_()["text/plain"]
    assert repr(compare([clip_of()] * 28)).splitlines()[-1].startswith("AB: ")
    assert repr(compare(clip_of(), labels=[10])).startswith("10: Clip")
    for clips, more in (
        ([], {}), (None, {}), ([clip_of(), 3], {}), ([clip_of()], {"labels": "ab"}), ([clip_of()], {"columns": 1.5}),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match="empty|takes clips, not|2 labels for 1|not 1.5"):
            compare(clips, **more)

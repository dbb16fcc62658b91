"""Sound in any form: samples, recordings, pieces, folders, the way into the UNet's space, and lesson 07's tools."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import pytest
import soundfile
import torch

from mini import recordings
from tools import lessons
from utils import Clip, decode_latents, encode_audio, load_folder, log_mel_distance

RATE = 16_000


def tone(rate: int = RATE, seconds: float = 1.28, frequency: float = 1000.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def as_file(wave: np.ndarray, rate: int = RATE, format: str = "WAV", subtype: str | None = None, **options) -> bytes:
    """A sound file of a wave, (frames,) or (frames, channels)."""
    file = io.BytesIO()
    channels = wave.shape[1] if wave.ndim == 2 else 1
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format=format, **options) as sound:
        sound.write(wave)
    return file.getvalue()


WAV = as_file(tone())


# ---- what a clip is made of


@pytest.mark.parametrize("dtype", [">i2", "i4", "i1", "u1", "u4", "f2", ">f4", "f8"])
def test_samples_of_every_type_that_sound_files_have_are_scaled_in_a_copy_of_its_own(dtype):
    wave, dtype = tone(), np.dtype(dtype)
    if dtype.kind in "iu":
        half = 2.0 ** (8 * dtype.itemsize - 1)
        given = np.round(wave * (half - 1) + (half if dtype.kind == "u" else 0)).astype(dtype)
    else:
        given = wave.astype(dtype)
    clip = Clip(given[::-1])
    given[:] = 7
    assert clip.waveform.dtype == np.float32 and clip.waveform.dtype.isnative and clip.waveform.flags.c_contiguous
    assert np.abs(clip.waveform - wave[::-1]).max() < (0.01 if dtype.itemsize == 1 else 1e-3)


def test_samples_of_other_types_are_refused_and_unscaled_ones_noticed():
    for samples in ([True, False], [1j, 0], ["a"], [None], np.arange(5), np.arange(5, dtype="u8")):
        with pytest.raises(TypeError):
            Clip(np.asarray(samples))
    with pytest.warns(UserWarning, match="not scaled"):
        Clip(32767 * tone())
    for rate in (0, -1, 44_100.5, "16000", None):
        with pytest.raises((TypeError, ValueError), match="sample_rate"):
            Clip(tone(), rate)
    assert Clip(tone(44_100), 44_100.0).sample_rate == Clip(tone(44_100), np.int64(44_100)).sample_rate == 44_100


# ---- recordings

FORMATS = [("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16")]
FORMATS += [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(
    ("rate", "channels", "format", "subtype"),
    [(44_100, 2, *form) for form in FORMATS] + [(rate, 1, "WAV", "PCM_16") for rate in (8000, RATE, 192_000)],
)
def test_every_recording_becomes_16_khz_mono(rate, channels, format, subtype, tmp_path):
    path = tmp_path / f"whistle é.{format.lower()}"
    wave = tone(rate, frequency=440)
    path.write_bytes(as_file(np.stack([wave, wave / 2][:channels], axis=1), rate, format, subtype))
    clip = Clip.load(path)
    assert (clip.sample_rate, clip.waveform.dtype, clip.settings) == (RATE, np.float32, {"file": path.name})
    assert clip.duration == pytest.approx(1.28, abs=0.001 if format != "MP3" else 0.1)
    middle = clip.waveform[4000:-4000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * RATE / len(middle) == pytest.approx(440, abs=2)
    level = np.sqrt(2 * np.mean(middle.astype(float) ** 2))
    assert level == pytest.approx(0.5 if channels == 1 else 0.375, rel=0.1 if format == "MP3" else 0.03)


def test_every_form_of_a_file_is_taken_and_no_other(tmp_path, monkeypatch):
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    path = Clip.load(WAV).save("~/x.wav")
    assert path == tmp_path / "x.wav"
    at_its_end = io.BytesIO(WAV)
    at_its_end.read()
    with path.open("rb") as file:
        for form in (path, str(path), "~/x.wav", WAV, bytearray(WAV), memoryview(WAV), at_its_end, file):
            clip = Clip.load(form)
            assert clip.duration == 1.28 and clip.settings["file"] in ("x.wav", "the upload", "the file")
    with pytest.raises(ValueError, match="closed"):
        Clip.load(file)
    with path.open() as text, tempfile.NamedTemporaryFile("w+") as wrapped:
        for given in (text, wrapped, io.StringIO("RIFF"), None, np.zeros(9), {"dog.wav": WAV}, 7, [path]):
            with pytest.raises(TypeError, match=f"takes a path.* not {type(given).__name__}"):
                Clip.load(given)


def test_files_that_were_joined_are_read_to_the_last():
    waves = ((tone(22_050, 3.0, 440), 22_050), (tone(48_000, 4.0, 880), 48_000), (tone(22_050, 3.0), 22_050))
    for format in ("OGG", "FLAC", "WAV"):
        joined = b"".join(as_file(wave, rate, format) for wave, rate in waves)
        assert Clip.load(joined).duration == pytest.approx(10, abs=0.01), format
    with pytest.warns(UserWarning, match="holds 2 sounds, of which 1 cannot be read"):
        assert Clip.load(joined[: joined.index(b"RIFF", 9) + 30]).duration == pytest.approx(3, abs=0.01)
    one = as_file(*waves[0], "MP3")
    assert Clip.load(one).duration == pytest.approx(3, abs=0.1)
    assert Clip.load(one * 3).duration == pytest.approx(9, abs=0.4)
    tagged = b"ID3\3\0\0\0\0\x10\0" + bytes(2048) + one  # the size is written in sevens of bits
    assert Clip.load(tagged * 2).duration == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize(  # the length is guessed from the beginning
    ("rate", "channels", "loud"), [(RATE, 1, slice(None, 2)), (44_100, 2, slice(5, None))]
)
def test_an_mp3_of_variable_rate_without_a_header_is_read_to_its_end(rate, channels, loud):
    wave = np.zeros((20, rate, channels))
    wave[loud] = np.random.default_rng(0).normal(0, 0.3, wave[loud].shape).clip(-1, 1)
    data = as_file(wave.reshape(-1, channels), rate, "MP3", bitrate_mode="VARIABLE")
    bare = data[next(data.index(tag) for tag in (b"Xing", b"Info") if tag in data) + 120 :]
    bare = bare[re.search(rb"\xff[\xf2\xf3\xfa\xfb]", bare).start() :]
    with soundfile.SoundFile(io.BytesIO(bare)) as estimate:
        assert not 0.95 < estimate.frames / rate / 20 < 1.05
    assert Clip.load(bare).duration == pytest.approx(20, abs=0.3)


def test_headers_that_lie_cost_nothing_that_is_there():
    at = WAV.index(b"data") + 4
    for size in (0, 1600, 2**32 - 1):  # the recorder lost its power: before it wrote, after a while, while streaming
        assert Clip.load(WAV[:at] + size.to_bytes(4, "little") + WAV[at + 4 :]).duration == 1.28
    marked = Clip(tone(), RATE, {"checkpoint": "mini-s-v2", "prompt": "data"}).wav()
    assert Clip.load(marked).duration == Clip.load(marked[:-4]).duration + 2 / RATE == 1.28  # a chunk is no sound
    flac = bytearray(as_file(tone(seconds=3.0), format="FLAC"))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)  # of unknown length
    assert Clip.load(bytes(flac)).duration == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("format", ["OGG", "MP3", "FLAC", "WAV"])
def test_what_is_cut_off_is_read_as_far_as_it_goes_and_warned_of(format, recwarn):
    data = as_file(np.random.default_rng(0).normal(0, 0.1, 12 * RATE), format=format)
    assert 4 < Clip.load(data[: len(data) // 2]).duration < 7
    told = [str(warning.message) for warning in recwarn]  # an Ogg does not say how long it was
    assert not told if format == "OGG" else re.search("cut off.*: .* of (12.00 s|384,000 bytes)", *told)


def test_channels_that_cancel_give_the_louder_and_a_warning():
    wave = tone()
    pairs = [wave, -wave], [wave, -0.9 * wave], [-0.5 * wave, wave], [0.05 + wave, 0.05 - wave]
    for channels in (*pairs, [wave, -wave, 0 * wave]):
        with pytest.warns(UserWarning, match="cancel"):
            clip = Clip.load(as_file(np.stack(channels, axis=1)))
        assert np.abs(clip.waveform - max(channels, key=lambda c: abs(c).max())).max() < 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for other in (wave, 0 * wave, tone(frequency=700)):
            clip = Clip.load(as_file(np.stack([wave, other], axis=1)))
            assert np.abs(clip.waveform - (wave + other) / 2).max() < 1e-3
        assert Clip.load(as_file(np.zeros((99, 2)))).peak == 0


BEGINNINGS = {
    "m4a": b"\0\0\0\x20ftypM4A ", "3gp": b"\0\0\0\x18ftyp3gp4", "webm": b"\x1aE\xdf\xa3", "aac": b"\xff\xf1P",
}  # fmt: skip


@pytest.mark.parametrize("ending", BEGINNINGS)
def test_what_phones_record_is_read_by_ffmpeg_or_one_command_is_named(ending, tmp_path, monkeypatch):
    data = BEGINNINGS[ending] + bytes(range(256)) * 4
    if ffmpeg := shutil.which("ffmpeg"):
        (tmp_path / "x.wav").write_bytes(as_file(np.stack([tone(48_000, 2), tone(48_000, 2) / 2], axis=1), 48_000))
        made = tmp_path / f"x.{ending}"
        codec = ["-c:a", "aac"] if ending == "3gp" else []
        command = [ffmpeg, "-v", "error", "-i", str(tmp_path / "x.wav"), *codec, str(made)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        data = made.read_bytes()
        clip = Clip.load(made)
        assert clip.duration == pytest.approx(2, abs=0.15)
        assert np.sqrt(2 * np.mean(clip.waveform[4000:-4000].astype(float) ** 2)) == pytest.approx(0.375, rel=0.05)
        if ending == "aac":
            with pytest.warns(UserWarning, match="cut off"):
                assert 0.5 < Clip.load(data[: len(data) // 2]).duration < 1.5
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="pip install av"):
        Clip.load(data)
    monkeypatch.setattr(shutil, "which", lambda name: name)  # there is one, and it cannot read this
    with pytest.raises(ValueError, match="no sound that can be read"):
        Clip.load(data)


CUT = as_file(tone(44_100), 44_100, "FLAC")[:30]
ZIP = b"PK\3\4" + 2 * WAV
CONTENTS = {"is empty": [b""], "is no sound": [b"Dear diary\n" * 99, ZIP], "has no samples": [WAV[:44], CUT]}


def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path):
    path = tmp_path / "notes.wav"
    for says, contents in CONTENTS.items():
        for content in contents:
            path.write_bytes(content)
            for given, name in ((path, "notes.wav"), (content, "the upload")):
                with pytest.raises(ValueError, match=f"^{name} {says}") as caught:
                    Clip.load(given)
                assert "\n" not in str(caught.value) and caught.value.__cause__ is None
    with pytest.raises(ValueError, match="NaN"):
        Clip.load(as_file(np.where(np.arange(RATE) == 9, np.nan, 0.1), subtype="FLOAT"))
    with pytest.raises(ValueError, match="600 s"):
        Clip.load(as_file(np.zeros(8000 * 601, np.int16), 8000))
    for missing, kind in ((tmp_path / "gone.wav", FileNotFoundError), (tmp_path, OSError)):
        with pytest.raises(kind, match="cannot be read"):
            Clip.load(missing)


# ---- pieces and folders


def test_a_piece_begins_where_the_sound_does_and_has_exactly_its_length():
    hiss = np.random.default_rng(0).normal(0, 10 ** (-55 / 20), 6 * RATE)
    for before, offset in ((0 * hiss, 0), (hiss, 0), (hiss, 0.1)):
        piece = Clip(np.concatenate([before, tone(seconds=1.0)]) + offset, RATE, {"file": "late.wav"}).piece(2.56)
        assert len(piece.waveform) == 40_960 and piece.settings == {"file": "late.wav"}
        assert np.abs(piece.waveform[800:1600]).max() > 0.4 and not piece.waveform[-RATE:].any()
    steady = Clip(tone(seconds=5.0))
    assert np.array_equal(steady.piece(1.0, start=0.5).waveform, steady.waveform[8000:24_000])
    assert np.array_equal(steady.piece(2.0).waveform, steady.waveform[:32_000])
    assert len(Clip(tone(44_100, 0.043), 44_100).piece(0.1).waveform) == 4410


def test_a_silent_piece_is_refused():
    late = Clip(np.concatenate([tone(seconds=1.0), np.zeros(RATE)]))
    for clip, start in ((Clip(np.zeros(RATE)), None), (Clip([1e-5]), None), (Clip(np.ones(9)), None), (late, 1.2)):
        with pytest.raises(ValueError, match="silent"):
            clip.piece(0.5, start)
    for bad in (0, 601, "1", None):
        with pytest.raises((TypeError, ValueError), match="audio_length_in_s"):
            late.piece(bad)


def test_a_folder_gives_its_sounds_in_order_and_names_what_it_left_out(tmp_path, capsys):
    (tmp_path / "loops").mkdir()
    (tmp_path / "README.md").write_text("Hits.")
    (tmp_path / ".DS_Store").write_bytes(bytes(100))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")  # to be read it would have to be written
    (tmp_path / "silence.wav").write_bytes(as_file(np.zeros(RATE)))
    for name in ("b.wav", "a.wav", "C.wav"):
        (tmp_path / name).write_bytes(as_file(tone(44_100, 0.043), 44_100))
    assert [clip.title for clip in load_folder(tmp_path)] == ["C.wav", "a.wav", "b.wav", "silence.wav"]
    capsys.readouterr()
    clips = load_folder(str(tmp_path), audio_length_in_s=1.28, at_least=3)
    assert [clip.title for clip in clips] == ["C.wav", "a.wav", "b.wav"] and {c.duration for c in clips} == {1.28}
    (line,) = capsys.readouterr().out.splitlines()
    assert all(name in line for name in ("loops", "README.md", ".DS_Store", "silence.wav"))
    missing = (tmp_path / "lops", 1, "no folder"), ("", 1, "no folder")
    for folder, least, says in (*missing, (tmp_path, 5, "3 .* 5"), (tmp_path / "loops", 1, "0 ")):
        with pytest.raises(ValueError, match=says):
            load_folder(folder, 1.28, at_least=least)


# ---- into the space of the UNet and back


def test_latents_are_the_unets_at_any_rate_with_the_last_frame_filled_up(pipe):
    for rate, seconds, frames in ((8000, 0.08, 1), (44_100, 0.09, 2), (RATE, 1.0, 13)):
        latents = encode_audio(pipe, Clip(tone(rate, seconds), rate))
        assert latents.shape == (1, 8, frames, 8) and latents.dtype == torch.float32 and latents.device.type == "cpu"
        same = encode_audio(pipe, Clip(tone(seconds=seconds)))
        assert (latents - same).std() < 0.2 * same.std()
        assert decode_latents(pipe, latents).duration == pytest.approx(0.08 * frames)
    with pytest.raises(ValueError, match="at least 0.08 s"):
        encode_audio(pipe, Clip(np.zeros(1000)))


# ---- lesson 07

# the lines with which the cells begin that are run, each up to its first experiment
FIRST = ("from utils import Clip,", "FILES = ", "import numpy", "frames, per", "from utils import log_mel", "def mute(")


@pytest.fixture(scope="module")
def lesson() -> dict:
    """Return the names of the lesson."""
    cells = [c.source for c in lessons.code_cells(lessons.read(lessons.NOTEBOOKS / "07_edit_sounds.ipynb"))]
    names: dict = {"encode_audio": encode_audio, "log_mel_distance": log_mel_distance}
    for first in FIRST:
        (source,) = (source for source in cells if source.startswith(first))
        for end in ("late = begin", "\nSTRENGTHS", "\ndraw(", "\nstill", "\nresults"):
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
    barks = Clip.load(recordings.FOLDER / "barks.flac").waveform
    assert np.abs(barks - recordings.barks()).max() < 1e-3
    beat = Clip.load(recordings.FOLDER / "beat.ogg").waveform
    made = 0.9 * recordings.beat()  # left and right, averaged
    assert np.corrcoef(beat, made)[0, 1] > 0.98  # OGG loses a little

"""Sound in any form: what a clip is made of, and recordings of every kind that sound files come in."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile

from utils import Clip, log_mel_distance
from utils import measures as of_sound


def tone(rate: int, seconds: float = 1.28, frequency: float = 1000.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


# ---- what a clip is made of


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "i4", "i1", "u1", "u2", "u4", "f2", "f4", ">f4", "f8"])
def test_samples_of_every_type_that_sound_files_have_are_scaled(dtype):
    wave, dtype = tone(16_000), np.dtype(dtype)
    if dtype.kind in "iu":
        half = 2.0 ** (8 * dtype.itemsize - 1)
        given = np.round(wave * (half - 1) + (half if dtype.kind == "u" else 0)).astype(dtype)
    else:
        given = wave.astype(dtype)
    clip = Clip(given)
    assert clip.waveform.dtype == np.float32 and clip.waveform.dtype.isnative
    assert np.abs(clip.waveform - wave).max() < (0.01 if dtype.itemsize == 1 else 1e-3)


@pytest.mark.parametrize("samples", [[True, False], [1j, 0], ["a"], [None], np.arange(5), np.arange(5, dtype="u8")])
def test_samples_of_other_types_are_refused_in_one_sentence(samples):
    with pytest.raises(TypeError, match="^Samples are floats in -1...1, or integers of 8 to 32 bits"):
        Clip(np.asarray(samples))


def test_floats_that_nobody_scaled_are_noticed():
    with pytest.warns(UserWarning, match="were integers not scaled"):
        Clip(32767 * tone(16_000))


@pytest.mark.parametrize("cut", [np.s_[::-1], np.s_[::2], np.s_[5:-5]])
def test_a_clip_has_its_own_copy_contiguous(cut):
    stereo = np.stack([tone(16_000), tone(16_000)], axis=1)
    clip, before = Clip(stereo[cut, 0]), stereo[cut, 0].astype(np.float32)
    stereo[:] = 7
    assert clip.waveform.flags.c_contiguous and np.array_equal(clip.waveform, before)
    of_sound.loudness_db(clip), log_mel_distance(clip, clip)


def test_the_sample_rate_is_a_whole_number():
    assert Clip(tone(44_100), 44_100.0).sample_rate == 44_100
    assert Clip(tone(44_100), np.int64(44_100)).wav()
    for rate in (0, -1, 44_100.5, "16000", None):
        with pytest.raises((TypeError, ValueError), match="sample_rate must be"):
            Clip(tone(16_000), rate)


@pytest.mark.parametrize("rate", [10_000, 44_100, 192_000])
def test_a_clip_of_any_rate_can_be_seen_heard_saved_and_measured(rate, tmp_path):
    from utils import plots

    clip = Clip(tone(rate), rate)
    assert of_sound.spectral_centroid_hz(clip) == pytest.approx(1000, rel=0.06)
    html = clip._repr_mimebundle_()["text/html"]
    assert 'data-end="1.280"' in html and "1.28 s, 0 to 8 kHz" in html
    panels = plots.strip([clip, Clip(tone(16_000))], ["one", "other"]).figure.axes[:2]
    assert [round(axes.images[0].get_extent()[1], 2) for axes in panels] == [1.28, 1.28]
    rows = [axes.images[0].get_array().mean(axis=1).argmax() for axes in panels]
    assert abs(rows[0] - rows[1]) <= 1
    assert soundfile.info(clip.save(tmp_path / "x.wav")).samplerate == rate


# ---- recordings


def recording(rate: int, channels: int, format: str, subtype: str, seconds: float = 1.28) -> bytes:
    """A tone of 440 Hz; the second channel has it at half the level, so that their mean has 0.75 of it."""
    wave = tone(rate, seconds, frequency=440)
    file = io.BytesIO()
    soundfile.write(file, np.stack([wave, wave / 2][:channels], axis=1), rate, format=format, subtype=subtype)
    return file.getvalue()


WAV = recording(16_000, 1, "WAV", "PCM_16")
FORMATS = [("WAV", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
FORMATS += [("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("AIFF", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(
    ("rate", "channels", "format", "subtype"),
    [(44_100, 2, *form) for form in FORMATS]
    + [(rate, 1, "WAV", "PCM_16") for rate in (8000, 16_000, 22_050, 48_000, 96_000, 192_000)]
    + [(16_000, 1, "MP3", "MPEG_LAYER_III"), (48_000, 6, "FLAC", "PCM_16")],
)
def test_every_recording_becomes_16_khz_mono(rate, channels, format, subtype, tmp_path):
    path = tmp_path / f"whistle é.{format.lower()}"
    path.write_bytes(recording(rate, channels, format, subtype))
    clip = Clip.load(path)
    assert (clip.sample_rate, clip.waveform.dtype, clip.settings) == (16_000, np.float32, {"file": path.name})
    assert clip.duration == pytest.approx(1.28, abs=0.001 if format != "MP3" else 0.1)
    middle = clip.waveform[4000:-4000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 16_000 / len(middle) == pytest.approx(440, abs=2)
    level = np.sqrt(2 * np.mean(middle.astype(float) ** 2))
    assert level == pytest.approx(0.5 if channels == 1 else 0.375, rel=0.1 if format == "MP3" else 0.03)


@pytest.mark.parametrize("samples", [1, 2, 100, 1897])  # up to 43 ms
@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_the_shortest_recordings_are_loaded_seen_heard_and_saved(samples, format, tmp_path):
    clip = Clip.load(recording(44_100, 1, format, "PCM_16", seconds=samples / 44_100))
    assert clip.duration == pytest.approx(samples / 44_100, abs=1 / 16_000)
    assert clip._repr_mimebundle_()["text/html"] and Clip.load(clip.save(tmp_path / "short.wav"))


def test_every_form_of_a_file_is_taken(tmp_path, monkeypatch):
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


def test_what_is_no_file_is_named_with_what_is_taken(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(WAV)
    with path.open() as text, pytest.raises((TypeError, UnicodeDecodeError)):
        Clip.load(text)
    with pytest.raises(TypeError, match="opened as text"):
        Clip.load(io.StringIO("RIFF"))
    with pytest.raises(ValueError, match="closed"):
        Clip.load(text)
    uploads = {"dog.wav": WAV}
    for given, kind in ((None, "NoneType"), (np.zeros(9), "ndarray"), (uploads, "dict"), (7, "int"), ([path], "list")):
        with pytest.raises(TypeError, match=f"takes a path.* not {kind}"):
            Clip.load(given)


def test_files_that_were_joined_are_read_to_the_last(tmp_path):
    one, other = tone(22_050, 3.0, 440), tone(48_000, 4.0, 880)
    for format in ("OGG", "FLAC", "WAV"):
        both = b"".join(
            soundfile_bytes(wave, rate, format) for wave, rate in ((one, 22_050), (other, 48_000), (one, 22_050))
        )
        assert Clip.load(both).duration == pytest.approx(10, abs=0.01), format
    one = soundfile_bytes(tone(22_050, 3.0, 440), 22_050, "MP3")
    assert Clip.load(one).duration == pytest.approx(3, abs=0.1)
    assert Clip.load(one * 3).duration == pytest.approx(9, abs=0.4)
    with pytest.warns(UserWarning, match="holds 2 sounds, of which 1 cannot be read"):
        assert Clip.load(both[: both.index(b"RIFF", 9) + 30]).duration == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_of_variable_rate_without_a_header_is_read_to_its_end(rate, channels):
    wave = 0.3 * np.random.default_rng(0).normal(size=(20 * rate, channels)).clip(-1, 1)
    wave[: 5 * rate] = 0
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, channels, "MPEG_LAYER_III", format="MP3", bitrate_mode="VARIABLE") as out:
        out.write(wave)
    data = file.getvalue()
    info = next(data.index(tag) for tag in (b"Xing", b"Info") if tag in data)
    bare = data[data.index(b"\xff", info + 120) :]
    bare = bare[re.search(rb"\xff[\xf2\xf3\xfa\xfb]", bare).start() :]
    with soundfile.SoundFile(io.BytesIO(bare)) as estimate:
        assert estimate.frames < 19 * rate or estimate.frames > 21 * rate
    assert Clip.load(bare).duration == pytest.approx(20, abs=0.3)


def soundfile_bytes(wave: np.ndarray, rate: int, format: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=format)
    return file.getvalue()


def with_size(wav: bytes, size: int) -> bytes:
    at = wav.index(b"data") + 4
    return wav[:at] + size.to_bytes(4, "little") + wav[at + 4 :]


def test_headers_that_lie_cost_nothing_that_is_there():
    for size in (0, 1600, 2**32 - 1):  # the recorder lost its power: before it wrote, after a while, while streaming
        assert Clip.load(with_size(WAV, size)).duration == 1.28
    marked = Clip(tone(16_000), 16_000, {"checkpoint": "mini-s-v2", "prompt": "data"}).wav()
    assert Clip.load(marked).duration == Clip.load(marked[:-4]).duration + 2 / 16_000 == 1.28  # a chunk is no sound
    flac = bytearray(soundfile_bytes(tone(16_000, 3.0), 16_000, "FLAC"))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)  # of unknown length
    assert Clip.load(bytes(flac)).duration == pytest.approx(3, abs=0.1)


def test_what_is_cut_off_is_read_as_far_as_it_goes():
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000 * 12)
    for format in ("OGG", "MP3"):
        data = soundfile_bytes(noise, 16_000, format)
        assert 4 < Clip.load(data[: len(data) // 2]).duration < 7, format
    data = soundfile_bytes(noise, 16_000, "FLAC")
    with pytest.warns(UserWarning, match="cut off or damaged: .* of 12.00 s"):
        assert 4 < Clip.load(data[: len(data) // 2]).duration < 7


def test_channels_that_cancel_give_the_louder_and_a_warning():
    wave = tone(16_000)
    for channels in ([wave, -wave], [wave, -0.9 * wave], [-0.5 * wave, wave], [wave, -wave, 0 * wave]):
        with pytest.warns(UserWarning, match="cancel"):
            clip = Clip.load(soundfile_bytes(np.stack(channels, axis=1), 16_000, "WAV"))
        assert np.abs(clip.waveform - max(channels, key=lambda c: abs(c).max())).max() < 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for other in (wave, 0 * wave, tone(16_000, frequency=700)):
            clip = Clip.load(soundfile_bytes(np.stack([wave, other], axis=1), 16_000, "WAV"))
            assert np.abs(clip.waveform - (wave + other) / 2).max() < 1e-3
        assert Clip.load(soundfile_bytes(np.zeros((99, 2)), 16_000, "WAV")).peak == 0


@pytest.mark.parametrize("ending", ["m4a", "aac", "webm", "3gp", "wma"])
def test_what_phones_record_is_read_by_ffmpeg_or_one_command_is_named(ending, tmp_path, monkeypatch):
    ffmpeg = shutil.which("ffmpeg")
    beginning = {
        "m4a": b"\0\0\0\x20ftypM4A ", "3gp": b"\0\0\0\x18ftyp3gp4", "webm": b"\x1aE\xdf\xa3", "aac": b"\xff\xf1P",
        "wma": b"0&\xb2u\x8ef",
    }[ending]  # fmt: skip
    data = beginning + bytes(range(256)) * 4
    if ffmpeg:
        (tmp_path / "x.wav").write_bytes(recording(48_000, 2, "WAV", "PCM_16", seconds=2))
        made = tmp_path / f"x.{ending}"
        codec = ["-c:a", "aac"] if ending == "3gp" else []
        command = [ffmpeg, "-v", "error", "-i", str(tmp_path / "x.wav"), *codec, str(made)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        data = made.read_bytes()
        clip = Clip.load(made)
        assert clip.duration == pytest.approx(2, abs=0.15)
        assert np.sqrt(2 * np.mean(clip.waveform[4000:-4000].astype(float) ** 2)) == pytest.approx(0.375, rel=0.05)
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="pip install av"):
        Clip.load(data)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"Dear diary, today I recorded a dog.\n" * 40, "is no sound that can be read"),
        (b"data" * 40, "is no sound that can be read"),
        (WAV[:44], "has no samples"),
        (recording(44_100, 2, "FLAC", "PCM_16")[:30], "has no samples"),
    ],
    ids=["empty", "text", "data", "no samples", "cut"],
)
def test_what_is_wrong_with_a_file_is_one_sentence(content, says, tmp_path):
    path = tmp_path / "notes.wav"
    path.write_bytes(content)
    for given, name in ((path, "notes.wav"), (content, "the upload")):
        with pytest.raises(ValueError, match=f"^{name} {says}") as caught:
            Clip.load(given)
        assert "\n" not in str(caught.value) and caught.value.__cause__ is None


def test_files_that_are_not_there_too_long_or_not_finite(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot be read"):
        Clip.load(tmp_path / "gone.wav")
    with pytest.raises(OSError, match="cannot be read"):
        Clip.load(tmp_path)
    wave = np.where(np.arange(16_000) == 9, np.nan, 0.1)
    file = io.BytesIO()
    soundfile.write(file, wave, 16_000, subtype="FLOAT", format="WAV")
    with pytest.raises(ValueError, match="NaN"):
        Clip.load(file)
    soundfile.write(tmp_path / "x.wav", np.zeros(8000 * 601, np.int16), 8000)
    with pytest.raises(ValueError, match="more than 600 s"):
        Clip.load(tmp_path / "x.wav")

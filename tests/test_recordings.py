"""Sound in any form: what a clip is made of, and recordings of every kind that sound files come in."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import torch

from utils import Clip, decode_latents, encode_audio, envelope_correlation, log_mel_distance
from utils import measures as of_sound

RATES = (8000, 16_000, 22_050, 44_100, 48_000, 96_000)


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


@pytest.mark.parametrize("rate", [*RATES, 10_000, 192_000])
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


def recording(rate: int, channels: int, format: str, subtype: str) -> bytes:
    """A tone of 440 Hz; the second channel has it at half the level, so that their mean has 0.75 of it."""
    wave = tone(rate, frequency=440)
    file = io.BytesIO()
    soundfile.write(file, np.stack([wave, wave / 2][:channels], axis=1), rate, format=format, subtype=subtype)
    return file.getvalue()


FORMATS = [("WAV", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
FORMATS += [("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("AIFF", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("format", "subtype"), FORMATS)
def test_every_recording_becomes_16_khz_mono(rate, channels, format, subtype, tmp_path):
    if format == "MP3" and rate == 96_000:
        pytest.skip("MP3 has no such rate")
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
    assert Clip.load(path.read_bytes()).settings == {"file": "the upload"}
    assert np.array_equal(Clip.load(io.BytesIO(path.read_bytes())).waveform, clip.waveform)


def test_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Clip(tone(16_000)).save("~/x.wav") == tmp_path / "x.wav"
    assert Clip.load("~/x.wav").duration == 1.28


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no sound that can be read: save it as WAV, FLAC, OGG, MP3 or AIFF"),
        (b"Dear diary, today I recorded a dog.\n" * 40, "is no sound that can be read"),
        (recording(16_000, 1, "WAV", "PCM_16")[:44], "lasts 0 ms: at least 64 are needed"),
        (recording(16_000, 1, "WAV", "PCM_16")[: 44 + 32], "lasts 1 ms: at least 64 are needed"),
        (recording(44_100, 2, "FLAC", "PCM_16")[:30], "is no sound that can be read"),
    ],
    ids=["empty", "text", "no samples", "1 ms", "cut"],
)
def test_what_is_wrong_with_a_file_is_one_sentence(content, says, tmp_path):
    path = tmp_path / "notes.wav"
    path.write_bytes(content)
    for given, name in ((path, "notes.wav"), (content, "the upload")):
        with pytest.raises(ValueError, match=f"^{name} {says}") as caught:
            Clip.load(given)
        assert "\n" not in str(caught.value) and caught.value.__cause__ is None


def test_files_that_are_not_there_too_long_or_not_finite(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="The recording cannot be read: No such file"):
        Clip.load(tmp_path / "gone.wav")
    with pytest.raises(OSError, match="The recording cannot be read: Is a directory"):
        Clip.load(tmp_path)
    path = tmp_path / "x.wav"
    soundfile.write(path, np.where(np.arange(16_000) == 9, np.nan, 0.1), 16_000, subtype="FLOAT")
    with pytest.raises(ValueError, match="x.wav has NaN or infinite samples"):
        Clip.load(path)
    soundfile.write(path, np.zeros(8000 * 601, np.int16), 8000)
    with pytest.raises(ValueError, match="x.wav lasts 601 s: cut it to at most 600 s"):
        Clip.load(path)


# ---- into the space of the UNet and back


@pytest.mark.parametrize("rate", RATES)
def test_latents_have_the_shape_of_the_unets_whatever_the_rate(pipe, rate):
    latents = encode_audio(pipe, Clip(tone(rate), rate))
    assert latents.shape == (1, 8, 16, 8) and latents.dtype == torch.float32 and latents.device.type == "cpu"
    same = encode_audio(pipe, Clip(tone(16_000)))
    assert (latents - same).std() < 0.2 * same.std()


@pytest.mark.parametrize(("seconds", "frames"), [(0.08, 1), (0.09, 2), (1.0, 13), (2.56, 32)])
def test_the_last_latent_frame_is_filled_up(pipe, seconds, frames):
    clip = Clip(tone(16_000, seconds))
    assert encode_audio(pipe, clip).shape == (1, 8, frames, 8)
    assert decode_latents(pipe, encode_audio(pipe, clip)).duration == pytest.approx(0.08 * frames)


def test_latents_are_scaled_as_the_unet_expects_and_are_the_same_every_time(pipe):
    clip = Clip(np.random.default_rng(0).normal(0, 0.1, 20_480))
    first = encode_audio(pipe, clip)
    assert torch.equal(first, encode_audio(pipe, clip))
    before = pipe.vae.config.scaling_factor
    pipe.vae.register_to_config(scaling_factor=2 * before)
    try:
        assert torch.allclose(encode_audio(pipe, clip), 2 * first)
    finally:
        pipe.vae.register_to_config(scaling_factor=before)


def test_a_trained_mini_holds_its_own_sounds():
    from utils import generate, load_pipeline, regime

    pipe = load_pipeline("mini-s-v2")
    clip = generate(pipe, "a dog barking", **regime(pipe))
    through = decode_latents(pipe, encode_audio(pipe, clip), prompt="through the VAE")
    assert through.title == "through the VAE" and through.duration == clip.duration
    assert log_mel_distance(through, clip) < 2.5 and envelope_correlation(through, clip) > 0.95


@pytest.mark.parametrize("call", [encode_audio, lambda pipe, clip: decode_latents(pipe, torch.zeros(1, 8, 4, 9))])
def test_what_cannot_go_through_the_vae_is_said(pipe, call):
    with pytest.raises(ValueError, match="at least 0.08 s|must have the shape"):
        call(pipe, Clip(np.zeros(1000)))

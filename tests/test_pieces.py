"""Pieces of recordings, folders of them, and their way into the space of the UNet."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.test_recordings import recording, soundfile_bytes, tone
from utils import Clip, decode_latents, encode_audio, envelope_correlation, load_folder, log_mel_distance

# ---- pieces and folders


def test_a_piece_begins_where_the_sound_does_and_has_exactly_its_length():
    hiss = np.random.default_rng(0).normal(0, 10 ** (-55 / 20), 6 * 16_000)
    for before in (0 * hiss, hiss):
        piece = Clip(np.concatenate([before, tone(16_000, 1.0)]), 16_000, {"file": "late.wav"}).piece(2.56)
        assert len(piece.waveform) == 40_960 and piece.settings == {"file": "late.wav"}
        assert np.abs(piece.waveform[800:1600]).max() > 0.4 and not piece.waveform[-16_000:].any()
    steady = Clip(tone(16_000, 5.0))
    assert np.array_equal(steady.piece(1.0, start=0.5).waveform, steady.waveform[8000:24_000])
    assert np.array_equal(steady.piece(2.0).waveform, steady.waveform[:32_000])
    assert len(Clip(tone(44_100, 0.043), 44_100).piece(0.1).waveform) == 4410


@pytest.mark.parametrize("waveform", [np.zeros(16_000), np.full(1, 1e-5), np.full(16_000, np.nan)])
def test_a_silent_piece_is_refused(waveform):
    with pytest.raises(ValueError, match="silent|NaN"):
        Clip(waveform).piece(1.0)
    with pytest.raises(ValueError, match="silent"):
        Clip(np.concatenate([tone(16_000, 1.0), np.zeros(16_000)])).piece(0.5, start=1.2)
    for bad in (0, -1, 601, "1", None):
        with pytest.raises((TypeError, ValueError), match="audio_length_in_s"):
            Clip(tone(16_000)).piece(bad)


def test_a_folder_gives_its_sounds_in_order_and_names_what_it_left_out(tmp_path, capsys):
    (tmp_path / "loops").mkdir()
    (tmp_path / "README.md").write_text("Hits.")
    (tmp_path / ".DS_Store").write_bytes(bytes(100))
    (tmp_path / "silence.wav").write_bytes(soundfile_bytes(np.zeros(16_000), 16_000, "WAV"))
    for name in ("b.wav", "a.wav", "C.wav"):
        (tmp_path / name).write_bytes(recording(44_100, 1, "WAV", "PCM_16", seconds=0.043))
    assert [clip.title for clip in load_folder(tmp_path)] == ["C.wav", "a.wav", "b.wav", "silence.wav"]
    capsys.readouterr()
    clips = load_folder(str(tmp_path), audio_length_in_s=1.28, at_least=3)
    assert [clip.title for clip in clips] == ["C.wav", "a.wav", "b.wav"] and {c.duration for c in clips} == {1.28}
    (line,) = capsys.readouterr().out.splitlines()
    assert all(name in line for name in ("loops", "README.md", ".DS_Store", "silence.wav"))
    with pytest.raises(ValueError, match="3 sounds in .*, at least 5"):
        load_folder(tmp_path, 1.28, at_least=5)
    with pytest.raises(ValueError, match="0 sounds"):
        load_folder(tmp_path / "loops")
    with pytest.raises(ValueError, match="no folder"):
        load_folder(tmp_path / "lops")


# ---- into the space of the UNet and back


@pytest.mark.parametrize("rate", [8000, 44_100])
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

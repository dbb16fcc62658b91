"""The mel front end against librosa's, and on sounds whose spectrum is known."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from utils.features import LOG_FLOOR, log_mel, mel_filterbank, mel_height

RATE = 16_000
NOISE = 0.1 * np.random.default_rng(0).standard_normal(RATE)


def test_equals_librosas_mel_spectrogram():
    padded = np.pad(NOISE, 432, mode="reflect")
    settings = {"n_fft": 1024, "hop_length": 160, "n_mels": 64, "fmin": 0, "fmax": 8000, "power": 1, "center": False}
    reference = np.log(np.maximum(librosa.feature.melspectrogram(y=padded, sr=RATE, **settings), 1e-5)).T
    assert log_mel(NOISE).shape == reference.shape == (100, 64)
    assert np.abs(log_mel(NOISE) - reference).max() < 1e-5


@pytest.mark.parametrize("frequency", [200, 1000, 4000])
def test_a_tone_lies_in_its_band(frequency):
    tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)
    centres = librosa.mel_frequencies(66, fmin=0, fmax=8000)[1:-1]
    band = np.argmax(log_mel(tone)[50])
    assert abs(band - np.argmin(np.abs(centres - frequency))) <= 1  # Slaney's norm favours the narrower of two


def test_twice_the_amplitude_is_ln_2_and_silence_the_floor():
    assert np.allclose(log_mel(2 * NOISE) - log_mel(NOISE), np.log(2), atol=1e-4)
    assert np.allclose(log_mel(np.zeros(RATE)), np.log(LOG_FLOOR))


def test_batches_and_dtypes():
    batch = np.stack([NOISE, -0.3 * NOISE]).reshape(2, 1, RATE)
    assert log_mel(batch).shape == (2, 1, 100, 64) and log_mel(batch).dtype == np.float32
    assert np.allclose(log_mel(batch)[0, 0], log_mel(NOISE), atol=1e-4)
    assert np.allclose(log_mel(NOISE.astype(np.float32)), log_mel(NOISE), atol=1e-4)


@pytest.mark.parametrize("samples", [160, 432, 433, 1280, 16_159])
def test_short_sounds_have_one_frame_for_each_whole_hop(samples):
    mel = log_mel(np.ones(samples))
    assert mel.shape == (samples // 160, 64) and np.isfinite(mel).all()


@pytest.mark.parametrize("samples", [0, 159])
def test_less_than_a_frame_is_refused_in_one_sentence(samples):
    with pytest.raises(ValueError, match=f"needs at least 160 samples, not {samples}"):
        log_mel(np.zeros(samples))


def test_the_filters_and_the_scale_are_librosas():
    reference = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=64, fmin=0, fmax=8000)
    assert mel_filterbank().shape == (64, 513) and mel_filterbank().dtype == np.float32
    assert np.abs(mel_filterbank() - reference).max() < 1e-6 * reference.max()
    hertz = np.array([0, 20, 999, 1000, 1001, 8000])
    assert np.allclose(mel_height(hertz), librosa.hz_to_mel(hertz) / librosa.hz_to_mel(8000))


def test_what_is_handed_out_is_a_copy_and_nan_is_refused():
    before = mel_filterbank().copy()
    mel_filterbank()[:] = 0
    assert (mel_filterbank() == before).all()
    with pytest.raises(ValueError, match="NaN"):
        log_mel(np.where(np.arange(RATE) == 5, np.nan, NOISE))

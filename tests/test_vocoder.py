"""The minis' vocoder on spectrograms of known sounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from utils import vocoder as module
from utils.features import SAMPLE_RATE, log_mel
from utils.vocoder import GriffinLimVocoder

TIME = np.arange(SAMPLE_RATE) / SAMPLE_RATE
RNG = np.random.default_rng(0)
SOUNDS = {
    "tone": 0.5 * np.sin(2 * np.pi * 1000 * TIME),
    "noise": 0.1 * RNG.standard_normal(SAMPLE_RATE),
    "beats": 0.5 * np.sin(2 * np.pi * 440 * TIME) * (TIME % 0.25 < 0.1) + 0.001 * RNG.standard_normal(SAMPLE_RATE),
}


@pytest.fixture(scope="module")
def vocoder() -> GriffinLimVocoder:
    return GriffinLimVocoder()


def mels(*names: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([log_mel(SOUNDS[name]) for name in names]))


@pytest.mark.parametrize("name", SOUNDS)
def test_the_sound_comes_back_with_its_spectrogram_and_level(vocoder, name):
    waveform = vocoder(mels(name))[0].numpy()
    assert waveform.shape == (SAMPLE_RATE,)
    error = 20 / np.log(10) * (log_mel(waveform) - log_mel(SOUNDS[name]))
    loud = log_mel(SOUNDS[name]) > log_mel(SOUNDS[name]).max() - 3
    assert np.sqrt(np.mean(error[loud] ** 2)) < 4  # dB
    # a mel band is wider than a line of the spectrum, so a pure tone comes back spread out, and 3 dB quieter
    assert -3.5 < 10 * np.log10(np.mean(waveform**2) / np.mean(SOUNDS[name] ** 2)) < 0.5


def test_a_tone_keeps_its_frequency_and_a_click_its_place(vocoder):
    spectrum = np.abs(np.fft.rfft(vocoder(mels("tone"))[0].numpy()))
    assert abs(np.argmax(spectrum) - 1000) < 20  # Hz; the mel bands there are 35 Hz wide
    click = np.zeros(SAMPLE_RATE)
    click[8000:8010] = 0.9
    waveform = vocoder(torch.from_numpy(log_mel(click))[None])[0].numpy()
    assert abs(np.argmax(np.abs(waveform)) - 8005) < 240  # 15 ms: the hop is 10


def test_a_clip_does_not_depend_on_its_batch_nor_on_the_seventh_digit(vocoder):
    batch = mels("tone", "noise", "beats")
    together = vocoder(batch)
    alone = torch.stack([vocoder(mel) for mel in batch])
    noisy = vocoder(batch + 1e-6 * torch.randn(batch.shape, generator=torch.Generator().manual_seed(0)))
    for other in (alone, noisy):
        noise = (together - other).square().mean(-1).clamp_min(1e-30)
        assert (10 * torch.log10(together.square().mean(-1) / noise)).min() > 60


def test_every_length_precision_and_level_gives_a_sound(vocoder):
    for frames in (1, 37):
        assert vocoder(torch.full((2, frames, 64), -5.0)).shape == (2, frames * 160)
    assert vocoder(torch.full((8, 64), -5.0).bfloat16()).dtype == torch.bfloat16
    assert torch.isfinite(vocoder(torch.full((1, 8, 64), -60.0))).all()  # silence below the floor
    wild = torch.full((64, 64), -8.0)
    wild[20:30, 10] = 9.0  # what a decoder makes of latents that no training had
    assert torch.equal(vocoder(wild.clamp_max(3.0)), vocoder(wild)) and 1 < vocoder(wild).abs().max() < 10


def test_the_browsers_decoder_ends_where_the_vocoders_rounds_begin(pipe, monkeypatch):
    """A bound of the spectrogram in Python is one in the browser, too."""
    export = pytest.importorskip("tools.onnx_export", reason="needs onnx: site/requirements.txt")
    monkeypatch.setattr(module, "LOUDEST", -6.0)
    with torch.no_grad():
        mel, magnitude = export.decode(pipe, torch.randn(1, 8, 8, 8))
    rounds = pipe.vocoder._griffin_lim(magnitude)[:, module.EDGE * 160 + 432 :][:, : mel.shape[1] * 160]
    assert torch.equal(rounds, pipe.vocoder(mel))

"""The log-mel-spectrogram that AudioLDM denoises, as the original computes it.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SAMPLE_RATE = 16_000  # Hz
N_FFT = 1024  # samples in an analysis window: 64 ms
HOP_LENGTH = 160  # samples from one frame to the next: 10 ms, so 100 frames a second
N_MELS = 64
FMAX = 8000.0  # Hz
LOG_FLOOR = 1e-5  # magnitudes below this are clamped before the logarithm


def hz_to_mel(frequency: float | np.ndarray) -> np.ndarray:
    """The place of a frequency (Hz, at least 0) on Slaney's mel scale: even steps to 1 kHz, then even ratios."""
    linear = np.asarray(frequency, dtype=float) * 3 / 200
    return np.where(linear < 15, linear, 15 + 27 * np.log(np.maximum(linear, 15) / 15) / np.log(6.4))


def mel_to_hz(mel: float | np.ndarray) -> np.ndarray:
    """The frequency (Hz) of a place on Slaney's mel scale: the inverse of `hz_to_mel`."""
    mel = np.asarray(mel, dtype=float)
    return np.where(mel < 15, mel, 15 * 6.4 ** ((mel - 15) / 27)) * 200 / 3


@lru_cache(maxsize=1)
def mel_filterbank() -> np.ndarray:
    """The mel filters, shape (64, 513): triangles of equal area, 0 to 8000 Hz; the same as librosa's."""
    edges = mel_to_hz(np.linspace(0, hz_to_mel(FMAX), N_MELS + 2))
    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    triangles = [np.interp(bins, edges[i : i + 3], [0, 2 / (edges[i + 2] - edges[i]), 0]) for i in range(N_MELS)]
    return np.array(triangles, dtype=np.float32)


def log_mel(waveform: np.ndarray) -> np.ndarray:
    """Log-mel-spectrogram of 16 kHz audio, as AudioLDM's VAE was trained on.

    Args:
        waveform: float array of shape (..., samples), nominally in -1...1.

    Returns:
        float32 array of shape (..., samples // 160, 64): natural logarithm of the mel magnitude,
        at least ln(1e-5) = -11.5. One frame is 10 ms.

    Raises:
        ValueError: the waveform is shorter than one frame, 160 samples.

    Source: Liu et al. 2023 (arXiv 2301.12503); n_fft 1024, hop 160, 64 mels, 0-8000 Hz.
    Explained in lesson 01.
    """
    import torch

    wave = torch.as_tensor(np.ascontiguousarray(waveform), dtype=torch.float32)
    if wave.shape[-1] < HOP_LENGTH:
        raise ValueError(f"A log-mel-spectrogram needs at least {HOP_LENGTH} samples, not {wave.shape[-1]}.")
    edge = (N_FFT - HOP_LENGTH) // 2
    mode = "reflect" if wave.shape[-1] > edge else "constant"  # what is shorter cannot be mirrored that far
    flat = torch.nn.functional.pad(wave.reshape(1, -1, wave.shape[-1]), (edge, edge), mode=mode)[0]
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(flat, N_FFT, HOP_LENGTH, window=window, center=False, return_complex=True).abs()
    mel = torch.from_numpy(mel_filterbank()) @ spectrum
    return mel.clamp_min(LOG_FLOOR).log().transpose(-1, -2).reshape(*wave.shape[:-1], -1, N_MELS).numpy()

"""Compute the log-mel-spectrogram that AudioLDM denoises, as the original does.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import math

import numpy as np

SAMPLE_RATE = 16_000  # Hz
N_FFT = 1024  # samples in an analysis window: 64 ms
HOP_LENGTH = 160  # samples from one frame to the next: 10 ms, so 100 frames a second
N_MELS = 64
FMAX = 8000.0  # Hz
LOG_FLOOR = 1e-5  # magnitudes below this are clamped before the logarithm
DB_PER_NEPER = 20 / math.log(10)  # from a natural logarithm of magnitude to decibels
MEL = {"n_fft": N_FFT, "n_mels": N_MELS, "fmin": 0.0, "fmax": FMAX}


def mel_filterbank() -> np.ndarray:
    """Return the mel filters, float32 of shape (64, 513): Slaney's triangles of equal area, 0 to 8000 Hz."""
    from librosa.filters import mel

    return mel(sr=SAMPLE_RATE, **MEL)


def mel_height(frequency: float | np.ndarray) -> float | np.ndarray:
    """Return the height of a frequency (Hz) on the mel axis of every picture, 0 (0 Hz) to 1 (8000 Hz)."""
    from librosa import hz_to_mel

    return hz_to_mel(frequency) / hz_to_mel(FMAX)


def log_mel(waveform: np.ndarray) -> np.ndarray:
    """Compute the log-mel-spectrogram of 16 kHz audio that AudioLDM's VAE was trained on.

    Args:
        waveform: float array of shape (..., samples), nominally in -1...1.

    Returns:
        float32 array of shape (..., samples // 160, 64): natural logarithm of the mel magnitude,
        at least ln(1e-5) = -11.5. One frame is 10 ms.

    Raises:
        ValueError: the waveform is shorter than one frame, 160 samples, or has NaN or infinite samples.

    Source: Liu et al. 2023 (arXiv 2301.12503); `librosa.feature.melspectrogram`.
    """
    from librosa.feature import melspectrogram

    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim == 0 or samples.shape[-1] < HOP_LENGTH:
        least = f"A log-mel-spectrogram needs at least {HOP_LENGTH} samples"
        raise ValueError(f"{least}, not {samples.shape[-1] if samples.ndim else 0}.")
    if not np.isfinite(samples).all():
        raise ValueError("The waveform has NaN or infinite samples: it has no spectrogram.")
    edge = (N_FFT - HOP_LENGTH) // 2
    mode = "reflect" if samples.shape[-1] > edge else "constant"  # a shorter one cannot be mirrored that far
    padded = np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(edge, edge)], mode=mode)
    mel = melspectrogram(y=padded, sr=SAMPLE_RATE, hop_length=HOP_LENGTH, center=False, power=1.0, **MEL)
    return np.log(np.maximum(mel, LOG_FLOOR)).swapaxes(-1, -2)

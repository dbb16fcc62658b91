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


@lru_cache(maxsize=1)
def mel_filterbank() -> np.ndarray:
    """The mel filters, float32 of shape (64, 513): Slaney's triangles of equal area, 0 to 8000 Hz."""
    from transformers.audio_utils import mel_filter_bank

    scale = {"norm": "slaney", "mel_scale": "slaney"}
    return mel_filter_bank(N_FFT // 2 + 1, N_MELS, 0.0, FMAX, SAMPLE_RATE, **scale).T.astype(np.float32)


def mel_height(frequency: float | np.ndarray) -> float | np.ndarray:
    """How high a frequency (Hz) stands on the mel axis of every picture, 0 (0 Hz) to 1 (8000 Hz)."""
    from transformers.audio_utils import hertz_to_mel

    return hertz_to_mel(frequency, "slaney") / hertz_to_mel(FMAX, "slaney")


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

    from .isolation import isolated

    samples = np.ascontiguousarray(waveform, dtype=np.float32)
    if samples.ndim == 0 or samples.shape[-1] < HOP_LENGTH:
        least = f"A log-mel-spectrogram needs at least {HOP_LENGTH} samples"
        raise ValueError(f"{least}, not {samples.shape[-1] if samples.ndim else 0}.")
    edge = (N_FFT - HOP_LENGTH) // 2
    mode = "reflect" if samples.shape[-1] > edge else "constant"  # what is shorter cannot be mirrored that far
    with isolated():
        flat = torch.from_numpy(samples).reshape(1, -1, samples.shape[-1])
        flat = torch.nn.functional.pad(flat, (edge, edge), mode=mode)[0]
        window = torch.hann_window(N_FFT)
        spectrum = torch.stft(flat, N_FFT, HOP_LENGTH, window=window, center=False, return_complex=True).abs()
        mel = (torch.from_numpy(mel_filterbank()) @ spectrum).clamp_min(LOG_FLOOR).log().transpose(-1, -2).numpy()
    return mel.reshape(*samples.shape[:-1], -1, N_MELS)

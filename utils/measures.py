"""Measure sounds: level, noise, timbre, rhythm.

A measure is a function of one `Clip`, or of a clip and a reference, of any sample rate, measured at 16 kHz. It raises
TypeError for anything else, and ValueError for NaN, infinity or, where it needs a window, less than 1024 samples.
Levels are dBFS: 0 dB is an rms of 1.0, so a full-scale sine reads -3 dB. Explained in lesson 02.
"""

from __future__ import annotations

import math

import numpy as np

from .clip import Clip, check_clip
from .features import DB_PER_NEPER, HOP_LENGTH, LOG_FLOOR, N_FFT, SAMPLE_RATE, log_mel

FLOOR_DB = -120.0  # what digital silence reads
QUIET = 0.1  # the quietest tenth of the frames stands for the background
ENVELOPE_DB = 60.0  # how far below its loudest frame a level envelope is followed
MINI_LATENT_FRAME = 1280  # samples of a mini's latent frame, 0.08 s
LEAST_FULL_SCALE = 127 / 128  # the smallest peak that is full scale: of 8 bits
STEP = 1 - 2**-14  # at full scale is what is within half a step of 13 bits of it


def _waveform(clip: Clip, least: int = 1) -> np.ndarray:
    waveform = check_clip("A measure", clip).resampled().waveform.astype(np.float64)
    if len(waveform) < least:
        raise ValueError(f"This measure needs at least {least} samples at 16 kHz, not {len(waveform)}.")
    if not np.isfinite(waveform).all():
        raise ValueError("The waveform has NaN or infinite samples: nothing can be measured on it.")
    return waveform


def _power_spectrogram(clip: Clip) -> np.ndarray:
    from librosa import stft

    return np.abs(stft(_waveform(clip, N_FFT), n_fft=N_FFT, center=False)) ** 2  # (513, frames)


def _decibels(power: float) -> float:
    return 10 * math.log10(max(power, 10 ** (FLOOR_DB / 10)))


def loudness_db(clip: Clip) -> float:
    """Return the level of the whole clip: its rms in dBFS, -120 (silence) to 0 (a full-scale square wave).

    Source: `numpy`; not weighted by frequency as LUFS would be.
    """
    return _decibels(float(np.mean(_waveform(clip) ** 2)))


def noise_floor_db(clip: Clip) -> float:
    """Return the level of the steady background between and under the sounds, in dBFS, -120 to 0. Lower is cleaner.

    In each frequency bin the quietest tenth of the frames gives the background's power, scaled so that white noise of
    -40 dBFS reads -40; the median over the bins ignores steady tones. A sound that is itself steady noise (rain, wind)
    reads as background.

    Source: minimum statistics, after Martin 2001, "Noise power spectral density estimation".
    """
    power = _power_spectrogram(clip)
    # the power of noise in one bin is exponentially distributed: this is its mean, seen from its 10% quantile
    per_bin = np.median(np.quantile(power, QUIET, axis=1)) / -math.log(1 - QUIET)
    window_power = N_FFT * 3 / 8  # sum of the squared Hann window
    return _decibels(float(per_bin) / window_power)


def spectral_centroid_hz(clip: Clip) -> float:
    """Return the brightness: the centre of gravity of the clip's average magnitude spectrum, in Hz, 0 to 8000.

    Source: `librosa.feature.spectral_centroid`; frames weigh by their level. Explained in lesson 01.
    """
    from librosa.feature import spectral_centroid

    magnitude = np.sqrt(_power_spectrogram(clip)).mean(axis=1, keepdims=True)
    return float(spectral_centroid(S=magnitude, sr=SAMPLE_RATE, n_fft=N_FFT)[0, 0])


def onset_rate(clip: Clip) -> float:
    """Return the onsets per second, 0 to about 15; steady noise has none.

    Source: peaks of at least 2 dB in the spectral flux, `librosa.onset.onset_detect`. Explained in lesson 07.
    """
    from librosa.onset import onset_detect

    waveform = _waveform(clip, N_FFT)
    # not normalised: else the flicker of steady noise is blown up until it counts as onsets
    onsets = onset_detect(y=waveform, sr=SAMPLE_RATE, hop_length=256, normalize=False, delta=2.0)
    return len(onsets) * SAMPLE_RATE / len(waveform)


def clipped_share(clip: Clip) -> float:
    """Return the share of samples at or beyond full scale, 0 to 1: saving cuts these off; from 0.001 it is heard.

    Full scale is 1, or the largest value of the file's integer format on either side (127/128 for 8 bits) if the sound
    reaches it. Resampling hides some clipping.

    Source: `numpy`.
    """
    _waveform(clip)
    sides = (clip.waveform, -clip.waveform)
    return float(sum(np.mean(side >= STEP * min(1.0, side.max())) for side in sides if side.max() >= LEAST_FULL_SCALE))


def log_mel_distance(clip: Clip, reference: Clip) -> float:
    """Return the rms difference of two clips' log-mels, in dB, 0 up.

    0 is the same sound, 1 to 3 dB hardly differ, two unrelated clips lie 10 to 30 dB apart. Levels under 1e-5 count as
    1e-5; frames in which neither clip has more are left out. Their lengths differ by less than 0.08 s.

    Source: `utils.features.log_mel`. Explained in lesson 03.
    """
    one, other = (log_mel(waveform) for waveform in _pair(clip, reference))
    heard = np.maximum(one, other).max(axis=1) > math.log(LOG_FLOOR)
    if not heard.any():
        return 0.0
    return float(np.sqrt(np.mean((one - other)[heard].astype(np.float64) ** 2)) * DB_PER_NEPER)


def envelope_correlation(clip: Clip, reference: Clip) -> float:
    """Return how much of the rhythm two clips share: the correlation of their level envelopes, -1 to 1 (the same).

    The envelope is the level of each 64 ms, every 10 ms, in dB, followed to 60 dB below its loudest; frames in which
    both clips are below that are left out. Their lengths differ by less than 0.08 s. A steady sound has no rhythm to
    share: 0.

    Source: Pearson's correlation of `librosa.feature.rms`. Explained in lesson 06.
    """
    from librosa import amplitude_to_db
    from librosa.feature import rms

    frames = {"frame_length": N_FFT, "hop_length": HOP_LENGTH, "center": False, "dtype": np.float64}
    envelopes = [rms(y=waveform, **frames)[0] for waveform in _pair(clip, reference)]
    levels = np.array([amplitude_to_db(e, ref=np.max, amin=1e-6, top_db=ENVELOPE_DB) for e in envelopes])
    one, other = levels[:, levels.max(axis=0) > -ENVELOPE_DB]
    return float(np.corrcoef(one, other)[0, 1]) if min(np.ptp(one), np.ptp(other)) > 1e-6 else 0.0


def _pair(clip: Clip, reference: Clip) -> list[np.ndarray]:
    """Return both waveforms without the silence that they share at the ends, cut to one length."""
    both = [_waveform(clip, N_FFT), _waveform(reference, N_FFT)]
    if abs(len(both[0]) - len(both[1])) >= MINI_LATENT_FRAME:
        sizes = " and ".join(f"{c.duration:.2f} s" for c in (clip, reference))
        raise ValueError(f"Only clips of one length can be compared, not {sizes}: cut the longer, never pad.")
    both = np.array([waveform[: min(map(len, both))] for waveform in both])
    peaks = np.abs(both).max(axis=1, keepdims=True)
    (sounding,) = np.nonzero((np.abs(both) > peaks * 10 ** (-ENVELOPE_DB / 20)).any(axis=0))
    start, stop = (sounding[0], sounding[-1] + 1) if len(sounding) else (0, 0)
    start = min(start, both.shape[1] - N_FFT)
    return list(both[:, start : max(stop, start + N_FFT)])

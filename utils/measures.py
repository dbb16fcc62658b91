"""Numbers for what the ear hears: level, noise, timbre, rhythm.

A measure is a function of one `Clip`, whatever its sample rate: it is heard as AudioLDM hears it, at 16 kHz.
Levels are dBFS: 0 dB is an rms of 1.0, so a full-scale sine reads -3 dB. Explained in lessons 01 to 03.
"""

from __future__ import annotations

import math

import numpy as np

from .clip import Clip
from .features import HOP_LENGTH, N_FFT, SAMPLE_RATE, log_mel

FLOOR_DB = -120.0  # what digital silence reads
SILENCE_DB = -60.0
QUIET = 0.1  # the quietest tenth of the frames stands for the background
DB_PER_NEPER = 20 / math.log(10)  # from a natural logarithm of magnitude to decibels
ENVELOPE_DB = 60.0  # how far below its loudest frame a level envelope is followed


def _waveform(clip: Clip) -> np.ndarray:
    waveform = clip.resampled().waveform
    if len(waveform) < N_FFT:
        raise ValueError(
            f"A measure needs at least {N_FFT} samples at 16 kHz, {N_FFT / SAMPLE_RATE} s, not {len(waveform)}."
        )
    if not np.isfinite(waveform).all():
        raise ValueError("The waveform has NaN or infinite samples: nothing can be measured on it.")
    return waveform


def _power_spectrogram(clip: Clip) -> np.ndarray:
    from librosa import stft

    return np.abs(stft(_waveform(clip), n_fft=N_FFT, center=False)) ** 2  # (513, frames)


def _decibels(power: float) -> float:
    return 10 * math.log10(max(power, 10 ** (FLOOR_DB / 10)))


def loudness_db(clip: Clip) -> float:
    """Level of the whole clip: its rms in dBFS, -120 (silence) to 0 (a full-scale square wave).

    Source: `numpy`; not weighted by frequency as LUFS would be. Explained in lesson 02.
    """
    return _decibels(float(np.mean(_waveform(clip).astype(np.float64) ** 2)))


def noise_floor_db(clip: Clip) -> float:
    """Level of the steady background between and under the sounds, in dBFS, -120 to 0. Lower is cleaner.

    In each frequency bin the quietest tenth of the frames gives the background's power, scaled so that white noise of
    -40 dBFS reads -40; the median over the bins ignores steady tones. A sound that is itself steady noise (rain, wind)
    reads as background.

    Source: minimum statistics, after Martin 2001, "Noise power spectral density estimation". Explained in lesson 02.
    """
    power = _power_spectrogram(clip)
    # the power of noise in one bin is exponentially distributed: this is its mean, seen from its 10% quantile
    per_bin = np.median(np.quantile(power, QUIET, axis=1)) / -math.log(1 - QUIET)
    window_power = N_FFT * 3 / 8  # sum of the squared Hann window
    return _decibels(float(per_bin) / window_power)


def spectral_flatness(clip: Clip) -> float:
    """How noise-like the clip's average spectrum is, without unit: near 0 for a tone, 1 for white noise
    (and for silence).

    Source: `librosa.feature.spectral_flatness`, on the power spectrum averaged over time. Explained in lesson 02.
    """
    from librosa.feature import spectral_flatness as flatness

    return float(flatness(S=_power_spectrogram(clip).mean(axis=1, keepdims=True), power=1.0)[0, 0])


def spectral_centroid_hz(clip: Clip) -> float:
    """Brightness: the centre of gravity of the clip's average magnitude spectrum, in Hz, 0 to 8000.

    Source: `librosa.feature.spectral_centroid`; frames weigh by their level. Explained in lesson 02.
    """
    from librosa.feature import spectral_centroid

    magnitude = np.sqrt(_power_spectrogram(clip)).mean(axis=1, keepdims=True)
    return float(spectral_centroid(S=magnitude, sr=SAMPLE_RATE, n_fft=N_FFT)[0, 0])


def onset_rate(clip: Clip) -> float:
    """How many sounds begin per second, 0 to about 15; steady noise has none.

    Source: peaks of at least 2 dB in the spectral flux, `librosa.onset.onset_detect`. Explained in lesson 02.
    """
    from librosa.onset import onset_detect

    waveform = _waveform(clip)
    # not normalised: else the flicker of steady noise is blown up until it counts as onsets
    onsets = onset_detect(y=waveform, sr=SAMPLE_RATE, hop_length=256, normalize=False, delta=2.0)
    return len(onsets) * SAMPLE_RATE / len(waveform)


def tempo_bpm(clip: Clip) -> float:
    """The most likely tempo in beats per minute, about 30 to 300, expected near 120; it means little without a beat.

    Silence has none: nan.

    Source: autocorrelation of the spectral flux, `librosa.feature.tempo`. Explained in lesson 01.
    """
    from librosa.feature import tempo

    if is_silent(clip):
        return math.nan
    return float(tempo(y=_waveform(clip), sr=SAMPLE_RATE, hop_length=256)[0])


def clipped_share(clip: Clip) -> float:
    """Share of the samples at or beyond full scale, 0 to 1: saving cuts these off, and from about 0.001 it is heard.

    Source: `numpy`. Explained in lesson 02.
    """
    return float(np.mean(np.abs(_waveform(clip)) >= 1.0))


def is_silent(clip: Clip) -> bool:
    """Whether the whole clip is quieter than -60 dBFS. Source: `loudness_db`. Explained in lesson 03."""
    return loudness_db(clip) < SILENCE_DB


def log_mel_distance(clip: Clip, reference: Clip) -> float:
    """How far two clips are apart as the model sees them: rms difference of their log-mel-spectrograms, in dB, 0 up.

    0 is the same sound, 1 to 3 dB hardly differ, two unrelated clips lie 10 to 30 dB apart. Both have one length;
    levels under 1e-5 count as 1e-5.

    Source: `utils.features.log_mel`. Explained in lesson 03.
    """
    difference = np.subtract(*(log_mel(waveform) for waveform in _pair(clip, reference)))
    return float(np.sqrt(np.mean(difference.astype(np.float64) ** 2)) * DB_PER_NEPER)


def envelope_correlation(clip: Clip, reference: Clip) -> float:
    """How much of the rhythm two clips share: the correlation of their level envelopes, -1 to 1; 1 is the same rhythm.

    The envelope is the level of each 64 ms, every 10 ms, in dB, followed to 60 dB below its loudest. Both clips have
    one length. A steady sound has no rhythm to share: 0.

    Source: Pearson's correlation. Explained in lesson 06.
    """
    levels = []
    for waveform in _pair(clip, reference):
        frames = np.lib.stride_tricks.sliding_window_view(waveform.astype(np.float64), N_FFT)[::HOP_LENGTH]
        power = np.mean(frames**2, axis=1)
        levels.append(10 * np.log10(np.maximum(power, max(power.max() / 10 ** (ENVELOPE_DB / 10), 1e-12))))
    one, other = (level - level.mean() for level in levels)
    scale = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / scale if scale > 0 else 0.0


def _pair(clip: Clip, reference: Clip) -> tuple[np.ndarray, np.ndarray]:
    waveforms = _waveform(clip), _waveform(reference)
    if len(waveforms[0]) != len(waveforms[1]):
        sizes = " and ".join(f"{c.duration:.2f} s" for c in (clip, reference))
        raise ValueError(f"Only clips of one length can be compared so, not {sizes}.")
    return waveforms

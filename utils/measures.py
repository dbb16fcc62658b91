"""Numbers for what the ear hears: level, noise, timbre, rhythm, fit to the prompt, and how sure we can be of them.

A measure is a function of one `Clip`; anything with a `waveform` of shape (samples,) and a `sample_rate` will do.
Levels are dBFS: 0 dB is an rms of 1.0, so a full-scale sine reads -3 dB. Explained in lessons 01 to 03.
"""

from __future__ import annotations

import math
import reprlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from .checkpoints import CHECKPOINTS, MINIS
from .features import log_mel

if TYPE_CHECKING:
    from .clip import Clip

N_FFT = 1024  # samples; 64 ms at 16 kHz
FLOOR_DB = -120.0  # what digital silence reads
SILENCE_DB = -60.0
QUIET = 0.1  # the quietest tenth of the frames stands for the background
DB_PER_NEPER = 20 / math.log(10)  # from a natural logarithm of magnitude to decibels
REAL_CLAP = "laion/clap-htsat-unfused"
KEPT = 2000  # embeddings, up to 4 MB, for each CLAP


def _waveform(clip: Clip) -> np.ndarray:
    waveform = np.asarray(clip.waveform, dtype=np.float32)
    if waveform.ndim != 1 or len(waveform) < N_FFT:
        raise ValueError(
            f"A measure needs a waveform of at least {N_FFT} samples, shape (samples,), not {waveform.shape}."
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
    """Brightness: the centre of gravity of the clip's average magnitude spectrum, in Hz, 0 to half the sample rate.

    Source: `librosa.feature.spectral_centroid`; frames weigh by their level. Explained in lesson 02.
    """
    from librosa.feature import spectral_centroid

    magnitude = np.sqrt(_power_spectrogram(clip)).mean(axis=1, keepdims=True)
    return float(spectral_centroid(S=magnitude, sr=clip.sample_rate, n_fft=N_FFT)[0, 0])


def onset_rate(clip: Clip) -> float:
    """How many sounds begin per second, 0 to about 15; steady noise has none.

    Source: peaks of at least 2 dB in the spectral flux, `librosa.onset.onset_detect`. Explained in lesson 02.
    """
    from librosa.onset import onset_detect

    waveform = _waveform(clip)
    # not normalised: else the flicker of steady noise is blown up until it counts as onsets
    onsets = onset_detect(y=waveform, sr=clip.sample_rate, hop_length=256, normalize=False, delta=2.0)
    return len(onsets) * clip.sample_rate / len(waveform)


def tempo_bpm(clip: Clip) -> float:
    """The most likely tempo in beats per minute, about 30 to 300, expected near 120; it means little without a beat.

    Source: autocorrelation of the spectral flux, `librosa.feature.tempo`. Explained in lesson 01.
    """
    from librosa.feature import tempo

    return float(tempo(y=_waveform(clip), sr=clip.sample_rate, hop_length=256)[0])


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

    0 is the same sound, 1 to 3 dB hardly differ, two unrelated clips lie 10 to 30 dB apart. Both have one length and
    16 kHz; levels under 1e-5 count as 1e-5.

    Source: `utils.features.log_mel`. Explained in lesson 03.
    """
    if clip.sample_rate != reference.sample_rate or len(clip.waveform) != len(reference.waveform):
        sizes = " and ".join(f"{len(c.waveform)} samples at {c.sample_rate} Hz" for c in (clip, reference))
        raise ValueError(f"Only clips of one length and rate have a log-mel distance, not {sizes}.")
    difference = log_mel(_waveform(clip)) - log_mel(_waveform(reference))
    return float(np.sqrt(np.mean(difference.astype(np.float64) ** 2)) * DB_PER_NEPER)


def knee(x: Sequence[float], y: Sequence[float | Interval]) -> float:
    """Where more hardly pays: the first x at which y has made nine tenths of its way from the first to the best.

    `x` rises; `y` are numbers or `Interval`s, and more is better. Source: this definition. Explained in lesson 03.
    """
    values = list(map(float, y))
    goal = values[0] + 0.9 * (max(values) - values[0])
    return next(a for a, b in zip(x, values, strict=True) if b >= goal)


def clap_embed(items: Sequence[Clip] | Sequence[str], model: str = "auto") -> np.ndarray:
    """Where clips, or texts, lie in CLAP's common space: unit-norm float32 vectors of shape (items, 64 or 512).

    `clap_embed(clips) @ clap_embed(texts).T` is the table of cosines of every clip with every text. `model` is
    "mini-clap" (64), the Hub's "laion/clap-htsat-unfused" (512), any other CLAP or folder, or "auto": the first for
    clips of the mini checkpoints only, else the second (texts alone do not say which: name it). Clips are resampled,
    and cut or repeated to what the model was made for (5 s at 16 kHz for the mini, 10 s at 48 kHz for the other), so
    the result does not depend on chance, on the order, or on silence that nobody generated.

    Source: Wu et al. 2023 (arXiv 2211.06687), `transformers.ClapModel`. Explained in lesson 02.
    """
    items = list(items)
    texts = sum(isinstance(item, str) for item in items)
    if not items or texts not in (0, len(items)):
        raise ValueError(f"clap_embed takes clips, or texts, at least one and never mixed, not {reprlib.repr(items)}.")
    if texts and model == "auto":
        raise ValueError(f'Texts alone do not say which CLAP they are for: pass model="mini-clap" or "{REAL_CLAP}".')
    model = _choose_clap(items) if model == "auto" else model
    return np.stack([_embedded(model, item) for item in items])  # one at a time: padding would change the last digits


def clap_similarity(
    clips: Clip | Sequence[Clip], texts: str | Sequence[str] | None = None, model: str = "auto"
) -> np.ndarray:
    """How well sounds fit words: one CLAP cosine a clip, -1 to 1, shape (clips,).

    `texts` is one text for all clips or one a clip; None takes each clip's own prompt. `model` as in `clap_embed`.
    Cosines of different CLAP models cannot be compared. Of the real checkpoints, s and l were trained on the
    embeddings of a CLAP of this very family, which flatters them.

    Source: `clap_embed`. Explained in lesson 02.
    """
    clips = list(clips) if isinstance(clips, Sequence) else [clips]
    if texts is None:
        texts = [clip.settings["prompt"] for clip in clips]
    elif isinstance(texts, str):
        texts = [texts] * len(clips)
    if len(texts) != len(clips):
        raise ValueError(
            f"clap_similarity takes one text, or one a clip, not {len(texts)} texts for {len(clips)} clips."
        )
    model = _choose_clap(clips) if model == "auto" else model
    return (clap_embed(clips, model) * clap_embed(texts, model)).sum(axis=1)


def best_of(clips: Sequence[Clip], prompt: str | None = None, model: str = "auto") -> list[Clip]:
    """The clips, best first by `clap_similarity` with `prompt` (None: each clip's own). Explained in lesson 02.

    What the original AudioLDM does with its `n_candidate_gen_per_text`: make several, keep the one CLAP likes best.
    """
    scores = clap_similarity(list(clips), prompt, model)
    return [clips[i] for i in np.argsort(-scores, kind="stable")]


MEASURES = {  # those of one clip: what a sweep can compute by name
    measure.__name__: measure
    for measure in (
        loudness_db,
        noise_floor_db,
        spectral_flatness,
        spectral_centroid_hz,
        onset_rate,
        tempo_bpm,
        clipped_share,
        is_silent,
        clap_similarity,
    )
}


def _choose_clap(clips: Sequence[Clip]) -> str:
    names = {clip.settings.get("checkpoint") for clip in clips}
    return "mini-clap" if names <= MINIS else REAL_CLAP


def _embedded(model: str, item: Clip | str) -> np.ndarray:
    """One vector of `clap_embed`, kept with its model: a lesson asks about the same clips and texts again and again."""
    import torch

    clap, extractor, tokenizer, kept = _load_clap(model)
    key = item if isinstance(item, str) else (sha256(item.waveform).digest(), item.sample_rate)
    if key not in kept:
        if isinstance(item, str):
            longest = clap.config.text_config.max_position_embeddings - 2
            embed = clap.get_text_features
            inputs = tokenizer(item, truncation=True, max_length=longest, return_tensors="pt")
        else:
            embed, rate = clap.get_audio_features, extractor.sampling_rate
            inputs = extractor(_for_clap(item, extractor), sampling_rate=rate, return_tensors="pt")
        with torch.inference_mode():
            output = embed(**inputs.to(clap.device))
        vector = getattr(output, "pooler_output", output)  # transformers 4 gives the tensor itself
        if len(kept) >= KEPT:
            kept.pop(next(iter(kept)))  # the oldest
        kept[key] = torch.nn.functional.normalize(vector.float(), dim=-1)[0].cpu().numpy()
    return kept[key]


@lru_cache(maxsize=2)
def _load_clap(model: str):
    import torch
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    from .loading import quiet

    place = CHECKPOINTS["mini-s"].folder.with_name(model) if model == "mini-clap" else model
    try:
        with quiet():
            clap = ClapModel.from_pretrained(place)
        extractor = ClapFeatureExtractor.from_pretrained(place)
        tokenizer = AutoTokenizer.from_pretrained(place)  # not ClapProcessor's, which on some versions reads letters
    except (OSError, ValueError) as error:
        raise OSError(
            f"The CLAP model {model!r} cannot be had: give a folder with a ClapModel and its ClapProcessor, "
            f'"mini-clap", or, with the Hub in reach, an id such as "{REAL_CLAP}".'
        ) from error
    # in float32: a file in half precision stays so when loaded, and a CPU cannot mix the two
    return clap.float().eval().to("cuda" if torch.cuda.is_available() else "cpu"), extractor, tokenizer, {}


def _for_clap(clip: Clip, extractor) -> np.ndarray:
    waveform = _waveform(clip)
    if clip.sample_rate != extractor.sampling_rate:
        from librosa import resample

        waveform = resample(waveform, orig_sr=clip.sample_rate, target_sr=extractor.sampling_rate)
    # the extractor would cut longer ones at random, and fill up what whole repeats of shorter ones leave with silence
    return np.resize(waveform, extractor.nb_max_samples)


@dataclass(frozen=True)
class Interval:
    """A mean and its 95% interval: `mean`, `low` and `high` in `unit`, from `n` values. Explained in lesson 02.

    Prints as '-9.1 dB (95% interval -10.2 to -8.0, n = 24)', with as many digits as the interval is worth, and three
    decimals at most: beyond these, processors differ.
    """

    mean: float
    low: float
    high: float
    n: int
    unit: str = ""

    @property
    def excludes_zero(self) -> bool:
        """Whether zero, no effect, lies outside of the interval as it is printed."""
        return round(self.low, self._digits) > 0 or round(self.high, self._digits) < 0

    @property
    def _digits(self) -> int:
        width = self.high - self.low
        return min(3, max(0, 1 - math.floor(math.log10(width)))) if width > 0 else 2

    def __float__(self) -> float:
        return self.mean

    def __str__(self) -> str:
        # + 0.0, so that nothing is "-0"
        mean, low, high = (f"{round(x, self._digits) + 0.0:.{self._digits}f}" for x in (self.mean, self.low, self.high))
        return f"{f'{mean} {self.unit}'.rstrip()} (95% interval {low} to {high}, n = {self.n})"

    __repr__ = __str__


def _mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean, the same to the last bit in whatever order the values come.

    BCa counts the resamples below the sample's own mean. Those that only reorder the sample tie with it; where rounding
    breaks the ties, the interval's ends move by up to 4% of its width from one processor to another.
    """
    return np.mean(np.sort(values, axis=axis), axis=axis)


def bootstrap_interval(values: Sequence[float], before: Sequence[float] | None = None, *, unit: str = "") -> Interval:
    """The mean of `values`, or of the paired differences `values - before`, with its 95% bootstrap interval.

    Pairs are clips that differ in one thing only (same prompt, same seed). Resampled 9999 times, bias-corrected (BCa),
    and seeded: the same values give the same interval.

    `values`: at least 2 finite numbers; `before`: as many, in the same order. `unit`: as it is to be printed, "dB".

    Source: Efron 1987, `scipy.stats.bootstrap`. Explained in lesson 02.
    """
    from scipy.stats import bootstrap

    sample = np.asarray(values, dtype=np.float64)
    if before is not None:
        before = np.asarray(before, dtype=np.float64)
        if before.shape != sample.shape:
            raise ValueError(f"Pairs need as many values before as after, not {before.shape} and {sample.shape}.")
        sample = sample - before
    if sample.ndim != 1 or len(sample) < 2 or not np.isfinite(sample).all():
        raise ValueError(f"An interval needs at least 2 finite numbers, not {reprlib.repr(sample.tolist())}.")
    if np.ptp(sample) == 0:  # nothing to resample
        return Interval(*[float(sample[0])] * 3, len(sample), unit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy's only sign that BCa does not work on these values
        settings = dict(n_resamples=9999, random_state=np.random.default_rng(0))
        try:
            low, high = bootstrap((sample,), _mean, method="BCa", **settings).confidence_interval
        except Warning:
            low, high = bootstrap((sample,), _mean, method="percentile", **settings).confidence_interval
    return Interval(float(sample.mean()), float(low), float(high), len(sample), unit)

"""The measures on sounds whose answer is known."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from utils import measures
from utils.clip import Clip

RATE = 16_000
SECONDS = 5
TIME = np.arange(SECONDS * RATE) / RATE
NOISE = np.random.default_rng(0).standard_normal(SECONDS * RATE)
HISS = 0.01 * NOISE  # white, -40 dBFS
TONE = np.sin(2 * np.pi * 1000 * TIME)
ON_A_CLIP = [
    measures.loudness_db,
    measures.noise_floor_db,
    measures.spectral_flatness,
    measures.spectral_centroid_hz,
    measures.onset_rate,
    measures.tempo_bpm,
    measures.clipped_share,
    measures.is_silent,
]


def clip_of(waveform, rate=RATE, **settings) -> Clip:
    return Clip(waveform, rate, {"checkpoint": "mini-s-v2", "prompt": "a dog barking", **settings})


def beats(period: float, first: float = 0.1) -> np.ndarray:
    """A decaying 440 Hz tone every `period` seconds, over a hiss of -60 dBFS."""
    since = (TIME - first) % period
    return 0.001 * NOISE + 0.5 * np.exp(-40 * since) * np.sin(2 * np.pi * 440 * since) * (first <= TIME)


def test_loudness_of_a_sine_a_square_and_silence():
    assert measures.loudness_db(clip_of(TONE)) == pytest.approx(-3.01, abs=0.01)
    assert measures.loudness_db(clip_of(np.sign(TONE + 1e-6))) == pytest.approx(0, abs=0.01)
    assert measures.loudness_db(clip_of(0 * TONE)) == -120


@pytest.mark.parametrize("sound", [0 * TONE, 0.5 * TONE, beats(0.5) - 0.001 * NOISE], ids=["none", "tone", "beats"])
@pytest.mark.parametrize("level", [-60, -40, -20])
def test_noise_floor_reads_the_level_of_the_noise_under_the_sound(sound, level):
    noise = NOISE * 10 ** (level / 20)
    assert measures.noise_floor_db(clip_of(sound + noise)) == pytest.approx(level, abs=0.7)


def test_noise_floor_of_silence_and_of_a_pure_tone_is_the_lowest():
    assert measures.noise_floor_db(clip_of(0 * TONE)) == -120
    assert measures.noise_floor_db(clip_of(TONE)) < -100


def test_flatness_tells_noise_from_tone():
    assert measures.spectral_flatness(clip_of(HISS)) > 0.97
    assert measures.spectral_flatness(clip_of(TONE)) < 0.001


def test_centroid_is_in_hertz():
    assert measures.spectral_centroid_hz(clip_of(TONE)) == pytest.approx(1000, abs=2)
    assert measures.spectral_centroid_hz(clip_of(HISS)) == pytest.approx(4000, rel=0.02)


@pytest.mark.parametrize("rate", [1, 2, 4, 8])
def test_onset_rate_counts_the_beats(rate):
    assert measures.onset_rate(clip_of(beats(1 / rate))) == pytest.approx(rate, abs=0.25)


@pytest.mark.parametrize("sound", [HISS, TONE, TONE + HISS, 0 * TONE])
def test_what_is_steady_has_no_onsets(sound):
    assert measures.onset_rate(clip_of(sound)) <= 0.2  # the very first frame may count


@pytest.mark.parametrize("bpm", [75, 100, 150])
def test_tempo_in_beats_per_minute(bpm):
    assert measures.tempo_bpm(clip_of(beats(60 / bpm))) == pytest.approx(bpm, rel=0.04)


def test_clipped_share_and_silence():
    quarter = np.where(TIME < SECONDS / 4, 1.0, 0.5)
    assert measures.clipped_share(clip_of(quarter)) == 0.25
    assert not measures.is_silent(clip_of(HISS))
    assert measures.is_silent(clip_of(HISS / 100))


def test_log_mel_distance_is_zero_for_the_same_and_the_gain_for_a_louder_one():
    hiss, louder = clip_of(HISS), clip_of(2 * HISS)
    assert measures.log_mel_distance(hiss, hiss) == 0
    assert measures.log_mel_distance(hiss, louder) == pytest.approx(20 * math.log10(2), abs=0.01)
    assert measures.log_mel_distance(louder, hiss) == measures.log_mel_distance(hiss, louder)


@pytest.mark.parametrize("measure", [measures.log_mel_distance, measures.envelope_correlation])
def test_two_clips_are_cut_where_less_than_a_latent_frame_is_missing(measure):
    sound = beats(0.3)
    for missing in (1, 160, 1279):
        other = clip_of(sound[:-missing])
        assert measure(clip_of(sound), other) == measure(other, other) == measure(other, clip_of(sound))
    with pytest.raises(ValueError, match="cut .* never pad"):
        measure(clip_of(sound), clip_of(sound[:-1280]))


@pytest.mark.parametrize(("before", "between", "after"), [(0, 0, 2), (2, 0, 0), (1, 0, 1), (0, 2, 0)])
def test_silence_that_both_share_carries_no_measure(before, between, after):
    def padded(sound: np.ndarray) -> Clip:
        half = len(sound) // 2
        parts = (before, sound[:half], between, sound[half:], after)
        return clip_of(np.concatenate([np.zeros(p * RATE) if isinstance(p, int) else p for p in parts]))

    sounds = [0.1 * NOISE, beats(0.3)]
    for measure, close in ((measures.log_mel_distance, 0.3), (measures.envelope_correlation, 0.12)):
        plain, in_silence = measure(*map(clip_of, sounds)), measure(*map(padded, sounds))
        assert in_silence == pytest.approx(plain, abs=close), measure.__name__
    assert measures.envelope_correlation(padded(beats(0.3)), padded(beats(0.3))) == pytest.approx(1)


def test_two_silences_are_the_same_and_share_no_rhythm():
    nothing = clip_of(0 * TONE)
    assert measures.log_mel_distance(nothing, nothing) == measures.envelope_correlation(nothing, nothing) == 0


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_what_was_cut_off_at_full_scale_is_found_in_the_file(tmp_path, subtype, rate):
    loud = 3 * np.sin(2 * np.pi * 100 * np.arange(2 * rate) / rate)
    share = measures.clipped_share(Clip(loud, rate))
    assert share == pytest.approx(0.784, abs=0.005)
    soundfile.write(tmp_path / "loud.wav", loud.clip(-1, 1), rate, subtype=subtype)
    found = measures.clipped_share(Clip.load(tmp_path / "loud.wav"))
    assert (0.4 if rate > RATE else share - 0.02) < found < share + 0.02
    soundfile.write(tmp_path / "soft.wav", 0.9 * loud / 3, rate, subtype=subtype)
    assert measures.clipped_share(Clip.load(tmp_path / "soft.wav")) == 0
    saved = Clip.load(Clip(loud, rate).save(tmp_path / "saved.wav"))
    assert measures.clipped_share(saved) == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize("measure", ON_A_CLIP, ids=lambda f: f.__name__)
def test_measures_refuse_what_is_too_short_not_a_number_or_a_list(measure):
    if measure in (measures.loudness_db, measures.clipped_share, measures.is_silent):
        assert np.isfinite(measure(clip_of(HISS[:1])))
    else:
        with pytest.raises(ValueError, match="at least 1024 samples"):
            measure(clip_of(HISS[:1023]))
    with pytest.raises(TypeError, match="one Clip, not list"):
        measure([clip_of(HISS)])
    assert np.isfinite(measure(clip_of(HISS)))
    with pytest.raises(ValueError, match="NaN"):
        measure(clip_of(np.where(TIME < 1, np.nan, HISS)))


@pytest.mark.parametrize("measure", [*ON_A_CLIP, measures.log_mel_distance, measures.envelope_correlation])
def test_docstrings_say_source_and_lesson(measure):
    assert "Source: " in measure.__doc__
    assert "Explained in lesson 0" in measure.__doc__


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_a_measure_is_the_same_at_every_sample_rate(rate):
    sound = clip_of(beats(0.5)).resampled(rate).resampled().waveform  # without what no filter keeps, near 8 kHz
    other = clip_of(sound).resampled(rate)
    assert len(other.waveform) == SECONDS * rate
    for measure in ON_A_CLIP:
        expected = measure(clip_of(sound))
        assert measure(other) == pytest.approx(expected, rel=0.03, abs=0.5), measure.__name__
    assert measures.log_mel_distance(other, clip_of(sound)) < 1.5
    assert measures.envelope_correlation(other, clip_of(sound)) > 0.999


def test_silence_has_no_tempo():
    assert math.isnan(measures.tempo_bpm(clip_of(0 * TONE)))


def test_envelopes_of_the_same_rhythm_correlate_whatever_sounds():
    hits, noise = beats(0.5), beats(0.5) ** 2 + np.abs(beats(0.5)) * NOISE
    assert measures.envelope_correlation(clip_of(noise), clip_of(hits)) > 0.9
    assert abs(measures.envelope_correlation(clip_of(beats(0.5, 0.35)), clip_of(hits))) < 0.6
    assert measures.envelope_correlation(clip_of(0 * TONE), clip_of(hits)) == 0


@pytest.mark.filterwarnings("ignore:A sample beyond")
@pytest.mark.parametrize("measure", ON_A_CLIP, ids=lambda f: f.__name__)
def test_measures_of_huge_values_are_numbers_and_two_threads_find_the_same(measure):
    assert np.isfinite(measure(clip_of(1e25 * beats(0.5))))
    sounds = [clip_of(beats(0.3)), clip_of(HISS), clip_of(TONE)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(measure, sounds)) == [measure(sound) for sound in sounds]

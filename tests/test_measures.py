"""The measures and the log-mel-spectrogram on sounds whose answer is known; intervals and the verdicts on them."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import librosa
import numpy as np
import pytest
import soundfile

from utils import measures
from utils.clip import Clip
from utils.features import LOG_FLOOR, log_mel, mel_filterbank, mel_height
from utils.intervals import Interval, interval, knee

RATE = 16_000
SECONDS = 5
TIME = np.arange(SECONDS * RATE) / RATE
NOISE = np.random.default_rng(0).standard_normal(SECONDS * RATE)
HISS = 0.01 * NOISE  # white, -40 dBFS
TONE = np.sin(2 * np.pi * 1000 * TIME)
ON_TWO = [measures.log_mel_distance, measures.envelope_correlation]
OF_ANY_LENGTH = [measures.loudness_db, measures.clipped_share]
ON_A_CLIP = [*OF_ANY_LENGTH, measures.noise_floor_db, measures.spectral_centroid_hz, measures.onset_rate]


def beats(period: float, first: float = 0.1) -> np.ndarray:
    """A decaying 440 Hz tone every `period` seconds, over a hiss of -60 dBFS."""
    since = (TIME - first) % period
    return 0.001 * NOISE + 0.5 * np.exp(-40 * since) * np.sin(2 * np.pi * 440 * since) * (first <= TIME)


QUARTER = np.where(TIME < SECONDS / 4, 1.0, 0.5)
KNOWN = [  # measure, sound, answer, tolerance
    (measures.loudness_db, TONE, -3.01, 0.01),
    (measures.loudness_db, np.sign(TONE + 1e-6), 0, 0.01),
    (measures.loudness_db, 0 * TONE, -120, 0),
    (measures.noise_floor_db, 0 * TONE, -120, 0),
    (measures.noise_floor_db, TONE, -110, 10),
    (measures.spectral_centroid_hz, TONE, 1000, 2),
    (measures.spectral_centroid_hz, HISS, 4000, 80),
    *((measures.onset_rate, beats(1 / rate), rate, 0.25) for rate in (1, 2, 4, 8)),
    *((measures.onset_rate, steady, 0, 0.2) for steady in (HISS, TONE, TONE + HISS, 0 * TONE)),  # the first frame
    (measures.clipped_share, QUARTER, 0.25, 0),
]


def test_measures_of_known_sounds():
    for measure, sound, answer, tolerance in KNOWN:
        found = measure(Clip(sound))
        assert found == pytest.approx(answer, abs=tolerance, nan_ok=True), (measure.__name__, answer)


@pytest.mark.parametrize("sound", [0 * TONE, 0.5 * TONE, beats(0.5) - 0.001 * NOISE], ids=["none", "tone", "beats"])
def test_noise_floor_reads_the_level_of_the_noise_under_the_sound(sound):
    for level in (-60, -20):
        noise = NOISE * 10 ** (level / 20)
        assert measures.noise_floor_db(Clip(sound + noise)) == pytest.approx(level, abs=0.7)


def test_two_clips_are_as_far_apart_as_their_gain_and_correlate_by_their_rhythm():
    hiss, louder, nothing = Clip(HISS), Clip(2 * HISS), Clip(0 * TONE)
    assert measures.log_mel_distance(hiss, hiss) == measures.log_mel_distance(nothing, nothing) == 0
    gain = measures.log_mel_distance(hiss, louder)
    assert gain == measures.log_mel_distance(louder, hiss) == pytest.approx(20 * math.log10(2), abs=0.01)
    hits, noise = Clip(beats(0.5)), Clip(beats(0.5) ** 2 + np.abs(beats(0.5)) * NOISE)
    assert measures.envelope_correlation(noise, hits) > 0.9
    assert abs(measures.envelope_correlation(Clip(beats(0.5, 0.35)), hits)) < 0.6
    assert measures.envelope_correlation(nothing, hits) == 0


@pytest.mark.parametrize("measure", ON_TWO)
def test_two_clips_are_cut_where_less_than_a_latent_frame_is_missing(measure):
    sound = beats(0.3)
    for missing in (1, 1279):
        other = Clip(sound[:-missing])
        assert measure(Clip(sound), other) == measure(other, other) == measure(other, Clip(sound))
    with pytest.raises(ValueError, match="cut .* never pad"):
        measure(Clip(sound), Clip(sound[:-1280]))


@pytest.mark.parametrize(("before", "between", "after"), [(0, 0, 2), (2, 0, 0), (1, 0, 1), (0, 2, 0)])
def test_silence_that_both_share_carries_no_measure(before, between, after):
    def padded(sound: np.ndarray) -> Clip:
        first, second = np.split(sound, 2)
        silences = (np.zeros(seconds * RATE) for seconds in (before, between, after))
        return Clip(np.concatenate([next(silences), first, next(silences), second, next(silences)]))

    sounds = [0.1 * NOISE, beats(0.3)]
    for measure, close in zip(ON_TWO, (0.3, 0.12), strict=True):
        assert measure(*map(padded, sounds)) == pytest.approx(measure(*map(Clip, sounds)), abs=close), measure.__name__
    assert measures.envelope_correlation(padded(beats(0.3)), padded(beats(0.3))) == pytest.approx(1)


@pytest.mark.parametrize(("subtype", "rate"), [("PCM_U8", RATE), ("PCM_16", 44_100), ("PCM_24", RATE), ("FLOAT", RATE)])
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


@pytest.mark.filterwarnings("ignore:A sample beyond")
@pytest.mark.parametrize("measure", ON_A_CLIP, ids=lambda f: f.__name__)
def test_measures_refuse_what_is_too_short_not_a_number_or_a_list_and_two_threads_find_the_same(measure):
    if measure in OF_ANY_LENGTH:
        assert np.isfinite(measure(Clip(HISS[:1])))
    else:
        with pytest.raises(ValueError, match="at least 1024 samples"):
            measure(Clip(HISS[:1023]))
    with pytest.raises(TypeError, match=r"one Clip at a time, not \[Clip"):
        measure([Clip(HISS)])
    with pytest.raises(ValueError, match="NaN"):
        measure(Clip(np.where(TIME < 1, np.nan, HISS)))
    assert np.isfinite(measure(Clip(1e25 * beats(0.5))))
    sounds = [Clip(beats(0.3)), Clip(HISS), Clip(TONE)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(measure, sounds)) == [measure(sound) for sound in sounds]


def test_a_measure_is_the_same_at_every_sample_rate():
    sound = Clip(beats(0.5)).resampled(44_100).resampled()  # without what no filter keeps, near 8 kHz
    other = sound.resampled(44_100)
    for measure in ON_A_CLIP:
        assert measure(other) == pytest.approx(measure(sound), rel=0.03, abs=0.5), measure.__name__
    assert measures.log_mel_distance(other, sound) < 1.5
    assert measures.envelope_correlation(other, sound) > 0.999


# ---- the log-mel-spectrogram


def test_the_mel_its_filters_and_its_scale_are_librosas():
    padded = np.pad(HISS, 432, mode="reflect")
    settings = {"n_fft": 1024, "hop_length": 160, "n_mels": 64, "fmin": 0, "fmax": 8000, "power": 1, "center": False}
    reference = np.log(np.maximum(librosa.feature.melspectrogram(y=padded, sr=RATE, **settings), 1e-5)).T
    assert log_mel(HISS).shape == reference.shape == (500, 64)
    assert np.abs(log_mel(HISS) - reference).max() < 1e-5
    filters, before = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=64, fmin=0, fmax=8000), mel_filterbank().copy()
    assert before.shape == (64, 513) and before.dtype == np.float32
    assert np.abs(before - filters).max() < 1e-6 * filters.max()
    mel_filterbank()[:] = 0
    assert (mel_filterbank() == before).all()  # a copy was handed out
    hertz = np.array([0, 20, 999, 1000, 1001, 8000])
    assert np.allclose(mel_height(hertz), librosa.hz_to_mel(hertz) / librosa.hz_to_mel(8000))


def test_mels_of_any_level_batch_and_length():
    assert np.allclose(log_mel(2 * NOISE) - log_mel(NOISE), np.log(2), atol=1e-4)
    assert np.allclose(log_mel(0 * NOISE), np.log(LOG_FLOOR))
    batch = log_mel(np.stack([NOISE, -0.3 * NOISE]).reshape(2, 1, -1))
    assert batch.shape == (2, 1, 500, 64) and batch.dtype == np.float32
    assert np.allclose(batch[0, 0], log_mel(NOISE.astype(np.float32)), atol=1e-4)
    for samples in (160, 433, 16_159):
        mel = log_mel(np.ones(samples))
        assert mel.shape == (samples // 160, 64) and np.isfinite(mel).all()
    for bad, says in ((np.zeros(159), "160"), (np.where(TIME < 1, np.nan, HISS), "NaN")):
        with pytest.raises(ValueError, match=says):
            log_mel(bad)


# ---- means, their intervals over subjects, and verdicts


def test_knee_is_the_first_point_that_made_nine_tenths_of_the_way():
    steps, quality = [2, 5, 10, 25, 50], [0.10, 0.30, 0.38, 0.395, 0.40]
    assert knee(steps, quality) == knee(steps, [Interval(q, q - 1, q + 1, 9) for q in quality]) == 10
    assert knee(steps, [0.4, 0.3, 0.2, 0.1, 0.0]) == 2  # it never gets better
    for x, y in (([], []), ([1, 2], [1.0]), ([1, 2], [1.0, math.nan]), ([2, 1], [1.0, 2.0])):
        with pytest.raises(ValueError, match="knee"):
            knee(x, y)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Interval(-9.1234, -10.23, -8.04, 24, "dB"), "-9.1 dB (95% interval -10.2 to -8.0, n = 24)"),
        (Interval(-0.2, -10, 4, 8, "dB"), "0 dB (95% interval -10 to 4, n = 8)"),
        (Interval(0.011, 0.0004, 0.024, 12), "0.0110 (95% interval 0.0004 to 0.0240, n = 12)"),  # excludes zero
        (Interval(2e-4, 1.9e-4, 2.1e-4, 8), "0.00020 (95% interval 0.00019 to 0.00021, n = 8)"),
    ],
)
def test_interval_prints_as_many_digits_as_it_is_worth(found, says):
    assert str(found) == repr(found) == says
    assert found.excludes_zero == (" -10 to 4" not in says)


def test_seeds_are_averaged_within_their_subject_and_pairs_lose_what_they_share():
    found = interval([1.0, 5.0, 3.0, 9.0], groups=["a dog", "rain", "a dog", "rain"])
    assert found == interval([2.0, 7.0]) and found.n == 2
    rng = np.random.default_rng(2)
    before = rng.normal(0, 10, 24)
    after = before - 9 + rng.normal(0, 1, 24)
    paired = interval(after, before, unit="dB")
    assert paired.mean == pytest.approx(-9, abs=0.6) and paired.excludes_zero and paired.high - paired.low < 1.2
    assert paired == interval(after - before, unit="dB")


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_verdict_is_stricter_the_more_a_page_compares_and_does_not_depend_on_the_unit(unit):
    clear, slight = interval(np.array([9, 10, 11, 10, 9.5]) * unit), interval(np.array([1, 2, 3, 1.0, 4]) * unit)
    unclear = interval(np.array([-1, 2, -3, 4]) * unit)
    assert [found.verdict(20) for found in (clear, slight, unclear)] == ["an effect", "maybe", "none shown"]
    assert slight.verdict() == "an effect"
    for comparisons in (0, -1, 1.5, None):
        with pytest.raises((TypeError, ValueError), match="comparisons"):
            clear.verdict(comparisons)


UNVARIED = [([120.2, 120.2], [117.5, 117.5]), ([0.0] * 3, None), ([2.5] * 6, None), ([9.0, 10.0], None)]
UNVARIED += [([1.1, 2.2, 3.3, 4.4], [1.0, 2.1, 3.2, 4.3])]  # equal but for the rounding


@pytest.mark.parametrize(("values", "before"), UNVARIED)
def test_where_nothing_varies_or_subjects_are_few_there_is_no_verdict(values, before):
    found = interval(values, before)
    assert found.verdict() == found.verdict(10) == "cannot say"
    assert len(values) == 2 or found == Interval(found.mean, found.mean, found.mean, len(values), p=found.p)


def test_intervals_refuse_fewer_than_two_subjects_nan_and_other_lengths():
    few = [([1.0], {}), ([1.0, math.nan], {}), ([1.0, 2.0], {"groups": ["a", "a"]}), ([1.0, 2.0], {"before": [1.0]})]
    for values, more in few:
        with pytest.raises(ValueError, match="2 subjects|before"):
            interval(values, **more)

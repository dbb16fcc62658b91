"""The measures on sounds whose answer is known, CLAP on an untrained model of the mini's shape, and the intervals."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest

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
    with pytest.raises(ValueError, match="79999 samples at 16000 Hz"):
        measures.log_mel_distance(hiss, clip_of(HISS[:-1]))


@pytest.mark.parametrize("measure", ON_A_CLIP, ids=lambda f: f.__name__)
def test_measures_refuse_what_is_too_short_or_not_a_number(measure):
    with pytest.raises(ValueError, match=r"at least 1024 samples"):
        measure(clip_of(HISS[:1023]))
    with pytest.raises(ValueError, match="NaN"):
        measure(clip_of(np.where(TIME < 1, np.nan, HISS)))


@pytest.mark.parametrize("measure", [*ON_A_CLIP, measures.log_mel_distance, measures.bootstrap_interval])
def test_docstrings_say_source_and_lesson(measure):
    assert "Source: " in measure.__doc__
    assert "Explained in lesson 0" in measure.__doc__


def test_knee_is_the_first_point_that_made_nine_tenths_of_the_way():
    steps, quality = [2, 5, 10, 25, 50], [0.10, 0.30, 0.38, 0.395, 0.40]
    assert measures.knee(steps, quality) == 10
    assert measures.knee(steps, [measures.Interval(q, q - 1, q + 1, 9) for q in quality]) == 10
    assert measures.knee(steps, [0.4, 0.3, 0.2, 0.1, 0.0]) == 2  # it never gets better


# ---- CLAP


@pytest.fixture(scope="module")
def clap(random_checkpoint, tmp_path_factory) -> str:
    """A folder as mini/checkpoints/mini-clap, untrained."""
    import torch
    from transformers import AutoTokenizer, ClapFeatureExtractor

    from mini.parts import make_clap

    folder = tmp_path_factory.mktemp("clap")
    tokenizer = AutoTokenizer.from_pretrained(random_checkpoint / "tokenizer")
    torch.manual_seed(0)
    make_clap(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ClapFeatureExtractor(
        sampling_rate=RATE, hop_length=320, max_length_s=5, frequency_max=8000, truncation="rand_trunc"
    ).save_pretrained(folder)
    return str(folder)


CLIPS = [clip_of(HISS), clip_of(beats(0.3), prompt="a clock"), clip_of(TONE[:RATE], prompt="a flute")]


def test_clap_embeddings_have_unit_norm_and_do_not_depend_on_order_or_company(clap):
    vectors = measures.clap_embed(CLIPS, clap)
    assert vectors.shape == (3, 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(measures.clap_embed(CLIPS[::-1], clap)[::-1], vectors)
    np.testing.assert_array_equal(measures.clap_embed(CLIPS[1:2], clap), vectors[1:2])


def test_clap_cuts_long_clips_at_the_same_place_every_time(clap):
    long = np.concatenate([beats(0.3), HISS])
    vectors = [measures.clap_embed([clip_of(long)], clap) for _ in range(3)]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_array_equal(vectors[0], measures.clap_embed([clip_of(beats(0.3))], clap))


def test_clap_hears_a_short_clip_again_and_again_and_no_silence(clap):
    short = beats(0.3)[: 3 * RATE]  # the extractor alone would hear it once, and then 2 s of nothing
    filled = np.concatenate([short, short[: 2 * RATE]])
    vectors = measures.clap_embed([clip_of(short), clip_of(filled)], clap)
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_clap_resamples_to_its_own_rate(clap):
    from librosa import resample

    other = clip_of(resample(beats(0.3), orig_sr=RATE, target_sr=48_000), 48_000)
    same, far = measures.clap_embed([other, clip_of(HISS)], clap) @ measures.clap_embed([clip_of(beats(0.3))], clap)[0]
    assert same > 0.999
    assert far < same


def test_clap_is_asked_once_about_a_clip_and_a_text(clap, monkeypatch):
    asked, kept = [], measures._load_clap(clap)[-1]
    kept.clear()
    real = measures._for_clap
    monkeypatch.setattr(measures, "_for_clap", lambda *given: asked.append(1) or real(*given))
    first = measures.clap_similarity(CLIPS, "a dog", clap)
    np.testing.assert_array_equal(measures.clap_similarity(CLIPS, "a dog", clap), first)
    assert len(asked) == len(CLIPS) and len(kept) == len(CLIPS) + 1
    monkeypatch.setattr(measures, "KEPT", 2)
    np.testing.assert_array_equal(measures.clap_similarity([*CLIPS, clip_of(TONE)], "a dog", clap)[:-1], first)
    assert len(kept) == len(CLIPS) + 1  # the oldest made room


def test_clap_similarity_is_the_cosine_of_each_pair(clap):
    prompts = [clip.settings["prompt"] for clip in CLIPS]
    table = measures.clap_embed(CLIPS, clap) @ measures.clap_embed(prompts, clap).T
    np.testing.assert_allclose(measures.clap_similarity(CLIPS, None, clap), table.diagonal(), atol=1e-6)
    np.testing.assert_allclose(measures.clap_similarity(CLIPS, prompts[1], clap), table[:, 1], atol=1e-6)
    np.testing.assert_allclose(measures.clap_similarity(CLIPS[0], prompts[2], clap), table[:1, 2], atol=1e-6)
    assert np.ptp(table, axis=1).min() > 1e-3  # texts are told apart


def test_best_of_puts_the_highest_cosine_first(clap):
    ranked = measures.best_of(CLIPS, "a bell", clap)
    scores = measures.clap_similarity(ranked, "a bell", clap)
    assert sorted(map(id, ranked)) == sorted(map(id, CLIPS))
    assert list(scores) == sorted(scores, reverse=True)
    assert np.ptp(scores) > 0


def test_clap_takes_texts_of_any_length(clap):
    vectors = measures.clap_embed(["a dog barking " * 200, "a dog"], clap)
    assert np.isfinite(vectors).all()


def test_auto_takes_the_clap_of_the_checkpoint_family(clap, monkeypatch, tmp_path):
    shutil.copytree(clap, tmp_path / "mini-clap")
    monkeypatch.setenv("AUDIOLDM_MINI_FOLDER", str(tmp_path))
    measures._load_clap.cache_clear()
    expected = measures.clap_similarity(CLIPS, None, clap)
    np.testing.assert_array_equal(measures.clap_similarity(CLIPS), expected)
    measures._load_clap.cache_clear()
    assert measures._choose_clap([CLIPS[0], clip_of(HISS, checkpoint="audioldm-s-full-v2")]) == measures.REAL_CLAP


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda clap: measures.clap_embed([], clap), "at least one"),
        (lambda clap: measures.clap_embed([CLIPS[0], "a dog"], clap), "never mixed"),
        (lambda clap: measures.clap_embed(["a dog"]), 'model="mini-clap"'),
        (lambda clap: measures.clap_similarity(CLIPS, ["a dog"], clap), "not 1 texts for 3 clips"),
    ],
)
def test_clap_says_what_is_wrong(clap, call, message):
    with pytest.raises(ValueError, match=message):
        call(clap)


def test_a_clap_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere.* cannot be had"):
        measures.clap_embed(["a dog"], str(tmp_path / "nowhere"))


# ---- intervals


def test_interval_prints_as_many_digits_as_it_is_worth():
    assert str(measures.Interval(-9.1234, -10.23, -8.04, 24, "dB")) == "-9.1 dB (95% interval -10.2 to -8.0, n = 24)"
    assert repr(measures.Interval(0.3012, 0.2978, 0.3065, 24)) == "0.301 (95% interval 0.298 to 0.306, n = 24)"
    assert str(measures.Interval(1234, 1100, 1300, 5, "Hz")) == "1234 Hz (95% interval 1100 to 1300, n = 5)"
    assert measures.Interval(-9, -10, -8, 24).excludes_zero
    assert measures.Interval(9, 8, 10, 24).excludes_zero
    assert not measures.Interval(1, -1, 3, 24).excludes_zero
    assert str(measures.Interval(-0.2, -10, 4, 8, "dB")) == "0 dB (95% interval -10 to 4, n = 8)"
    printed_with_zero = measures.Interval(0.011, 0.0004, 0.024, 12)
    assert "0.000 to 0.024" in str(printed_with_zero) and not printed_with_zero.excludes_zero


def test_a_95_percent_interval_holds_the_truth_in_about_95_percent_of_the_cases():
    rng = np.random.default_rng(1)
    intervals = [measures.bootstrap_interval(rng.exponential(1.0, 40)) for _ in range(200)]
    share = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert 0.88 <= share <= 0.98  # two standard errors, and the known shortfall for skewed values


def test_pairing_removes_what_the_pairs_share():
    rng = np.random.default_rng(2)
    before = rng.normal(0, 10, 24)
    after = before - 9 + rng.normal(0, 1, 24)
    paired = measures.bootstrap_interval(after, before, unit="dB")
    assert paired.mean == pytest.approx(-9, abs=0.6)
    assert paired.excludes_zero
    assert paired.high - paired.low < 1.2
    assert paired == measures.bootstrap_interval(after - before, unit="dB")
    assert paired == measures.bootstrap_interval(list(after), list(before), unit="dB")  # seeded


@pytest.mark.parametrize("count", [6, 12])
def test_an_interval_hardly_moves_when_its_values_hardly_do(count):
    rng = np.random.default_rng(1)
    for _ in range(10):
        values = rng.normal(1, 1, count)
        before = measures.bootstrap_interval(values)
        after = measures.bootstrap_interval(values * (1 + rng.normal(0, 1e-5, count)))
        moved = max(abs(before.low - after.low), abs(before.high - after.high))
        assert moved < 0.002 * (before.high - before.low)


def test_interval_of_equal_values_is_a_point():
    assert measures.bootstrap_interval([2.5] * 6) == measures.Interval(2.5, 2.5, 2.5, 6)
    assert measures.bootstrap_interval([0, 1]).low == 0  # two values: BCa fails, percentiles hold


@pytest.mark.parametrize(
    ("values", "more", "message"),
    [
        ([1.0], {}, "at least 2"),
        ([1.0, math.nan], {}, "finite"),
        ([1.0, 2.0], {"before": [1.0]}, "as many values"),
    ],
)
def test_intervals_say_what_is_wrong(values, more, message):
    with pytest.raises(ValueError, match=message):
        measures.bootstrap_interval(values, **more)

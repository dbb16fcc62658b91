"""CLAP, on an untrained model of the mini's shape."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.test_measures import HISS, RATE, TONE, beats
from utils import Clip
from utils import clap as module


def clip_of(waveform: np.ndarray, rate: int = RATE, **settings) -> Clip:
    return Clip(waveform, rate, {"checkpoint": "mini-s-v2", "prompt": "a dog barking", **settings})


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


def test_embeddings_have_unit_norm_whatever_the_order_company_level_and_length(clap):
    vectors = module.clap_embed(CLIPS, clap)
    assert vectors.shape == (3, 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(module.clap_embed(CLIPS[::-1], clap)[::-1], vectors)
    np.testing.assert_array_equal(module.clap_embed(CLIPS[1], clap), vectors[1:2])  # one thing is a list of one
    text = module.clap_embed("a dog", clap).copy()
    module.clap_embed("a dog", clap)[:] = 7  # a copy was handed out
    np.testing.assert_array_equal(module.clap_embed(["a dog"], clap), text)
    levels = module.clap_embed([clip_of(gain * beats(0.3)) for gain in (1, 0.1, 0.01, 3)], clap)
    assert (levels @ levels[0]).min() > 0.9999
    assert np.isfinite(module.clap_embed(clip_of(np.zeros(RATE)), clap)).all()
    assert np.isfinite(module.clap_embed("a dog barking " * 200, clap)).all()


def test_a_long_clip_is_cut_at_its_end_and_a_short_one_repeated(clap):
    """The extractor alone cuts at random, and hears a short clip once and then silence."""
    whole, short = beats(0.3), beats(0.3)[: 3 * RATE]
    long, repeated = np.concatenate([whole, HISS]), np.concatenate([short, short[: 2 * RATE]])
    for one, same in ((long, whole), (short, repeated)):
        np.testing.assert_array_equal(module.clap_embed(clip_of(one), clap), module.clap_embed(clip_of(same), clap))


def test_clap_resamples_to_its_own_rate(clap):
    sound = clip_of(beats(0.3))
    same, far = module.clap_embed([sound.resampled(48_000), CLIPS[0]], clap) @ module.clap_embed(sound, clap)[0]
    assert same > 0.999 and far < same


def test_clap_similarity_is_the_cosine_of_each_pair_and_best_of_begins_with_the_highest(clap):
    prompts = [clip.settings["prompt"] for clip in CLIPS]
    table = module.clap_embed(CLIPS, clap) @ module.clap_embed(prompts, clap).T
    np.testing.assert_allclose(module.clap_similarity(CLIPS, None, clap), table.diagonal(), atol=1e-6)
    np.testing.assert_allclose(module.clap_similarity(iter(CLIPS), prompts[1], clap), table[:, 1], atol=1e-6)
    np.testing.assert_allclose(module.clap_similarity(CLIPS[0], prompts[2], clap), table[:1, 2], atol=1e-6)
    assert np.ptp(table, axis=1).min() > 1e-3  # texts are told apart
    ranked = module.best_of(CLIPS, "a bell", clap)
    scores = list(module.clap_similarity(ranked, "a bell", clap))
    assert sorted(map(id, ranked)) == sorted(map(id, CLIPS)) and scores == sorted(set(scores), reverse=True)
    assert module.best_of(CLIPS[0], model=clap) == CLIPS[:1]


def test_auto_takes_the_clap_of_the_checkpoint_family(clap, monkeypatch, tmp_path):
    shutil.copytree(clap, tmp_path / "mini-clap")
    monkeypatch.setenv("AUDIOLDM_MINI_FOLDER", str(tmp_path))
    module._load_clap.cache_clear()
    expected = module.clap_similarity(CLIPS, None, clap)
    np.testing.assert_array_equal(module.clap_similarity(CLIPS), expected)
    module._load_clap.cache_clear()
    for checkpoint in ("audioldm-s-full-v2", None):  # a recording alone is for the real CLAP, too
        assert module._choose_clap([CLIPS[0], clip_of(HISS, checkpoint=checkpoint)]) == module.REAL_CLAP


def test_the_minis_clap_hears_a_soft_recording_as_the_loud_one():
    from utils import generate, load_pipeline, regime

    pipe = load_pipeline("mini-s-v2")
    clips = generate(pipe, ["a dog", "a bell", "rain"], **regime(pipe))
    soft = [Clip(0.03 * clip.waveform, RATE, {"file": "soft.wav"}) for clip in clips]
    assert module.heard(clips) == module.heard(soft, model="mini-clap") == ["a dog", "a bell", "rain"]
    assert module.heard(soft, ["a bell", "a dog"], "mini-clap")[:2] == ["a dog", "a bell"]


def test_a_real_clap_is_asked_in_a_sentence(clap, monkeypatch):
    asked, real = [], module.clap_embed
    monkeypatch.setattr(module, "clap_embed", lambda items, model: asked.append(items) or real(items, model))
    assert set(module.heard(CLIPS, model=clap)) <= set(module.KINDS) and len(module.KINDS) == 24
    assert asked[1][12] == "This is a sound of a dog."


def test_two_threads_find_the_same(clap):
    texts = [f"{kind} number {i}" for i in range(2) for kind in module.KINDS]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: module.clap_embed(text, clap), texts))
    module._load_clap.cache_clear()
    np.testing.assert_allclose(np.concatenate(together), module.clap_embed(texts, clap), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda clap: module.clap_embed([], clap), "empty"),
        (lambda clap: module.clap_embed([None], clap), "takes clips, or texts"),
        (lambda clap: module.clap_embed("a \ud800 dog", clap), "surrogate"),
        (lambda clap: module.clap_similarity(Clip(HISS, RATE, {"file": "a.wav"}), None, clap), "a.wav has no prompt"),
        (lambda clap: module.clap_embed([CLIPS[0], "a dog"], clap), "never mixed"),
        (lambda clap: module.clap_embed(["a dog"]), 'model="mini-clap"'),
        (lambda clap: module.clap_similarity(CLIPS, ["a dog"], clap), "not 1 for 3 clips"),
        (lambda clap: module.clap_similarity("a dog", None, clap), "takes clips, not"),
        (lambda clap: module.heard("a dog", model=clap), "takes clips, not"),
    ],
)
def test_clap_says_what_is_wrong(clap, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(clap)


def test_a_folder_without_a_clap_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "no such" / "folder"):
        with pytest.raises(OSError, match=tmp_path.name) as caught:
            module.clap_embed(["a dog"], str(folder))
        assert "\n" not in str(caught.value)

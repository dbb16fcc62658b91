"""generate: the plain pipeline's sound, reproducible in any batch, and one clear sentence for each error."""

from __future__ import annotations

import copy
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from utils import Request, decode_latents, encode_audio, encode_prompt, generate, generate_batch

ROOT = Path(__file__).parents[1]
PROMPT = "Techno music with a strong, upbeat tempo and high melodic riffs"
SHORT = {"num_inference_steps": 2, "audio_length_in_s": 0.64}
BESIDE = {"latents", "prompt_embeds", "callback", "adapters"}  # settings that only some clips have
EXACT_DB = 60  # signal-to-noise above which two waveforms count as equal to float tolerance


def snr_db(reference: np.ndarray, other: np.ndarray) -> float:
    noise = np.square(reference - other, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(reference, dtype=np.float64).sum() / max(noise, 1e-30)))


def plain(pipe, prompt, seed, **settings) -> np.ndarray:
    pipe.set_progress_bar_config(disable=True)
    return pipe(prompt, generator=torch.Generator("cpu").manual_seed(seed), **settings).audios[0]


def program(source: str) -> str:
    """What a program in a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- the same sound


@pytest.mark.parametrize(
    "settings",
    [
        {"audio_length_in_s": 5.0, "num_inference_steps": 10},
        {"audio_length_in_s": 2.56, "num_inference_steps": 4, "negative_prompt": "low quality"},
        {"audio_length_in_s": 1.0, "num_inference_steps": 3, "guidance_scale": 1.0},
    ],
)
def test_equals_the_plain_pipeline(pipe, settings):
    reference = plain(pipe, PROMPT, 7, **settings)
    clip = generate(pipe, PROMPT, seed=7, **settings)
    assert clip.waveform.shape == reference.shape
    assert snr_db(reference, clip.waveform) > EXACT_DB


def test_the_same_seed_gives_the_same_clip_and_another_another(pipe):
    first, again, other = (generate(pipe, "rain", seed=s, audio_length_in_s=1.0).waveform for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert snr_db(first, other) < 10


def test_a_batch_holds_the_clips_that_each_prompt_and_seed_give_alone(pipe):
    settings = {"num_inference_steps": 4, "audio_length_in_s": 1.28}
    clips = generate(
        pipe, ["rain", "a bell"], negative_prompt=["low quality", None], num_waveforms_per_prompt=2, seed=5, **settings
    )
    facts = [(c.settings["prompt"], c.settings["negative_prompt"], c.settings["seed"]) for c in clips]
    assert facts == [("rain", "low quality", 5), ("rain", "low quality", 6), ("a bell", None, 5), ("a bell", None, 6)]
    for clip, (prompt, negative, seed) in zip(clips, facts, strict=True):
        alone = generate(pipe, prompt, negative_prompt=negative, seed=seed, **settings)
        assert snr_db(alone.waveform, clip.waveform) > EXACT_DB


def test_a_batch_runs_in_one_call(pipe):
    batches = []
    handle = pipe.unet.register_forward_pre_hook(lambda module, inputs: batches.append(len(inputs[0])))
    try:
        clips = generate_batch(pipe, [Request("rain", 1), Request("wind", 2, "noise"), Request("rain", 9)], **SHORT)
        generate(pipe, "rain", guidance_scale=1, **SHORT)
    finally:
        handle.remove()
    assert [clip.settings["seed"] for clip in clips] == [1, 2, 9]
    assert batches == [6, 6, 1, 1]  # with guidance two rows a clip, without it one


def test_settings_say_how_to_make_the_clip_again(pipe):
    clip = generate(
        pipe, "rain", num_inference_steps=np.int64(2), audio_length_in_s=1, guidance_scale=3, seed=np.int32(8)
    )
    assert clip.settings == {
        "checkpoint": "mini-s-v2",
        "prompt": "rain",
        "negative_prompt": None,
        "num_inference_steps": 2,
        "audio_length_in_s": 1.0,
        "guidance_scale": 3.0,
        "seed": 8,
        "scheduler": "DDIMScheduler",
        "dtype": "float32",
    }
    assert {type(value) for value in clip.settings.values()} == {str, int, float, type(None)}  # JSON takes them
    assert 0 < clip.seconds < 60
    keys = ("num_inference_steps", "audio_length_in_s", "guidance_scale", "seed")
    again = generate(pipe, clip.settings["prompt"], **{key: clip.settings[key] for key in keys})
    assert np.array_equal(again.waveform, clip.waveform)


def test_settings_name_whatever_else_went_in(pipe, adapted):
    def extra(clip) -> dict:
        return {
            key: clip.settings[key]
            for key in ("latents", "prompt_embeds", "callback", "adapters")
            if key in clip.settings
        }

    noise, said = torch.randn(1, 8, 8, 8), encode_prompt(pipe, "a bell")
    assert extra(generate(pipe, "rain", **SHORT)) == {}
    assert extra(generate(pipe, "rain", latents=noise, **SHORT)) == {"latents": True}
    assert extra(generate(pipe, "rain", prompt_embeds=said, **SHORT)) == {"prompt_embeds": True}
    assert extra(generate(pipe, "rain", callback=lambda *_: None, **SHORT)) == {"callback": True}
    one, two = generate_batch(pipe, [Request("rain", 0, None, said, noise), Request("rain")], **SHORT)
    assert extra(one) == {"latents": True, "prompt_embeds": True} and extra(two) == {}
    assert extra(generate(adapted, "rain", **SHORT)) == {"adapters": "laser 1"}
    adapted.unet.set_adapters(["laser"], [0.25])
    assert extra(generate(adapted, "rain", **SHORT)) == {"adapters": "laser 0.25"}
    adapted.unet.disable_adapters()
    assert extra(generate(adapted, "rain", **SHORT)) == {}


@pytest.mark.parametrize("seconds", [0.08, 0.0801, 0.29, 0.57, 1.23456, 5.0])
def test_any_length_has_the_samples_that_it_should(pipe, seconds):
    clip = generate(pipe, "rain", audio_length_in_s=seconds, num_inference_steps=1)
    assert len(clip.waveform) == round(seconds * 16_000)


# ---- arguments that are changed afterwards, and parts that are


def test_an_encoding_equals_the_pipelines_own_padded_one(pipe):
    padded = pipe._encode_prompt(PROMPT, pipe.device, 1, False)
    assert torch.allclose(encode_prompt(pipe, PROMPT), padded, atol=1e-5)
    assert not torch.allclose(encode_prompt(pipe, "rain"), padded, atol=1e-2)


def test_an_encoding_is_the_callers_to_change(pipe):
    before = generate(pipe, "rain", **SHORT).waveform
    encode_prompt(pipe, "rain").mul_(-1)
    encode_prompt(pipe, "").zero_()
    assert np.array_equal(generate(pipe, "rain", **SHORT).waveform, before)


@pytest.mark.parametrize("change", ["weight", "hook", "tokenizer"])
def test_a_changed_text_encoder_or_tokenizer_is_noticed(pipe, change):
    before, other = encode_prompt(pipe, PROMPT), copy.copy(pipe)
    other.text_encoder = copy.deepcopy(pipe.text_encoder)
    assert torch.equal(encode_prompt(other, PROMPT), before)
    if change == "weight":
        with torch.no_grad():
            other.text_encoder.text_projection.linear2.bias += 1
    elif change == "hook":
        other.text_encoder.text_projection.register_forward_hook(lambda module, inputs, output: output.flip(-1))
    else:
        other.tokenizer = lambda text, **_: pipe.tokenizer("rain")
        other.tokenizer.model_max_length = 64
    assert not torch.allclose(encode_prompt(other, PROMPT), before, atol=1e-2)


def test_a_request_keeps_its_tensors(pipe):
    noise, said = torch.randn(1, 8, 8, 8), encode_prompt(pipe, "a bell").numpy()
    request = Request("rain", 0, None, said, noise)
    before = generate_batch(pipe, request, **SHORT)[0].waveform
    noise.zero_()
    said *= -1
    assert np.array_equal(generate_batch(pipe, [request], **SHORT)[0].waveform, before)


# ---- recordings and latents


def test_latents_come_back_in_the_length_that_is_asked_for(pipe):
    clip = generate(pipe, "rain", num_inference_steps=2, audio_length_in_s=0.57)
    latents = encode_audio(pipe, clip)
    assert latents.shape == (1, 8, 8, 8)
    whole = decode_latents(pipe, latents, prompt="rain")
    part = decode_latents(pipe, latents.numpy(), clip.duration)
    assert len(whole.waveform) == 10_240 and whole.title == "rain"
    assert len(part.waveform) == len(clip.waveform) and np.array_equal(part.waveform, whole.waveform[:9120])


@pytest.mark.parametrize(
    ("latents", "length", "error"),
    [
        (torch.full((1, 8, 8, 8), float("nan")), None, ValueError),
        (torch.zeros(8, 8, 8), None, ValueError),
        (np.zeros((2, 8, 8, 8)), None, ValueError),
        (torch.zeros(1, 8, 0, 8), None, ValueError),
        ("noise", None, TypeError),
        (torch.zeros(1, 8, 8, 8), 0.65, ValueError),
        (torch.zeros(1, 8, 8, 8), 0, ValueError),
        (torch.zeros(1, 8, 8, 8), "1", TypeError),
    ],
)
def test_latents_that_are_none_are_refused(pipe, latents, length, error):
    with pytest.raises(error) as caught:
        decode_latents(pipe, latents, length)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["rain.wav", [], None, np.zeros(16_000)])
def test_only_a_clip_is_encoded(pipe, given):
    with pytest.raises(TypeError, match="Clip"):
        encode_audio(pipe, given)


def test_a_long_recording_passes_in_pieces_of_one_size_and_keeps_its_sound(pipe):
    from utils import Clip, log_mel

    rng = np.random.default_rng(0)
    seconds = 47.3
    level = 1 + np.sin(2 * np.pi * np.arange(round(seconds * 16_000)) / 16_000)
    clip = Clip(0.1 * level * rng.standard_normal(len(level)))
    sizes = []
    handle = pipe.vae.encoder.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[2]))
    try:
        latents = encode_audio(pipe, clip)
    finally:
        handle.remove()
    assert latents.shape == (1, 8, 592, 8) and set(sizes) == {2048}
    alone = encode_audio(pipe, Clip(clip.waveform[:327_680]))  # one piece of 20.48 s
    assert torch.equal(latents[:, :, :240], alone[:, :, :240]) and not torch.isnan(latents).any()
    back = decode_latents(pipe, latents, clip.duration)
    assert len(back.waveform) == len(clip.waveform)
    first = decode_latents(pipe, latents[:, :, :256])
    assert np.array_equal(back.waveform[: 240 * 1280], first.waveform[: 240 * 1280])
    loud = log_mel(back.waveform).mean(axis=1)
    assert np.isfinite(loud).all() and np.abs(np.diff(loud)).max() < 5  # no gap where two pieces meet


# ---- the package


def test_importing_utils_loads_next_to_nothing():
    loaded = program("import sys; sys.stdlib = set(sys.modules); import utils; print(*(set(sys.modules) - sys.stdlib))")
    assert {name.split(".")[0] for name in loaded.split()} - sys.stdlib_module_names <= {"utils"}


def test_every_public_name_is_there_and_never_a_module():
    import utils

    everything: dict = {}
    exec("from utils import *", everything)
    assert set(utils.__all__) <= set(everything) and set(utils.__all__) <= set(dir(utils))
    for path in Path(utils.__file__).parent.glob("[a-z]*.py"):
        __import__(f"utils.{path.stem}")
    modules = {name for name in utils.__all__ if type(getattr(utils, name)).__name__ == "module"}
    assert modules == {"plots"}
    with pytest.raises(AttributeError, match="nonsense"):
        _ = utils.nonsense


def test_librosa_works_where_no_cache_can_be_written():
    folder, policy = program("""
        import os
        os.environ.pop("NUMBA_CACHE_DIR", None)
        os.access = lambda *_: False  # as in a read-only environment without a home
        import utils
        print(os.environ["NUMBA_CACHE_DIR"], os.environ["OMP_WAIT_POLICY"])
    """).split()
    assert "numba-" in folder and policy.upper() == "PASSIVE"

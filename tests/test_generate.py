"""`generate`: the plain pipeline's sound in any batch, latents and back; or one sentence, with nothing left behind."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import textwrap
import warnings
import weakref
from importlib import import_module
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

import utils
from tools.bench import snr_db
from utils import Clip, Request, decode_latents, encode_audio, encode_prompt, generate, generate_batch, log_mel

ROOT = Path(__file__).parents[1]
PROMPT = "Techno music with a strong, upbeat tempo and high melodic riffs"
SHORT = {"num_inference_steps": 2, "audio_length_in_s": 0.64}
BESIDE = {"latents", "prompt_embeds", "callback", "adapters"}  # settings that only some clips have
EXACT_DB = 60  # signal-to-noise above which two waveforms count as equal to float tolerance


def plain(pipe, prompt, seed, **settings) -> np.ndarray:
    pipe.set_progress_bar_config(disable=True)
    return pipe(prompt, generator=torch.Generator("cpu").manual_seed(seed), **settings).audios[0]


def program(source: str) -> str:
    """Return the output of a program in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(source)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- the same sound


@pytest.mark.parametrize("more", [{"audio_length_in_s": 2.56, "negative_prompt": "noise"}, {"guidance_scale": 1.0}])
def test_equals_the_plain_pipeline(pipe, more):
    settings = {"audio_length_in_s": 1.0, "num_inference_steps": 4, **more}
    reference, clip = plain(pipe, PROMPT, 7, **settings), generate(pipe, PROMPT, seed=7, **settings)
    assert clip.waveform.shape == reference.shape and snr_db(reference, clip.waveform) > EXACT_DB
    assert snr_db(reference, generate(pipe, PROMPT, seed=8, **settings).waveform) < 10


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


def test_settings_say_how_to_make_the_clip_again(pipe):
    given = {"num_inference_steps": np.int64(2), "audio_length_in_s": 1, "guidance_scale": 3, "seed": np.int32(8)}
    clip = generate(pipe, "rain", **given)
    same = {"checkpoint": "mini-s-v2", "prompt": "rain", "negative_prompt": None}
    assert clip.settings == {**same, **given, "scheduler": "DDIMScheduler", "dtype": "float32"}
    assert {type(value) for value in clip.settings.values()} == {str, int, float, type(None)}  # JSON takes them
    assert 0 < clip.seconds < 60
    again = generate(pipe, clip.settings["prompt"], **{key: clip.settings[key] for key in given})
    assert np.array_equal(again.waveform, clip.waveform)


def test_settings_name_whatever_else_went_in(pipe, adapted):
    def beside(clip) -> dict:
        return {key: value for key, value in clip.settings.items() if key in BESIDE}

    noise, said = torch.randn(1, 8, 8, 8), encode_prompt(pipe, "a bell")
    assert beside(generate(pipe, "rain", callback=lambda *_: None, **SHORT)) == {"callback": True}
    one, two = generate_batch(pipe, [Request("rain", 0, None, said, noise), Request("rain")], **SHORT)
    assert beside(one) == {"latents": True, "prompt_embeds": True} and beside(two) == {}
    assert beside(generate(adapted, "rain", **SHORT)) == {"adapters": "laser 1"}
    adapted.unet.set_adapters(["laser"], [0.25])
    assert beside(generate(adapted, "rain", **SHORT)) == {"adapters": "laser 0.25"}
    adapted.unet.disable_adapters()
    assert beside(generate(adapted, "rain", **SHORT)) == {}


@pytest.mark.parametrize("seconds", [0.08, 0.29, 0.57, 1.23456])
def test_any_length_has_the_samples_that_it_should(pipe, seconds):
    clip = generate(pipe, "rain", audio_length_in_s=seconds, num_inference_steps=1)
    assert len(clip.waveform) == round(seconds * 16_000)


# ---- arguments beside the plain call, and copies of them


def test_latents_are_where_a_clip_begins(pipe):
    noise = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(7))
    expected = generate(pipe, "rain", seed=7, **SHORT).waveform
    for given in (noise.numpy(), noise.double()):
        assert np.array_equal(generate(pipe, "rain", latents=given, seed=1, **SHORT).waveform, expected)
    assert generate(pipe, "rain", latents=noise, num_inference_steps=2).settings["audio_length_in_s"] == 0.64
    with pytest.raises(ValueError, match=r"\(1, 8, 8, 8\), not \(1, 4, 8, 8\)"):
        generate(pipe, "rain", latents=noise[:, :4], **SHORT)


def test_an_embedding_stands_for_the_prompt(pipe):
    said = encode_prompt(pipe, "a dog barking")
    assert torch.allclose(said, pipe._encode_prompt("a dog barking", pipe.device, 1, False), atol=1e-5)
    expected = generate(pipe, "a dog barking", **SHORT).waveform
    for given in (said[0], said.numpy(), said.double().requires_grad_()):
        clip = generate(pipe, "my dog", prompt_embeds=given, **SHORT)
        assert np.array_equal(clip.waveform, expected) and clip.settings["prompt"] == "my dog"
    with pytest.raises(ValueError, match=r"\(1, 64\), not \(1, 63\)"):
        generate(pipe, "my dog", prompt_embeds=said[:, 1:], **SHORT)


def test_an_encoding_is_the_callers_to_change_and_a_request_keeps_its_tensors(pipe):
    before = generate(pipe, "rain", **SHORT).waveform
    encode_prompt(pipe, "rain").mul_(-1)
    encode_prompt(pipe, "").zero_()
    assert np.array_equal(generate(pipe, "rain", **SHORT).waveform, before)
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


def test_only_latents_are_decoded_and_only_a_clip_is_encoded(pipe):
    zeros = torch.zeros(1, 8, 8, 8)
    for latents in (zeros / 0, zeros + 1e30, np.zeros((2, 8, 8, 8)), zeros[:, :, :0]):
        with pytest.raises(ValueError) as caught:
            decode_latents(pipe, latents)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="0.65"):
        decode_latents(pipe, zeros, 0.65)
    with pytest.raises(ValueError, match="latents must have the shape"):
        generate(pipe, "rain", latents=zeros[:, :, :0])
    for call in (decode_latents, encode_audio):
        with pytest.raises(TypeError, match="noise"):
            call(pipe, "noise")


def test_a_long_recording_passes_in_pieces_of_one_size_and_keeps_its_sound(pipe):
    level = 1 + np.sin(2 * np.pi * np.arange(756_800) / 16_000)  # 47.3 s
    clip, sizes = Clip(0.1 * level * np.random.default_rng(0).standard_normal(len(level))), []
    handle = pipe.vae.encoder.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[2]))
    latents = encode_audio(pipe, clip)
    handle.remove()
    assert latents.shape == (1, 8, 592, 8) and set(sizes) == {2048}
    alone = encode_audio(pipe, Clip(clip.waveform[:327_680]))  # one piece of 20.48 s
    assert torch.equal(latents[:, :, :240], alone[:, :, :240]) and not torch.isnan(latents).any()
    back, first = decode_latents(pipe, latents, clip.duration), decode_latents(pipe, latents[:, :, :256])
    assert len(back.waveform) == len(clip.waveform)
    assert np.array_equal(back.waveform[: 240 * 1280], first.waveform[: 240 * 1280])
    loud = log_mel(back.waveform).mean(axis=1)
    assert np.isfinite(loud).all() and np.abs(np.diff(loud)).max() < 5  # no gap where two pieces meet


# ---- where something goes wrong


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"prompt": " \n"}, ValueError, "prompt is empty"),
        ({"prompt": ["rain", 3]}, TypeError, "3"),
        ({"prompt": ["rain"] * 65}, ValueError, "1 to 64 clips"),
        ({"prompt": "a \ud800 dog"}, ValueError, "surrogate"),
        ({"num_inference_steps": 1001}, ValueError, "from 1 to 1000, not 1001"),
        ({"num_inference_steps": True}, TypeError, "True"),
        ({"audio_length_in_s": float("nan")}, ValueError, "nan"),
        ({"negative_prompt": ["a", "b"]}, ValueError, "2 entries for 1 prompt"),
        ({"seed": -1}, ValueError, "from 0 to 4294967295, not -1"),
        ({"callback": 3}, TypeError, "callback"),
        ({"latents": torch.full((1, 8, 8, 8), float("nan"))}, ValueError, "latents"),
        ({"prompt_embeds": ["a dog"]}, TypeError, "prompt_embeds"),
    ],
)
def test_bad_input_ends_in_one_sentence_before_anything_runs(pipe, arguments, error, says):
    encoded = []
    handle = pipe.text_encoder.register_forward_hook(lambda *_: encoded.append(1))
    with pytest.raises(error, match=re.escape(says)) as caught:
        generate(pipe, **{"prompt": "rain", **arguments})
    handle.remove()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200 and not encoded


def test_what_is_no_pipeline_is_named():
    for given in ("mini-s-v2", None):
        with pytest.raises(TypeError, match="load_pipeline"):
            generate(given, "rain")


def test_steps_are_limited_by_the_scheduler(pipe):
    real = copy.copy(pipe)  # the real checkpoints' schedule counts up from 1: its step 1000 does not exist
    real.scheduler = diffusers.DDIMScheduler(steps_offset=1, timestep_spacing="leading", clip_sample=False)
    with pytest.raises(ValueError, match="from 1 to 999, not 1000"):
        generate(real, "rain", num_inference_steps=1000)
    real.scheduler.set_timesteps(1000)
    assert max(real.scheduler.timesteps) == 1000


def test_ordinary_input_warns_of_nothing_and_a_negative_prompt_without_guidance_is_warned_of(pipe, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(pipe, PROMPT, negative_prompt="low quality", **SHORT)
    assert capfd.readouterr() == ("", "")
    with pytest.warns(UserWarning, match="negative_prompt is ignored") as caught:
        generate(pipe, "rain", negative_prompt="wind", guidance_scale=1, **SHORT)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_the_words_of_a_prompt_that_are_cut_are_named(pipe, capfd):
    words = "rain and wind, " * 12 + "a siren over thunder"
    with pytest.warns(UserWarning, match=r"has \d+ tokens, .* takes 64: .*'.*rain and wind,") as caught:
        clip = generate(pipe, words, **SHORT)
    assert len(caught) == 1 and "\n" not in str(caught[0].message) and caught[0].filename == __file__
    assert capfd.readouterr().err == ""  # none of the three messages of the plain pipeline
    assert snr_db(plain(pipe, words, 0, **SHORT), clip.waveform) > EXACT_DB


def test_output_that_is_no_sound_is_refused_and_silence_warned_of(pipe):
    factor = float("nan")
    handle = pipe.vocoder.register_forward_hook(lambda module, inputs, output: output * factor)
    with pytest.raises(RuntimeError, match='"rain" with seed 4'):
        generate(pipe, "rain", seed=4, **SHORT)
    factor = 1e-9
    with pytest.warns(UserWarning, match='"rain" with seed 0 is silent') as caught:
        generate(pipe, "rain", **SHORT)
    handle.remove()
    assert len(caught) == 1 and caught[0].filename == __file__


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_is_one_sentence_and_frees_the_batch(pipe, monkeypatch, error):
    held = []

    def forward(latents, *_, **__):
        held.append(weakref.ref(latents))
        raise error("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(pipe.unet, "forward", forward)
    with pytest.raises(MemoryError, match="2 x 0.6 s at once do not fit") as caught:
        generate(pipe, "rain", num_waveforms_per_prompt=2, **SHORT)
    assert "\n" not in str(caught.value) and caught.value.__context__ is None
    assert held[0]() is None


# ---- the package


def test_every_public_name_is_there_and_never_a_module():
    everything: dict = {}
    exec("from utils import *", everything)
    assert set(utils.__all__) <= set(everything) and set(utils.__all__) <= set(dir(utils))
    for path in Path(utils.__file__).parent.glob("[a-z]*.py"):
        import_module(f"utils.{path.stem}")
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

"""`generate` where something goes wrong: one sentence, before anything runs, and nothing left behind."""

from __future__ import annotations

import copy
import re
import sys
import warnings
import weakref

import diffusers
import pytest
import torch

from tests.test_generate import EXACT_DB, PROMPT, SHORT, plain, program
from tools.bench import snr_db
from utils import generate


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"prompt": " \n"}, ValueError, "prompt is empty"),
        ({"prompt": None}, TypeError, "None"),
        ({"prompt": []}, ValueError, "empty"),
        ({"prompt": ["rain", 3]}, TypeError, "3"),
        ({"prompt": ["rain"] * 65}, ValueError, "1 to 64 clips"),
        ({"prompt": "a \ud800 dog"}, ValueError, "surrogate"),
        ({"num_inference_steps": 1001}, ValueError, "from 1 to 1000, not 1001"),
        ({"num_inference_steps": True}, TypeError, "True"),
        ({"audio_length_in_s": 10_000}, ValueError, "not 10000 s"),
        ({"audio_length_in_s": float("nan")}, ValueError, "nan"),
        ({"guidance_scale": float("inf")}, ValueError, "inf"),
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


@pytest.mark.parametrize("given", ["mini-s-v2", None])
def test_what_is_no_pipeline_is_named(given):
    with pytest.raises(TypeError, match="load_pipeline"):
        generate(given, "rain")


def test_steps_are_limited_by_the_scheduler(pipe):
    real = copy.copy(pipe)  # the real checkpoints' schedule counts up from 1: its step 1000 does not exist
    real.scheduler = diffusers.DDIMScheduler(steps_offset=1, timestep_spacing="leading", clip_sample=False)
    with pytest.raises(ValueError, match="from 1 to 999, not 1000"):
        generate(real, "rain", num_inference_steps=1000)
    real.scheduler.set_timesteps(1000)
    assert max(real.scheduler.timesteps) == 1000


def test_ordinary_input_warns_of_nothing(pipe, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(pipe, PROMPT, negative_prompt="low quality", **SHORT)
    assert capfd.readouterr() == ("", "")


def test_a_negative_prompt_without_guidance_is_warned_of(pipe):
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


@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
def test_output_that_is_not_a_sound_is_refused(pipe, fault):
    handle = pipe.vocoder.register_forward_hook(lambda module, inputs, output: output * fault)
    with pytest.raises(RuntimeError, match='"rain" with seed 4'):
        generate(pipe, "rain", seed=4, **SHORT)
    handle.remove()


def test_silence_is_warned_of(pipe):
    handle = pipe.vocoder.register_forward_hook(lambda module, inputs, output: output * 1e-9)
    with pytest.warns(UserWarning, match='"rain" with seed 0 is silent') as caught:
        generate(pipe, "rain", **SHORT)
    handle.remove()
    assert len(caught) == 1 and caught[0].filename == __file__


def test_an_exception_in_the_callback_cancels_and_leaves_the_pipeline_as_it_was(pipe):
    seen = []

    def stop(step, timestep, latents):
        seen.append((step, tuple(latents.shape)))
        if step == 2:
            raise InterruptedError

    pipe.set_progress_bar_config(disable=True, desc="mine")
    with pytest.raises(InterruptedError):
        generate(pipe, "rain", num_inference_steps=50, audio_length_in_s=0.64, callback=stop)
    assert seen == [(step, (1, 8, 8, 8)) for step in range(3)]
    assert pipe._progress_bar_config == {"disable": True, "desc": "mine"}
    assert len(generate(pipe, "rain", **SHORT).waveform) == 10_240


def test_out_of_cuda_memory_is_one_sentence_and_frees_the_batch(pipe, monkeypatch):
    held = []

    def forward(latents, *_, **__):
        held.append(weakref.ref(latents))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(pipe.unet, "forward", forward)
    with pytest.raises(MemoryError, match="2 x 0.6 s at once do not fit") as caught:
        generate(pipe, "rain", num_waveforms_per_prompt=2, **SHORT)
    assert "\n" not in str(caught.value) and caught.value.__context__ is None
    assert held[0]() is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by setrlimit, as Linux counts it")
def test_real_shortage_of_memory_is_one_sentence_and_the_kernel_lives_on(random_checkpoint):
    said = program(f"""
        import resource
        from utils import generate, load_pipeline
        pipe = load_pipeline({str(random_checkpoint)!r})
        generate(pipe, "rain", audio_length_in_s=0.64, num_inference_steps=1)
        used = 1024 * int(open("/proc/self/status").read().split("VmSize:")[1].split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, resource.RLIM_INFINITY))
        try:
            generate(pipe, ["rain"] * 8, audio_length_in_s=60.0, num_inference_steps=1)
        except MemoryError as error:
            print(error)
        print(generate(pipe, "rain", audio_length_in_s=0.64, num_inference_steps=1))
    """)
    first, second = said.splitlines()
    assert first.startswith("Out of memory on cpu: 8 x 60.") and second.startswith("Clip: 0.64 s at 16 kHz")

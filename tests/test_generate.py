"""generate: the plain pipeline's sound, reproducible in any batch, and one clear sentence for whatever goes wrong."""

from __future__ import annotations

import copy
import gc
import re
import subprocess
import sys
import textwrap
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from utils import Request, encode_prompt, generate, generate_batch, generation, prompts

PROMPT = "Techno music with a strong, upbeat tempo and high melodic riffs"
EXACT_DB = 60  # signal-to-noise above which two waveforms count as equal to float tolerance


def snr_db(reference: np.ndarray, other: np.ndarray) -> float:
    noise = np.square(reference - other, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(reference, dtype=np.float64).sum() / max(noise, 1e-30)))


def plain(pipe, prompt, seed, **settings) -> np.ndarray:
    pipe.set_progress_bar_config(disable=True)
    return pipe(prompt, generator=torch.Generator("cpu").manual_seed(seed), **settings).audios[0]


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


def test_the_measure_of_equality_tells_two_seeds_and_two_prompts_apart(pipe):
    waveforms = [generate(pipe, p, seed=s, num_inference_steps=3).waveform for p, s in [("rain", 0), ("rain", 1)]]
    assert snr_db(*waveforms) < 10


def test_the_same_seed_gives_the_same_clip_and_another_another(pipe):
    first, again, other = (generate(pipe, "rain", seed=s, audio_length_in_s=1.0).waveform for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_is_the_same_for_every_dtype(pipe):
    reduced = copy.copy(pipe)
    reduced.unet = copy.deepcopy(pipe.unet).to(torch.bfloat16)

    def start(of) -> torch.Tensor:
        return generation._start(of, Request("rain", 5), 16, torch.Generator().manual_seed(5))

    assert start(pipe).shape == (1, 8, 16, 8)
    assert start(pipe).dtype == torch.float32 and torch.equal(start(reduced), start(pipe))


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


def test_one_negative_prompt_serves_all_prompts(pipe):
    clips = generate(pipe, ["rain", "wind"], negative_prompt="noise", num_inference_steps=1, audio_length_in_s=0.32)
    assert [clip.settings["negative_prompt"] for clip in clips] == ["noise", "noise"]


def test_a_batch_runs_in_one_call(pipe):
    batches = []
    handle = pipe.unet.register_forward_pre_hook(lambda module, inputs: batches.append(len(inputs[0])))
    try:
        requests = [Request("rain", 1), Request("wind", 2, "noise"), Request("rain", 9)]
        clips = generate_batch(pipe, requests, num_inference_steps=2, audio_length_in_s=0.64)
        generate(pipe, "rain", num_inference_steps=2, audio_length_in_s=0.64, guidance_scale=1)
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


@pytest.mark.parametrize("seconds", [0.08, 0.0801, 0.29, 0.57, 1, 1.23456, 2.5, 5.0, 10.24])
def test_any_length_has_the_samples_that_it_should(pipe, seconds):
    clip = generate(pipe, "rain", audio_length_in_s=seconds, num_inference_steps=1)
    assert len(clip.waveform) == round(seconds * 16_000)


# ---- encodings


def test_an_encoding_equals_the_pipelines_own_padded_one(pipe):
    padded = pipe._encode_prompt(PROMPT, pipe.device, 1, False)
    assert torch.allclose(encode_prompt(pipe, PROMPT), padded, atol=1e-5)
    assert not torch.allclose(encode_prompt(pipe, "rain"), padded, atol=1e-2)


def count_encodings(pipe, prompts) -> int:
    calls = []
    handle = pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    for prompt in prompts:
        encode_prompt(pipe, prompt)
    handle.remove()
    return len(calls)


def test_a_prompt_is_encoded_once(pipe):
    assert count_encodings(pipe, ["a new one", "a new one", "another", "a new one"]) == 2


def test_another_text_encoder_or_tokenizer_is_noticed(pipe):
    before = encode_prompt(pipe, PROMPT)
    changed = copy.copy(pipe)
    changed.text_encoder = copy.deepcopy(pipe.text_encoder)
    with torch.no_grad():
        changed.text_encoder.text_projection.linear2.bias += 1
    assert not torch.allclose(encode_prompt(changed, PROMPT), before, atol=1e-2)
    changed.text_encoder, changed.tokenizer = pipe.text_encoder, lambda text, **_: pipe.tokenizer("rain")
    changed.tokenizer.model_max_length = 64
    assert torch.equal(encode_prompt(changed, PROMPT), encode_prompt(pipe, "rain"))
    assert torch.equal(encode_prompt(pipe, PROMPT), before)


def test_the_cache_is_bounded_and_goes_with_the_text_encoder(pipe, monkeypatch):
    monkeypatch.setattr(prompts, "CACHED_PROMPTS", 3)
    other = copy.copy(pipe)
    other.text_encoder = copy.deepcopy(pipe.text_encoder)
    assert count_encodings(other, "abcd") == 4
    assert len(prompts._encodings[other.text_encoder]) == 3
    assert count_encodings(other, "bcd") == 0
    assert count_encodings(other, "a") == 1
    held = weakref.ref(other.text_encoder)
    del other
    gc.collect()
    assert held() is None


# ---- what goes wrong, in one sentence


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"prompt": ""}, ValueError, "prompt is empty"),
        ({"prompt": " \n"}, ValueError, "prompt is empty"),
        ({"prompt": None}, TypeError, "string or a list of strings, not None"),
        ({"prompt": 7}, TypeError, "string or a list of strings, not 7"),
        ({"prompt": []}, ValueError, "empty list"),
        ({"prompt": ["rain", 3]}, TypeError, "must be a string, not 3"),
        ({"prompt": ["rain", ""]}, ValueError, "prompt is empty"),
        ({"prompt": ["rain"] * 65}, ValueError, "1 to 64 clips, not 65"),
        ({"num_inference_steps": 0}, ValueError, "num_inference_steps must be from 1 to 1000, not 0"),
        ({"num_inference_steps": 1001}, ValueError, "from 1 to 1000, not 1001"),
        ({"num_inference_steps": 10.0}, TypeError, "whole number from 1 to 1000, not 10.0"),
        ({"num_inference_steps": True}, TypeError, "whole number"),
        ({"num_inference_steps": "10"}, TypeError, "not '10'"),
        ({"audio_length_in_s": -1}, ValueError, "audio_length_in_s must be from 0.08 to 60 s, not -1 s"),
        ({"audio_length_in_s": 0}, ValueError, "from 0.08 to 60 s, not 0 s"),
        ({"audio_length_in_s": 10_000}, ValueError, "from 0.08 to 60 s, not 10000 s"),
        ({"audio_length_in_s": float("nan")}, ValueError, "not nan s"),
        ({"audio_length_in_s": float("inf")}, ValueError, "not inf s"),
        ({"audio_length_in_s": "5"}, TypeError, "number from 0.08 to 60 s, not '5'"),
        ({"guidance_scale": -0.1}, ValueError, "guidance_scale must be from 0 to 50, not -0.1"),
        ({"guidance_scale": float("nan")}, ValueError, "guidance_scale must be from 0 to 50, not nan"),
        ({"guidance_scale": None}, TypeError, "guidance_scale must be a number"),
        ({"negative_prompt": 5}, TypeError, "negative_prompt must be a string, not 5"),
        ({"negative_prompt": [5]}, TypeError, "negative_prompt must be a string, not 5"),
        ({"negative_prompt": ["a", "b"]}, ValueError, "negative_prompt has 2 entries for 1 prompt"),
        ({"num_waveforms_per_prompt": 0}, ValueError, "num_waveforms_per_prompt must be from 1 to 64, not 0"),
        ({"seed": -1}, ValueError, "seed must be from 0 to 4294967295, not -1"),
        ({"seed": 1.5}, TypeError, "seed must be a whole number"),
        ({"seed": None}, TypeError, "seed must be a whole number"),
    ],
)
def test_bad_input_ends_in_one_sentence_before_anything_runs(pipe, arguments, error, says):
    encoded = []
    handle = pipe.text_encoder.register_forward_hook(lambda *_: encoded.append(1))
    with pytest.raises(error, match=re.escape(says)) as caught:
        generate(pipe, **{"prompt": "rain", **arguments})
    handle.remove()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200 and not encoded


def test_steps_are_limited_by_the_scheduler(pipe):
    from diffusers import DDIMScheduler

    real = copy.copy(pipe)  # the real checkpoints' schedule counts up from 1: its step 1000 does not exist
    real.scheduler = DDIMScheduler(
        num_train_timesteps=1000, steps_offset=1, timestep_spacing="leading", clip_sample=False
    )
    with pytest.raises(ValueError, match="from 1 to 999, not 1000"):
        generate(real, "rain", num_inference_steps=1000)
    real.scheduler.set_timesteps(999)
    assert max(real.scheduler.timesteps) < 1000
    real.scheduler.set_timesteps(1000)
    assert max(real.scheduler.timesteps) == 1000


def test_ordinary_input_warns_of_nothing(pipe, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(pipe, PROMPT, negative_prompt="low quality", num_inference_steps=2, audio_length_in_s=0.5)
    assert capfd.readouterr() == ("", "")


def test_a_negative_prompt_without_guidance_is_warned_of(pipe):
    with pytest.warns(UserWarning, match="negative_prompt is ignored: guidance_scale 1 is not over 1") as caught:
        generate(pipe, "rain", negative_prompt="wind", guidance_scale=1, num_inference_steps=1, audio_length_in_s=0.32)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_the_words_of_a_prompt_that_are_cut_are_named(pipe, capfd):
    words = "rain and wind, " * 12 + "a siren over thunder"
    with pytest.warns(UserWarning, match=r"has \d+ tokens, .* takes 64: it does not see '.*rain and wind,") as caught:
        clip = generate(pipe, words, num_inference_steps=1, audio_length_in_s=0.32)
    assert len(caught) == 1 and "\n" not in str(caught[0].message) and caught[0].filename == __file__
    assert capfd.readouterr().err == ""  # none of the three messages of the plain pipeline
    reference = plain(pipe, words, 0, num_inference_steps=1, audio_length_in_s=0.32)
    assert snr_db(reference, clip.waveform) > EXACT_DB


def test_output_that_is_not_a_sound_is_refused(pipe):
    bias = pipe.unet.conv_out.bias
    before = bias.detach().clone()
    try:
        with torch.no_grad():
            bias[0] = float("nan")
        with pytest.raises(RuntimeError, match=r'"rain" with seed 4 is not a sound \(NaN or infinite samples\)\.'):
            generate(pipe, "rain", seed=4, num_inference_steps=1, audio_length_in_s=0.32)
    finally:
        with torch.no_grad():
            bias.copy_(before)
    generate(pipe, "rain", seed=4, num_inference_steps=1, audio_length_in_s=0.32)


def test_a_reduced_dtype_that_overflows_is_told_what_to_try():
    with pytest.raises(RuntimeError, match="float16 overflowed, try dtype float32"):
        generation._checked_audio(np.full(9, np.inf, np.float32), {"prompt": "rain", "seed": 0, "dtype": "float16"})


def test_silence_is_warned_of(pipe):
    handle = pipe.vocoder.register_forward_hook(lambda module, inputs, output: output * 1e-9)
    try:
        with pytest.warns(UserWarning, match=r'The clip for "rain" with seed 0 is silent \(peak ') as caught:
            generate(pipe, "rain", num_inference_steps=1, audio_length_in_s=0.32)
    finally:
        handle.remove()
    assert len(caught) == 1 and caught[0].filename == __file__


def test_an_exception_in_the_callback_cancels_and_leaves_the_pipeline_as_it_was(pipe):
    class Cancelled(Exception):
        pass

    seen = []

    def stop(step, timestep, latents):
        seen.append((step, tuple(latents.shape)))
        if step == 2:
            raise Cancelled

    pipe.set_progress_bar_config(disable=True, desc="mine")
    with pytest.raises(Cancelled):
        generate(pipe, "rain", num_inference_steps=50, audio_length_in_s=0.64, callback=stop)
    assert seen == [(step, (1, 8, 8, 8)) for step in range(3)]
    assert pipe._progress_bar_config == {"disable": True, "desc": "mine"}
    assert len(generate(pipe, "rain", num_inference_steps=1, audio_length_in_s=0.64).waveform) == 10_240


def test_the_progress_bar_is_hidden_and_comes_back_for_the_plain_pipeline(pipe, capfd):
    fresh = copy.copy(pipe)
    fresh.__dict__.pop("_progress_bar_config", None)
    generate(fresh, "rain", num_inference_steps=2, audio_length_in_s=0.32)
    assert capfd.readouterr().err == ""
    fresh("rain", num_inference_steps=2, audio_length_in_s=0.32)
    assert "2/2" in capfd.readouterr().err


def test_out_of_cuda_memory_is_one_sentence_and_frees_the_batch(pipe, monkeypatch):
    held = []

    def forward(latents, *_, **__):
        held.append(weakref.ref(latents))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(pipe.unet, "forward", forward)
    with pytest.raises(
        MemoryError, match=r"Out of memory on cpu: 2 x 0.6 s at once do not fit; lower audio_length"
    ) as caught:
        generate(pipe, "rain", num_waveforms_per_prompt=2, num_inference_steps=1, audio_length_in_s=0.64)
    assert "\n" not in str(caught.value) and caught.value.__context__ is None
    assert held[0]() is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by setrlimit, as Linux counts it")
def test_real_shortage_of_memory_is_one_sentence_and_the_kernel_lives_on(random_checkpoint):
    program = f"""
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
    """
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=root, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().splitlines()
    assert first.startswith("Out of memory on cpu: 8 x 60.") and second.startswith("Clip: 0.64 s at 16 kHz")


# ---- the package


def test_importing_utils_loads_next_to_nothing():
    program = "import sys; sys.stdlib = set(sys.modules); import utils; print(*(set(sys.modules) - sys.stdlib))"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names
    assert loaded <= {"utils"}


def test_every_public_name_is_there_and_never_a_module():
    import utils

    everything: dict = {}
    exec("from utils import *", everything)
    assert set(utils.__all__) <= set(everything) and set(utils.__all__) <= set(dir(utils))
    for path in Path(utils.__file__).parent.glob("[a-z]*.py"):
        __import__(f"utils.{path.stem}")
    modules = {name for name in utils.__all__ if type(getattr(utils, name)).__name__ == "module"}
    assert modules == {"plots"}
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = utils.nonsense


def test_librosa_works_where_no_cache_can_be_written(tmp_path):
    program = """
        import os
        os.environ.pop("NUMBA_CACHE_DIR", None)
        os.access = lambda *_: False  # as in a read-only environment without a home
        import utils
        del os.access
        print(os.environ["NUMBA_CACHE_DIR"], os.environ["OMP_WAIT_POLICY"])
    """
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=root, capture_output=True, text=True)
    folder, policy = done.stdout.split()
    assert "numba-" in folder and policy.upper() == "PASSIVE", done.stderr


def test_bfloat16_is_announced_where_the_processor_has_no_units_for_it(random_checkpoint, capsys, monkeypatch):
    from utils import device

    for has in (True, False):
        monkeypatch.setattr(device, "has_bfloat16_units", lambda has=has: has)
        device.best_dtype("bfloat16", "cpu")
        assert ("has no units for bfloat16" in capsys.readouterr().out) is not has

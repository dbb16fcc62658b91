"""The same seed gives the same clip: under every scheduler, in any of torch's modes, from any thread or process."""

from __future__ import annotations

import copy
import multiprocessing
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import diffusers
import numpy as np
import pytest
import torch

from tests.test_generate import plain, program
from utils import (
    Clip,
    Request,
    begin_with,
    decode_latents,
    encode_audio,
    encode_prompt,
    generate,
    generate_batch,
    sweep,
)

SHORT = {"num_inference_steps": 4, "audio_length_in_s": 0.64}
SCHEDULERS = [name for name in dir(diffusers) if name.endswith("Scheduler") and "Flax" not in name]


@pytest.fixture
def own(pipe):
    """The pipeline with parts of its own to exchange."""
    return diffusers.AudioLDMPipeline(**pipe.components)


# ---- schedulers


@pytest.mark.parametrize("name", [*SCHEDULERS, "DPMSolverMultistepScheduler sde"])
def test_a_clip_does_not_depend_on_its_batch_under_any_scheduler(own, name):
    name, *sde = name.split()
    try:
        more = {"algorithm_type": "sde-dpmsolver++"} if sde else {}
        own.scheduler = getattr(diffusers, name).from_config(own.scheduler.config, **more)
    except Exception as error:
        pytest.skip(f"cannot be made from AudioLDM's configuration: {type(error).__name__}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            batch = generate_batch(own, [Request("a bell", 9), Request("rain", 3), Request("rain", 4)], **SHORT)
        except ValueError as error:
            assert str(error).startswith(f"AudioLDM cannot be sampled with {name}")
            return
        alone = generate(own, "rain", seed=3, **SHORT)
    assert np.abs(batch[1].waveform - alone.waveform).max() < 1e-3 * max(1, alone.peak)
    assert np.abs(batch[2].waveform - alone.waveform).max() > 1e-3 * alone.peak


def test_a_stochastic_scheduler_gives_what_the_plain_pipeline_gives(own):
    own.scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(own.scheduler.config)
    assert np.abs(generate(own, "rain", seed=5, **SHORT).waveform - plain(own, "rain", 5, **SHORT)).max() < 1e-3


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "HeunDiscreteScheduler"])
def test_latents_that_a_scheduler_would_multiply_are_refused_by_its_name(own, name):
    own.scheduler = getattr(diffusers, name).from_config(own.scheduler.config)
    noise = torch.randn(1, 8, 8, 8)
    with pytest.raises(ValueError, match=name):
        generate(own, "rain", latents=noise, **SHORT)
    with pytest.raises(ValueError, match=name):
        generate_batch(own, [Request("rain"), Request("rain", latents=noise)], **SHORT)
    assert generate(own, "rain", **SHORT).peak > 0


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"])
def test_a_late_beginning_is_at_the_level_of_its_step(own, name):
    own.scheduler = getattr(diffusers, name).from_config(own.scheduler.config)
    clip = Clip(0.1 * np.random.default_rng(0).standard_normal(10_240))
    seen = {}

    def watch(step, timestep, now):
        begin(step, timestep, now)
        seen[step] = now.clone()

    begin = begin_with(own, clip, 0.25, **SHORT, seed=0)
    generate(own, "rain", callback=watch, **SHORT)
    own.scheduler.set_timesteps(4)
    level = own.scheduler.timesteps[3 * own.scheduler.order :][:1]
    noise = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    repeated = encode_audio(own, Clip(np.resize(clip.waveform, 26_240)))[:, :, :8]
    assert torch.allclose(seen[2], own.scheduler.add_noise(repeated, noise, level), rtol=1e-4, atol=1e-4)
    assert not torch.equal(seen[3], seen[2])


def test_a_late_beginning_for_another_call_is_refused(pipe):
    clip = Clip(np.ones(10_240))
    for other in ({"num_inference_steps": 8}, {"audio_length_in_s": 5.12}):
        begin = begin_with(pipe, clip, 0.5, **SHORT, seed=0)
        with pytest.raises(ValueError, match="begin_with"):
            generate(pipe, "rain", callback=begin, **{**SHORT, **other})
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="strength"):
            begin_with(pipe, clip, strength, **SHORT, seed=0)
    for given, length in (("a.wav", 0.64), ([clip], 0.64), (clip, "1"), (clip, float("inf"))):
        with pytest.raises((TypeError, ValueError), match="begin_with takes one Clip|audio_length_in_s"):
            begin_with(pipe, given, 0.5, num_inference_steps=4, audio_length_in_s=length, seed=0)


# ---- torch's modes


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("mode", [autocast, torch.inference_mode, torch.enable_grad])
def test_torchs_modes_neither_change_a_call_nor_its_results(pipe, mode):
    expected = generate(pipe, "a flute", seed=1, **SHORT)
    latents, said = encode_audio(pipe, expected), encode_prompt(pipe, "a flute")
    with mode():
        assert np.array_equal(generate(pipe, "a flute", seed=1, **SHORT).waveform, expected.waveform)
        inside = encode_audio(pipe, expected), encode_prompt(pipe, "a flute")
        back = decode_latents(pipe, latents)
    assert np.array_equal(back.waveform, decode_latents(pipe, latents).waveform)
    for found, right in zip(inside, (latents, said), strict=True):
        assert torch.equal(found, right) and found.dtype == torch.float32
        assert not found.is_inference() and not found.requires_grad
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_a_thread_that_begins_in_a_clip_has_the_threads_of_all_others(pipe):
    before, found = torch.get_num_threads(), []
    with ThreadPoolExecutor(4) as pool:
        begin = lambda *_: found.append(pool.submit(torch.get_num_threads))  # noqa: E731
        generate(pipe, "rain", callback=begin, **SHORT)
    assert [future.result() for future in found] == [before] * 4 and torch.get_num_threads() == before


# ---- threads and callbacks


def test_threads_share_a_pipeline_or_its_scheduler_and_get_their_own_clips(own):
    own.scheduler = diffusers.UniPCMultistepScheduler.from_config(own.scheduler.config)
    twin = copy.copy(own)
    alone = [generate(own, "rain", seed=seed, **SHORT).waveform for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        pipes = [own, twin] * 3
        together = pool.map(lambda s: generate(pipes[s], "rain", seed=s, **SHORT).waveform, range(6))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_callback_may_listen_but_not_begin_another_clip(pipe):
    heard = []
    generate(pipe, "rain", callback=lambda step, t, now: heard.append(decode_latents(pipe, now)), **SHORT)
    assert len(heard) == 4 and heard[0].duration == 0.64
    for begin in (
        lambda *_: generate(pipe, "a bell", **SHORT),
        lambda *_: generate(copy.copy(pipe), "a bell", **SHORT),
        lambda *_: sweep(pipe, "a bell", seeds=0, progress=False, **SHORT),
    ):
        with pytest.raises(RuntimeError, match="in the middle of a clip"):
            generate(pipe, "rain", callback=begin, **SHORT)
    assert generate(pipe, "rain", **SHORT).peak > 0


def test_two_callbacks_that_want_each_others_pipelines_do_not_wait_for_ever(own):
    other = diffusers.AudioLDMPipeline(**own.components)
    other.scheduler = diffusers.DDIMScheduler.from_config(own.scheduler.config)
    both, said = threading.Barrier(2, timeout=60), []

    def cross(mine, wanted):
        def callback(step, timestep, latents):
            if step == 0:
                both.wait()
                sweep(wanted, "rain", seeds=0, progress=False, **SHORT)

        try:
            generate(mine, "rain", callback=callback, **SHORT)
        except RuntimeError as error:
            said.append("in the middle of a clip" in str(error))

    threads = [threading.Thread(target=cross, args=pair, daemon=True) for pair in ((own, other), (other, own))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads) and said and all(said)


# ---- processes


@pytest.mark.slow
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_forked_workers_do_not_wait_for_threads_that_are_not_there(random_checkpoint, tmp_path):
    said = program(f"""
        import multiprocessing, os
        os.environ.pop("OMP_NUM_THREADS", None)
        import torch
        from concurrent.futures import ProcessPoolExecutor
        from utils import generate, load_pipeline, sweep
        pipe = load_pipeline({str(random_checkpoint)!r})
        torch.set_num_threads(2)
        torch.randn(400, 400) @ torch.randn(400, 400)  # two threads have worked
        generate(pipe, "rain", num_inference_steps=1, audio_length_in_s=0.64)
        with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            grid = dict(num_inference_steps=2, audio_length_in_s=0.64, seeds=range(4), batch_size=1, progress=False)
            print(len(sweep({str(random_checkpoint)!r}, "rain", folder={str(tmp_path)!r}, executor=pool, **grid)))
    """)
    assert said == "4"

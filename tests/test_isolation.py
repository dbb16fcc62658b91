"""The same seed gives the same clip: under every scheduler, whatever torch is set to, from any thread or process."""

from __future__ import annotations

import copy
import multiprocessing
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from utils import Request, encode_audio, encode_prompt, generate, generate_batch

SHORT = {"num_inference_steps": 4, "audio_length_in_s": 0.64}
ROOT = Path(__file__).parents[1]
SCHEDULERS = sorted(
    name
    for name in dir(diffusers)
    if name.endswith("Scheduler") and issubclass(getattr(diffusers, name), diffusers.SchedulerMixin)
)


@pytest.fixture
def own(pipe):
    """The pipeline with parts of its own to exchange."""
    mine = diffusers.AudioLDMPipeline(**pipe.components)
    yield mine


@pytest.mark.parametrize("name", [*SCHEDULERS, "DPMSolverMultistepScheduler sde"])
def test_the_same_seed_gives_the_same_clip_under_every_scheduler(own, name):
    name, *sde = name.split()
    try:
        more = {"algorithm_type": "sde-dpmsolver++"} if sde else {}
        own.scheduler = getattr(diffusers, name).from_config(own.scheduler.config, **more)
    except Exception as error:
        pytest.skip(f"cannot be made from AudioLDM's configuration: {type(error).__name__}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            first = generate(own, "rain", seed=3, **SHORT)
        except ValueError as error:
            assert str(error).startswith(f"AudioLDM cannot be sampled with {name}")
            return
        again = generate(own, "rain", seed=3, **SHORT)
        batch = generate_batch(own, [Request("a bell", 9), Request("rain", 3), Request("rain", 4)], **SHORT)
    assert np.array_equal(first.waveform, again.waveform)
    assert np.abs(batch[1].waveform - first.waveform).max() < 1e-3 * max(1, first.peak)
    assert np.abs(batch[2].waveform - first.waveform).max() > 1e-3 * first.peak


def test_a_stochastic_scheduler_gives_what_the_plain_pipeline_gives(own):
    own.scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(own.scheduler.config)
    own.set_progress_bar_config(disable=True)
    plain = own("rain", generator=torch.Generator("cpu").manual_seed(5), **SHORT).audios[0]
    assert np.abs(generate(own, "rain", seed=5, **SHORT).waveform - plain).max() < 1e-3


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "gradients": torch.enable_grad,
    "default device": lambda: torch.device("meta"),
    "a device that is not there": lambda: torch.device("xpu"),
    "default dtype": lambda: _default_dtype(torch.float64),
}


class _default_dtype:
    def __init__(self, dtype):
        self.dtype = dtype

    def __enter__(self):
        torch.set_default_dtype(self.dtype)

    def __exit__(self, *_):
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("setting", SETTINGS)
def test_torchs_global_settings_neither_change_a_call_nor_stay_in_what_is_kept(pipe, setting):
    expected = generate(pipe, "a flute", seed=1, **SHORT).waveform
    latents = encode_audio(pipe, generate(pipe, "a flute", seed=1, **SHORT))
    new = f"a flute by {setting}"
    with SETTINGS[setting]():
        inside = generate(pipe, "a flute", seed=1, **SHORT).waveform
        encode_prompt(pipe, new)
        seen = encode_audio(pipe, generate(pipe, "a flute", seed=1, **SHORT))
        dtype = torch.get_default_dtype()
    assert dtype == (torch.float64 if setting == "default dtype" else torch.float32)
    assert np.array_equal(inside, expected) and torch.equal(seen, latents)
    kept = encode_prompt(pipe, new)
    assert kept.dtype == torch.float32 and not kept.is_inference() and not kept.requires_grad
    fresh = copy.deepcopy(pipe.text_encoder)
    tokens = torch.tensor([pipe.tokenizer(new).input_ids])
    with torch.no_grad():
        right = torch.nn.functional.normalize(fresh(tokens).text_embeds, dim=-1)
    assert torch.equal(kept, right)


def test_nothing_of_torchs_settings_is_changed_by_a_call(pipe):
    threads = torch.get_num_threads()
    generate(pipe, "rain", **SHORT)
    assert torch.get_num_threads() == threads and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_two_threads_share_a_pipeline_and_get_their_own_clips(own):
    own.scheduler = diffusers.UniPCMultistepScheduler.from_config(own.scheduler.config)
    alone = [generate(own, "rain", seed=seed, **SHORT).waveform for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda seed: generate(own, "rain", seed=seed, **SHORT).waveform, range(6)))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_clip_within_a_clips_callback_is_refused_in_one_sentence(pipe):
    with pytest.raises(RuntimeError, match="^This pipeline is in the middle of a clip: load a second one"):
        generate(pipe, "rain", callback=lambda *_: generate(pipe, "a bell", **SHORT), **SHORT)
    assert generate(pipe, "rain", **SHORT).peak > 0


def test_default_dtypes_of_two_threads_do_not_mix(pipe):
    torch.set_default_dtype(torch.float64)
    try:
        threads = [threading.Thread(target=encode_prompt, args=(pipe, f"rain {i}")) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


# ---- what a call may be given besides


def test_latents_are_where_a_clip_begins(pipe):
    noise = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(7))
    clip = generate(pipe, "rain", latents=noise, seed=1, **SHORT)
    assert np.array_equal(clip.waveform, generate(pipe, "rain", seed=7, **SHORT).waveform)
    assert generate(pipe, "rain", latents=noise, num_inference_steps=2).duration == 0.64
    with pytest.raises(ValueError, match=r"latents must have the shape \(1, 8, 8, 8\), not \(1, 4, 8, 8\)"):
        generate(pipe, "rain", latents=noise[:, :4], **SHORT)


def test_an_embedding_stands_for_the_prompt(pipe):
    said = encode_prompt(pipe, "a dog barking")
    expected = generate(pipe, "a dog barking", **SHORT).waveform
    for given in (said, said[0], said.numpy(), said.double().requires_grad_()):
        clip = generate(pipe, "my dog", prompt_embeds=given, **SHORT)
        assert np.array_equal(clip.waveform, expected) and clip.settings["prompt"] == "my dog"
    with pytest.raises(ValueError, match=r"prompt_embeds must have the shape \(1, 64\), not \(1, 63\)"):
        generate(pipe, "my dog", prompt_embeds=said[:, 1:], **SHORT)


def test_what_a_callback_writes_is_what_the_next_step_goes_on_with(pipe):
    def silence(step, timestep, latents):
        latents.zero_()

    clips = [generate(pipe, "rain", seed=seed, callback=silence, **SHORT).waveform for seed in (1, 2)]
    assert np.array_equal(*clips)


@pytest.mark.parametrize("prompt", ["a \ud800 dog", "\udfff"])
def test_half_a_surrogate_is_one_sentence(pipe, prompt):
    with pytest.raises(ValueError, match="^prompt has a character that is none, at place"):
        generate(pipe, prompt, **SHORT)


# ---- processes


forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")


def last_word(program: str, **options) -> str:
    """What a program in a process of its own prints last."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0 and done.stdout, done.stderr
    return done.stdout.split()[-1]


@pytest.mark.slow
@forks
def test_forked_workers_do_not_wait_for_threads_that_are_not_there(random_checkpoint, tmp_path):
    program = f"""
        import multiprocessing, torch
        from concurrent.futures import ProcessPoolExecutor
        from utils import generate, load_pipeline, sweep
        torch.set_num_threads(2)
        torch.randn(400, 400) @ torch.randn(400, 400)  # two threads have worked
        generate(load_pipeline({str(random_checkpoint)!r}), "rain", num_inference_steps=1, audio_length_in_s=0.64)
        with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            grid = dict(num_inference_steps=2, audio_length_in_s=0.64, seeds=range(4), batch_size=1, progress=False)
            print(len(sweep({str(random_checkpoint)!r}, "rain", folder={str(tmp_path)!r}, executor=pool, **grid)))
    """
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}  # without OMP_NUM_THREADS
    assert last_word(program, env=environment) == "4"


AMID = {  # what another thread of the parent does when a process is forked
    "nothing": "held.set()",
    "a bar": "with tqdm.get_lock(): pause()",
    "a sweep": "sweep(pipe, 'rain', folder=folder + '/one', seeds=1, **short)",
}


@pytest.mark.slow
@forks
@pytest.mark.parametrize("amid", AMID)
def test_a_forked_process_waits_for_no_lock_and_leaves_none(random_checkpoint, tmp_path, amid):
    """Killed for want of memory amid a bar, it left a lock that nobody could open any more: the sweep stood still."""
    program = f"""
        import os, signal, threading
        from tqdm.auto import tqdm
        from utils import generate, load_pipeline, sweep
        pipe, folder = load_pipeline({str(random_checkpoint)!r}), {str(tmp_path)!r}
        short = dict(num_inference_steps=1, audio_length_in_s=0.64)
        generate(pipe, "rain", **short)  # tqdm has its lock
        held, done = threading.Event(), threading.Event()
        def pause(*_):
            held.set()
            done.wait()
        pipe.vocoder.register_forward_hook(pause)
        def work():
            {AMID[amid]}
        other = threading.Thread(target=work)
        other.start()
        held.wait()
        if (child := os.fork()) == 0:
            done.set()
            sweep(pipe, "rain", folder=folder + "/two", seeds=1, **short)
            tqdm.get_lock().acquire()
            os.kill(os.getpid(), signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        done.set()
        other.join()
        print(len(sweep(pipe, "rain", folder=folder + "/three", seeds=[1, 2], **short)))
    """
    assert last_word(program) == "2"

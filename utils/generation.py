"""From prompts to clips: one call of the unmodified pipeline, fed with cached text encodings and seeded noise.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import gc
import math
import re
import reprlib
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AudioLDMPipeline

from .checks import number, warn, whole
from .clip import Clip
from .files import shorten
from .isolation import isolated, one_call_at_a_time
from .loading import checkpoint_name, cpu_threads
from .prompts import MAX_SEED, Request, embedding_of, encode_prompt

MAX_SECONDS = 60.0  # of audio: the checkpoints were trained on about ten
MAX_GUIDANCE = 50.0
MAX_BATCH = 64  # clips in one call
SILENCE = 1e-3  # a peak below this, -60 dB, is not heard


def generate(
    pipe: AudioLDMPipeline,
    prompt: str | Sequence[str],
    *,
    num_inference_steps: int = 10,
    audio_length_in_s: float = 5.0,
    guidance_scale: float = 2.5,
    negative_prompt: str | Sequence[str] | None = None,
    num_waveforms_per_prompt: int = 1,
    seed: int = 0,
    prompt_embeds: torch.Tensor | np.ndarray | None = None,
    latents: torch.Tensor | None = None,
    callback: Callable[[int, int, torch.Tensor], None] | None = None,
) -> Clip | list[Clip]:
    """Turn a prompt into sound with the pipeline's own call; the same seed gives the same clip.

    The parameters are those of `AudioLDMPipeline.__call__`, and so is the result: the plain pipeline, given
    `generator=torch.Generator("cpu").manual_seed(seed)`, makes the same waveform more slowly. That holds for every
    scheduler, those too that draw noise at each step. One pipeline makes one call at a time: other threads wait. A mini
    on a CPU uses one thread meanwhile, where OMP_NUM_THREADS is not set: a second one gains it nothing.

    Args:
        pipe: a loaded pipeline (`load_pipeline`).
        prompt: what to hear, or a list of prompts, which are generated in one batch.
        num_inference_steps: denoising steps, 1 to the scheduler's number of training steps (1000).
        audio_length_in_s: seconds, from one latent frame (0.04 s; mini: 0.08 s) to 60 s.
        guidance_scale: how strongly the prompt is followed, 0 to 50; at 1 or less guidance is off.
        negative_prompt: what not to hear; one for all prompts, or a list with one for each.
        num_waveforms_per_prompt: clips for each prompt.
        seed: of the first clip of each prompt, 0 to 2**32 - 1; clip i uses `seed + i`.
        prompt_embeds: instead of the encoding of `prompt`, which then is a label only: shape (width of the text
            encoder's projection,) or (1, width), for example a row of `clap_embed`. Explained in lesson 07.
        latents: what to start from instead of the seed's noise, (1, channels, frames, bands); they set the length where
            they are shorter or longer than `audio_length_in_s`. Explained in lesson 07.
        callback: called as `callback(step, timestep, latents)` after every step; what it writes into `latents` is
            what the next step goes on with; an exception raised in it cancels.

    Returns:
        A `Clip`; a list of them, prompt by prompt, if `prompt` is a list or `num_waveforms_per_prompt` is over 1.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of range.
        MemoryError: the batch does not fit in memory.
        RuntimeError: the model put out NaN or infinity.

    Explained in lesson 01.
    """
    prompts = [prompt] if isinstance(prompt, str) else _checked_prompts(prompt)
    negatives = negative_prompt if isinstance(negative_prompt, (list, tuple)) else [negative_prompt] * len(prompts)
    if len(negatives) != len(prompts):
        raise ValueError(
            f"negative_prompt has {len(negatives)} entries for {len(prompts)} prompts: "
            "give one for each, or one string for all."
        )
    count = whole("num_waveforms_per_prompt", num_waveforms_per_prompt, 1, MAX_BATCH)
    seed = whole("seed", seed, 0, MAX_SEED)
    clips = generate_batch(
        pipe,
        [
            Request(p, seed + i, n, prompt_embeds, latents)
            for p, n in zip(prompts, negatives, strict=True)
            for i in range(count)
        ],
        num_inference_steps=num_inference_steps,
        audio_length_in_s=audio_length_in_s,
        guidance_scale=guidance_scale,
        callback=callback,
    )
    return clips[0] if isinstance(prompt, str) and count == 1 else clips


def generate_batch(
    pipe: AudioLDMPipeline,
    requests: Sequence[Request],
    *,
    num_inference_steps: int = 10,
    audio_length_in_s: float = 5.0,
    guidance_scale: float = 2.5,
    callback: Callable[[int, int, torch.Tensor], None] | None = None,
) -> list[Clip]:
    """Generate clips that differ in prompt, seed and negative prompt in one batch; see `generate`.

    Each clip is, to float tolerance, the one that `generate` makes of it alone. A clip's `seconds` are its equal
    share of the time that the batch took. Explained in lesson 03.
    """
    if not 1 <= len(requests) <= MAX_BATCH:
        raise ValueError(f"A batch holds 1 to {MAX_BATCH} clips, not {len(requests)}.")
    schedule = pipe.scheduler.config
    offset = schedule.get("steps_offset", 0) if schedule.get("timestep_spacing") == "leading" else 0
    steps = whole("num_inference_steps", num_inference_steps, 1, schedule.num_train_timesteps - offset)
    guidance = number("guidance_scale", guidance_scale, 0.0, MAX_GUIDANCE)
    hop = int(np.prod(pipe.vocoder.config.upsample_rates))
    rate = pipe.vocoder.config.sampling_rate
    frame = hop * pipe.vae_scale_factor  # samples in one latent frame
    length = number("audio_length_in_s", audio_length_in_s, frame / rate, MAX_SECONDS, " s")
    samples = round(length * rate)
    guided = guidance > 1
    if not guided and any(request.negative_prompt for request in requests):
        warn(f"negative_prompt is ignored: guidance_scale {guidance:g} is not over 1.")

    start = time.perf_counter()
    frames = math.ceil(samples / frame)
    given = {r.latents.shape[2] for r in requests if r.latents is not None and r.latents.dim() == 4}
    if given and given != {frames}:
        frames = given.pop()
        samples, length = frames * frame, frames * frame / rate
    dtype = pipe.unet.dtype  # diffusers looks through all its modules for it
    with one_call_at_a_time(pipe), isolated(cpu_threads(pipe)):
        drawn = [torch.Generator("cpu").manual_seed(int(r.seed)) for r in requests]
        audios = _call(
            pipe,
            [int(r.seed) for r in requests],
            prompt_embeds=torch.cat([embedding_of(pipe, r) for r in requests]),
            negative_prompt_embeds=torch.cat([encode_prompt(pipe, r.negative_prompt or "") for r in requests])
            if guided
            else None,
            latents=torch.cat([_start(pipe, r, frames, d) for r, d in zip(requests, drawn, strict=True)]).to(dtype),
            generator=drawn,  # a scheduler that draws noise goes on with each clip's own
            # the pipeline rounds down; half a mel frame more than the latents hold stays clear of 0.29 * 100 = 28.99...
            audio_length_in_s=(frames * pipe.vae_scale_factor + 0.5) * hop / rate,
            num_inference_steps=steps,
            guidance_scale=guidance,
            callback=callback,
        )
    seconds = (time.perf_counter() - start) / len(requests)
    clips = []
    for request, audio in zip(requests, audios, strict=True):
        settings = {
            "checkpoint": checkpoint_name(pipe),
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "num_inference_steps": steps,
            "audio_length_in_s": length,
            "guidance_scale": guidance,
            "seed": int(request.seed),
            "scheduler": type(pipe.scheduler).__name__,
            "dtype": str(dtype).removeprefix("torch."),
        }
        clips.append(Clip(_checked_audio(audio[:samples], settings), rate, settings, seconds))
    return clips


def _start(pipe: AudioLDMPipeline, request: Request, frames: int, generator: torch.Generator) -> torch.Tensor:
    """Starting latents of one clip, (1, channels, frames, bands): drawn on the CPU in float32, so equal everywhere."""
    bands = pipe.vocoder.config.model_in_dim // pipe.vae_scale_factor
    shape = (1, pipe.unet.config.in_channels, frames, bands)
    noise = torch.randn(shape, generator=generator, dtype=torch.float32)
    latents = noise if request.latents is None else request.latents.detach().cpu()
    if latents.shape != shape:
        raise ValueError(f"latents must have the shape {shape}, not {tuple(latents.shape)}.")
    return latents


def _call(pipe: AudioLDMPipeline, seeds: list[int], **arguments) -> np.ndarray:
    """The pipeline's own call without its progress bar, (batch, samples); memory is given back if it runs out."""
    bar = getattr(pipe, "_progress_bar_config", {})
    pipe.set_progress_bar_config(**{**bar, "disable": True})
    if hasattr(pipe.scheduler, "noise_sampler_seed"):  # the one scheduler that asks no generator for its noise
        pipe.scheduler.noise_sampler_seed = seeds
    try:
        return pipe(**arguments).audios
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        name = type(pipe.scheduler).__name__
        *_, last = traceback.walk_tb(error.__traceback__)
        if name in str(error) or "schedulers" in Path(last[0].f_code.co_filename).parts:
            raise ValueError(f"AudioLDM cannot be sampled with {name} and these settings: {error}") from error
        raise
    except RuntimeError as error:
        if not re.search(
            r"out of memory|allocate memory|not enough memory|bad_alloc|ALLOC_FAILED|create a (primitive|memory)",
            str(error),
        ):
            raise
    finally:
        pipe.set_progress_bar_config(**bar)
        pipe.maybe_free_model_hooks()
    # Raised here, not above: an exception that remembers the other one would keep the batch's tensors alive.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    batch, seconds = len(arguments["latents"]), arguments["audio_length_in_s"]
    raise MemoryError(
        f"Out of memory on {pipe._execution_device}: {batch} x {seconds:.1f} s at once do not fit; lower "
        "audio_length_in_s, the number of prompts or num_waveforms_per_prompt, or load in float16 or with offload."
    )


def _checked_prompts(prompts: Sequence[str]) -> list[str]:
    if not isinstance(prompts, (list, tuple)):
        raise TypeError(f"prompt must be a string or a list of strings, not {reprlib.repr(prompts)}.")
    if not prompts:
        raise ValueError("prompt is an empty list: give at least one prompt.")
    return list(prompts)


def _checked_audio(audio: np.ndarray, settings: dict) -> np.ndarray:
    what = f'"{shorten(settings["prompt"])}" with seed {settings["seed"]}'
    if not np.isfinite(audio).all():
        hint = "" if settings["dtype"] == "float32" else f": {settings['dtype']} overflowed, try dtype float32"
        raise RuntimeError(f"The model's output for {what} is not a sound (NaN or infinite samples){hint}.")
    if (peak := np.abs(audio).max()) < SILENCE:
        warn(f"The clip for {what} is silent (peak {peak:.1g}): try another seed or prompt.")
    return audio

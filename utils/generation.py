"""Generate clips from prompts: one call of the unmodified pipeline, fed with text encodings and seeded noise.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import DiffusionPipeline

from .checks import as_list, check_float, check_int, check_str, shorten, warn
from .clip import BESIDE, SILENCE, Clip
from .latents import as_tensor, check_shape, encode_prompt, latent_shape, one_call
from .loading import checkpoint_name

if TYPE_CHECKING:
    from .loading import AudioLDMPipeline

MAX_SECONDS = 60.0  # of audio: the checkpoints were trained on about ten
MAX_GUIDANCE = 50.0
MAX_BATCH = 64  # clips in one call
MAX_SEED = 2**32 - 1
NO_MEMORY = r"out of memory|allocate memory|not enough memory|bad_alloc|ALLOC_FAILED|create a (primitive|memory)"


@dataclass(frozen=True)
class Request:
    """One clip of a batch: the arguments of `generate` that may differ from clip to clip, with copies of its tensors.

    Raises TypeError or ValueError for an argument out of the ranges of `generate`. Explained in lesson 06.
    """

    prompt: str
    seed: int = 0
    negative_prompt: str | None = None
    prompt_embeds: torch.Tensor | np.ndarray | None = field(default=None, compare=False)
    latents: torch.Tensor | np.ndarray | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not check_str("prompt", self.prompt).strip():
            raise ValueError(f"The prompt is empty ({self.prompt[:20]!r}): say in words what to hear.")
        if self.negative_prompt is not None:
            check_str("negative_prompt", self.negative_prompt)
        tensors = {name: vars(self)[name] for name in ("prompt_embeds", "latents")}
        tensors = {name: as_tensor(name, value) for name, value in tensors.items() if value is not None}
        vars(self).update(tensors, seed=check_int("seed", self.seed, 0, MAX_SEED))


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
    latents: torch.Tensor | np.ndarray | None = None,
    callback: Callable[[int, int, torch.Tensor], None] | None = None,
) -> Clip | list[Clip]:
    """Turn a prompt into sound with the pipeline's own call; the same seed gives the same clip.

    The parameters are those of `AudioLDMPipeline.__call__`, with `seed` for `generator`: the plain pipeline, given
    `generator=torch.Generator("cpu").manual_seed(seed)`, makes the same waveform more slowly. That holds for every
    scheduler, also for those that draw noise at each step. One pipeline makes one call at a time: other threads wait.

    Args:
        pipe: a loaded pipeline (`load_pipeline`).
        prompt: the sound in words, or a list of prompts, which are generated in one batch.
        num_inference_steps: denoising steps, 1 to the scheduler's number of training steps (1000).
        audio_length_in_s: seconds, from one latent frame (0.04 s; mini: 0.08 s) to 60 s.
        guidance_scale: how strongly the prompt is followed, 0 to 50; at 1 or less guidance is off.
        negative_prompt: the sound to avoid; one for all prompts, or a list with one for each.
        num_waveforms_per_prompt: clips for each prompt, 1 to 64.
        seed: of the first clip of each prompt, 0 to 2**32 - 1; clip i uses `seed + i`.
        prompt_embeds: instead of the encoding of `prompt`, which then is a label only: shape (width of the text
            encoder's projection,) or (1, width), for example a row of `clap_embed`. Explained in lesson 07.
        latents: the start instead of the seed's noise, (1, channels, frames, bands), for schedulers whose
            `init_noise_sigma` is 1: others would multiply it. It sets the length where it is shorter or longer than
            `audio_length_in_s`. Explained in lesson 07.
        callback: called as `callback(step, timestep, latents)` after every step; the next step goes on with the
            `latents` that it leaves; an exception raised in it cancels.

    Returns:
        A `Clip`; a list of them, prompt by prompt, if `prompt` is a list or `num_waveforms_per_prompt` is over 1. Its
        `settings` name each argument, and, only where there are any, latents, prompt_embeds, callback (True) and
        adapters ("laser 0.5").

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of range.
        MemoryError: the batch does not fit in memory.
        RuntimeError: the output has NaN or infinite samples, or the pipeline is in the middle of a clip.
    """
    prompts, negatives = as_list("prompt", prompt), as_list("negative_prompt", negative_prompt)
    if negative_prompt is None or isinstance(negative_prompt, str):
        negatives *= len(prompts)
    if len(negatives) != len(prompts):
        counts = f"{len(negatives)} entries for {len(prompts)} prompts"
        raise ValueError(f"negative_prompt has {counts}: give one for each, or one string for all.")
    count = check_int("num_waveforms_per_prompt", num_waveforms_per_prompt, 1, MAX_BATCH)
    first, words = check_int("seed", seed, 0, MAX_SEED), zip(prompts, negatives, strict=True)
    seeds = range(first, first + count)
    requests = [Request(text, s, negative, prompt_embeds, latents) for text, negative in words for s in seeds]
    call = {"num_inference_steps": num_inference_steps, "audio_length_in_s": audio_length_in_s}
    clips = generate_batch(pipe, requests, **call, guidance_scale=guidance_scale, callback=callback)
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
    """Generate a clip for each of 1 to 64 requests in one batch; arguments and errors as in `generate`.

    Each clip is, to float tolerance, the one that `generate` makes of it alone. A clip's `seconds` are its equal
    share of the time that the batch took. Explained in lesson 06.
    """
    if not isinstance(pipe, DiffusionPipeline):
        raise TypeError(f"generate takes a pipeline, as load_pipeline returns it, not {reprlib.repr(pipe)}.")
    requests = as_list("requests", requests)
    if len(requests) > MAX_BATCH or not all(isinstance(request, Request) for request in requests):
        raise ValueError(f"A batch holds 1 to {MAX_BATCH} clips, each a Request, not {len(requests)}: {requests[:1]}.")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function, not {callback!r}.")
    most, least = limits(pipe)
    steps = check_int("num_inference_steps", num_inference_steps, 1, most)
    length = check_float("audio_length_in_s", audio_length_in_s, least, MAX_SECONDS, " s")
    guidance = check_float("guidance_scale", guidance_scale, 0.0, MAX_GUIDANCE)
    if guidance <= 1 and any(request.negative_prompt for request in requests):
        warn(f"negative_prompt is ignored: guidance_scale {guidance:g} is not over 1.")

    start, rate = time.perf_counter(), pipe.vocoder.config.sampling_rate
    frames = math.ceil(round(length * rate) / round(least * rate))
    given = {r.latents.shape[2] for r in requests if r.latents is not None and r.latents.dim() == 4}
    if given and given != {frames}:
        frames = max(1, given.pop())
        length = frames * round(least * rate) / rate
    call = {"num_inference_steps": steps, "audio_length_in_s": length, "guidance_scale": guidance}
    made_by = {"scheduler": type(pipe.scheduler).__name__, "dtype": str(pipe.unet.dtype).removeprefix("torch.")}
    made_by |= {"adapters": adapters_of(pipe), "callback": callback is not None}
    audios = sample(pipe, requests, frames, steps, guidance, callback)
    seconds, clips = (time.perf_counter() - start) / len(requests), []
    for r, audio in zip(requests, audios, strict=True):
        words = {"prompt": r.prompt, "negative_prompt": r.negative_prompt}
        given = {"latents": r.latents is not None, "prompt_embeds": r.prompt_embeds is not None}
        settings = {"checkpoint": checkpoint_name(pipe), **words, **call, "seed": r.seed, **made_by, **given}
        settings = {name: value for name, value in settings.items() if value or name not in BESIDE}
        clips.append(Clip(_checked_audio(audio[: round(length * rate)], settings), rate, settings, seconds))
    return clips


def limits(pipe: AudioLDMPipeline) -> tuple[int, float]:
    """Return the largest number of steps and the shortest length in seconds that a pipeline's configurations allow."""
    scheduler, vocoder = pipe.scheduler.config, pipe.vocoder.config
    leading = scheduler.get("timestep_spacing", "leading") == "leading"
    most = scheduler.get("num_train_timesteps", 1000) - (scheduler.get("steps_offset", 0) if leading else 0)
    return most, math.prod(vocoder.upsample_rates) * pipe.vae_scale_factor / vocoder.sampling_rate


def adapters_of(pipe: AudioLDMPipeline) -> str:
    """Return the active adapters of a pipeline and their scales, as peft has them: "laser 0.5", or ""."""
    found = {}
    for part in pipe.components.values():
        for layer in part.modules() if getattr(part, "peft_config", None) else ():
            scales = {} if getattr(layer, "disable_adapters", True) else getattr(layer, "scaling", {})
            found |= {f"{name} {scales[name]:g}": None for name in scales if name in layer.active_adapters}
    return ", ".join(found)


def sample(pipe: AudioLDMPipeline, requests, frames: int, steps: int, guidance: float, callback=None) -> np.ndarray:
    """Call the pipeline, without its progress bar; return waveforms of shape (clips, samples) as it gives them."""
    scheduler, bar, name = pipe.scheduler, getattr(pipe, "_progress_bar_config", {}), type(pipe.scheduler).__name__
    hop, rate = math.prod(pipe.vocoder.config.upsample_rates), pipe.vocoder.config.sampling_rate
    # the pipeline rounds down, 0.29 * 100 = 28.99... to 28: half a mel frame more avoids that
    seconds = (frames * pipe.vae_scale_factor + 0.5) * hop / rate
    call = {"audio_length_in_s": seconds, "num_inference_steps": steps, "guidance_scale": guidance}
    with one_call(pipe, makes_a_clip=True):
        negatives = [r.negative_prompt or "" for r in requests] if guidance > 1 else []
        texts = [r.prompt for r in requests if r.prompt_embeds is None] + negatives
        encoded = {text: encode_prompt(pipe, text) for text in dict.fromkeys(texts)}
        drawn = [torch.Generator("cpu").manual_seed(r.seed) for r in requests]
        shape, width = latent_shape(pipe, frames), pipe.text_encoder.config.projection_dim
        rows, latents = [], [torch.randn(shape, generator=draw, dtype=torch.float32, device="cpu") for draw in drawn]
        for index, r in enumerate(requests):
            embeds = torch.atleast_2d(encoded[r.prompt] if r.prompt_embeds is None else r.prompt_embeds)
            rows.append(check_shape("prompt_embeds", embeds, (1, width)).to(pipe.unet.dtype))
            latents[index] = latents[index] if r.latents is None else check_shape("latents", r.latents, shape)
        call["prompt_embeds"], call["latents"] = torch.cat(rows), torch.cat(latents).to(pipe.unet.dtype)
        call["negative_prompt_embeds"] = torch.cat([encoded[text] for text in negatives]) if negatives else None
        call["generator"] = drawn  # a scheduler that draws noise goes on with each clip's own
        pipe.set_progress_bar_config(**{**bar, "disable": True})
        try:
            if any(r.latents is not None for r in requests):
                scheduler.set_timesteps(steps)
                if abs((sigma := float(scheduler.init_noise_sigma)) - 1) > 1e-3:
                    raise ValueError(f"{name} would multiply the latents by {sigma:.4g}; DDIM takes them as they are.")
            return pipe(**call, callback=callback).audios
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            *_, last = traceback.walk_tb(error.__traceback__)
            if name in str(error) or "schedulers" in Path(last[0].f_code.co_filename).parts:
                raise ValueError(f"AudioLDM cannot be sampled with {name} and these settings: {error}") from error
            raise
        except RuntimeError as error:
            if not re.search(NO_MEMORY, str(error)):
                raise
        finally:
            pipe.set_progress_bar_config(**bar)
            pipe.maybe_free_model_hooks()
            call.clear()
    # Raised outside of `except`: as its context, the other error would keep the batch in memory.
    gc.collect()
    torch.cuda.empty_cache()
    raise MemoryError(
        f"Out of memory on {pipe._execution_device}: {len(requests)} x {seconds:.1f} s at once do not fit; lower "
        "audio_length_in_s, the number of prompts or num_waveforms_per_prompt, or load in float16 or with offload."
    )


def _checked_audio(audio: np.ndarray, settings: dict) -> np.ndarray:
    """Return a clip's samples; RuntimeError where they are NaN or infinite, a warning where they are silent."""
    clip = f'"{shorten(settings["prompt"])}" with seed {settings["seed"]}'
    if not np.isfinite(audio).all():
        hint = "" if settings["dtype"] == "float32" else f": {settings['dtype']} overflowed, try dtype float32"
        raise RuntimeError(f"The model's output for {clip} is not a sound (NaN or infinite samples){hint}.")
    if (peak := np.abs(audio).max()) < SILENCE:
        warn(f"The clip for {clip} is silent (peak {peak:.1g}): try another seed or prompt.")
    return audio

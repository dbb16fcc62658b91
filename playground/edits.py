"""Start from a recording instead of noise. Explained in lesson 07 (`notebooks/07_edit_sounds.ipynb`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from diffusers import AudioLDMPipeline

from utils import Clip, encode_audio


def begin_with(
    pipe: AudioLDMPipeline,
    clip: Clip,
    strength: float,
    *,
    num_inference_steps: int,
    audio_length_in_s: float,
    seed: int,
) -> Callable:
    """A callback for `generate`: from the step on where `strength` begins, the clip in noise is what is denoised.

    `strength` 1 forgets the clip, near 0 nothing of it changes; a shorter clip is repeated. The other arguments are
    those of `generate`. Any of the studio's schedulers will do: what they remember of earlier steps is taken away.
    Explained in lesson 07.
    """
    begin = num_inference_steps - max(1, round(strength * num_inference_steps))
    heard = clip.resampled()
    samples = round((audio_length_in_s + 1) * heard.sample_rate)  # more than enough: it is cut to the latents
    latents = encode_audio(pipe, Clip(np.resize(heard.waveform, samples)))

    def callback(step: int, timestep: int, now: torch.Tensor) -> None:
        if step + 1 != begin:
            return
        scheduler = pipe.scheduler
        noise = torch.randn(now.shape, generator=torch.Generator().manual_seed(seed))
        level = scheduler.timesteps[begin : begin + 1].cpu()
        now.copy_(scheduler.add_noise(latents[:, :, : now.shape[2]], noise, level))
        if hasattr(scheduler, "lower_order_nums"):
            scheduler.lower_order_nums = 0
            scheduler.model_outputs = [None] * len(scheduler.model_outputs)
            scheduler.last_sample = None

    return callback

"""The mini UNets: v-prediction on latents, told what to make by an embedding of text, or of audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel

from .loop import device, train
from .parts import make_scheduler, make_unet

SHORT = 32  # latent frames: 2.56 s; every fourth batch is of whole clips (64 frames, 5.12 s) and half the size
BATCH = 48
NOTHING, QUALITY_ONLY = 0.10, 0.04  # shares of samples told nothing, or only the quality


def draw_timesteps(rng: np.random.Generator, count: int, steps: int = 1000) -> np.ndarray:
    """Mostly the middle of the schedule, where the sound takes shape; some everywhere; 4% pure noise."""
    middle = 1 / (1 + np.exp(-rng.normal(-0.5, 1.1, count)))
    where = np.where(rng.random(count) < 0.15, rng.random(count), middle)
    drawn = np.minimum((where * steps).astype(np.int64), steps - 1)
    return np.where(rng.random(count) < 0.04, steps - 1, drawn)


def samples_in(steps: int) -> int:
    """How many pieces of sound a training has seen after so many steps."""
    return steps * (3 * BATCH + BATCH // 2) // 4


def widen(narrow: UNet2DConditionModel, width: int) -> UNet2DConditionModel:
    """A UNet `width` wide, twice as wide as `narrow`, that computes what `narrow` computes (Net2Net, arXiv:1511.05641).

    Every channel becomes two neighbours, so that every group norm sees the same numbers, and what reads a channel
    divides its weight between the two, at random, so that they can learn different things.

    Raises:
        ValueError: if `width` is not twice `narrow`'s.
    """
    if width != 2 * narrow.config.block_out_channels[0]:
        raise ValueError(f"width is {width}: allowed is twice {narrow.config.block_out_channels[0]}")
    wide, draw = make_unet(width), torch.Generator().manual_seed(width)
    known = narrow.state_dict()

    def grown(name: str, shape: torch.Size) -> torch.Tensor:
        weight = known[name].cpu()
        if shape[0] > weight.shape[0]:
            weight = weight.repeat_interleave(2, 0)
        if len(shape) > 1 and shape[1] > weight.shape[1]:
            if name == "time_embedding.linear_1.weight":  # the wide one's every second frequency is the narrow one's
                share = torch.ones_like(weight)
            else:
                share = 0.5 + 0.5 * (torch.rand(weight.shape, generator=draw) - 0.5)
            weight = torch.stack([weight * share, weight * (1 - share)], 2).flatten(1, 2)
        if name.endswith("to_q.weight"):  # heads twice as wide: the scale of their scores falls by sqrt(2)
            weight = weight / 2**0.5
        return weight

    wide.load_state_dict({name: grown(name, value.shape) for name, value in wide.state_dict().items()})
    return wide


def train_unet(
    path: Path,
    latents: np.ndarray,
    conditions: torch.Tensor,
    nothing: torch.Tensor,
    quality_only: Callable[[np.ndarray], torch.Tensor],
    *,
    start: UNet2DConditionModel,
    steps: int,
    batch: int = BATCH,
    learning_rate: float = 2e-3,
    whole_every: int = 4,
    timesteps: Callable = draw_timesteps,
    seed: int = 0,
    say=print,
) -> UNet2DConditionModel:
    """Train the UNet `start`.

    Args:
        latents: (clips, 8, 64, 8), unit deviation.
        conditions: (clips, ways, 64): embeddings of each clip's captions, or of its audio.
        nothing: (64,): the embedding of the empty prompt, for classifier-free guidance.
        quality_only: from clip numbers to embeddings of captions such as "low quality" that fit those clips.
        whole_every: every so many batches one is of whole clips.
        timesteps: as `draw_timesteps`.
    """
    unet = start.to(device())
    alphas = make_scheduler().alphas_cumprod.to(device())

    def loss_of(step: int):
        rng = np.random.default_rng([seed, step, 10])
        count, frames = (batch // 2, 2 * SHORT) if step % whole_every == whole_every - 1 else (batch, SHORT)
        clips = rng.integers(0, len(latents), count)
        starts = rng.integers(0, latents.shape[2] - frames + 1, count)
        pieces = np.stack([latents[c, :, s : s + frames] for c, s in zip(clips, starts, strict=True)])
        clean = torch.from_numpy(pieces.astype(np.float32)).to(device())
        told = conditions[
            torch.from_numpy(clips), torch.from_numpy(rng.integers(0, conditions.shape[1], count))
        ].float()
        dice = torch.from_numpy(rng.random(count))
        told[dice < NOTHING] = nothing
        only = (dice >= NOTHING) & (dice < NOTHING + QUALITY_ONLY)
        if only.any():
            told[only] = quality_only(clips[only.numpy()])
        t = torch.from_numpy(timesteps(rng, count)).to(device())
        noise = torch.from_numpy(rng.standard_normal(pieces.shape, dtype=np.float32)).to(device())
        signal, spread = alphas[t].sqrt()[:, None, None, None], (1 - alphas[t]).sqrt()[:, None, None, None]
        noisy, velocity = signal * clean + spread * noise, signal * noise - spread * clean
        found = unet(noisy, t, encoder_hidden_states=None, class_labels=told.to(device())).sample
        return F.mse_loss(found, velocity), {}

    return train(
        path,
        unet,
        loss_of,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
        ema_decay=0.9985,
        weight_decay=0.01,
        say=say,
    )

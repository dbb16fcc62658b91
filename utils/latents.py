"""Encode words and recordings for the UNet, decode latents to sound; one call of a pipeline at a time.

Explained in lesson 06 (`notebooks/06_inside_audioldm.ipynb`).
"""

from __future__ import annotations

import os
import reprlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from .checks import check_float, check_int, check_str, shorten, warn
from .clip import LONGEST, Clip, check_clip
from .features import HOP_LENGTH, log_mel
from .loading import checkpoint_name

if TYPE_CHECKING:
    from .loading import AudioLDMPipeline

PIECE, OVERLAP = 2048, 192  # mel frames (20.48 s, 1.92 s): longer sounds pass through the VAE in overlapping pieces

_locks: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()  # one for each scheduler
_held = threading.local()  # the schedulers that this thread is at work with

if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads: OpenMP would wait for them
    os.register_at_fork(after_in_child=lambda: (torch.set_num_threads(1), _locks.clear()))


@contextmanager
def one_call(pipe: AudioLDMPipeline, makes_a_clip: bool = False) -> Iterator[None]:
    """Hold a pipeline for one call, without gradients, autocast or inference mode; other threads wait.

    The lock is the scheduler's, which keeps the state of the call; pipelines may share one. Raises RuntimeError for a
    clip within a callback of the same pipeline, or of one that another thread holds: waiting there could last for ever.
    """
    scheduler, mine = pipe.scheduler, _held.__dict__.setdefault("schedulers", [])
    lock = _locks.setdefault(scheduler, threading.RLock())
    if (makes_a_clip and scheduler in mine) or not lock.acquire(blocking=not mine):
        raise RuntimeError("This pipeline is in the middle of a clip: load a second one to use in its callback.")
    mine.append(scheduler)
    device = pipe._execution_device.type
    try:
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device, enabled=False):
            yield
    finally:
        mine.pop()
        lock.release()


def as_tensor(name: str, value: object) -> torch.Tensor:
    """Return a copy of a tensor or an array on the CPU; TypeError if it is neither, ValueError for NaN or infinity."""
    try:
        value = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value, np.float32))
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a tensor or an array of numbers, not {reprlib.repr(value)}.") from None
    if not value.isfinite().all():
        raise ValueError(f"{name} must hold numbers, not NaN or infinity.")
    return value.detach().to("cpu", copy=True)


def check_shape(name: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Return a tensor; ValueError if it has another shape."""
    if tensor.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, not {tuple(tensor.shape)}.")
    return tensor


def latent_shape(pipe: AudioLDMPipeline, frames: int) -> tuple[int, int, int, int]:
    """Return the shape of one clip's latents: (1, channels, frames, bands)."""
    return 1, pipe.unet.config.in_channels, frames, pipe.vocoder.config.model_in_dim // pipe.vae_scale_factor


def encode_prompt(pipe: AudioLDMPipeline, prompt: str) -> torch.Tensor:
    """Return the pipeline's embedding of a prompt on the CPU, shape (1, projection width), unit norm, in its dtype.

    The pipeline pads every prompt to the longest that the text encoder takes (512 tokens). Padding is masked, so
    the prompt alone gives the same embedding in a fraction of the time. Warns of a prompt that is too long and is cut;
    raises TypeError if it is no string.
    """
    encoder = pipe.text_encoder
    with one_call(pipe):  # a tokenizer serves one thread at a time
        ids = pipe.tokenizer(check_str("prompt", prompt), verbose=False).input_ids
        limit = min(pipe.tokenizer.model_max_length, encoder.config.max_position_embeddings - 2)
        if len(ids) > limit:
            cut = pipe.tokenizer.decode(ids[limit - 1 : -1]).strip()
            warn(f"The prompt has {len(ids)} tokens, the text encoder takes {limit}: it does not see '{shorten(cut)}'.")
            ids = ids[: limit - 1] + ids[-1:]
        tokens = torch.tensor([ids], device=pipe._execution_device)
        embedding = encoder(tokens, attention_mask=torch.ones_like(tokens)).text_embeds
        return torch.nn.functional.normalize(embedding, dim=-1).cpu()


def encode_audio(pipe: AudioLDMPipeline, clip: Clip) -> torch.Tensor:
    """Encode a sound for the UNet: its log-mel-spectrogram, packed by the VAE and scaled.

    Args:
        pipe: a loaded pipeline, of any checkpoint.
        clip: at any sample rate. An incomplete last latent frame (0.04 s; mini: 0.08 s) is filled up with silence.

    Returns:
        Latents of shape (1, channels, frames, bands), float32 on the CPU: with 5.12 s (1, 8, 128, 16), and
        (1, 8, 64, 8) for a mini. The mode of the VAE's posterior, not a sample. A clip over 20.48 s is encoded in
        overlapping pieces, in a time that grows with its length.

    Raises:
        TypeError: `clip` is no Clip.
        ValueError: the clip has NaN or infinite samples, or is shorter than one latent frame.
    """
    waveform, frame = check_clip("encode_audio", clip).resampled().waveform, HOP_LENGTH * pipe.vae_scale_factor
    if not np.isfinite(waveform).all():
        raise ValueError("The waveform has NaN or infinite samples: it cannot be encoded.")
    if len(waveform) < frame:
        raise ValueError(f"The clip lasts {clip.duration:.3f} s: at least {frame / 16000:g} s are needed.")

    def encode(samples: torch.Tensor) -> torch.Tensor:
        mel = torch.from_numpy(log_mel(samples[..., 0].numpy()))
        posterior = pipe.vae.encode(mel.to(pipe._execution_device, pipe.vae.dtype)).latent_dist
        return (posterior.mode() * pipe.vae.config.scaling_factor).float().cpu()

    samples = torch.from_numpy(np.pad(waveform, (0, -len(waveform) % frame)))[None, None, :, None]
    with one_call(pipe):
        return _in_pieces(encode, samples, samples.shape[2] // frame, pipe.vae_scale_factor)


def decode_latents(
    pipe: AudioLDMPipeline, latents: torch.Tensor | np.ndarray, audio_length_in_s: float | None = None, **settings
) -> Clip:
    """Decode latents through the VAE's decoder and the vocoder alone, without any denoising.

    `decode_latents(pipe, encode_audio(pipe, clip), clip.duration)` is the best that the checkpoint can hold of a clip:
    the floor for every edit.

    Args:
        pipe: a loaded pipeline, of any checkpoint.
        latents: shape (1, channels, frames, bands), scaled as `encode_audio` gives them.
        audio_length_in_s: seconds of sound, at most the length of the latents, which is the default.
        settings: of the clip, such as `prompt`, which is its title.

    Raises TypeError or ValueError for latents of another type or shape, NaN, or a length that they do not hold.
    """
    latents, scale, rate = as_tensor("latents", latents), pipe.vae_scale_factor, pipe.vocoder.config.sampling_rate
    frames = max(1, latents.shape[2]) if latents.dim() == 4 else 1
    check_shape("latents", latents, latent_shape(pipe, frames))
    longest = frames * scale * HOP_LENGTH / rate
    length = longest if audio_length_in_s is None else audio_length_in_s
    samples = round(check_float("audio_length_in_s", length, 1 / rate, longest, " s") * rate)

    def decode(piece: torch.Tensor) -> torch.Tensor:
        mel = pipe.decode_latents(piece.to(pipe._execution_device, pipe.vae.dtype))
        return pipe.mel_spectrogram_to_waveform(mel)[:, None, : piece.shape[2] * scale * HOP_LENGTH, None]

    with one_call(pipe):
        waveform = as_tensor("The decoded sound", _in_pieces(decode, latents, frames, scale)).flatten()
    return Clip(waveform[:samples].numpy(), rate, {"checkpoint": checkpoint_name(pipe), **settings})


def begin_with(
    pipe: AudioLDMPipeline,
    clip: Clip,
    strength: float,
    *,
    num_inference_steps: int,
    audio_length_in_s: float,
    seed: int,
) -> Callable:
    """Return a callback for `generate` that puts the noised clip in the place of the latents, where `strength` begins.

    `strength` from 0 to 1: 1 ignores the clip, near 0 keeps it; a shorter clip is repeated. The other arguments are
    those of the call of `generate`; a ValueError in it says where they differ. For DDIM, DPM-Solver++, UniPC and
    Euler: their memory of earlier steps is emptied. Explained in lesson 07.
    """
    steps = check_int("num_inference_steps", num_inference_steps, 1, 1000)
    begin = steps - max(1, round(check_float("strength", strength, 0, 1) * steps))
    source = check_clip("begin_with", clip).resampled()
    samples = round((check_float("audio_length_in_s", audio_length_in_s, 0, LONGEST, " s") + 1) * source.sample_rate)
    latents = encode_audio(pipe, Clip(np.resize(source.waveform, samples)))  # a second more than it is cut to

    def callback(step: int, timestep: int, now: torch.Tensor) -> None:
        scheduler = pipe.scheduler
        if scheduler.num_inference_steps != steps or now.shape[2] > latents.shape[2]:
            raise ValueError(f"begin_with got {steps} steps and {audio_length_in_s:g} s, not those of this call.")
        if step + 1 != begin:
            return
        noise = torch.randn(now.shape, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
        first = begin * scheduler.order  # schedulers of the second order list each step but the first twice
        level = scheduler.timesteps[first : first + 1].cpu()
        now.copy_(scheduler.add_noise(latents[:, :, : now.shape[2]], noise, level))
        if hasattr(scheduler, "lower_order_nums"):
            scheduler.lower_order_nums = 0
            scheduler.model_outputs = [None] * len(scheduler.model_outputs)
            scheduler.last_sample = None

    return callback


def _in_pieces(work: Callable, given: torch.Tensor, frames: int, scale: int) -> torch.Tensor:
    """Apply `work` along axis 2, which lasts `frames` latent frames, in pieces joined by cross-fades.

    The VAE's attention costs the square of the length.
    """
    most, overlap = PIECE // scale, OVERLAP // scale
    size = given.shape[2] // frames
    done = work(given[:, :, : most * size])
    rate = done.shape[2] // min(frames, most)
    third = overlap * rate // 3  # the edges of both pieces are left out, the middle of the overlap is the cross-fade
    fade = torch.linspace(0, 1, third, device=done.device)[:, None]
    starts = [*range(0, frames - most, most - overlap), max(frames - most, 0)]
    for start in starts[1:]:
        piece = work(given[:, :, start * size : (start + most) * size])
        here = done.shape[2] - 2 * third
        piece = piece[:, :, here - start * rate :]
        piece[:, :, :third] = torch.lerp(done[:, :, here : here + third], piece[:, :, :third], fade)
        done = torch.cat([done[:, :, :here], piece], dim=2)
    return done

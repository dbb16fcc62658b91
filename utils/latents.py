"""Between recordings and the space in which AudioLDM works: through the VAE there, through VAE and vocoder back.

Explained in lesson 06 (`notebooks/06_inside_audioldm.ipynb`).
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AudioLDMPipeline

from .clip import Clip
from .features import HOP_LENGTH, log_mel
from .isolation import isolated, one_call_at_a_time
from .loading import checkpoint_name


def encode_audio(pipe: AudioLDMPipeline, clip: Clip) -> torch.Tensor:
    """A sound as the UNet sees it: its log-mel-spectrogram, packed by the VAE and scaled.

    Args:
        pipe: a loaded pipeline, of any checkpoint.
        clip: at any sample rate. What does not fill the last latent frame (0.04 s; mini: 0.08 s) is filled up with
            silence.

    Returns:
        Latents of shape (1, channels, frames, bands), float32 on the CPU: with 5.12 s (1, 8, 128, 16), and
        (1, 8, 64, 8) for a mini. They are the middle of what the VAE holds for likely, not drawn by chance.

    Raises:
        ValueError: the clip has NaN or infinite samples, or is shorter than one latent frame.

    Explained in lesson 06.
    """
    waveform = clip.resampled().waveform
    frame = HOP_LENGTH * pipe.vae_scale_factor
    if not np.isfinite(waveform).all():
        raise ValueError("The waveform has NaN or infinite samples: it cannot be encoded.")
    if len(waveform) < frame:
        raise ValueError(f"The clip lasts {clip.duration:.3f} s: at least {frame / 16000:g} s are needed.")
    mel = torch.from_numpy(log_mel(np.pad(waveform, (0, -len(waveform) % frame))))
    with one_call_at_a_time(pipe), isolated():
        posterior = pipe.vae.encode(mel[None, None].to(pipe._execution_device, pipe.vae.dtype)).latent_dist
        return (posterior.mode() * pipe.vae.config.scaling_factor).float().cpu()


def decode_latents(pipe: AudioLDMPipeline, latents: torch.Tensor, **settings) -> Clip:
    """What latents sound like: through the VAE's decoder and the vocoder alone, without any denoising.

    `latents` have the shape (1, channels, frames, bands), scaled as `encode_audio` gives them. `settings` become the
    clip's, such as `prompt`, which is its title. `decode_latents(pipe, encode_audio(pipe, clip))` is what the
    checkpoint can hold of a clip at best: the floor for every edit. Explained in lesson 06.
    """
    bands = pipe.vocoder.config.model_in_dim // pipe.vae_scale_factor
    shape = (1, pipe.unet.config.in_channels, max(1, latents.shape[-2]), bands)
    if latents.shape != shape:
        raise ValueError(f"latents must have the shape {shape}, not {tuple(latents.shape)}.")
    with one_call_at_a_time(pipe), isolated():
        mel = pipe.decode_latents(latents.detach().to(pipe._execution_device, pipe.vae.dtype))
        waveform = pipe.mel_spectrogram_to_waveform(mel)
    waveform = waveform[0, : latents.shape[2] * pipe.vae_scale_factor * HOP_LENGTH].numpy()
    return Clip(waveform, pipe.vocoder.config.sampling_rate, {"checkpoint": checkpoint_name(pipe), **settings})

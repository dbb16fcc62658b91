"""The mini VAE: mel-spectrogram 512 x 64 to latents 8 x 64 x 8 and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from .loop import device, fast_arithmetic, train
from .parts import make_vae

CROP = 128  # frames: 1.28 s of a clip a sample, so that a batch holds many sounds
KL_WEIGHT = 1e-3


def _sharpness(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Difference of the slopes along time and frequency: keeps partials and attacks from being smeared."""
    along = [(a.diff(dim=d) - b.diff(dim=d)).abs().mean() for d in (2, 3)]
    return along[0] + along[1]


def crops(mels: np.ndarray, batch: int, rng: np.random.Generator, frames: int = CROP) -> torch.Tensor:
    """Return random pieces of random clips, float32 (batch, 1, frames, 64), on the training's device."""
    clips, starts = rng.integers(0, len(mels), batch), rng.integers(0, mels.shape[1] - frames + 1, batch)
    cut = np.stack([mels[c, s : s + frames] for c, s in zip(clips, starts, strict=True)])
    return torch.from_numpy(cut.astype(np.float32))[:, None].to(device())


def difference(rebuilt: torch.Tensor, mel: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return the loss between two log-mels, and their RMS difference in dB."""
    error = rebuilt - mel
    squared = error.square().mean()
    return error.abs().mean() + 0.2 * squared + 0.3 * _sharpness(rebuilt, mel), 8.686 * squared.sqrt().item()


def train_vae(path: Path, mels: np.ndarray, *, steps: int, batch: int = 8, seed: int = 0, say=print) -> AutoencoderKL:
    """Train encoder and decoder on log-mels of shape (clips, 512, 64)."""
    torch.manual_seed(seed)
    vae = make_vae().to(device())

    def loss_of(step: int):
        mel = crops(mels, batch, np.random.default_rng([seed, step, 9]))
        with fast_arithmetic():
            posterior = vae.encode(mel).latent_dist
            rebuilt = vae.decode(posterior.sample()).sample.float()
        loss, rms = difference(rebuilt, mel)
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).float().mean()
        spread = {"latent sd": posterior.mean.std().item(), "posterior sd": posterior.std.mean().item()}
        return loss + KL_WEIGHT * kl, {"rms dB": rms} | spread

    return train(
        path, vae, loss_of, steps=steps, learning_rate=2e-3, weight_decay=0, seed=seed, ema_decay=0.998, say=say
    )


def refine_decoder(
    path: Path, vae: AutoencoderKL, mels: np.ndarray, *, steps: int, batch: int = 12, seed: int = 0, say=print
) -> AutoencoderKL:
    """Train the decoder on, the encoder left as it is: latents stay valid, so UNets can learn at the same time."""
    vae.requires_grad_(False)
    decoder = torch.nn.ModuleList([vae.post_quant_conv, vae.decoder]).requires_grad_(True)

    def loss_of(step: int):
        mel = crops(mels, batch, np.random.default_rng([seed, step, 12]))
        with fast_arithmetic():
            with torch.no_grad():
                latents = vae.encode(mel).latent_dist.sample()
            rebuilt = vae.decode(latents).sample.float()
        loss, rms = difference(rebuilt, mel)
        return loss, {"rms dB": rms}

    train(
        path, decoder, loss_of, steps=steps, learning_rate=1.5e-3, weight_decay=0, seed=seed, ema_decay=0.998, say=say
    )
    return vae


@torch.no_grad()
def encode_all(vae: AutoencoderKL, mels: np.ndarray, batch: int = 16, say=print) -> tuple[np.ndarray, float]:
    """Latent means of all clips, scaled to unit deviation: float16 (clips, 8, 64, 8), and the scaling factor."""
    found = []
    for start in range(0, len(mels), batch):
        mel = torch.from_numpy(mels[start : start + batch].astype(np.float32))[:, None].to(device())
        found.append(vae.encode(mel).latent_dist.mean.cpu().numpy())
        if start // batch % 100 == 0:
            say(f"latents: {start} of {len(mels)}")
    latents = np.concatenate(found)
    scaling_factor = float(1 / latents.std())
    return (latents * scaling_factor).astype(np.float16), scaling_factor

"""The mini CLAP: a text tower that learns what captions say, and an audio tower that learns to agree with it.

The text tower comes first, trained on the scenes behind the captions; the audio tower is then trained against it,
frozen. Contrastive training of both from scratch needs far more data than this.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import ClapAudioModelWithProjection, ClapFeatureExtractor, ClapModel, ClapProcessor

from .captions import draw_caption
from .data import LEVELS, SPEEDS, clip_at, stack_labels
from .loop import device, train
from .parts import MAX_TOKENS, audio_config, load_as_float32, make_clap, text_tower
from .sounds import BACKGROUNDS, CLASSES, QUALITIES

HEADS = {
    "sounds": len(CLASSES),
    "pitch": len(LEVELS),
    "tempo": len(SPEEDS),
    "quality": len(QUALITIES),
    "background": 1 + len(BACKGROUNDS),
}


class Heads(torch.nn.Module):
    """Linear read-outs of a unit-norm embedding: which sounds (several may be), pitch, tempo, quality, background."""

    def __init__(self, width: int):
        super().__init__()
        self.read = torch.nn.ModuleDict({name: torch.nn.Linear(width, count) for name, count in HEADS.items()})
        self.scale = torch.nn.Parameter(torch.tensor(12.0))

    def forward(self, embedding: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: layer(embedding * self.scale) for name, layer in self.read.items()}


def heads_loss(logits: dict[str, torch.Tensor], target: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropies of all heads; a caption without a sound has an all-zero `sounds`."""
    loss = F.binary_cross_entropy_with_logits(logits["sounds"], target["sounds"]) * 8
    for name in ("pitch", "tempo", "quality", "background"):
        loss = loss + F.cross_entropy(logits[name], target[name])
    return loss


def tensors(labels: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Labels as tensors where the training runs."""
    return {name: torch.as_tensor(values, device=device()) for name, values in labels.items()}


def tokenize(tokenizer, captions: list[str]) -> dict[str, torch.Tensor]:
    """Token ids and mask, padded to the longest of the captions."""
    batch = tokenizer(captions, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    return {name: batch[name].to(device()) for name in ("input_ids", "attention_mask")}


class _TextWithHeads(torch.nn.Module):
    def __init__(self, tower: torch.nn.Module, width: int):
        super().__init__()
        self.tower, self.heads = tower, Heads(width)

    def forward(self, batch):
        embedding = F.normalize(self.tower(**batch).text_embeds, dim=-1)
        return embedding, self.heads(embedding)


def train_text(path: Path, tokenizer, *, steps: int, batch: int = 128, seed: int = 0, say=print):
    """Train the text tower; returns it (a `ClapTextModelWithProjection`)."""
    torch.manual_seed(seed)
    model = _TextWithHeads(text_tower(make_clap(len(tokenizer))), 64).to(device())

    def loss_of(step: int):
        rng = np.random.default_rng([seed, step, 7])
        drawn = [draw_caption(rng) for _ in range(batch)]
        target = tensors(stack_labels([scene for _, scene in drawn]))
        _, logits = model(tokenize(tokenizer, [caption for caption, _ in drawn]))
        loss = heads_loss(logits, target)
        silent = target["sounds"].sum(1) == 0
        top = logits["sounds"].argmax(1)
        right = target["sounds"].gather(1, top[:, None])[:, 0][~silent].mean()
        return loss, {"sound right": right.item()}

    train(path, model, loss_of, steps=steps, learning_rate=1.5e-3, seed=seed, ema_decay=0.998, say=say)
    return model.tower, model.heads


@torch.no_grad()
def embed(tower, tokenizer, captions: list[str], batch: int = 512) -> torch.Tensor:
    """Unit-norm text embeddings, shape (captions, 64), float32, on the CPU."""
    order = sorted(range(len(captions)), key=lambda i: len(captions[i]))  # alike lengths together: little padding
    result = torch.empty(len(captions), 64)
    for start in range(0, len(order), batch):
        where = order[start : start + batch]
        found = tower(**tokenize(tokenizer, [captions[i] for i in where])).text_embeds
        result[where] = F.normalize(found, dim=-1).float().cpu()
    return result


def feature_extractor() -> ClapFeatureExtractor:
    """CLAP's own front end at 16 kHz: 5 s at most, 251 frames of 20 ms, shorter clips repeated."""
    return ClapFeatureExtractor(
        feature_size=64,
        sampling_rate=16_000,
        hop_length=320,
        max_length_s=5,
        fft_window_size=1024,
        frequency_min=0,
        frequency_max=8000,
        padding="repeatpad",
        truncation="rand_trunc",
    )


def audio_features(waveform: np.ndarray) -> np.ndarray:
    """What `feature_extractor()` computes, twenty times as fast: float32 (251, 64), dB, of the first 5 s of a clip."""
    extractor = feature_extractor()
    wave = torch.from_numpy(waveform[: extractor.nb_max_samples])
    window = torch.hann_window(extractor.fft_window_size)
    spectrum = torch.stft(
        wave, extractor.fft_window_size, extractor.hop_length, window=window, pad_mode="reflect", return_complex=True
    )
    power = spectrum.abs().square().T.numpy() @ extractor.mel_filters_slaney.astype(np.float32)
    return 10 * np.log10(np.maximum(power, 1e-10))


def clip_features(seed: int, index: int) -> np.ndarray:
    """`audio_features` of a clip of the training data."""
    return audio_features(clip_at(seed, index))


@torch.no_grad()
def embed_audio(tower, features: torch.Tensor, batch: int = 64) -> torch.Tensor:
    """Unit-norm audio embeddings, shape (clips, 64), float32, on the CPU."""
    pieces = [tower(input_features=f[:, None].float().to(device())).audio_embeds for f in features.split(batch)]
    return F.normalize(torch.cat(pieces), dim=-1).float().cpu()


def train_audio(
    path: Path, features: torch.Tensor, texts: torch.Tensor, *, steps: int, batch: int = 64, seed=0, say=print
):
    """Train the audio tower to the (frozen) text embeddings of its clips' captions.

    Args:
        features: (clips, frames, 64) of `audio_features`, float16.
        texts: (clips, captions a clip, 64), unit norm.
    """
    torch.manual_seed(seed)
    tower = ClapAudioModelWithProjection(audio_config()).to(device())
    scale = 20.0

    def loss_of(step: int):
        rng = np.random.default_rng([seed, step, 8])
        which = torch.from_numpy(rng.integers(0, len(features), batch))
        said = texts[which, torch.from_numpy(rng.integers(0, texts.shape[1], batch))].float().to(device())
        clip = features[which][:, None].float().to(device())
        found = F.normalize(tower(input_features=clip).audio_embeds, dim=-1)
        cosine = (found * said).sum(-1)
        logits = scale * found @ said.T
        same = torch.arange(batch, device=logits.device)
        contrast = 0.5 * (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same))
        return 4 * (1 - cosine).mean() + 0.5 * contrast, {"cosine": cosine.mean().item()}

    return train(path, tower, loss_of, steps=steps, learning_rate=2e-3, seed=seed, ema_decay=0.998, say=say)


def assemble(text, audio, tokenizer, folder: Path) -> ClapModel:
    """Both towers as transformers' `ClapModel` with its `ClapProcessor`, saved as a folder (float16)."""
    clap = make_clap(len(tokenizer))
    clap.text_model.load_state_dict(text.text_model.state_dict())
    clap.text_projection.load_state_dict(text.text_projection.state_dict())
    clap.audio_model.load_state_dict(audio.audio_model.state_dict())
    clap.audio_projection.load_state_dict(audio.audio_projection.state_dict())
    clap.half().save_pretrained(folder)
    load_as_float32(folder)
    ClapProcessor(feature_extractor=feature_extractor(), tokenizer=tokenizer).save_pretrained(folder)
    feature_extractor().save_pretrained(folder)  # transformers 4 looks for it under its own name
    return clap

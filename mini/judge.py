"""An independent listener: a small CNN that says what is heard in a waveform.

It is trained on synthesised clips that no generator ever saw, with a front end of its own (librosa's, in dB), and
never on generated audio. What it gets right on further held-out clips is stated with every number that it gives.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from .clap import Heads, heads_loss, tensors
from .data import JUDGE_SEED, listen, scene_at, stack_labels
from .loop import device, fast_arithmetic, train

FRAMES = 128  # of 20 ms: 2.56 s a training sample; whole clips of any length are judged at once
WIDTH = 128  # of the embedding whose distribution the Frechet distance compares


class Judge(nn.Module):
    """Front-end frames to an embedding and to the same heads as the text tower's."""

    def __init__(self):
        super().__init__()
        channels = (1, 24, 48, 80, 112, WIDTH)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in zip(channels, channels[1:], strict=False)
        )
        self.mix = nn.Linear(2 * WIDTH * 5, WIDTH)
        self.heads = Heads(WIDTH)
        nn.init.ones_(self.heads.scale)

    def forward(self, heard: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        x = (heard[:, None] + 40) / 20
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number < 4:
                x = nn.functional.max_pool2d(x, 2)
        summary = torch.cat([x.mean(2), x.amax(2)], 1).flatten(1).float()  # over time; the five bands stay apart
        embedding = self.mix(summary).relu()
        return embedding, self.heads(embedding)


def _rough(heard: torch.Tensor) -> torch.Tensor:
    """Louder or softer, and for half of the clips a little blurred: no generator draws as sharply as a synthesiser."""
    gain = 6 * torch.rand(len(heard), 1, 1) - 3
    blurred = nn.functional.avg_pool2d(heard[:, None], 3, stride=1, padding=1, count_include_pad=False)[:, 0]
    much = torch.rand(len(heard), 1, 1) * (torch.rand(len(heard), 1, 1) < 0.5)
    return heard + gain + much * (blurred - heard)


def train_judge(path: Path, heard: np.ndarray, *, steps: int, batch: int = 48, seed: int = 0, say=print) -> Judge:
    """Train on `heard_clip` of the judge's own seed, (clips, 257, 80)."""
    torch.manual_seed(seed)
    judge = Judge().to(device())
    target = tensors(stack_labels([scene_at(JUDGE_SEED, i) for i in range(len(heard))]))

    def loss_of(step: int):
        rng = np.random.default_rng([seed, step, 11])
        clips, starts = rng.integers(0, len(heard), batch), rng.integers(0, heard.shape[1] - FRAMES + 1, batch)
        crops = np.stack([heard[c, s : s + FRAMES] for c, s in zip(clips, starts, strict=True)])
        with fast_arithmetic():
            _, logits = judge(_rough(torch.from_numpy(crops.astype(np.float32))).to(device()))
        logits = {name: values.float() for name, values in logits.items()}
        return heads_loss(logits, {name: values[clips] for name, values in target.items()}), {}

    return train(path, judge, loss_of, steps=steps, learning_rate=2e-3, seed=seed, say=say)


@torch.no_grad()
def verdicts(judge: Judge, waveforms: list[np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Embeddings (clips, 128), and for every head the logits, of waveforms of any (equal) length."""
    judge.eval()
    found = [judge(torch.from_numpy(listen(w))[None].to(device())) for w in waveforms]
    logits = {name: torch.cat([f[1][name] for f in found]).float().cpu().numpy() for name in found[0][1]}
    return torch.cat([f[0] for f in found]).float().cpu().numpy(), logits

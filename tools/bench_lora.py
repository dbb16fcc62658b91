"""What one LoRA step costs at the real size, with random weights: `python -m tools.bench_lora` (minutes on a CPU).

Lesson 08 trains a sheet on a mini; this is the same step on the UNet of audioldm-s-full-v2: clips of 10.24 s, rank 8,
AdamW. On CUDA where there is one, else on the CPU; prints one row for each batch, as it stands in docs/speed.md.
"""

from __future__ import annotations

import argparse
import time

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from peft import LoraConfig

from tools.bench import memory, where

CHANNELS = (128, 256, 384, 640)
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_shortcut", "proj_in", "proj_out"]  # lesson 08
FRAMES = 256  # latent frames of 10.24 s


def real_unet() -> UNet2DConditionModel:
    """The UNet of audioldm-s-full-v2, 185 million random numbers, with a sheet of rank 8."""
    unet = UNet2DConditionModel(
        sample_size=128,
        in_channels=8,
        out_channels=8,
        block_out_channels=CHANNELS,
        cross_attention_dim=CHANNELS,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3 + ("UpBlock2D",),
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=512,
        class_embeddings_concat=True,
    ).requires_grad_(False)
    unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=LAYERS))
    return unet


def step(unet: UNet2DConditionModel, optimizer: torch.optim.Optimizer, batch: int) -> None:
    device = next(unet.parameters()).device
    noisy, noise = torch.randn(2, batch, 8, FRAMES, 16, device=device)
    t, told = torch.randint(0, 1000, (batch,), device=device), F.normalize(torch.randn(batch, 512, device=device))
    loss = F.mse_loss(unet(noisy, t, None, class_labels=told).sample, noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    loss.item()  # waits for the GPU


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--steps", type=int, default=2)
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    unet = real_unet().to(device)
    sheet = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(sheet)
    print(f"{where()}\n{sum(p.numel() for p in sheet) / 1e6:.2f} million numbers to learn.\n")
    print("| clips a step | seconds, clock | seconds, processor | peak GB |\n| ---: | ---: | ---: | ---: |")
    for batch in asked.batches:
        step(unet, optimizer, batch)
        memory(device, reset=True)
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(asked.steps):
            step(unet, optimizer, batch)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        took = f"{clock / asked.steps:.1f} | {processor / asked.steps:.1f} | {memory(device) / 1000:.1f}"
        print(f"| {batch} | {took} |", flush=True)


if __name__ == "__main__":
    main()

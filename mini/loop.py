"""One training loop for every part: seeded step by step, so that a killed run resumes and ends in the same place."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

SAVE_EVERY = 60.0  # seconds of work that a kill can cost


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_arithmetic() -> torch.autocast:
    """bfloat16 for wide convolutions where the processor has units for it (they halve the time), else float32."""
    where = device().type
    able = where == "cuda" or torch.cpu._is_amx_tile_supported()
    return torch.autocast(where, torch.bfloat16, enabled=able)


def save_atomically(state: dict, path: Path) -> None:
    """Write beside the place, then move: a reader never sees half a file, nor do two writers share one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    torch.save(state, unfinished)
    os.replace(unfinished, path)


class Ema:
    """Exponential moving average of a model's parameters; it warms up, so that short trainings profit as well."""

    def __init__(self, model: torch.nn.Module, decay: float):
        self.decay = decay
        self.shadow = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.shadow[name].lerp_(value, 1 - decay)
            else:
                self.shadow[name].copy_(value)


def train(
    path: Path,
    model: torch.nn.Module,
    loss_of: Callable[[int], tuple[torch.Tensor, dict[str, float]]],
    *,
    steps: int,
    learning_rate: float,
    seed: int = 0,
    final_rate: float = 0.01,
    weight_decay: float = 0.01,
    ema_decay: float | None = None,
    say: Callable[[str], None] = print,
) -> torch.nn.Module:
    """Train `model` in place and return it (with its moving average's weights, where asked for).

    Args:
        path: the state's file; if it exists, training goes on from there, and a finished one is only loaded.
        loss_of: from the step's number to the loss and what to report. It draws its batch from that number alone.
        steps: optimiser steps in all. AdamW, 2% warm-up, then cosine to `final_rate` of `learning_rate`, clip at 1.
    """
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), learning_rate, weight_decay=weight_decay, betas=(0.9, 0.98), fused=True
    )
    ema = Ema(model, ema_decay) if ema_decay else None
    step, seconds = 0, 0.0
    if path.exists():
        state = torch.load(path, map_location=device(), weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if ema:
            ema.shadow = state["ema"]
        step, seconds = state["step"], state["seconds"]

    def save() -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": seconds}
        save_atomically(state | ({"ema": ema.shadow} if ema else {}), path)

    started = time.monotonic() - seconds
    saved = told = begun = time.monotonic()
    first = step
    while step < steps:
        warmup = min(1.0, (step + 1) / (0.02 * steps + 1))
        cosine = final_rate + (1 - final_rate) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * warmup * cosine
        torch.manual_seed(seed * 1_000_003 + step)
        loss, report = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if ema:
            ema.update(model, step)
        now = time.monotonic()
        seconds = now - started
        if now - told > 20 or step == steps:
            told = now
            left = (now - begun) / (step - first) * (steps - step)
            facts = "  ".join(f"{k} {v:.4f}" for k, v in report.items())
            say(f"{path.stem}: step {step}/{steps}  loss {loss.item():.4f}  {facts}  {left / 60:.1f} min left")
        if now - saved > SAVE_EVERY:
            save()
            saved = now
    if step > first or not path.exists():  # a finished one is only loaded
        save()
    if ema:
        model.load_state_dict(ema.shadow)
    return model.eval()

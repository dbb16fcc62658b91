"""Train in notebooks, with a bar and a stop button, and resume after a crash.

Explained in lesson 08 (`notebooks/08_teach_a_sound.ipynb`).
"""

from __future__ import annotations

import io
import math
import os
import reprlib
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from tqdm.auto import tqdm

from .checks import check_float, check_int, warn, write_whole

SAVE_EVERY = 5.0  # seconds of work that a crash can cost
IDLE = "Is an adapter switched off, or at scale 0?"
LOWER = "lower learning_rate, or look for NaN in what it learns from."
_seeded = threading.RLock()  # torch's generator is one for all threads


def train(
    parameters: Iterable[torch.nn.Parameter],
    loss_of: Callable[[int], torch.Tensor],
    *,
    steps: int,
    learning_rate: float,
    file: str | Path | None = None,
) -> list[float]:
    """Change `parameters` in place, step by step, so that the loss falls; return the loss of every step.

    A bar shows the time left (AUDIOLDM_PROGRESS=0 or TQDM_DISABLE=1 in the environment hides it). Press the stop
    button, or lose the power, and the same call goes on from `file`: step n is seeded with n, so an interrupted
    training ends where an uninterrupted one does.

    Args:
        parameters: to be learned; everything else stays as it is. Those without an influence on the loss are counted in
            a warning.
        loss_of: from the number of a step, 0 to steps - 1, to its loss, a tensor with one element. It draws from
            torch's global generator, which is seeded with that number before each call.
        steps: steps of the optimiser in all, 1 to 1,000,000.
        learning_rate: the peak, 1e-9 to 10, of AdamW: 10 steps of warm-up, then a cosine decay to 0.
        file: where the state is kept every few seconds, and until the training is finished. None: nowhere. A file that
            is damaged or another training's (other data, steps, rate or shapes) is moved to `<file>.old`.

    Raises TypeError or ValueError where there is nothing to learn or a number is out of range, and FloatingPointError
    where the loss or its gradient is NaN or infinite; that step is not kept. Source: Loshchilov and Hutter 2019 (AdamW,
    arXiv 1711.05101).
    """
    parameters = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
    parameters = [p for p in parameters if getattr(p, "requires_grad", False)]
    if not parameters:
        raise ValueError("There is nothing to learn: no parameter has requires_grad.")
    steps, learning_rate = check_int("steps", steps, 1, 10**6), check_float("learning_rate", learning_rate, 1e-9, 10)
    file = Path(file).expanduser() if file else None
    optimizer = torch.optim.AdamW(parameters, learning_rate, betas=(0.9, 0.98), weight_decay=0, fused=True)
    plan = [steps, learning_rate, [list(p.shape) for p in parameters]]
    state = {"plan": plan, "start": [p.detach().clone() for p in parameters], "losses": []}
    if file and file.is_file():
        state = _resumed(file, state, parameters, optimizer, loss_of)
    losses, saved = state["losses"], time.monotonic()
    moved, pressed = bool(losses), []
    here = threading.current_thread() is threading.main_thread()  # no other thread is interrupted
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True)) if here else None
    hidden = os.environ.get("AUDIOLDM_PROGRESS") == "0" or bool(os.environ.get("TQDM_DISABLE"))
    try:
        with tqdm(total=steps, initial=len(losses), leave=False, disable=hidden) as bar:
            for step in range(len(losses), steps):
                if pressed:
                    print(f"Stopped after {step} of {steps} steps." + (" The same call goes on." if file else ""))
                    break
                rate = learning_rate * min(1, (step + 1) / 10) * (1 + math.cos(math.pi * step / steps)) / 2
                optimizer.param_groups[0]["lr"] = rate
                loss = _loss(loss_of, step)
                optimizer.zero_grad()
                loss.backward()
                if not torch.isfinite(norm := torch.nn.utils.clip_grad_norm_(parameters, 1.0)):
                    raise FloatingPointError(f"The gradient of step {step} is {norm.item()}: {LOWER}")
                if not step and (idle := sum(p.grad is None for p in parameters)):
                    warn(f"{idle} of {len(parameters)} parameters have no influence on the loss.")
                moved = moved or bool(norm)
                if not moved and step + 1 in (10, steps):
                    raise ValueError(f"Nothing is learned: all gradients are zero. {IDLE}")
                optimizer.step()
                losses.append(loss.item())
                bar.update()
                if file and time.monotonic() - saved > SAVE_EVERY:
                    _save(file, state, parameters, optimizer)
                    saved = time.monotonic()
    finally:
        if here:
            signal.signal(signal.SIGINT, before)
        if file and 0 < len(losses) < steps and moved:
            _save(file, state, parameters, optimizer)
    if file and len(losses) == steps:
        file.unlink(missing_ok=True)
    return losses


def _loss(loss_of: Callable[[int], torch.Tensor], step: int) -> torch.Tensor:
    """Return the loss of a step; TypeError, ValueError or FloatingPointError where nothing can be learned from it."""
    with _seeded, torch.enable_grad():
        torch.manual_seed(step)
        loss = loss_of(step)
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        raise TypeError(f"loss_of must return a tensor with one element, not {reprlib.repr(loss)}.")
    if not loss.requires_grad:
        raise ValueError(f"Nothing is learned: the loss depends on no parameter. {IDLE}")
    if not torch.isfinite(loss).all():
        raise FloatingPointError(f"The loss of step {step} is {loss.item()}: {LOWER}")
    return loss


def _save(file: Path, state: dict, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    data = io.BytesIO()
    learned = {"parameters": [p.detach() for p in parameters], "optimizer": optimizer.state_dict()}
    torch.save(state | learned, data)
    write_whole(file, data.getvalue())


def _resumed(file: Path, fresh: dict, parameters, optimizer, loss_of) -> dict:
    """Restore a kept state into the parameters and return it; move an unfit file aside and return the fresh state."""
    try:
        kept = torch.load(file, map_location=parameters[0].device, weights_only=True)
        if kept["plan"] != fresh["plan"]:
            raise ValueError("it has other steps, learning_rate or shapes")
        _copy(kept["start"], parameters)
        if not math.isclose(_loss(loss_of, 0).item(), kept["losses"][0], rel_tol=1e-3):  # drawn with the same seed
            raise ValueError("its first step has another loss: other data")
        if not all(torch.isfinite(value).all() for value in kept["parameters"]):
            raise ValueError("it holds NaN")
        optimizer.load_state_dict(kept.pop("optimizer"))
        _copy(kept.pop("parameters"), parameters)
    except Exception as error:  # torch.load raises nearly anything for a damaged file
        _copy(fresh["start"], parameters)
        why = str(error) if type(error) is ValueError else "it is damaged"
        names = (file.with_name(file.name + count * ".old") for count in range(1, 99))
        aside = file.replace(next(name for name in names if not name.exists()))
        print(f"{file.name} cannot be resumed, as {why}. It is kept as {aside.name}; this begins anew.")
        return fresh
    print(f"Going on after {len(kept['losses'])} of {fresh['plan'][0]} steps.")
    return kept


def _copy(values: Iterable[torch.Tensor], parameters: Iterable[torch.nn.Parameter]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.data.copy_(value)

"""A training loop for notebooks: it shows how far it is, stops when asked, and goes on after a crash.

Explained in lesson 08 (`notebooks/08_teach_a_sound.ipynb`).
"""

from __future__ import annotations

import io
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from .checks import number, whole
from .files import write_whole

SAVE_EVERY = 5.0  # seconds of work that a crash can cost


def train(
    parameters: Iterable[torch.nn.Parameter],
    loss_of: Callable[[int], torch.Tensor],
    *,
    steps: int,
    learning_rate: float,
    file: str | Path | None = None,
    progress: bool = True,
) -> list[float]:
    """Change `parameters` in place, step by step, so that the loss falls; return the loss of every step.

    Press the stop button, or lose the power, and the same call goes on from `file`: every step draws its chance from
    its own number, so an interrupted training ends where an uninterrupted one does.

    Args:
        parameters: what to learn; everything else stays as it is.
        loss_of: from the number of a step, 0 to steps - 1, to the loss of that step, a tensor with one element. It
            takes its chance from torch's global generator, which is seeded with the step's number before each call.
        steps: steps of the optimiser in all, 1 to 1,000,000.
        learning_rate: the largest; it rises in the first steps and falls to nothing along a cosine. AdamW.
        file: where the state is kept every few seconds, and until the training is finished. None: nowhere.
        progress: show a bar with the time left (the environment variable AUDIOLDM_PROGRESS=0 hides it, too).

    Raises:
        ValueError: nothing to learn, a number out of range, or a `file` that belongs to another training.
        FloatingPointError: the loss became NaN or infinite; nothing of that step is kept.

    Source: Loshchilov and Hutter 2019 (AdamW, arXiv 1711.05101). Explained in lesson 08.
    """
    parameters = [p for p in parameters if p.requires_grad]
    if not parameters:
        raise ValueError("There is nothing to learn: no parameter has requires_grad.")
    steps = whole("steps", steps, 1, 1_000_000)
    learning_rate = number("learning_rate", learning_rate, 0, 10)
    optimizer = torch.optim.AdamW(parameters, learning_rate, betas=(0.9, 0.98), weight_decay=0)
    plan = {"steps": steps, "learning_rate": learning_rate, "shapes": [list(p.shape) for p in parameters]}
    losses: list[float] = []
    if file is not None and Path(file).is_file():
        losses = _load(Path(file), parameters, optimizer, plan)
        print(f"Going on after {len(losses)} of {steps} steps.")
    threads, light = torch.get_num_threads(), sum(p.numel() for p in parameters) < 10_000_000
    if light:  # the same sums in the same order on every machine; and a second thread gains so small a net nothing
        torch.set_num_threads(1)
    saved = time.monotonic()
    try:
        with _bar(steps, len(losses), progress) as bar, _stop_button() as pressed:
            for step in range(len(losses), steps):
                if pressed:
                    print(f"Stopped after {step} of {steps} steps." + (" The same call goes on." if file else ""))
                    break
                torch.manual_seed(step)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * min(1, (step + 1) / 10) * (1 + math.cos(math.pi * step / steps)) / 2
                loss = loss_of(step)
                if not torch.isfinite(loss):
                    raise FloatingPointError(f"The loss of step {step} is {loss.item()}: lower learning_rate.")
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                losses.append(loss.item())
                bar.set_postfix_str(f"loss {losses[-1]:.2f}", refresh=False)
                bar.update()
                if file is not None and time.monotonic() - saved > SAVE_EVERY:
                    _save(Path(file), parameters, optimizer, plan, losses)
                    saved = time.monotonic()
    finally:
        torch.set_num_threads(threads)
        if file is not None and len(losses) < steps:
            _save(Path(file), parameters, optimizer, plan, losses)
    if file is not None and len(losses) == steps:
        Path(file).unlink(missing_ok=True)
    return losses


def _save(file: Path, parameters: list, optimizer: torch.optim.Optimizer, plan: dict, losses: list[float]) -> None:
    state = {"parameters": [p.detach() for p in parameters], "optimizer": optimizer.state_dict()}
    data = io.BytesIO()
    torch.save(state | {"plan": plan, "losses": losses}, data)
    write_whole(file, data.getvalue())


def _load(file: Path, parameters: list, optimizer: torch.optim.Optimizer, plan: dict) -> list[float]:
    state = torch.load(file, map_location=parameters[0].device, weights_only=True)
    if state["plan"] != plan:
        raise ValueError(f"{file} belongs to a training with other steps, rate or shapes: delete it, or name another.")
    with torch.no_grad():
        for parameter, value in zip(parameters, state["parameters"], strict=True):
            parameter.copy_(value)
    optimizer.load_state_dict(state["optimizer"])
    return state["losses"]


@contextmanager
def _stop_button() -> Iterator[list]:
    """A list that is no longer empty once the user has interrupted: the step that is going on is finished first."""
    pressed: list = []
    try:
        before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    except ValueError:  # not in the main thread: nobody can press it there
        yield pressed
        return
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _bar(steps: int, done: int, progress: bool):
    from tqdm.auto import tqdm

    hidden = not progress or os.environ.get("AUDIOLDM_PROGRESS") == "0"
    return tqdm(total=steps, initial=done, desc="Training", leave=False, **({"disable": True} if hidden else {}))

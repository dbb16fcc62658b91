"""A training loop for notebooks: it shows how far it is, stops when asked, and goes on after a crash.

Explained in lesson 08 (`notebooks/08_teach_a_sound.ipynb`).
"""

from __future__ import annotations

import io
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm.auto import tqdm

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
) -> list[float]:
    """Change `parameters` in place, step by step, so that the loss falls; return the loss of every step.

    A bar shows the time left (the environment variable AUDIOLDM_PROGRESS=0 hides it). Press
    the stop button, or lose the power, and the same call goes on from `file`: every step draws its chance from its own
    number, so an interrupted training ends where an uninterrupted one does.

    Args:
        parameters: what to learn; everything else stays as it is.
        loss_of: from the number of a step, 0 to steps - 1, to its loss, a tensor with one element. It takes its chance
            from torch's global generator, which is seeded with that number before each call.
        steps: steps of the optimiser in all, 1 to 1,000,000.
        learning_rate: the largest; it rises in the first steps and falls to nothing along a cosine. AdamW.
        file: where the state is kept every few seconds, and until the training is finished. None: nowhere.

    Raises ValueError where there is nothing to learn, a number is out of range, or `file` is another training's, and
    FloatingPointError where the loss is NaN or infinite; that step is not kept. Source: Loshchilov and Hutter 2019
    (AdamW, arXiv 1711.05101). Explained in lesson 08.
    """
    parameters = [p for p in parameters if p.requires_grad]
    if not parameters:
        raise ValueError("There is nothing to learn: no parameter has requires_grad.")
    steps, learning_rate = whole("steps", steps, 1, 1_000_000), number("learning_rate", learning_rate, 0, 10)
    optimizer = torch.optim.AdamW(parameters, learning_rate, betas=(0.9, 0.98), weight_decay=0, fused=True)
    plan = {"steps": steps, "learning_rate": learning_rate, "shapes": [list(p.shape) for p in parameters]}
    state = {"parameters": parameters, "optimizer": optimizer, "plan": plan, "losses": []}
    losses = _loaded(Path(file), state) if file and Path(file).is_file() else state["losses"]
    hidden, saved = os.environ.get("AUDIOLDM_PROGRESS") == "0", time.monotonic()
    try:
        with tqdm(total=steps, initial=len(losses), leave=False, disable=hidden) as bar, _stop_button() as pressed:
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
                bar.update()
                if file and time.monotonic() - saved > SAVE_EVERY:
                    _save(Path(file), state)
                    saved = time.monotonic()
    finally:
        if file and 0 < len(losses) < steps:
            _save(Path(file), state)
    if file and len(losses) == steps:
        Path(file).unlink(missing_ok=True)
    return losses


def _save(file: Path, state: dict) -> None:
    data = io.BytesIO()
    learned = {"parameters": [p.detach() for p in state["parameters"]], "optimizer": state["optimizer"].state_dict()}
    torch.save(state | learned, data)
    write_whole(file, data.getvalue())


def _loaded(file: Path, state: dict) -> list[float]:
    found = torch.load(file, map_location=state["parameters"][0].device, weights_only=True)
    if found["plan"] != state["plan"]:
        raise ValueError(f"{file} belongs to a training with other steps, rate or shapes: delete it, or name another.")
    for parameter, value in zip(state["parameters"], found["parameters"], strict=True):
        parameter.data.copy_(value)
    state["optimizer"].load_state_dict(found["optimizer"])
    state["losses"] += found["losses"]
    print(f"Going on after {len(state['losses'])} of {state['plan']['steps']} steps.")
    return state["losses"]


@contextmanager
def _stop_button() -> Iterator[list]:
    """A list that is no longer empty once the user has interrupted: the step that is going on is finished first."""
    pressed: list = []
    here = threading.current_thread() is threading.main_thread()  # elsewhere nobody can press it
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True)) if here else None
    try:
        yield pressed
    finally:
        if here:
            signal.signal(signal.SIGINT, before)

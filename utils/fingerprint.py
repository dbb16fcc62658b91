"""A hash of everything by which a pipeline turns settings into sound: two that share it make the same clips.

Explained in lesson 03 (`notebooks/03_steps_and_length.ipynb`).
"""

from __future__ import annotations

import inspect
import sys

import diffusers
import joblib
import torch

from .checkpoints import PROBE
from .loading import checkpoint_name


def fingerprint(pipe: diffusers.AudioLDMPipeline) -> str:
    """32 hexadecimal digits of a pipeline's name, weights, configurations and tokenizer.

    Taken from memory, not from files, so it sees a swapped scheduler, other attention heads or a fine-tuned weight.
    Values that a configuration leaves at their default are left out: another version of diffusers may have more.
    """
    seen: list = [checkpoint_name(pipe), list(pipe.tokenizer(PROBE).input_ids)]
    for name, part in sorted(pipe.components.items()):
        if isinstance(part, diffusers.ConfigMixin):
            defaults = part.config.get("_use_default_values", [])
            chosen = {k: str(v) for k, v in part.config.items() if not k.startswith("_") and k not in defaults}
            seen.append((name, type(part).__name__, sorted(chosen.items())))
        if type(part).__module__.startswith("utils."):  # a mini's vocoder: what is not in its numbers is in our code
            seen.append(inspect.getsource(sys.modules[type(part).__module__]))
        if isinstance(part, torch.nn.Module):
            for key, value in sorted(part.named_parameters()):
                weight = value.detach().reshape(-1).view(torch.uint8).cpu().numpy()
                seen.append((f"{name}.{key} {value.dtype}", joblib.hash(weight)))
    return joblib.hash(seen)

"""Where a pipeline works, and in which numbers: what was asked for if it is there, else the best there is.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def best_device(device: str | None) -> str:
    import torch

    here = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    here += ["mps", "cpu"] if torch.backends.mps.is_available() else ["cpu"]
    best = here[0].split(":")[0]
    device = str(device or best)
    if device not in (best, *here):
        raise ValueError(f"device={device!r} is not there: this machine has {', '.join(here)}.")
    return device


def best_dtype(dtype: str | torch.dtype | None, device: str) -> torch.dtype:
    import torch

    on_cuda = device.startswith("cuda")
    name = str(dtype or ("float16" if on_cuda else "float32")).removeprefix("torch.")
    if name not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"dtype={name!r} is not one of float32, float16, bfloat16.")
    if name == "float16" and device == "cpu":
        raise ValueError("dtype='float16' is for GPUs: on a CPU use float32, or bfloat16 (inexact).")
    if name == "bfloat16" and on_cuda and torch.cuda.get_device_capability(device)[0] < 8:
        raise ValueError("dtype='bfloat16' needs a GPU of the Ampere generation (2020) or later: here use float16.")
    if name == "bfloat16" and device == "cpu" and not has_bfloat16_units():
        print("This processor has no units for bfloat16: it will take several times as long as float32.")
    return getattr(torch, name)


def has_bfloat16_units() -> bool:
    """Whether the processor computes in bfloat16 itself; what cannot be found out is taken for a yes."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return True
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))

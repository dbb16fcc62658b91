"""List the checkpoints: Table 1 of the model card, and the mini family that comes with this clone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REAL_LICENCE, MINI_LICENCE = "CC BY-NC-SA 4.0, not for commercial use", "CC0 1.0, free for all"
MINI_CLAP, REAL_CLAP = "mini-clap", "laion/clap-htsat-unfused"  # the CLAP that scores the clips of either family
# Recommended settings: the length of the training clips, and the steps at the knee of the curve.
REAL_REGIME = {"num_inference_steps": 25, "audio_length_in_s": 10.24}
MINI_REGIME = {"num_inference_steps": 10, "audio_length_in_s": 2.56}
FETCH: list[Callable[[Path], object]] = []  # called with a mini's missing folder, to fetch it: utils/setup.py
PROBE = "Techno music with a strong, upbeat tempo and high melodic riffs"  # the model card's prompt


@dataclass(frozen=True)
class Checkpoint:
    """One row of Table 1, or its mini counterpart. Explained in lesson 04.

    `unet_dim` and `clap_audio_dim` are channels, `parameters` millions, `download_gb` 10^9 bytes; `training_steps` is
    the model card's text. `revision` pins the exact files on the Hub. A mini has no `hub_id`, and lies in `folder`.
    """

    name: str
    training_steps: str
    audio_conditioning: bool  # trained with audio embeddings as its condition
    clap_audio_dim: int
    unet_dim: int
    parameters: float
    download_gb: float = 0.0
    hub_id: str | None = None
    revision: str | None = None
    licence: str = MINI_LICENCE

    @property
    def is_mini(self) -> bool:
        """Return whether the checkpoint comes with this clone."""
        return self.hub_id is None

    @property
    def regime(self) -> dict:
        """Return the steps and the length of a fair comparison: arguments of `generate` and `sweep`. See lesson 03."""
        return dict(MINI_REGIME if self.is_mini else REAL_REGIME)

    @property
    def folder(self) -> Path:
        """Return a mini's folder: `mini/checkpoints/<name>`, or below the folder that AUDIOLDM_MINI_FOLDER names."""
        beside = Path(__file__).resolve().parent.parent / "mini" / "checkpoints"
        return Path(os.environ.get("AUDIOLDM_MINI_FOLDER") or beside) / self.name


def original_heads(channels: tuple[int, ...]) -> list[int]:
    """Return the attention heads per level of the original AudioLDM's UNet with these `block_out_channels`.

    A head is 32 channels wide, in the largest UNet (dim 256) 64. Source: the original's configuration files.
    Raises ValueError for other UNets. Explained in docs/real.md.
    """
    width = {128: 32, 192: 32, 256: 64}.get(channels[0])
    if width is None:
        raise ValueError(f"original_attention_heads is for UNets of dim 128, 192 or 256, not of dim {channels[0]}.")
    return [count // width for count in channels]


# Source: the model card of cvssp/audioldm-s-full-v2. Of audioldm-l-full no full revision is known: it follows `main`.
_REAL = (
    ("audioldm-s-full", "1.5M", False, 768, 128, 421, 1.7,
     "cvssp/audioldm", "8ed5f6437581a2fee9c662842d7cb13459914b0f"),
    ("audioldm-s-full-v2", "> 1.5M", False, 768, 128, 421, 1.7,
     "cvssp/audioldm-s-full-v2", "bef13a486a2a536162324de2d506c0c2d3db2ff0"),
    ("audioldm-m-full", "1.5M", True, 1024, 192, 652, 2.6,
     "cvssp/audioldm-m-full", "9d4998f93dfdafd050695fc82a4c8773ade7bd88"),
    ("audioldm-l-full", "1.5M", False, 768, 256, 975, 3.9, "cvssp/audioldm-l-full", None),
)  # fmt: skip
_MINI = (
    ("mini-s", "2,000", False, 192, 16, 3.5),
    ("mini-s-v2", "35,000", False, 192, 16, 3.5),
    ("mini-m", "12,000", True, 192, 24, 5.9),
    ("mini-l", "10,000 from mini-s-v2", False, 192, 32, 9.3),
)
CHECKPOINTS: dict[str, Checkpoint] = {row[0]: Checkpoint(*row, licence=REAL_LICENCE) for row in _REAL}
CHECKPOINTS |= {row[0]: Checkpoint(*row) for row in _MINI}
MINIS = {name for name, row in CHECKPOINTS.items() if row.is_mini}  # `loading.is_mini` adds folders in their format
BY_HUB_ID: dict[str, Checkpoint] = {row.hub_id: row for row in CHECKPOINTS.values() if row.hub_id}

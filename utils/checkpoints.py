"""Which checkpoints there are: Table 1 of the model card, and the mini family that ships with the lessons."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REAL_LICENCE = "CC BY-NC-SA 4.0: not for commercial use"


@dataclass(frozen=True)
class Checkpoint:
    """One row of Table 1, or its mini counterpart. Explained in lesson 04.

    `parameters` are millions, `unet_dim` and `clap_audio_dim` are channels, `download_gb` are 10^9 bytes.
    A checkpoint without `hub_id` is a mini and lies in `folder`. `revision` pins the exact files on the Hub.
    """

    name: str
    unet_dim: int
    clap_audio_dim: int
    parameters: float
    audio_conditioning: bool = False  # trained with audio embeddings as its condition, too
    training_steps: str | None = None  # as the model card says it
    hub_id: str | None = None
    revision: str | None = None
    download_gb: float = 0.0
    licence: str = REAL_LICENCE

    @property
    def is_mini(self) -> bool:
        """Whether it ships with the lessons."""
        return self.hub_id is None

    @property
    def folder(self) -> Path:
        """Where a mini lies: `mini/checkpoints/<name>`, or in the folder that AUDIOLDM_MINI_FOLDER names."""
        return mini_folder() / self.name


def mini_folder() -> Path:
    """The folder that holds the mini checkpoints: AUDIOLDM_MINI_FOLDER, or `mini/checkpoints` beside `utils`."""
    return Path(os.environ.get("AUDIOLDM_MINI_FOLDER") or Path(__file__).parent.parent / "mini" / "checkpoints")


def _mini(name: str, unet_dim: int, parameters: float, audio_conditioning: bool = False) -> Checkpoint:
    licence = "that of this project"
    return Checkpoint(name, unet_dim, 192, parameters, audio_conditioning, licence=licence)


# Source: the model card of cvssp/audioldm-s-full-v2 (Table 1). No full revision of l-full is known: it follows `main`.
CHECKPOINTS: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            "audioldm-s-full", 128, 768, 421, training_steps="1.5M", download_gb=1.7,
            hub_id="cvssp/audioldm", revision="8ed5f6437581a2fee9c662842d7cb13459914b0f",
        ),
        Checkpoint(
            "audioldm-s-full-v2", 128, 768, 421, training_steps="> 1.5M", download_gb=1.7,
            hub_id="cvssp/audioldm-s-full-v2", revision="bef13a486a2a536162324de2d506c0c2d3db2ff0",
        ),
        Checkpoint(
            "audioldm-m-full", 192, 1024, 652, True, training_steps="1.5M", download_gb=2.6,
            hub_id="cvssp/audioldm-m-full", revision="9d4998f93dfdafd050695fc82a4c8773ade7bd88",
        ),
        Checkpoint(
            "audioldm-l-full", 256, 768, 975, training_steps="1.5M", download_gb=3.9,
            hub_id="cvssp/audioldm-l-full",
        ),
        _mini("mini-s", 16, 3.5),
        _mini("mini-s-v2", 16, 3.5),
        _mini("mini-m", 24, 5.9, audio_conditioning=True),
        _mini("mini-l", 32, 9.3),
    )
}  # fmt: skip

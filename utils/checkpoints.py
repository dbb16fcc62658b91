"""Which checkpoints there are: Table 1 of the model card, and the mini family that ships with the lessons."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REAL_LICENCE = "CC BY-NC-SA 4.0, not for commercial use"
MINI_LICENCE = "CC0 1.0, free for all"
MINI_CLAP, REAL_CLAP = "mini-clap", "laion/clap-htsat-unfused"  # what scores the clips of either family
# Where a family does its best for its price: as long as its training clips, at the knee of its curve of steps.
REAL_REGIME = {"num_inference_steps": 25, "audio_length_in_s": 10.24}
MINI_REGIME = {"num_inference_steps": 10, "audio_length_in_s": 2.56}


@dataclass(frozen=True)
class Checkpoint:
    """One row of Table 1, or its mini counterpart. Explained in lesson 04.

    `unet_dim` and `clap_audio_dim` are channels, `parameters` millions, `download_gb` 10^9 bytes; `training_steps` is
    what the model card says. `revision` pins the exact files on the Hub. A mini has no `hub_id` and lies in `folder`.
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
        """Whether it ships with the lessons."""
        return self.hub_id is None

    @property
    def regime(self) -> dict:
        """The steps and the length in which to compare fairly: arguments of `generate` and `sweep`. See lesson 03."""
        return dict(MINI_REGIME if self.is_mini else REAL_REGIME)

    @property
    def folder(self) -> Path:
        """Where a mini lies: `mini/checkpoints/<name>`, or below the folder that AUDIOLDM_MINI_FOLDER names."""
        beside = Path(__file__).resolve().parent.parent / "mini" / "checkpoints"
        return Path(os.environ.get("AUDIOLDM_MINI_FOLDER") or beside) / self.name


def _real(name: str, *facts, hub: str, revision: str | None = None) -> Checkpoint:
    return Checkpoint(name, *facts, hub_id=f"cvssp/{hub}", revision=revision, licence=REAL_LICENCE)


# Source: the model card of cvssp/audioldm-s-full-v2. Of audioldm-l-full no full revision is known: it follows `main`.
_ROWS = (
    _real("audioldm-s-full", "1.5M", False, 768, 128, 421, 1.7,
          hub="audioldm", revision="8ed5f6437581a2fee9c662842d7cb13459914b0f"),
    _real("audioldm-s-full-v2", "> 1.5M", False, 768, 128, 421, 1.7,
          hub="audioldm-s-full-v2", revision="bef13a486a2a536162324de2d506c0c2d3db2ff0"),
    _real("audioldm-m-full", "1.5M", True, 1024, 192, 652, 2.6,
          hub="audioldm-m-full", revision="9d4998f93dfdafd050695fc82a4c8773ade7bd88"),
    _real("audioldm-l-full", "1.5M", False, 768, 256, 975, 3.9, hub="audioldm-l-full"),
    Checkpoint("mini-s", "2,000", False, 192, 16, 3.5),
    Checkpoint("mini-s-v2", "35,000", False, 192, 16, 3.5),
    Checkpoint("mini-m", "12,000", True, 192, 24, 5.9),
    Checkpoint("mini-l", "10,000 from mini-s-v2", False, 192, 32, 9.3),
)  # fmt: skip
CHECKPOINTS: dict[str, Checkpoint] = {row.name: row for row in _ROWS}
MINIS = frozenset(row.name for row in _ROWS if row.is_mini)
BY_HUB_ID: dict[str, Checkpoint] = {row.hub_id: row for row in _ROWS if row.hub_id}

"""Train the mini family from nothing: `python -m mini.train` runs every stage, `python -m mini.train vae` one of them.

Every stage keeps its state in a folder outside the repository (environment variable MINI_STATE, else
~/.cache/audioldm-mini), can be killed at any moment, and goes on from there.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from . import clap, data, judge, real_sound, vae
from .captions import draw_caption, say_nothing
from .loop import save_atomically
from .parts import CHECKPOINTS, UNET_WIDTH, make_unet, save_checkpoint
from .tokens import load_tokenizer, train_tokenizer
from .unet import samples_in, train_unet, widen

BEGINNING = {"mini-l": "mini-s-v2"}  # with every channel doubled; the others begin at random


@dataclass(frozen=True)
class Recipe:
    """How much of everything. `smoke()` runs the whole recipe in seconds and learns nothing."""

    clips: int = 16_000
    audio_clips: int = 6_000  # for CLAP's audio tower
    judge_clips: int = 6_000
    captions: int = 60_000  # for the tokenizer
    ways: int = 6  # captions a clip
    text_steps: int = 1_800
    audio_steps: int = 900
    vae_steps: int = 2_400
    decoder_steps: int = 700
    judge_steps: int = 2_000
    unet_steps: tuple[tuple[str, int], ...] = (
        ("mini-s", 2_000),
        ("mini-s-v2", 35_000),
        ("mini-m", 12_000),
        ("mini-l", 10_000),
    )
    real_clips: int = 2_000  # of real sound, for the ear
    ear_steps: int = 950

    @classmethod
    def smoke(cls) -> Recipe:
        few = tuple((name, 2) for name in UNET_WIDTH)
        return cls(24, 24, 24, 500, 2, 2, 2, 2, 2, 2, few, 10, 2)


def state_folder() -> Path:
    """Where trainings keep their state."""
    return Path(os.environ.get("MINI_STATE") or Path.home() / ".cache" / "audioldm-mini")


class Family:
    """The stages and what they hand on. Everything is made when first asked for, and found again afterwards."""

    def __init__(
        self, state: Path, checkpoints: Path = CHECKPOINTS, recipe: Recipe | None = None, say: Callable = print
    ):
        self.state, self.checkpoints, self.recipe, self.say = state, checkpoints, recipe or Recipe(), say

    @cached_property
    def mels(self) -> np.ndarray:
        return self._of_clips("mels", data.clip_mel, self.recipe.clips)

    def _of_clips(self, kind: str, of_clip: Callable, count: int) -> np.ndarray:
        return data.synthesise(self.state / "data", kind, of_clip, data.TRAIN_SEED, count, self.say)

    @cached_property
    def tokenizer(self):
        folder = self.state / "tokenizer"
        if not (folder / "tokenizer_config.json").exists():
            rng = np.random.default_rng(0)
            train_tokenizer([draw_caption(rng)[0] for _ in range(self.recipe.captions)], folder)
        return load_tokenizer(folder)

    @cached_property
    def text(self):
        steps = self.recipe.text_steps
        return clap.train_text(self.state / "text.pt", self.tokenizer, steps=steps, say=self.say)[0]

    @cached_property
    def vae(self):
        return vae.train_vae(self.state / "vae.pt", self.mels, steps=self.recipe.vae_steps, say=self.say)

    @cached_property
    def decoder(self):
        """The same VAE with its decoder trained further; latents stay what they are."""
        refined, steps = copy.deepcopy(self.vae), self.recipe.decoder_steps
        return vae.refine_decoder(self.state / "decoder.pt", refined, self.mels, steps=steps, say=self.say)

    @cached_property
    def ear(self):
        """The same VAE taught on with real sound; `decoder` where none is installed. Latents stay what they are."""
        real = real_sound.real_mels(self.state / "data", self.recipe.real_clips, self.say)
        if real is None:
            return self.decoder
        computed = self._of_clips("mels", data.clip_mel, min(self.recipe.clips, self.recipe.real_clips // 2))
        taught, steps = copy.deepcopy(self.decoder), self.recipe.ear_steps
        return real_sound.teach(self.state / "ear.pt", taught, computed, real, steps=steps, say=self.say)

    @cached_property
    def latents(self) -> np.ndarray:
        path = self.state / "latents.npz"
        if not path.exists():
            found, scaling_factor = vae.encode_all(self.vae, self.mels, say=self.say)
            np.savez(path.with_suffix(".unfinished.npz"), latents=found, scaling_factor=scaling_factor)
            os.replace(path.with_suffix(".unfinished.npz"), path)
        return np.load(path)["latents"]

    @cached_property
    def caption_embeddings(self) -> torch.Tensor:
        """Of every clip's captions: (clips, ways, 64)."""
        path = self.state / "captions.pt"
        if not path.exists():
            ways, clips = self.recipe.ways, self.recipe.clips
            captions = [c for i in range(clips) for c in data.captions_at(data.TRAIN_SEED, i, ways)]
            torch.save(clap.embed(self.text, self.tokenizer, captions).view(clips, ways, -1).half(), path)
        return torch.load(path)

    @cached_property
    def audio(self):
        """The audio tower, trained on the text tower's embeddings of the captions of the same clips."""
        count = self.recipe.audio_clips
        features, said = self._audio_features(count), self.caption_embeddings[:count]
        return clap.train_audio(self.state / "audio.pt", features, said, steps=self.recipe.audio_steps, say=self.say)

    def _audio_features(self, count: int) -> torch.Tensor:
        return torch.from_numpy(self._of_clips("features", clap.clip_features, count))

    @cached_property
    def audio_embeddings(self) -> torch.Tensor:
        """Of every clip: (clips, 1, 64)."""
        path = self.state / "audio-embeddings.pt"
        if not path.exists():
            features = self._audio_features(self.recipe.clips)
            torch.save(clap.embed_audio(self.audio, features)[:, None].half(), path)
        return torch.load(path)

    def unet(self, name: str):
        """The UNet of a member of the family; mini-m learns from audio embeddings, the others from text.

        mini-l begins as mini-s-v2 with every channel doubled, the others at random.
        """
        conditions = self.audio_embeddings if name == "mini-m" else self.caption_embeddings
        rate, steps = 1e-3 if name in BEGINNING else 2e-3, dict(self.recipe.unet_steps)[name]
        return self.taught(name, self._untrained(name), conditions, steps=steps, learning_rate=rate)

    def taught(self, stage: str, start, conditions: torch.Tensor, **recipe):
        """The UNet `start`, trained on this family's clips; its state is kept under the stage's name."""
        nothing = clap.embed(self.text, self.tokenizer, [""])[0]
        path = self.state / f"{stage}.pt"
        return train_unet(
            path, self.latents, conditions, nothing, self._quality_only, start=start, say=self.say, **recipe
        )

    def _untrained(self, name: str):
        torch.manual_seed(0)
        unet = make_unet(UNET_WIDTH[name])
        if name in BEGINNING:
            unet.load_state_dict(self._beginning(name)["model"])
        return unet

    def _beginning(self, name: str) -> dict:
        """What a member that grew out of another began as; kept, because the other may be trained further."""
        path = self.state / f"{name}-beginning.pt"
        if not path.exists():
            wide = widen(self.unet(BEGINNING[name]), UNET_WIDTH[name])
            save_atomically({"model": wide.state_dict(), "step": self._kept(BEGINNING[name])["step"]}, path)
        return self._kept(path.stem)

    def _kept(self, stage: str) -> dict:
        return torch.load(self.state / f"{stage}.pt", map_location="cpu", weights_only=True)

    @cached_property
    def _quality_captions(self) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(5)
        ways = {q: [say_nothing(rng, q) for _ in range(64)] for q in ("plain", "clean", "noisy", "muffled")}
        return {q: clap.embed(self.text, self.tokenizer, captions) for q, captions in ways.items()}

    def _quality_only(self, clips: np.ndarray) -> torch.Tensor:
        """Embeddings of captions such as "low quality" that are true of these clips."""
        found = [self._quality_captions[data.scene_at(data.TRAIN_SEED, int(c)).quality] for c in clips]
        return torch.stack([ways[int(c) % len(ways)] for ways, c in zip(found, clips, strict=True)])

    @cached_property
    def judge(self):
        heard = data.synthesise(
            self.state / "data", "heard", data.heard_clip, data.JUDGE_SEED, self.recipe.judge_clips, self.say
        )
        return judge.train_judge(self.state / "judge.pt", heard, steps=self.recipe.judge_steps, say=self.say)

    def export(self, name: str) -> Path:
        """Write the checkpoint's folder from the trained parts (the moving averages)."""
        unet, latents = self.unet(name), self.state / "latents.npz"
        self.ear.register_to_config(scaling_factor=float(np.load(latents)["scaling_factor"]))
        folder = self.checkpoints / name
        save_checkpoint(
            folder,
            tokenizer_files=self.state / "tokenizer",
            text_encoder=self.text,
            vae=self.ear,
            unet=unet,
            facts=self._facts(name, unet),
        )
        return folder

    def _facts(self, name: str, unet) -> dict:
        """What the model card says of the training."""
        kept = self._kept(name)
        count = {
            part: sum(p.numel() for p in module.parameters()) for part, module in (("unet", unet), ("vae", self.vae))
        }
        text = sum(p.numel() for p in self.text.parameters())
        return {
            "clips": self.recipe.clips,
            "width": UNET_WIDTH[name],
            "steps": kept["step"],
            "samples": samples_in(kept["step"]),
            "hours": round(kept["seconds"] / 3600, 2),
            "unet_parameters": count["unet"],
            "parameters": count["unet"] + count["vae"] + text,
        } | self._lineage(name)

    def _lineage(self, name: str) -> dict:
        """Out of what a member grew, for its model card; nothing where it began at random."""
        if name not in BEGINNING:
            return {}
        steps = self._beginning(name)["step"]
        return {"began_as": BEGINNING[name], "began_after": steps, "samples_before": samples_in(steps)}

    def export_clap(self) -> Path:
        """Write the scoring CLAP's folder."""
        folder = self.checkpoints / "mini-clap"
        unfinished = folder.with_name("mini-clap.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        clap.assemble(self.text, self.audio, self.tokenizer, unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        return folder


def main() -> None:
    stages = [
        "data",
        "tokenizer",
        "text",
        "vae",
        "latents",
        "decoder",
        "ear",
        "caption_embeddings",
        "judge",
        "audio",
        *UNET_WIDTH,
        "clap",
    ]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", help=f"of {', '.join(stages)}; all, in this order, where none is named")
    parser.add_argument("--smoke", action="store_true", help="run the whole recipe in seconds; it learns nothing")
    parser.add_argument("--threads", type=int, help="CPU threads; one process a core beats one process on all")
    asked = parser.parse_args()
    unknown = set(asked.stages) - set(stages)
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(stages)}")
    if asked.threads:
        torch.set_num_threads(asked.threads)
    state = state_folder() / "smoke" if asked.smoke else state_folder()
    checkpoints = state / "checkpoints" if asked.smoke else CHECKPOINTS
    family = Family(
        state, checkpoints, Recipe.smoke() if asked.smoke else Recipe(), lambda text: print(text, flush=True)
    )
    for stage in asked.stages or stages:
        family.say(f"== {stage}")
        if stage in UNET_WIDTH:
            family.say(f"{family.export(stage).name}: written")
        elif stage == "clap":
            family.say(f"{family.export_clap().name}: written")
        else:
            getattr(family, "mels" if stage == "data" else stage)


if __name__ == "__main__":
    main()

"""Short trainings that differ in one thing each, with the same data and the same noise: what helps words reach sound?

    python -m mini.recipes [--steps 1200] [NAME ...]   train, which can be killed and goes on, judge, print the table

All begin from the same random numbers as far as their shapes allow. The results of one run stand in mini/README.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import ClapTextModelWithProjection

from .evaluate import frechet, load, paired
from .judge import verdicts
from .obedience import generate_all, heard_as_asked, obeyed, prompts_of, real_clips, test_scenes
from .parts import CHECKPOINTS, UNET_WIDTH, make_unet
from .tokens import load_tokenizer
from .train import Family, state_folder
from .unet import BATCH

STEPS = 1_200
SCALED = {"resnet_time_scale_shift": "scale_shift"}
EVERYWHERE = {"down_block_types": ("CrossAttnDownBlock2D",) * 4, "up_block_types": ("CrossAttnUpBlock2D",) * 4}
WIDER_WORDS = {"class_embed_type": "projection", "time_embedding_dim": 256}


def anywhere(rng: np.random.Generator, count: int) -> np.ndarray:
    """Time steps without a preference."""
    return rng.integers(0, 1000, count)


RECIPES = {  # name -> changes of the UNet's shape, and of its training
    "as the family": ({}, {}),
    "scale_shift": (SCALED, {}),
    "scale_shift, rate 4e-3": (SCALED, {"learning_rate": 4e-3}),
    "scale_shift, batches of 24, twice the steps": (SCALED, {"batch": 24}),
    "scale_shift, attention at the first level as well": ({**SCALED, **EVERYWHERE}, {}),
    "scale_shift, two layers and 256 numbers for the words": ({**SCALED, **WIDER_WORDS}, {}),
    "scale_shift, words twice as loud": ({**SCALED, "class_embedding_factor": 12}, {}),
    "scale_shift, time steps anywhere": (SCALED, {"timesteps": anywhere}),
    "scale_shift, whole clips only": (SCALED, {"whole_every": 1}),
    "all that helps": ({**SCALED, **WIDER_WORDS}, {"learning_rate": 4e-3, "batch": 24}),
}


def trained(family: Family, name: str, steps: int = STEPS):
    """The UNet of a recipe, as wide as mini-s-v2's, after so many steps of 48, or as many more of smaller batches."""
    shape, training = RECIPES[name]
    torch.manual_seed(0)
    start = make_unet(UNET_WIDTH["mini-s-v2"], **shape)
    steps = steps * BATCH // training.get("batch", BATCH)
    stage = f"recipe-{list(RECIPES).index(name)}-{steps}"
    return family.taught(stage, start, family.caption_embeddings, steps=steps, **training)


def table(family: Family, pipe, names: Sequence[str], per_class: int = 10, steps: int = STEPS) -> str:
    """Train and judge recipes; what each obeys more than the first is paired, with the sounds as subjects."""
    scenes = test_scenes(per_class)
    hear = partial(verdicts, family.judge)
    real = hear(real_clips(scenes, 2.56))[0]
    lines = ["| recipe | class | tempo | Frechet distance | of what is asked, more than the first (95% interval) |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    first: list[float] = []
    for name in names:
        pipe.unet = trained(family, name, steps)
        embeddings, logits = hear(generate_all(pipe, prompts_of(scenes)))
        heard, obeys = heard_as_asked(logits, scenes), obeyed(logits, scenes)
        first = first or obeys
        gain = paired(np.subtract(obeys, first), [scene.sound for scene in scenes])
        more = f"{100 * gain['mean']:+.1f} points ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
        shares = " | ".join(f"{np.nanmean(heard[head]):.0%}" for head in ("class", "tempo"))
        lines.append(f"| {name} | {shares} | {frechet(embeddings, real):.0f} | {more if name != names[0] else '-'} |")
        family.say(lines[-1])
    return "\n".join(lines)


class Shipped(Family):
    """The family with text tower, VAE and tokenizer as they are in the clone, so that only UNets are trained."""

    @cached_property
    def tokenizer(self):
        return load_tokenizer(CHECKPOINTS / "mini-s-v2" / "tokenizer")

    @cached_property
    def text(self):
        folder = CHECKPOINTS / "mini-s-v2" / "text_encoder"
        return ClapTextModelWithProjection.from_pretrained(folder).eval()

    @cached_property
    def vae(self):
        return AutoencoderKL.from_pretrained(CHECKPOINTS / "mini-s-v2" / "vae").eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(RECIPES))
    parser.add_argument("--steps", type=int, default=STEPS)
    asked = parser.parse_args()
    names = asked.names or list(RECIPES)
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        parser.error(f"there is no recipe {unknown[0]!r}: the names are {'; '.join(RECIPES)}")
    family = Shipped(state_folder() / "recipes", say=partial(print, flush=True))
    print(table(family, load(CHECKPOINTS / "mini-s-v2"), names, steps=asked.steps))


if __name__ == "__main__":
    main()

"""Fixtures of several tests: a mini checkpoint of random weights, made in seconds, so that none needs trained ones."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several run at a time, and a second one gains so small a model nothing
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

CAPTIONS = [
    "A dog barking in the rain, high quality.",
    "Techno music with a strong, upbeat tempo and high melodic riffs",
    "A siren, low quality; a clear bell at a slow tempo.",
]


def slow_after(count: int, cases: list[tuple]) -> list:
    """Mark all but the first cases of a parametrized test as slow."""
    return [pytest.param(*case, marks=[pytest.mark.slow] * (i >= count)) for i, case in enumerate(cases)]


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory) -> Path:
    """The folder of a `mini-s-v2` with random weights; AUDIOLDM_MINI_FOLDER may name the folder that holds it.

    Nobody listens to it: its vocoder takes a third of the rounds.
    """
    import torch

    from mini import parts, tokens
    from tests.checkpoints import change_json

    files = tmp_path_factory.mktemp("tokenizer")
    tokens.train_tokenizer(CAPTIONS, files, vocab_size=300)
    vocab_size = len(tokens.load_tokenizer(files))
    folder = tmp_path_factory.mktemp("minis") / "mini-s-v2"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clap, vae, unet = parts.make_clap(vocab_size), parts.make_vae(), parts.make_unet(parts.UNET_WIDTH["mini-s-v2"])
    text_encoder = parts.text_tower(clap)
    parts.save_checkpoint(folder, tokenizer_files=files, text_encoder=text_encoder, vae=vae, unet=unet)
    change_json(folder / "vocoder" / "config.json", n_iter=4)
    return folder


@pytest.fixture(scope="session")
def pipe(random_checkpoint):
    """That checkpoint, loaded; a test that changes it puts it back."""
    from utils import load_pipeline

    return load_pipeline(random_checkpoint)


@pytest.fixture
def adapted(pipe):
    """The random checkpoint with a UNet of its own that wears an adapter, `laser`, of random numbers."""
    import copy

    import diffusers
    import torch
    from peft import LoraConfig

    mine = diffusers.AudioLDMPipeline(**{**pipe.components, "unet": copy.deepcopy(pipe.unet)})
    mine.register_to_config(_name_or_path="mini-s-v2")
    mine.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "conv1"]), adapter_name="laser")
    with torch.no_grad():
        for name, value in mine.unet.named_parameters():
            if "lora_" in name:
                value.normal_(0, 0.2, generator=torch.Generator().manual_seed(0))
    return mine


@pytest.fixture(scope="session")
def repository(tmp_path_factory) -> Path:
    """A small AudioLDM in today's Hub format."""
    from tests.checkpoints import make_repository

    return make_repository(tmp_path_factory.mktemp("today") / "small")


@pytest.fixture
def generated(monkeypatch) -> list:
    """The prompts and seeds that a sweep has generated so far, a list for each batch."""
    module = importlib.import_module("utils.sweeps")
    seen, real = [], module.generate_batch

    def spy(pipe, requests, **settings):
        seen.append([(request.prompt, request.seed) for request in requests])
        return real(pipe, requests, **settings)

    monkeypatch.setattr(module, "generate_batch", spy)
    return seen


@pytest.fixture
def minis(random_checkpoint, monkeypatch):
    """Let "auto" and "mini-s-v2" mean the random checkpoint."""
    monkeypatch.setenv("AUDIOLDM_MINI_FOLDER", str(random_checkpoint.parent))
    monkeypatch.setenv("AUDIOLDM_CHECKPOINT", "mini-s-v2")


@pytest.fixture
def studio(minis, tmp_path, monkeypatch):
    """A studio with the random checkpoint, ready to make short takes of rain."""
    from playground import studio as module
    from playground.takes import CostModel

    monkeypatch.setattr(module, "studios", {})
    measured = [([1.0, 1.0, 0.0, 0.0], 0.1), ([1.0, 1.0, 2.0, 2.0], 0.2)]
    monkeypatch.setattr(CostModel, "timed", lambda pipe, before_each: CostModel(measured))
    monkeypatch.chdir(tmp_path)
    studio = module.Studio(folder=tmp_path / "takes")
    assert studio.message == "mini-s-v2 is ready."
    studio.set(prompt="rain", num_inference_steps=2, audio_length_in_s=0.5)
    return studio


@pytest.fixture
def path(tmp_path) -> Path:
    """The file of one listener's answers, in a folder of a class."""
    return tmp_path / "class" / "ada.csv"

"""The keys of a sweep's clips: pipelines that sound different never share one."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from tests.test_sweep import PROMPTS, TINY, assert_same_sound, kept, module, waveforms
from tools import lessons
from utils import generate, load_pipeline, sweep


@pytest.fixture
def own(random_checkpoint):
    """The random checkpoint, loaded anew, to be changed."""
    return load_pipeline(random_checkpoint)


# ---- what differs never shares a clip


def scheduler_attribute(pipe):
    pipe.scheduler.alphas_cumprod[500:510] *= 0.99


def scheduler_that_leaves_out_steps(pipe):
    class Late(diffusers.DDIMScheduler):
        def set_timesteps(self, num_inference_steps, device=None):
            super().set_timesteps(num_inference_steps, device)
            self.timesteps = self.timesteps[5:]

    Late.__name__ = "DDIMScheduler"
    pipe.scheduler = Late.from_config(pipe.scheduler.config)


def one_weight(pipe):
    with torch.no_grad():
        pipe.unet.conv_in.weight[0, 0, 0, 0] += 1e-6


def other_heads(pipe):
    next(m for m in pipe.unet.modules() if hasattr(m, "heads")).heads = 1


def hook_within(pipe):
    pipe.unet.mid_block.register_forward_hook(lambda module, inputs, output: output * 1.05)


def patched_vae(pipe):
    real = pipe.vae.decode
    pipe.vae.decode = lambda latents, **more: real(latents * 0.98, **more)


def flipped_text(pipe):
    pipe.text_encoder.text_projection.register_forward_hook(lambda module, inputs, output: output.flip(-1))


def letters_for_tokens(pipe):
    pipe.tokenizer = lambda text, real=pipe.tokenizer, **_: real(" ".join(text[:9]))
    pipe.tokenizer.model_max_length = 64


CHANGES = [
    scheduler_attribute, scheduler_that_leaves_out_steps, one_weight, other_heads, hook_within, patched_vae,
    flipped_text, letters_for_tokens,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_pipeline_makes_its_own_clips(own, change):
    def print_of(pipe) -> str:
        return kept.fingerprint(pipe) + kept.scheduler_print(pipe, 10)

    before = print_of(own)
    generate(own, "rain", num_inference_steps=3, audio_length_in_s=0.64)
    assert print_of(own) == before  # it does not change by being used
    change(own)
    assert print_of(own) != before


def test_adapters_their_scales_and_off_are_told_apart(adapted, tmp_path, generated):
    grid = dict(seeds=[0], folder=tmp_path, **TINY)
    tables = []
    for scale in (0, 0.5, 1, 0.5):
        adapted.unet.set_adapters(["laser"], [scale])
        tables.append(sweep(adapted, "rain", **grid))
    adapted.unet.disable_adapters()
    tables.append(sweep(adapted, "rain", **grid))
    assert len(generated) == 4  # 0.5 was there
    files, sounds = [table.file[0] for table in tables], [waveforms(table)[0] for table in tables]
    assert len(set(files)) == 4 and files[1] == files[3]
    assert not any(np.array_equal(sounds[i], sounds[j]) for i, j in [(0, 1), (1, 2), (2, 4)])
    assert np.array_equal(sounds[0], sounds[4])
    assert [table.get("adapters", ["none"])[0] for table in tables] == [
        "laser 0", "laser 0.5", "laser 1", "laser 0.5", "none",
    ]  # fmt: skip


@pytest.mark.parametrize("bound", ["3.0", "2.9"])
def test_a_project_whose_sound_path_changed_makes_its_own_clips(random_checkpoint, tmp_path, bound):
    """A copy of the project, as it is and with another bound of the vocoder, beside the clips of this one."""
    clips = Path(sweep(str(random_checkpoint), "rain", seeds=0, folder=tmp_path / "clips", **TINY).file[0])
    shutil.copytree(lessons.ROOT / "utils", tmp_path / "utils")
    source = tmp_path / "utils" / "vocoder.py"
    source.write_text(source.read_text(encoding="utf-8").replace("LOUDEST = 3.0", f"LOUDEST = {bound}"))
    call = f"sweep({str(random_checkpoint)!r}, 'rain', seeds=0, folder={str(tmp_path / 'clips')!r}, **{TINY})"
    run = subprocess.run([sys.executable, "-c", f"from utils import sweep; {call}"], cwd=tmp_path, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert (list(clips.parent.glob("*.wav")) == [clips]) == (bound == "3.0")


def test_another_version_of_the_libraries_has_the_same_fingerprint(own):
    before, config = kept.fingerprint(own), dict(own.scheduler.config)
    defaults = [*config.get("_use_default_values", []), "new_in_the_next_version"]
    own.scheduler._internal_dict = type(own.scheduler.config)(
        {**config, "new_in_the_next_version": False, "_use_default_values": defaults, "_diffusers_version": "9.0"}
    )
    assert kept.fingerprint(own) == before


def test_rounding_errors_do_not_change_an_outline_and_a_thousandth_does():
    values = np.random.default_rng(0).standard_normal(1024).astype(np.float32)
    outline = kept._outline(values, 3)
    assert kept._outline(values * (1 + 1e-7) + 1e-8, 3) == outline
    for other in (values * 1.002, values[::-1], -values, np.roll(values, 9), values * np.nan, values * 0):
        assert kept._outline(other, 3) != outline


def test_checkpoints_are_loaded_one_at_a_time_and_freed(random_checkpoint, tmp_path, monkeypatch):
    second = shutil.copytree(random_checkpoint, tmp_path / "the-other")
    alive, most = weakref.WeakSet(), []

    def spy(name):
        gc.collect()
        most.append(len(alive))
        pipe = load_pipeline(name)
        alive.add(pipe.unet)
        return pipe

    monkeypatch.setattr(module, "load_pipeline", spy)
    table = sweep([random_checkpoint, second], PROMPTS, seeds=[0], folder=tmp_path / "clips", **TINY)
    gc.collect()
    assert most == [0, 0] and len(alive) == 0
    assert list(table.checkpoint) == ["mini-s-v2", "mini-s-v2", "the-other", "the-other"]
    assert table.file.nunique() == 4  # same weights, other name: not shared
    assert_same_sound(table[:2].drop(columns="checkpoint"), table[2:].reset_index(drop=True).drop(columns="checkpoint"))

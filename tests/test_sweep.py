"""The sweep: the right clips in the right order, none twice, none lost, none damaged, none of another pipeline."""

from __future__ import annotations

import gc
import multiprocessing
import shutil
import subprocess
import sys
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module
from itertools import count, product
from pathlib import Path

import diffusers
import numpy as np
import pandas as pd
import pytest
import torch

from tools import lessons
from utils import generate, load_clips, load_pipeline, loudness_db, measures, sweep

module, store = import_module("utils.sweeps"), import_module("utils.clip_store")
PROMPTS = ["a dog barking", "rain"]
ALONE = dict(batch_size=1, progress=False)  # to the bit what `generate` makes
TINY = dict(num_inference_steps=1, audio_length_in_s=0.64, **ALONE)


def waveforms(table: pd.DataFrame) -> list[np.ndarray]:
    return [clip.waveform for clip in load_clips(table)]


def assert_same_sound(table: pd.DataFrame, other: pd.DataFrame) -> None:
    settings = [c for c in table.columns if c not in ("seconds", "real_time_factor", "file")]
    pd.testing.assert_frame_equal(table[settings], other[settings])
    for one, two in zip(waveforms(table), waveforms(other), strict=True):
        np.testing.assert_array_equal(one, two)


# ---- the table


def test_one_row_for_every_combination_in_order_and_the_clips_of_generate(pipe, tmp_path):
    axes = dict(negative_prompts=[None, "noise"], guidance_scale=[1.5, 4], audio_length_in_s=[0.64])
    table = sweep(pipe, PROMPTS, **axes, num_inference_steps=[2, 1], seeds=[7], folder=tmp_path, **ALONE)
    columns = ["prompt", "negative_prompt", "guidance_scale", "audio_length_in_s", "num_inference_steps", "seed"]
    rows = table[columns].astype(object).where(table[columns].notna(), None)
    assert list(rows.itertuples(index=False, name=None)) == list(product(PROMPTS, *axes.values(), [2, 1], [7]))
    made_by = table[["checkpoint", "scheduler", "dtype"]].drop_duplicates()
    assert made_by.values.tolist() == [["mini-s-v2", "DDIMScheduler", "float32"]] and "adapters" not in table
    np.testing.assert_allclose(table.real_time_factor, table.seconds / 0.64)
    for index in (0, 6, 15):
        clip, alone = load_clips(table.iloc[index])[0], generate(pipe, **rows.iloc[index].to_dict())
        np.testing.assert_array_equal(clip.waveform, alone.waveform)
        assert clip.settings == alone.settings


def test_single_values_will_do_and_repeated_ones_count_once(pipe):
    assert list(sweep(pipe, "rain", seeds=np.array([3, 3]), **TINY).seed) == [3]
    found = sweep(pipe, {"wind", "rain", "a bell"}, seeds=torch.tensor(3), **TINY)
    assert list(found.prompt) == ["a bell", "rain", "wind"]


def test_batches_are_cut_evenly_where_settings_agree_and_change_no_more_than_float_tolerance(pipe, tmp_path, generated):
    grid = dict(num_inference_steps=[1, 2], audio_length_in_s=0.64, seeds=range(5), progress=False)
    together = sweep(pipe, "rain", folder=tmp_path / "4", batch_size=4, **grid)
    assert generated == [[("rain", seed) for seed in seeds] for seeds in [(0, 1, 2), (3, 4)] * 2]
    alone = sweep(pipe, "rain", folder=tmp_path / "1", batch_size=1, **grid)
    for one, two in zip(load_clips(alone), load_clips(together), strict=True):
        assert one.settings == two.settings
        np.testing.assert_allclose(one.waveform, two.waveform, atol=0.02 * one.peak)


def test_by_default_only_minis_are_generated_together(pipe, minis, repository, generated):
    for source in (pipe, "mini-s-v2", [pipe, repository]):
        sweep(source, PROMPTS, **{**TINY, "batch_size": None})
    assert [len(batch) for batch in generated] == [6, 6, *[1] * 12]


def test_measures_are_columns_and_can_be_added_later(pipe, tmp_path, generated):
    table = sweep(pipe, PROMPTS, seeds=[0], folder=tmp_path, **TINY)

    def peak(clip):
        clip.waveform[:] /= clip.peak  # changes a copy
        clip.settings.clear()
        return clip.peak

    more = sweep(pipe, PROMPTS, seeds=[0], folder=tmp_path, measures=[peak, "noise_floor_db"], **TINY)
    assert len(generated) == 2
    assert list(more.peak) == pytest.approx([1, 1])
    assert list(more.noise_floor_db) == [measures.noise_floor_db(clip) for clip in load_clips(table)]
    pd.testing.assert_frame_equal(more[table.columns], table)
    for one in ("loudness_db", loudness_db, [loudness_db, "loudness_db"]):
        assert "loudness_db" in sweep(pipe, "rain", seeds=0, folder=tmp_path, measures=one, **TINY)


def test_the_clips_of_a_table_of_its_parts_and_of_one_row(pipe):
    table = sweep(pipe, "rain", seeds=[0, 1], **TINY)
    for part in (table[table.seed == 1], table.iloc[1]):
        assert [clip.settings["seed"] for clip in load_clips(part)] == [1]
    assert load_clips(table[table.seed == 9]) == []
    for other in (table["file"], table.drop(columns="file"), list(table["file"]), None):
        with pytest.raises(TypeError, match="table"):
            load_clips(other)


# ---- nothing twice, nothing lost


def test_what_is_finished_is_not_done_again(pipe, tmp_path, generated):
    table = sweep(pipe, PROMPTS, seeds=[0, 1], folder=tmp_path, **TINY)
    pd.testing.assert_frame_equal(sweep(pipe, PROMPTS, seeds=[0, 1], folder=tmp_path, **TINY), table)
    assert len(generated) == 4
    wider = sweep(pipe, ["wind", *PROMPTS], seeds=[1, 0, 2], folder=tmp_path, **TINY)
    assert len(generated) == 9 and set(table.file) < set(wider.file)


DAMAGES = {
    "truncated sound": lambda path: path.write_bytes(path.read_bytes()[:-4]),
    "changed row": lambda path: path.with_suffix(".json").write_text(
        path.with_suffix(".json").read_text().replace('"seed": 1', '"seed": 5')
    ),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_what_is_damaged_is_noticed_and_made_again_to_the_bit(pipe, tmp_path, generated, how):
    batch_size = 3 if how == "truncated sound" else 1
    settings = dict(seeds=[0, 1, 2], folder=tmp_path, **{**TINY, "batch_size": batch_size})
    table = sweep(pipe, "rain", **settings)
    before = waveforms(table)
    DAMAGES[how](tmp_path / table.file[1])
    untouched = {path: path.stat().st_mtime_ns for path in tmp_path.glob("rain*") if path.stem not in table.file[1]}
    with pytest.raises(OSError, match="missing or damaged"):
        load_clips(table)
    generated.clear()
    again = sweep(pipe, "rain", **settings)
    assert generated == [[("rain", 1)] * batch_size]  # nothing finished is done again
    np.testing.assert_array_equal(waveforms(again), before)
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched


# ---- many workers


def check_executor(executor, checkpoint, tmp_path) -> None:
    settings = dict(seeds=[0, 1], folder=tmp_path / "there", **{**TINY, "batch_size": 2})
    there = sweep(checkpoint, PROMPTS, executor=executor, **settings)
    here = sweep(checkpoint, PROMPTS, **{**settings, "folder": tmp_path / "here"})
    assert_same_sound(here, there)
    pd.testing.assert_frame_equal(sweep(checkpoint, PROMPTS, executor=executor, **settings), there)


def test_threads(random_checkpoint, tmp_path):
    with ThreadPoolExecutor(2) as executor:
        check_executor(executor, random_checkpoint, tmp_path)


@pytest.mark.slow
def test_processes(random_checkpoint, tmp_path):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        check_executor(executor, random_checkpoint, tmp_path)


@pytest.mark.slow
def test_dask(random_checkpoint, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is optional: pip install distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        check_executor(client, random_checkpoint, tmp_path)


def test_three_sweeps_at_once_in_one_process(pipe, random_checkpoint, tmp_path):
    second = shutil.copytree(random_checkpoint, tmp_path / "the-other")
    sources, grid = [random_checkpoint, second, pipe], dict(seeds=range(4), folder=tmp_path / "clips", **TINY)
    with ThreadPoolExecutor(3) as pool:
        tables = list(pool.map(lambda source: sweep(source, PROMPTS, **grid), sources))
    for table, source in zip(tables, sources, strict=True):
        alone = sweep(source, PROMPTS, **{**grid, "folder": tmp_path / "alone"})
        assert_same_sound(table, alone)


# ---- what differs never shares a clip


def scheduler_of_fewer_steps(pipe):
    class Late(diffusers.DDIMScheduler):
        def set_timesteps(self, num_inference_steps, device=None):
            super().set_timesteps(num_inference_steps, device)
            self.timesteps = self.timesteps[5:]

    Late.__name__ = "DDIMScheduler"
    pipe.scheduler = Late.from_config(pipe.scheduler.config)


def patched_vae(pipe):
    real = pipe.vae.decode
    pipe.vae.decode = lambda latents, **more: real(latents * 0.98, **more)


def letters_for_tokens(pipe):
    pipe.tokenizer = lambda text, real=pipe.tokenizer, **_: real(" ".join(text[:9]))
    pipe.tokenizer.model_max_length = 64


CHANGES = {
    "an attribute of the scheduler": lambda pipe: pipe.scheduler.alphas_cumprod[500:510].mul_(0.99),
    "a scheduler of fewer steps": scheduler_of_fewer_steps,
    "one weight": lambda pipe: pipe.unet.conv_in.weight.data[0, 0, 0, 0].add_(1e-6),
    "a hook within": lambda pipe: pipe.unet.mid_block.register_forward_hook(lambda module, _, output: output * 1.05),
    "a patched VAE": patched_vae,
    "letters for tokens": letters_for_tokens,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_pipeline_makes_its_own_clips(random_checkpoint, change):
    own = load_pipeline(random_checkpoint)

    def print_of(pipe) -> str:
        return store.fingerprint(pipe) + store.scheduler_fingerprint(pipe, 10)

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
    worn = [table.get("adapters", ["none"])[0] for table in tables]
    assert worn == ["laser 0", "laser 0.5", "laser 1", "laser 0.5", "none"]


def test_a_project_whose_sound_path_changed_makes_its_own_clips(random_checkpoint, tmp_path):
    """A copy of the project with another bound of the vocoder, beside the clips of this one."""
    clips = Path(sweep(str(random_checkpoint), "rain", seeds=0, folder=tmp_path / "clips", **TINY).file[0])
    shutil.copytree(lessons.ROOT / "utils", tmp_path / "utils")
    source = tmp_path / "utils" / "vocoder.py"
    source.write_text(source.read_text(encoding="utf-8").replace("LOUDEST = 3.0", "LOUDEST = 2.9"))
    call = f"sweep({str(random_checkpoint)!r}, 'rain', seeds=0, folder={str(tmp_path / 'clips')!r}, **{TINY})"
    run = subprocess.run([sys.executable, "-c", f"from utils import sweep; {call}"], cwd=tmp_path, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert len(list(clips.parent.glob("*.wav"))) == 2


def test_checkpoints_are_loaded_one_at_a_time_and_freed(random_checkpoint, tmp_path, monkeypatch):
    second, alive, most = shutil.copytree(random_checkpoint, tmp_path / "the-other"), weakref.WeakSet(), []

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


# ---- asking, refusing


def test_a_huge_grid_asks_first_and_is_never_built(pipe, tmp_path, monkeypatch, generated):
    grid = {"seeds": range(10_000), "num_inference_steps": range(1, 1001), "guidance_scale": np.linspace(1, 2, 1000)}
    with pytest.raises(ValueError, match=" 20,000,000,000 clips: pass confirm=True"):
        sweep(pipe, PROMPTS, folder=tmp_path / "clips", **grid)
    assert not generated and not (tmp_path / "clips").exists()
    monkeypatch.setattr(module, "CONFIRM_ABOVE", 1)
    with pytest.raises(ValueError, match="2 clips: pass confirm=True"):
        sweep(pipe, "rain", seeds=[0, 1], folder=tmp_path, **TINY)
    assert len(sweep(pipe, "rain", seeds=[0, 1], folder=tmp_path, confirm=True, **TINY)) == 2


def named(name: str):
    """Return a measure of this name."""
    return type(name, (), {"__new__": lambda cls, clip: clip.peak})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": []}, "prompts is empty"),
        ({"prompts": ["rain", " "]}, "prompt is empty"),
        ({"negative_prompts": [3]}, "must be a string, not 3"),
        ({"num_inference_steps": [5, 0]}, "num_inference_steps must be from 1 to 1000, not 0"),
        ({"audio_length_in_s": [0.64, 0.05]}, "audio_length_in_s must be from 0.08"),
        ({"seeds": count()}, "seeds is too long"),
        ({"measures": ["loudnes"]}, "no measure 'loudnes'.*loudness_db"),
        ({"measures": [lambda clip: clip.peak]}, "lambda"),
        ({"measures": named("seed")}, "seed"),
        ({"measures": [named("peak"), named("peak")]}, "peak"),
        ({"batch_size": 0}, "batch_size must be from 1 to 64, not 0"),
        ({"checkpoints": [3]}, "checkpoints"),
        ({"executor": ThreadPoolExecutor(1), "checkpoints": [object()]}, "names"),
    ],
)
def test_bad_input_is_one_clear_sentence_before_a_checkpoint_is_looked_for(tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(module, "locate", lambda *_: pytest.fail("looked for"))
    arguments = {"checkpoints": "audioldm-l-full", "prompts": "rain", "folder": tmp_path / "clips", **TINY, **change}
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        sweep(**arguments)
    assert "\n" not in str(caught.value) and not (tmp_path / "clips").exists()


def test_a_checkpoint_or_a_folder_that_cannot_be_had_is_named(pipe, tmp_path, generated):
    with pytest.raises(ValueError, match="no checkpoint or folder 'mini-s-v3'.*mini-s-v2"):
        sweep("mini-s-v3", "rain", **TINY)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        sweep(pipe, "rain", folder=tmp_path / "file", **TINY)
    assert not generated

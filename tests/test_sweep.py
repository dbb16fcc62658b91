"""The sweep: the right clips in the right order, none twice, none lost, none shared by what differs, none damaged."""

from __future__ import annotations

import gc
import multiprocessing
import shutil
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module
from itertools import count, product
from multiprocessing.context import BaseContext

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from utils import generate, load_clips, load_pipeline, measures, sweep
from utils.fingerprint import fingerprint
from utils.points import Point
from utils.points import batches as cut

module = import_module("utils.sweeps")
PROMPTS = ["a dog barking", "rain"]
ALONE = dict(batch_size=1, progress=False)  # to the bit what `generate` makes
TINY = dict(num_inference_steps=1, audio_length_in_s=0.64, **ALONE)


@pytest.fixture
def generated(monkeypatch) -> list:
    """What has been generated so far: one entry a clip, fillers included."""
    seen, real = [], module.generate_batch

    def spy(pipe, requests, **settings):
        seen.extend((request, settings["num_inference_steps"]) for request in requests)
        return real(pipe, requests, **settings)

    monkeypatch.setattr(module, "generate_batch", spy)
    return seen


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
    expected = list(product(PROMPTS, *axes.values(), [2, 1], [7]))
    assert [tuple(None if v is None or v != v else v for v in row) for row in table[columns].to_numpy()] == expected
    assert set(table.checkpoint) == {"mini-s-v2"}
    assert set(table.scheduler) == {"DDIMScheduler"}
    assert set(table.dtype) == {"float32"}
    assert (table.seconds > 0).all()
    np.testing.assert_allclose(table.real_time_factor, table.seconds / 0.64)
    for index in (0, 6, 15):
        clip = load_clips(table)[index]
        settings = {k: v for k, v in clip.settings.items() if k not in ("checkpoint", "scheduler", "dtype")}
        np.testing.assert_array_equal(clip.waveform, generate(pipe, **settings).waveform)
        assert clip.settings["seed"] == table.seed[index]


def test_single_values_will_do_and_repeated_ones_count_once(pipe, tmp_path):
    table = sweep(pipe, "rain", seeds=[3, 3], folder=tmp_path, **TINY)
    assert list(table.seed) == [3]
    assert list(table.prompt) == ["rain"]


def test_batches_change_no_more_than_float_tolerance(pipe, tmp_path):
    alone = sweep(pipe, PROMPTS, seeds=range(3), folder=tmp_path / "1", **TINY)
    together = sweep(pipe, PROMPTS, seeds=range(3), folder=tmp_path / "4", **{**TINY, "batch_size": 4})
    for one, two in zip(load_clips(alone), load_clips(together), strict=True):
        assert one.settings == two.settings
        assert measures.log_mel_distance(one, two) < 0.5  # dB
        np.testing.assert_allclose(one.waveform, two.waveform, atol=0.02 * one.peak)


def test_batches_are_cut_evenly_and_only_where_settings_agree():
    points = [
        Point(prompt, None, guidance, 1.0, steps, seed)
        for prompt, guidance, steps, seed in product("ab", [1.0, 2.0], [5, 10], range(5))
    ]
    batches = list(cut(points, 8))
    assert sorted(point for batch, _ in batches for point in batch) == sorted(points)
    assert [(len(batch), size) for batch, size in batches] == [(5, 5)] * 8
    for batch, _ in batches:
        assert len({(p.guidance_scale, p.num_inference_steps) for p in batch}) == 1


def test_by_default_only_what_gains_from_it_is_generated_together(pipe, random_checkpoint, tmp_path, monkeypatch):
    batches, real = [], module.generate_batch

    def spy(pipe, requests, **settings):
        batches.append(len(requests))
        return real(pipe, requests, **settings)

    monkeypatch.setattr(module, "generate_batch", spy)
    other = shutil.copytree(random_checkpoint, tmp_path / "other")
    for name, source in (("pipe", pipe), ("name", "mini-s"), ("own", other), ("both", [pipe, "mini-s"])):
        sweep(source, PROMPTS, folder=tmp_path / name, **{**TINY, "batch_size": None})
    assert batches == [6] + [6] + [1] * 6 + [6, 6]


def test_each_prompt_is_encoded_once(random_checkpoint, tmp_path):
    pipe = load_pipeline(random_checkpoint)
    encoded = []
    pipe.text_encoder.register_forward_hook(lambda *_: encoded.append(1))
    sweep(pipe, PROMPTS, seeds=range(2), folder=tmp_path, **{**TINY, "num_inference_steps": [1, 2]})
    assert len(encoded) == 3  # two prompts, and the empty one of the guidance


def test_measures_are_columns_and_can_be_added_later(pipe, tmp_path, generated):
    table = sweep(pipe, PROMPTS, seeds=[0], folder=tmp_path, **TINY)

    def peak(clip):
        return clip.peak

    more = sweep(pipe, PROMPTS, seeds=[0], folder=tmp_path, measures=["noise_floor_db", "is_silent", peak], **TINY)
    assert len(generated) == 2
    clips = load_clips(table)
    assert list(more.noise_floor_db) == [measures.noise_floor_db(clip) for clip in clips]
    assert list(more.is_silent) == [measures.is_silent(clip) for clip in clips]
    assert list(more.peak) == [clip.peak for clip in clips]
    pd.testing.assert_frame_equal(more[table.columns], table)


def test_without_a_folder_the_clips_can_be_had_too(pipe):
    table = sweep(pipe, "rain", seeds=[0, 1], **TINY)
    assert [clip.settings["seed"] for clip in load_clips(table[table.seed == 1])] == [1]


# ---- nothing twice, nothing lost


def test_what_is_finished_is_not_done_again(pipe, tmp_path, generated):
    table = sweep(pipe, PROMPTS, seeds=[0, 1], folder=tmp_path, **TINY)
    assert len(generated) == 4
    pd.testing.assert_frame_equal(sweep(pipe, PROMPTS, seeds=[0, 1], folder=tmp_path, **TINY), table)
    assert len(generated) == 4
    wider = sweep(pipe, ["wind", *PROMPTS], seeds=[1, 0, 2], folder=tmp_path, **TINY)
    assert len(generated) == 9
    assert set(table.file) < set(wider.file)


def damage(path, how: str) -> None:
    row = path.with_suffix(".json")
    if how == "truncated sound":
        path.write_bytes(path.read_bytes()[:-4])
    elif how == "changed sound":
        data = bytearray(path.read_bytes())
        data[1000] ^= 1
        path.write_bytes(data)
    elif how == "no sound":
        path.unlink()
    elif how == "no row":
        row.unlink()
    elif how == "half a row":
        row.write_text(row.read_text()[:100])
    elif how == "changed row":
        row.write_text(row.read_text().replace('"seed": 1', '"seed": 5'))
    elif how == "not a row":
        row.write_text("[]")
    elif how == "another's files":
        other = next(p for p in path.parent.glob("*.wav") if p != path)
        shutil.copy(other, path)
        shutil.copy(other.with_suffix(".json"), row)


DAMAGES = ["changed sound", "no sound", "no row", "half a row", "changed row", "not a row", "another's files"]


@pytest.mark.parametrize(("how", "batch_size"), [*((how, 1) for how in DAMAGES), ("truncated sound", 3)])
def test_what_is_damaged_is_noticed_and_made_again_to_the_bit(pipe, tmp_path, generated, how, batch_size):
    settings = dict(seeds=[0, 1, 2], folder=tmp_path, **{**TINY, "batch_size": batch_size})
    table = sweep(pipe, "rain", **settings)
    before = waveforms(table)
    untouched = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.stem not in table.file[1]}
    damage(tmp_path / table.file[1], how)
    with pytest.raises(OSError, match="missing or damaged"):
        load_clips(table)
    generated.clear()
    again = sweep(pipe, "rain", **settings)
    assert {request.seed for request, _ in generated} == {1}  # nothing finished is done again
    np.testing.assert_array_equal(waveforms(again), before)
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched


def test_an_error_in_the_middle_loses_nothing(pipe, tmp_path, monkeypatch):
    real, calls = module.generate_batch, []

    def fails_at_the_third(*args, **settings):
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError("no more")
        return real(*args, **settings)

    monkeypatch.setattr(module, "generate_batch", fails_at_the_third)
    with pytest.raises(MemoryError):
        sweep(pipe, PROMPTS, seeds=[0, 1], folder=tmp_path, **TINY)
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert len(sweep(pipe, PROMPTS, seeds=[0, 1], folder=tmp_path, **TINY)) == 4
    assert len(calls) == 5


# ---- what differs never shares a clip


def swapped_scheduler(pipe):
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)


def other_scheduler_setting(pipe):
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, timestep_spacing="leading")


def one_weight(pipe):
    with torch.no_grad():
        pipe.unet.conv_in.weight[0, 0, 0, 0] += 1e-3


def other_heads(pipe):
    pipe.unet.register_to_config(attention_head_dim=4)


def other_vocoder(pipe):
    pipe.vocoder.register_to_config(n_iter=8)


def other_dtype(pipe):
    pipe.to(torch.bfloat16)


def letters_for_tokens(pipe):
    pipe.tokenizer = lambda text, real=pipe.tokenizer: real(" ".join(text))


@pytest.mark.parametrize(
    "change",
    [
        swapped_scheduler,
        other_scheduler_setting,
        one_weight,
        other_heads,
        other_vocoder,
        other_dtype,
        letters_for_tokens,
    ],
)
def test_a_changed_pipeline_has_another_fingerprint(random_checkpoint, change):
    pipe = load_pipeline(random_checkpoint)
    before = fingerprint(pipe)
    assert fingerprint(load_pipeline(random_checkpoint)) == before
    change(pipe)
    assert fingerprint(pipe) != before


def test_another_vocoder_in_this_projects_code_has_another_fingerprint(random_checkpoint, monkeypatch):
    pipe = load_pipeline(random_checkpoint)
    before = fingerprint(pipe)
    monkeypatch.setattr("utils.fingerprint.inspect.getsource", lambda code: "# faster")
    assert fingerprint(pipe) != before


def test_another_version_of_the_libraries_has_the_same_fingerprint(random_checkpoint):
    pipe = load_pipeline(random_checkpoint)
    before = fingerprint(pipe)
    config = dict(pipe.unet.config)
    defaults = [*config.get("_use_default_values", []), "new_in_the_next_version"]
    pipe.unet._internal_dict = type(pipe.unet.config)(
        {**config, "new_in_the_next_version": False, "_use_default_values": defaults, "_diffusers_version": "9.0"}
    )
    assert fingerprint(pipe) == before


def test_a_swapped_scheduler_is_generated_anew_into_the_same_folder(random_checkpoint, tmp_path, generated):
    pipe = load_pipeline(random_checkpoint)
    ddim = sweep(pipe, "rain", seeds=[0], folder=tmp_path, **TINY)
    swapped_scheduler(pipe)
    solver = sweep(pipe, "rain", seeds=[0], folder=tmp_path, **TINY)
    assert len(generated) == 2
    assert (ddim.scheduler[0], solver.scheduler[0]) == ("DDIMScheduler", "DPMSolverMultistepScheduler")
    assert ddim.file[0] != solver.file[0]


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
    assert most == [0, 0]
    assert len(alive) == 0
    assert list(table.checkpoint) == ["mini-s-v2", "mini-s-v2", "the-other", "the-other"]
    assert table.file.nunique() == 4  # same weights, other name: not shared
    assert_same_sound(table[:2].drop(columns="checkpoint"), table[2:].reset_index(drop=True).drop(columns="checkpoint"))


# ---- many workers


def check_executor(executor, checkpoint, tmp_path) -> None:
    settings = dict(seeds=[0, 1], folder=tmp_path / "there", **{**TINY, "batch_size": 2})
    there = sweep(checkpoint, PROMPTS, executor=executor, **settings)
    here = sweep(checkpoint, PROMPTS, **{**settings, "folder": tmp_path / "here"})
    assert_same_sound(here, there)
    pd.testing.assert_frame_equal(sweep(checkpoint, PROMPTS, executor=executor, **settings), there)
    assert [p.name for p in sorted((tmp_path / "here").iterdir())] == [
        p.name for p in sorted((tmp_path / "there").iterdir())
    ]


def test_threads(random_checkpoint, tmp_path):
    with ThreadPoolExecutor(2) as executor:
        check_executor(executor, random_checkpoint, tmp_path)


@pytest.fixture(scope="module")
def context() -> BaseContext:
    return multiprocessing.get_context("spawn")


def test_processes(random_checkpoint, tmp_path, context):
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        check_executor(executor, random_checkpoint, tmp_path)


@pytest.fixture
def one_thread():
    """As many threads as a worker of Dask has: the bits of a batch depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_dask(random_checkpoint, tmp_path, one_thread, context):
    distributed = pytest.importorskip("distributed", reason="Dask is optional: pip install distributed")
    import dask

    with (
        dask.config.set({"distributed.worker.multiprocessing-method": context.get_start_method()}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        check_executor(client.get_executor(), random_checkpoint, tmp_path)


def test_an_error_in_a_worker_comes_back_and_what_was_finished_stays(random_checkpoint, tmp_path):
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="audio_length_in_s must be"):
        sweep(
            random_checkpoint,
            "rain",
            seeds=[0],
            folder=tmp_path,
            executor=executor,
            **{**TINY, "audio_length_in_s": [0.64, 0.04]},  # a mini's shortest is 0.08 s
        )
    assert len(list(tmp_path.glob("*.json"))) == 1


# ---- asking, showing, refusing


@pytest.mark.parametrize(
    ("count", "grid"),
    [
        ("1,000,000", {"seeds": range(500_000)}),
        (
            "20,000,000,000",
            {"seeds": range(10_000), "num_inference_steps": range(1, 1001), "guidance_scale": np.linspace(1, 2, 1000)},
        ),
    ],
)
def test_a_huge_grid_asks_first(pipe, tmp_path, generated, count, grid):
    """And never builds it: the second is more than any memory holds."""
    with pytest.raises(ValueError, match=f" {count} clips: pass confirm=True to start"):
        sweep(pipe, PROMPTS, folder=tmp_path / "clips", **grid)
    assert not generated
    assert not (tmp_path / "clips").exists()


def test_a_confirmed_grid_starts(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ASK_ABOVE", 1)
    with pytest.raises(ValueError, match="2 clips: pass confirm=True"):
        sweep(pipe, "rain", seeds=[0, 1], folder=tmp_path, **TINY)
    assert len(sweep(pipe, "rain", seeds=[0, 1], folder=tmp_path, confirm=True, **TINY)) == 2


def test_the_bar_tells_the_time_left_and_can_be_hidden(pipe, tmp_path, capsys, monkeypatch):
    sweep(pipe, PROMPTS, seeds=[0], folder=tmp_path, **{**TINY, "progress": True})
    shown = capsys.readouterr()
    assert shown.out == ""
    assert " left, 1 of 2 clips" in shown.err
    sweep(pipe, PROMPTS, seeds=[0], folder=tmp_path, **TINY)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": []}, "prompts is empty"),
        ({"prompts": ["rain", " "]}, "prompt is empty"),
        ({"prompts": ["rain", 3]}, "must be a string"),
        ({"negative_prompts": [3]}, "must be a string, not 3"),
        ({"num_inference_steps": [5, 0]}, "num_inference_steps must be from 1 to 1000, not 0"),
        ({"num_inference_steps": -1}, "not -1"),
        ({"num_inference_steps": [2.5]}, "whole number"),
        ({"audio_length_in_s": [5, 1e9]}, "audio_length_in_s must be from 0.04 to 60 s, not 1e.09 s"),
        ({"guidance_scale": [float("nan")]}, "guidance_scale must be from 0 to 50"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": count()}, "seeds is too long: give 1 to 1,000,000 values"),
        ({"seeds": [0] * 1_000_000 + [1]}, "seeds is too long"),
        ({"seeds": [-1]}, "seed must be from 0"),
        ({"measures": ["loudnes"]}, "no measure 'loudnes'.*loudness_db"),
        ({"batch_size": 0}, "batch_size must be from 1 to 64, not 0"),
        ({"checkpoints": ["mini-s-v3"]}, "no checkpoint or folder 'mini-s-v3'.*mini-s-v2"),
        ({"checkpoints": []}, "checkpoints is empty"),
    ],
)
def test_bad_input_is_one_clear_sentence_before_anything_is_done(pipe, tmp_path, generated, change, message):
    arguments = {"checkpoints": pipe, "prompts": "rain", "folder": tmp_path / "clips", **TINY, **change}
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        sweep(**arguments)
    assert "\n" not in str(caught.value)
    assert not generated
    assert not (tmp_path / "clips").exists()


def test_pipelines_cannot_be_sent_to_workers(pipe):
    with ThreadPoolExecutor(1) as executor, pytest.raises(TypeError, match="name the checkpoints"):
        sweep(pipe, "rain", executor=executor, **TINY)


def test_a_folder_that_cannot_be_written_is_named(pipe, tmp_path, generated):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot be kept there.*file"):
        sweep(pipe, "rain", folder=tmp_path / "file", **TINY)
    assert not generated

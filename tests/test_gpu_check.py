"""`make gpu-check` and its tables of speed: the logic, on a mini without a GPU; the rest only a GPU can show."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from tests.checkpoints import make_repository
from tools import bench, gpu_check

pytestmark = pytest.mark.usefixtures("short")
SMALL = ["--device", "cpu", "--batches", "2", "--rounds", "1", "--no-compile"]


@pytest.fixture
def short(monkeypatch):
    """A clip of 1.28 s and 3 steps instead of the card's 5 s and 10."""
    monkeypatch.setattr(bench, "CARD", {"num_inference_steps": 3, "audio_length_in_s": 1.28})


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """The cells of a Markdown table, by the first of each row."""
    lines = text[text.index(heading) :].splitlines()[2:]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[: lines.index("")]]
    return {name: cells for name, *cells in table}


def test_without_cuda_it_says_so_in_one_sentence(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is CUDA")
    assert gpu_check.main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith("There is no CUDA device here, so nothing was checked") and said.count("\n") == 1


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Tiny random weights in the real format, which a GPU gets at real size."""
    return str(make_repository(tmp_path_factory.mktemp("standin") / "standin"))


def test_every_check_and_the_table_of_speed(checkpoint, capsys):
    assert gpu_check.main([*SMALL, "--checkpoint", checkpoint]) == 0
    text = capsys.readouterr().out
    assert re.match(r"20\d\d-\d\d-\d\d: .*, Python 3\.\d+\.\d+, torch \d.*, diffusers \d.*, transformers \d", text)
    checks = rows(text, "| check |")
    assert len(checks) == len(gpu_check.CHECKS)
    needs = {"out of memory", "tests marked gpu", "lessons on the minis"}
    assert {name for name, cells in checks.items() if cells[0] != "passed"} == needs
    assert all(checks[name][0] == "not run: needs CUDA" for name in needs)
    speed = rows(text, "| a clip in s")
    card, batch = speed["the card's snippet"], speed["generate, 2 at once"]
    assert card[4].endswith("(1.00)") and card[5] == "1.00 to 1.00" and float(batch[4].split(" ")[0]) > 0
    assert all(int(speed[name][6]) > 60 for name in ("generate, new prompt", "generate, prompt seen"))  # SNR
    assert int(speed["DPM-Solver++, 5 steps"][6]) < 30
    assert "No check failed." in text


def test_a_check_that_fails_is_shown_and_counted(random_checkpoint, capsys, monkeypatch):
    def restless(pipe, *arguments, seed=0, **settings):
        clip = generate(pipe, *arguments, seed=seed, **settings)
        clip.waveform[::2] += np.random.default_rng().normal(size=clip.waveform[::2].shape).astype(np.float32)
        return clip

    generate = gpu_check.generate
    monkeypatch.setattr(gpu_check, "generate", restless)
    monkeypatch.setattr(gpu_check, "CHECKS", [gpu_check.Lab.loaded, gpu_check.Lab.same_seed_same_bits])
    monkeypatch.setattr(bench, "measure", lambda *arguments: None)
    assert gpu_check.main([*SMALL, "--checkpoint", str(random_checkpoint)]) == 1
    text = capsys.readouterr().out
    checks = rows(text, "| check |")
    assert checks["loaded"][0] == "passed"
    assert checks["same seed same bits"][0] == "FAILED" and "seed 0 gives two clips" in checks["same seed same bits"][3]
    assert "1 of 2 checks failed." in text


def test_a_share_of_the_peak_counts_every_call_of_a_stage(pipe):
    """Counted in a warm-up of one step, and multiplied by the calls of the run that is timed."""
    meter = bench.Meter(bench.wall)
    way = bench.Variant("ours", pipe, bench.ours)
    meter.watch(pipe)
    meter.warm_up(way)
    meter.run(way)
    one_step = way.gflop["UNet"]
    others = sum(way.gflop.get(stage, 0.0) * meter.calls[stage] for stage in ("text", "VAE", "vocoder"))
    assert meter.calls["UNet"] == 3 and one_step > 0
    assert way.runs[0]["gflop"] == pytest.approx(3 * one_step + others)

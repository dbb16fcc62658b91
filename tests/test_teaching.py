"""Lesson 08's training: stopped, killed and spoiled, it ends as if nothing had been; a sheet comes off exactly."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch

import utils
from tools import lessons
from utils import Clip, train, training

os.environ["AUDIOLDM_PROGRESS"] = "0"
SOUNDS = lessons.NOTEBOOKS / "sounds"
STEPS = 60
COSTS = ("LoRA, strength 1", "LoRA with rehearsal")


def learn(file: Path | None = None, before=lambda step: None, steps: int = STEPS) -> tuple[list, np.ndarray]:
    """A tiny training whose every step depends on chance and on all before it: its losses, and what it learned."""
    numbers = torch.nn.Parameter(torch.zeros(8))

    def loss_of(step: int) -> torch.Tensor:
        before(step)
        return (numbers - torch.randn(8)).square().mean()

    losses = train([numbers], loss_of, steps=steps, learning_rate=0.1, file=file)
    return losses, numbers.detach().numpy()


@pytest.fixture(scope="module")
def unbroken():
    return learn()


def test_a_training_learns_and_leaves_no_file_behind(tmp_path, unbroken):
    losses, numbers = learn(tmp_path / "state.pt")
    assert losses == unbroken[0] and len(losses) == STEPS and (numbers == unbroken[1]).all()
    assert np.mean(losses[-20:]) < np.mean(losses[:5]) or abs(numbers).max() > 0
    assert not list(tmp_path.iterdir())


def patient(state: Path, result: Path, said: Path) -> None:
    """What is killed: the tiny training, slowly, and its state kept after every step."""
    training.SAVE_EVERY = 0.0
    with said.open("w") as out, redirect_stdout(out):
        done = learn(state, lambda step: time.sleep(0.02))
    with result.open("wb") as place:
        np.save(place, done[1])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_three_times_it_ends_as_if_nothing_had_been(tmp_path, unbroken):
    context = multiprocessing.get_context("spawn")
    state, result, said = tmp_path / "state.pt", tmp_path / "result.npy", tmp_path / "said.txt"
    for kill in range(4):
        child = context.Process(target=patient, args=(state, result, said))
        child.start()
        if kill < 3:
            old = state.stat().st_mtime_ns if state.exists() else 0
            while child.is_alive() and (state.stat().st_mtime_ns if state.exists() else 0) == old:
                time.sleep(0.002)
            time.sleep(0.02 * kill)  # in the middle of a step, or of the next saving
            child.kill()
            child.join()
            assert child.exitcode == -signal.SIGKILL and not result.exists()
            torch.load(state, weights_only=True)  # whole, whenever the kill came
    child.join()
    assert child.exitcode == 0 and re.match(r"Going on after \d+ of 60 steps\.", said.read_text()), said.read_text()
    assert (np.load(result) == unbroken[1]).all()
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".part" and p != said] == ["result.npy"]


def test_the_stop_button_finishes_the_step_and_the_same_call_goes_on(tmp_path, unbroken, capsys):
    def press(step: int) -> None:
        if step == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    losses, _ = learn(tmp_path / "state.pt", press)
    assert losses == unbroken[0][:6]
    assert "Stopped after 6 of 60 steps. The same call goes on." in capsys.readouterr().out
    losses, numbers = learn(tmp_path / "state.pt")
    assert losses == unbroken[0] and (numbers == unbroken[1]).all()
    assert "Going on after 6 of 60 steps." in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_in_the_loss_loses_no_step(tmp_path, unbroken):
    def fail(step: int) -> None:
        if step == 7:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        learn(tmp_path / "state.pt", fail)
    losses, numbers = learn(tmp_path / "state.pt")
    assert losses == unbroken[0] and (numbers == unbroken[1]).all()


def test_another_trainings_file_is_refused_and_left_alone(tmp_path):
    with pytest.raises(RuntimeError):
        learn(tmp_path / "state.pt", lambda step: 1 / (3 - step) if step < 3 else (_ for _ in ()).throw(RuntimeError()))
    kept = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(ValueError, match="belongs to a training with other steps"):
        learn(tmp_path / "state.pt", steps=7)
    assert (tmp_path / "state.pt").read_bytes() == kept


def test_what_cannot_be_trained_is_one_sentence():
    frozen = torch.nn.Parameter(torch.zeros(2), requires_grad=False)
    with pytest.raises(ValueError, match="nothing to learn"):
        train([frozen], lambda step: frozen.sum(), steps=1, learning_rate=0.1)
    number = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="steps must be from 1"):
        train([number], lambda step: number.sum(), steps=0, learning_rate=0.1)
    with pytest.raises(FloatingPointError, match="The loss of step 0 is nan: lower learning_rate"):
        train([number], lambda step: number.sum() * float("nan"), steps=3, learning_rate=0.1)
    assert number.item() == 1


def test_a_sheet_changes_the_sound_comes_off_exactly_and_comes_back_from_its_file(tmp_path):
    from peft import LoraConfig

    pipe = utils.load_pipeline("mini-s-v2", device="cpu", dtype="float32")
    pipe.unet.requires_grad_(False)
    settings = dict(num_inference_steps=2, audio_length_in_s=0.64)
    before = utils.generate(pipe, "rain", **settings).waveform
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "conv1"]), adapter_name="new")
    sheet = [p for p in pipe.unet.parameters() if p.requires_grad]
    noisy, t, told = torch.randn(1, 8, 8, 8), torch.tensor([500]), torch.ones(1, 64) / 8

    def loss_of(step: int) -> torch.Tensor:
        return pipe.unet(noisy, t, None, class_labels=told).sample.square().mean()

    losses = train(sheet, loss_of, steps=12, learning_rate=0.02)
    assert losses[-1] < losses[0]
    on = utils.generate(pipe, "rain", **settings).waveform
    assert np.abs(on - before).max() > 1e-3
    pipe.unet.disable_adapters()
    assert (utils.generate(pipe, "rain", **settings).waveform == before).all()
    pipe.unet.enable_adapters()
    pipe.unet.save_lora_adapter(tmp_path, adapter_name="new")
    pipe.unet.delete_adapters("new")
    assert (utils.generate(pipe, "rain", **settings).waveform == before).all()
    pipe.unet.load_lora_adapter(
        tmp_path, prefix=None, weight_name="pytorch_lora_weights.safetensors", adapter_name="again"
    )
    assert np.abs(utils.generate(pipe, "rain", **settings).waveform - on).max() < 1e-4
    pipe.unet.set_adapters(["again"], [0.0])
    assert np.abs(utils.generate(pipe, "rain", **settings).waveform - before).max() < 1e-4


def test_the_recordings_are_small_readable_and_made_by_the_recipe():
    from mini.recordings import FOUR, LASERS, laser

    files = sorted(SOUNDS.rglob("*.ogg"))
    assert sum(path.stat().st_size for path in SOUNDS.rglob("*") if path.is_file()) < 1_000_000
    assert sorted(path.stem for path in (SOUNDS / "four").iterdir()) == sorted(FOUR)
    assert len(list((SOUNDS / "laser").iterdir())) == LASERS
    lasers = [path for path in files if path.parent.name == "laser"]
    for i, path in enumerate(lasers[:3]):
        clip, made = Clip.load(path), laser(40960, np.random.default_rng([8, i]))
        assert len(clip.waveform) == 40960 and 0.2 < clip.peak < 1
        assert np.corrcoef(clip.waveform, made)[0, 1] > 0.9  # but for what the codec leaves out


def stored() -> str:
    """All that the stored lesson printed."""
    (path,) = lessons.lessons(["08"])
    outputs = [output for cell in lessons.code_cells(lessons.read(path)) for output in cell.outputs]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def test_the_stored_lesson_meets_its_bars():
    printed = stored()
    assert "heard as asked, among 24 kinds: three or four of 4" in printed
    assert "taken off, every sample is as before: True" in printed
    taught = float(re.search(r"LoRA: (0\.\d+) \(95% interval", printed).group(1))
    ceiling = float(re.search(r"ceiling: VAE and vocoder: (0\.\d+) \(95% interval", printed).group(1))
    assert 0.9 <= taught <= ceiling
    alone, both = (float(re.search(rf"{name}: (-0\.\d+) \(95% interval", printed).group(1)) for name in COSTS)
    assert both > alone / 2  # the cure brings back more than half

"""Lesson 08's training: stopped and spoiled, it ends as if nothing had been; and its recordings."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from tools import lessons
from utils import Clip, train

os.environ["AUDIOLDM_PROGRESS"] = "0"
SOUNDS = lessons.NOTEBOOKS / "sounds"
STEPS = 60


def learn(
    file: Path | str | None = None, before=lambda step: None, steps: int = STEPS, data=lambda: torch.randn(8), rate=0.1
) -> tuple[list, np.ndarray]:
    """Train eight numbers, whose every step depends on chance and on all before it: the losses, and the numbers."""
    numbers = torch.nn.Parameter(torch.zeros(8))

    def loss_of(step: int) -> torch.Tensor:
        before(step)
        return (numbers - data()).square().mean()

    losses = train([numbers], loss_of, steps=steps, learning_rate=rate, file=file)
    return losses, numbers.detach().numpy()


@pytest.fixture(scope="module")
def unbroken():
    return learn()


def test_the_stop_button_finishes_the_step_and_the_same_call_goes_on_and_leaves_no_file(tmp_path, unbroken, capsys):
    before = signal.getsignal(signal.SIGINT)
    losses, _ = learn(tmp_path / "state.pt", lambda step: signal.raise_signal(signal.SIGINT) if step == 5 else None)
    assert losses == unbroken[0][:6]
    assert "Stopped after 6 of 60 steps. The same call goes on." in capsys.readouterr().out
    losses, numbers = learn(tmp_path / "state.pt")
    assert losses == unbroken[0] and (numbers == unbroken[1]).all() and len(losses) == STEPS
    assert not list(tmp_path.iterdir()) and signal.getsignal(signal.SIGINT) is before


def test_after_an_error_the_same_call_goes_on_and_the_home_folder_is_understood(
    tmp_path, monkeypatch, unbroken, capsys
):
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        learn("~/state.pt", lambda step: 1 / (step - 7))
    assert (tmp_path / "state.pt").is_file()
    losses, numbers = learn("~/state.pt")
    assert losses == unbroken[0] and (numbers == unbroken[1]).all()
    assert "Going on after 7" in capsys.readouterr().out


@pytest.mark.parametrize(
    "other", [{"data": lambda: torch.rand(8)}, {"data": lambda: 2 * torch.randn(8)}, {"rate": 0.01}, {"steps": 50}]
)
def test_another_trainings_file_is_moved_aside_and_the_training_begins_anew(tmp_path, capsys, other):
    file = tmp_path / "state.pt"
    with pytest.raises(ZeroDivisionError):
        learn(file, lambda step: 1 / (step - 7))
    kept = file.read_bytes()
    losses, numbers = learn(file, **other)
    assert "state.pt.old" in capsys.readouterr().out and (tmp_path / "state.pt.old").read_bytes() == kept
    file.write_bytes(b"a third one's")
    learn(file, steps=1)
    assert (tmp_path / "state.pt.old").read_bytes() == kept and (tmp_path / "state.pt.old.old").is_file()
    anew = learn(**other)
    assert losses == anew[0] and (numbers == anew[1]).all()


@pytest.mark.parametrize("content", [b"", b"no state at all", b"PK\3\4" + bytes(50)])
def test_a_damaged_file_is_said_and_the_training_begins_anew(tmp_path, capsys, unbroken, content):
    (tmp_path / "state.pt").write_bytes(content)
    assert learn(tmp_path / "state.pt")[0] == unbroken[0]
    assert "damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda p, step: (p**2).sum().sqrt(),  # finite, with a gradient of NaN
        lambda p, step: (p.sum() + 1) * float("nan"),
        lambda p, step: (p.sum() + 1) * (float("inf") if step == 2 else 1.0),
        lambda p, step: (p**2).sum().sqrt() if step == 2 else p.sum(),
    ],
)
def test_nan_is_refused_before_anything_is_changed_by_it_or_kept(tmp_path, loss_of):
    number, file = torch.nn.Parameter(torch.zeros(3)), tmp_path / "state.pt"
    with pytest.raises(FloatingPointError, match="lower learning_rate, or look for NaN"):
        train([number], lambda step: loss_of(number * (step != 2), step), steps=5, learning_rate=0.1, file=file)
    assert torch.isfinite(number).all()
    if file.exists():
        assert all(torch.isfinite(value).all() for value in torch.load(file, weights_only=True)["parameters"])
    # the advice works: a lower rate begins anew
    losses = train([number], lambda step: (number - 1).square().sum(), steps=2, learning_rate=0.01, file=file)
    assert len(losses) == 2 and not file.exists()


def test_what_cannot_be_trained_is_one_sentence():
    frozen, number = torch.nn.Parameter(torch.zeros(2), requires_grad=False), torch.nn.Parameter(torch.ones(1))
    settings = {"steps": 3, "learning_rate": 0.1}
    for given in ([frozen], {"word": number}, torch.nn.Linear(1, 1).named_parameters()):
        with pytest.raises(ValueError, match="nothing to learn"):
            train(given, lambda step: frozen.sum(), **settings)
    with pytest.raises(ValueError, match="learning_rate"):
        train([number], lambda step: number.sum(), steps=3, learning_rate=0)
    with torch.no_grad():
        assert len(train([number], lambda step: number.sum(), **settings)) == 3
    for loss in (lambda step: 0 * number.sum(), lambda step: frozen.sum()):  # an adapter at scale 0, or switched off
        with pytest.raises(ValueError, match="Nothing is learned"):
            train([number], loss, **settings)
    for loss in (lambda step: 1.0, lambda step: number * torch.ones(2), lambda step: None):
        with pytest.raises(TypeError, match="one element"):
            train([number], loss, **settings)
    with pytest.warns(UserWarning, match="1 of 2 parameters"):
        train([number, torch.nn.Parameter(torch.zeros(2))], lambda step: number.sum(), **settings)


def test_two_trainings_in_two_threads_each_draw_their_own_numbers(unbroken):
    with ThreadPoolExecutor(2) as pool:
        for losses, _ in pool.map(lambda _: learn(), range(4)):
            assert losses == unbroken[0]


@pytest.mark.parametrize("variable", ["TQDM_DISABLE", "AUDIOLDM_PROGRESS"])
def test_the_bar_can_be_switched_off(monkeypatch, capfd, variable):
    monkeypatch.delenv("AUDIOLDM_PROGRESS", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    learn(steps=3)
    assert "3" in capfd.readouterr().err
    monkeypatch.setenv(variable, "1" if variable == "TQDM_DISABLE" else "0")
    learn(steps=3)
    assert capfd.readouterr().err == ""


def test_the_recordings_are_small_readable_and_made_by_the_recipe():
    from mini.recordings import FOUR, LASERS, laser

    files = sorted(SOUNDS.rglob("*.ogg"))
    assert sum(path.stat().st_size for path in SOUNDS.rglob("*") if path.is_file()) < 1_700_000
    assert sorted(path.stem for path in (SOUNDS / "four").iterdir()) == sorted(FOUR)
    assert len(list((SOUNDS / "laser").iterdir())) == LASERS
    lasers = [path for path in files if path.parent.name == "laser"]
    for i, path in enumerate(lasers[:3]):
        clip, made = Clip.load(path), laser(40960, np.random.default_rng([8, i]))
        assert len(clip.waveform) == 40960 and 0.2 < clip.peak < 1
        assert np.corrcoef(clip.waveform, made)[0, 1] > 0.9  # but for the codec's losses

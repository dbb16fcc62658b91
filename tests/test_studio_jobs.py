"""The studio at work: cancelling, one job after another, errors, and where there is no kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from playground import studio as module
from playground.studio import Cancelled, Studio
from tests.test_studio import SHORT, press
from utils import Clip


def test_cancel_stops_at_the_next_step(studio, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()
    steps = []

    def slow(*args, callback, **settings):
        for index in range(settings["num_inference_steps"]):
            steps.append(index)
            if index == 3:
                reached.set()
                go_on.wait(10)
            callback(index, 0, None)

    monkeypatch.setattr(module, "generate", slow)
    studio.set(num_inference_steps=200)
    studio.start()
    assert reached.wait(10)
    studio.start()  # the button is dead meanwhile
    studio.set(seed=9)  # and the controls are not
    studio.panel.stop.click()
    assert studio.message == "Cancelling …"
    go_on.set()
    studio.wait()
    assert studio.message == "Cancelled." and steps == [0, 1, 2, 3] and not studio.takes
    assert not studio.panel.go.disabled and studio.panel.progress.value == 0


def test_start_and_cancel_at_once_never_makes_a_take(studio):
    for _ in range(20):
        studio.start()
        studio.cancel()
        studio.wait()
    assert not studio.takes and studio.message == "Cancelled."
    studio.cancel()  # of nothing, which cancels nothing to come
    assert press(studio).startswith("Take 1")


def test_the_buttons_know_of_every_job(studio, monkeypatch):
    going, begun = threading.Semaphore(0), threading.Semaphore(0)

    def slow(*args, callback, **settings):
        begun.release()
        going.acquire(timeout=10)
        callback(0, 0, None)
        return Clip(np.ones(8000) * 0.5)

    monkeypatch.setattr(module, "generate", slow)
    jobs = [studio._start(studio._make, studio.settings) for _ in range(3)]
    for taken in range(2):
        assert begun.acquire(timeout=10) and studio.panel.go.disabled and not studio.panel.stop.disabled
        if taken == 0:
            going.release()
            jobs[0].result(10)
    assert studio.panel.go.disabled and not studio.panel.stop.disabled  # one runs, one waits
    studio.cancel()
    going.release()
    studio.wait()
    assert [type(job.exception()) for job in jobs] == [type(None), Cancelled, Cancelled]
    assert len(studio.takes) == 1 and not studio.panel.go.disabled and studio.panel.stop.disabled


def test_an_error_of_one_job_leaves_the_next_its_cancel(studio, monkeypatch):
    begun, going = threading.Event(), threading.Event()

    def fail(*args, callback, **settings):
        raise MemoryError

    def slow(*args, callback, **settings):
        begun.set()
        going.wait(10)
        callback(0, 0, None)

    monkeypatch.setattr(module, "generate", fail)
    first = studio._start(studio._make, studio.settings)
    assert isinstance(first.exception(10), MemoryError)
    monkeypatch.setattr(module, "generate", slow)
    studio.start()
    assert begun.wait(10) and not studio.panel.stop.disabled
    studio.cancel()
    going.set()
    studio.wait()
    assert studio.message == "Cancelled." and not studio.panel.go.disabled


def test_cancel_in_the_real_pipeline_and_then_a_take(studio):
    studio.set(num_inference_steps=200, audio_length_in_s=5)
    seen = []
    studio.panel.progress.observe(lambda change: (seen.append(change["new"]), studio.cancel()), "value")
    studio.start()
    studio.wait()
    assert studio.message == "Cancelled." and max(seen) <= 2
    studio.panel.progress.unobserve_all()
    with pytest.raises(Cancelled):
        studio.panel.progress.observe(lambda change: studio.cancel(), "value")
        studio.generate()
    studio.panel.progress.unobserve_all()
    assert press_short(studio).startswith("Take 1")


def press_short(studio: Studio) -> str:
    studio.set(**SHORT)
    return press(studio)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": "  "}, "The prompt is empty"),
        ({"checkpoint": "audioldm-s-full-v2"}, "audioldm-s-full-v2"),
    ],
)
def test_an_error_is_said_in_the_studio(studio, monkeypatch, settings, message):
    def refuse(name):
        raise OSError(f"{name} cannot be had:\nthe Hub is out of reach.")

    if "checkpoint" in settings:
        monkeypatch.setattr(module, "load_pipeline", refuse)
    studio.set(**settings)
    said = press(studio)
    assert message in said and "\n" not in said and "--jp-error" in studio.panel.status.value
    assert not studio.panel.go.disabled and not studio.takes
    monkeypatch.undo()


def test_it_recovers_from_a_checkpoint_that_cannot_be_had(studio, monkeypatch):
    def refuse(name):
        raise OSError("The Hub is out of reach.")

    with monkeypatch.context() as patch:
        patch.setattr(module, "load_pipeline", refuse)
        studio.set(checkpoint="audioldm-l-full")
        studio.wait()
        assert studio.message == "The Hub is out of reach."
    studio.set(checkpoint="mini-s-v2")
    studio.wait()
    assert press(studio).startswith("Take 1")


def test_a_loud_take_says_so(studio, monkeypatch):
    monkeypatch.setattr(module, "generate", lambda *_, **__: Clip(np.ones(8000) * 2.93))
    assert "It is loud, peak 2.9: turn the volume down" in press(studio)
    monkeypatch.setattr(module, "generate", lambda *_, **__: Clip(np.ones(8000) * 0.9))
    assert "loud" not in press(studio)


def test_memory_and_other_trouble_without_a_message(studio, monkeypatch):
    def fail(*args, **settings):
        raise MemoryError

    monkeypatch.setattr(module, "generate", fail)
    assert press(studio) == "MemoryError"


def test_without_a_kernel_it_shows_what_it_says(studio):
    bundle = studio._repr_mimebundle_()
    assert "kernel" in bundle["text/html"] and "<table" not in bundle["text/html"]
    assert bundle["text/plain"].startswith("Studio: prompt=rain")
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == studio.view.model_id


OLD_WIDGETS = """
import sys
import ipywidgets
assert ipywidgets.__version__ == "7.7.1", ipywidgets.__version__
from playground import ABX, Microphone, Studio
studio = Studio()
assert studio.message == "mini-s-v2 is ready.", studio.message
studio.set(num_inference_steps=2, audio_length_in_s=0.5)
for seed in range(2):
    studio.set(seed=seed)
    studio.panel.go.click()
    studio.wait()
for row in studio.rows.values():
    row.compare.value = True
assert studio.panel.stage.outputs[0]["data"]["text/html"].count("<audio") == 2
studio.set(prompt=" ")
studio.panel.go.click()
studio.wait()
assert "empty" in studio.message
clips = [take.clip for take in studio.takes]
test = ABX(clips[:1], clips[1:], "seeds", listener="ada", path=sys.argv[1])
test.view.children[1].children[0].click()
assert test.remaining == 0
mic = Microphone()
mic.view.wav = clips[0].wav()
assert mic.clip.duration == 0.5 and not hasattr(mic, "_ipython_display_")
print("done", len(studio.takes))
"""


@pytest.mark.slow
def test_the_ipywidgets_of_colab(minis, tmp_path):
    """ipywidgets 7.7.1, which Colab has, put before the newer one on the path of a process of its own."""
    packages = ["ipywidgets==7.7.1", "ipython_genutils==0.2.0"]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "old"), *packages]
    if subprocess.run(pip, capture_output=True).returncode:
        pytest.skip("the package index is out of reach")
    paths = [str(tmp_path / "old"), str(Path(module.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", OLD_WIDGETS, str(tmp_path / "abx.csv")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("done 2\n"), done.stderr[-2000:]

"""The studio at work: cancelling, one job after another, errors, and where there is no kernel."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from playground import studio as module
from playground.studio import Cancelled
from tests.test_studio import SHORT, press
from utils import Clip


def test_start_and_cancel_at_once_never_makes_a_take(studio):
    for _ in range(20):
        studio.start()
        studio.cancel()
        studio.wait()
    assert not studio.takes and studio.message == "Cancelled."
    studio.cancel()  # of nothing, which cancels nothing to come
    assert press(studio).startswith("Take 1")


def test_the_buttons_know_of_every_job_also_after_an_error(studio, monkeypatch):
    going, begun = threading.Semaphore(0), threading.Semaphore(0)

    def slow(*args, callback, **settings):
        if settings["seed"] == 9:
            raise MemoryError
        begun.release()
        going.acquire(timeout=10)
        callback(0, 0, None)
        return Clip(np.ones(8000) * 0.5)

    monkeypatch.setattr(module, "generate", slow)
    studio.set(seed=9)
    assert press(studio) == "MemoryError"
    studio.set(seed=0)
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


def test_cancel_in_the_real_pipeline_and_then_a_take(studio):
    studio.set(num_inference_steps=200, audio_length_in_s=5)
    seen = []
    studio.panel.progress.observe(lambda change: (seen.append(change["new"]), studio.cancel()), "value")
    with pytest.raises(Cancelled):
        studio.generate()
    assert studio.message == "Cancelled." and max(seen) <= 2
    studio.panel.progress.unobserve_all()
    studio.set(**SHORT)
    assert press(studio).startswith("Take 1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": "  "}, "The prompt is empty"),
        ({"recording": "nowhere.wav"}, "nowhere.wav"),
        ({"checkpoint": "audioldm-l-full"}, "audioldm-l-full cannot be had"),
    ],
)
def test_an_error_is_said_in_the_studio_which_recovers(studio, monkeypatch, settings, message):
    def refuse(name):
        raise OSError(f"{name} cannot be had:\nthe Hub is out of reach.")

    before = {name: studio.settings.get(name) for name in settings}
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_pipeline", refuse)
        studio.set(**settings)
        said = press(studio)
    assert message in said and "\n" not in said and "--jp-error" in studio.panel.status.value
    assert not studio.panel.go.disabled and not studio.takes
    studio.set(**before)
    studio.wait()
    assert press(studio).startswith("Take 1")


def test_a_loud_take_says_so(studio, monkeypatch):
    monkeypatch.setattr(module, "generate", lambda *_, **__: Clip(np.ones(8000) * 2.93))
    assert "It is loud, peak 2.9: turn the volume down" in press(studio)
    monkeypatch.setattr(module, "generate", lambda *_, **__: Clip(np.ones(8000) * 0.9))
    assert "loud" not in press(studio)


def test_without_a_kernel_it_shows_what_it_says(studio):
    bundle = studio._repr_mimebundle_()
    assert "kernel" in bundle["text/html"] and "<table" not in bundle["text/html"]
    assert bundle["text/plain"].startswith("Studio: prompt=rain")
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == studio.view.model_id

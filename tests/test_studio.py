"""The playground without a browser: settings, takes, jobs, Cancel and errors. tests/browser has the rest."""

from __future__ import annotations

import json
import threading
from inspect import signature
from pathlib import Path

import diffusers
import numpy as np
import pytest

from playground import Microphone
from playground import studio as module
from playground.studio import Cancelled, Studio
from playground.takes import SCHEDULERS
from utils import Clip, begin_with, decode_latents, encode_audio, generate, load_pipeline, log_mel_distance

NASTY = "<img src=x onerror=alert(1)> \"a\" 'b' {c} $d$ \\ \n 😀 שלום"


def press(studio: Studio) -> str:
    studio.panel.go.click()
    studio.wait()
    return studio.message


def made_by(code: str) -> Clip:
    """Return the clip that the code of a take makes."""
    space: dict = {}
    exec(code, space)
    return space["clip"]


def same(clip: Clip, other: Clip) -> bool:
    return np.array_equal(clip.waveform, other.waveform)


@pytest.fixture
def recording(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    beats = np.repeat([1.0, 0.0, 1.0, 0.0, 0.5, 0.0, 1.0, 0.2], 4000)
    return Clip(beats * rng.standard_normal(32_000) * 0.2).save(tmp_path / "a beat.wav")


# ---- takes


def test_the_panel_has_the_calls_own_names_and_a_press_makes_a_take(studio):
    names = set(studio.controls) - {"seed", "checkpoint", "scheduler", "recording", "strength"}
    assert names <= set(signature(diffusers.AudioLDMPipeline.__call__).parameters)
    assert all(control.description == name for name, control in studio.controls.items())
    assert press(studio).startswith("Take 1: 0.5 s of sound in ")
    (take,) = studio.takes
    assert take.clip.settings["prompt"] == "rain" and take.clip.duration == 0.5
    (output,) = studio.panel.stage.outputs
    assert "<audio" in output["data"]["text/html"] and take.name in output["data"]["text/html"]
    assert not studio.panel.go.disabled and studio.panel.stop.disabled


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_code_of_a_take_makes_it_again(studio, scheduler):
    negative = "low quality" if scheduler == "Euler" else None
    first = studio.generate(scheduler="DDIM")
    take = studio.generate(prompt=NASTY, negative_prompt=negative, seed=7, scheduler=scheduler)
    assert take.clip.settings["scheduler"] == SCHEDULERS[scheduler]
    assert "<img src=x" not in studio.panel.stage.outputs[0]["data"]["text/html"]
    assert same(made_by(take.code), take.clip)
    assert Path(f"outputs/{take.name}.wav").is_file()
    assert same(studio.generate(**first.settings).clip, first.clip)  # a scheduler leaves no trace


def test_a_take_may_begin_with_a_recording(studio, recording):
    studio.set(recording=str(recording), num_inference_steps=4)
    takes = [studio.generate(strength=strength) for strength in (0.25, 1.0)]
    assert {"on a beat.wav", "strength 0.25"} <= set(takes[0].difference(None).split(" · "))
    assert same(made_by(takes[0].code), takes[0].clip)
    without = studio.generate(recording=None)
    assert same(without.clip, takes[1].clip) and "strength" not in without.settings
    for take in (takes[0], without):
        studio.rows[take.number].use.click()
        assert studio.settings == take.settings


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_strength_decides_how_near_a_take_is_to_its_recording(recording, scheduler):
    pipe, clip = load_pipeline("mini-s-v2"), Clip.load(recording)
    pipe.scheduler = getattr(diffusers, SCHEDULERS[scheduler]).from_config(pipe.scheduler.config)
    settings = {"num_inference_steps": 10, "audio_length_in_s": 1.28, "seed": 3}
    held = decode_latents(pipe, encode_audio(pipe, Clip(clip.waveform[:20_480])))
    begins = [begin_with(pipe, clip, strength, **settings) for strength in (0.1, 0.5, 1.0)]
    near, middle, far = (log_mel_distance(generate(pipe, "a bell", **settings, callback=b), held) for b in begins)
    assert near < middle < far and near < 0.5 * far


def test_the_same_studio_after_a_second_run(studio, tmp_path):
    studio.generate(seed=5)
    again = Studio()
    assert again is studio and again.view is studio.view and again.folder == tmp_path / "takes"
    assert len(again.takes) == 1 and again.settings["seed"] == 5
    assert Studio(folder=tmp_path / "other").folder == Studio().folder == tmp_path / "other"
    assert Studio("new") is not studio and Studio("new").folder == Path("outputs/takes")


def test_a_folder_may_be_its_checkpoint(studio, random_checkpoint):
    other = Studio("other", checkpoint=random_checkpoint)
    take = other.generate(num_inference_steps=2, audio_length_in_s=0.5)
    assert take.settings["checkpoint"] == str(random_checkpoint) and same(made_by(take.code), take.clip)


def test_what_the_settings_do_not_say_and_a_loud_take_are_named(studio, monkeypatch):
    beside = Clip(np.ones(8000) * 2.93, settings={"prompt": "rain", "adapters": ["laser"], "callback": True})
    monkeypatch.setattr(module, "generate", lambda *_, **__: beside)
    assert "loud, peak 2.9" in press(studio)
    (take,) = studio.takes
    assert "adapters" in take.made_with and "callback" not in take.clip.settings
    assert take.files[".py"].startswith(b"# This code alone")
    assert take.made_with in take._repr_mimebundle_()["text/html"]


def test_set_refuses_what_the_panel_cannot_show_and_moves_nothing(studio):
    before = studio.settings
    for settings, message in (
        ({"steps": 3}, "has no 'steps'"),
        ({"scheduler": "PNDM"}, "must be one of DDIM, DPM-Solver"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"prompt": "a \ud83d dog"}, "prompt has"),
        ({"prompt": "wind", "audio_length_in_s": float("nan")}, "not nan"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            studio.set(**settings)
    assert studio.settings == before


# ---- the history, the costs


def test_history_differences_use_compare_and_its_end(studio, monkeypatch):
    monkeypatch.setattr(module, "MAX_TAKES", 3)
    takes = [studio.generate(seed=3), studio.generate(seed=4, guidance_scale=5.0)]
    rows = [row.show.description.split(" · ") for row in studio.rows.values()]
    assert {"rain", "seed 3", "guidance 2.5", "DDIM", "mini-s-v2"} < set(rows[0])
    assert rows[1] == ["2", "seed 4", "guidance 5"]
    studio.keep(takes[0])
    for row in studio.rows.values():
        row.compare.value = True
    assert studio.panel.stage.outputs[0]["data"]["text/html"].count("<audio") == 2
    studio.rows[1].show.click()
    assert takes[0].name in studio.panel.stage.outputs[0]["data"]["text/html"]
    studio.set(seed=77, prompt="x")
    studio.rows[2].use.click()
    assert studio.settings == takes[1].settings
    for seed in range(5):
        studio.generate(seed=seed)
    assert [take.number for take in studio.takes] == [1, 6, 7]  # the kept one, and the latest
    assert [row.show.description[0] for row in studio.panel.history.children] == ["7", "6", "1"]


def test_keep_writes_sound_settings_and_code_or_says_why_not(studio, tmp_path):
    take = studio.generate(prompt="../../etc/passwd 😀", seed=3)
    path = studio.keep(take)
    assert path.parent == tmp_path / "takes" and path.name.startswith("etc-passwd-")
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == take.settings
    compile(path.with_suffix(".py").read_text("utf-8"), "take", "exec")
    assert studio.rows[1].keep.disabled
    (tmp_path / "file").write_text("")
    studio.folder = tmp_path / "file" / "takes"
    studio.generate()
    studio.rows[2].keep.click()
    assert "Cannot write the file" in studio.message and not studio.rows[2].keep.disabled


def test_the_panel_shows_the_expected_seconds(studio):
    studio.panel.dice.click()
    studio.set(num_inference_steps=200, audio_length_in_s=5.000000000000001)  # as a slider in a browser may say
    assert studio.settings["audio_length_in_s"] == 5
    assert studio.expected_seconds(num_inference_steps=10) < studio.expected_seconds()
    assert f"{studio.expected_seconds():.1f} s" in studio.panel.expected.value
    assert studio.expected_seconds(checkpoint="audioldm-l-full") is None


# ---- jobs


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


ERRORS = [
    ({"prompt": "  "}, "The prompt is empty"),
    ({"recording": "nowhere.wav"}, "nowhere.wav"),
    ({"checkpoint": "audioldm-l-full"}, "audioldm-l-full cannot be had"),
]


@pytest.mark.parametrize(("settings", "message"), ERRORS)
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


# ---- without a kernel


def test_a_microphone_gives_its_recording_and_without_a_kernel_both_say_so(studio, recording):
    mic = Microphone()
    mic.view.wav = b"no sound"
    assert mic.clip is None and mic.view.message
    mic.view.wav = recording.read_bytes()
    assert same(mic.clip, Clip.load(recording))
    for shown in (mic, studio):
        bundle = shown._repr_mimebundle_()
        assert "kernel" in bundle["text/html"] and "<button" not in bundle["text/html"]
        assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == shown.view.model_id

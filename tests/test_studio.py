"""The playground without a browser: its settings, takes, errors, Cancel and clock. tests/browser has the rest."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import numpy as np
import pytest

from playground import Microphone
from playground import studio as module
from playground.studio import Studio
from playground.takes import SCHEDULERS, CostModel
from utils import Clip, begin_with, decode_latents, encode_audio, generate, load_pipeline, log_mel_distance

NASTY = "<img src=x onerror=alert(1)> \"a\" 'b' {c} $d$ \\ \n 😀 שלום"
SHORT = {"num_inference_steps": 2, "audio_length_in_s": 0.5}


def press(studio: Studio) -> str:
    studio.panel.go.click()
    studio.wait()
    return studio.message


def test_the_panel_has_the_calls_own_names(studio):
    from inspect import signature

    from diffusers import AudioLDMPipeline

    names = set(studio.controls) - {"seed", "checkpoint", "scheduler", "recording", "strength"}
    assert names <= set(signature(AudioLDMPipeline.__call__).parameters)
    assert all(control.description == name for name, control in studio.controls.items())


def test_a_press_makes_a_take(studio):
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
    assert np.isfinite(take.clip.waveform).all()
    assert take.clip.settings["scheduler"] == SCHEDULERS[scheduler]
    space = {}
    exec(take.code, space)
    assert np.array_equal(space["clip"].waveform, take.clip.waveform)
    assert Path(f"outputs/{take.name}.wav").is_file()
    again = studio.generate(**first.settings)  # a scheduler leaves no trace
    assert np.array_equal(again.clip.waveform, first.clip.waveform)


@pytest.fixture
def recording(tmp_path):
    rng = np.random.default_rng(0)
    beats = np.repeat([1.0, 0.0, 1.0, 0.0, 0.5, 0.0, 1.0, 0.2], 4000)
    return Clip(beats * rng.standard_normal(32_000) * 0.2).save(tmp_path / "a beat.wav")


def test_a_take_may_begin_with_a_recording(studio, recording):
    studio.set(recording=str(recording), num_inference_steps=4)
    takes = [studio.generate(strength=strength) for strength in (0.25, 1.0)]
    assert {"on a beat.wav", "strength 0.25"} <= set(takes[0].difference(None).split(" · "))
    space = {}
    exec(takes[0].code, space)
    assert np.array_equal(space["clip"].waveform, takes[0].clip.waveform)
    without = studio.generate(recording=None)
    assert np.array_equal(without.clip.waveform, takes[1].clip.waveform) and "strength" not in without.settings
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


def test_a_row_of_the_history_says_what_differs(studio):
    studio.generate(seed=3)
    studio.generate(seed=4, guidance_scale=5.0)
    studio.generate(negative_prompt="wind")
    studio.generate(negative_prompt=None)
    studio.generate()
    rows = [studio.rows[number].show.description.split(" · ") for number in range(1, 6)]
    assert {"rain", "seed 3", "guidance 2.5", "DDIM", "mini-s-v2"} < set(rows[0])
    assert rows[1] == ["2", "seed 4", "guidance 5"]
    assert [len(row) for row in rows[1:]] == [3, 2, 2, 2] and "wind" in rows[2][1]


def test_code_that_does_not_make_it_again_says_so(studio, monkeypatch):
    beside = Clip(np.ones(8000) * 0.5, settings={"prompt": "rain", "adapters": ["laser"], "callback": True})
    monkeypatch.setattr(module, "generate", lambda *_, **__: beside)
    take = studio.generate()
    assert "adapters" in take.made_with and "callback" not in take.clip.settings
    assert take.files[".py"].startswith(b"# This code alone")
    assert take.made_with in take._repr_mimebundle_()["text/html"]
    compile(take.files[".py"], "take", "exec")


def test_a_microphone_gives_its_recording(recording):
    mic = Microphone()
    assert mic.clip is None
    mic.view.wav = b"no sound"
    assert mic.clip is None and mic.view.message
    mic.view.wav = recording.read_bytes()
    assert np.array_equal(mic.clip.waveform, Clip.load(recording).waveform)
    bundle = mic._repr_mimebundle_()
    assert "kernel" in bundle["text/html"] and "<button" not in bundle["text/html"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == mic.view.model_id


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"steps": 3}, TypeError, "has no 'steps'"),
        ({"num_inference_steps": 0}, ValueError, "num_inference_steps must be from 1 to 200, not 0"),
        ({"scheduler": "PNDM"}, ValueError, "must be one of DDIM, DPM-Solver"),
        ({"seed": 1.5}, TypeError, "seed must be a whole number"),
        ({"guidance_scale": None}, TypeError, "guidance_scale must be a number"),
        ({"audio_length_in_s": float("nan")}, ValueError, "not nan"),
        ({"prompt": 3}, TypeError, "prompt must be"),
        ({"prompt": "a \ud83d dog"}, ValueError, "prompt has"),
        ({"prompt": "wind", "seed": -1}, ValueError, "not -1"),  # then nothing is moved
    ],
)
def test_set_refuses_what_the_panel_cannot_show(studio, settings, error, message):
    before = studio.settings
    with pytest.raises(error, match=message):
        studio.set(**settings)
    assert studio.settings == before


def test_prompts_are_text(studio):
    take = studio.generate(prompt=NASTY)
    assert "<img src=x" not in studio.panel.stage.outputs[0]["data"]["text/html"]
    assert "<img src=x" not in studio._repr_mimebundle_()["text/html"]
    row = studio.rows[take.number]
    assert "<img src=x onerror=alert(1)> \"a\" 'b' {c} $d$" in row.show.description  # a button shows text
    assert take.name.startswith("img-src-x-onerror-alert-1-")
    studio.set(prompt=NASTY * 200)
    studio.start()
    studio.wait()
    assert "does not see" in studio.message and len(studio.message) <= 400
    assert "<img" not in studio.panel.status.value
    studio.set(prompt="  ")
    assert "<" not in press(studio)


def test_keep_writes_sound_settings_and_code_or_says_why_not(studio, tmp_path):
    take = studio.generate(prompt="../../etc/passwd 😀", seed=3)
    path = studio.keep(take)
    assert path.parent == tmp_path / "takes" and path.name.startswith("etc-passwd-")
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == take.settings
    compile(path.with_suffix(".py").read_text("utf-8"), "take", "exec")
    assert studio.rows[1].keep.disabled and studio.message.startswith("Take 1 is kept")
    (tmp_path / "file").write_text("")
    studio.folder = tmp_path / "file" / "takes"
    studio.generate()
    studio.rows[2].keep.click()
    assert "Cannot write the file" in studio.message and not studio.rows[2].keep.disabled


def test_history_use_compare_and_its_end(studio, monkeypatch):
    monkeypatch.setattr(module, "MAX_TAKES", 3)
    takes = [studio.generate(seed=seed) for seed in range(2)]
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
    assert set(studio.rows) == {1, 6, 7}


def test_the_dice_and_the_expected_seconds(studio):
    seeds = set()
    for _ in range(5):
        studio.panel.dice.click()
        seeds.add(studio.settings["seed"])
    assert len(seeds) > 1
    few, many = (studio.expected_seconds(num_inference_steps=steps) for steps in (10, 200))
    assert 0 < few < many
    studio.set(num_inference_steps=200)
    assert f"{studio.expected_seconds():.1f} s" in studio.panel.expected.value
    studio.set(audio_length_in_s=5.000000000000001)  # as a slider in a browser may say
    assert studio.settings["audio_length_in_s"] == 5
    assert studio.expected_seconds(checkpoint="audioldm-l-full") is None


def test_the_cost_model_finds_the_costs():
    def cost(num_inference_steps, audio_length_in_s, guidance_scale):
        passes = num_inference_steps * (2 if guidance_scale > 1 else 1)
        return 0.2 + 0.1 * audio_length_in_s + (0.01 + 0.02 * audio_length_in_s) * passes

    model = CostModel()
    assert model.seconds(num_inference_steps=1, audio_length_in_s=1, guidance_scale=1) is None
    for steps, length, guidance in [(1, 1, 2.5), (4, 1, 2.5), (1, 3, 2.5), (10, 5, 1.0)]:
        settings = dict(num_inference_steps=steps, audio_length_in_s=length, guidance_scale=guidance)
        model.add(cost(**settings), **settings)
    wanted = dict(num_inference_steps=50, audio_length_in_s=10.0, guidance_scale=3.0)
    assert model.seconds(**wanted) == pytest.approx(cost(**wanted), rel=1e-6)
    for _ in range(30):
        model.add(1.0, **settings)
    assert len(model.measured) == 20


def test_a_folder_may_be_its_checkpoint(studio, random_checkpoint):
    other = Studio("other", checkpoint=random_checkpoint)
    assert other.settings["checkpoint"] == str(random_checkpoint)
    assert other.message == f"{random_checkpoint} is ready."
    other.set(**SHORT)
    assert press(other).startswith("Take 1")
    space = {}
    exec(other.takes[0].code, space)
    assert np.array_equal(space["clip"].waveform, other.takes[0].clip.waveform)

"""Store a take, a clip with the settings of the panel, and model its cost. Explained in lesson 05."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from utils import Clip, begin_with, generate
from utils.checkpoints import PROBE
from utils.checks import shorten, write_whole
from utils.player import NO_MATHS

SCHEDULERS = {"DDIM": "DDIMScheduler", "DPM-Solver++": "DPMSolverMultistepScheduler"}  # label -> diffusers' class
SCHEDULERS |= {"UniPC": "UniPCMultistepScheduler", "Euler": "EulerDiscreteScheduler"}
TIMING_RUNS = ((1, 0.64), (1, 0.64), (4, 0.64), (1, 2.56))  # steps and seconds; the first one only warms up
BESIDE = ("latents", "prompt_embeds", "adapters")  # inputs of a clip beside the panel's settings
NOT_OF_THE_CALL = ("checkpoint", "scheduler", "recording", "strength")  # settings that `generate` does not take
OF_AN_EDIT = ("num_inference_steps", "audio_length_in_s", "seed")  # settings of a call that `begin_with` needs, too
LABELS = {"prompt": "{}", "negative_prompt": "without “{}”", "num_inference_steps": "{} steps", "seed": "seed {}"}
LABELS |= {"audio_length_in_s": "{} s", "guidance_scale": "guidance {}", "scheduler": "{}", "checkpoint": "{}"}
LABELS |= {"recording": "on {}", "strength": "strength {}"}  # of the settings in a row of the history, in this order


@dataclass(frozen=True)
class Take:
    """A clip, and the settings of the panel that made it."""

    number: int
    clip: Clip
    settings: dict

    def difference(self, before: Take | None) -> str:
        """Return the settings in which it differs from the take before; all that are set if that is None."""
        old = before.settings if before else {}
        names = [name for name in LABELS if self.settings.get(name) != old.get(name)]
        return " · ".join(_said(name, self.settings) for name in names) or f"the same as take {before.number}"

    @property
    def name(self) -> str:
        """A file name without ending: words of the prompt and a digest of all settings."""
        words = re.sub(r"[^a-z0-9]+", "-", self.settings["prompt"][:40].lower()).strip("-") or "take"
        return f"{words}-{hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:8]}"

    @property
    def code(self) -> str:
        """Return Python that reproduces this take, sample for sample, unless `made_with` names something beside it."""
        call = {key: value for key, value in self.settings.items() if value is not None}
        checkpoint, scheduler, prompt = call.pop("checkpoint"), SCHEDULERS[call.pop("scheduler")], call.pop("prompt")
        recording, strength, names, begin = call.pop("recording", None), call.pop("strength", None), "", ""
        arguments = [repr(prompt), *(f"{key}={value!r}" for key, value in call.items())]
        if recording:
            same = ", ".join(f"{name}={call[name]!r}" for name in OF_AN_EDIT)
            begin = f"begin = begin_with(pipe, Clip.load({recording!r}), {strength!r}, {same})\n"
            names, arguments = "Clip, begin_with, ", [*arguments, "callback=begin"]
        lines = "".join(f"    {argument},\n" for argument in ["pipe", *arguments])
        return (
            f"from diffusers import {scheduler}\n\n"
            f"from utils import {names}generate, load_pipeline\n\n"
            f"pipe = load_pipeline({checkpoint!r})\n"
            f"pipe.scheduler = {scheduler}.from_config(pipe.scheduler.config)\n{begin}"
            f"clip = generate(\n{lines})\nclip.save({f'outputs/{self.name}.wav'!r})\n"
        )

    @property
    def made_with(self) -> str:
        """Return a sentence on latents, adapters and the like, which the code lacks; "" if it reproduces the take."""
        beside = [name for name in self.clip.settings if name in BESIDE]
        return f"This code alone does not make it again: it also had {', '.join(beside)}." if beside else ""

    @property
    def files(self) -> dict[str, bytes]:
        """The files of a take by the ending of their names: its sound, its settings and its code."""
        settings = json.dumps(self.settings, indent=2, ensure_ascii=False) + "\n"
        code = f"# {self.made_with}\n{self.code}" if self.made_with else self.code
        return {".wav": self.clip.wav(), ".json": settings.encode(), ".py": code.encode()}

    def save(self, folder: str | Path) -> Path:
        """Write the files into a folder; return the WAV's path. Raises OSError where it cannot be written."""
        wav, *_ = [write_whole(Path(folder) / f"{self.name}{end}", data) for end, data in self.files.items()]
        return wav

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        """Return the player, the files as links that need no kernel, and the code."""
        links = " · ".join(
            f'<a download="{self.name}{end}" href="data:;base64,{base64.b64encode(data).decode()}">{end}</a>'
            for end, data in self.files.items()
        )
        bundle = self.clip._repr_mimebundle_()
        bundle["text/html"] += (
            f'<div class="{NO_MATHS}">Download take {self.number}: {links}'
            f"<details><summary>{self.made_with or 'The code that makes it again'}</summary>"
            f'<pre style="white-space:pre-wrap">{html.escape(self.code)}</pre></details></div>'
        )
        return bundle


def _said(name: str, settings: dict) -> str:
    """Return a setting in words; one that is not set as "no negative_prompt"."""
    value = settings.get(name)
    if value is None:
        return f"no {name}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return LABELS[name].format(shorten(Path(text).name if name == "recording" else text, 48))


def beginning(pipe, settings: dict) -> Callable | None:
    """Return the callback of a take that begins with a recording; None for one that begins with noise."""
    if "recording" not in settings:
        return None
    same = {name: settings[name] for name in OF_AN_EDIT}
    return begin_with(pipe, Clip.load(settings["recording"]), settings["strength"], **same)


@dataclass
class CostModel:
    """The seconds of a take on this machine, fitted to the last 20 that were measured.

    seconds = a + b x length + (c + d x length) x passes, where a pass is one run of the UNet: one in each step, two
    with guidance. The four costs are fitted by least squares of the relative errors, none of them negative.
    """

    measured: list[tuple[list[float], float]] = field(default_factory=list)

    @classmethod
    def timed(cls, pipe, before_each: Callable[[], None]) -> CostModel:
        """Return a model fitted to a few very short takes of this pipeline."""
        costs = cls()
        for steps, length in TIMING_RUNS:
            before_each()
            settings = {"num_inference_steps": steps, "audio_length_in_s": length, "guidance_scale": 2.5}
            costs.add(generate(pipe, PROBE, **settings).seconds, **settings)
        del costs.measured[0]  # which warmed up
        return costs

    def add(self, seconds: float, **settings) -> None:
        """Add a measurement: a take with these settings lasted `seconds`."""
        self.measured = [*self.measured, (cost_terms(**settings), seconds)][-20:]

    def seconds(self, **settings) -> float | None:
        """Return the expected seconds of a take with these settings; None before the first measurement."""
        from scipy.optimize import nnls

        if not self.measured:
            return None
        terms, seconds = (np.array(column) for column in zip(*self.measured, strict=True))
        costs, _ = nnls(terms / seconds[:, None], np.ones(len(seconds)))
        return float(costs @ cost_terms(**settings))


def cost_terms(num_inference_steps: int, audio_length_in_s: float, guidance_scale: float, **_) -> list[float]:
    """Return the factors of the four costs of `CostModel`."""
    passes = num_inference_steps * (2 if guidance_scale > 1 else 1)
    return [1.0, audio_length_in_s, passes, passes * audio_length_in_s]

"""A take: a clip and everything that the panel said; and what a take costs. Explained in lesson 05."""

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

from utils import Clip, generate
from utils.files import shorten, write_whole
from utils.player import NO_MATHS
from utils.tokenizer import PROBE

from .edits import begin_with

SCHEDULERS = {  # what the panel calls it -> diffusers' class
    "DDIM": "DDIMScheduler",
    "DPM-Solver++": "DPMSolverMultistepScheduler",
    "UniPC": "UniPCMultistepScheduler",
    "Euler": "EulerDiscreteScheduler",
}
TIMING_RUNS = ((1, 0.64), (1, 0.64), (4, 0.64), (1, 2.56))  # steps and seconds; the first one only warms up
NOT_OF_THE_CALL = ("checkpoint", "scheduler", "recording", "strength")  # settings that `generate` does not take
OF_AN_EDIT = ("num_inference_steps", "audio_length_in_s", "seed")  # what `begin_with` has to know of a call
MIME = {".wav": "audio/wav", ".json": "application/json", ".py": "text/x-python"}


@dataclass(frozen=True)
class Take:
    """One press of Generate: a clip, and everything that the panel said. Explained in lesson 05."""

    number: int
    clip: Clip
    settings: dict

    @property
    def title(self) -> str:
        """The take in one line."""
        said = self.settings
        facts = "{num_inference_steps} steps, {audio_length_in_s:g} s, guidance {guidance_scale:g}, seed {seed}"
        parts = [shorten(said["prompt"], 48), facts.format(**said), said["scheduler"], said["checkpoint"]]
        if "recording" in said:
            parts.append(f"strength {said['strength']:g} on {Path(said['recording']).name}")
        return " · ".join([str(self.number), *parts])

    @property
    def name(self) -> str:
        """A file name without ending: words of the prompt and a digest of all settings."""
        words = re.sub(r"[^a-z0-9]+", "-", self.settings["prompt"][:40].lower()).strip("-") or "take"
        return f"{words}-{hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:8]}"

    @property
    def code(self) -> str:
        """Python that makes this take again, sample for sample."""
        call = {key: value for key, value in self.settings.items() if value is not None}
        checkpoint, scheduler = call.pop("checkpoint"), SCHEDULERS[call.pop("scheduler")]
        prompt, recording, strength = call.pop("prompt"), call.pop("recording", None), call.pop("strength", None)
        names, begin = "generate, load_pipeline", ""
        arguments = [f"{key}={value!r}" for key, value in call.items()]
        if recording:
            names = "Clip, generate, load_pipeline"
            same = ", ".join(f"{name}={call[name]!r}" for name in OF_AN_EDIT)
            begin = f"begin = begin_with(pipe, Clip.load({recording!r}), {strength!r}, {same})\n"
            arguments.append("callback=begin")
        return (
            f"from diffusers import {scheduler}\n\n"
            + ("from playground.edits import begin_with\n" if recording else "")
            + f"from utils import {names}\n\n"
            f"pipe = load_pipeline({checkpoint!r})\n"
            f"pipe.scheduler = {scheduler}.from_config(pipe.scheduler.config)\n{begin}"
            f"clip = generate(\n    pipe,\n    {prompt!r},\n"
            + "".join(f"    {argument},\n" for argument in arguments)
            + f")\nclip.save({f'outputs/{self.name}.wav'!r})\n"
        )

    @property
    def files(self) -> dict[str, bytes]:
        """What is kept of a take, by the ending of the file's name: its sound, its settings and its code."""
        settings = json.dumps(self.settings, indent=2, ensure_ascii=False) + "\n"
        return {".wav": self.clip.wav(), ".json": settings.encode(), ".py": self.code.encode()}

    def save(self, folder: str | Path) -> Path:
        """Write the files into a folder; return the WAV's path. Raises OSError where it cannot be written."""
        wav, *_ = [write_whole(Path(folder) / f"{self.name}{end}", data) for end, data in self.files.items()]
        return wav

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        """The player, the files as links that need no kernel, and the code."""
        links = " · ".join(
            f'<a download="{self.name}{end}" href="data:{MIME[end]};base64,{base64.b64encode(data).decode()}">{end}</a>'
            for end, data in self.files.items()
        )
        bundle = self.clip._repr_mimebundle_()
        bundle["text/html"] += (
            f'<div class="{NO_MATHS}">Download take {self.number}: {links}'
            "<details><summary>The code that makes it again</summary>"
            f'<pre style="white-space:pre-wrap">{html.escape(self.code)}</pre></details></div>'
        )
        return bundle


def beginning(pipe, settings: dict) -> Callable | None:
    """The callback of a take that begins with a recording; None of one that begins with noise."""
    if "recording" not in settings:
        return None
    same = {name: settings[name] for name in OF_AN_EDIT}
    return begin_with(pipe, Clip.load(settings["recording"]), settings["strength"], **same)


@dataclass
class CostModel:
    """How long a take lasts on this machine, learnt from the last 20 that were measured.

    seconds = a + b x length + (c + d x length) x passes, where a pass is one run of the UNet: one in each step, two
    with guidance. The four costs are fitted by least squares of the relative errors, none of them negative.
    Explained in lesson 05.
    """

    measured: list[tuple[list[float], float]] = field(default_factory=list)

    @classmethod
    def timed(cls, pipe, before_each: Callable[[], None]) -> CostModel:
        """What a few very short takes of this pipeline teach."""
        costs = cls()
        for i, (steps, length) in enumerate(TIMING_RUNS):
            before_each()
            settings = {"num_inference_steps": steps, "audio_length_in_s": length, "guidance_scale": 2.5}
            clip = generate(pipe, PROBE, **settings)
            if i:
                costs.add(clip.seconds, **settings)
        return costs

    def add(self, seconds: float, **settings) -> None:
        """Learn that a take with these settings lasted `seconds`."""
        self.measured = [*self.measured, (cost_terms(**settings), seconds)][-20:]

    def seconds(self, **settings) -> float | None:
        """Expected seconds of a take with these settings; None before the first measurement."""
        from scipy.optimize import nnls

        if not self.measured:
            return None
        terms, seconds = (np.array(column) for column in zip(*self.measured, strict=True))
        costs, _ = nnls(terms / seconds[:, None], np.ones(len(seconds)))
        return float(costs @ cost_terms(**settings))


def cost_terms(num_inference_steps: int, audio_length_in_s: float, guidance_scale: float, **_) -> list[float]:
    """What the four costs of `CostModel` are multiplied with."""
    passes = num_inference_steps * (2 if guidance_scale > 1 else 1)
    return [1.0, audio_length_in_s, passes, passes * audio_length_in_s]

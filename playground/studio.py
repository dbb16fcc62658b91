"""The playground: AudioLDM's call as a panel of widgets, with a history of takes.

Works with ipywidgets 7.7 (Colab) and 8. Explained in lesson 05 (`notebooks/05_playground.ipynb`).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import random
import re
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import diffusers
import ipywidgets as widgets
import numpy as np

from utils.checkpoints import CHECKPOINTS
from utils.clip import Clip, Comparison, compare
from utils.files import shorten, write_whole
from utils.generation import MAX_SEED, generate
from utils.loading import PROBE, checkpoint_name, load_pipeline
from utils.player import NO_MATHS

SCHEDULERS = {  # what the panel calls it -> diffusers' class
    "DDIM": "DDIMScheduler",
    "DPM-Solver++": "DPMSolverMultistepScheduler",
    "UniPC": "UniPCMultistepScheduler",
    "Euler": "EulerDiscreteScheduler",
}
MAX_TAKES = 20  # beyond, the oldest take that is not kept leaves the history
TIMING_RUNS = ((1, 0.64), (1, 0.64), (4, 0.64), (1, 2.56))  # steps and seconds; the first one only warms up
ROW = "0 0 auto"
COLUMN = "1 1 330px"  # controls stand in as many columns of this width as there is room for
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
MIME = {".wav": "audio/wav", ".json": "application/json", ".py": "text/x-python"}

_studios: dict[str, Studio] = {}


class Cancelled(Exception):
    """Raised in the pipeline's callback after Cancel."""


@dataclass
class CostModel:
    """How long a take lasts on this machine, learnt from the last 20 that were measured.

    seconds = a + b x length + (c + d x length) x passes, where a pass is one run of the UNet: one in each step, two
    with guidance. The four costs are fitted by least squares of the relative errors, none of them negative.
    Explained in lesson 05.
    """

    measured: list[tuple[list[float], float]] = field(default_factory=list)

    def add(self, seconds: float, **settings) -> None:
        """Learn that a take with these settings lasted `seconds`."""
        self.measured = [*self.measured, (_cost_terms(**settings), seconds)][-20:]

    def seconds(self, **settings) -> float | None:
        """Expected seconds of a take with these settings; None before the first measurement."""
        from scipy.optimize import nnls

        if not self.measured:
            return None
        terms, seconds = (np.array(column) for column in zip(*self.measured, strict=True))
        costs, _ = nnls(terms / seconds[:, None], np.ones(len(seconds)))
        return float(costs @ _cost_terms(**settings))


def _cost_terms(num_inference_steps: int, audio_length_in_s: float, guidance_scale: float, **_) -> list[float]:
    passes = num_inference_steps * (2 if guidance_scale > 1 else 1)
    return [1.0, audio_length_in_s, passes, passes * audio_length_in_s]


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
        return " · ".join([str(self.number), *parts])

    @property
    def name(self) -> str:
        """A file name without ending: words of the prompt and a digest of all settings."""
        words = re.sub(r"[^a-z0-9]+", "-", self.settings["prompt"][:40].lower()).strip("-") or "take"
        return f"{words}-{hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:8]}"

    @property
    def code(self) -> str:
        """Python that makes this take again, sample for sample."""
        settings = {key: value for key, value in self.settings.items() if value is not None}
        checkpoint, scheduler = settings.pop("checkpoint"), SCHEDULERS[settings.pop("scheduler")]
        prompt = settings.pop("prompt")
        return (
            f"from diffusers import {scheduler}\n\nfrom utils import generate, load_pipeline\n\n"
            f"pipe = load_pipeline({checkpoint!r})\n"
            f"pipe.scheduler = {scheduler}.from_config(pipe.scheduler.config)\n"
            f"clip = generate(\n    pipe,\n    {prompt!r},\n"
            + "".join(f"    {key}={value!r},\n" for key, value in settings.items())
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
            f'<div class="{NO_MATHS}" style="font:13px/1.5 system-ui,sans-serif">Download take {self.number}: {links}'
            "<details><summary>The code that makes it again</summary>"
            f'<pre style="white-space:pre-wrap;overflow-wrap:anywhere">{html.escape(self.code)}</pre></details></div>'
        )
        return bundle


class Studio:
    """A panel of widgets over `generate`, with progress, Cancel and a history of takes.

    Running its cell again shows the same studio: the settings, the takes and even a take in the making are kept under
    its name until the kernel stops. What the buttons do can be called, too.

    Args:
        name: two studios with different names share nothing.
        checkpoint: what `load_pipeline` takes; by default the one the studio has, at first "auto".
        folder: where `keep` writes.

    Attributes:
        controls: the widgets by parameter name.
        takes: the history, oldest first.
        message: what the studio said last.
        view: the whole panel, a widget.

    Explained in lesson 05.
    """

    def __new__(cls, name: str = "studio", *_, **__):
        return _studios.get(name) or super().__new__(cls)

    def __init__(self, name: str = "studio", checkpoint: str | None = None, folder: str | Path = "outputs/takes"):
        self.folder = Path(folder)
        if name not in _studios:
            self.takes: list[Take] = []
            self.message = ""
            self._made = 0  # takes so far, also those that left the history
            self._rows: dict[int, widgets.Box] = {}  # by the take's number
            self._jobs = ThreadPoolExecutor(1)  # a thread of its own, so that the panel answers meanwhile
            self._cancelled = threading.Event()
            self._loaded, self._pipe = None, None
            self._costs: dict[str, CostModel] = {}  # by checkpoint
            self._build()
            _studios[name] = self
            checkpoint = checkpoint or "auto"
        if checkpoint:
            self._start(self._load, str(checkpoint))
            self.wait()

    # ---- what a reader calls

    @property
    def settings(self) -> dict:
        """What the panel says, by parameter name; an empty negative prompt is None."""
        values = {name: control.value for name, control in self.controls.items()}
        settings = {name: round(v, 2) if isinstance(v, float) else v for name, v in values.items()}  # sliders add 1e-15
        return {**settings, "negative_prompt": settings["negative_prompt"].strip() or None}

    def set(self, **settings) -> None:
        """Move the controls: `studio.set(prompt="rain", seed=3)`.

        Raises TypeError for a name that is not on the panel, ValueError for a value out of its control's range.
        """
        for name, value in settings.items():
            if name not in self.controls:
                raise TypeError(f"The studio has no {name!r}: it has {', '.join(self.controls)}.")
            control = self.controls[name]
            if hasattr(control, "max") and not control.min <= value <= control.max:
                raise ValueError(f"{name} must be from {control.min:g} to {control.max:g} here, not {value!r}.")
            if hasattr(control, "options") and value not in control.options:
                raise ValueError(f"{name} must be one of {', '.join(control.options)}, not {value!r}.")
            control.value = "" if value is None else value

    def generate(self, **settings) -> Take:
        """Make a take and wait for it; raises what goes wrong. Interrupting the kernel cancels it."""
        self.set(**settings)
        try:
            return self._start(self._make, self.settings).result()
        except KeyboardInterrupt:
            self.cancel()
            raise

    def start(self) -> None:
        """Make a take as the button does: in the background, and what goes wrong is said in `message`."""
        if not self._go.disabled:  # else it was pressed twice
            self._start(self._make, self.settings)

    def cancel(self) -> None:
        """Stop what is being made at its next step."""
        if not self._stop.disabled:
            self._cancelled.set()
            self._say("Cancelling …")

    def wait(self) -> None:
        """Return when nothing is being made."""
        self._jobs.submit(bool).result()

    def expected_seconds(self, **settings) -> float | None:
        """How long a take will last, with what the panel says or other settings; None if nothing was measured."""
        settings = {**self.settings, **settings}
        return self._costs.get(settings["checkpoint"], CostModel()).seconds(**settings)

    def keep(self, take: Take) -> Path:
        """Write a take's WAV, settings and code into the studio's folder, and never drop it from the history."""
        path = take.save(self.folder)
        self._rows[take.number].keep.disabled = True
        self._say(f"Take {take.number} is kept: {path.as_posix()}, with its settings (.json) and its code (.py).")
        return path

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        said = [(name, shorten(str(value))) for name, value in self.settings.items()]
        rows = "".join(f"<tr><td>{name}</td><td>{html.escape(value)}</td></tr>" for name, value in said)
        return {
            WIDGET_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id},
            "text/plain": f"Studio: {', '.join(f'{name}={value}' for name, value in said)}",
            "text/html": f"<p>The widgets need a running kernel: run this cell. They say:</p><table>{rows}</table>",
        }

    # ---- jobs, done one after the other in the studio's thread

    def _start(self, job: Callable, *arguments) -> Future:
        self._go.disabled, self._stop.disabled = True, False
        return self._jobs.submit(self._run, job, *arguments)

    def _run(self, job: Callable, *arguments):
        """Do a job; what goes wrong is said in the studio, and raised."""
        self._cancelled.clear()
        try:
            return job(*arguments)
        except Cancelled:
            self._say("Cancelled.")
            raise
        except Exception as error:
            self._say(str(error) or type(error).__name__, is_error=True)
            raise
        finally:
            self._go.disabled, self._stop.disabled = False, True
            self._progress.value = 0
            self._show_expected()

    def _load(self, checkpoint: str) -> None:
        """Have this checkpoint, and no other, in memory; time it if it is new."""
        if checkpoint == self._loaded:
            return
        self._say(f"Loading {checkpoint} …")
        self._loaded = self._pipe = None
        self._pipe = load_pipeline(checkpoint)
        if checkpoint == "auto":
            checkpoint = checkpoint_name(self._pipe)
        self._scheduler_config = self._pipe.scheduler.config
        if checkpoint not in self._costs:
            self._costs[checkpoint] = self._time()
        self._loaded = checkpoint
        control = self.controls["checkpoint"]
        if checkpoint not in control.options:
            control.options = (checkpoint, *control.options)  # new options select the first one
        control.value = checkpoint
        self._say(f"{checkpoint} is ready.")

    def _time(self) -> CostModel:
        costs = CostModel()
        for i, (steps, length) in enumerate(TIMING_RUNS):
            self._stop_if_cancelled()
            settings = {"num_inference_steps": steps, "audio_length_in_s": length, "guidance_scale": 2.5}
            clip = generate(self._pipe, PROBE, **settings)
            if i:
                costs.add(clip.seconds, **settings)
        return costs

    def _make(self, settings: dict) -> Take:
        self._load(settings["checkpoint"])
        start = time.perf_counter()
        call = {key: value for key, value in settings.items() if key not in ("checkpoint", "scheduler")}
        scheduler = getattr(diffusers, SCHEDULERS[settings["scheduler"]])
        self._pipe.scheduler = scheduler.from_config(self._scheduler_config)
        self._progress.max = call["num_inference_steps"]
        self._say("Generating …")

        def step(index: int, *_) -> None:
            self._progress.value = index + 1
            self._stop_if_cancelled()

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            clip = generate(self._pipe, **call, callback=step)
        self._stop_if_cancelled()  # pressed while the sound was decoded
        self._made += 1
        take = Take(self._made, clip, settings)
        self._show(take)
        self._remember(take)
        seconds = time.perf_counter() - start
        self._costs[self._loaded].add(seconds, **settings)
        notes = [str(warning.message) for warning in caught if warning.category is UserWarning]
        self._say(" ".join([f"Take {take.number}: {clip.duration:g} s of sound in {seconds:.1f} s.", *notes]))
        return take

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled

    # ---- the panel

    def _build(self) -> None:
        names = [name for name, known in CHECKPOINTS.items() if not known.is_mini or known.folder.is_dir()]
        self.controls = {
            "prompt": widgets.Textarea(value=PROBE, rows=3, continuous_update=False),
            "negative_prompt": widgets.Text(continuous_update=False, placeholder="what not to hear"),
            "num_inference_steps": widgets.IntSlider(10, 1, 200),
            "audio_length_in_s": widgets.FloatSlider(5.0, min=0.5, max=20.0, step=0.5, readout_format=".1f"),
            "guidance_scale": widgets.FloatSlider(2.5, min=0.0, max=20.0, step=0.5, readout_format=".1f"),
            "seed": widgets.BoundedIntText(0, 0, MAX_SEED),
            "checkpoint": widgets.Dropdown(options=names, value=names[-1]),
            "scheduler": widgets.Dropdown(options=list(SCHEDULERS)),
        }
        for name, control in self.controls.items():
            control.description = name
            control.style.description_width = "142px"
            control.layout = widgets.Layout(width="auto", min_width="0", flex=ROW if "prompt" in name else COLUMN)
            control.observe(lambda change: self._show_expected(), "value")
        self.controls["checkpoint"].observe(self._on_checkpoint, "value")
        self._go = widgets.Button(description="Generate", button_style="primary", layout={"width": "110px"})
        self._stop = widgets.Button(description="Cancel", disabled=True, layout={"width": "110px"})
        dice = widgets.Button(description="🎲", tooltip="another seed", layout={"flex": "0 0 44px"})
        self._go.on_click(lambda button: self.start())
        self._stop.on_click(lambda button: self.cancel())
        dice.on_click(lambda button: self.set(seed=random.randrange(10_000)))
        self._progress = widgets.IntProgress(0, 0, 10, layout={"flex": COLUMN, "width": "auto"})
        self._expected, self._status = widgets.HTML(), widgets.HTML()
        self._stage = widgets.Output()
        self._history = widgets.VBox()
        prompt, negative, steps, length, guidance, seed, checkpoint, scheduler = self.controls.values()
        seed_and_dice = _wrapping(seed, dice, flex=COLUMN, flex_flow="row nowrap")
        others = _wrapping(steps, length, guidance, seed_and_dice, checkpoint, scheduler)
        buttons = _wrapping(self._go, self._stop, self._expected, self._progress)
        self.view = widgets.VBox(
            [prompt, negative, others, buttons, self._status, self._stage, self._history],
            layout={"max_width": "1100px"},
        )

    def _on_checkpoint(self, change: dict) -> None:
        if change["new"] != self._loaded:
            self._start(self._load, change["new"])

    def _say(self, message: str, is_error: bool = False) -> None:
        self.message = shorten(message, 400)
        style = "color:var(--jp-error-color1,#c62828);font-weight:600" if is_error else ""
        self._status.value = (
            f'<div role="status" class="{NO_MATHS}" style="line-height:1.4;{style}">'
            f"<bdi>{html.escape(self.message)}</bdi></div>"
        )

    def _show_expected(self) -> None:
        seconds = self.expected_seconds()
        text = "not timed yet" if seconds is None else f"expected: {seconds:.1f} s"
        self._expected.value = f'<span style="padding:0 8px">{text}</span>'

    def _show(self, thing: Take | Comparison) -> None:
        output = {"output_type": "display_data", "data": thing._repr_mimebundle_(), "metadata": {}}
        self._stage.outputs = (output,)  # not `with self._stage:`, which is for the main thread only

    def _remember(self, take: Take) -> None:
        """Put a take on top of the history; the oldest that is not kept leaves a full one."""
        row = _Row(take)
        row.show.on_click(lambda button: self._show(take))
        row.use.on_click(lambda button: self.set(**take.settings))
        row.keep.on_click(lambda button: self._keep(take))
        row.compare.observe(lambda change: self._compare(), "value")
        self._rows[take.number] = row
        self.takes.append(take)
        loose = [old for old in self.takes if not self._rows[old.number].keep.disabled]
        if len(self.takes) > MAX_TAKES and loose:
            self.takes.remove(loose[0])
            self._rows.pop(loose[0].number).close()
        self._history.children = [self._rows[old.number] for old in reversed(self.takes)]

    def _keep(self, take: Take) -> None:
        try:
            self.keep(take)
        except OSError as error:
            self._say(str(error), is_error=True)

    def _compare(self) -> None:
        takes = [take for take in self.takes if self._rows[take.number].compare.value]
        if len(takes) > 1:
            self._show(compare([take.clip for take in takes], [f"Take {take.number}" for take in takes]))


class _Row(widgets.Box):
    """A take in the history: what it was, and what can be done with it."""

    def __init__(self, take: Take):
        self.show = widgets.Button(description=take.title, tooltip="show it above", layout={"flex": COLUMN})
        self.use = widgets.Button(description="use", tooltip="put its settings on the panel")
        self.compare = widgets.ToggleButton(description="compare", tooltip="side by side with others")
        self.keep = widgets.Button(description="keep", tooltip="write its sound, settings and code")
        super().__init__([self.show, self.use, self.compare, self.keep], layout={"flex_flow": "row wrap"})
        for button in self.children:
            button.layout.width = "auto"


def _wrapping(*children: widgets.Widget, flex_flow: str = "row wrap", **layout) -> widgets.Box:
    return widgets.Box(children, layout={"flex_flow": flex_flow, "align_items": "center", **layout})

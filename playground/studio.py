"""Show AudioLDM's call as a panel of widgets, with a history of takes.

Explained in lesson 05 (`notebooks/05_playground.ipynb`).
"""

from __future__ import annotations

import html
import random
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import diffusers

from utils import checkpoint_name, compare, generate, load_pipeline
from utils.checks import shorten
from utils.player import NO_MATHS

from .booth import shown
from .panel import Panel, Row
from .takes import NOT_OF_THE_CALL, SCHEDULERS, CostModel, Take, beginning

ERROR = "color:var(--jp-error-color1,#c62828);font-weight:600"
MAX_TAKES = 20  # beyond, the oldest take that is not kept leaves the history

studios: dict[str, Studio] = {}  # the studios of this kernel, by name


class Cancelled(Exception):
    """Raised in the pipeline's callback after Cancel."""


class Studio:
    """A panel of widgets over `generate`, with progress, Cancel and a history of takes.

    Running its cell again shows the same studio: the settings, the takes, the folder and even a take in the making are
    kept under its name until the kernel stops. The methods do the same as the buttons.

    Args:
        name: the key of the studio; the same name opens it again.
        checkpoint: an argument of `load_pipeline`; by default the one the studio has, at first "auto".
        folder: `keep` writes there; by default the one the studio has, at first "outputs/takes".

    Attributes: `controls`, the widgets by parameter name; `takes`, the history, oldest first; `message`, the latest
    message; `pipe`, the pipeline of its checkpoint; `view`, the whole panel, a widget.
    """

    def __new__(cls, name: str = "studio", *_, **__):
        return studios.get(name) or super().__new__(cls)

    def __init__(self, name: str = "studio", checkpoint: str | None = None, folder: str | Path | None = None):
        if folder is not None or name not in studios:
            self.folder = Path(folder or "outputs/takes").expanduser()
        if name not in studios:
            self.takes: list[Take] = []
            self.message, self.pipe, self._loaded = "", None, None
            self._made = 0  # takes so far, also those that left the history
            self._thread = ThreadPoolExecutor(1)  # one of its own, so that the panel answers meanwhile
            self._jobs: list[threading.Event] = []  # running, then queued; set = cancelled
            self._lock = threading.RLock()  # of that list and the buttons
            self._costs: dict[str, CostModel] = {}  # by checkpoint
            self.rows: dict[int, Row] = {}  # by the take's number
            self.panel = Panel()
            self.controls, self.view = self.panel.controls, self.panel.view
            self._connect()
            studios[name] = self
            checkpoint = checkpoint or "auto"
        if checkpoint:
            self._start(self._load, str(checkpoint))
            self.wait()

    def _connect(self) -> None:
        for control in self.controls.values():
            control.observe(lambda change: self.panel.expect(self.expected_seconds()), "value")
        self.controls["checkpoint"].observe(self._on_checkpoint, "value")
        self.panel.go.on_click(lambda button: self.start())
        self.panel.stop.on_click(lambda button: self.cancel())
        self.panel.dice.on_click(lambda button: self.set(seed=random.randrange(10_000)))

    def _on_checkpoint(self, change: dict) -> None:
        if change["new"] != self._loaded:
            self._start(self._load, change["new"])

    @property
    def settings(self) -> dict:
        """The values of the panel, by parameter name; an empty negative prompt is None."""
        return self.panel.settings

    def set(self, **settings) -> None:
        """Move the controls: `studio.set(prompt="rain", seed=3)`; raises TypeError or ValueError, and moves none."""
        self.panel.set(settings)

    def generate(self, **settings) -> Take:
        """Make a take and wait for it; raises its error. Interrupting the kernel cancels it."""
        self.set(**settings)
        try:
            return self._start(self._make, self.settings).result()
        except KeyboardInterrupt:
            self.cancel()
            raise

    def start(self) -> None:
        """Make a take in the background, as the button does, with errors in `message`."""
        if not self._jobs:  # else it was pressed twice
            self._start(self._make, self.settings)

    def cancel(self) -> None:
        """Cancel all jobs: the running one stops at its next step, those that wait never begin."""
        with self._lock:
            for cancelled in self._jobs:
                cancelled.set()
                self.say("Cancelling …")

    def wait(self) -> None:
        """Return when no job is left."""
        self._thread.submit(bool).result()

    def expected_seconds(self, **settings) -> float | None:
        """Return the expected seconds of a take with the panel's or other settings; None if nothing was measured."""
        settings = {**self.settings, **settings}
        return self._costs.get(settings["checkpoint"], CostModel()).seconds(**settings)

    def keep(self, take: Take) -> Path:
        """Write a take's WAV, settings and code into the studio's folder, and exempt it from removal."""
        path = take.save(self.folder)
        self.rows[take.number].keep.disabled = True
        self.say(f"Take {take.number} is kept: {path.as_posix()}, with its settings (.json) and its code (.py).")
        return path

    def say(self, message: str, is_error: bool = False) -> None:
        """Show a message in one line below the buttons."""
        self.message = shorten(message, 400)
        attributes = f'role="status" class="{NO_MATHS}"' + f' style="{ERROR}"' * is_error
        self.panel.status.value = f"<div {attributes}><bdi>{html.escape(self.message)}</bdi></div>"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        said = ", ".join(f"{name}={shorten(str(value))}" for name, value in self.settings.items())
        return {**shown(self.view, "The studio"), "text/plain": f"Studio: {said}"}

    def _start(self, job: Callable, *arguments) -> Future:
        cancelled = threading.Event()
        with self._lock:
            self._jobs.append(cancelled)
            self.panel.busy(True)
            return self._thread.submit(self._run, cancelled, job, *arguments)

    def _run(self, cancelled: threading.Event, job: Callable, *arguments):
        """Do a job unless it is cancelled; show its error in the studio, and raise it."""
        try:
            self._stop_if_cancelled()
            return job(*arguments)
        except Cancelled:
            self.say("Cancelled.")
            raise
        except Exception as error:
            self.say(str(error) or type(error).__name__, is_error=True)
            raise
        finally:
            with self._lock:
                self._jobs = [other for other in self._jobs if other is not cancelled]
                self.panel.busy(bool(self._jobs))
            self.panel.progress.value = 0
            self.panel.expect(self.expected_seconds())

    def _load(self, checkpoint: str) -> None:
        """Load this checkpoint, and free the other one; time it if it is new."""
        if checkpoint == self._loaded:
            return
        self.say(f"Loading {checkpoint} …")
        self._loaded = self.pipe = None
        self.pipe = load_pipeline(checkpoint)
        checkpoint = checkpoint_name(self.pipe) if checkpoint == "auto" else checkpoint
        self._scheduler_config = self.pipe.scheduler.config
        if checkpoint not in self._costs:
            self._costs[checkpoint] = CostModel.timed(self.pipe, self._stop_if_cancelled)
        self._loaded = checkpoint
        control = self.controls["checkpoint"]
        if checkpoint not in control.options:
            control.options = (checkpoint, *control.options)  # new options select the first one
        control.value = checkpoint
        self.say(f"{checkpoint} is ready.")

    def _make(self, settings: dict) -> Take:
        self._load(settings["checkpoint"])
        start = time.perf_counter()
        call = {key: value for key, value in settings.items() if key not in NOT_OF_THE_CALL}
        scheduler = getattr(diffusers, SCHEDULERS[settings["scheduler"]])
        self.pipe.scheduler = scheduler.from_config(self._scheduler_config)
        begin = beginning(self.pipe, settings)
        self.panel.progress.max = call["num_inference_steps"]
        self.say("Generating …")

        def step(index: int, timestep: int, latents) -> None:
            self.panel.progress.value = index + 1
            self._stop_if_cancelled()
            if begin:
                begin(index, timestep, latents)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            clip = generate(self.pipe, **call, callback=step)
        with self._lock:
            self._stop_if_cancelled()  # pressed while the sound was decoded
            del self._jobs[0]  # from here on it cannot be cancelled
        if begin is None:  # the callback only counted steps: drop it
            clip = replace(clip, settings={name: value for name, value in clip.settings.items() if name != "callback"})
        self._made += 1
        take = Take(self._made, clip, settings)
        self.panel.show(take)
        self._remember(take)
        seconds = time.perf_counter() - start
        self._costs[self._loaded].add(seconds, **settings)
        notes = [str(warning.message) for warning in caught if warning.category is UserWarning]
        notes += [f"It is loud, peak {clip.peak:.1f}: turn the volume down before you play it."] * (clip.peak > 1)
        self.say(" ".join([f"Take {take.number}: {clip.duration:g} s of sound in {seconds:.1f} s.", *notes]))
        return take

    def _stop_if_cancelled(self) -> None:
        if self._jobs[0].is_set():  # jobs run in their order, so it is the first one that runs
            raise Cancelled

    def _remember(self, take: Take) -> None:
        """Put a take on top of the history; the oldest that is not kept leaves a full one."""
        row = self.rows[take.number] = Row(take, self.takes[-1] if self.takes else None)
        row.show.on_click(lambda button: self.panel.show(take))
        row.use.on_click(lambda button: self.set(**{"recording": None, **take.settings}))
        row.keep.on_click(lambda button: self._keep(take))
        row.compare.observe(lambda change: self._compare(), "value")
        self.takes.append(take)
        loose = [old for old in self.takes if not self.rows[old.number].keep.disabled]
        if len(self.takes) > MAX_TAKES and loose:
            self.takes.remove(loose[0])
            self.rows.pop(loose[0].number).close()
        self.panel.history.children = [self.rows[old.number] for old in reversed(self.takes)]

    def _keep(self, take: Take) -> None:
        try:
            self.keep(take)
        except OSError as error:
            self.say(str(error), is_error=True)

    def _compare(self) -> None:
        takes = [take for take in self.takes if self.rows[take.number].compare.value]
        if len(takes) > 1:
            self.panel.show(compare([take.clip for take in takes], [f"Take {take.number}" for take in takes]))

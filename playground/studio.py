"""The studio: AudioLDM's call as a panel of widgets, with a history of takes.

Explained in lesson 05 (`notebooks/05_playground.ipynb`).
"""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import diffusers

from utils import checkpoint_name, compare, generate, load_pipeline
from utils.files import shorten

from .panel import Panel, Row
from .takes import NOT_OF_THE_CALL, SCHEDULERS, CostModel, Take, beginning

MAX_TAKES = 20  # beyond, the oldest take that is not kept leaves the history

studios: dict[str, Studio] = {}  # those of this kernel, by name


class Cancelled(Exception):
    """Raised in the pipeline's callback after Cancel."""


class Studio:
    """A panel of widgets over `generate`, with progress, Cancel and a history of takes.

    Running its cell again shows the same studio: the settings, the takes and even a take in the making are kept under
    its name until the kernel stops. What the buttons do can be called, too.

    Args:
        name: two studios with different names share nothing.
        checkpoint: what `load_pipeline` takes; by default the one the studio has, at first "auto".
        folder: where `keep` writes.

    Attributes: `controls`, the widgets by parameter name; `takes`, the history, oldest first; `message`, what it said
    last; `pipe`, the pipeline of its checkpoint; `view`, the whole panel, a widget.

    Explained in lesson 05.
    """

    def __new__(cls, name: str = "studio", *_, **__):
        return studios.get(name) or super().__new__(cls)

    def __init__(self, name: str = "studio", checkpoint: str | None = None, folder: str | Path = "outputs/takes"):
        self.folder = Path(folder).expanduser()
        if name not in studios:
            self.takes: list[Take] = []
            self.message, self.pipe = "", None
            self._made = 0  # takes so far, also those that left the history
            self._jobs = ThreadPoolExecutor(1)  # a thread of its own, so that the panel answers meanwhile
            self._cancelled = threading.Event()
            self._loaded: str | None = None
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
        """Let the widgets do what they are for."""
        for control in self.controls.values():
            control.observe(lambda change: self.panel.expect(self.expected_seconds()), "value")
        self.controls["checkpoint"].observe(self._on_checkpoint, "value")
        self.panel.go.on_click(lambda button: self.start())
        self.panel.stop.on_click(lambda button: self.cancel())
        self.panel.dice.on_click(lambda button: self.set(seed=random.randrange(10_000)))

    def _on_checkpoint(self, change: dict) -> None:
        if change["new"] != self._loaded:
            self._start(self._load, change["new"])

    # ---- what a reader calls

    @property
    def settings(self) -> dict:
        """What the panel says, by parameter name; an empty negative prompt is None."""
        return self.panel.settings

    def set(self, **settings) -> None:
        """Move the controls: `studio.set(prompt="rain", seed=3)`.

        Raises TypeError for a name that is not on the panel or a value of another type, ValueError for a value out of
        its control's range; then nothing is moved.
        """
        self.panel.set(settings)

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
        if not self.panel.go.disabled:  # else it was pressed twice
            self._start(self._make, self.settings)

    def cancel(self) -> None:
        """Stop what is being made at its next step."""
        if not self.panel.stop.disabled:
            self._cancelled.set()
            self.say("Cancelling …")

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
        self.rows[take.number].keep.disabled = True
        self.say(f"Take {take.number} is kept: {path.as_posix()}, with its settings (.json) and its code (.py).")
        return path

    def say(self, message: str, is_error: bool = False) -> None:
        """Say something in one line below the buttons."""
        self.message = self.panel.say(shorten(message, 400), is_error)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return self.panel.mimebundle()

    # ---- jobs, done one after the other in the studio's thread

    def _start(self, job: Callable, *arguments) -> Future:
        self.panel.busy(True)
        return self._jobs.submit(self._run, job, *arguments)

    def _run(self, job: Callable, *arguments):
        """Do a job; what goes wrong is said in the studio, and raised."""
        self._cancelled.clear()
        try:
            return job(*arguments)
        except Cancelled:
            self.say("Cancelled.")
            raise
        except Exception as error:
            self.say(str(error) or type(error).__name__, is_error=True)
            raise
        finally:
            self.panel.busy(False)
            self.panel.progress.value = 0
            self.panel.expect(self.expected_seconds())

    def _load(self, checkpoint: str) -> None:
        """Have this checkpoint, and no other, in memory; time it if it is new."""
        if checkpoint == self._loaded:
            return
        self.say(f"Loading {checkpoint} …")
        self._loaded = self.pipe = None
        self.pipe = load_pipeline(checkpoint)
        if checkpoint == "auto":
            checkpoint = checkpoint_name(self.pipe)
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
        self._stop_if_cancelled()  # pressed while the sound was decoded
        self._made += 1
        take = Take(self._made, clip, settings)
        self.panel.show(take)
        self._remember(take)
        seconds = time.perf_counter() - start
        self._costs[self._loaded].add(seconds, **settings)
        notes = [str(warning.message) for warning in caught if warning.category is UserWarning]
        if clip.peak > 1:
            notes.append(f"It is loud, peak {clip.peak:.1f}: turn the volume down before you play it.")
        self.say(" ".join([f"Take {take.number}: {clip.duration:g} s of sound in {seconds:.1f} s.", *notes]))
        return take

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled

    # ---- the history

    def _remember(self, take: Take) -> None:
        """Put a take on top of the history; the oldest that is not kept leaves a full one."""
        row = Row(take)
        row.show.on_click(lambda button: self.panel.show(take))
        row.use.on_click(lambda button: self.set(**{"recording": None, **take.settings}))
        row.keep.on_click(lambda button: self._keep(take))
        row.compare.observe(lambda change: self._compare(), "value")
        self.rows[take.number] = row
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

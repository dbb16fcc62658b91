"""Run a blind listening test: hidden trials, answered one by one, each saved at once."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from utils import Clip

from . import answers

PATH = "outputs/listening.csv"
LOUD = 6.0  # dB over the median of a test above which a warning is shown; also for peaks over 1


@dataclass(frozen=True)
class Trial:
    """One question: the sounds by their displayed names, the hidden label, and the right answer if there is one."""

    sounds: dict[str, Clip]
    question: str
    label: str
    truth: str = ""


class ListeningTest:
    """A list of hidden trials and the answers of one listener to them.

    The answers go to a CSV file, which other listeners may share; the answers that it already holds of this listener
    and this test count.
    """

    kind: str
    choices: tuple[str, ...]

    def __init__(self, trials: Sequence[Trial], listener: str | None = None, path: str | Path = PATH, seed: int = 0):
        self.path, self.seed, self.listener = Path(path).expanduser(), seed, None
        self.asked = self.trials = list(trials)
        # settings, not samples: those differ in their last digits between the machines of a class
        facts = [(t.question, t.label, [_facts(c) for c in t.sounds.values()]) for t in trials]
        # a letter first: a spreadsheet would store 1234e5678901 as a number
        self.id = f"t{hashlib.sha256(repr((self.kind, seed, facts)).encode()).hexdigest()[:12]}"
        levels = [level_db(clip) for trial in trials for clip in trial.sounds.values()]
        self.loud = float(np.median(levels)) + LOUD
        self.results = pd.DataFrame(columns=answers.HEADER, dtype=str)
        if listener is not None:
            self.begin(listener)

    def begin(self, listener: str) -> None:
        """Set the listener's name or pseudonym; raise ValueError for "", "you" and the like."""
        name = answers.listener_name(listener)
        held = answers.read(self.path, name)
        self.listener = name
        # an order for each listener, so that tiredness falls on no clip in particular
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        self.trials = [self.hide(self.asked[i], rng) for i in rng.permutation(len(self.asked))]
        self._take_over(held)

    def hide(self, trial: Trial, rng: np.random.Generator) -> Trial:
        """Return the trial as blinded for this listener."""
        return trial

    @property
    def remaining(self) -> int:
        """The number of trials without an answer."""
        return len(self.trials) - len(self.results)

    @property
    def number(self) -> int:
        """The number of the current trial, from 1."""
        answered = set(self.results.trial)
        return next((n for n in range(1, len(self.trials) + 1) if str(n) not in answered), len(self.trials) + 1)

    @property
    def now(self) -> Trial:
        """The current trial; raises ValueError if none is left or no listener is set."""
        if self.listener is None:
            raise ValueError("No listener yet: call `test.begin(...)` with a name or a pseudonym.")
        if self.remaining:
            return self.trials[self.number - 1]
        raise ValueError(f"All {len(self.trials)} trials are answered: see `summary(test.results)`.")

    @property
    def sounds(self) -> dict[str, Clip]:
        """The current clips without their settings, under the names A, B, X, or one without a name."""
        return {name: Clip(clip.waveform, clip.sample_rate) for name, clip in self.now.sounds.items()}

    @property
    def is_loud(self) -> bool:
        """Whether a clip of this trial is much louder than the others of the test, or beyond full scale."""
        return any(clip.peak > 1 or level_db(clip) > self.loud for clip in self.now.sounds.values())

    def answer(self, choice: str | int) -> None:
        """Answer the current trial, save the answer, and go to the next trial.

        If the trial has been answered in another tab or process meanwhile, that answer stays, with a warning.
        Raises ValueError if `choice` is not one of `choices`, or no trial is left; OSError if it cannot be saved.
        """
        now, choice, number = self.now, str(choice).strip().upper(), self.number
        if choice not in self.choices:
            raise ValueError(f"The answer must be one of {', '.join(self.choices)}, not {choice!r}.")
        row = [self.id, self.kind, self.listener, str(number), now.label, now.truth, choice]
        before = len(self.results)
        self._take_over(answers.add(self.path, dict(zip(answers.COLUMNS, row, strict=True))))
        if len(self.results) != before + 1 or self.results.answer[self.results.trial == str(number)].item() != choice:
            warnings.warn(f"This test is also open elsewhere: it goes on with trial {self.number}.", stacklevel=2)

    def _take_over(self, held: pd.DataFrame) -> None:
        """Take the first answer to each trial of this listener and this test from a table."""
        own = held[(held.test == self.id) & (held.listener == self.listener)].drop_duplicates("trial")
        trials = [str(n) for n in range(1, len(self.trials) + 1)]
        own = own[own.trial.isin(trials)].sort_values("trial", key=lambda t: t.astype(int), ignore_index=True)
        asked = [self.trials[int(n) - 1] for n in own.trial]  # a spreadsheet may have made a date of the label "3-4"
        self.results = own.assign(label=[t.label for t in asked], truth=[t.truth for t in asked])

    def __repr__(self) -> str:
        by = f" by {self.listener}" if self.listener else ""
        return f"{type(self).__name__}: {len(self.results)} of {len(self.trials)} trials answered{by}."


def level_db(clip: Clip) -> float:
    """Return the rms in dBFS of a clip of any length."""
    return float(10 * np.log10(np.mean(np.nan_to_num(clip.waveform).astype(float) ** 2) + 1e-12))


def _facts(c: Clip) -> str:
    """Return a clip's identity: its settings, or length and level of a recording."""
    return repr(c.settings or (c.sample_rate, len(c.waveform), round(level_db(c))))

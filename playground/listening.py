"""Blind listening: can a difference be heard (A/B/X), which is preferred, and how good do clips sound (1 to 5)?

Neither what made a clip nor its picture is shown. Explained in lesson 05 (`notebooks/05_playground.ipynb`).
"""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

import utils
from utils import Clip

from . import answers
from .booth import listening_panel

PATH = "outputs/listening.csv"
QUALITY = "How good does this sound? 1 is bad, 5 is excellent."
FITS = "Which fits “{prompt}” better?"
LOUD = 6.0  # dB over the middle of a test from which a clip is announced; so is one beyond full scale


@dataclass(frozen=True)
class Trial:
    """One question: the sounds by the names under which they are heard, what is hidden, and the right answer if any."""

    sounds: dict[str, Clip]
    question: str
    label: str
    truth: str = ""


class ListeningTest:
    """What the tests have in common: hidden trials, answered one by one, each saved at once, and answered once.

    In a notebook it is a panel with players and buttons; `begin`, `sounds` and `answer` do the same without one. The
    answers go to a CSV file, which others may use, too; what it holds of this listener and this test goes on.
    """

    kind: str
    choices: tuple[str, ...]

    def __init__(self, trials: Sequence[Trial], listener: str | None, path: str | Path, seed: int):
        self.path, self.seed, self.listener = Path(path).expanduser(), seed, None
        self.asked = self.trials = list(trials)
        # what was asked, not the samples: those differ in their last digits between the machines of a class
        facts = [(t.question, t.label, [_facts(clip) for clip in t.sounds.values()]) for t in trials]
        self.id = hashlib.sha256(repr((self.kind, seed, facts)).encode()).hexdigest()[:12]
        levels = [level_db(clip) for trial in trials for clip in trial.sounds.values()]
        self.loud = float(np.median(levels)) + LOUD
        self.results = pd.DataFrame(columns=answers.HEADER, dtype=str)
        if listener is not None:
            self.begin(listener)

    def begin(self, listener: str) -> None:
        """Say who listens, by a name or a pseudonym; raises ValueError for "", "you" and the like."""
        self.listener = answers.listener_name(listener)
        # an order of its own for every listener, so that tiredness falls on no clip in particular
        rng = np.random.default_rng([self.seed, zlib.crc32(self.listener.encode())])
        self.trials = [self.hide(self.asked[i], rng) for i in rng.permutation(len(self.asked))]
        self._take_over(answers.read(self.path))

    def hide(self, trial: Trial, rng: np.random.Generator) -> Trial:
        """The trial as this listener gets it."""
        return trial

    @property
    def remaining(self) -> int:
        """How many trials are still to be answered."""
        return len(self.trials) - len(self.results)

    @property
    def number(self) -> int:
        """Which trial it is, 1 up."""
        answered = set(self.results.trial)
        return next((n for n in range(1, len(self.trials) + 1) if str(n) not in answered), len(self.trials) + 1)

    @property
    def now(self) -> Trial:
        """The trial to be answered; raises ValueError where there is none, or nobody who listens."""
        if self.listener is None:
            raise ValueError("Say first who listens, by a name or a pseudonym: `test.begin(...)`.")
        if self.remaining:
            return self.trials[self.number - 1]
        raise ValueError(f"All {len(self.trials)} trials are answered: see `summary(test.results)`.")

    @property
    def sounds(self) -> dict[str, Clip]:
        """What is to be heard now, without its settings: clips under the names A, B, X, or one without a name."""
        return {name: Clip(clip.waveform, clip.sample_rate) for name, clip in self.now.sounds.items()}

    @property
    def is_loud(self) -> bool:
        """Whether a sound of this trial is much louder than the others of the test, or beyond full scale."""
        return any(clip.peak > 1 or level_db(clip) > self.loud for clip in self.now.sounds.values())

    def answer(self, choice: str | int) -> None:
        """Answer this trial, save the answer, and go to the next trial.

        Where the trial has been answered in another tab or process meanwhile, that answer stays, with a warning.
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
        """Keep the answers of this listener to this test, one a trial: the first."""
        own = held[(held.test == self.id) & (held.listener == self.listener)].drop_duplicates("trial")
        trials = [str(n) for n in range(1, len(self.trials) + 1)]
        self.results = own[own.trial.isin(trials)].sort_values("trial", key=lambda t: t.astype(int), ignore_index=True)

    def __repr__(self) -> str:
        by = f" by {self.listener}" if self.listener else ""
        return f"{type(self).__name__}: {len(self.results)} of {len(self.trials)} trials answered{by}."

    @cached_property
    def view(self):
        """The panel, a widget."""
        return listening_panel(self)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}
        return {"text/plain": repr(self), "application/vnd.jupyter.widget-view+json": view}


class ABX(ListeningTest):
    """Can the difference between two groups of clips be heard? X is A or B: which?

    For clips that are nearly alike; which of two different ones is better, `Preference` asks.

    Args:
        a, b: as many clips each, or two parts of a sweep's table; pair i, such as one prompt and seed at 5 and at 25
            steps, makes `repeats` trials, each with A and B in random places and X drawn by a coin.
        label: what is compared, "5 or 25 steps"; hidden until the end.
        listener: a name or a pseudonym; without it the panel asks. path: the CSV file. seed: of the order, 0 up.

    Source: Munson and Gardner 1950, "Standardizing auditory tests". Explained in lesson 05.
    """

    kind, choices, question = "abx", ("A", "B"), "X is one of the two others. Which?"

    def __init__(self, a, b, label: str, *, listener: str | None = None, path: str | Path = PATH, repeats=1, seed=0):
        pairs = _pairs(a, b, "A/B/X")
        trials = [Trial({"A": one, "B": two}, self.question, str(label)) for one, two in pairs]
        super().__init__(trials * repeats, listener, path, seed)

    def hide(self, trial: Trial, rng: np.random.Generator) -> Trial:
        sounds = dict(zip("AB", rng.permutation(list(trial.sounds.values())), strict=True))
        truth = str(rng.choice(self.choices))
        return Trial({**sounds, "X": sounds[truth]}, trial.question, trial.label, truth)


class Preference(ListeningTest):
    """Which of two hidden clips fits the words better? One must be chosen: ties are not offered.

    Args:
        a, b: as many clips each, or two parts of a sweep's table; pair i makes `repeats` trials, with its sides random.
            `summary` counts how often the clip of `b` is preferred.
        label: what is compared, "mini-s or mini-l"; hidden until the end.
        question: may speak of the "{prompt}", which the two of a pair must then have in common.
        listener, path, seed: as in `ABX`.

    Source: the paired comparison of Thurstone 1927. Explained in lesson 04.
    """

    kind, choices = "preference", ("A", "B")

    def __init__(
        self,
        a,
        b,
        label: str,
        *,
        listener: str | None = None,
        path: str | Path = PATH,
        question=FITS,
        repeats=1,
        seed=0,
    ):
        trials = []
        for number, (one, two) in enumerate(_pairs(a, b, "A preference"), 1):
            words = {clip.settings.get("prompt", "") for clip in (one, two)}
            if "{prompt}" in question and (len(words) > 1 or "" in words):
                raise ValueError(f"Pair {number} has no prompt in common: ask a question without “{{prompt}}”.")
            asked = question.replace("{prompt}", words.pop())
            trials.append(Trial({"A": one, "B": two}, asked, str(label)))
        super().__init__(trials * repeats, listener, path, seed)

    def hide(self, trial: Trial, rng: np.random.Generator) -> Trial:
        a, b = trial.sounds.values()
        truth = str(rng.choice(self.choices))  # the side of b
        return Trial({"A": b, "B": a} if truth == "A" else trial.sounds, trial.question, trial.label, truth)


class Rating(ListeningTest):
    """How good do clips sound, from 1 (bad) to 5 (excellent)? One clip at a time; the mean is the MOS.

    Args:
        clips: what to rate, or a sweep's table; the order is drawn for each listener.
        labels: one a clip, such as its number of steps; hidden, and clips of one label are averaged.
        question: may speak of the "{prompt}".
        listener, path, seed: as in `ABX`.

    Source: ITU-T P.800 (absolute category rating). Explained in lesson 05.
    """

    kind, choices = "rating", ("1", "2", "3", "4", "5")

    def __init__(self, clips, labels: Sequence, *, listener=None, path: str | Path = PATH, question=QUALITY, seed=0):
        clips, labels = _clips(clips), list(labels)
        if len(clips) != len(labels) or not clips:
            raise ValueError(f"A rating needs one label a clip, not {len(labels)} labels for {len(clips)} clips.")
        asked = (question.replace("{prompt}", clip.settings.get("prompt", "")) for clip in clips)
        rows = zip(clips, asked, labels, strict=True)
        super().__init__([Trial({"": clip}, text, str(label)) for clip, text, label in rows], listener, path, seed)


def _clips(clips: Sequence[Clip] | pd.DataFrame) -> list[Clip]:
    return utils.load_clips(clips) if isinstance(clips, pd.DataFrame) else list(clips)


def _pairs(a, b, what: str) -> list[tuple[Clip, Clip]]:
    a, b = _clips(a), _clips(b)
    if len(a) != len(b) or not a:
        raise ValueError(f"{what} needs pairs, as many clips in a as in b, not {len(a)} and {len(b)}.")
    return list(zip(a, b, strict=True))


def level_db(clip: Clip) -> float:
    """The rms in dBFS, of a clip of any length."""
    return float(10 * np.log10(np.mean(np.nan_to_num(clip.waveform).astype(float) ** 2) + 1e-12))


def _facts(clip: Clip) -> str:
    """What tells a clip from others; a recording has no settings, but a length and a level."""
    return repr(clip.settings or (clip.sample_rate, len(clip.waveform), round(level_db(clip))))

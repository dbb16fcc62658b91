"""Blind listening: can a difference be heard (A/B/X), and how good do clips sound (ratings from 1 to 5)?

Neither what made a clip nor its picture is shown. Every answer is saved at once. Explained in lesson 05
(`notebooks/05_playground.ipynb`).
"""

from __future__ import annotations

import base64
import hashlib
import html
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from utils.clip import Clip
from utils.files import write_whole
from utils.intervals import interval
from utils.player import NO_MATHS
from utils.plots import LINES, STYLE, WIDTH, Picture

COLUMNS = ["test", "kind", "listener", "trial", "label", "truth", "answer"]
PATH = "outputs/listening.csv"
QUALITY = "How good does this sound? 1 is bad, 5 is excellent."
DOUBLE_CLICK = 0.4  # seconds after an answer in which buttons do nothing
ONE_AT_A_TIME = "for (const a of document.querySelectorAll('audio')) if (a !== this) a.pause()"


@dataclass(frozen=True)
class Trial:
    """One question: the sounds by the names under which they are heard, what is hidden, and the right answer if any."""

    sounds: dict[str, Clip]
    question: str
    label: str
    truth: str = ""


class ListeningTest:
    """What A/B/X and rating have in common: hidden trials, answered one by one, each saved at once.

    In a notebook it is a panel with players and buttons; `sounds` and `answer` do the same without one. The answers go
    to a CSV file; where that holds answers of this listener to this test, it goes on behind the last one.
    """

    kind: str
    choices: tuple[str, ...]

    def __init__(self, trials: Sequence[Trial], listener: str, path: str | Path, seed: int):
        if not isinstance(listener, str) or not listener.strip():
            raise ValueError(f"listener must be a name, which tells the answers of a class apart, not {listener!r}.")
        self.listener, self.path = listener.strip(), Path(path)
        # what was asked, not the samples: those differ in their last digits between the machines of a class
        asked = [(t.question, t.label, [repr(c.settings) for c in t.sounds.values()]) for t in trials]
        self.id = hashlib.sha256(repr((self.kind, seed, asked)).encode()).hexdigest()[:12]
        # an order of its own for every listener, so that tiredness falls on no clip in particular
        rng = np.random.default_rng([seed, zlib.crc32(self.listener.encode())])
        self._trials = [self._hide(trials[i], rng) for i in rng.permutation(len(trials))]
        saved = _read(self.path)
        self.results = saved[(saved.test == self.id) & (saved.listener == self.listener)].reset_index(drop=True)

    def _hide(self, trial: Trial, rng: np.random.Generator) -> Trial:
        return trial

    @property
    def remaining(self) -> int:
        """How many trials are still to be answered."""
        return len(self._trials) - len(self.results)

    @property
    def sounds(self) -> dict[str, Clip]:
        """What is to be heard now, without its settings: clips under the names A, B, X, or one without a name."""
        return {name: Clip(clip.waveform, clip.sample_rate) for name, clip in self._now.sounds.items()}

    def answer(self, choice: str | int) -> None:
        """Answer this trial, save the answer, and go to the next trial.

        Raises ValueError if `choice` is not one of `choices`, or no trial is left; OSError if it cannot be saved.
        """
        now, choice = self._now, str(choice).strip().upper()
        if choice not in self.choices:
            raise ValueError(f"The answer must be one of {', '.join(self.choices)}, not {choice!r}.")
        row = [self.id, self.kind, self.listener, str(len(self.results) + 1), now.label, now.truth, choice]
        new = pd.DataFrame([row], columns=COLUMNS)
        write_whole(self.path, pd.concat([_read(self.path), new]).to_csv(index=False).encode())
        self.results = pd.concat([self.results, new], ignore_index=True)

    @property
    def _now(self) -> Trial:
        if not self.remaining:
            raise ValueError(f"All {len(self._trials)} trials are answered: see `summary(test.results)`.")
        return self._trials[len(self.results)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {len(self.results)} of {len(self._trials)} trials answered by {self.listener}."

    @cached_property
    def view(self):
        """The panel, a widget."""
        import ipywidgets as widgets

        page, narrow = widgets.HTML(), widgets.Layout(width="64px")
        buttons = widgets.HBox([widgets.Button(description=choice, layout=narrow) for choice in self.choices])
        answered = 0.0

        def show() -> None:
            page.value = self._html()
            buttons.layout.display = "" if self.remaining else "none"

        def press(button: widgets.Button) -> None:
            nonlocal answered
            if time.monotonic() < answered + DOUBLE_CLICK:
                return
            try:
                self.answer(button.description)
                show()
            except OSError as error:
                page.value += f'<p role="alert">{html.escape(str(error))}</p>'
            answered = time.monotonic()

        for button in buttons.children:
            button.on_click(press)
        show()
        return widgets.VBox([page, buttons])

    def _html(self) -> str:
        if not self.remaining:
            return f"<p>{html.escape(repr(self))} Thank you!</p>{summary(self.results).to_html()}"
        question = html.escape(f"{len(self.results) + 1} of {len(self._trials)}. {self._now.question}")
        players = "".join(
            f'<p><label>{name} <audio controls onplay="{ONE_AT_A_TIME}" style="vertical-align:middle;max-width:85%"'
            f' src="data:audio/wav;base64,{base64.b64encode(clip.wav()).decode()}"></audio></label></p>'
            for name, clip in self.sounds.items()
        )
        return f'<div class="{NO_MATHS}"><p><bdi>{question}</bdi></p>{players}</div>'

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}
        return {"text/plain": repr(self), "application/vnd.jupyter.widget-view+json": view}


class ABX(ListeningTest):
    """Can the difference between two groups of clips be heard? X is A or B: which?

    Args:
        a, b: as many clips each, or two parts of a sweep's table; pair i, such as one prompt and seed at 5 and at 25
            steps, makes `repeats` trials, each with A and B in random places and X drawn by a coin.
        label: what is compared, "5 or 25 steps"; hidden until the end.
        listener: who listens. path: the CSV file. seed: of the order, 0 up.

    Source: Munson and Gardner 1950, "Standardizing auditory tests". Explained in lesson 05.
    """

    kind, choices = "abx", ("A", "B")

    def __init__(self, a, b, label: str, *, listener: str, path: str | Path = PATH, repeats: int = 1, seed: int = 0):
        a, b = _clips(a), _clips(b)
        if len(a) != len(b) or not a:
            raise ValueError(f"A/B/X needs pairs, as many clips in a as in b, not {len(a)} and {len(b)}.")
        question = "X is one of the two others. Which?"
        pairs = [Trial({"A": one, "B": two}, question, str(label)) for one, two in zip(a, b, strict=True)]
        super().__init__(pairs * repeats, listener, path, seed)

    def _hide(self, trial: Trial, rng: np.random.Generator) -> Trial:
        sounds = dict(zip("AB", rng.permutation(list(trial.sounds.values())), strict=True))
        truth = str(rng.choice(self.choices))
        return Trial({**sounds, "X": sounds[truth]}, trial.question, trial.label, truth)


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

    def __init__(
        self, clips, labels: Sequence, *, listener: str, path: str | Path = PATH, question: str = QUALITY, seed: int = 0
    ):
        clips, labels = _clips(clips), list(labels)
        if len(clips) != len(labels) or not clips:
            raise ValueError(f"A rating needs one label a clip, not {len(labels)} labels for {len(clips)} clips.")
        asked = (question.replace("{prompt}", clip.settings.get("prompt", "")) for clip in clips)
        rows = zip(clips, asked, labels, strict=True)
        super().__init__([Trial({"": clip}, text, str(label)) for clip, text, label in rows], listener, path, seed)


def pool(folder: str | Path, test: ListeningTest | None = None) -> pd.DataFrame:
    """The answers of a class: all CSV files of a folder in one table; the same file twice counts once.

    With `test`, only the answers to a test that asks the same (anybody's, on any machine).

    Raises ValueError where there is none, or one holds something else. Explained in lesson 05.
    """
    paths = sorted(Path(folder).glob("*.csv"))
    if not paths:
        raise ValueError(f"There is no CSV file in {Path(folder)}: collect the listeners' files there.")
    answers = pd.concat(map(_read, paths)).drop_duplicates(ignore_index=True)
    return answers if test is None else answers[answers.test == test.id].reset_index(drop=True)


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """What the answers say, one row for each label, with 95% intervals.

    For A/B/X `mean` is the share of right answers, 0 to 1, with Wilson's interval; `p_value` is the chance that pure
    guessing does as well or better (exact binomial test). For ratings it is the MOS, 1 to 5, with a bootstrap interval
    over the listeners' means, or over one listener's answers; two or more are needed.

    Source: `scipy.stats.binomtest`, `utils.measures.bootstrap_interval`. Explained in lesson 05.
    """
    from scipy.stats import binomtest

    rows = []
    for (kind, label), group in results.groupby(["kind", "label"], sort=False):
        listeners, p_value = group.listener.nunique(), float("nan")
        if kind == "abx":
            right = int((group.answer == group.truth).sum())
            mean, p_value = right / len(group), binomtest(right, len(group), alternative="greater").pvalue
            low, high = binomtest(right, len(group)).proportion_ci(method="wilson")
        else:
            ratings = group.answer.astype(float)
            values = ratings.groupby(group.listener).mean() if listeners > 1 else ratings
            interval = interval(values) if len(values) > 1 else None
            mean, low, high = (interval.mean, interval.low, interval.high) if interval else (values.mean(), 1.0, 5.0)
        rows.append([kind, label, len(group), listeners, mean, low, high, p_value])
    names = ["kind", "label", "answers", "listeners", "mean", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=names).set_index("label")


def plot(results: pd.DataFrame) -> Picture:
    """The summary as points with 95% intervals; for A/B/X with the line of pure guessing. Explained in lesson 05."""
    import matplotlib
    from matplotlib.figure import Figure

    table = summary(results)
    if table.kind.nunique() != 1:
        raise ValueError("A plot shows answers of one kind, A/B/X or ratings: select them by results.kind.")
    abx = table.kind.iloc[0] == "abx"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.2 + 0.4 * len(table)))
        axes = figure.subplots()
        places = np.arange(len(table))[::-1]
        errors = [table["mean"] - table.low, table.high - table["mean"]]
        axes.errorbar(table["mean"], places, xerr=errors, fmt="o", color=LINES[0], capsize=4)
        axes.set_yticks(places, [f"{label} (n = {n})" for label, n in zip(table.index, table.answers, strict=True)])
        axes.set(xlim=(0, 1) if abx else (1, 5), ylim=(-0.6, len(table) - 0.4))
        axes.set_xlabel("Share of right answers" if abx else "Mean opinion score, 1 (bad) to 5 (excellent)")
        if abx:
            axes.axvline(0.5, color="grey", linestyle=":", label="guessing")
            axes.legend(loc="upper left")
    facts = (f"{label} {row['mean']:.2f} ({row.low:.2f} to {row.high:.2f})" for label, row in table.iterrows())
    return Picture(figure, f"{axes.get_xlabel()}, with 95% intervals: {'; '.join(facts)}.")


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS, dtype=str)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError:  # empty, or not text
        table = pd.DataFrame()
    if list(table.columns) != COLUMNS:
        raise ValueError(f"{path} does not hold answers of a listening test: its columns are not {', '.join(COLUMNS)}.")
    return table


def _clips(clips: Sequence[Clip] | pd.DataFrame) -> list[Clip]:
    from utils.sweeps import load_clips

    return load_clips(clips) if isinstance(clips, pd.DataFrame) else list(clips)

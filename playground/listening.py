"""Listen blindly: can a difference be heard (A/B/X), which is preferred, and how good do clips sound (1 to 5)?

Neither the settings of a clip nor its picture are shown. `begin`, `sounds` and `answer` do the same without buttons.
Explained in lesson 05 (`notebooks/05_playground.ipynb`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

import utils
from utils import Clip

from .booth import Booth
from .trials import Trial

QUALITY = "How good does this sound? 1 is bad, 5 is excellent."
FITS = "Which fits “{prompt}” better?"


class ABX(Booth):
    """Test whether the difference between two groups of clips can be heard: X is A or B, but which?

    For clips that are nearly alike; which of two different ones is better, `Preference` asks.

    Args:
        a, b: as many clips each, or two parts of a sweep's table; pair i, such as one prompt and seed at 5 and at 25
            steps, makes `repeats` trials, each with A and B in random places and X drawn by a coin.
        label: the compared condition, "5 or 25 steps"; hidden until the end.
        listener: a name or a pseudonym; without it the panel asks. path: the CSV file. seed: of the order, 0 up.

    Source: Munson and Gardner 1950, "Standardizing auditory tests".
    """

    kind, choices, question = "abx", ("A", "B"), "X is one of the two others. Which?"

    def __init__(self, a, b, label: str, *, repeats: int = 1, **options):
        pairs = _pairs(a, b, "A/B/X")
        trials = [Trial({"A": one, "B": two}, self.question, str(label)) for one, two in pairs]
        super().__init__(trials * repeats, **options)

    def hide(self, trial: Trial, rng: np.random.Generator) -> Trial:
        sounds = dict(zip("AB", rng.permutation(list(trial.sounds.values())), strict=True))
        truth = str(rng.choice(self.choices))
        return Trial({**sounds, "X": sounds[truth]}, trial.question, trial.label, truth)


class Preference(Booth):
    """Ask which of two hidden clips fits the words better; ties are not offered.

    Args:
        a, b: as many clips each, or two parts of a sweep's table; pair i makes `repeats` trials, with its sides random.
            `summary` counts how often the clip of `b` is preferred.
        label: the compared condition, "mini-s or mini-l"; hidden until the end.
        question: may speak of the "{prompt}", which the two of a pair must then have in common.
        listener, path, seed: as in `ABX`.

    Source: the paired comparison of Thurstone 1927. Explained in lesson 04.
    """

    kind, choices = "preference", ("A", "B")

    def __init__(self, a, b, label: str, *, question: str = FITS, repeats: int = 1, **options):
        trials = []
        for number, (one, two) in enumerate(_pairs(a, b, "A preference"), 1):
            words = {clip.settings.get("prompt", "") for clip in (one, two)}
            if "{prompt}" in question and (len(words) > 1 or "" in words):
                raise ValueError(f"Pair {number} has no prompt in common: ask a question without “{{prompt}}”.")
            asked = question.replace("{prompt}", words.pop())
            trials.append(Trial({"A": one, "B": two}, asked, str(label)))
        super().__init__(trials * repeats, **options)

    def hide(self, trial: Trial, rng: np.random.Generator) -> Trial:
        a, b = trial.sounds.values()
        truth = str(rng.choice(self.choices))  # the side of b
        return Trial({"A": b, "B": a} if truth == "A" else trial.sounds, trial.question, trial.label, truth)


class Rating(Booth):
    """Ask how good clips sound, from 1 (bad) to 5 (excellent), one clip at a time; the mean is the MOS.

    Args:
        clips: the clips to rate, or a sweep's table; the order is drawn for each listener.
        labels: one a clip, such as its number of steps; hidden, and clips of one label are averaged.
        question: may speak of the "{prompt}".
        listener, path, seed: as in `ABX`.

    Source: ITU-T P.800 (absolute category rating).
    """

    kind, choices = "rating", ("1", "2", "3", "4", "5")

    def __init__(self, clips, labels: Sequence, *, question: str = QUALITY, **options):
        clips, labels = _clips(clips), list(labels)
        if len(clips) != len(labels) or not clips:
            raise ValueError(f"A rating needs one label a clip, not {len(labels)} labels for {len(clips)} clips.")
        asked = (question.replace("{prompt}", clip.settings.get("prompt", "")) for clip in clips)
        trials = [Trial({"": c}, q, str(label)) for c, q, label in zip(clips, asked, labels, strict=True)]
        super().__init__(trials, **options)


def _clips(clips: Sequence[Clip] | pd.DataFrame) -> list[Clip]:
    return utils.load_clips(clips) if isinstance(clips, pd.DataFrame) else list(clips)


def _pairs(a, b, test: str) -> list[tuple[Clip, Clip]]:
    a, b = _clips(a), _clips(b)
    if len(a) != len(b) or not a:
        raise ValueError(f"{test} needs pairs, as many clips in a as in b, not {len(a)} and {len(b)}.")
    return list(zip(a, b, strict=True))

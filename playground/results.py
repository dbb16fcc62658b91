"""Pool, summarize and plot the answers of a class. Explained in lesson 05 (`notebooks/05_playground.ipynb`)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from utils import interval

from .answers import ID, is_junk, parse

if TYPE_CHECKING:
    from utils.plots import Picture

AXES = {"abx": "Share of right answers", "preference": "Share of answers that prefer the second"}
AXES |= {"rating": "Mean opinion score, 1 (bad) to 5 (excellent)"}


def pool(folder: str | Path, test_id: str | None = None) -> pd.DataFrame:
    """Return the answers of a class: all CSV files of a folder and its subfolders in one table.

    The column `id` tells files apart: copies of one file count once, and two listeners of one name stay two. A warning
    names the files that are left out, and names that several files have. With `test_id`, the `id` of a test (or the
    test itself), only the answers to a test that asks the same, on any machine.

    Raises ValueError if there is no answer.
    """
    folder, tables, others = Path(folder).expanduser(), [], []
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        name = path.relative_to(folder) if path != folder else Path(path.name)
        if is_junk(name) or ".csv.old" in name.name:  # the second are those that `answers.add` keeps
            continue
        ending = name.suffix.lower()
        try:
            tables.append(parse(path.read_bytes() if ending == ".csv" else b"", name.as_posix()))
        except (OSError, ValueError) as error:
            why = "unpack it first" if ending == ".zip" else getattr(error, "strerror", "it does not hold answers")
            others.append(f"{name.as_posix()} ({why})")
    if not tables:
        raise ValueError(f"There is no CSV file of answers in {folder}: {_listed(others) or 'it is empty'}.")
    if others:
        warnings.warn(f"Left out: {_listed(others)}.", stacklevel=2)
    answers = pd.concat(tables, ignore_index=True)
    answers = answers.drop_duplicates([ID, "listener", "test", "trial"], ignore_index=True)
    ids = answers.groupby("listener")[ID].nunique()
    if (ids > 1).any():
        shared = _listed([f"{name!r} ({count})" for name, count in ids[ids > 1].items()])
        warnings.warn(f"Several files have the same listener's name, and count as so many: {shared}.", stacklevel=2)
    wanted = getattr(test_id, "id", test_id)
    return answers if wanted is None else answers[answers.test == wanted].reset_index(drop=True)


def _listed(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Summarize the answers, one row for each label, with 95% intervals.

    For A/B/X `mean` is the share of right answers, for preferences the share that prefers the second group, 0 to 1.
    `p_value` is the chance that guessing gives as many right answers or more (A/B/X), or a share as far from a half
    (preferences), by the exact binomial test; it assumes what `p_assumes` says, of all answers of all listeners. For
    ratings `mean` is the MOS, 1 to 5.

    `low` and `high` say how well the mean of such listeners is known: a t-interval over the listeners' means, for
    shares at least as wide as Wilson's over all answers. A single listener's ratings have a t-interval over the answers
    (one rating: 1 to 5), a single listener's shares Wilson's. Whether listeners agree is another question: `spread` is
    the standard deviation between them (of a single one's answers).

    Source: `scipy.stats.binomtest`, `utils.interval`.
    """
    from scipy.stats import binomtest

    results = results if ID in results else results.assign(**{ID: ""})
    rows = []
    for (kind, label), group in results.groupby(["kind", "label"], sort=False):
        values = group.answer.astype(float) if kind == "rating" else (group.answer == group.truth).astype(float)
        means = values.groupby([group[ID], group.listener]).mean()
        each = means if len(means) > 1 else values
        lowest, highest = (1.0, 5.0) if kind == "rating" else (0.0, 1.0)
        low, high, p_value, assumes = lowest, highest, float("nan"), ""
        if len(each) > 1 and (kind == "rating" or len(means) > 1):
            found = interval(each)
            low, high = max(lowest, found.low), min(highest, found.high)
        if kind != "rating":
            hits, side = int(values.sum()), "greater" if kind == "abx" else "two-sided"
            p_value, assumes = binomtest(hits, len(values), alternative=side).pvalue, "independent answers"
            wilson = binomtest(hits, len(values)).proportion_ci(method="wilson")
            low, high = (min(low, wilson.low), max(high, wilson.high)) if len(means) > 1 else wilson
        rows.append([kind, label, len(group), len(means), each.mean(), low, high, each.std(), p_value, assumes])
    names = ["kind", "label", "answers", "listeners", "mean", "low", "high", "spread", "p_value", "p_assumes"]
    return pd.DataFrame(rows, columns=names).set_index("label")


def plot(results: pd.DataFrame) -> Picture:
    """Plot the summary as points with 95% intervals, and below each, in grey, the counts of its answers.

    For A/B/X and preferences grey are the listeners' shares, and a line marks pure guessing.
    """
    import matplotlib
    from matplotlib.figure import Figure

    from utils.plots import LINES, STYLE, WIDTH, Picture

    table = summary(results)
    if table.kind.nunique() != 1:
        raise ValueError("A plot shows answers of one kind, A/B/X, preferences or ratings: select by results.kind.")
    kind = table.kind.iloc[0]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.2 + 0.5 * len(table)))
        axes = figure.subplots()
        places = np.arange(len(table))[::-1]
        errors = np.maximum([table["mean"] - table.low, table.high - table["mean"]], 0)
        axes.errorbar(table["mean"], places, xerr=errors, fmt="o", color=LINES[0], capsize=4, clip_on=False)
        for label, place in zip(table.index, places, strict=True):
            counts = _given(results[results.label == label], kind).value_counts()
            sizes, heights = 120 * counts / counts.max(), np.full(len(counts), place - 0.28)
            axes.scatter(counts.index, heights, sizes, color="grey", alpha=0.6, clip_on=False)
        axes.set_yticks(places, [f"{label} (n = {n})" for label, n in zip(table.index, table.answers, strict=True)])
        axes.set(xlim=(1, 5) if kind == "rating" else (0, 1), ylim=(-0.6, len(table) - 0.4), xlabel=AXES[kind])
        if kind != "rating":
            axes.axvline(0.5, color="grey", linestyle=":", label="guessing")
            axes.legend(loc="upper left")
    facts = (f"{label} {row['mean']:.2f} ({row.low:.2f} to {row.high:.2f})" for label, row in table.iterrows())
    return Picture(figure, f"{AXES[kind]}, with 95% intervals: {'; '.join(facts)}.")


def _given(results: pd.DataFrame, kind: str) -> pd.Series:
    """Return the values drawn in grey: every rating, or every listener's share."""
    if kind == "rating":
        return results.answer.astype(float)
    listener = [results[ID], results.listener] if ID in results else results.listener
    return (results.answer == results.truth).groupby(listener).mean().round(2)

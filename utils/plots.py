"""Draw the figures of the lessons in one style, each with a text alternative.

Each function returns a `Picture`, which a notebook shows; nothing is drawn twice, and matplotlib's global settings stay
as they are. Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from .clip import Clip
from .intervals import Interval
from .pictures import LINES, MARKERS, STYLE, WIDTH, Picture, Sound, describe, draw_spectrogram, title_of

if TYPE_CHECKING:
    import torch


def waveform(clip: Clip, alt: str = "") -> Picture:
    """Draw the samples against time in s, with full scale (1 and -1) marked; `alt`: a sentence on what to see."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.2))
        axes = figure.subplots()
        # the loudest sample either way in each of 2000 slices: drawing more would not show more
        slices = np.array_split(clip.waveform, min(2000, len(clip.waveform)))
        times = np.linspace(0, clip.duration, len(slices))
        axes.fill_between(times, [s.min() for s in slices], [s.max() for s in slices], color=LINES[0], linewidth=0.5)
        for full_scale in (-1, 1):
            axes.axhline(full_scale, color="grey", linestyle=":", linewidth=1)
        limit = max(1.05, 1.05 * clip.peak)
        axes.set(xlim=(0, clip.duration), ylim=(-limit, limit), xlabel="Time (s)", ylabel="Amplitude")
    return Picture(figure, f"Waveform of {title_of(clip)}: {clip.duration:.2f} s across. {alt}".strip())


def spectrogram(clip: Clip, alt: str = "") -> Picture:
    """Draw the log-mel-spectrogram: time in s, frequency in kHz, level in dB as colour, the same in every figure."""
    return grid([[clip]], alt=alt)


def strip(sounds: Sound | Sequence[Sound], labels: Sequence[str], title: str = "", alt: str = "") -> Picture:
    """Draw spectrograms in a row, for example one clip at several settings; see `grid`. Explained in lesson 03."""
    return grid([[sounds] if isinstance(sounds, Clip) else sounds], column_labels=labels, title=title, alt=alt)


def grid(
    sounds: Sequence[Sequence[Sound]],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    title: str = "",
    alt: str = "",
) -> Picture:
    """Draw spectrograms in rows and columns on the same axes and the same colours.

    Args:
        sounds: rows of equally many clips, or log-mel-spectrograms of shape (frames, 64) in natural logarithm.
        row_labels, column_labels: one for each, or none. title: over all. alt: a sentence on what to see.

    Explained in lesson 02.
    """
    rows, columns = len(sounds), len(sounds[0]) if len(sounds) else 0
    if not columns or any(len(row) != columns for row in sounds):
        raise ValueError(f"A grid needs rows of equally many sounds, at least one, not {[len(row) for row in sounds]}.")
    for labels, count in ((row_labels, rows), (column_labels, columns)):
        if len(labels) not in (0, count):
            raise ValueError(f"A grid needs a label for each row and column, or none, not {len(labels)} for {count}.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + (2.2 if rows == 1 else 1.5) * rows))
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for row, line in zip(panels, sounds, strict=True):
            for axes, sound in zip(row, line, strict=True):
                image = draw_spectrogram(axes, sound)
        for axes, label in zip(panels[:, 0], row_labels, strict=False):
            axes.set_ylabel(textwrap.fill(label, 14) + "\n(kHz)")
        for axes, label in zip(panels[0], column_labels, strict=False):
            axes.set_title(textwrap.fill(label, max(8, 46 // columns)))
        panels[0, 0].set_xlim(0, max(image.get_extent()[1] for axes in panels.flat for image in axes.images))
        panels[0, 0].xaxis.set_major_locator(MaxNLocator(max(1, 6 // columns), steps=[1, 2, 5, 10]))
        figure.suptitle(title)
        figure.colorbar(image, ax=panels, label="Level (dB)", aspect=12 * rows + 8, pad=0.01)
    return Picture(figure, describe(sounds, row_labels, column_labels, title, alt))


def film(mels: Sequence[np.ndarray], labels: Sequence[str], alt: str = "") -> Picture:
    """Make a film, a frame for each log-mel-spectrogram, (frames, 64) as in `grid`, under its label.

    Explained in lesson 03.
    """
    pictures = [strip([mel], [label]) for mel, label in zip(mels, labels, strict=True)]
    frames = [Image.open(io.BytesIO(picture.png)).convert("RGB") for picture in pictures]
    for frame in frames:
        frame.thumbnail((480, 480))
    webp, pauses = io.BytesIO(), [150] * (len(frames) - 1) + [2000]  # milliseconds
    frames[0].save(webp, "WEBP", save_all=True, append_images=frames[1:], duration=pauses, loop=0, quality=60)
    return Picture(pictures[-1].figure, f"Film of {len(frames)} spectrograms. {alt}".strip(), webp.getvalue())


def stages(tensors: Mapping[str, torch.Tensor | np.ndarray], parts: Sequence[str], alt: str = "") -> Picture:
    """Draw the tensors that flow through the pipeline with their shapes, and before each the part that makes it.

    `tensors`: name -> a batch of one, in the order of flow; of latents, (1, channels, frames, bands), channel 0 is
    drawn. `parts`: as many, the name of the part that each tensor comes out of.
    """
    arrays = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    rows = -(-len(arrays) // 3)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.3 * rows), layout="none")
        figure.subplots_adjust(0.15, 0.04, 0.98, 1 - 0.22 / rows, wspace=0.9, hspace=0.5)
        for i, ((name, array), part) in enumerate(zip(arrays.items(), parts, strict=True), 1):
            axes, values = figure.add_subplot(rows, 3, i), array[(0,) * max(1, array.ndim - 2)]
            if values.ndim == 2:
                axes.imshow(values.T)
            else:
                axes.plot(values, color=LINES[0], linewidth=0.8)
            axes.set_title(f"{name}\n{' × '.join(map(str, array.shape))}")
            axes.set(xticks=[], yticks=[])
            arrow = {"arrowstyle": "-|>", "color": LINES[1]}
            axes.annotate("", (-0.06, 0.6), (-0.75, 0.6), xycoords="axes fraction", arrowprops=arrow)
            axes.annotate(part, (-0.4, 0.54), xycoords="axes fraction", ha="center", va="top")
    shapes = {name: " by ".join(map(str, array.shape)) for name, array in arrays.items()}
    steps = [f"{' '.join(p.split())} gives {n}, {shapes[n]}" for p, n in zip(parts, arrays, strict=True)]
    return Picture(figure, f"The pipeline from left to right: {'; '.join(steps)}. {alt}".strip())


def curve(
    series: Mapping[str, tuple[Sequence[float], Sequence[float | Interval]]],
    x_label: str,
    y_label: str,
    *,
    second: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    second_label: str = "",
    knee: float | None = None,
    log_x: bool = False,
    alt: str = "",
) -> Picture:
    """Draw curves of a sweep: lines with intervals as bars, a second axis, and a mark where more hardly pays.

    Args:
        series: name -> (x, y); a y is a number, or an `Interval`, whose bar is drawn.
        second: the same for the axis on the right, dashed; `second_label` names that axis and its unit.
        knee: the x to mark. log_x: a logarithmic axis, marked at the x that occur. alt: what to see.

    Explained in lesson 03.
    """
    if not series:
        raise ValueError("There is nothing to draw: series is empty.")
    all_series = [*series.items(), *(second or {}).items()]
    names = [name for name, _ in all_series]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.0))
        left = figure.subplots()
        left.set(xlabel=x_label, ylabel=textwrap.fill(y_label, 34), xscale="log" if log_x else "linear")
        if second:
            right = left.twinx()
            right.spines.right.set_visible(True)
            right.set_ylabel(textwrap.fill(f"{second_label} (dashed)", 34))
        lines = []
        for i, (_, (x, y)) in enumerate(all_series):
            axes, style = (left, "-") if i < len(series) else (right, "--")
            look = {"color": LINES[i % len(LINES)], "marker": MARKERS[i % len(MARKERS)], "linestyle": style}
            bars = [(v.mean - v.low, v.high - v.mean) if isinstance(v, Interval) else (0, 0) for v in y]
            drawn = axes.errorbar(x, list(map(float, y)), np.transpose(bars), capsize=3, elinewidth=1.2, **look)
            lines.append(drawn[0])
        if log_x:
            ticks = sorted({float(x) for _, (xs, _) in all_series for x in xs})
            left.set_xticks(ticks, [f"{x:g}" for x in ticks])
            left.minorticks_off()
        if knee is not None:
            left.axvline(knee, color="grey", linestyle=":", linewidth=1.2)
            place = dict(xycoords=("data", "axes fraction"), ha="center", va="bottom", color="#444444")
            left.annotate(f"knee: {knee:g}", (knee, 1.0), **place)
        figure.legend(lines, names, loc="outside upper left", ncols=2 if max(map(len, names)) < 24 else 1)
    said = (f"{float(y):.2f} at {x:g}" for points in series.values() for x, y in zip(*points, strict=True))
    words = f"Curves of {y_label} against {x_label}: {', '.join(names)}. {', '.join(said)}."
    words += f" The knee is marked at {knee:g}." if knee is not None else ""
    return Picture(figure, f"{words} {alt}".strip())


def effects(
    intervals: Mapping[str, Interval],
    x_label: str,
    *,
    comparisons: int | None = None,
    zero: bool = True,
    matters: float | None = None,
    alt: str = "",
) -> Picture:
    """Draw intervals as dots with bars, one a row, against a line at zero, no effect.

    Args:
        intervals: label -> `Interval`, from the top; all in the unit that `x_label` names.
        comparisons: how many the page makes: each row then shows its `verdict`, and only an effect has a full dot.
        zero: draw the line of no effect.
        matters: the smallest difference that would matter, drawn as a grey band around zero.
        alt: a sentence on what to see.

    Explained in lesson 02.
    """
    if not isinstance(intervals, Mapping) or not intervals:
        raise TypeError(f"effects takes a mapping of labels to Intervals, at least one, not {intervals!r}.")
    labels = [textwrap.fill(label, 24) for label in intervals]
    heights = [0.08 + 0.2 * (label.count("\n") + 1) for label in labels]  # inches
    places = np.cumsum(heights) - np.array(heights) / 2
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + sum(heights)))
        axes = figure.subplots()
        if matters is not None:
            axes.axvspan(-matters, matters, color="0.88", linewidth=0, zorder=0)
        for place, found in zip(places, intervals.values(), strict=True):
            verdict = found.verdict(comparisons) if comparisons else ""
            face = {} if verdict in ("", "an effect") else {"markerfacecolor": "white"}
            bar = [[found.mean - found.low], [found.high - found.mean]]
            axes.errorbar([found.mean], [place], xerr=bar, fmt="o", color=LINES[0], capsize=4, **face)
            axes.annotate(verdict, (1.02, place), xycoords=("axes fraction", "data"), va="center", color="#444444")
        axes.set_yticks(places, labels)
        axes.set(xlabel=textwrap.fill(x_label, 48), ylim=(sum(heights), 0))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if zero:
            axes.axvline(0, color="grey", linestyle=":", linewidth=1.2)
    said = [f"{name}: {i}" + (f", {i.verdict(comparisons)}" if comparisons else "") for name, i in intervals.items()]
    band = f" Grey: less than {matters:g} either way, too little to matter." if matters is not None else ""
    return Picture(figure, f"{x_label}, dots with 95% intervals. {'; '.join(said)}.{band} {alt}".strip())

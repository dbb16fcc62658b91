"""The figures: what they show where, their words, and that they leave nothing behind, in a notebook and on paper."""

from __future__ import annotations

import base64
import io
import re
import warnings

import matplotlib
import nbformat
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from nbconvert import HTMLExporter, LatexExporter
from PIL import Image

from tools import lessons
from utils import Clip, compare, log_mel, plots
from utils.intervals import Interval, interval
from utils.player import DB_RANGE

RATE = 16_000
TIME = np.arange(5 * RATE) / RATE
SETTINGS = {
    "checkpoint": "mini-s-v2", "prompt": 'a "dog" <barks> 鐘 for $5 & $6', "num_inference_steps": 10,
    "guidance_scale": 2.5, "seed": 0,
}  # fmt: skip
TONE = Clip(0.5 * np.sin(2 * np.pi * 1000 * TIME), RATE, SETTINGS)
STEPS = [2, 5, 10, 25]
INTERVALS = [Interval(m, m - 0.02, m + 0.03, 24) for m in (0.1, 0.3, 0.38, 0.4)]
FLOW = {"tokens": np.zeros((1, 19)), "latents": np.zeros((1, 8, 63, 8))}
RIGHT = {"second": {"time": (STEPS, STEPS)}, "second_label": "Seconds", "knee": 10, "log_x": True}
PICTURES = {
    "waveform": lambda: plots.waveform(TONE),
    "spectrogram": lambda: plots.spectrogram(TONE),
    "strip": lambda: plots.strip([TONE, TONE], ["5 steps", "10 steps"]),
    "grid": lambda: plots.grid([[TONE] * 3] * 2, ["a dog", "rain"], ["seed 0", "seed 1", "seed 2"], "Seeds"),
    "stages": lambda: plots.stages(FLOW, ["tokenizer", "UNet,\n10 times"]),
    "effects": lambda: plots.effects({f"many words, number {i}": v for i, v in enumerate(INTERVALS)}, "gain"),
    "curve": lambda: plots.curve({"mini-s": (STEPS, INTERVALS)}, "num_inference_steps", "CLAP cosine", **RIGHT),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_shown_once_with_words_legible_on_a_phone_and_leave_matplotlib_alone(name):
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = PICTURES[name]()
        bundle = picture._repr_mimebundle_()
    assert dict(matplotlib.rcParams) == before and pyplot.get_fignums() == []
    html = bundle["text/html"]
    match = re.fullmatch(r'<img alt="([^"<>]+)" style="[^"]+" src="data:image/png;base64,([\w+/=]+)">', html)
    assert len(match[1]) > 30 and bundle["image/png"] == match[2] and len(match[2]) < 150_000
    image = Image.open(io.BytesIO(base64.b64decode(match[2])))
    assert image.width == 640 and len(np.unique(np.asarray(image))) > 10
    assert repr(picture) == bundle["text/plain"] == picture.alt

    FigureCanvasAgg(picture.figure).draw()
    texts = [t for t in picture.figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    assert min(text.get_fontsize() for text in texts) * 100 / 72 * 345 / 640 >= 8.9  # 390 pixels, less the margins
    boxes = [text.get_window_extent() for text in texts]
    inside = [box for box in boxes if box.x1 > 0 and box.x0 < 640]
    assert all(box.x0 > -1 and box.x1 < 641 for box in inside)
    for i, box in enumerate(inside):
        assert not any(box.shrunk(0.9, 0.6).overlaps(other.shrunk(0.9, 0.6)) for other in inside[:i])
    for axes in picture.figure.axes if name not in ("stages", "effects") else ():  # shapes and names instead of axes
        subplot = axes.get_subplotspec()
        assert axes.get_xlabel() in ("Time (s)", "num_inference_steps", "")
        assert axes.get_ylabel() or not (subplot is None or subplot.is_first_col())


def test_figures_keep_the_colours_of_the_scale():
    image = Image.open(io.BytesIO(plots.spectrogram(TONE).png)).convert("RGB")
    columns = [len(np.unique(np.asarray(image)[:, x], axis=0)) for x in range(520, 600)]  # down the colour bar
    assert max(columns) > 50
    letters = np.asarray(image)[:, :40].reshape(-1, 3).astype(int)
    assert letters.min() < 60 and (np.ptp(letters, axis=1) < 16).all()  # they have no hue


def test_effects_draw_intervals_verdicts_and_the_least_that_matters():
    found = {"a dog": interval([3, 3.1, 2.9, 3]), "rain": interval([-1, 1, 0.5, -0.4]), "a bell": interval([1.0] * 4)}
    picture = plots.effects(found, "gain (dB)", comparisons=3, matters=0.5)
    axes = picture.figure.axes[0]
    verdicts = [text.get_text() for text in axes.texts]
    assert verdicts == [i.verdict(3) for i in found.values()] == ["an effect", "none shown", "cannot say"]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(found)
    assert axes.patches[0].get_x() == -0.5 and axes.patches[0].get_width() == 1
    assert "0.5" in picture.alt and "rain: " in picture.alt
    assert not plots.effects(found, "gain (dB)").figure.axes[0].patches


def test_spectrogram_shows_a_tone_at_its_frequency_and_a_click_at_its_time():
    waveform = 0.5 * np.sin(2 * np.pi * 4000 * TIME)
    waveform[3 * RATE] += 30
    axes = plots.spectrogram(Clip(waveform, RATE)).figure.axes[0]
    image = axes.images[0].get_array()
    ticks = {label.get_text(): tick for label, tick in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)}
    height = (image[:, 50].argmax() + 0.5) / len(image)
    assert height == pytest.approx(ticks["4"], abs=0.02)
    left, right, *_ = axes.images[0].get_extent()
    loudest = image.mean(axis=0).argmax()
    assert left + (right - left) * (loudest + 0.5) / image.shape[1] == pytest.approx(3, abs=0.04)


def test_all_panels_share_axes_and_colours_and_a_mel_looks_like_its_clip():
    short, mel = Clip(TONE.waveform[:RATE] / 100, RATE, SETTINGS), log_mel(TONE.waveform)
    panels = [axes for axes in plots.grid([[TONE, short], [short, mel]]).figure.axes if axes.images]
    assert len(panels) == 4 and {axes.get_xlim() for axes in panels} == {(0, 5)}
    assert {axes.images[0].get_clim() for axes in panels} == {DB_RANGE}
    np.testing.assert_array_equal(panels[0].images[0].get_array(), panels[3].images[0].get_array())


def test_waveform_reaches_the_peaks_and_marks_full_scale():
    axes = plots.waveform(Clip([0.1, 1.7, 0, -1.5, 0.1], RATE)).figure.axes[0]
    drawn = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (drawn.max(), drawn.min()) == pytest.approx((1.7, -1.5)) and axes.get_ylim()[1] > 1.7
    assert {line.get_ydata()[0] for line in axes.lines} == {-1, 1}


def test_curve_draws_intervals_knee_and_both_axes_and_stages_every_tensor():
    picture = PICTURES["curve"]()
    left, right = picture.figure.axes
    bars = left.collections[0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], [(i.low, i.high) for i in INTERVALS])
    assert [label.get_text() for label in left.get_xticklabels()] == ["2", "5", "10", "25"]
    assert [10, 10] in [list(line.get_xdata()) for line in left.lines] and "knee is marked at 10" in repr(picture)
    assert (left.get_ylabel(), right.get_ylabel()) == ("CLAP cosine", "Seconds (dashed)")
    tokens, latents = PICTURES["stages"]().figure.axes
    assert (tokens.get_title(), latents.get_title()) == ("tokens\n1 × 19", "latents\n1 × 8 × 63 × 8")
    assert len(tokens.lines) == 1 and latents.images[0].get_array().shape == (8, 63)  # time across, bands upwards
    assert [axes.texts[-1].get_text() for axes in (tokens, latents)] == ["tokenizer", "UNet,\n10 times"]


def test_plots_refuse_what_they_cannot_draw_in_one_sentence():
    for draw, given in (
        (plots.grid, [[[TONE], [TONE, TONE]]]), (plots.strip, [[TONE], ["a", "b"]]), (plots.spectrogram, [[TONE]]),
        (plots.effects, [INTERVALS[0], "x"]), (plots.curve, [{}, "x", "y"]),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError)) as caught:
            draw(*given)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize("waveform", [[0.5], np.zeros(RATE), np.full(RATE, np.nan), np.full(RATE, 1e-30)])
def test_the_shortest_silent_and_damaged_clips_are_drawn(waveform):
    assert plots.strip(Clip(waveform, RATE), ["it"]).png and plots.waveform(Clip(waveform, RATE)).alt


def test_a_film_shows_one_spectrogram_after_the_other():
    mels = np.random.default_rng(0).normal(-5, 2, (3, 64, 64))
    film = plots.film(mels, ["step 1", "step 2", "step 3"], "Noise, then a dog.")
    animation = Image.open(io.BytesIO(film.webp))
    frames = []
    for number in range(3):
        animation.seek(number)
        frames.append(np.asarray(animation.convert("RGB"), dtype=int))
    assert animation.n_frames == 3 and np.abs(frames[0] - frames[2]).mean() > 1
    assert 'alt="Film of 3 spectrograms. Noise, then a dog."' in film._repr_mimebundle_()["text/html"]


# ---- outside of notebooks


def test_a_page_has_the_figures_and_players_and_paper_only_the_figures():
    things = [TONE, compare([TONE, TONE.piece(0.4), TONE]), plots.waveform(TONE), plots.spectrogram(TONE)]
    cells = []
    for thing in things:
        output = nbformat.v4.new_output("execute_result", data=thing._repr_mimebundle_(), execution_count=1)
        cells.append(nbformat.v4.new_code_cell("thing", outputs=[output], execution_count=1))
    notebook = nbformat.v4.new_notebook(cells=cells)
    text, resources = LatexExporter().from_notebook_node(notebook)
    pictures = [data for name, data in resources["outputs"].items() if name.endswith(".png")]
    assert len(pictures) == len(things) == text.count(r"\adjustimage")
    for data in pictures:
        with Image.open(io.BytesIO(data)) as image:
            assert image.width >= 500 and len(image.getcolors(256)) > 3
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert page.count("<audio") == 4 and page.count("<img") == 4 + 2  # players, not beside pictures of them


def test_every_figure_of_a_lesson_is_stored_for_paper_too():
    for path in lessons.lessons():
        for cell in lessons.code_cells(lessons.read(path)):
            for data in [output.get("data", {}) for output in cell.outputs]:
                if "<img" in data.get("text/html", ""):
                    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG"), (path.name, cell.source)

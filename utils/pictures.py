"""What every figure of the lessons is: drawn in one style, in colours that the colour-blind can tell apart, with words.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .clip import Clip
from .features import HOP_LENGTH, SAMPLE_RATE, log_mel, mel_height
from .measures import DB_PER_NEPER
from .player import COLOURS, DB_RANGE

KILOHERTZ = (500, 1000, 2000, 4000, 8000)  # marked on the frequency axis
WIDTH = 8.6  # inches; at 100 dots an inch as wide as a notebook's output
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito 2008
MARKERS = "osD^vPX"
FONTS = set(font_manager.get_font_names())
# Of the fonts that hold what matplotlib's own lacks (Chinese, Arabic, Indic, emoji ...), those that are here
SCRIPTS = [
    name
    for name in (
        "Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "WenQuanYi Zen Hei",
        "Malgun Gothic", "Noto Sans Arabic", "Noto Sans Devanagari", "Nirmala UI", "Noto Emoji", "Segoe UI Emoji",
        "Symbola",
    )
    if name in FONTS
]  # fmt: skip
STYLE = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans", *SCRIPTS],
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "text.parse_math": False,  # a prompt may have dollars
}


Sound = Clip | np.ndarray  # an array is a log-mel-spectrogram, (frames, 64), natural logarithm of the magnitude


@dataclass(frozen=True, repr=False, eq=False)
class Picture:
    """A matplotlib `figure`, and the words that stand for it, `alt`. Explained in lesson 01.

    `picture.figure.savefig("name.svg")` keeps it in any format that matplotlib knows.
    """

    figure: Figure
    alt: str

    @property
    def png(self) -> bytes:
        """The figure as a PNG file, 860 pixels wide, in 256 colours, which halves it."""
        return small_png(self._drawn(), 256)

    def _drawn(self) -> Image.Image:
        canvas = FigureCanvasAgg(self.figure)
        with matplotlib.rc_context(STYLE):
            canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")

    def _html(self, png: bytes) -> str:
        data = base64.b64encode(png).decode()
        return f'<img alt="{escape(self.alt)}" style="max-width:100%" src="data:image/png;base64,{data}">'

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        """The picture with its words; and bare, smaller, for PDF, Word and LaTeX, which read no HTML."""
        drawn = self._drawn()
        bare = base64.b64encode(small_png(drawn, 16)).decode()
        return {"text/plain": self.alt, "text/html": self._html(small_png(drawn, 256)), "image/png": bare}


def small_png(image: Image.Image, colours: int) -> bytes:
    """A PNG file of a picture in at most 256 colours."""
    png = io.BytesIO()
    image.quantize(colours, dither=Image.Dither.NONE).save(png, "PNG")
    return png.getvalue()


@dataclass(frozen=True, repr=False, eq=False)
class Film(Picture):
    """Pictures that follow one another, as animated WebP; `figure` is the last. Explained in lesson 03.

    It runs only while it is opened, so that nothing moves beside what is being read.
    """

    webp: bytes

    def _html(self, png: bytes) -> str:
        image = f'<img alt="{escape(self.alt)}" src="data:image/webp;base64,{base64.b64encode(self.webp).decode()}">'
        return f"<details><summary>Open to see the film, close to stop it</summary>{image}</details>"


def draw_spectrogram(axes: Axes, sound: Sound):
    """Draw a log-mel-spectrogram on `axes`, which get its units; returns the image."""
    mel = log_mel(sound.resampled().waveform) if isinstance(sound, Clip) else np.asarray(sound)
    low, high = DB_RANGE
    image = axes.imshow(
        DB_PER_NEPER * mel.T,
        extent=(0, len(mel) * HOP_LENGTH / SAMPLE_RATE, 0, 1),  # a row a mel band, so the height is in mel
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=matplotlib.colormaps["magma"].resampled(COLOURS),
        vmin=low,
        vmax=high,
    )
    axes.set_yticks(mel_height(np.array(KILOHERTZ)), [f"{f / 1000:g}" for f in KILOHERTZ])
    axes.set(xlabel="Time (s)", ylabel="Frequency (kHz)")
    axes.label_outer()
    return image

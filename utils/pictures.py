"""Define the style of every figure: colours that the colour-blind can tell apart, and a text alternative.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .checks import shorten
from .clip import Clip
from .features import DB_PER_NEPER, HOP_LENGTH, SAMPLE_RATE, mel_height
from .player import COLOURS, DB_RANGE, PALETTE, visible_mel

TICKS_HZ = (500, 1000, 2000, 4000, 8000)  # marked on the frequency axis
WIDTH = 6.4  # inches: 640 pixels, in which letters of 12 points are still 9 pixels high on a phone 345 pixels wide
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito 2008
MARKERS = "osD^vPX"
SCRIPTS = "CJK (SC|JP)|YaHei|PingFang SC|Hiragino|WenQuanYi|Malgun|Sans (Arabic|Devanagari)|Nirmala|(Noto|UI) Emoji"
# the installed fonts of these scripts, which matplotlib's own lacks
FONTS = sorted(name for name in font_manager.get_font_names() if re.search(SCRIPTS, name))
STYLE = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans", *FONTS],
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "image.aspect": "auto",
    "image.cmap": PALETTE,
    "image.interpolation": "nearest",
    "image.origin": "lower",
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "text.parse_math": False,  # a prompt may have dollars
}
Sound = Clip | np.ndarray  # an array is a log-mel-spectrogram, (frames, 64), natural logarithm of the magnitude


@dataclass(frozen=True, repr=False, eq=False)
class Picture:
    """A matplotlib `figure`, and the words that stand for it, `alt`.

    `picture.figure.savefig("name.svg")` keeps it in any format that matplotlib knows. A film is animated WebP, `webp`,
    with its last picture in `figure`; it moves only while opened.
    """

    figure: Figure
    alt: str
    webp: bytes = b""

    @property
    def png(self) -> bytes:
        """The figure as a PNG file of 640 pixels and 256 colours, half the size of one with all."""
        canvas, png = FigureCanvasAgg(self.figure), io.BytesIO()
        with matplotlib.rc_context(STYLE):
            canvas.draw()
        drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        drawn.quantize(256, dither=Image.Dither.NONE).save(png, "PNG")
        return png.getvalue()

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        """Return the picture with its words, and bare for PDF, Word and LaTeX, which read no HTML."""
        png, film = (base64.b64encode(data).decode() for data in (self.png, self.webp))
        html = f'<img alt="{escape(self.alt)}" style="max-width:100%" src="data:image/png;base64,{png}">'
        if film:
            image = f'<img alt="{escape(self.alt)}" src="data:image/webp;base64,{film}">'
            html = f"<details><summary>Open to see the film, close to stop it</summary>{image}</details>"
        return {"text/plain": self.alt, "text/html": html, "image/png": png}


def draw_spectrogram(axes: Axes, sound: Sound):
    """Draw a log-mel-spectrogram on `axes`, which get its units; returns the image."""
    mel = visible_mel(sound) if isinstance(sound, Clip) else np.asarray(sound)
    if mel.ndim != 2 or mel.dtype == object:
        raise TypeError(f"A spectrogram is drawn of a Clip or an array (frames, 64), not of {type(sound).__name__}.")
    extent = (0, len(mel) * HOP_LENGTH / SAMPLE_RATE, 0, 1)  # a row a mel band, so the height is in mel
    colours = matplotlib.colormaps[PALETTE].resampled(COLOURS)
    image = axes.imshow(DB_PER_NEPER * mel.T, extent=extent, cmap=colours, clim=DB_RANGE)
    axes.set_yticks(mel_height(np.array(TICKS_HZ)), [f"{f / 1000:g}" for f in TICKS_HZ])
    axes.set(xlabel="Time (s)", ylabel="Frequency (kHz)")
    axes.label_outer()
    return image


def describe(sounds, row_labels: Sequence[str], column_labels: Sequence[str], title: str, alt: str) -> str:
    """Return the text alternative of a grid of spectrograms; `alt` is its last sentence."""
    words = f"{title or 'Log-mel-spectrograms'}, {len(sounds)} by {len(sounds[0])}"
    words += f"; rows: {', '.join(row_labels)}" * bool(row_labels)
    words += f"; columns: {', '.join(column_labels)}" * bool(column_labels)
    if len(sounds) == len(sounds[0]) == 1 and isinstance(sounds[0][0], Clip):
        words = f"Log-mel-spectrogram of {title_of(sounds[0][0])}"
    return f"{words}. Time across, 0 to 8 kHz upwards, the brighter the louder. {alt}".strip()


def title_of(clip: Clip) -> str:
    """Return a clip's prompt or file, and its facts, in one line."""
    return ", ".join(filter(None, [shorten(clip.title), clip.facts])) or "a sound"

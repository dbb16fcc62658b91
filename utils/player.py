"""The player of a clip: its log-mel-spectrogram with axes, a cursor that follows the sound, and the sound itself.

One piece of HTML with the sound and the picture inside: it needs no kernel, no network and no other script. Where
scripts are removed (GitHub, a notebook that is not trusted, print) the figure and the browser's own player remain.
Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .features import HOP_LENGTH, log_mel, mel_height
from .files import shorten

DB_RANGE = (-80.0, 10.0)  # of the mel magnitude, the same for every clip, so that colours can be compared
COLOURS = 64
STILL_COLOURS = 15  # and white, in four bits
MAX_COLUMNS = 1000  # pixels of the picture
FREQUENCIES = (0, 500, 1000, 2000, 4000, 8000)  # Hz, marked on the axis
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz; the format knows no others
NO_MATHS = "mathjax_ignore tex2jax_ignore"  # classes within which dollars are text


def shown(clips: Sequence[Any], labels: Sequence[str] | None = None, columns: int | None = None) -> dict[str, str]:
    """What a notebook stores of clips: the player, and their spectrograms for where there are no players."""
    drawn, labels = [spectrogram_png(clip) for clip in clips], labels or [""] * len(clips)
    return {"text/html": player(clips, labels, columns, drawn), "image/png": _base64(still(clips, labels, drawn))}


def player(clips: Sequence[Any], labels: Sequence[str], columns: int | None, drawn: Sequence[bytes]) -> str:
    """HTML that shows and plays the clips, on one time axis, frequency axis and dB range; see `compare`."""
    axis = max(clip.duration for clip in clips)
    figures = [_figure(clip, label, axis, png) for clip, label, png in zip(clips, labels, drawn, strict=True)]
    # MathJax leaves dollars alone by these classes, and JupyterLab the keys where shortcuts are suppressed
    opening = f'<div class="aldm {NO_MATHS}" style="--n:{columns or len(clips)}" data-lm-suppress-shortcuts="true">'
    style, script = _beside("player.css"), _beside("player.js")
    return "\n".join([opening, f"<style>\n{style}</style>", *figures, f"<script>{script}</script>", "</div>"])


@lru_cache
def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _figure(clip: Any, label: str, axis: float, drawn: bytes) -> str:
    label, prompt = shorten(label), shorten(clip.title, 160)
    name = escape(", ".join(filter(None, [label, prompt])) or "sound")
    title = f"<strong><bdi>{escape(label)}</bdi></strong> " * bool(label) + f"<bdi>{escape(prompt)}</bdi>"
    facts = escape(", ".join(filter(None, [f"{clip.duration:.2f} s", f"peak {clip.peak:.2f}", clip.facts])))
    width = f"{100 * clip.duration / axis:.4g}%"
    return f"""<figure><figcaption>{title} <small><bdi>{facts}</bdi></small></figcaption>
<div class="aldm-plot"><img alt="Log-mel-spectrogram of {name}: {clip.duration:.2f} s, 0 to 8 kHz"
 width="{width}" height="128" src="data:image/png;base64,{_base64(drawn)}">
{_axes(axis)}
<div class="aldm-seek" data-axis="{axis:.3f}" data-end="{clip.duration:.3f}"><i></i></div></div>
<audio controls preload="metadata" aria-label="{name}" src="data:audio/mpeg;base64,{_base64(mp3(clip))}"></audio>
</figure>"""


def _axes(seconds: float) -> str:
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 1e9) if seconds / s <= 7)
    marks = np.arange(0, 1.001 * seconds, step)
    times = [f'<b class="t" style="left:{100 * t / seconds:.4g}%">{t:.4g}</b>' for t in marks]
    tones = [f'<b class="f" style="bottom:{100 * mel_height(f):.4g}%">{f / 1000:g}</b>' for f in FREQUENCIES]
    words = ["<br>", '<b class="x">time (s)</b>', *times, '<br><b class="y">kHz (mel)</b>', *tones]
    return f'<span aria-hidden="true">{" ".join(words)}</span>'


def spectrogram_png(clip: Any) -> bytes:
    """The log-mel-spectrogram as a PNG of one pixel a frame and band, on the fixed `DB_RANGE`, low bands below."""
    from matplotlib import colormaps
    from PIL import Image

    waveform = np.nan_to_num(clip.resampled().waveform)
    waveform = np.pad(waveform, (0, max(0, HOP_LENGTH - len(waveform))))
    decibels = 20 / np.log(10) * log_mel(waveform)  # (frames, 64)
    if len(decibels) > MAX_COLUMNS:
        decibels = np.stack([part.max(0) for part in np.array_split(decibels, MAX_COLUMNS)])
    low, high = DB_RANGE
    levels = np.round((decibels - low) / (high - low) * (COLOURS - 1)).clip(0, COLOURS - 1)
    image = Image.fromarray(levels.T[::-1].astype(np.uint8), mode="P")
    image.putpalette((colormaps["magma"].resampled(COLOURS).colors[:, :3] * 255).round().astype(np.uint8).tobytes())
    png = io.BytesIO()
    image.save(png, "PNG", bits=6)
    return png.getvalue()


def still(clips: Sequence[Any], labels: Sequence[str], drawn: Sequence[bytes]) -> bytes:
    """The spectrograms as one small PNG, for paper and Word, where no player plays."""
    from matplotlib import colormaps, font_manager
    from PIL import Image, ImageDraw, ImageFont

    across, axis = min(len(clips), 3), max(clip.duration for clip in clips)
    width, height, white = 512, 16 + 128, STILL_COLOURS
    sheet = Image.new("P", (across * width, -(-len(clips) // across) * height), white)
    colours = (colormaps["magma"].resampled(STILL_COLOURS).colors[:, :3] * 255).round().astype(np.uint8)
    sheet.putpalette(colours.tobytes() + b"\xff\xff\xff")
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 12)
    for number, (clip, label, spectrogram) in enumerate(zip(clips, labels, drawn, strict=True)):
        levels = np.asarray(Image.open(io.BytesIO(spectrogram))).astype(int) * STILL_COLOURS // COLOURS
        x, y = number % across * width, number // across * height
        size = (max(1, round((width - 8) * clip.duration / axis)), 128)
        sheet.paste(Image.fromarray(levels.astype(np.uint8)).resize(size, Image.Resampling.NEAREST), (x, y + 16))
        text = ", ".join(filter(None, [label, clip.title, f"{clip.duration:.2f} s, 0 to 8 kHz"]))
        ImageDraw.Draw(sheet).text((x, y), shorten(text, 72), fill=0, font=font)
    png = io.BytesIO()
    sheet.save(png, "PNG", bits=4)
    return png.getvalue()


def mp3(clip: Any) -> bytes:
    """The sound as MP3, about 6 kB a second, as loud as it was generated: clipped at -1...1, never normalised."""
    import soundfile

    rate = next((rate for rate in MP3_RATES if rate >= clip.sample_rate), MP3_RATES[-1])
    clip, data = clip.resampled(rate), io.BytesIO()
    soundfile.write(data, np.nan_to_num(clip.waveform).clip(-1, 1), clip.sample_rate, format="MP3")
    return data.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

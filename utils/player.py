"""Make the player of a clip: its log-mel-spectrogram with axes, a cursor that follows the sound, and the sound.

One piece of HTML with the sound and the picture inside: it needs no kernel, no network and no other script. Where
scripts are removed (GitHub, a notebook that is not trusted, print) the figure and the browser's own player remain.
Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

import utils

from .checkpoints import CHECKPOINTS
from .checks import shorten
from .features import DB_PER_NEPER, HOP_LENGTH, log_mel, mel_height

DB_RANGE = (-80.0, 10.0)  # of the mel magnitude, the same for every clip, so that colours can be compared
PALETTE, COLOURS = "magma", 64  # of every spectrogram: a colour map of matplotlib, and how many of its colours
MAX_COLUMNS = 1000  # pixels of the picture
FREQUENCIES = (0, 500, 1000, 2000, 4000, 8000)  # Hz, marked on the axis
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz; the format knows no others
PLAIN = (  # the settings of a plain call, with the checkpoint
    "checkpoint", "prompt", "negative_prompt", "num_inference_steps", "audio_length_in_s", "guidance_scale", "seed"
)  # fmt: skip
NO_MATHS = "mathjax_ignore tex2jax_ignore"  # classes within which dollars are text


def mime_bundle(clips: Sequence[Any], labels: Sequence[str] | None = None, columns: int | None = None) -> dict:
    """Return text/html, the players, and image/png, the spectrograms for static pages such as a PDF.

    All are shown on one time axis, frequency axis and dB range; see `compare`.
    """
    drawn, labels = [spectrogram_png(clip) for clip in clips], labels or [""] * len(clips)
    axis = max(clip.duration for clip in clips)
    figures = [_figure(clip, label, axis, png) for clip, label, png in zip(clips, labels, drawn, strict=True)]
    # MathJax leaves dollars alone by these classes, and JupyterLab the keys where shortcuts are suppressed
    opening = f'<div class="aldm {NO_MATHS}" style="--n:{columns or len(clips)}" data-lm-suppress-shortcuts="true">'
    style, script = (Path(__file__).with_suffix(kind).read_text(encoding="utf-8") for kind in (".css", ".js"))
    html = "\n".join([opening, f"<style>\n{style}</style>", *figures, f"<script>{script}</script>", "</div>"])
    return {"text/html": html, "image/png": _base64(static_png(clips, labels, axis, drawn))}


def _figure(clip: Any, label: str, axis: float, drawn: bytes) -> str:
    label, prompt = shorten(label), shorten(clip.title, 160)
    name = escape(", ".join(filter(None, [label, prompt])) or "sound")
    title = f"<strong><bdi>{escape(label)}</bdi></strong> " * bool(label) + f"<bdi>{escape(prompt)}</bdi>"
    facts = escape(", ".join(filter(None, [f"{clip.duration:.2f} s", f"peak {clip.peak:.2f}", clip.facts])))
    width = f"{100 * clip.duration / axis:.4g}%"
    return f"""<figure{_reproducible(clip)}><figcaption>{title}<br>
<small><bdi>{facts}</bdi></small></figcaption>
<div class="aldm-plot"><img alt="Log-mel-spectrogram of {name}: {clip.duration:.2f} s, 0 to 8 kHz"
 width="{width}" height="128" src="data:image/png;base64,{_base64(drawn)}">
{_axes(axis)}
<div class="aldm-seek" data-axis="{axis:.3f}" data-end="{clip.duration:.3f}"><i></i></div></div>
<audio controls preload="metadata" aria-label="{name}" src="data:audio/mpeg;base64,{_base64(mp3(clip))}"></audio>
</figure>"""


def _reproducible(clip: Any) -> str:
    """Return the attribute data-settings, JSON, if AUDIOLDM_VERIFY=1 and they alone make the clip again."""
    settings = {name: clip.settings.get(name) for name in PLAIN}
    if os.environ.get("AUDIOLDM_VERIFY") != "1" or {*clip.settings} - {"scheduler", "dtype"} != {*PLAIN}:
        return ""
    if settings["checkpoint"] not in CHECKPOINTS:  # a pipeline of the lesson's own
        return ""
    call = {name: value for name, value in settings.items() if name != "checkpoint"}
    again = utils.generate(_pipeline(settings["checkpoint"]), **call).waveform
    is_same = again.shape == clip.waveform.shape and np.abs(again - clip.waveform).max() <= 0.01 * clip.peak
    return f' data-settings="{escape(json.dumps(settings))}"' if is_same else ""  # up to the rounding of batches


_pipeline = lru_cache(maxsize=1)(lambda checkpoint: utils.load_pipeline(checkpoint))


def _axes(seconds: float) -> str:
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 1e9) if seconds / s <= 7)
    marks = np.arange(0, 1.001 * seconds, step)
    times = [f'<b class="t" style="left:{100 * t / seconds:.4g}%">{t:.4g}</b>' for t in marks]
    tones = [f'<b class="f" style="bottom:{100 * mel_height(f):.4g}%">{f / 1000:g}</b>' for f in FREQUENCIES]
    words = ["<br>", '<b class="x">time (s)</b>', *times, '<br><b class="y">kHz (mel)</b>', *tones]
    return f'<span aria-hidden="true">{" ".join(words)}</span>'


def visible_mel(clip: Any) -> np.ndarray:
    """Return the log-mel-spectrogram of any clip, (frames, 64): NaN as 0, padded to one frame."""
    waveform = np.nan_to_num(clip.resampled().waveform)
    return log_mel(np.pad(waveform, (0, max(0, HOP_LENGTH - len(waveform)))))


def spectrogram_png(clip: Any) -> bytes:
    """Return the log-mel-spectrogram as a PNG, one pixel a frame and band, on the fixed `DB_RANGE`, low bands below."""
    from matplotlib import colormaps
    from PIL import Image

    decibels = DB_PER_NEPER * visible_mel(clip)
    if len(decibels) > MAX_COLUMNS:
        decibels = np.stack([part.max(0) for part in np.array_split(decibels, MAX_COLUMNS)])
    low, high = DB_RANGE
    levels = np.round((decibels - low) / (high - low) * (COLOURS - 1)).clip(0, COLOURS - 1)
    image = Image.fromarray(levels.T[::-1].astype(np.uint8), mode="P")
    image.putpalette((colormaps[PALETTE].resampled(COLOURS).colors[:, :3] * 255).round().astype(np.uint8).tobytes())
    png = io.BytesIO()
    image.save(png, "PNG", bits=6)
    return png.getvalue()


def static_png(clips: Sequence[Any], labels: Sequence[str], axis: float, drawn: Sequence[bytes]) -> bytes:
    """Return a PNG of all spectrograms, stacked and labelled, `axis` seconds wide."""
    from matplotlib import font_manager
    from PIL import Image, ImageDraw, ImageFont

    sheet = Image.new("P", (512, (24 + 128) * len(clips)), COLOURS)  # which is white
    sheet.putpalette(Image.open(io.BytesIO(drawn[0])).getpalette()[: 3 * COLOURS] + [255] * 3)
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 15)
    for row, (clip, label, png) in enumerate(zip(clips, labels, drawn, strict=True)):
        size = (max(1, round(512 * clip.duration / axis)), 128)
        sheet.paste(Image.open(io.BytesIO(png)).resize(size, Image.Resampling.NEAREST), (0, 152 * row + 24))
        text = ", ".join(filter(None, [label, clip.title, f"{clip.duration:.2f} s, 0 to 8 kHz"]))
        ImageDraw.Draw(sheet).text((0, 152 * row + 3), shorten(text, 60), fill=0, font=font)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def mp3(clip: Any) -> bytes:
    """Return the sound as MP3, about 6 kB a second, as loud as it was generated: clipped, never normalised."""
    import soundfile

    rate = next((rate for rate in MP3_RATES if rate >= clip.sample_rate), MP3_RATES[-1])
    clip, data = clip.resampled(rate), io.BytesIO()
    soundfile.write(data, np.nan_to_num(clip.waveform).clip(-1, 1), clip.sample_rate, format="MP3")
    return data.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

"""The player of a clip: its log-mel-spectrogram with axes, a cursor that follows the sound, and the sound itself.

One piece of HTML with the sound and the picture inside: it needs no kernel, no network and no other script. Where
scripts are removed (GitHub, a notebook that is not trusted, print) the figure and the browser's own player remain.
Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from .clip import Clip, shorten
from .features import FMAX, log_mel

DB_RANGE = (-80.0, 10.0)  # of the mel magnitude, the same for every clip, so that colours can be compared
COLOURS = 64
MAX_COLUMNS = 1000  # pixels of the picture
FREQUENCIES = (500, 1000, 2000, 4000)  # Hz, marked on the axis

STYLE = """<style>
.aldm{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:14px 20px;max-width:1200px;
 font:13px/1.35 system-ui,sans-serif}
.aldm figure{margin:0;min-width:0;max-width:720px}
.aldm figcaption{overflow-wrap:anywhere;margin-bottom:4px}
.aldm small{opacity:.75;font-size:12px}
.aldm-plot{position:relative;margin:6px 10px 32px 46px;height:128px;cursor:pointer;touch-action:pan-y}
.aldm-plot:focus-visible{outline:3px solid #4c9be8;outline-offset:2px}
.aldm-plot img{display:block;margin:0;height:100%;max-width:none;object-fit:fill}
.aldm-plot i{position:absolute;top:0;bottom:0;left:0;width:0;display:none;border-left:2px solid #fff;
 box-shadow:0 0 0 1px #000;pointer-events:none}
.aldm[data-live] .aldm-plot i{display:block}
.aldm-plot b{position:absolute;font:11px/1 system-ui,sans-serif;opacity:.85;white-space:nowrap;pointer-events:none}
.aldm-plot b.t{top:100%;padding-top:7px;transform:translateX(-50%)}
.aldm-plot b.t::before{content:"";position:absolute;left:50%;top:0;height:5px;border-left:1px solid}
.aldm-plot b.f{right:100%;padding-right:8px;transform:translateY(50%)}
.aldm-plot b.f::before{content:"";position:absolute;right:0;top:50%;width:5px;border-top:1px solid}
.aldm-plot b.x{top:100%;padding-top:20px;right:0}
.aldm-plot b.y{right:100%;top:50%;margin-right:38px;transform:translate(50%,-50%) rotate(-90deg)}
.aldm audio{display:block;width:100%;height:36px}
@media print{.aldm audio,.aldm-plot i{display:none!important}}
</style>"""

SCRIPT = """<script>(() => {
for (const root of document.querySelectorAll('.aldm:not([data-live])')) {
  root.dataset.live = '';
  for (const figure of root.querySelectorAll('figure')) {
    const audio = figure.querySelector('audio'), plot = figure.querySelector('.aldm-plot');
    const cursor = plot.querySelector('i'), axis = +plot.dataset.axis, end = +plot.getAttribute('aria-valuemax');
    const show = () => {
      const t = Math.min(audio.currentTime, end);
      cursor.style.left = 100 * t / axis + '%';
      plot.setAttribute('aria-valuenow', t.toFixed(2));
      plot.setAttribute('aria-valuetext', t.toFixed(1) + ' of ' + end.toFixed(1) + ' seconds');
    };
    const follow = () => { show(); if (!audio.paused) requestAnimationFrame(follow); };
    const seek = t => { audio.currentTime = Math.max(0, Math.min(end - 0.01, t)); show(); };
    const point = e => { const r = plot.getBoundingClientRect(); seek((e.clientX - r.left) / r.width * axis); };
    audio.addEventListener('play', () => {
      for (const other of document.querySelectorAll('audio')) if (other !== audio) other.pause();
      follow();
    });
    for (const event of ['timeupdate', 'seeked', 'pause']) audio.addEventListener(event, show);
    plot.addEventListener('pointerdown', e => { if (!e.button) { point(e); plot.setPointerCapture(e.pointerId); } });
    plot.addEventListener('pointermove', e => { if (plot.hasPointerCapture(e.pointerId)) point(e); });
    plot.addEventListener('keydown', e => {
      const by = {ArrowLeft: -0.25, ArrowDown: -0.25, PageDown: -1, ArrowRight: 0.25, ArrowUp: 0.25, PageUp: 1}[e.key];
      const to = by ? audio.currentTime + by : {Home: 0, End: end}[e.key];
      if (e.ctrlKey || e.metaKey || e.altKey || (to === undefined && e.key !== ' ')) return;
      e.preventDefault(); e.stopPropagation();
      if (e.key !== ' ') seek(to); else if (audio.paused) audio.play(); else audio.pause();
    });
  }
}})()</script>"""


def player(clips: Sequence[Clip], labels: Sequence[str] | None = None, columns: int | None = None) -> str:
    """HTML that shows and plays the clips, on one time axis, frequency axis and dB range; see `compare`."""
    axis = max(clip.duration for clip in clips)
    figures = [_figure(clip, label, axis) for clip, label in zip(clips, labels or [""] * len(clips), strict=True)]
    grid = f' style="grid-template-columns:repeat({columns},minmax(0,1fr))"' if columns else ""
    return f'<div class="aldm"{grid} data-lm-suppress-shortcuts="true">{STYLE}{"".join(figures)}{SCRIPT}</div>'


def _figure(clip: Clip, label: str, axis: float) -> str:
    label, prompt = shorten(label), shorten(clip.settings.get("prompt", ""), 160)
    name = escape(", ".join(filter(None, [label, prompt])) or "sound")
    title = f"<strong><bdi>{escape(label)}</bdi></strong> " * bool(label) + f"<bdi>{escape(prompt)}</bdi>"
    facts = escape(", ".join(filter(None, [f"{clip.duration:.2f} s", f"peak {clip.peak:.2f}", clip.facts])))
    width = f"{100 * clip.duration / axis:.4g}%"
    return f"""<figure><figcaption>{title} <small><bdi>{facts}</bdi></small></figcaption>
<div class="aldm-plot" role="slider" tabindex="0" data-axis="{axis:.3f}" aria-label="Position in {name}"
 aria-valuemin="0" aria-valuemax="{clip.duration:.3f}" aria-valuenow="0">
<img alt="Log-mel-spectrogram of {name}: {clip.duration:.2f} s, 0 to 8 kHz" width="{width}" height="128"
 src="data:image/png;base64,{_base64(spectrogram_png(clip))}">
{_axes(axis)}<i></i></div>
<audio controls preload="metadata" aria-label="{name}" src="data:audio/mpeg;base64,{_base64(mp3(clip))}"></audio>
</figure>"""


def _axes(seconds: float) -> str:
    from librosa import hz_to_mel

    step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 1e9) if seconds / s <= 7)
    times = np.arange(0, seconds * 0.95, step)
    ticks = [f'<b class="t" style="left:{100 * t / seconds:.4g}%">{t:g}</b>' for t in times.round(2)]
    heights = {f: 100 * hz_to_mel(f) / hz_to_mel(FMAX) for f in FREQUENCIES}
    ticks += [f'<b class="f" style="bottom:{h:.4g}%">{f / 1000:g}</b>' for f, h in heights.items()]
    return f'{" ".join(ticks)} <b class="x">time (s)</b> <b class="y">kHz (mel)</b>'


def spectrogram_png(clip: Clip) -> bytes:
    """The log-mel-spectrogram as a PNG of one pixel a frame and band, on the fixed `DB_RANGE`, low bands below."""
    from matplotlib import colormaps
    from PIL import Image

    decibels = 20 / np.log(10) * log_mel(np.nan_to_num(clip.waveform))  # (frames, 64)
    if len(decibels) > MAX_COLUMNS:
        decibels = np.stack([part.max(0) for part in np.array_split(decibels, MAX_COLUMNS)])
    low, high = DB_RANGE
    levels = np.round((decibels - low) / (high - low) * (COLOURS - 1)).clip(0, COLOURS - 1)
    image = Image.fromarray(levels.T[::-1].astype(np.uint8), mode="P")
    image.putpalette((colormaps["magma"].resampled(COLOURS).colors[:, :3] * 255).round().astype(np.uint8).tobytes())
    png = io.BytesIO()
    image.save(png, "PNG", optimize=True, bits=6)
    return png.getvalue()


def mp3(clip: Clip) -> bytes:
    """The sound as MP3, about 6 kB a second, as loud as it was generated: clipped at -1...1, never normalised."""
    import soundfile

    data = io.BytesIO()
    soundfile.write(data, np.nan_to_num(clip.waveform).clip(-1, 1), clip.sample_rate, format="MP3")
    return data.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

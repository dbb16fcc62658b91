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
from .features import FMAX, HOP_LENGTH, SAMPLE_RATE, hz_to_mel, log_mel

DB_RANGE = (-80.0, 10.0)  # of the mel magnitude, the same for every clip, so that colours can be compared
COLOURS = 64
MAX_COLUMNS = 1000  # pixels of the picture
FREQUENCIES = (0, 500, 1000, 2000, 4000, 8000)  # Hz, marked on the axis
NO_MATHS = "mathjax_ignore tex2jax_ignore"  # classes within which dollars are text

STYLE = """<style>
.aldm{display:grid;gap:0 20px;max-width:1200px;font:13px/1.35 system-ui,sans-serif;
 grid-template-columns:repeat(auto-fit,minmax(max(min(100%,280px),(100% - (var(--n) - 1)*20px)/var(--n)),1fr))}
.aldm figure{display:grid;grid-row:span 3;grid-template-rows:subgrid;row-gap:0;margin:0 0 12px;min-width:0;
 max-width:720px}
.aldm figcaption{overflow-wrap:anywhere;align-self:end}
.aldm small{opacity:.75;font-size:12px}
.aldm-plot{position:relative;margin:6px 12px 34px 46px;height:128px}
.aldm-plot img{display:block;margin:0;height:100%!important;max-width:none!important}
.aldm-plot br{display:none}
.aldm-plot b{position:absolute;font:11px/1 system-ui,sans-serif;opacity:.85;white-space:nowrap}
.aldm-plot .t{top:100%;padding-top:7px;transform:translateX(-50%)}
.aldm-plot .t::before{content:"";position:absolute;left:50%;top:0;height:5px;border-left:1px solid}
.aldm-plot .f{right:100%;padding-right:8px;transform:translateY(50%)}
.aldm-plot .f::before{content:"";position:absolute;right:0;top:50%;width:5px;border-top:1px solid}
.aldm-plot .x{top:100%;left:50%;padding-top:20px;transform:translateX(-50%)}
.aldm-plot .y{right:100%;top:50%;margin-right:37px;transform:translate(50%,-50%) rotate(-90deg)}
.aldm-seek{position:absolute;inset:0;cursor:pointer;touch-action:pan-y}
.aldm-seek:focus-visible{outline:3px solid #4c9be8;outline-offset:2px}
.aldm-seek i{position:absolute;top:0;bottom:0;left:0;display:none;border-left:2px solid #fff;box-shadow:0 0 0 1px #000}
.aldm[data-live] i{display:block}
.aldm audio{display:block;width:100%;height:36px}
@media print{.aldm audio,.aldm i{display:none!important}}
</style>"""

SCRIPT = """<script>(() => {
for (const root of document.querySelectorAll('.aldm:not([data-live])')) {
  root.dataset.live = '';
  const theme = () => {
    root.style.colorScheme = getComputedStyle(root).color.match(/\\d+/)[0] > 127 ? 'dark' : 'light';
  };
  theme();
  root.addEventListener('pointerenter', theme);
  for (const figure of root.querySelectorAll('figure')) {
    const audio = figure.querySelector('audio'), bar = figure.querySelector('.aldm-seek');
    const cursor = bar.querySelector('i'), axis = +bar.dataset.axis, end = +bar.dataset.end;
    const set = values => { for (const name in values) bar.setAttribute(name, values[name]); };
    const show = () => {
      const t = Math.min(audio.currentTime, end);
      cursor.style.left = 100 * t / axis + '%';
      set({'aria-valuenow': t.toFixed(2), 'aria-valuetext': t.toFixed(1) + ' of ' + end.toFixed(1) + ' seconds'});
    };
    const follow = () => { show(); if (!audio.paused) requestAnimationFrame(follow); };
    const seek = t => { audio.currentTime = Math.max(0, Math.min(end - 0.01, t)); show(); };
    const point = e => { const r = bar.getBoundingClientRect(); seek((e.clientX - r.left) / r.width * axis); };
    const keys = {ArrowLeft: -0.25, ArrowDown: -0.25, PageDown: -1, ArrowRight: 0.25, ArrowUp: 0.25, PageUp: 1};
    set({role: 'slider', tabindex: 0, 'aria-valuemin': 0, 'aria-valuemax': end,
      'aria-label': 'Position in ' + audio.getAttribute('aria-label')});
    show();
    audio.addEventListener('play', () => {
      for (const other of document.querySelectorAll('audio')) if (other !== audio) other.pause();
      follow();
    });
    for (const event of ['timeupdate', 'seeked', 'pause']) audio.addEventListener(event, show);
    bar.addEventListener('pointerdown', e => { if (!e.button) { bar.setPointerCapture(e.pointerId); point(e); } });
    bar.addEventListener('pointermove', e => { if (bar.hasPointerCapture(e.pointerId)) point(e); });
    bar.addEventListener('keydown', e => {
      const to = e.key in keys ? audio.currentTime + keys[e.key] : {Home: 0, End: end}[e.key];
      if (e.ctrlKey || e.metaKey || e.altKey || (to === undefined && e.key !== ' ')) return;
      e.preventDefault();
      e.stopPropagation();
      if (e.key !== ' ') seek(to); else if (audio.paused) audio.play(); else audio.pause();
    });
  }
}})()</script>"""


def player(clips: Sequence[Clip], labels: Sequence[str] | None = None, columns: int | None = None) -> str:
    """HTML that shows and plays the clips, on one time axis, frequency axis and dB range; see `compare`."""
    axis = max(clip.duration for clip in clips)
    figures = [_figure(clip, label, axis) for clip, label in zip(clips, labels or [""] * len(clips), strict=True)]
    # MathJax leaves dollars alone by these classes, and JupyterLab the keys where shortcuts are suppressed
    opening = f'<div class="aldm {NO_MATHS}" style="--n:{columns or len(clips)}" data-lm-suppress-shortcuts="true">'
    return "\n".join([opening, STYLE, *figures, SCRIPT, "</div>"])


def _figure(clip: Clip, label: str, axis: float) -> str:
    label, prompt = shorten(label), shorten(clip.settings.get("prompt", ""), 160)
    name = escape(", ".join(filter(None, [label, prompt])) or "sound")
    title = f"<strong><bdi>{escape(label)}</bdi></strong> " * bool(label) + f"<bdi>{escape(prompt)}</bdi>"
    facts = escape(", ".join(filter(None, [f"{clip.duration:.2f} s", f"peak {clip.peak:.2f}", clip.facts])))
    width = f"{100 * clip.duration / axis:.4g}%"
    return f"""<figure><figcaption>{title} <small><bdi>{facts}</bdi></small></figcaption>
<div class="aldm-plot"><img alt="Log-mel-spectrogram of {name}: {clip.duration:.2f} s, 0 to 8 kHz"
 width="{width}" height="128" src="data:image/png;base64,{_base64(spectrogram_png(clip))}">
{_axes(axis)}
<div class="aldm-seek" data-axis="{axis:.3f}" data-end="{clip.duration:.3f}"><i></i></div></div>
<audio controls preload="metadata" aria-label="{name}" src="data:audio/mpeg;base64,{_base64(mp3(clip))}"></audio>
</figure>"""


def _axes(seconds: float) -> str:
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 1e9) if seconds / s <= 7)
    marks = np.arange(0, 1.001 * seconds, step)
    times = [f'<b class="t" style="left:{100 * t / seconds:.4g}%">{t:.4g}</b>' for t in marks]
    heights = {f: 100 * hz_to_mel(f) / hz_to_mel(FMAX) for f in FREQUENCIES}
    tones = [f'<b class="f" style="bottom:{h:.4g}%">{f / 1000:g}</b>' for f, h in heights.items()]
    words = ["<br>", '<b class="x">time (s)</b>', *times, '<br><b class="y">kHz (mel)</b>', *tones]
    return f'<span aria-hidden="true">{" ".join(words)}</span>'


def spectrogram_png(clip: Clip) -> bytes:
    """The log-mel-spectrogram as a PNG of one pixel a frame and band, on the fixed `DB_RANGE`, low bands below."""
    from matplotlib import colormaps
    from PIL import Image

    waveform = np.nan_to_num(clip.waveform)
    if clip.sample_rate != SAMPLE_RATE:
        from librosa import resample

        waveform = resample(waveform, orig_sr=clip.sample_rate, target_sr=SAMPLE_RATE)
    waveform = np.pad(waveform, (0, max(0, HOP_LENGTH - len(waveform))))
    decibels = 20 / np.log(10) * log_mel(waveform)  # (frames, 64)
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

"""Record in the notebook: record, stop, listen, use. It works with ipywidgets 7.7 (Colab) and 8."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

from utils import Clip

from .booth import shown


class Recorder(anywidget.AnyWidget):
    """The widget of a `Microphone`: `wav` is the file that the page has made, `message` the line below its buttons."""

    _esm = Path(__file__).with_name("microphone.js")
    wav = traitlets.Any().tag(sync=True)  # a memoryview, which `Bytes` refuses
    message = traitlets.Unicode().tag(sync=True)


class Microphone:
    """A panel with the buttons Record, Stop, Listen and Use, for recordings of at most 30 s.

    The page samples the microphone without echo cancellation or automatic gain, and sends a 16-bit WAV file when Use
    is pressed. Browsers allow it on pages from https:// and localhost only; the panel says so.

    Attributes: `clip`, the latest recording as `Clip.load` returns it (16 kHz, mono), None before Use is pressed;
    `view`, the widget.
    """

    def __init__(self) -> None:
        self.clip: Clip | None = None
        self.view = Recorder()
        self.view.observe(self._take, "wav")

    def _take(self, change: dict) -> None:
        """Load the file that the page has sent."""
        try:
            clip = Clip.load(bytes(change["new"]))
        except ValueError as error:
            self.view.message = str(error)
            return
        self.clip = Clip(clip.waveform, clip.sample_rate, {"file": "microphone"})
        self.view.message = f"{clip.duration:.2f} s recorded: see `.clip`."

    def __repr__(self) -> str:
        return f"Microphone: {self.clip!r}" if self.clip else "Microphone: nothing is recorded."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {**shown(self.view, "The microphone"), "text/plain": repr(self)}

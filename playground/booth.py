"""The panel of a listening test: the question, the players, the buttons.

It works with ipywidgets 7.7 (Colab) and 8.
"""

from __future__ import annotations

import html
import time
import warnings
from base64 import b64encode
from collections.abc import Callable
from functools import cached_property

import ipywidgets as widgets

from utils.checks import shorten
from utils.player import NO_MATHS

from .results import summary
from .trials import ListeningTest

DOUBLE_CLICK = 0.4  # seconds after an answer in which buttons do nothing
TURN_DOWN = "This one is loud: turn the volume down before you play it."
ONE_AT_A_TIME = "for (const a of document.querySelectorAll('audio')) if (a !== this) a.pause()"


class Booth(ListeningTest):
    """A listening test that a notebook shows as a panel with players and buttons."""

    @cached_property
    def view(self) -> widgets.Widget:
        """The panel, a widget; it asks for the listener's name first, unless the test has it."""
        page, narrow = widgets.HTML(), widgets.Layout(width="64px")
        buttons = widgets.HBox([widgets.Button(description=choice, layout=narrow) for choice in self.choices])
        name, begin = widgets.Text(placeholder="a name or a pseudonym"), widgets.Button(description="Begin")
        asking, answered = widgets.HBox([name, begin]), 0.0

        def show(note: str = "") -> None:
            alert = f'<p role="alert">{html.escape(shorten(note, 300))}</p>'
            page.value = listening_page(self) + alert * bool(note)
            asking.layout.display = "none" if self.listener else ""
            buttons.layout.display = "" if self.listener and self.remaining else "none"

        def attempt(act: Callable, *arguments) -> None:
            """Run `act`, and show errors and warnings in the panel."""
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    act(*arguments)
                except (OSError, ValueError) as error:
                    return show(str(error))
            show(" ".join(str(warning.message) for warning in caught))

        def press(button: widgets.Button) -> None:
            nonlocal answered
            if time.monotonic() > answered + DOUBLE_CLICK:
                attempt(self.answer, button.description)
                answered = time.monotonic()

        for button in buttons.children:
            button.on_click(press)
        begin.on_click(lambda button: attempt(self.begin, name.value))
        show()
        return widgets.VBox([page, buttons, asking])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {**shown(self.view, "The listening test"), "text/plain": repr(self)}


def listening_page(test: ListeningTest) -> str:
    """Return the HTML above the buttons: the question and the players; at the end, the results."""
    if test.listener is None:
        return "<p>Your name? A pseudonym will do: it tells the answers of a class apart.</p>"
    if not test.remaining:
        return f"<p>{html.escape(repr(test))} Thank you!</p>{summary(test.results).to_html()}"
    question = html.escape(f"{test.number} of {len(test.trials)}. {test.now.question}")
    warning = f'<p role="alert">{TURN_DOWN}</p>' if test.is_loud else ""
    players = "".join(
        f'<p><label>{name} <audio controls onplay="{ONE_AT_A_TIME}" style="vertical-align:middle"'
        f' src="data:audio/wav;base64,{b64encode(clip.wav()).decode()}"></audio></label></p>'
        for name, clip in test.sounds.items()
    )
    return f'<div class="{NO_MATHS}"><p><bdi>{question}</bdi></p>{warning}{players}</div>'


def shown(view: widgets.Widget, name: str) -> dict:
    """Return a widget's MIME bundle, with a fallback sentence for a stored page."""
    page = f"<p>{name} needs a running kernel: run this cell.</p>"
    widget = {"version_major": 2, "version_minor": 0, "model_id": view.model_id}
    return {"text/html": page, "application/vnd.jupyter.widget-view+json": widget}

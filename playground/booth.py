"""The panel of a listening test: the question, the players, the buttons.

It works with ipywidgets 7.7 (Colab) and 8.
"""

from __future__ import annotations

import html
import time
import warnings
from base64 import b64encode
from typing import Any

import ipywidgets as widgets

from utils.files import shorten
from utils.player import NO_MATHS

from .results import summary

DOUBLE_CLICK = 0.4  # seconds after an answer in which buttons do nothing
TURN_DOWN = "This one is loud: turn the volume down before you play it."
ONE_AT_A_TIME = "for (const a of document.querySelectorAll('audio')) if (a !== this) a.pause()"


def listening_page(test: Any) -> str:
    """What is above the buttons: the question and the players; at the end, what came out."""
    if test.listener is None:
        return "<p>Who listens? A pseudonym will do: it tells the answers of a class apart.</p>"
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


def listening_panel(test: Any) -> widgets.Widget:
    """A listening test: the question, the players and the buttons; before them who listens, where that is not said."""
    page, narrow = widgets.HTML(), widgets.Layout(width="64px")
    buttons = widgets.HBox([widgets.Button(description=choice, layout=narrow) for choice in test.choices])
    who, begin = widgets.Text(placeholder="a name or a pseudonym"), widgets.Button(description="Begin")
    asking, answered = widgets.HBox([who, begin]), 0.0

    def show(note: str = "") -> None:
        page.value = listening_page(test) + (f'<p role="alert">{html.escape(shorten(note, 300))}</p>' if note else "")
        asking.layout.display = "none" if test.listener else ""
        buttons.layout.display = "" if test.listener and test.remaining else "none"

    def attempt(act, *arguments) -> None:
        """Do it, and say in the panel what a notebook would print."""
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
            attempt(test.answer, button.description)
            answered = time.monotonic()

    for button in buttons.children:
        button.on_click(press)
    begin.on_click(lambda button: attempt(test.begin, who.value))
    show()
    return widgets.VBox([page, buttons, asking])

"""The widgets of the studio and of the listening tests: how they look, and nothing of what they do.

They work with ipywidgets 7.7 (Colab) and 8.
"""

from __future__ import annotations

import html
import time
import warnings
from base64 import b64encode
from numbers import Integral, Real
from typing import TYPE_CHECKING

import ipywidgets as widgets

from utils.checkpoints import CHECKPOINTS
from utils.files import shorten
from utils.player import NO_MATHS
from utils.prompts import MAX_SEED
from utils.tokenizer import PROBE

from .results import summary
from .takes import SCHEDULERS, Take

if TYPE_CHECKING:
    from .listening import ListeningTest

ROW = "0 0 auto"
COLUMN = "1 1 330px"  # controls stand in as many columns of this width as there is room for
ERROR = "color:var(--jp-error-color1,#c62828);font-weight:600"
DOUBLE_CLICK = 0.4  # seconds after an answer in which buttons do nothing
TURN_DOWN = "This one is loud: turn the volume down before you play it."
ONE_AT_A_TIME = "for (const a of document.querySelectorAll('audio')) if (a !== this) a.pause()"


class Panel:
    """The studio's widgets: `controls` by the parameter's name, buttons, what is said, the stage and the history."""

    def __init__(self):
        names = [name for name, known in CHECKPOINTS.items() if not known.is_mini or known.folder.is_dir()]
        self.controls = {
            "prompt": widgets.Textarea(value=PROBE, rows=3, continuous_update=False),
            "negative_prompt": widgets.Text(continuous_update=False, placeholder="what not to hear"),
            "num_inference_steps": widgets.IntSlider(10, 1, 200),
            "audio_length_in_s": widgets.FloatSlider(5.0, min=0.5, max=20.0, step=0.5, readout_format=".1f"),
            "guidance_scale": widgets.FloatSlider(2.5, min=0.0, max=20.0, step=0.5, readout_format=".1f"),
            "seed": widgets.BoundedIntText(0, 0, MAX_SEED),
            "checkpoint": widgets.Dropdown(options=names, value=names[-1]),
            "scheduler": widgets.Dropdown(options=list(SCHEDULERS)),
        }
        for name, control in self.controls.items():
            control.description = name
            control.style.description_width = "142px"
            control.layout = widgets.Layout(width="auto", min_width="0", flex=ROW if "prompt" in name else COLUMN)
        self.go = widgets.Button(description="Generate", button_style="primary", layout={"width": "110px"})
        self.stop = widgets.Button(description="Cancel", disabled=True, layout={"width": "110px"})
        self.dice = widgets.Button(description="🎲", tooltip="another seed", layout={"flex": "0 0 44px"})
        self.progress = widgets.IntProgress(0, 0, 10, layout={"flex": COLUMN, "width": "auto"})
        self.expected, self.status = widgets.HTML(), widgets.HTML()
        self.stage, self.history = widgets.Output(), widgets.VBox()
        prompt, negative, *others, seed, checkpoint, scheduler = self.controls.values()
        seed_and_dice = wrapping(seed, self.dice, flex=COLUMN, flex_flow="row nowrap")
        self.view = widgets.VBox(
            [
                prompt,
                negative,
                wrapping(*others, seed_and_dice, checkpoint, scheduler),
                wrapping(self.go, self.stop, self.expected, self.progress),
                self.status,
                self.stage,
                self.history,
            ],
            layout={"max_width": "1100px"},
        )

    @property
    def settings(self) -> dict:
        """What the controls say; an empty negative prompt is None."""
        values = {name: control.value for name, control in self.controls.items()}
        settings = {name: round(v, 2) if isinstance(v, float) else v for name, v in values.items()}  # sliders add 1e-15
        return {**settings, "negative_prompt": settings["negative_prompt"].strip() or None}

    def set(self, settings: dict) -> None:
        """Move controls, all or none."""
        values = {name: self._fitting(name, value) for name, value in settings.items()}
        for name, value in values.items():
            self.controls[name].value = value

    def _fitting(self, name: str, value):
        """The value as its control takes it; an error of one sentence where it cannot."""
        if name not in self.controls:
            raise TypeError(f"The studio has no {name!r}: it has {', '.join(self.controls)}.")
        control = self.controls[name]
        if hasattr(control, "options"):
            if value not in control.options:
                raise ValueError(f"{name} must be one of {', '.join(control.options)}, not {value!r}.")
            return value
        if hasattr(control, "max"):
            whole = isinstance(control.value, int)
            if not isinstance(value, Real) or (whole and not isinstance(value, Integral)):
                raise TypeError(f"{name} must be {'a whole number' if whole else 'a number'}, not {value!r}.")
            if not control.min <= value <= control.max:
                raise ValueError(f"{name} must be from {control.min:g} to {control.max:g} here, not {value!r}.")
            return type(control.value)(value)
        if not isinstance(value, str | None):
            raise TypeError(f"{name} must be text, not {value!r}.")
        if value and any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError(f"{name} has half of a character in it, which is no text: {value!r}.")
        return value or ""

    def say(self, message: str, is_error: bool = False) -> str:
        """One line below the buttons."""
        style = f' style="{ERROR}"' if is_error else ""
        text = f"<bdi>{html.escape(message)}</bdi>"
        self.status.value = f'<div role="status" class="{NO_MATHS}"{style}>{text}</div>'
        return message

    def expect(self, seconds: float | None) -> None:
        """How long a take will last, beside the buttons."""
        text = "not timed yet" if seconds is None else f"expected: {seconds:.1f} s"
        self.expected.value = f'<span style="padding:0 8px">{text}</span>'

    def busy(self, working: bool) -> None:
        """While something is made, it can be cancelled, and nothing else can be begun."""
        self.go.disabled, self.stop.disabled = working, not working

    def show(self, thing) -> None:
        """Put what a notebook can show onto the stage."""
        output = {"output_type": "display_data", "data": thing._repr_mimebundle_(), "metadata": {}}
        self.stage.outputs = (output,)  # not `with self.stage:`, which is for the main thread only


class Row(widgets.Box):
    """A take in the history: what it was, and what can be done with it."""

    def __init__(self, take: Take):
        self.show = widgets.Button(description=take.title, tooltip="show it above", layout={"flex": COLUMN})
        self.use = widgets.Button(description="use", tooltip="put its settings on the panel")
        self.compare = widgets.ToggleButton(description="compare", tooltip="side by side with others")
        self.keep = widgets.Button(description="keep", tooltip="write its sound, settings and code")
        super().__init__([self.show, self.use, self.compare, self.keep], layout={"flex_flow": "row wrap"})
        for button in self.children:
            button.layout.width = "auto"


def wrapping(*children: widgets.Widget, flex_flow: str = "row wrap", **layout) -> widgets.Box:
    """Widgets side by side, in as many rows as it takes."""
    return widgets.Box(children, layout={"flex_flow": flex_flow, "align_items": "center", **layout})


def listening_page(test: ListeningTest) -> str:
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


def listening_panel(test: ListeningTest) -> widgets.Widget:
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

"""The widgets of the studio: how they look, and nothing of what they do.

They work with ipywidgets 7.7 (Colab) and 8.
"""

from __future__ import annotations

import html
from numbers import Integral, Real

import ipywidgets as widgets

from utils.checkpoints import CHECKPOINTS
from utils.files import shorten
from utils.player import NO_MATHS
from utils.prompts import MAX_SEED
from utils.tokenizer import PROBE

from .takes import SCHEDULERS, Take

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
ROW = "0 0 auto"
COLUMN = "1 1 330px"  # controls stand in as many columns of this width as there is room for
ERROR = "color:var(--jp-error-color1,#c62828);font-weight:600"


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
            "recording": widgets.Text(continuous_update=False, placeholder="a sound file to begin with, or nothing"),
            "strength": widgets.FloatSlider(0.7, min=0.05, max=1.0, step=0.05),
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
        prompt, negative, steps, length, guidance, seed, *others = self.controls.values()
        seed_and_dice = wrapping(seed, self.dice, flex=COLUMN, flex_flow="row nowrap")
        self.view = widgets.VBox(
            [
                prompt,
                negative,
                wrapping(steps, length, guidance, seed_and_dice, *others),
                wrapping(self.go, self.stop, self.expected, self.progress),
                self.status,
                self.stage,
                self.history,
            ],
            layout={"max_width": "1100px"},
        )

    @property
    def settings(self) -> dict:
        """What the controls say; an empty negative prompt is None, and without a recording there is no strength."""
        values = {name: control.value for name, control in self.controls.items()}
        settings = {name: round(v, 2) if isinstance(v, float) else v for name, v in values.items()}  # sliders add 1e-15
        if not settings["recording"].strip():
            del settings["recording"], settings["strength"]
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

    def mimebundle(self) -> dict:
        """The panel for a notebook; without a kernel, what its controls say."""
        said = [(name, shorten(str(value))) for name, value in self.settings.items()]
        rows = "".join(f"<tr><td>{name}</td><td>{html.escape(value)}</td></tr>" for name, value in said)
        return {
            WIDGET_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id},
            "text/plain": f"Studio: {', '.join(f'{name}={value}' for name, value in said)}",
            "text/html": f"<p>The widgets need a running kernel: run this cell. They say:</p><table>{rows}</table>",
        }

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

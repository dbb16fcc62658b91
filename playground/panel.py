"""Build the widgets of the studio, without their actions.

They work with ipywidgets 7.7 (Colab) and 8.
"""

from __future__ import annotations

import ipywidgets as widgets

from utils.checkpoints import CHECKPOINTS, PROBE
from utils.checks import check_float, check_int, check_str
from utils.generation import MAX_SEED

from .takes import SCHEDULERS, Take

COLUMN = "1 1 440px"  # controls stand in as many columns of this width as there is room for


class Panel:
    """The studio's widgets: `controls` by the parameter's name, buttons, messages, the output and the history."""

    def __init__(self):
        names = [name for name, known in CHECKPOINTS.items() if not known.is_mini or known.folder.is_dir()]
        self.controls = {
            "prompt": widgets.Textarea(value=PROBE, rows=3, continuous_update=False),
            "negative_prompt": widgets.Text(continuous_update=False, placeholder="what not to hear"),
            "num_inference_steps": widgets.IntSlider(10, 1, 200),
            "audio_length_in_s": widgets.FloatSlider(5.0, min=0.5, max=20.0, step=0.01, readout_format=".2f"),
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
            control.layout = widgets.Layout(
                width="auto", min_width="0", flex="0 0 auto" if "prompt" in name else COLUMN
            )
        self.go = widgets.Button(description="Generate", button_style="primary", layout={"width": "110px"})
        self.stop = widgets.Button(description="Cancel", disabled=True, layout={"width": "110px"})
        self.dice = widgets.Button(description="🎲", tooltip="another seed", layout={"flex": "0 0 44px"})
        self.progress = widgets.IntProgress(0, 0, 10, layout={"flex": COLUMN, "width": "auto"})
        self.expected, self.status = widgets.HTML(), widgets.HTML()
        self.stage, self.history = widgets.Output(), widgets.VBox()
        prompt, negative, steps, length, guidance, seed, *others = self.controls.values()
        seed_and_dice = wrapping(seed, self.dice, flex=COLUMN, flex_flow="row nowrap")
        numbers = wrapping(steps, length, guidance, seed_and_dice, *others)
        buttons = wrapping(self.go, self.stop, self.expected, self.progress)
        rows = [prompt, negative, numbers, buttons, self.status, self.stage, self.history]
        self.view = widgets.VBox(rows, layout={"max_width": "1100px"})

    @property
    def settings(self) -> dict:
        """The controls' values; an empty negative prompt is None, and without a recording there is no strength."""
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
        """Return the value in its control's type; raise TypeError or ValueError if it does not fit."""
        if name not in self.controls:
            raise TypeError(f"The studio has no {name!r}: it has {', '.join(self.controls)}.")
        control = self.controls[name]
        if hasattr(control, "options"):
            if value not in control.options:
                raise ValueError(f"{name} must be one of {', '.join(control.options)}, not {value!r}.")
            return value
        if hasattr(control, "max"):
            in_range = check_int if isinstance(control.value, int) else check_float
            return in_range(name, value, control.min, control.max)
        return "" if value is None else check_str(name, value)

    def expect(self, seconds: float | None) -> None:
        """Show the expected seconds of a take beside the buttons."""
        text = "not timed yet" if seconds is None else f"expected: {seconds:.1f} s"
        self.expected.value = f'<span style="padding:0 8px">{text}</span>'

    def busy(self, working: bool) -> None:
        """Enable Cancel while a job runs or waits, Generate otherwise."""
        self.go.disabled, self.stop.disabled = working, not working

    def show(self, thing) -> None:
        """Show a take or a comparison on the stage."""
        output = {"output_type": "display_data", "data": thing._repr_mimebundle_(), "metadata": {}}
        self.stage.outputs = (output,)  # not `with self.stage:`, which is for the main thread only


class Row(widgets.Box):
    """A take in the history: its difference from the take before, and buttons."""

    def __init__(self, take: Take, before: Take | None = None):
        differs, said = (f"{take.number} · {take.difference(other)}" for other in (before, None))
        self.show = widgets.Button(description=differs, tooltip=f"show it above: {said}", layout={"flex": COLUMN})
        self.use = widgets.Button(description="use", tooltip="put its settings on the panel")
        self.compare = widgets.ToggleButton(description="compare", tooltip="side by side with others")
        self.keep = widgets.Button(description="keep", tooltip="write its sound, settings and code")
        super().__init__([self.show, self.use, self.compare, self.keep], layout={"flex_flow": "row wrap"})
        for button in self.children:
            button.layout.width = "auto"


def wrapping(*children: widgets.Widget, flex_flow: str = "row wrap", **layout) -> widgets.Box:
    """Return widgets side by side, wrapped into rows."""
    return widgets.Box(children, layout={"flex_flow": flex_flow, "align_items": "center", **layout})

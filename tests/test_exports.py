"""A lesson outside of notebooks: as LaTeX (and so as PDF and Word), as a script, as slides, with all its figures."""

from __future__ import annotations

import base64
import io

import nbformat
import numpy as np
import pytest
from nbconvert import LatexExporter
from nbconvert.nbconvertapp import NbConvertApp
from nbformat import NotebookNode
from PIL import Image

from tools import lessons
from utils import Clip, compare, plots


def clip(seconds: float = 1.0) -> Clip:
    wave = np.sin(np.arange(int(16000 * seconds)) * 0.2) * 0.5
    return Clip(wave, settings={"prompt": "a 鐘 “bell” $x$", "seed": 3, "checkpoint": "mini-l"})


@pytest.fixture(scope="module")
def notebook() -> NotebookNode:
    """A notebook that shows each kind of thing that has a figure."""
    things = [clip(), compare([clip(), clip(0.4), clip(2), clip()]), plots.waveform(clip()), plots.spectrogram(clip())]
    cells = []
    for thing in things:
        bundle = thing._repr_mimebundle_()
        output = nbformat.v4.new_output("execute_result", data=bundle, execution_count=1)
        cells.append(nbformat.v4.new_code_cell("thing", outputs=[output], execution_count=1))
    made = lessons._normalised(nbformat.v4.new_notebook(cells=cells))
    nbformat.validate(made)
    return made


def test_latex_has_every_figure(notebook):
    text, resources = LatexExporter().from_notebook_node(notebook)
    pictures = [data for name, data in resources["outputs"].items() if name.endswith(".png")]
    assert len(pictures) == len(notebook.cells) == text.count(r"\adjustimage")
    for data in pictures:
        with Image.open(io.BytesIO(data)) as image:
            assert image.width >= 500 and len(image.getcolors(256)) > 3


def test_a_clip_is_small_beside_its_player(notebook):
    for cell in notebook.cells[:2]:
        data = cell.outputs[0].data
        assert len(data["image/png"]) < 0.6 * len(data["text/html"])


@pytest.mark.parametrize("exporter", ["script", "python", "markdown", "slides", "html"])
def test_nbconvert_writes_what_its_name_says(notebook, tmp_path, exporter):
    source = tmp_path / "lesson.ipynb"
    nbformat.write(notebook, source)
    app = NbConvertApp()  # the command `jupyter nbconvert`
    app.initialize(["--to", exporter, str(source)])
    app.start()
    ending = {"script": ".py", "python": ".py", "markdown": ".md", "slides": ".slides.html", "html": ".html"}[exporter]
    text = (tmp_path / f"lesson{ending}").read_text(encoding="utf-8")
    assert text.count("<audio") == (0 if ending == ".py" else 5)  # players, not beside pictures of them


@pytest.mark.parametrize("path", lessons.lessons(), ids=lambda path: path.stem)
def test_every_figure_of_a_lesson_is_stored_for_paper_too(path):
    stored = lessons.read(path)
    assert stored.metadata.language_info.file_extension == ".py"
    for cell in lessons.code_cells(stored):
        for output in cell.outputs:
            data = output.get("data", {})
            if "<img" in data.get("text/html", ""):
                assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG"), cell.source

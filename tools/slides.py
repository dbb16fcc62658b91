"""The lessons as slides, one HTML file each that needs no network: python -m tools.slides [NAME ...]

Arrow keys and the space bar turn the slides; printing gives a page for each. Made by `nbconvert`'s exporter of slides.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from . import lessons

NOT_SHOWN = {*lessons.OURS, "exercise", "solution", "check"}
LONG = 300  # characters of text that leave no room for code and its output


def arranged(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook with slideshow metadata.

    A heading of level 1 or 2 begins a slide; other text a subslide; code goes with the text before it, but begins a
    subslide after outputs and after long text. Set-up, navigation, and of exercises all but the task are not shown.
    """
    notebook = nbformat.from_dict(notebook)
    full = True  # whether the slide is too full for the next code cell
    for cell in notebook.cells:
        if NOT_SHOWN & set(lessons.tags(cell)):
            kind = "skip"
        elif cell.cell_type == "markdown":
            kind = "slide" if cell.source.startswith(("# ", "## ")) else "subslide"
            full = len(cell.source) > LONG
        else:
            kind, full = ("subslide" if full else "-"), bool(cell.outputs)
        cell.metadata["slideshow"] = {"slide_type": kind}
    return notebook


def export(path: Path, folder: Path) -> Path:
    """Write the slides of a lesson into a folder; return the file."""
    from nbconvert import SlidesExporter

    exporter = SlidesExporter(template_name="slides", extra_template_basedirs=[str(Path(__file__).parent)])
    notebook = arranged(lessons.read(path))
    notebook.metadata["title"] = lessons.title(notebook)
    html, _ = exporter.from_notebook_node(notebook)
    file = folder / f"{path.stem}.slides.html"
    file.write_text(html, encoding="utf-8")
    return file


def main() -> None:
    folder = lessons.ROOT / "outputs" / "slides"
    folder.mkdir(parents=True, exist_ok=True)
    for path in lessons.lessons(sys.argv[1:]):
        print(export(path, folder))


if __name__ == "__main__":
    main()

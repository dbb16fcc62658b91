"""What Sphinx reads: the lessons and the docs, arranged as a book in a folder of their own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import lessons

DOCS = ("glossary", "may_i", "teaching", "real", "speed")
TERM = r"^\*\*(.+?)\*\* — (.+)$"  # a line of docs/glossary.md
CHOSEN = r"^mini-\S+ on \S+ in \S+ \(auto.*\)\.?\n?"
LINK = r"(?<!!)\[([^\]\n]+)\]\((?!https?:|mailto:)([^)\s]+)\)"  # to a file of the project, or within this one


def linked(text: str, base: str) -> str:
    """A text whose links hold in the book: to lessons and docs in it, else to the public address, or to nowhere."""
    repo, ref = lessons.address()

    def moved(found: re.Match) -> str:
        words, target = found.groups()
        path, hash_, anchor = target.partition("#")
        if anchor:  # as Jupyter writes it, "Who-taught-the-words?"; as Sphinx does, "who-taught-the-words"
            anchor = re.sub(r"[^\w-]", "", anchor.lower())
        if not path:
            return f"[{words}](#{anchor})"
        place = (lessons.ROOT / base / path).resolve()
        if place == lessons.ROOT / "README.md":
            return f"[{words}](index.md)"
        if place.suffix == ".ipynb" or (place.suffix == ".md" and place.stem in DOCS):
            return f"[{words}]({place.name}{hash_}{anchor})"
        inside = place.relative_to(lessons.ROOT) if place.is_relative_to(lessons.ROOT) else path
        return f"[{words}](https://github.com/{repo}/blob/{ref}/{inside})" if repo else words

    return re.sub(LINK, moved, text)


def chapter(path: Path, terms: dict[str, str]) -> NotebookNode:
    """A lesson without its badges and its links back and forth, its set-up folded, its terms linked once each."""
    terms = dict(terms)  # as a lesson may write it -> as the glossary has it

    def term(found: re.Match) -> str:
        word = found[1].lower().strip(".,:")
        word = terms.pop(word, None) or terms.pop(word.removesuffix("s"), None)
        return f"{{term}}`{found[1]} <{word}>`" if word else found[0]

    notebook = lessons.read(path)
    notebook.cells = [cell for cell in notebook.cells if not {"header", "navigation"} & set(lessons.tags(cell))]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":  # which checkpoint `load_pipeline` took: the captions say it as well
                output.text = re.sub(CHOSEN, "", "".join(output.text), flags=re.M)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("text", "something")]
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\*\*([^*`\n]+)\*\*", term, linked(cell.source, "notebooks"))
            cell.source = cell.source.replace("](../docs/", "](")  # pictures: links have been rewritten
        if "setup" in lessons.tags(cell):
            cell.metadata["tags"] = ["setup", "hide-cell"]
            words = {"show": "Show the set-up cell", "hide": "Hide the set-up cell"}
            cell.metadata["mystnb"] = {f"code_prompt_{way}": text for way, text in words.items()}
    return notebook


def arrange(folder: Path, board: str) -> None:
    """Fill a folder with everything that Sphinx reads, but for its settings and what is not text.

    `board` is the HTML of the sound board on the first page.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    docs = {name: linked((lessons.ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8"), "docs") for name in DOCS}
    entries = re.findall(TERM, docs["glossary"], re.M)  # for Sphinx's own glossary: its words can be linked and found
    lines = [f"{word}\n  {meaning[0].upper()}{meaning[1:]}\n" for word, meaning in entries]
    docs["glossary"] = "\n".join([docs["glossary"].partition("\n**")[0], "```{glossary}", *lines, "```", ""])
    terms = {re.sub(r" \(.*\)$", "", word).lower(): word for word, _ in entries}
    cards = []
    for path in lessons.lessons():
        notebook = chapter(path, terms)
        nbformat.write(notebook, folder / path.name)
        promise = lessons.read(path).cells[0].source.partition("\n")[2].strip().split("\n\n")[0].replace("\n", " ")
        cards.append(f"1. **[{lessons.title(notebook)}]({path.name})** {linked(promise, 'notebooks')}")
    for picture in lessons.ROOT.glob("docs/*.webp"):
        shutil.copy(picture, folder)
    for name, text in docs.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    front = (Path(__file__).parent / "index.md").read_text(encoding="utf-8")
    front = front.replace("<!-- board -->", board).replace("<!-- cards -->", "\n".join(cards))
    (folder / "index.md").write_text(front, encoding="utf-8")

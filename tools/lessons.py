"""Write, run and check the lessons. The notebooks are the source; this tool keeps them uniform.

    python -m tools.lessons execute [NAME ...]     run on the mini checkpoint and store the outputs
    python -m tools.lessons inject                 write set-up cell, header, navigation, README's table
    python -m tools.lessons check                  list the lessons' faults; runs no lesson
    python -m tools.lessons stamp OWNER/NAME REF   set the public address, then inject
    python -m tools.lessons from-py FILE NAME      a py:percent file becomes notebooks/NAME.ipynb, without outputs
    python -m tools.lessons to-py NAME FILE        and back
    python -m tools.lessons demo                   lesson 01, headless: a sound and a page in outputs/

NAME is the beginning of a lesson's file name, such as 01.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.notebook import FOLDED, OURS, _normalised, code_cells, exercise_problems, output_text, read, tags, write

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SETUP_CELL = ROOT / "tools" / "setup_cell.py"
ENVIRONMENT = {  # in which stored outputs are made and compared, on every machine
    "AUDIOLDM_CHECKPOINT": "mini-s-v2",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "TOKENIZERS_PARALLELISM": "false",
    "AUDIOLDM_PROGRESS": "0",  # bars of trainings say how long it takes: no two runs print the same
}
CELL_TIMEOUT = 1200  # seconds, far above the needs of a busy machine


def lessons(names: list[str] | tuple[str, ...] = ()) -> list[Path]:
    """Return the files of the lessons in order; with names, those whose file name begins with one of them."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    for name in names:
        if not any(path.name.startswith(name) for path in found):
            raise SystemExit(f"No lesson begins with {name!r}; there are: {', '.join(path.stem for path in found)}.")
    return [path for path in found if not names or path.name.startswith(tuple(names))]


# ---- running ------------------------------------------------------------


def run(notebook: NotebookNode, folder: Path = NOTEBOOKS, environment: dict[str, str] | None = None) -> NotebookNode:
    """Return an executed copy of the notebook, run in `folder` under ENVIRONMENT (and `environment` on top).

    Raises nbclient's CellExecutionError, CellTimeoutError or DeadKernelError.
    """
    from nbclient import NotebookClient

    copy = nbformat.from_dict(json.loads(json.dumps(notebook)))
    for cell in code_cells(copy):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        copy,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=40"],  # errors only: the kernel's advice is not the lesson's
    )
    return client.execute(env={**os.environ, **ENVIRONMENT, **(environment or {})})


def execute(*names: str) -> None:
    """Run lessons and store their outputs, unless something in them must not be stored."""
    for path in lessons(names):
        start = time.perf_counter()
        notebook = run(read(path), environment={"AUDIOLDM_VERIFY": "1"})  # the live book's settings: utils/player.py
        seconds = time.perf_counter() - start
        if found := problems(notebook):
            raise SystemExit(f"{path.name} was run and is not stored: " + "; ".join(found))
        write(path, notebook)
        print(f"{path.name}: {seconds:.0f} s, {path.stat().st_size / 1e6:.2f} MB")


def demo() -> None:
    """Run lesson 01 without a browser; write outputs/techno.wav and outputs/01_first_sound.html."""
    from nbconvert import HTMLExporter

    (path,) = lessons(["01"])
    sound, page = ROOT / "outputs" / "techno.wav", ROOT / "outputs" / f"{path.stem}.html"
    sound.unlink(missing_ok=True)
    print(f"Running {path.relative_to(ROOT)} on the checkpoint mini-s-v2 ...", flush=True)
    start = time.perf_counter()
    html, _ = HTMLExporter().from_notebook_node(run(read(path)))
    page.write_text(html, encoding="utf-8")
    if not sound.is_file():
        raise SystemExit(f"{path.name} ran, but did not save {sound.relative_to(ROOT)}.")
    print(f"The sound:   {sound}\nThe lesson:  {page}\nAll of it took {time.perf_counter() - start:.0f} s.")


# ---- the cells that are the same everywhere ------------------------------------------------------------


def address() -> tuple[str, str]:
    """Return the project's public address and version, (REPO, REF), as stamped into the set-up cell."""
    return re.search(r'^REPO, REF = "(.*)", "(.*)"', SETUP_CELL.read_text(encoding="utf-8"), re.M).groups()


def stamp(repo: str, ref: str = "main") -> None:
    """Write the public address into the set-up cell, and inject it."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo) or not re.fullmatch(r"[\w./-]+", ref):
        raise SystemExit(f"The address must be OWNER/NAME and a tag, branch or commit, not {repo!r} and {ref!r}.")
    text = SETUP_CELL.read_text(encoding="utf-8")
    text = re.sub(r'^REPO, REF = ".*", ".*"', f'REPO, REF = "{repo}", "{ref}"', text, flags=re.M)
    SETUP_CELL.write_text(text, encoding="utf-8", newline="\n")
    print(f"The project's address is now {repo} at {ref}.")
    inject()


def title(notebook: NotebookNode) -> str:
    """Return the title of a lesson: the first line of its first cell, without the mark of a heading."""
    return notebook.cells[0].source.splitlines()[0].removeprefix("# ").strip()


def badge(path: Path) -> str:
    """Return the Colab badge of a lesson, or nothing where the project has no public address yet."""
    repo, ref = address()
    link = f"https://colab.research.google.com/github/{repo}/blob/{ref}/notebooks/{path.name}"
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({image})]({link})" if repo else ""


def _injected(path: Path, notebook: NotebookNode, titles: dict[Path, str]) -> NotebookNode:
    """Return the notebook with its header, set-up and navigation cells; stored outputs stay."""
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    setup = next((cell for cell in notebook.cells if "setup" in tags(cell)), nbformat.v4.new_code_cell())
    setup.source, setup.metadata = SETUP_CELL.read_text(encoding="utf-8"), {"tags": ["setup"], **FOLDED}
    order = list(titles)
    at = order.index(path)
    links = [f"[← {titles[p]}]({p.name})" for p in order[max(at - 1, 0) : at]] + ["[all lessons](../README.md)"]
    links += [f"[{titles[p]} →]({p.name})" for p in order[at + 1 : at + 2]]

    def markdown(tag: str, text: str) -> NotebookNode:
        return nbformat.v4.new_markdown_cell(text, metadata={"tags": [tag]})

    cells = [cell for cell in notebook.cells if not set(OURS) & set(tags(cell))]
    first_code = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    cells.insert(first_code, setup)
    cells.insert(
        1, markdown("header", " · ".join(filter(None, [badge(path), f"Lesson {at + 1} of {len(order)}", *links])))
    )
    cells.append(markdown("navigation", "---\n" + " · ".join(links)))
    notebook.cells = cells
    return _normalised(notebook)


def _table(titles: dict[Path, str], notebooks: dict[Path, NotebookNode]) -> str:
    """Return README's table: title, minutes and the beginning of the promise of each lesson."""
    rows = ["| Lesson | Minutes | What you will do |", "| --- | --- | --- |"]
    for path, name in titles.items():
        promise = notebooks[path].cells[0].source.partition("\n")[2].strip().split("\n\n")[0].replace("\n", " ")
        promise = re.match(r".{60,}?[.!?](?= |$)|.*", promise)[0]  # whole sentences
        link = f"[{path.stem[:2]} {name}](notebooks/{path.name})"
        text = "\n".join(cell.source for cell in notebooks[path].cells if cell.cell_type == "markdown")
        minutes = re.search(r"\*\*Time\*\* (\d+) minutes", text)
        rows.append(f"| {' '.join(filter(None, [link, badge(path)]))} | {minutes[1] if minutes else ''} | {promise} |")
    return "\n".join(rows)


def _generated() -> dict[Path, str | NotebookNode]:
    """Return the right content of every file that `inject` writes."""
    notebooks = {path: read(path) for path in lessons()}
    titles = {path: title(notebook) for path, notebook in notebooks.items()}
    files: dict[Path, str | NotebookNode] = {p: _injected(p, n, titles) for p, n in notebooks.items()}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = re.sub(r"(?<=\ngit clone https://github\.com/)\S+", f"{address()[0] or 'OWNER/NAME'}.git", readme)
    parts = re.split(r"(<!-- lessons: .*?-->\n).*?(\n<!-- end of lessons -->)", readme, flags=re.S)
    files[ROOT / "README.md"] = "".join([*parts[:2], "\n", _table(titles, notebooks), "\n", *parts[2:]])
    return files


def inject() -> None:
    """Write the header, set-up and navigation cells of every lesson, and README's table of lessons."""
    for path, content in _generated().items():
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8", newline="\n")
        else:
            write(path, content)


# ---- checks ------------------------------------------------------------


def problems(notebook: NotebookNode) -> list[str]:
    """Return the faults of a stored lesson: errors, wrong magics, shell commands, unrun cells, paths of a machine."""
    found = []
    cells = code_cells(notebook)
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        found.append("its cells were not run in order, once each: run `make lessons`")
    machine = [str(ROOT), str(Path.home()) + os.sep, tempfile.gettempdir() + os.sep, "/home/", "/Users/", "\\Users\\"]
    for cell in cells:
        where = f"cell {cell.execution_count}"
        if re.search(r"^\s*(!|%pip|%%bash|%%sh|%%script)", cell.source, re.M):
            found.append(f"{where}: a shell command, whose failure would pass unnoticed")
        text = "\n".join(map(output_text, cell.outputs))
        if "UsageError:" in text:
            found.append(f"{where}: a magic that does not exist")
        if any(output.output_type == "error" for output in cell.outputs) and "raises-exception" not in tags(cell):
            found.append(f"{where}: an error among its outputs")
        found += [f"{where}: the path {path!r} of one machine" for path in machine if path in text]
    return found


def check() -> list[str]:
    """Return the faults of all lessons, one sentence each."""
    found = []
    for path, content in _generated().items():
        if isinstance(content, str):
            if content != path.read_text(encoding="utf-8"):
                found.append(f"{path.name} differs from its generated form: run `python -m tools.lessons inject`.")
            continue
        stored = read(path)
        if content != _normalised(read(path)):
            found.append(f"{path.name}: header, set-up or navigation differ: run `python -m tools.lessons inject`.")
        found += [f"{path.name}: {problem}." for problem in problems(stored) + exercise_problems(stored)]
    return found


# ---- authoring as text ------------------------------------------------------------


def from_py(file: str | Path, name: str) -> None:
    """Write notebooks/NAME.ipynb from a py:percent file, which must begin with a title in a text cell."""
    import jupytext

    path = NOTEBOOKS / f"{name.removesuffix('.ipynb')}.ipynb"
    if not re.fullmatch(r"\d\d_\w+", path.stem):
        raise SystemExit(f"A lesson is named like 01_first_sound, not {name!r}.")
    try:
        notebook = jupytext.reads(Path(file).read_text(encoding="utf-8-sig"), fmt="py:percent")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{file} cannot be read: {error}.") from None
    first = notebook.cells[0] if notebook.cells else nbformat.v4.new_raw_cell()
    if first.cell_type != "markdown" or not re.match(r"# \S", first.source) or not code_cells(notebook):
        raise SystemExit(
            f"{file} is no lesson: it needs code, and a title in its first cell (`# %% [markdown]`, `# # Hear it`)."
        )
    write(path, notebook)
    inject()
    print(f"Wrote {path} without outputs: run `python -m tools.lessons execute {path.stem[:2]}`.")


def to_py(name: str, file: str | Path) -> None:
    """Write a lesson as a py:percent file, without outputs and the cells that `inject` writes."""
    import jupytext

    (path,) = lessons([name])
    notebook = read(path)
    notebook.cells = [cell for cell in notebook.cells if not set(OURS) & set(tags(cell))]
    for cell in notebook.cells:
        cell.metadata = {"tags": tags(cell)} if tags(cell) else {}
    notebook.metadata = {"jupytext": {"notebook_metadata_filter": "-all"}}
    Path(file).write_text(jupytext.writes(notebook, fmt="py:percent"), encoding="utf-8")


def print_faults() -> None:
    """Print the faults of all lessons; exit with 1 where there is one."""
    found = check()
    print("\n".join(found) or "The lessons are as they should be.")
    sys.exit(bool(found))


COMMANDS = {"execute": execute, "inject": inject, "check": print_faults, "stamp": stamp, "demo": demo}
COMMANDS |= {"from-py": from_py, "to-py": to_py}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs="*")
    given = parser.parse_args()
    COMMANDS[given.command](*given.arguments)


if __name__ == "__main__":
    main()

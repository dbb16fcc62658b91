"""The promises of the house: commands, requirements, licences, links, size, and that `utils` stays small and taught."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import lessons

ROOT = lessons.ROOT
LESSONS = {path.stem[:2]: path for path in lessons.lessons()}
OWN = {"utils", "playground", "mini", "tools", "tests"}
LONGEST = {"utils": 250, "playground": 250}  # lines of a file; 350 elsewhere


def command(*arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def tracked() -> tuple[Path, ...]:
    """Return the files of the clone: everything that git does not ignore."""
    names = command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return tuple(path for name in names if name and (path := ROOT / name).is_file())


def texts() -> dict[Path, str]:
    kinds = {".py", ".md", ".txt", ".toml", ".cfg", ".cff", ".ipynb", ".json", ".sh", ".yml", ""}
    return {path: path.read_text(encoding="utf-8") for path in tracked() if path.suffix in kinds}


# ---- commands ------------------------------------------------------------


def test_make_alone_lists_every_command_and_each_can_be_planned():
    listed = re.findall(r"^  make ([\w-]+) +\S", command("make"), re.M)
    (phony,) = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert listed and phony.split() == listed
    for name in listed:
        assert command("make", "--dry-run", name, "REPO=owner/name", "FOLDER=handed-in").strip(), name
    named = {name for text in markdown().values() for name in re.findall(r"`make ([a-z][a-z-]*)", text)}
    assert {"demo", "test"} <= named <= {*listed}


def test_stamping_writes_the_address_everywhere_and_a_bad_one_nowhere(tmp_path, monkeypatch):
    for name, path in {"ROOT": tmp_path, "NOTEBOOKS": tmp_path, "SETUP_CELL": tmp_path / "setup_cell.py"}.items():
        monkeypatch.setattr(lessons, name, path)
    for path in ("README.md", "tools/setup_cell.py"):
        shutil.copy(ROOT / path, tmp_path)
    first = [nbformat.v4.new_markdown_cell("# Hear it\n\nNow."), nbformat.v4.new_code_cell("1")]
    lesson = tmp_path / "01_hear.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=first), lesson)
    lessons.stamp("first/name")
    lessons.stamp("owner/name", "v1.0")
    badge = "colab.research.google.com/github/owner/name/blob/v1.0/notebooks/01_hear.ipynb"
    assert badge in lesson.read_text() and badge in (tmp_path / "README.md").read_text()
    assert 'REPO, REF = "owner/name", "v1.0"' in lessons.read(lesson).cells[2].source
    everything = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert not any(b"first/name" in content for content in everything.values())
    with pytest.raises(SystemExit, match="OWNER/NAME"):
        lessons.stamp("not an address", "v1")
    assert all(path.read_bytes() == content for path, content in everything.items())


# ---- requirements ------------------------------------------------------------

ALL_REQUIREMENTS = ["requirements.txt", "requirements-dev.txt", "site/requirements.txt"]


def requirements(*files: str) -> list[Requirement]:
    lines = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in files).splitlines()
    return [Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0].strip()]


def imports(code: str) -> set[str]:
    """Return the top-level names that Python code imports from outside the standard library."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found - sys.stdlib_module_names - {"__future__"}


def sources(folder: str) -> dict[Path, str]:
    """Return the Python code of a folder; of lessons without the magics."""
    if folder != "notebooks":
        return {path: path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")}
    code = {path: [cell.source for cell in lessons.code_cells(lessons.read(path))] for path in LESSONS.values()}
    return {path: re.sub(r"^\s*%.*$", "", "\n".join(cells), flags=re.M) for path, cells in code.items()}


@pytest.mark.parametrize("folder", ["notebooks", "utils", "playground", "mini", "tools", "tests"])
def test_everything_imported_is_required(folder):
    files = ["requirements.txt"] if folder == "notebooks" else ALL_REQUIREMENTS
    asked = {canonicalize_name(requirement.name) for requirement in requirements(*files)}
    distributions = packages_distributions()
    optional = {"google", "pip"}  # there on Colab only; there wherever something must be installed
    for path, code in sources(folder).items():
        for name in imports(code) - OWN - optional - {file.stem for file in path.parent.glob("*.py")}:
            owners = {canonicalize_name(owner) for owner in distributions.get(name, [name])}
            assert owners & asked, f"{path.name} imports {name}, which no requirements file asks for"


@pytest.mark.parametrize(
    ("folder", "above"),
    [("utils", {"playground", "mini", "tools", "tests"}), ("playground", {"mini", "tools", "tests"}),
     ("mini", {"playground", "tools", "tests"}), ("notebooks", {"tools", "tests"})],
)  # fmt: skip
def test_imports_point_one_way(folder, above):
    for path, code in sources(folder).items():
        assert not imports(code) & above, path.name


def test_no_files_import_each_other_in_a_circle_of_any_length():
    graph: dict[str, set[str]] = {}
    for path, code in {path: code for folder in OWN for path, code in sources(folder).items()}.items():
        own = path.relative_to(ROOT).with_suffix("").parts
        found = graph[".".join(own)] = set()
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom):
                base = [*own[: len(own) - node.level]] if node.level else []
                base += (node.module or "").split(".") if node.module else []
                found |= {".".join(base), *(".".join([*base, alias.name]) for alias in node.names)}
    files = {name for name in graph if not name.endswith("__init__")}
    graphlib.TopologicalSorter({name: graph[name] & files for name in files}).prepare()  # CycleError names the circle


def test_no_file_is_long():
    lines = {path: code.count("\n") for folder in OWN for path, code in sources(folder).items()}
    long = {path.name for path, n in lines.items() if n > LONGEST.get(path.relative_to(ROOT).parts[0], 350)}
    assert not long, long


# ---- documents ------------------------------------------------------------


def test_no_machine_and_no_package_host_is_named():
    words = [str(ROOT), f"{Path.home()}/", f"{tempfile.gettempdir()}/", "/home/", "index" + "-url", "find" + "-links"]
    allowed = {"test_house.py", "test_setup.py", "lessons.py"}  # they look for such paths
    found = [f"{path.name}: {word}" for path, text in texts().items() for word in words if word in text]
    assert [line for line in found if line.split(":")[0] not in allowed] == []


def markdown() -> dict[Path, str]:
    """Return all prose: documents, and the markdown cells of the lessons."""
    found = {path: text for path, text in texts().items() if path.suffix == ".md"}
    for path in LESSONS.values():
        found[path] = "\n\n".join(c.source for c in lessons.read(path).cells if c.cell_type == "markdown")
    return found


def test_links_lead_somewhere():
    for path, text in markdown().items():
        text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
        for link in re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", text):
            if "://" in link:
                assert re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}(/[^\s\"<>]*)?", link), f"{path.name}: {link}"
            elif not link.startswith(("#", "attachment:")):
                assert (path.parent / link.partition("#")[0]).exists(), f"{path.name}: {link}"


def test_the_code_in_documents_and_its_imports_are_there():
    modules = set()
    for text in markdown().values():
        for block in re.findall(r"^ *```python\n(.*?)^ *```", text, re.S | re.M):
            nodes = ast.walk(ast.parse(textwrap.dedent(block)))
            statements = [ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
            for statement in [statement for statement in statements if imports(statement) & OWN]:
                exec(statement, {})
        modules |= set(re.findall(r"python -m ((?:tools|tests|mini)[.]\w+)", text))
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


def test_pictures_in_prose_have_alt_text():
    for path, text in markdown().items():
        assert not re.findall(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")[^>]*>", text), path.name


def test_nothing_is_kept_that_the_commands_make():
    assert command("git", "ls-files", "--cached", "--ignored", "--exclude-standard") == ""


def test_the_clone_is_small():
    """What a clone fetches counts, however this one is packed."""
    files = sum(path.stat().st_size for path in tracked())
    pack = ["git", "pack-objects", "--revs", "--stdout", "-q"]
    history = len(subprocess.run(pack, input=b"HEAD", cwd=ROOT, capture_output=True, check=True).stdout)
    assert files < 66e6 and 1e6 < history < 90e6, (files, history)


# ---- every system and every Python ------------------------------------------------------------


def test_a_clone_by_git_for_windows_has_the_bytes_of_every_other():
    asked = command("git", "check-attr", "text", "eol", "--", "Makefile", ".ci/run", "a.py", "a.safetensors", "a.wav")
    values = [line.split(": ")[2] for line in asked.splitlines()]
    assert values == ["auto", "lf"] * 3 + ["unset", "lf"] * 2


def test_continuous_integration_runs_a_readers_commands_on_every_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert any("'test-all' || 'test'" in step.get("run", "") for step in steps)


def test_import_utils_waits_for_nothing_heavy():
    heavy = "import sys, utils; print(sorted({'torch', 'diffusers', 'librosa', 'matplotlib'} & set(sys.modules)))"
    assert command(sys.executable, "-c", heavy) == "[]\n"

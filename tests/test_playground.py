"""The playground's house: small files, light to import, and imports that point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import playground

FILES = sorted(Path(playground.__file__).parent.glob("*.py"))


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, also for type hints, with a dot before the playground's own."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    names = {"." * node.level + (node.module or "") for node in nodes if node.module}
    return names | {f".{alias.name}" for node in nodes if not node.module for alias in node.names}


def test_files_are_small_and_import_only_utils_and_each_other_without_circles():
    below = {path.stem: imports(path) for path in FILES}
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 250 for path in FILES)
    assert not {name.split(".")[0] for names in below.values() for name in names} & {"mini", "tools", "tests"}
    own = {stem: {name[1:] for name in names if name.startswith(".")} for stem, names in below.items()}
    assert set().union(*own.values()) <= set(below)
    TopologicalSorter(own).prepare()  # raises CycleError


def test_a_listening_test_needs_no_torch():
    code = "import sys, playground; playground.ABX, playground.pool; print({'torch', 'diffusers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=FILES[0].parents[1])
    assert done.stdout == "set()\n", done.stderr

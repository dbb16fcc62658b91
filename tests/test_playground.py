"""The playground's house: small files, light to import, and imports that point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import playground

FILES = sorted(Path(playground.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_small_and_imports_only_utils_and_what_stands_below_it(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    modules = [node.module or "" for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert not {module.split(".")[0] for module in modules} & {"mini", "tools", "tests", "notebooks"}


def test_no_two_files_import_each_other():
    below = {}
    for path in FILES:
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
        ]
        typing = [n for block in ast.walk(ast.parse(path.read_text())) if _is_typing(block) for n in ast.walk(block)]
        names = {(n.lineno, n.module) for n in typing if isinstance(n, ast.ImportFrom)}
        below[path.stem] = {n.module for n in nodes if n.level == 1 and n.module and (n.lineno, n.module) not in names}
        below[path.stem] |= {a.name for n in nodes if n.level == 1 and not n.module for a in n.names}

    def reaches(start: str, goal: str, seen: frozenset = frozenset()) -> bool:
        return any(n == goal or (n not in seen and reaches(n, goal, seen | {n})) for n in below.get(start, ()))

    assert not [name for name in below if reaches(name, name)]


def _is_typing(block: ast.AST) -> bool:
    return isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"


def test_a_listening_test_needs_no_torch():
    code = "import sys, playground; playground.ABX, playground.pool; print({'torch', 'diffusers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=FILES[0].parents[1])
    assert done.stdout == "set()\n", done.stderr

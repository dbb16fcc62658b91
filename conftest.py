"""pytest's settings for both runs: strict nbval over the lessons, and the unit tests."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

pytest_plugins = ["tools.printed"]

START = str(Path(__file__).parent / "tests" / "start")  # see there
if START not in os.environ.get("PYTHONPATH", ""):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [START, os.environ.get("PYTHONPATH")]))


def pytest_configure(config: pytest.Config) -> None:
    if config.option.nbval:  # the lessons' kernels inherit it
        from tools.lessons import ENVIRONMENT  # not above: pytest wants to load tools.printed itself

        os.environ.update(ENVIRONMENT)


_put_out: dict[str, dict[int, list]] = {}  # of the lessons of outputs/proof: what each cell put out


def pytest_runtest_teardown(item: pytest.Item) -> None:
    if item.path.parent.name == "proof" and getattr(item, "test_outputs", None) is not None:
        _put_out.setdefault(str(item.path), {})[item.cell_num] = item.test_outputs


def pytest_sessionfinish() -> None:
    if _put_out:
        from tests import trials  # see there
        from tools import lessons

        for path, cells in _put_out.items():
            of = trials.state(lessons.read(lessons.Path(path)))
            kept = lessons.Path(path).with_suffix(".json")
            kept.write_text(json.dumps({"of": of, "cells": cells}), encoding="utf-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # what takes longest begins, so that none is left alone at the end; the others stay in order
    first = ["proof/08_", "proof/02_", "proof/06_", "proof/07_", "proof/03_", "tests/test_standin", "browser/"]
    units = ["classroom", "hub_", "setup", "lessons", "mini", "sweep", "studio", "isolation", "gpu_check", "loading"]
    first += [f"tests/test_{name}" for name in units]

    def place(item: pytest.Item) -> int:
        path = f"{item.path.parent.name}/{item.path.name}"
        return next((n for n, begins in enumerate(first) if path.startswith(begins)), len(first))

    items.sort(key=place)
    if any("gpu" in item.keywords for item in items):
        import torch

        if not torch.cuda.is_available():
            for item in items:
                if "gpu" in item.keywords:
                    item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list) -> None:
    from tests import forked  # see there

    for spec in specs:
        if spec.popen:  # on this machine
            spec.python = shlex.quote(forked.python())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Processes share the tests file by file, for what those of a file share; and never start two browsers.

    By hand: xdist 3.8 knows groups only by the names of tests, which pytest 9.2 no longer lets it change.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "browser" if file.startswith("tests/browser/") else file

    config.option.loadscopereorder = False
    return ByFile(config, log)

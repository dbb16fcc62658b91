"""The first cell of every lesson installs missing packages, and never torch: a package index of tiny wheels."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.test_setup import CELL, READY, copy_project, refusal, run
from utils.loading import TESTED_DIFFUSERS


def wheel(folder: Path, name: str, number: str, requires: str = "") -> None:
    info = f"{name}-{number}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{number}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"number = {number!r}\n")
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n{needs}")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def machine(tmp_path) -> dict[str, str]:
    """An environment of its own that also sees all that is installed here, and an index with tempting versions."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    paths = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    packages = Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))
    (packages / "all.pth").write_text("\n".join(site.getsitepackages()))
    index = tmp_path / "index"
    index.mkdir()
    for name in ("torch", "numpy", "ipywidgets", "diffusers"):
        wheel(index, name, "99.0", "")
    wheel(index, "diffusers", TESTED_DIFFUSERS)
    wheel(index, "probe_easy", "1.0", "torch>=2")
    wheel(index, "probe_greedy", "1.0", "torch>=99")
    with zipfile.ZipFile(index / "diffusers-99.0-py3-none-any.whl") as newer:  # where the class is gone
        newer.extractall(tmp_path / "newer")
    python = Path(sysconfig.get_path("scripts", scheme="venv", vars=paths)) / Path(sys.executable).name
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
    return {"python": str(python), "packages": str(packages), **pip}


VERSIONS = """
from importlib.metadata import version
print(*(version(name) for name in ("torch", "numpy", "ipywidgets")))
"""


def test_missing_packages_are_installed_and_torch_numpy_and_ipywidgets_stay(tmp_path, machine):
    project = copy_project(tmp_path / "project", "probe-easy>=1.0")
    done = run(CELL + "import probe_easy\n" + VERSIONS, project, **machine)
    here = " ".join(version(name) for name in ("torch", "numpy", "ipywidgets"))
    assert done.stdout == f"Installing probe-easy>=1.0\n{READY}\n{here}\n", done.stderr
    assert run(CELL, project, **machine).stdout == f"{READY}\n"


@pytest.mark.parametrize("wish", ["probe-greedy>=1.0", "torch>=99"])
def test_torch_is_never_replaced(tmp_path, machine, wish):
    project = copy_project(tmp_path / "project", wish)
    assert wish in refusal(CELL, project, **machine)
    assert run(VERSIONS, project, **machine).stdout.split()[0] == version("torch")


@pytest.mark.parametrize("imported", [False, True])
def test_a_diffusers_that_dropped_the_class_is_replaced_and_asks_for_a_restart_where_it_is_in_use(
    tmp_path, machine, imported
):
    """Hosted notebooks install their own diffusers: one that is newer than the tested ones."""
    project = copy_project(tmp_path / "project")
    shutil.copytree(tmp_path / "newer", machine["packages"], dirs_exist_ok=True)
    if imported:
        assert "restart" in refusal("import diffusers\n" + CELL, project, **machine)
    else:
        done = run(CELL + "import diffusers\nprint(diffusers.number)", project, **machine)
        assert f"{READY}\n{TESTED_DIFFUSERS}\n" in done.stdout, done.stderr
    assert run(CELL, project, **machine).stdout == f"{READY}\n"

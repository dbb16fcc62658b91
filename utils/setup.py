"""Complete a lesson's first cell: install the packages that are missing, and never replace torch.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .checkpoints import FETCH

ROOT = Path(__file__).parents[1]
OWN_MACHINE = "# What runs and checks them"  # the part of requirements.txt from here on is not for a hosted notebook
KEEP = ("torch", "numpy", "ipywidgets")  # changing one needs a restart, or kills the widgets


def prepare() -> None:
    """Make the project the working folder, its packages importable and `outputs` ready; prints what it does.

    Installs only what `requirements.txt` asks for and is missing, or is outside the tested range, with torch, numpy
    and ipywidgets held at the version that is there.

    Raises RuntimeError, in one sentence: torch, numpy or ipywidgets is missing or too old; pip failed; a package was
    replaced while this kernel was using it; `outputs` cannot be made.
    """
    os.chdir(ROOT)
    if missing := _missing():
        _install(missing)
    try:
        Path("outputs").mkdir(exist_ok=True)
    except OSError as error:
        raise RuntimeError(f"The lessons save to `outputs`, which cannot be made: {error}") from None
    if (ROOT / ".git" / "info" / "sparse-checkout").is_file():  # a hosted notebook's clone, with one of the minis
        FETCH[:] = [fetch]
    print("Ready: the project is found, and its packages are installed.")


def fetch(folder: Path) -> None:
    """Fetch a folder of the project that the set-up cell's clone left out."""
    print(f"Fetching {folder.name} ...")
    place = folder.relative_to(ROOT).as_posix()
    subprocess.run(["git", "sparse-checkout", "add", place], cwd=ROOT, capture_output=True, timeout=600)


def _missing() -> list:
    """List the lessons' requirements that are not installed, or not in their range."""
    from packaging.requirements import Requirement

    def is_met(requirement: Requirement) -> bool:
        try:
            return requirement.specifier.contains(version(requirement.name), prereleases=True)
        except PackageNotFoundError:
            return False

    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split(OWN_MACHINE)[0].splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [requirement for requirement in wanted if not is_met(requirement)]


def _install(missing: list) -> None:
    if kept := [str(requirement) for requirement in missing if requirement.name in KEEP]:
        raise RuntimeError(
            f"The lessons need {', '.join(kept)} and never install it: do so with pip, or run `make lab`."
        )
    in_use = [requirement.name for requirement in missing if requirement.name.replace("-", "_") in sys.modules]
    wanted = [str(requirement) for requirement in missing]
    print("Installing", ", ".join(wanted))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *wanted, *(f"{name}=={version(name)}" for name in KEEP)]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise RuntimeError(f"{', '.join(wanted)} could not be installed: {reason}")
    importlib.invalidate_caches()
    if in_use:
        raise RuntimeError(f"{', '.join(in_use)} was replaced while in use: restart the kernel and run this again.")

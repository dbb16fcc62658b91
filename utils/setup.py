"""What the first cell of a lesson calls: installs what is missing, and never what a hosted notebook must keep.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
OWN_MACHINE = "# What runs and checks them"  # the part of requirements.txt from here on is not for a hosted notebook
KEEP = ("torch", "numpy", "ipywidgets")  # changing one needs a restart, or kills the widgets

DRIVE = Path("/content/drive")  # where Colab shows a learner's Google Drive
ON_DRIVE = "MyDrive/audioldm-outputs"


def _missing() -> list:
    """The requirements of the lessons that are not installed, or not in the asked range."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        from pip._vendor.packaging.requirements import Requirement
    wanted = REQUIREMENTS.read_text(encoding="utf-8").split(OWN_MACHINE)[0].splitlines()
    missing = []
    for requirement in (Requirement(line) for line in wanted if line and not line.startswith("#")):
        try:
            found = requirement.specifier.contains(version(requirement.name), prereleases=True)
        except PackageNotFoundError:
            found = False
        if not found:
            missing.append(requirement)
    return missing


def _install(missing: list) -> None:
    kept = [f"{name}=={version(name)}" for name in KEEP]
    wanted = [str(requirement) for requirement in missing]
    print("Installing", ", ".join(wanted))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *wanted, *kept]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise RuntimeError(f"{', '.join(wanted)} could not be installed: {reason}")
    importlib.invalidate_caches()


def _move_outputs_to_drive() -> None:
    """Make `outputs` a link into Google Drive, with what it held already."""
    try:
        from google.colab import drive
    except ImportError:
        raise RuntimeError("Only Google Colab can save to Drive: set SAVE_TO_DRIVE = False.") from None
    drive.mount(str(DRIVE))
    kept, outputs = DRIVE / ON_DRIVE, Path("outputs")
    kept.mkdir(parents=True, exist_ok=True)
    if outputs.is_dir() and not outputs.is_symlink():
        shutil.copytree(outputs, kept, dirs_exist_ok=True)
        shutil.rmtree(outputs)
    if not outputs.is_symlink():
        outputs.symlink_to(kept)
    print(f"What the lessons save goes to your Drive: {ON_DRIVE}")


def fetch_part(folder: Path) -> bool:
    """Fetch a folder of the project that the set-up cell's clone left out; whether it is there now.

    Such a clone holds one of the four minis: the others come when a lesson asks for them.
    """
    root = REQUIREMENTS.parent
    if not (root / ".git" / "info" / "sparse-checkout").is_file() or not folder.is_relative_to(root):
        return folder.is_dir()
    print(f"Fetching {folder.name} ...")
    git = ["git", "sparse-checkout", "add", folder.relative_to(root).as_posix()]
    try:
        subprocess.run(git, cwd=root, capture_output=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return folder.is_dir()


def prepare(save_to_drive: bool = False) -> None:
    """Make the lessons' packages importable and the folder `outputs` ready; prints one line.

    With `save_to_drive`, which asks for permission, `outputs` lies in Google Drive: a disconnect loses nothing, and
    a sweep goes on in the next session where it was.

    Installs only what `requirements.txt` asks for and is missing, with torch, numpy and ipywidgets held at
    the version that is there.

    Raises:
        RuntimeError: torch, numpy or ipywidgets is missing or too old; pip failed; a package was replaced
            while this kernel was using it; this is not Colab and has no Drive; or `outputs` cannot be written.
            Each in one sentence.

    Explained in lesson 01.
    """
    missing = _missing()
    for requirement in missing:
        if requirement.name in KEEP:
            raise RuntimeError(f"The lessons need {requirement} and never install it: see README.md for how to.")
    if missing:
        in_use = [requirement.name for requirement in missing if requirement.name.replace("-", "_") in sys.modules]
        _install(missing)
        if still := _missing():
            raise RuntimeError(f"pip reported success, but {', '.join(map(str, still))} is still not to be found.")
        if in_use:
            raise RuntimeError(f"{', '.join(in_use)} was replaced while in use: restart the kernel and run this again.")
    try:
        if save_to_drive:
            _move_outputs_to_drive()
        Path("outputs").mkdir(exist_ok=True)
    except OSError as error:
        raise RuntimeError(f"The lessons save to `outputs`, which cannot be made: {error}") from None
    print("Ready: the project is found, and its packages are installed.")

"""The tests on another set of versions: `make matrix SET=colab`. Says which Python it takes, and what it lacks.

    python tools/matrix.py SET [unit|lessons ...]     by default both: unit tests, and every lesson compared

A set is a file of constraints whose first lines say the Python it is for, and what cannot be installed with it:
"# python: 3.13" and "# without: nbgrader (why)". Needs nothing but the standard library.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("torch", "diffusers", "transformers", "huggingface_hub", "numpy", "librosa", "ipywidgets", "ipython")
RUNS = {"lessons": "nbval", "unit": "unit"}  # what make calls them


def head(text: str, key: str) -> str:
    """What a set's first lines say of `key`."""
    found = re.search(rf"^# {key}: (.*)$", text, re.M)
    return found[1] if found else ""


def python(version: str) -> str:
    """An interpreter of this version: the one that runs, one on the path, or one of pyenv's."""
    if not version or version == "{}.{}".format(*sys.version_info):
        return sys.executable
    places = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    for place in filter(None, places):
        asked = subprocess.run([place, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True)
        if asked.stdout.decode().strip() == version:
            return str(place)
    raise SystemExit(f"This set is for Python {version}, which is not here: install it, as `pyenv install {version}`.")


def install(name: str, text: str) -> Path:
    """The environment `.venv-NAME` with this set; its Python."""
    venv, constraints = ROOT / f".venv-{name}", ROOT / "constraints" / f"{name}.txt"
    own = venv / "bin" / "python"
    if not own.exists():
        subprocess.run([python(head(text, "python")), "-m", "venv", venv], check=True)
    without = set(re.findall(r"[\w-]+", head(text, "without").split("(")[0])) - {"and"}
    wanted = [
        line
        for file in ("requirements.txt", "requirements-dev.txt")
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#") and re.match(r"[\w-]+", line)[0] not in without
    ]
    pip = [own, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--constraint", constraints, *wanted]
    subprocess.run(pip, check=True)
    for ready in ("lessons-ready", "test-ready"):  # make would try to install what the set lacks
        (venv / ready).touch()
    return own


def main() -> int:
    sets = sorted(path.stem for path in (ROOT / "constraints").glob("*.txt"))
    name, *runs = sys.argv[1:] or [""]
    if name not in sets or set(runs) - set(RUNS):
        raise SystemExit(f"usage: make matrix SET={'|'.join(sets)}, or python tools/matrix.py SET [unit|lessons]")
    text = (ROOT / "constraints" / f"{name}.txt").read_text(encoding="utf-8")
    own = install(name, text)
    ask = f"from importlib.metadata import version as v; import sys; print(sys.version.split()[0], *map(v, {SHOWN}))"
    versions = subprocess.run([own, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    print(f"{name}: " + ", ".join(map(" ".join, zip(("Python", *SHOWN), versions, strict=True))))
    print(f"It lacks {head(text, 'without') or 'nothing'}.", flush=True)
    results, failed = [], 0
    for run in runs or RUNS:
        command = ["make", RUNS[run], f"VENV=.venv-{name}", f"CONSTRAINTS=constraints/{name}.txt"]
        test = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        last = ""
        for line in test.stdout:
            print(line, end="", flush=True)
            last = line.strip(" =\n") if re.search(r"\d (passed|failed|error)", line) else last
        failed += test.wait() != 0
        results.append(f"{run}: {last}")
    print(f"| `{name}` | {' | '.join(versions)} | {date.today()} | {'; '.join(results)} |")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

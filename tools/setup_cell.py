# Set-up, the same in every lesson: finds the project (or fetches it) and installs only what is missing.
import os
import subprocess
import sys
from pathlib import Path

REPO, REF = "", "main"  # the project's public address and version
FOLDER = "audioldm-notebooks"  # where it goes in an empty folder
SAVE_TO_DRIVE = False  # @param {type:"boolean"}


def find_project():
    here = Path.cwd()
    places = [here, *here.parents, *sorted(here.glob(FOLDER + "*"))]
    return next((p for p in places if (p / "utils" / "setup.py").is_file() and (p / "mini").is_dir()), None)


def fetch_project():
    if not REPO:
        raise RuntimeError("The project is not here: open the lesson from its clone, or put the clone beside it.")
    address = REPO if ":" in REPO else f"https://github.com/{REPO}.git"
    part = Path(".part-" + FOLDER)  # renamed when complete, so that a broken download is never used
    part.mkdir(exist_ok=True)
    for command in (["init"], ["fetch", "--depth=1", address, REF], ["checkout", "--force", "FETCH_HEAD"]):
        done = subprocess.run(["git", *command], cwd=part, capture_output=True, text=True)
        if done.returncode:
            reason = done.stderr.strip().split("\n")[0]
            raise RuntimeError(f"The project could not be fetched from {address}: {reason}")
    return part.rename(FOLDER).resolve()


project = find_project() or fetch_project()
if "utils" in sys.modules and not str(sys.modules["utils"].__file__).startswith(str(project)):
    raise RuntimeError("Another module named `utils` is loaded already: restart the kernel and run this cell first.")
os.chdir(project)
sys.path.insert(0, str(project))
from utils.setup import prepare

prepare(SAVE_TO_DRIVE)

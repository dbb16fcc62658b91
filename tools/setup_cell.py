# @title Set-up, the same in every lesson: finds the project or fetches it, and installs only what is missing
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread
from urllib.parse import unquote
from urllib.request import urlopen, urlretrieve

REPO, REF = "", "main"  # the project's public address and version
FOLDER = "audioldm-notebooks"  # where it goes in an empty folder
PARTS = ["utils", "playground", "notebooks/sounds", "mini/checkpoints/mini-s-v2", "mini/checkpoints/mini-clap"]
SAVE_TO_DRIVE = False  # @param {type:"boolean"}


def find_project():
    here = Path.cwd()
    places = [here, *here.parents, *sorted(here.glob(FOLDER + "*"))]
    return next((p for p in places if (p / "utils" / "setup.py").is_file() and (p / "mini").is_dir()), None)


def ask_colab(found):  # from which repository on GitHub it opened this lesson: unofficial, so nothing is taken on trust
    with contextlib.suppress(Exception):
        service = f"http://{socket.gethostbyname(socket.gethostname())}:9000/api/sessions"
        said = unquote(urlopen(service, timeout=3).read(99_999).decode())
        link = r"fileId=https://github\.com/(\w[\w.-]*/\w[\w.-]*)/blob/(\w[\w./-]*)/notebooks/\w+\.ipynb\b"
        found += {pair for pair in re.findall(link, said) if ".." not in "".join(pair)}


def address():
    found = [(REPO, REF)] if REPO else []
    if not REPO and "google.colab" in sys.modules:
        asking = Thread(target=ask_colab, args=[found], daemon=True)
        asking.start()
        asking.join(4)  # seconds
    if len(found) != 1:
        raise RuntimeError("The project is not here: open the lesson from its clone, or put the clone beside it.")
    repo, ref = found[0]
    return repo if ":" in repo else f"https://github.com/{repo}", ref


def fetch_project():
    origin, ref = address()
    part = Path(".part-" + FOLDER)  # renamed when complete, so that a broken download is never used
    shutil.rmtree(part, ignore_errors=True)
    if not shutil.which("git"):
        try:
            archive, _ = urlretrieve(f"{origin.removesuffix('.git')}/archive/{ref}.zip")
            shutil.unpack_archive(archive, part, "zip")
        except (OSError, shutil.ReadError) as error:
            raise RuntimeError(f"The project could not be fetched from {origin}: {error}") from None
        done = next(part.iterdir()).rename(FOLDER).resolve()
        part.rmdir()
        return done
    part.mkdir()
    for command in (
        ["init", "--quiet"],
        ["remote", "add", "origin", origin],
        ["fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", ref],
        ["sparse-checkout", "init", "--cone"],
        ["sparse-checkout", "set", *PARTS],  # of the checkpoints only what makes the first sounds and scores them
        ["checkout", "--quiet", "--force", "FETCH_HEAD"],
    ):
        done = subprocess.run(["git", *command], cwd=part, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or "git said nothing").split("\n")[0]
            raise RuntimeError(f"The project could not be fetched from {origin}: {reason}")
    return part.rename(FOLDER).resolve()


project = find_project() or fetch_project()
if "utils" in sys.modules and not str(sys.modules["utils"].__file__).startswith(f"{project}{os.sep}"):
    raise RuntimeError("Another module named `utils` is loaded already: restart the kernel and run this cell first.")
os.chdir(project)
sys.path.insert(0, str(project))
from utils.setup import prepare

prepare(SAVE_TO_DRIVE)

# @title Set-up, the same in every lesson: finds the project or fetches it, and installs only what is missing
import importlib, re, shutil, socket, subprocess, sys  # noqa: E401, I001
from pathlib import Path
from urllib import parse, request

REPO, REF = "", "main"  # the project's public address and version
PARTS = "/requirements.txt /utils /playground /notebooks/sounds /mini/*.py /mini/*/mini-s-v2 /mini/*/mini-clap"
places = [Path.cwd(), *Path.cwd().parents, *sorted(Path.cwd().glob("audioldm-notebooks*"))]
project = next((p for p in places if (p / "utils" / "setup.py").is_file() and (p / "mini").is_dir()), None)
if not (project or REPO):
    try:  # Colab knows where it opened this lesson; it does not promise to tell, so its answer must have the right form
        importlib.import_module("google.colab")
        said = request.urlopen(f"http://{socket.gethostbyname(socket.gethostname())}:9000/api/sessions", timeout=3)
        link = r"fileId=https://github\.com/(\w[\w.-]*/\w[\w.-]*)/blob/(\w[\w./-]*)/notebooks/\w+\.ipynb\b"
        ((REPO, REF),) = set(re.findall(link, parse.unquote(said.read(99_999).decode())))
    except (ImportError, OSError, ValueError):
        raise RuntimeError("The project is not here: open the lesson from its clone, or put it beside it.") from None
if not project:
    address, part = REPO if ":" in REPO else f"https://github.com/{REPO}", ".part-audioldm-notebooks"
    shutil.rmtree(part, ignore_errors=True)
    clone = "clone -q --sparse --depth=1 --filter=blob:none -c core.sparseCheckout=1 -c core.sparseCheckoutCone=0"
    for command in (f"{clone} --branch={REF} {address} {part}", f"-C {part} sparse-checkout set {PARTS}"):
        done = subprocess.run(["git", *command.split()], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"The project could not be fetched from {address}: {done.stderr.partition(chr(10))[0]}")
    project = Path(part).rename("audioldm-notebooks").resolve()
if "utils" in sys.modules and not str(sys.modules["utils"].__file__).startswith(str(project / "utils")):
    raise RuntimeError("Another module named `utils` is loaded already: restart the kernel and run this cell first.")
sys.path.insert(0, str(project))
importlib.import_module("utils.setup").prepare()

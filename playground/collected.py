"""The files of a folder as people hand them in: in subfolders and zips, beside what systems leave there."""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

LARGEST = 300 * 2**20  # bytes that one file may have, unpacked
DEEPEST = 4  # zips within zips
SYSTEMS = {"__macosx", "desktop.ini", "thumbs.db", "ehthumbs.db", "icon\r", "$recycle.bin", "@eadir", "__pycache__"}
SYSTEMS |= {".ds_store", ".ipynb_checkpoints", ".git", ".venv", ".trash", ".trashes", ".spotlight-v100", ".fseventsd"}
BESIDE = re.compile(r"~\$|\._|\.~lock|\.nfs")
APPLE_DOUBLE = b"\x00\x05\x16\x07"  # how the file begins that a Mac lays beside another one, as `._` and its name


@dataclass(frozen=True)
class Found:
    """One file: its `path` within the folder (a zip counts as a folder), its bytes, or why there are none."""

    path: PurePosixPath
    data: bytes = field(default=b"", repr=False)
    changed: float = 0.0  # when it was last changed, in seconds
    trouble: str = ""

    @property
    def is_of_a_system(self) -> bool:
        """Whether a system or a program made it, and no human."""
        if SYSTEMS & {part.lower() for part in self.path.parts} or self.data.startswith(APPLE_DOUBLE):
            return True
        name = self.path.name
        return bool(BESIDE.match(name)) and not (name.startswith("._") and self.data.lstrip()[:1] in (b"{", b"t", b'"'))


def collected(place: str | Path) -> Iterator[Found]:
    """Every file of a folder, its subfolders and the zips in them, or of one zip, sorted by name.

    What cannot be read has its `trouble` in words. Nothing is written, wherever the names in a zip point to.
    """
    place = Path(place).expanduser()
    files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    for path in files:
        inside = PurePosixPath(*path.relative_to(place).parts) if place.is_dir() else PurePosixPath(path.name)
        try:
            changed, size = path.stat().st_mtime, path.stat().st_size
            if SYSTEMS & {part.lower() for part in inside.parts}:
                yield Found(inside, changed=changed)  # which need not be read
            elif size > LARGEST:
                yield Found(inside, changed=changed, trouble=f"it is larger than {LARGEST / 2**20:.0f} MB")
            else:
                yield from _opened(inside, path.read_bytes(), changed)
        except OSError as error:
            yield Found(inside, trouble=f"it cannot be read: {error.strerror}")


def _opened(path: PurePosixPath, data: bytes, changed: float, depth: int = 0) -> Iterator[Found]:
    """The file, or, of a zip, the files in it."""
    if path.suffix.lower() != ".zip" or Found(path, data).is_of_a_system:
        yield Found(path, data, changed)
        return
    if depth == DEEPEST:
        yield Found(path, changed=changed, trouble=f"it is a zip in more than {DEEPEST} others")
        return
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, OSError, ValueError):
        yield Found(path, changed=changed, trouble="it is damaged, or no zip")
        return
    with archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            parts = [part for part in re.split(r"[/\\]", entry.filename) if part not in ("", ".", "..")]
            inside = path / PurePosixPath(*parts)
            try:
                if entry.file_size > LARGEST:
                    raise ValueError(f"it is larger than {LARGEST / 2**20:.0f} MB")
                content, when = archive.read(entry), _seconds(entry.date_time, changed)
            except Exception as error:  # damaged, encrypted, packed in an unknown way
                yield Found(inside, changed=changed, trouble=f"it cannot be unpacked: {error}")
                continue
            yield from _opened(inside, content, when, depth + 1)


def _seconds(moment: tuple[int, ...], otherwise: float) -> float:
    try:
        return datetime(*moment).timestamp() if moment[0] > 1980 else otherwise  # 1980 is a zip's "unknown"
    except (ValueError, OverflowError, OSError):
        return otherwise


def as_text(data: bytes) -> str:
    """Text in whatever way a system or a spreadsheet has stored it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def plain(name: str) -> str:
    """A name as people see it: the same letters in one form, no control characters, single spaces."""
    seen = unicodedata.normalize("NFC", str(name))
    seen = "".join(" " if unicodedata.category(c)[0] in "ZC" and c != "\u200d" else c for c in seen)
    return " ".join(seen.split())

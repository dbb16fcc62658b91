"""The notebooks that students hand in: one per student and lesson, or a sentence why a file is not graded.

Two conventions count, in a folder or in zips: `NAME_LESSON.ipynb` and `NAME/LESSON.ipynb`. NAME may stand in the form
that Moodle (`Ada Lovelace_1234_assignsubmission_file_`) or Canvas (`lovelaceada_12345_678910_`) gives it. Any other
name is refused, not interpreted.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

from playground.answers import is_junk, is_placeholder, plain

FORMS = [  # of a path, for a student NAME; behind the name that a platform gives, another one does not count
    r"(?P<name>[^/]+?)_\d+_assignsubmission_(?:file|onlinetext)(?:[_/](?:.*[_/])?)LESSON(?:-\d+)?\.ipynb",  # Moodle
    r"(?P<name>[^/_\d][^/_]*)_(?:LATE_)?\d{3,}_\d{3,}_(?:.*[_/])?LESSON(?:-\d+)?\.ipynb",  # Canvas
    r"(?P<name>[^/]+)_LESSON\.ipynb",
    r"(?P<name>[^/]+)/(?:(?P=name)_)?LESSON\.ipynb",
]
NO_NAMES = {"audioldm", "notebooks", "notebook", "submitted", "submission", "submissions", "final", "copy", "homework"}
NO_NAMES |= {"solution", "solutions", "answers", "release", "source", "download", "downloads", "untitled", "outputs"}
NO_NAMES |= {"hw", "lab", "week", "lesson", "exercise", "exercises", "assignment", "class", "course"}
NO_NAMES |= {"kopie", "copie", "copia", "kopia"}
RENAME = "name it NAME_LESSON.ipynb or NAME/LESSON.ipynb, such as ada_01_first_sound.ipynb"
AGAIN = "save it in Jupyter (File, Download), and hand that in"


@dataclass(frozen=True)
class HandIn:
    """A file that was handed in; `note` says why it is not graded, "" if it is."""

    path: PurePosixPath
    student: str = ""
    lesson: str = ""
    notebook: NotebookNode | None = None
    note: str = ""


def identifier(name: str) -> str:
    """Return a portable, unique folder name for a student: the name itself if it is simple, else with a digest."""
    simple = re.sub(r"[^\w.-]+", "-", name).strip(".-_")[:40]
    reserved = re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", simple)
    if simple == name == name.lower() and not reserved:
        return name
    return f"{simple or 'student'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def hand_ins(place: Path, released: dict[str, NotebookNode]) -> list[HandIn]:
    """Return all files of a folder, its subfolders and zips, but for those of operating systems and editors.

    `released` are the notebooks that the students were given, by lesson. Two files of one student and lesson are both
    refused, since the names do not say which one counts.
    """
    found = [_hand_in(*file, released) for file in sorted(_files(place), key=lambda file: file[0])]
    count = Counter((one.student.casefold(), one.lesson) for one in found)
    note = "there are several of this student: leave the one that counts, and give namesakes different names"
    return [
        replace(one, notebook=None, note=note) if one.student and count[one.student.casefold(), one.lesson] > 1 else one
        for one in found
    ]


def _files(place: Path) -> Iterator[tuple[PurePosixPath, bytes, str]]:
    """Yield path, bytes and trouble of each file; the zip of a class is its folder, any other one a folder in it."""
    if place.is_file():
        yield from _opened(PurePosixPath(place.name), place.read_bytes, PurePosixPath())
    for path in filter(Path.is_file, place.rglob("*")):
        name = PurePosixPath(path.relative_to(place).as_posix())
        yield from _opened(name, path.read_bytes, name.with_suffix(""))


def _opened(name: PurePosixPath, read: Callable[[], bytes], folder: PurePosixPath, depth: int = 0) -> Iterator:
    """Yield the file; of a zip, which is not unpacked, the files in it as if they were in this folder."""
    if is_junk(name):
        return
    try:
        data = read()
        if name.suffix.lower() != ".zip" or depth > 1:
            yield name, data, ""
            return
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                inside = folder.joinpath(*(p for p in re.split(r"[/\\]", entry.filename) if p not in ("", ".", "..")))
                if not entry.is_dir():
                    yield from _opened(inside, partial(archive.read, entry), inside.with_suffix(""), depth + 1)
    except Exception:  # not to be read, damaged, encrypted, or packed in an unknown way
        yield name, b"", "it cannot be read or unpacked"


def _hand_in(path: PurePosixPath, data: bytes, trouble: str, released: dict[str, NotebookNode]) -> HandIn:
    """Return the file with its student, lesson and notebook, or with a note."""
    student, lesson = _names(path, released)
    if not student:
        return HandIn(path, note=trouble or ("it is no notebook" if path.suffix != ".ipynb" else RENAME))
    one = HandIn(path, student, lesson)
    try:
        with warnings.catch_warnings():  # cells without ids, as Colab stores them, get some
            warnings.simplefilter("ignore")
            _, notebook = nbformat.validator.normalize(nbformat.reads(data.decode("utf-8-sig"), as_version=4))
            nbformat.validate(notebook)
        marks = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]
    except Exception:  # whatever it is, it is no notebook
        return replace(one, note=f"{trouble or 'it is no notebook, or damaged'}: {AGAIN}")
    given = [cell.metadata.get("nbgrader", {}) for cell in released[lesson].cells]
    lost = [mark["grade_id"] for mark in given if mark.get("solution") and mark["grade_id"] not in marks]
    if lost:
        return replace(one, note=f"the cell of {', '.join(lost)} is deleted or has lost its mark: {AGAIN}")
    return replace(one, notebook=notebook)


def _names(path: PurePosixPath, lessons: Iterable[str]) -> tuple[str, str]:
    """Return student and lesson; empty if the path does not follow a convention, or its name is no student's."""
    text = "/".join(map(plain, path.parts))
    for form, lesson in product(FORMS, lessons):
        if match := re.fullmatch(form.replace("LESSON", re.escape(lesson)), text):
            name = match["name"]
            words = set(re.findall(r"[a-z]+", name.casefold()))
            is_text = not any("\ud800" <= letter <= "\udfff" for letter in name)
            return (name, lesson) if is_text and not is_placeholder(name) and not words & NO_NAMES else ("", "")
    return "", ""

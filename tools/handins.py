"""What students hand in, whatever it is called: whose it is, which lesson it is, and which of several counts.

Understood are the names that Moodle, Canvas, Blackboard, Brightspace, Google Classroom, nbgrader, browsers and Macs
make, whole unpacked projects, and zips.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from nbformat import NotebookNode

from playground.collected import Found, collected, plain

from .repair import lesson_of, opened, repaired

PLATFORMS = [  # how a learning platform writes the name and the number of a person before what was handed in
    re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_(?:file|onlinetext)(?:_.*)?", re.I),  # Moodle
    re.compile(r"(?P<name>[^_]+?)(?:_LATE)?_(?P<number>\d{2,})_\d{2,}(?:_.*)?", re.I),  # Canvas
    re.compile(r"(?:.+_)?(?P<name>[^_]+)_attempt_\d{4}-[\d-]+(?P<number>)(?:_.*)?", re.I),  # Blackboard
    re.compile(r"(?P<number>\d+)-\d+ - (?P<name>.+?) - .+"),  # Brightspace
]
WORDS = (  # of folders and files that name no person
    *(r"\(\d+\)", r"copy ?\d*", "copy of", "copie de", "copie", "copia de", "copia", "kopie von", "kopie", "final"),
    *("finished", "done", "new", "old", "latest", "draft", r"v\d+", r"version \d*", "solutions?", "solved", "answers?"),
    *(r"attempt \d*", "submissions?", "submitted files", "submitted", "students?", "student work", "uploads?", "main"),
    *("handed in", "hand ?ins?", "attachments?", r"attachment\(s\)", "files?", r"home ?works? ?\d*", r"hw ?\d*"),
    *(r"assignments? ?\d*", r"exercises? ?\d*", r"lab \d+", r"lessons? ?\d*", r"week ?\d+", "notebooks?", "audioldm"),
    *("downloads?", "desktop", "documents", "archive", r"untitled\d*"),
)
WORD = "(?:" + "|".join(word.replace(" ", "[ _-]*") for word in WORDS) + ")"
NOBODY = re.compile(rf"[\W_]*(?:{WORD}[\W_]*)*", re.I)
COPY = re.compile(r"(?:[\W_]*(?:\(\d+\)|[-_ ](?:copy|kopie|copie|copia) ?\d*))+$", re.I)  # behind the name of a file
ENDINGS = re.compile(r"(\.(ipynb|json|txt|zip|html?|pdf|py|docx))+$", re.I)
AGAIN = "save the notebook again (File, Download .ipynb), and hand that in"


@dataclass(frozen=True)
class HandIn:
    """One file: its student, its notebook if it is a lesson, and in `note` what the student should know of it."""

    student: str
    lesson: str
    path: PurePosixPath
    notebook: NotebookNode | None = None
    note: str = ""
    changed: float = 0.0
    number: str = ""  # that a learning platform gave the student


def identifier(name: str) -> str:
    """A name as a folder, on every system: itself where it is a simple one, else with a digest. No two have one."""
    simple = re.sub(r"[^\w.-]+", "-", name).strip(".-_")[:40]
    reserved = re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", simple)
    if simple == name == name.lower() and not reserved:
        return name
    return f"{simple or 'student'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def hand_ins(place: Path, released: dict[str, NotebookNode]) -> tuple[list[HandIn], list[str]]:
    """What was handed in, one for each student and lesson, and the names of the files that no human made.

    `released` is what the students were given, by lesson. A row without a lesson says in its note what was left out.
    """
    found, systems = [], []
    for file in collected(place):  # one at a time: whole projects hold more than memory does
        if file.is_of_a_system:
            systems.append(str(file.path))
        else:
            found.append(_read(file, released))
    found = _named(found, place, released)
    return _newest(found) + _left_out(found), systems


def _read(file: Found, released: dict[str, NotebookNode]) -> HandIn:
    """The file as a notebook made whole, or the reason why it is none."""
    lesson = _lesson(file.path.name, released)[0]
    one = HandIn("", lesson, file.path, changed=file.changed)
    if file.trouble:
        return replace(one, note=f"not graded: {file.trouble}: {AGAIN}")
    is_named = re.search(r"\.ipynb(\.\w+)?$", file.path.name, re.I)
    if not is_named and not (file.data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"{" and b'"cells"' in file.data):
        return replace(one, lesson="", note="it is no notebook (.ipynb)")
    notebook, why = opened(file.data)
    if notebook is None:
        return replace(one, note=f"not graded: {why}: {AGAIN}")
    lesson = lesson_of(notebook, released, lesson)
    if not lesson:
        return replace(one, note="it is none of the lessons")
    return replace(one, lesson=lesson, notebook=repaired(notebook, released[lesson]))


# ---- whose it is


def _lesson(file: str, lessons: Iterable[str]) -> tuple[str, list[str]]:
    """The lesson that a name speaks of, and what stands before and behind it; "" and all of it where there is none."""
    stem = ENDINGS.sub("", plain(file))
    for lesson in lessons:
        pattern = r"(?<!\d)" + "[_ -]+".join(map(re.escape, lesson.split("_"))) + r"(?![a-z])"
        if match := re.search(pattern, stem, re.I):
            return lesson, [stem[: match.start()], stem[match.end() :]]
    return "", [stem]


def _people(path: PurePosixPath, lessons: Iterable[str]) -> tuple[list[str], str]:
    """The parts of a path that may name a person, and the number that a learning platform gave that person."""
    names, number = [], ""
    for part in path.parts:
        lesson, pieces = _lesson(part, lessons)
        for place, piece in enumerate(pieces):
            piece = piece.strip(" _-.,") if lesson else piece.strip()
            if match := next(filter(None, (platform.fullmatch(piece) for platform in PLATFORMS)), None):
                piece, number = match["name"], number or match["number"]
            if part == path.name:
                piece = COPY.sub("", piece)
            is_copy = lesson and place == 1 and re.fullmatch(r"\d", piece)  # 01_first_sound-1.ipynb
            if not is_copy and not NOBODY.fullmatch(piece) and piece not in names:
                names.append(piece)
    return names, number


def _named(found: list[HandIn], place: Path, lessons: Iterable[str]) -> list[HandIn]:
    """The hand-ins with their students: all parts of the path that name somebody, but for folders that all share."""
    paths = [one.path if one.lesson or len(one.path.parts) < 2 else one.path.parent for one in found]
    people = [_people(path, lessons) for path in paths]
    of_lessons = [names for one, (names, _) in zip(found, people, strict=True) if one.lesson]
    shared = 0
    while len({tuple(names[: shared + 1]) for names in of_lessons}) == 1 and len({*map(tuple, of_lessons)}) > 1:
        shared += 1
    named = []
    nameless = [one.lesson for one, (names, _) in zip(found, people, strict=True) if one.lesson and not names]
    for one, (names, number) in zip(found, people, strict=True):
        student, note = " / ".join(names[shared:] or names), one.note
        around = "".join(_lesson(one.path.name, lessons)[1])
        if not names and (nameless.count(one.lesson) > 1 or re.search(r"[^\W\d_]", around)):  # whose it is, none says
            student = " / ".join([*one.path.parts[:-1], ENDINGS.sub("", one.path.name)])
            note = note or "the name of the file does not say whose it is"
        named.append(replace(one, student=plain(student) or place.resolve().name, note=note, number=number))
    numbers = defaultdict(set)
    for one in named:
        numbers[one.student, one.lesson].add(one.number)
    namesakes = {student for (student, _), several in numbers.items() if len(several - {""}) > 1}
    return [
        replace(one, student=f"{one.student} ({one.number})") if one.number and one.student in namesakes else one
        for one in named
    ]


# ---- what counts


def _newest(found: list[HandIn]) -> list[HandIn]:
    """One for each student and lesson: the newest that is a notebook, with a note that says so."""
    groups = defaultdict(list)
    for one in found:
        if one.lesson:
            groups[one.student, one.lesson].append(one)
    kept = []
    for group in groups.values():
        group.sort(key=lambda one: (one.notebook is not None, round(one.changed), _copy(one.path), one.path))
        last = group[-1]
        if len(group) > 1:
            others = ", ".join(str(one.path) for one in group[:-1])
            said = f"of {len(group)} files the newest counts, {last.path}; left out: {others}"
            last = replace(last, note="; ".join(filter(None, [last.note, said])))
        kept.append(last)
    return kept


def _copy(path: PurePosixPath) -> int:
    number = re.search(r"\((\d+)\)$|-(\d)$", ENDINGS.sub("", path.name))
    return int(number[1] or number[2]) if number else 0


def _left_out(found: list[HandIn]) -> list[HandIn]:
    """A row for everybody of whom nothing is a lesson; beside a lesson, other files need no word."""

    def whose(one: HandIn) -> str:
        return one.path.parts[0] if len(one.path.parts) > 1 else one.student

    served = {whose(one) for one in found if one.lesson} | {one.student for one in found if one.lesson}
    others = defaultdict(list)
    for one in found:
        if whose(one) not in served:
            others[whose(one)].append(one)
    rows = []
    for group in others.values():
        files = ", ".join(f"{one.path} ({one.note})" for one in group[:3])
        more = f" and {len(group) - 3} more" if len(group) > 3 else ""
        rows.append(HandIn(group[0].student, "", group[0].path, note=f"left out: {files}{more}"))
    return rows

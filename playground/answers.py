"""Store the answers of listeners: the CSV file that several tabs and processes may write, and the names in it."""

from __future__ import annotations

import codecs
import csv
import io
import re
import secrets
import unicodedata
import warnings
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pandas as pd

from utils.checks import write_whole

COLUMNS = ["test", "kind", "listener", "trial", "label", "truth", "answer"]
ID = "id"  # column: drawn at random for each file, so that two listeners of one name stay two
HEADER = [*COLUMNS, ID]
PLACEHOLDERS = {"you", "yourname", "yourpseudonym", "name", "pseudonym", "me", "myself", "listener", "student"}
PLACEHOLDERS |= {"anonymous", "anon", "none", "nobody", "user", "guest", "test"}
PAGES = ("utf-8", "cp1252", "cp1250", "mac_roman", "cp1251", "cp1253", "cp1254", "cp1257", "cp932", "gb18030", "cp949")
codecs.register_error("cp1252", lambda e: (e.object[e.start : e.end].decode("cp1252", errors="replace"), e.end))
JUNK = {"__macosx", "desktop.ini", "thumbs.db", "__pycache__"}
SECONDS = 30  # to wait for another process that writes the file


def plain(name: str) -> str:
    """Return a name in NFC, without control characters, with single spaces."""
    seen = unicodedata.normalize("NFC", str(name))
    seen = "".join(" " if unicodedata.category(c)[0] in "ZC" and c != "\u200d" else c for c in seen)
    return " ".join(seen.split())


def is_junk(path: Path) -> bool:
    """Return whether the operating system or an editor created a file (`.DS_Store`, `~$lock`, `__MACOSX/`)."""
    return any(part.startswith((".", "~$")) or part.lower() in JUNK for part in path.parts if part != "..")


def listener_name(name: object) -> str:
    """Return the name in its stored form; raise ValueError for "", "you", and for numbers and formulas.

    A spreadsheet stores `007` as 7 and `=1+1` as 2, so that their answers could not be found again.
    """
    kept = plain(name) if isinstance(name, str) else ""
    if is_placeholder(kept):
        raise ValueError(f"listener must be a name or pseudonym of your own, to tell a class apart, not {name!r}.")
    if kept[0] in "=+-@" or re.fullmatch(r"[ -@\[-`{-~]*(e[ -@]*)?", kept, re.I):  # a formula, a number or a date
        raise ValueError(f"listener must begin with a letter: a spreadsheet would change {name!r}.")
    return kept


def is_placeholder(name: str) -> bool:
    """Return whether many listeners of a class may have this name, or nothing of it is visible."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    seen = [c for c in folded if unicodedata.category(c)[0] in "LNS" and c not in "\u115f\u1160\u2800"]  # not blank
    return "".join(filter(str.isalnum, folded)) in PLACEHOLDERS or not seen


def parse(data: bytes, name: str, listener: str = "") -> pd.DataFrame:
    """Return the answers of a CSV file as strings, one row each, in the columns of HEADER.

    The file may come from a spreadsheet: with semicolons or tabs, in UTF-16 or a code page. Names that a code page
    has changed are restored to `listener`. Rows without an id get the digest of the file.

    Raises ValueError if the file does not hold answers.
    """
    text = as_text(data)
    rows: list[list[str]] = []
    with suppress(csv.Error):
        separator = max(",;\t", key=text.partition("\n")[0].count)
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(row)]
    header = rows[0] if rows else []
    if not {*COLUMNS} <= {*header}:
        raise ValueError(f"{name} does not hold answers of a listening test: its columns are not {', '.join(COLUMNS)}.")
    complete = [dict(zip(header, row, strict=True)) for row in rows[1:] if len(row) == len(header)]
    if len(complete) < len(rows) - 1:
        warnings.warn(f"{name}: {len(rows) - 1 - len(complete)} damaged lines are left out.", stacklevel=2)
    table = pd.DataFrame(complete, columns=[*dict.fromkeys([*header, ID])], dtype=str).fillna("")[HEADER]
    known = next(filter(None, table[ID]), f"f-{sha256(data).hexdigest()[:12]}")
    table[ID] = table[ID].replace("", known)
    changed = _spellings(listener) if listener else set()
    table["listener"] = [listener if plain(name) in changed else plain(name) for name in table.listener]
    return table


def read(path: Path, listener: str = "") -> pd.DataFrame:
    """Return the answers in a file; an empty table if there is no file."""
    return parse(_stored(path), str(path), listener)


def add(path: Path, answer: dict[str, str]) -> pd.DataFrame:
    """Append an answer unless its trial has one; return all answers that the file then holds.

    It is locked across processes, tabs and threads. The file is replaced as a whole, in UTF-8; one that was stored
    otherwise is kept beside it as `NAME.csv.old`, with a warning. Raises OSError, in one sentence, if it cannot be
    written.
    """
    from filelock import FileLock

    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=SECONDS):
            data = _stored(path)
            held = parse(data, str(path), answer["listener"])
            trial = ["test", "listener", "trial"]
            if (held[trial] == [answer[name] for name in trial]).all(axis=1).any():
                return held
            answer = {**answer, ID: held[ID].iloc[0] if len(held) else f"f-{secrets.token_hex(6)}"}
            held = pd.concat([held, pd.DataFrame([answer])[HEADER]], ignore_index=True)
            written = held.to_csv(index=False, lineterminator="\n").encode()
            if not written.startswith(data.replace(b"\r\n", b"\n")):
                warnings.warn(f"{path.name} was stored in another form: see {_aside(path, data).name}.", stacklevel=3)
            write_whole(path, written)
            return held
    except OSError as error:
        why = str(error.strerror or error).removeprefix("Cannot write the file: ")  # as `write_whole` begins
        raise type(error)(error.errno, f"Cannot write the file: {why}", str(path)) from None


def as_text(data: bytes) -> str:
    """Decode UTF-8 or marked UTF-16; bytes that are neither as cp1252, since one file may mix both."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="cp1252")


def _stored(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else ",".join(HEADER).encode()


def _spellings(listener: str) -> set[str]:
    """Return the forms of a name as re-encoded by the code pages of spreadsheets."""
    stored = {listener.encode(page, errors="replace") for page in PAGES}
    return {name for data in stored if not is_placeholder(name := plain(as_text(data)))}


def _aside(path: Path, data: bytes) -> Path:
    """Keep the former content of a file under the first free name."""
    names = (path.with_name(f"{path.name}.old{number or ''}") for number in range(1000))
    return write_whole(next(name for name in names if not name.exists()), data)

"""Who listens, and the CSV file of their answers, to which tabs and processes may write at once."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import secrets
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from .collected import as_text, plain

COLUMNS = ["test", "kind", "listener", "trial", "label", "truth", "answer"]
ID = "id"  # column: drawn at random for each file, so that two listeners of one name stay two
HEADER = [*COLUMNS, ID]
PLACEHOLDERS = {"you", "yourname", "yourpseudonym", "name", "pseudonym", "me", "myself", "listener", "student"}
PLACEHOLDERS |= {"anonymous", "anon", "none", "nobody", "user", "guest", "test"}


def listener_name(name: object) -> str:
    """The name as it is kept; raises ValueError for one that tells nobody apart, such as "" and "you"."""
    kept = plain(name) if isinstance(name, str) else ""
    if is_placeholder(kept):
        raise ValueError(f"listener must be a name or pseudonym of your own, to tell a class apart, not {name!r}.")
    return kept


def is_placeholder(name: str) -> bool:
    """Whether a class may have this name many times, or nothing of it can be seen."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    letters = "".join(c for c in folded if c.isalnum())
    seen = [c for c in folded if unicodedata.category(c)[0] in "LNS" and c not in "\u115f\u1160\u2800"]  # not blank
    return letters in PLACEHOLDERS or not seen


def parse(data: bytes, name: str) -> pd.DataFrame:
    """The answers in a file, as strings, with the column `id`, which is "" in files of old.

    A spreadsheet may have stored it in its own way. Raises ValueError if the file holds something else.
    """
    header, *rows = _rows(data) or [[]]
    if not {*COLUMNS} <= {*header}:
        raise ValueError(f"{name} does not hold answers of a listening test: its columns are not {', '.join(COLUMNS)}.")
    whole = [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]
    if len(whole) < len(rows):
        warnings.warn(f"{name}: {len(rows) - len(whole)} damaged lines are left out.", stacklevel=2)
    table = pd.DataFrame(whole, columns=[*dict.fromkeys([*header, ID])], dtype=str).fillna("")[HEADER]
    table["listener"] = table.listener.map({name: plain(name) for name in table.listener.unique()})
    return table


def read(path: Path) -> pd.DataFrame:
    """The answers that a file holds; none where there is no file."""
    return parse(path.read_bytes(), str(path)) if path.exists() else pd.DataFrame(columns=HEADER, dtype=str)


def add(path: Path, answer: dict[str, str]) -> pd.DataFrame:
    """Write an answer below the others, unless its trial has one; return all that the file then holds.

    Processes, tabs and threads wait for one another: nothing is lost, and no trial is answered twice.
    Raises OSError, in one sentence, where the file cannot be written.
    """
    try:
        _begin(path)
        with _locked(path) as file:
            data = file.read()
            held = parse(data, str(path))
            trial = ["test", "listener", "trial"]
            if not (held[trial] == [answer[name] for name in trial]).all(axis=1).any():
                answer = {**answer, ID: held[ID].iloc[0] if len(held) else f"f-{secrets.token_hex(6)}"}
                _append(file, data, answer)
                held = pd.concat([held, pd.DataFrame([answer])[HEADER]], ignore_index=True)
            return held
    except OSError as error:
        raise type(error)(error.errno, f"Cannot write the file: {error.strerror}", str(path)) from None


def _rows(data: bytes) -> list[list[str]]:
    """The lines of a CSV file, and of one that a spreadsheet wrote with semicolons or tabs; none of another file."""
    text = as_text(data)
    with contextlib.suppress(csv.Error):
        return [row for row in csv.reader(io.StringIO(text), delimiter=_separator(text)) if any(row)]
    return []


def _separator(text: str) -> str:
    return max(",;\t", key=text.partition("\n")[0].count)


def _begin(path: Path) -> None:
    """Make the file with its header, at once or not at all: a reader never sees an empty one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    part.write_text(",".join(HEADER) + "\n", encoding="utf-8")
    try:
        os.link(part, path)  # leaves alone what another process has begun meanwhile
    except FileExistsError:
        pass
    except OSError:  # a disk that knows no links
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[io.BufferedRandom]:
    """The file, to read and to append to, while others wait; a process that dies holds nobody up."""
    with path.open("ab+") as file:
        with contextlib.suppress(OSError):  # a network drive that knows no locks
            if os.name == "posix":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            else:
                import msvcrt

                file.seek(2**30)
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        file.seek(0)
        yield file


def _append(file: io.BufferedRandom, data: bytes, answer: dict[str, str]) -> None:
    """Write one line, in the file's own columns and in one piece; what a full disk cuts off is taken away again."""
    text, line = as_text(data), io.StringIO()
    header = _rows(data)[0]
    csv.writer(line, delimiter=_separator(text), lineterminator="\n").writerow(
        [answer.get(name, "") for name in header]
    )
    encoding = "utf-16-le" if data.startswith(b"\xff\xfe") else "utf-8"
    added = ("" if text.endswith("\n") else "\n") + line.getvalue()
    try:
        os.write(file.fileno(), added.encode(encoding))
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(file.fileno(), len(data))
        raise

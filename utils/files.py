"""Files that are there in full or not at all, and words that fit into one line."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def write_whole(path: str | Path, data: bytes) -> Path:
    """Write a file that is either complete or not there, and its folders; an OSError of one sentence says why not.

    `~` is the home folder. Two that write one name at once leave one of the two files, whole.
    """
    path = Path(path).expanduser()
    unfinished = path.with_name(f".{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    except OSError as error:
        raise type(error)(error.errno, f"Cannot write the file: {error.strerror}", str(path)) from None
    finally:
        with suppress(OSError):
            unfinished.unlink()
    return path


def shorten(text: str, width: int = 70) -> str:
    """One printable line of at most `width` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else line[: width - 1] + "…"

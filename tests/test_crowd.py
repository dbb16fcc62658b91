"""A class at once: as many kernels as memory allows, and a plain word where that is not all."""

from __future__ import annotations

import sys
import threading

import pytest

from tools import crowd


@pytest.fixture
def most_at_once(monkeypatch):
    """Students who take 500 MB each, and how many of them were there at once."""
    running, seen, lock = [0], [0], threading.Lock()
    full = threading.Event()

    def student(memory: float) -> list[float]:
        with lock:
            running[0] += 1
            seen[0] = max(seen[0], running[0])
        full.wait(0.1)
        with lock:
            running[0] -= 1
        return [1.0, 1.0, 500.0]

    monkeypatch.setattr(crowd, "student", student)
    return seen


@pytest.mark.parametrize(("free", "together"), [(100_000, 30), (6_600, 11), (10, 1)])
def test_all_at_once_as_far_as_memory_allows(most_at_once, monkeypatch, capsys, free, together):
    monkeypatch.setattr(crowd, "free_megabytes", lambda: free)
    monkeypatch.setattr(sys, "argv", ["crowd"])
    with pytest.raises(SystemExit) as ended:
        crowd.main()
    assert not ended.value.code and most_at_once == [together]
    said = capsys.readouterr().out
    assert "30 of 30 finished lesson 01" in said and f": {together} at a time" in said


def test_memory_is_a_number_of_megabytes():
    assert 1 < crowd.free_megabytes() < 1e8


def test_where_nobody_finishes_it_says_why(monkeypatch):
    monkeypatch.setattr(crowd, "student", lambda memory: "MemoryError: no room")
    monkeypatch.setattr(sys, "argv", ["crowd"])
    with pytest.raises(SystemExit, match="alone: MemoryError: no room"):
        crowd.main()

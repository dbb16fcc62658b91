"""A class at once: as many kernels as memory allows, and a plain word where that is not all."""

from __future__ import annotations

import sys
import threading

import pytest

from tools import crowd


@pytest.mark.parametrize(("free", "together"), [(100_000, 30), (6_600, 11), (10, 1)])
def test_all_at_once_as_far_as_memory_allows(monkeypatch, capsys, free, together):
    """Students who take 500 MB each; nobody leaves before as many are there as should be at once."""
    running, most, lock, full = 0, 0, threading.Lock(), threading.Event()

    def student(memory: float) -> list[float]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if running == together:
            full.set()
        if threading.current_thread() is not threading.main_thread():  # there the first one goes ahead alone
            assert full.wait(60)
        with lock:
            running -= 1
        return [1.0, 1.0, 500.0]

    monkeypatch.setattr(crowd, "student", student)
    monkeypatch.setattr(crowd, "free_megabytes", lambda: free)
    monkeypatch.setattr(sys, "argv", ["crowd"])
    with pytest.raises(SystemExit) as ended:
        crowd.main()
    assert not ended.value.code and most == together
    said = capsys.readouterr().out
    assert "30 of 30 finished lesson 01" in said and f": {together} at a time" in said


def test_memory_is_a_number_of_megabytes():
    assert 1 < crowd.free_megabytes() < 1e8


def test_where_nobody_finishes_it_says_why(monkeypatch):
    monkeypatch.setattr(crowd, "student", lambda memory: "MemoryError: no room")
    monkeypatch.setattr(sys, "argv", ["crowd"])
    with pytest.raises(SystemExit, match="alone: MemoryError: no room"):
        crowd.main()

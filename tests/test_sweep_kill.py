"""A sweep killed with SIGKILL at random moments ends as if nothing had been.

This file is also the program that is killed: it loads the checkpoint once, and forks a process for every attempt.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from tests.conftest import slow_after
from tools import lessons
from utils import clip_store, load_pipeline, sweeps

GRID = {"prompts": ["a dog barking", "rain"], "num_inference_steps": [1, 2], "seeds": range(8)}
SHORT = {"audio_length_in_s": 0.64, "progress": False}
CLIPS = 32


def attempt(pipe, folder: Path, batch_size: int) -> int:
    """Fork a process that runs the sweep; return its id."""
    if pid := os.fork():
        return pid
    try:
        sweeps.sweep(pipe, folder=folder, batch_size=batch_size, **GRID, **SHORT)
        os._exit(0)
    except BaseException:  # a child that fell through would run the parent's code
        traceback.print_exc()
        os._exit(1)


def ended(pid: int) -> int:
    """Wait for a process; return its exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def finished(folder: Path) -> dict[Path, int]:
    """Return the clips that are whole on the disk, with the times of their writing."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.wav") if clip_store.is_intact(path)}


def killed_at_random(pipe, place: Path, batch_size: int, kills: int) -> dict:
    """Kill attempts at random moments, let the last one end; count clips made twice, and unlike an unbroken run's."""
    whole, broken, amid, again, killed = place / "whole", place / "broken", 0, 0, 0
    assert ended(attempt(pipe, whole, batch_size)) == 0
    for last in [False] * kills + [True]:
        before, pid = finished(broken), attempt(pipe, broken, batch_size)
        if not last:  # on any machine: after so many more clips, and then at a random moment
            wanted, patience = min(CLIPS, len(before) + random.randint(0, CLIPS // kills)), time.monotonic() + 60
            while len([*broken.glob("*.wav")]) < wanted and time.monotonic() < patience:
                time.sleep(0.005)
            time.sleep(random.uniform(0, 0.1))
            os.kill(pid, signal.SIGKILL)
        killed += ended(pid) == -signal.SIGKILL
        after = finished(broken)
        amid += len(before) < len(after) < CLIPS
        again += sum(after.get(path) != written for path, written in before.items())
    same = [{path.name: path.read_bytes() for path in folder.glob("*.wav")} for folder in (whole, broken)]
    return {"killed": killed, "amid": amid, "again": again, "clips": len(after), "same": same[0] == same[1]}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork and SIGKILL")
@pytest.mark.parametrize(("batch_size", "kills"), slow_after(1, [(3, 6), (1, 20), (3, 20)]))
def test_kills_lose_nothing_redo_nothing_and_change_nothing(random_checkpoint, tmp_path, batch_size, kills):
    command = [sys.executable, "-m", __name__, str(random_checkpoint), str(tmp_path), str(batch_size), str(kills)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # a process with threads cannot fork safely
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=lessons.ROOT, timeout=3600)
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["killed"] >= kills // 2 and result["amid"] >= 1, result
    assert result["again"] == 0 and result["clips"] == CLIPS and result["same"], result


if __name__ == "__main__":
    print(json.dumps(killed_at_random(load_pipeline(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))))

"""A sweep killed with SIGKILL at random moments, and at every moment of its writing, ends as if nothing had been.

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

from tools import lessons
from utils import kept, load_pipeline, sweeps

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork and SIGKILL")
GRID = {"prompts": ["a dog barking", "rain"], "num_inference_steps": [1, 2], "seeds": range(8)}
SHORT = {"audio_length_in_s": 0.64, "progress": False}
CLIPS = 32


def attempt(pipe, folder: Path, batch_size: int, spoil=lambda: None) -> int:
    """Fork a process that runs the sweep; return its id."""
    if pid := os.fork():
        return pid
    try:
        spoil()
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
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.wav") if kept.is_whole(path)}


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


def killed_while_writing(pipe, place: Path) -> dict:
    """Kill one attempt in the middle of each of the first writes of clips, and before each of the first moves."""
    results = {}
    for what, moment in [(what, n) for what in ("write_bytes", "replace") for n in range(1, 5)]:  # 0 is the folder's

        def spoil(what=what, moment=moment):
            where, calls = (Path, os)[what == "replace"], iter(range(1000))
            real = getattr(where, what)

            def killed(path, data):
                if next(calls) == moment:
                    what == "replace" or real(path, data[: len(data) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(path, data)

            setattr(where, what, killed)

        assert ended(attempt(pipe, place / f"{what}-{moment}", 1, spoil)) == -signal.SIGKILL
        results[f"{what} {moment}"] = len(finished(place / f"{what}-{moment}"))
    return results


def results_of(checkpoint: Path, place: Path, *tasks: str) -> dict:
    command = [sys.executable, "-m", __name__, str(checkpoint), str(place), *tasks]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # a process with threads cannot fork safely
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=lessons.ROOT, timeout=3600)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


def check(result: dict, kills: int) -> None:
    assert result["killed"] >= kills // 2 and result["amid"] >= 1, result
    assert result["again"] == 0 and result["clips"] == CLIPS and result["same"], result


def test_kills_lose_nothing_redo_nothing_and_change_nothing(random_checkpoint, tmp_path):
    check(results_of(random_checkpoint, tmp_path, "3 6")["3 6"], 6)


@pytest.mark.slow
def test_forty_kills_and_one_in_every_moment_of_writing(random_checkpoint, tmp_path):
    results = results_of(random_checkpoint, tmp_path, "1 20", "3 20", "writing")
    check(results["1 20"], 20)
    check(results["3 20"], 20)
    for moment, clips in results["writing"].items():  # a sound and a row a clip: two writes, two moves
        assert clips == (int(moment.split()[1]) - 1) // 2, moment


if __name__ == "__main__":
    loaded, found = load_pipeline(sys.argv[1]), {}
    for task in sys.argv[3:]:
        (place := Path(sys.argv[2]) / task.replace(" ", "-")).mkdir()
        if task == "writing":
            found[task] = killed_while_writing(loaded, place)
        else:
            found[task] = killed_at_random(loaded, place, *map(int, task.split()))
    print(json.dumps(found))

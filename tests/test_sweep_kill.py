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
from importlib import import_module
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork and SIGKILL")
GRID = dict(
    prompts=["a dog barking", "rain"],
    num_inference_steps=[1, 2],
    audio_length_in_s=0.64,
    seeds=range(8),
    progress=False,
)
CLIPS = 32


def attempt(pipe, folder: Path, batch_size: int, log: Path, spoil=lambda: None) -> int:
    """Fork a process that runs the sweep and logs each clip that it generates; return its id."""
    if pid := os.fork():
        return pid
    try:
        module = import_module("utils.sweeps")
        real = module.generate_batch

        def logged(pipe, requests, **settings):
            with log.open("a") as lines:
                for request in dict.fromkeys(requests):
                    lines.write(json.dumps([request.prompt, settings["num_inference_steps"], request.seed]) + "\n")
            return real(pipe, requests, **settings)

        module.generate_batch = logged
        spoil()
        module.sweep(pipe, folder=folder, batch_size=batch_size, **GRID)
        os._exit(0)
    except BaseException as error:  # a child that fell through would run the parent's code
        log.write_text(repr(error))
        os._exit(1)


def ended(pid: int) -> int:
    """Wait for a process; its exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def finished(folder: Path) -> set[tuple]:
    """The settings of the clips that are whole on the disk."""
    found, module = set(), import_module("utils.kept")
    for path in folder.glob("*.wav"):
        try:
            settings = module.read_clip(path).settings
        except OSError:
            continue
        found.add((settings["prompt"], settings["num_inference_steps"], settings["seed"]))
    return found


def logged_clips(log: Path) -> list[tuple]:
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return [tuple(json.loads(line)) for line in lines if line.endswith("\n")]


def killed_at_random(pipe, place: Path, batch_size: int, kills: int) -> dict:
    """Kill attempts at random moments, let the last one end; what was redone, lost, and different from unbroken."""
    whole, broken, log, redone, amid, killed = place / "whole", place / "broken", place / "log", [], 0, 0
    start = time.perf_counter()
    assert ended(attempt(pipe, whole, batch_size, place / "unbroken-log")) == 0
    batch_seconds = (time.perf_counter() - start) * batch_size / CLIPS
    for last in [False] * kills + [True]:
        before, line = finished(broken), len(logged_clips(log))
        pid = attempt(pipe, broken, batch_size, log)
        if not last:
            begun, late = line + 1 + (killed % 3 == 0) * batch_size, time.perf_counter() + 60
            while len(logged_clips(log)) < begun and time.perf_counter() < late:  # by progress: a machine may be busy
                time.sleep(0.002)
            time.sleep(random.uniform(0, batch_seconds / 2))
            os.kill(pid, signal.SIGKILL)
        killed += ended(pid) == -signal.SIGKILL
        amid += 0 < len(finished(broken)) < CLIPS
        redone += before.intersection(logged_clips(log)[line:])
    same = [{path.name: path.read_bytes() for path in folder.glob("*.wav")} for folder in (whole, broken)]
    counts = {"clips": len(finished(broken)), "generated": len(logged_clips(log))}
    return {"killed": killed, "amid": amid, "redone": redone, **counts, "same": same[0] == same[1]}


def killed_while_writing(pipe, place: Path) -> dict:
    """Kill one attempt in the middle of each of the first writes of clips, and before each of the first moves."""
    results = {}
    for what, moment in [(what, n) for what in ("write_bytes", "replace") for n in range(1, 5)]:  # 0 is the folder's
        folder, log = place / f"{what}-{moment}", place / f"{what}-{moment}-log"

        def spoil(what=what, moment=moment):
            calls, write, move = iter(range(1000)), Path.write_bytes, os.replace

            def half_written(path, data):
                if next(calls) == moment:
                    write(path, data[: len(data) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return write(path, data)

            def not_moved(source, target):
                if next(calls) == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                move(source, target)

            Path.write_bytes, os.replace = (half_written, move) if what == "write_bytes" else (write, not_moved)

        assert ended(attempt(pipe, folder, 1, log, spoil)) == -signal.SIGKILL
        results[f"{what} {moment}"] = [len(finished(folder)), len(logged_clips(log))]
    return results


def two_at_once(pipe, place: Path) -> dict:
    pids = [attempt(pipe, place / "shared", 1, place / f"log-{i}") for i in range(2)]
    return {"ended": [ended(pid) for pid in pids], "clips": len(finished(place / "shared"))}


def results_of(checkpoint: Path, place: Path, *tasks: str) -> dict:
    command = [sys.executable, __file__, str(checkpoint), str(place), *tasks]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # a process with threads cannot fork safely
    run = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1], timeout=3600
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


def check(result: dict, batch_size: int, kills: int) -> None:
    assert result["killed"] >= kills // 2 and result["amid"] >= 1
    assert result["redone"] == [] and result["clips"] == CLIPS and result["same"]
    assert result["generated"] <= CLIPS + kills * batch_size  # each kill costs what was in the making, no more


def test_kills_lose_nothing_redo_nothing_and_change_nothing(random_checkpoint, tmp_path):
    check(results_of(random_checkpoint, tmp_path, "3 4")["3 4"], 3, 4)


@pytest.mark.slow
def test_forty_kills_and_two_at_once(random_checkpoint, tmp_path):
    results = results_of(random_checkpoint, tmp_path, "1 20", "3 20", "writing", "two")
    check(results["1 20"], 1, 20)
    check(results["3 20"], 3, 20)
    for moment, (clips, generated) in results["writing"].items():  # a sound and a row a clip: two writes, two moves
        n = int(moment.split()[1]) - 1
        assert (clips, generated) == (n // 2, n // 2 + 1), moment
    assert results["two"] == {"ended": [0, 0], "clips": CLIPS}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from utils import load_pipeline

    import_module("utils.sweeps")  # once, not in every process forked from here
    loaded, found = load_pipeline(sys.argv[1]), {}
    for task in sys.argv[3:]:
        (place := Path(sys.argv[2]) / task.replace(" ", "-")).mkdir()
        numbers = [int(number) for number in task.split() if number.isdigit()]
        more = {"writing": killed_while_writing, "two": two_at_once}
        found[task] = more[task](loaded, place) if task in more else killed_at_random(loaded, place, *numbers)
    print(json.dumps(found))

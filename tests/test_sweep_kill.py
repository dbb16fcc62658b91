"""A sweep killed with SIGKILL at ten random moments, and at every moment of its writing, ends as if nothing had been.

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
KILLS = 10


def attempt(pipe, folder: Path, batch_size: int, log: Path, spoil=None) -> int:
    """Fork a process that runs the sweep and logs each clip that it generates; return its id."""
    pid = os.fork()
    if pid:
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
        if spoil:
            spoil()
        module.sweep(pipe, folder=folder, batch_size=batch_size, **GRID)
        os._exit(0)
    except BaseException as error:  # a child that fell through would run the parent's code
        log.write_text(repr(error))
        os._exit(1)


def ended(pid: int) -> int:
    """Wait for a process; its exit status, or minus the signal that killed it."""
    status = os.waitpid(pid, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def finished(folder: Path) -> set[tuple]:
    """The settings of the clips that are whole on the disk."""
    from utils.clipfiles import read_clip

    found = set()
    for path in folder.glob("*.wav"):
        try:
            settings = read_clip(path).settings
        except OSError:
            continue
        found.add((settings["prompt"], settings["num_inference_steps"], settings["seed"]))
    return found


def logged_clips(log: Path) -> list[tuple]:
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return [tuple(json.loads(line)) for line in lines if line.endswith("\n")]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.wav")}


def killed_at_random(pipe, place: Path, batch_size: int, seed: int) -> dict:
    """Kill ten attempts at random moments, let the next one end; what was redone, lost, and different from unbroken."""
    whole, broken, log = place / "whole", place / "broken", place / "log"
    start = time.perf_counter()
    assert ended(attempt(pipe, whole, batch_size, place / "unbroken-log")) == 0
    seconds = time.perf_counter() - start
    chance, redone, kills, amid = random.Random(seed), [], 0, 0
    while kills < KILLS:
        before, line = finished(broken), len(logged_clips(log))
        pid = attempt(pipe, broken, batch_size, log)
        begun, late = line + chance.randrange(5), time.perf_counter() + 60  # at most 3 a kill: 30 of the 32
        while len(logged_clips(log)) < begun and time.perf_counter() < late:  # by progress: a machine may be busy
            time.sleep(0.002)
        moment = time.perf_counter() + chance.uniform(0, 2 * batch_size * seconds / CLIPS)
        while time.perf_counter() < moment and len(logged_clips(log)) < line + 4:
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        if ended(pid) != -signal.SIGKILL:
            break
        kills += 1
        amid += 0 < len(finished(broken)) < CLIPS
        redone += before.intersection(logged_clips(log)[line:])
    before, line = finished(broken), len(logged_clips(log))
    assert ended(attempt(pipe, broken, batch_size, log)) == 0
    redone += before.intersection(logged_clips(log)[line:])
    return {
        "kills": kills,
        "amid": amid,
        "redone": redone,
        "clips": len(finished(broken)),
        "generated": len(logged_clips(log)),
        "same": contents(whole) == contents(broken),
        "tables": table_of(pipe, whole).equals(table_of(pipe, broken)),
    }


def table_of(pipe, folder: Path):
    from utils import sweep

    return sweep(pipe, folder=folder, **GRID).drop(columns=["seconds", "real_time_factor", "file"])


def killed_while_writing(pipe, place: Path) -> dict:
    """Kill one attempt in the middle of each of the first four writes and before each of the first four moves."""
    results = {}
    for what, moment in [(what, n) for what in ("write_bytes", "replace") for n in range(4)]:
        folder, log = place / f"{what}-{moment}", place / f"{what}-{moment}-log"

        def spoil(what=what, moment=moment):
            calls = iter(range(1000))
            real = Path.write_bytes

            def half_written(path, data):
                if next(calls) == moment:
                    real(path, data[: len(data) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(path, data)

            def not_moved(source, target, move=os.replace):
                if next(calls) == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                move(source, target)

            if what == "write_bytes":
                Path.write_bytes = half_written
            else:
                os.replace = not_moved

        assert ended(attempt(pipe, folder, 1, log, spoil)) == -signal.SIGKILL
        results[f"{what} {moment}"] = [len(finished(folder)), len(logged_clips(log))]
    return results


def two_at_once(pipe, place: Path) -> dict:
    """Two processes run the same sweep in one folder at the same time."""
    folder = place / "shared"
    pids = [attempt(pipe, folder, 1, place / f"log-{i}") for i in range(2)]
    return {"ended": [ended(pid) for pid in pids], "clips": len(finished(folder))}


def everything(pipe, place: Path) -> dict:
    """All of the above with one loaded checkpoint; JSON writes a tuple as a list."""
    for name in ("one", "three", "writing", "two"):
        (place / name).mkdir()
    return {
        "one": killed_at_random(pipe, place / "one", 1, time.time_ns() % 1000),
        "three": killed_at_random(pipe, place / "three", 3, time.time_ns() % 1000),
        "writing": killed_while_writing(pipe, place / "writing"),
        "two": two_at_once(pipe, place / "two"),
    }


@pytest.fixture(scope="module")
def results(random_checkpoint, tmp_path_factory) -> dict:
    command = [sys.executable, __file__, str(random_checkpoint), str(tmp_path_factory.mktemp("killed"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # a process with threads cannot fork safely
    run = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parent.parent, timeout=3600
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "batch_size"), [("one", 1), ("three", 3)])
def test_ten_kills_lose_nothing_redo_nothing_and_change_nothing(results, name, batch_size):
    result = results[name]
    assert result["kills"] == KILLS
    assert result["amid"] >= 3  # most kills came when some clips were finished and some were not
    assert result["redone"] == []
    assert result["clips"] == CLIPS
    assert result["generated"] <= CLIPS + KILLS * batch_size  # each kill costs what was in the making, no more
    assert result["same"]
    assert result["tables"]


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_write_leaves_no_half_clip(results):
    for moment, (clips, generated) in results["writing"].items():  # a sound and a row a clip: two writes, two moves
        assert (clips, generated) == (int(moment.split()[1]) // 2, int(moment.split()[1]) // 2 + 1), moment


@pytest.mark.slow
def test_two_processes_in_one_folder_lose_nothing(results):
    assert results["two"] == {"ended": [0, 0], "clips": CLIPS}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from utils import load_pipeline

    import_module("utils.sweeps")  # once, not in every process forked from here
    print(json.dumps(everything(load_pipeline(sys.argv[1]), Path(sys.argv[2]))))

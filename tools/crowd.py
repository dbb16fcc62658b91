"""A class on one machine: every student runs lesson 01 in a kernel with a limit of memory. What did each need?

    python -m tools.crowd [--students 30] [--together 0] [--memory 3]

All run at once, as far as memory allows: a first one, alone, shows how much each takes (`--together` sets the number).
The limit counts what the kernel allocates (RLIMIT_DATA, in GB); the memory reported is what it really occupied at its
peak (resident). Linux and macOS. The numbers of one machine stand in docs/teaching.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from . import lessons

LESSON = "01"
PATIENCE = 3600  # seconds for one cell: thirty at once take thirty times as long, and that is what is measured
ROOM = 1.2  # of its peak that is kept free for each kernel


def one(memory: float) -> None:
    """Run the lesson here, and print what it took: seconds, CPU seconds, and MB resident at the peak."""
    import resource

    cap = int(memory * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))  # kernels inherit it
    lessons.CELL_TIMEOUT = PATIENCE
    (path,) = lessons.lessons([LESSON])
    start = time.perf_counter()
    lessons.run(lessons.read(path))
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # the kernel's
    megabytes = used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)
    print(json.dumps([seconds, used.ru_utime + used.ru_stime, megabytes]))


def student(memory: float) -> list[float] | str:
    """What one student needed, or why the lesson did not end."""
    command = [sys.executable, "-m", "tools.crowd", "--one", "--memory", str(memory)]
    done = subprocess.run(command, cwd=lessons.ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout)
    lines = done.stderr.strip().splitlines() or [f"it was ended by signal {-done.returncode}"]
    return next((line for line in reversed(lines) if re.match(r"[\w.]*(Error|Exception)\b", line)), lines[-1])


def free_megabytes() -> float:
    """Memory that new processes may take: what the machine has free, or less where a container sets a limit."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) / 1000 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2e6  # macOS: half of all there is
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{name}").read_text()) / 1e6 for name in ("max", "current"))
        return min(free, limit - used)
    except (OSError, ValueError):  # no container, or no limit
        return free


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--together", type=int, default=0, help="how many run at the same time; 0: as memory allows")
    parser.add_argument("--memory", type=float, default=3.0, help="limit for each, in GB")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        return one(given.memory)
    alone = student(given.memory)
    if isinstance(alone, str):
        sys.exit(f"Not even one student finished lesson {LESSON} alone: {alone}")
    fitting = max(1, int(free_megabytes() / (ROOM * alone[2])))
    together = given.together or min(given.students, fitting)
    print(f"One student alone: {alone[0]:.0f} s, {alone[1]:.0f} s of processor time, {alone[2]:.0f} MB.")
    print(f"{free_megabytes() / 1000:.1f} GB are free: room for {fitting} at once.", flush=True)
    start = time.perf_counter()
    with ThreadPoolExecutor(together) as pool:
        needed = list(pool.map(student, [given.memory] * given.students))
    minutes = (time.perf_counter() - start) / 60
    finished = [each for each in needed if not isinstance(each, str)]
    print(f"{len(finished)} of {given.students} finished lesson {LESSON} in {minutes:.1f} min: ", end="")
    print(f"{together} at a time, {os.cpu_count()} cores, at most {given.memory:g} GB each")
    for name, unit, values in zip(
        ("time", "CPU time", "memory"), ("s", "s", "MB"), zip(*finished, strict=True), strict=False
    ):
        print(f"{name:9} median {median(values):6.0f} {unit}, most {max(values):6.0f} {unit}")
    for reason in sorted({each for each in needed if isinstance(each, str)}):
        print(f"not finished: {reason}")
    sys.exit(len(finished) < given.students)


if __name__ == "__main__":
    main()

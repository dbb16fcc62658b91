"""A class on one machine: every student runs lesson 01 in a kernel with a limit of memory. What did each need?

    python -m tools.crowd [--students 30] [--together 1] [--memory 3]

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
from statistics import median

from . import lessons

LESSON = "01"


def one(memory: float) -> None:
    """Run the lesson here, and print what it took: seconds, CPU seconds, and MB resident at the peak."""
    import resource

    cap = int(memory * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))  # kernels inherit it
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
    lines = done.stderr.strip().splitlines()
    return next((line for line in reversed(lines) if re.match(r"[\w.]*(Error|Exception)\b", line)), lines[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--together", type=int, default=1, help="how many run at the same time")
    parser.add_argument("--memory", type=float, default=3.0, help="limit for each, in GB")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        return one(given.memory)
    start = time.perf_counter()
    with ThreadPoolExecutor(given.together) as pool:
        needed = list(pool.map(student, [given.memory] * given.students))
    minutes = (time.perf_counter() - start) / 60
    finished = [each for each in needed if not isinstance(each, str)]
    print(f"{len(finished)} of {given.students} finished lesson {LESSON} in {minutes:.1f} min: ", end="")
    print(f"{given.together} at a time, {os.cpu_count()} cores, at most {given.memory:g} GB each")
    for name, unit, values in zip(
        ("time", "CPU time", "memory"), ("s", "s", "MB"), zip(*finished, strict=True), strict=False
    ):
        print(f"{name:9} median {median(values):6.0f} {unit}, most {max(values):6.0f} {unit}")
    for reason in sorted({each for each in needed if isinstance(each, str)}):
        print(f"not finished: {reason}")
    sys.exit(len(finished) < given.students)


if __name__ == "__main__":
    main()

"""What a test starts by `tests.forked.python` is Python in all that others see: the fork of `make unit`, or Python."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests import forked

pytestmark = pytest.mark.skipif(not forked.FORKS, reason="forks are made on Linux only")


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([forked.python(), *arguments], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ("code", "status", "last"),
    [
        ("pass", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('two words')", 1, "two words"),
        ("raise ValueError('no')", 1, "ValueError: no"),
        ("import os, threading; threading.Timer(0.2, lambda: os.write(2, b'late')).start()", 0, "late"),
        ("import os\nif os.fork(): os.wait()\nelse: raise SystemExit(5)", 0, ""),
    ],
)  # fmt: skip
def test_its_end_is_its_own(code, status, last):
    done = run("-c", code)
    assert (done.returncode, done.stderr.strip().splitlines()[-1:]) == (status, [last] if last else [])


def test_an_end_that_comes_at_once_is_heard():
    """On a busy machine the fork's number and its end arrive together."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/socket")
        server.listen()
        asks = subprocess.Popen([sys.executable, "-IS", forked.__file__, "ask", folder, "-c", "pass"])
        with server.accept()[0] as connection:
            connection.sendall(asks.pid.to_bytes(4, "big") + bytes([7]))
            assert asks.wait() == 7


def test_a_death_is_no_success():
    assert run("-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)").returncode


def test_it_takes_code_modules_and_files(tmp_path):
    show = "import os, sys; print(__name__, *sys.argv, sys.path[0] or '-', os.getcwd(), sys.stdin.read())"
    (tmp_path / "module.py").write_text(show)
    given = {"input": "said", "cwd": tmp_path}
    here = str(tmp_path)
    assert run("-u", "-c", show, "a", "b", **given).stdout.split() == ["__main__", "-c", "a", "b", "-", here, "said"]
    for start in (("-m", "module"), ("module.py",)):
        name, file, *rest = run(*start, "a", **given).stdout.split()
        assert (name, Path(file).name, rest) == ("__main__", "module.py", ["a", here, here, "said"])


def test_it_has_the_environment_of_who_starts_it(tmp_path):
    (tmp_path / "found.py").write_text("word = 'found'")
    large = {f"LARGE{number}": "x" * 100_000 for number in range(5)}  # as it comes it is in several pieces
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"], **large}
    said = run("-c", "import found, os; print(found.word, *sorted(os.environ))", env=environment).stdout.split()
    assert said[0] == "found" and set(said[1:]) <= {*environment, "PWD", "LC_CTYPE", "OLDPWD", "SHLVL", "_"}


def test_what_is_handed_down_arrives():
    read, write = os.pipe()
    run("-c", f"import os; os.write({write}, b'through')", pass_fds=[write])
    os.close(write)
    with open(read, "rb") as pipe:
        assert pipe.read() == b"through"


def test_it_is_interrupted_and_dies_with_who_started_it():
    code = """import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests may have it ignored
try:
    print(os.getpid(), flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
time.sleep(600)"""
    started = subprocess.Popen([forked.python(), "-c", code], stdout=subprocess.PIPE, text=True)
    process = Path("/proc", started.stdout.readline().strip())
    started.send_signal(signal.SIGINT)
    assert started.stdout.readline() == "interrupted\n" and process.exists()
    started.kill()
    started.wait()
    late = time.monotonic() + 120
    while process.exists() and time.monotonic() < late:
        time.sleep(0.02)
    assert not process.exists()

"""Processes that begin as forks of one in which the lessons' libraries are imported: seconds less for each.

    python -m tests.forked kernels COMMAND     in which Jupyter's kernels are such forks
    python -m tests.forked unit COMMAND        in which xdist's workers are, and what its tests ask for

Who starts one starts a command that takes the arguments of Python. It asks the process with the libraries for a fork,
gives it all that it was given itself, hands signals on to it, and ends as it ends. Of this project nothing is imported
beforehand; and for the clients of a Hub (tests/hub.py) nothing that asks once where the Hub is, so that of theirs the
other processes with libraries are forks as well. Where there are no forks all is as without it.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

FORKS = sys.platform == "linux"  # elsewhere libraries do not outlive a fork
PYTHON = "FORKED_PYTHON"  # the environment variable that names the command
CLIENTS = "FORKED_CLIENTS"  # and that for clients of a Hub
KERNELS = "FORKED_KERNELS"  # and the folder in which Jupyter finds it
LIBRARIES = {
    "torch": ["Tensor"], "librosa": ["load", "onset", "feature"], "scipy": ["stats", "signal", "spatial"],
    "matplotlib.figure": ["Figure"], "matplotlib.backends.backend_agg": ["FigureCanvasAgg"],
}  # fmt: skip
ASKING = {  # once, where the Hub is, or whether this is a kernel
    "pandas": ["DataFrame"],
    "diffusers": ["AudioLDMPipeline", "AutoencoderKL", "UNet2DConditionModel", "DDIMScheduler"],
    "transformers": ["ClapModel", "ClapProcessor", "RobertaTokenizerFast", "SpeechT5HifiGan"],
    "peft": ["LoraConfig"],
}


# ---- for tests -------------------------------------------------------------------------------------------------------


def python(of: str = PYTHON) -> str:
    """A Python whose processes begin with the libraries imported; where nobody has made one, the one that runs."""
    return os.environ.get(of, sys.executable)


@contextmanager
def jupyter() -> Iterator[None]:
    """Kernels that are started meanwhile begin like that; not for tests of limits, which a fork does not inherit."""
    from unittest.mock import patch

    with patch.dict(os.environ, {"JUPYTER_PATH": os.environ[KERNELS]} if KERNELS in os.environ else {}):
        yield


def processes(*modules: str) -> BaseContext:
    """How multiprocessing begins processes: as forks of one that has imported these modules, where there are forks."""
    import multiprocessing.forkserver

    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    stop_forkserver()
    multiprocessing.set_forkserver_preload([*modules])
    multiprocessing.forkserver.ensure_running()  # before Dask says what it would import
    return multiprocessing.get_context("forkserver")


def stop_forkserver() -> None:
    """A process has one fork server, and who comes first chooses what it imports: the next may choose again."""
    import multiprocessing.forkserver

    multiprocessing.forkserver._forkserver._stop()


# ---- the process with the libraries ----------------------------------------------------------------------------------


@contextmanager
def kernels(environment: dict[str, str], wait: bool = True) -> Iterator[dict[str, str]]:
    """Let Jupyter's kernels be forks of a process that has its libraries under `environment`; theirs is to be that.

    `wait` until they are imported: on a busy machine Jupyter's own patience with a kernel might end before.
    """
    from unittest.mock import patch

    if not FORKS:
        yield environment
        return
    with TemporaryDirectory() as folder:
        path = {"JUPYTER_PATH": f"{folder}/kernels"}
        with _server(path["JUPYTER_PATH"], environment, wait), patch.dict(os.environ, path):
            yield {**environment, **path}


@contextmanager
def unit() -> Iterator[dict[str, str]]:
    """The environment in which unit tests find all this; where there is one already, that."""
    from unittest.mock import patch

    if not FORKS or PYTHON in os.environ:
        yield {}
        return
    with TemporaryDirectory() as folder:
        environment = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}  # what tests/conftest.py would set too late
        for_tests, for_clients = f"{folder}/tests", f"{folder}/clients"
        with (
            _server(for_clients, environment, wait=False),
            patch.dict(os.environ, {CLIENTS: f"{for_clients}/python"}),
            _server(for_tests, environment, wait=False),
        ):
            yield {PYTHON: f"{for_tests}/python", KERNELS: for_tests}


@contextmanager
def _server(folder: str, environment: dict[str, str], wait: bool) -> Iterator[None]:
    """A process with libraries; where there is one for clients, a fork of that."""
    os.mkdir(folder)
    command, own = [python(CLIENTS), __file__, "serve", folder], {**os.environ, **environment}
    with subprocess.Popen(command, env=own, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as server:
        try:
            came = server.stdout.read(1 + wait)
            assert len(came) == 1 + wait, "the process with the libraries did not start"
            yield
        finally:
            server.kill()


def serve(folder: str) -> None:
    """Import the libraries, then fork for everybody who asks; who does so earlier waits.

    `folder` gets the command "python" that asks, and a kernel of that, in place of Jupyter's own.
    """
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{folder}/socket")
    server.listen()
    command, kernel = Path(folder, "python"), Path(folder, "kernels", "python3", "kernel.json")
    asks = shlex.join([sys.executable, "-IS", __file__, "ask", folder])
    command.write_text(f'#!/bin/sh\nexec {asks} "$@"\n')
    command.chmod(0o700)
    kernel.parent.mkdir(parents=True)
    starts = [str(command), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    starts.append(f"--IPKernelApp.parent_handle={os.getpid()}")
    kernel.write_text(json.dumps({"argv": starts, "display_name": "Python 3", "language": "python"}))
    print(".", end="", flush=True)
    kind = Path(folder).name
    gc.disable()  # in what is imported there is no garbage: to look through it takes a fifth of the time
    sys.stderr = _Later()
    with _as_in_a_kernel() if kind == "kernels" else nullcontext():
        for module, names in (LIBRARIES if kind == "clients" else LIBRARIES | ASKING).items():
            for name in names:
                getattr(import_module(module), name)
    sys.stderr = sys.__stderr__
    if kind == "kernels":
        sys.modules["matplotlib"].rcParams["backend"] = "module://matplotlib_inline.backend_inline"
    gc.freeze()  # nor need a fork look there: it takes a third of a second each time
    gc.enable()
    print(".", end="", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who asked learns of a fork's end from their connection
    with server:
        while True:
            connection = server.accept()[0]
            if os.fork() == 0:
                break
            connection.close()
    _begin(connection)


class _Later:
    """A stream for those who keep sys.stderr from their import on, as loggers do: whatever it is by then."""

    def __getattr__(self, name: str):
        return getattr(sys.__stderr__ if sys.stderr is self else sys.stderr, name)


@contextmanager
def _as_in_a_kernel() -> Iterator[None]:
    """For pandas and tqdm, which ask once, when they are imported: is this a kernel?"""
    from unittest.mock import patch

    import_module("ipykernel.kernelapp")
    for name in [name for name in sys.modules if name.partition(".")[0] == "tqdm"]:
        del sys.modules[name]  # it may have asked already
    kernel = SimpleNamespace(kernel=True, config={"IPKernelApp": {}})
    with (
        patch("IPython.get_ipython", lambda: kernel),
        patch("builtins.get_ipython", lambda: kernel, create=True),
    ):
        yield


# ---- a fork, and who asks for it -------------------------------------------------------------------------------------


def ask(folder: str, *arguments: str) -> None:
    """What others take for Python."""
    numbers = [int(number) for number in os.listdir("/proc/self/fd")]
    numbers = [number for number in numbers if number < 3 or _is_open(number) and os.get_inheritable(number)]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{folder}/socket")
        order = json.dumps([arguments, os.getcwd(), dict(os.environ), numbers]).encode()
        # in a stream two messages may arrive as one, and a long one in pieces: the order has its length before it, and
        # the fork's number is always four bytes
        socket.send_fds(connection, [_four(len(order))], numbers)
        connection.sendall(order)
        fork = int.from_bytes(connection.recv(4), "big") or sys.exit("The process with the libraries has ended.")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(fork, number))
        status = connection.recv(1)
    sys.exit(status[0] if status else 1)  # none of one that was killed


def _four(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _is_open(number: int) -> bool:
    with suppress(OSError):
        return bool(os.fstat(number))
    return False


def _begin(connection: socket.socket) -> None:
    """In the fork: be the Python that was asked for."""
    import fcntl  # not on Windows

    size, given, *_ = socket.recv_fds(connection, 4, 250)
    with connection.makefile("rb") as stream:
        arguments, folder, environment, numbers = json.loads(stream.read(int.from_bytes(size, "big")))
    os.setsid()
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 300) for number in (connection.detach(), *given)]
    for number in given:
        os.close(number)
    connection = socket.socket(fileno=high[0])
    for number, now in zip(numbers, high[1:], strict=True):
        os.dup2(now, number)
        os.close(now)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status, own = 1, os.getpid()

    def end() -> None:
        if os.getpid() == own:  # and not a fork of this one
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                connection.send(bytes([status]))

    atexit.register(end)
    connection.send(_four(own))
    threading.Thread(target=lambda: connection.recv(1) or os._exit(1), daemon=True).start()  # nobody needs it any more
    try:
        _run(arguments)
        status = 0
    except SystemExit as ended:
        status = ended.code & 255 if isinstance(ended.code, int) else int(ended.code is not None)
        raise


def _run(arguments: list[str]) -> None:
    """What Python does with its arguments."""
    while arguments[0] in ("-u", "-B", "-I"):
        arguments.pop(0)
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = ["", *filter(None, path)]
    sys.modules.pop("sitecustomize", None)
    with suppress(ImportError):
        import_module("sitecustomize")
    match arguments:
        case ["-c", code, *_]:
            sys.argv = [arguments[0], *arguments[2:]]
            sys.modules["__main__"] = ModuleType("__main__")
            exec(code, vars(sys.modules["__main__"]))
        case ["-m", module, *_]:
            sys.argv, sys.path[0] = arguments[1:], os.getcwd()
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [file, *_]:
            sys.argv, sys.path[0] = arguments, str(Path(file).resolve().parent)
            runpy.run_path(file, run_name="__main__")


def main() -> None:
    what, *given = sys.argv[1:]
    if what == "serve":
        serve(*given)
    elif what == "ask":
        ask(*given)
    else:
        with kernels({}, wait=False) if what == "kernels" else unit() as environment:  # the command begins meanwhile
            sys.exit(subprocess.call(given, env={**os.environ, **environment}))


if __name__ == "__main__":
    main()

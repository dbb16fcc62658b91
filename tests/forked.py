"""Processes that begin as forks of one in which the lessons' libraries are imported: seconds less for each.

    python -m tests.forked kernels COMMAND     in which nbval's kernels are such forks
    python -m tests.forked workers COMMAND     in which xdist's workers are, and the clients of a Hub (tests/hub.py)

For Jupyter it is a kernel like any other, and for xdist a Python like any other. What they start is this file, which
asks the process with the libraries for a fork, hands signals on to it, and ends when it ends. Of this project nothing
is imported beforehand, and for the clients nothing that asks once where the Hub is. Where there are no forks all is as
without it.
"""

from __future__ import annotations

import gc
import json
import multiprocessing.forkserver
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from multiprocessing.context import BaseContext
from pathlib import Path
from runpy import run_path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

NAME = "forked" if sys.platform == "linux" else "python3"  # elsewhere libraries do not outlive a fork
PLACE = "FORKED"  # the environment variable that says where the process with the libraries listens
CLIENTS = "FORKED_CLIENTS"  # and where another does, for clients of a Hub
LIBRARIES = {
    "torch": ["Tensor"], "librosa": ["load", "onset", "feature"], "scipy": ["stats", "signal", "spatial"],
    "pandas": ["DataFrame"], "matplotlib.figure": ["Figure"], "matplotlib.backends.backend_agg": ["FigureCanvasAgg"],
}  # fmt: skip
OF_THE_HUB = {
    "diffusers": ["AudioLDMPipeline", "AutoencoderKL", "UNet2DConditionModel", "DDIMScheduler"],
    "transformers": ["ClapModel", "ClapProcessor", "RobertaTokenizerFast", "SpeechT5HifiGan"],
    "peft": ["LoraConfig"],
}
INLINE = "module://matplotlib_inline.backend_inline"  # what a kernel sets before anybody imports matplotlib


@contextmanager
def kernels(environment: dict[str, str], wait: bool = True) -> Iterator[dict[str, str]]:
    """Give Jupyter the kernel NAME, its libraries imported under `environment`; what its users' is to be.

    `wait` until they are imported: on a busy machine Jupyter's own patience with a kernel might end before.
    """
    if NAME == "python3":
        yield environment
        return
    with TemporaryDirectory() as folder:
        environment = {**environment, PLACE: f"{folder}/socket"}
        environment["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))
        spec = Path(folder, "kernels", NAME, "kernel.json")
        spec.parent.mkdir(parents=True)
        start = [sys.executable, "-I", __file__, "{connection_file}"]
        spec.write_text(json.dumps({"argv": start, "display_name": NAME, "language": "python"}))
        with (
            _server("kernels", {**environment, "MPLBACKEND": INLINE}, wait),
            patch.dict(os.environ, JUPYTER_PATH=environment["JUPYTER_PATH"]),
        ):
            yield environment


@contextmanager
def workers() -> Iterator[dict[str, str]]:
    """The environment in which xdist's workers ask for a fork; it has what tests/conftest.py would set too late."""
    if NAME == "python3":
        yield {}
        return
    with TemporaryDirectory() as folder:
        environment = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", **os.environ}
        environment |= {PLACE: f"{folder}/workers", CLIENTS: f"{folder}/clients"}
        of_clients = {**environment, PLACE: environment[CLIENTS]}
        with _server("workers", environment, wait=False), _server("clients", of_clients, wait=False):
            yield environment


@contextmanager
def _server(kind: str, environment: dict[str, str], wait: bool) -> Iterator[None]:
    own, command = {**os.environ, **environment}, [sys.executable, __file__, "serve", kind]
    with subprocess.Popen(command, env=own, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as server:
        try:
            came = server.stdout.read(1 + wait)
            assert len(came) == 1 + wait, "the process with the libraries did not start"
            yield
        finally:
            server.kill()


def processes(*modules: str) -> BaseContext:
    """How multiprocessing begins processes: as forks of one that has imported these modules, where there are forks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    stop_forkserver()
    multiprocessing.set_forkserver_preload([*modules])
    multiprocessing.forkserver.ensure_running()  # before Dask says what it would import
    return multiprocessing.get_context("forkserver")


def stop_forkserver() -> None:
    """A process has one fork server, and who comes first chooses what it imports: the next may choose again."""
    multiprocessing.forkserver._forkserver._stop()


class _Later:
    """A stream for those who keep sys.stderr from their import on, as loggers do: whatever it is by then."""

    def __getattr__(self, name: str):
        return getattr(sys.__stderr__ if sys.stderr is self else sys.stderr, name)


def serve(kind: str) -> None:
    """Import what kernels, workers or clients need, then fork for everybody who asks; who does so earlier waits."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.environ[PLACE])
    server.listen()
    print(".", end="", flush=True)
    gc.disable()  # in what is imported there is no garbage: to look through it takes a fifth of the time
    libraries = LIBRARIES if kind == "clients" else LIBRARIES | OF_THE_HUB
    with _as_in_a_kernel() if kind == "kernels" else nullcontext():
        for module, names in libraries.items():
            for name in names:
                getattr(import_module(module), name)
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
    _begin(kind, connection)


def _begin(kind: str, connection: socket.socket) -> None:
    """In the fork: become what was asked for."""
    order, streams, *_ = socket.recv_fds(connection, 1 << 20, 3)
    arguments, folder, environment = json.loads(order)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = ""  # as in every kernel, and with -c
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.send(str(os.getpid()).encode())
    threading.Thread(target=lambda: connection.recv(1) or os._exit(1), daemon=True).start()  # nobody needs it any more
    if kind == "kernels":
        parent = f"--IPKernelApp.parent_handle={os.getppid()}"
        import_module("ipykernel.kernelapp").launch_new_instance(argv=["-f", *arguments, parent])
    else:
        run_path(str(Path(__file__).parent / "start" / "sitecustomize.py"))  # as every Python that the tests start
        sys.modules["__main__"] = ModuleType("__main__")
        exec(arguments[-1], vars(sys.modules["__main__"]))  # python -u -c CODE


@contextmanager
def _as_in_a_kernel() -> Iterator[None]:
    """For pandas and tqdm, which ask once, when they are imported: is this a kernel?"""
    import_module("ipykernel.kernelapp")
    kernel = SimpleNamespace(kernel=True, config={"IPKernelApp": {}})
    with (
        patch("IPython.get_ipython", lambda: kernel),
        patch("builtins.get_ipython", lambda: kernel, create=True),
        patch("sys.stderr", _Later()),
    ):
        yield


def ask(arguments: list[str]) -> None:
    """What Jupyter takes for the kernel, and xdist for Python."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[PLACE])
        order = arguments, os.getcwd(), dict(os.environ)
        socket.send_fds(connection, [json.dumps(order).encode()], [0, 1, 2])
        fork = int(connection.recv(20))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(fork, number))
        connection.recv(1)


def main() -> None:
    what, *given = sys.argv[1:]
    if what == "serve":
        serve(*given)
    elif what in ("kernels", "workers"):
        with kernels({}, wait=False) if what == "kernels" else workers() as environment:  # the command begins meanwhile
            if what == "kernels":
                environment["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} --nbval-kernel-name={NAME}"
            sys.exit(subprocess.call(given, env={**os.environ, **environment}))
    else:
        ask(sys.argv[1:])


if __name__ == "__main__":
    main()

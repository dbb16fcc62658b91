"""Kernels that begin as forks of one process in which the lessons' libraries are imported: seconds less for each.

    python -m tests.forked pytest --nbval ...     run the tests of nbval with such kernels, where there are forks

For Jupyter it is a kernel like any other. What it starts is this file, which asks the process with the libraries for a
fork, hands signals on to it, and ends when it ends. Of this project nothing is imported beforehand.
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
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.context import BaseContext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import patch

NAME = "forked" if sys.platform == "linux" else "python3"  # elsewhere libraries do not outlive a fork
PLACE = "FORKED_KERNELS"  # the environment variable that says where the process with the libraries listens
LIBRARIES = {
    "ipykernel.kernelapp": ["launch_new_instance"],
    "diffusers": ["AudioLDMPipeline", "AutoencoderKL", "UNet2DConditionModel", "DDIMScheduler"],
    "transformers": ["ClapModel", "ClapProcessor", "RobertaTokenizerFast", "SpeechT5HifiGan"],
    "librosa": ["load", "onset", "feature"], "scipy": ["stats"], "pandas": ["DataFrame"], "peft": ["LoraConfig"],
    "matplotlib.figure": ["Figure"], "matplotlib.backends.backend_agg": ["FigureCanvasAgg"],
}  # fmt: skip
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
        own = {**os.environ, **environment, "MPLBACKEND": INLINE}
        with (
            subprocess.Popen([sys.executable, __file__], env=own, stdout=subprocess.PIPE) as server,
            patch.dict(os.environ, JUPYTER_PATH=environment["JUPYTER_PATH"]),
        ):
            try:
                came = server.stdout.read(1 + wait)
                assert len(came) == 1 + wait, "the process with the libraries did not start"
                yield environment
            finally:
                server.kill()


def processes(*modules: str) -> BaseContext:
    """How multiprocessing begins processes: as forks of one that has imported these modules, where there are forks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    multiprocessing.forkserver._forkserver._stop()  # that of other tests has imported others
    multiprocessing.set_forkserver_preload([*modules])
    multiprocessing.forkserver.ensure_running()  # before Dask says what it would import
    return multiprocessing.get_context("forkserver")


class _Later:
    """A stream for those who keep sys.stderr from their import on, as loggers do: whatever it is by then."""

    def __getattr__(self, name: str):
        return getattr(sys.__stderr__ if sys.stderr is self else sys.stderr, name)


def serve() -> None:
    """Import what the lessons do, then fork a kernel for everybody who asks; who does so earlier waits."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.environ[PLACE])
    server.listen()
    print(".", end="", flush=True)
    gc.disable()  # in what is imported there is no garbage: to look through it takes a fifth of the time
    kernel = SimpleNamespace(kernel=True, config={"IPKernelApp": {}})  # pandas and tqdm ask, once: is this a kernel?
    with (
        patch("IPython.get_ipython", lambda: kernel),
        patch("builtins.get_ipython", lambda: kernel, create=True),
        patch("sys.stderr", _Later()),
    ):
        for module, names in LIBRARIES.items():
            for name in names:
                getattr(import_module(module), name)
    gc.freeze()  # nor need a kernel look there: it takes a third of a second each time
    gc.enable()
    print(".", end="", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who asked learns of a kernel's end from their connection
    with server:
        while True:
            connection = server.accept()[0]
            if os.fork() == 0:
                break
            connection.close()
    order, streams, *_ = socket.recv_fds(connection, 1 << 20, 2)
    arguments, folder, environment = json.loads(order)
    os.setsid()
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = ""  # as in every kernel
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.send(str(os.getpid()).encode())
    threading.Thread(target=lambda: connection.recv(1) or os._exit(1), daemon=True).start()  # nobody needs it any more
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"
    import_module("ipykernel.kernelapp").launch_new_instance(argv=["-f", *arguments, parent])


def ask(arguments: list[str]) -> None:
    """What Jupyter takes for the kernel."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[PLACE])
        order = arguments, os.getcwd(), dict(os.environ)
        socket.send_fds(connection, [json.dumps(order).encode()], [1, 2])
        kernel = int(connection.recv(20))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(kernel, number))
        connection.recv(1)


def main() -> None:
    if sys.argv[1:2] == ["pytest"]:
        with kernels({}, wait=False) as environment:  # pytest begins meanwhile
            command = [sys.executable, "-m", *sys.argv[1:], f"--nbval-kernel-name={NAME}"]
            sys.exit(subprocess.call(command, env={**os.environ, **environment}))
    elif sys.argv[1:]:
        ask(sys.argv[1:])
    else:
        serve()


if __name__ == "__main__":
    main()

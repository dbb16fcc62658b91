"""Calls that depend on nothing but their arguments: torch's global settings neither leak into them nor out of them.

Explained in lesson 06 (`notebooks/06_inside_audioldm.ipynb`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from tqdm.std import tqdm

_locks: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_at_work: WeakSet[Any] = WeakSet()
_changing = threading.Lock()
_default_dtypes: list[torch.dtype] = []  # what it was, once for each call that is going on: it is one for all threads


def _alone() -> None:
    """In a forked process, whose parent's other threads do not exist: whoever waits for one of them waits for ever.

    So torch works with one thread, and what another thread held is free. The lock of tqdm's bars is one with the
    parent's, who would wait for ever for a process that was killed with it in its hand: here they get a new one.
    """
    global _changing
    torch.set_num_threads(1)
    _locks.clear()
    _at_work.clear()
    _changing = threading.Lock()
    lock, bars = threading.RLock(), [tqdm]
    for bar in bars:
        bar.set_lock(lock)
        bars += bar.__subclasses__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_alone)


@contextmanager
def isolated(threads: int | None = None) -> Iterator[None]:
    """As if the caller had set nothing: no autocast, no inference mode, no gradients; float32, and the CPU, by default.

    `threads`: how many torch uses meanwhile on a CPU; None, or where OMP_NUM_THREADS is set, as many as before.
    """
    with ExitStack() as stack, _float32_by_default():
        contexts = [torch.inference_mode(False), torch.no_grad(), torch.device("cpu")]
        with suppress(AssertionError, RuntimeError):  # where the default device is not there
            if torch.empty(0).device.type == "cpu":
                contexts.pop()  # it would cost every operation of torch a few microseconds
        contexts += [torch.autocast(k, enabled=False) for k in ("cpu", "cuda", "mps") if torch.is_autocast_enabled(k)]
        for context in contexts:
            stack.enter_context(context)
        if threads and "OMP_NUM_THREADS" not in os.environ:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(threads)
        yield


@contextmanager
def _float32_by_default() -> Iterator[None]:
    with _changing:  # only the first of several calls at once finds what the caller has set, and the last restores it
        _default_dtypes.append(_default_dtypes[0] if _default_dtypes else torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _changing:
            before = _default_dtypes.pop()
            torch.set_default_dtype(torch.float32 if _default_dtypes else before)


@contextmanager
def one_call_at_a_time(thing: Any) -> Iterator[None]:
    """Hold a pipeline for one call: its scheduler and tokenizer keep the state of the call that is going on.

    Another thread waits. Raises RuntimeError for a call from within a call's own callback. Sweeps hold themselves so,
    for the checkpoint that is loaded: a lock that is made elsewhere would not be free in a forked process.
    """
    with _locks.setdefault(thing, threading.RLock()):
        if thing in _at_work:
            raise RuntimeError("This pipeline is in the middle of a clip: load a second one to use in its callback.")
        _at_work.add(thing)
        try:
            yield
        finally:
            _at_work.discard(thing)

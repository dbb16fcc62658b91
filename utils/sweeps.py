"""One clip for every combination of settings, kept in a folder: interrupt it, kill it, call it again, nothing is lost.

A clip's files are named by a hash of everything that shapes its sound, so what is there is never made again, and there
is no index that could be lost. Explained in lesson 03 (`notebooks/03_steps_and_length.ipynb`).
"""

from __future__ import annotations

import atexit
import gc
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

import utils

from .checkpoints import MINIS
from .checks import whole
from .clip import Clip
from .clipfiles import is_whole, read_clip, write_clip
from .fingerprint import fingerprint
from .generation import MAX_BATCH, generate_batch
from .isolation import one_call_at_a_time
from .loading import checkpoint_name, load_pipeline, locate
from .points import Point, axes_of, batches, several
from .prompts import Request

if TYPE_CHECKING:
    from diffusers import AudioLDMPipeline

MEASURES = (  # those of one clip, by name
    "loudness_db", "noise_floor_db", "spectral_flatness", "spectral_centroid_hz", "onset_rate", "tempo_bpm",
    "clipped_share", "is_silent", "clap_similarity",
)  # fmt: skip
ASK_ABOVE = 500  # clips: an hour on a CPU at the real checkpoints' size

_loaded: dict[str, AudioLDMPipeline] = {}  # at most one: the next checkpoint takes its memory
_prints: dict[AudioLDMPipeline, str] = {}  # fingerprints of the pipelines of this sweep


def sweep(
    checkpoints: AudioLDMPipeline | str | os.PathLike | Sequence[AudioLDMPipeline | str | os.PathLike],
    prompts: str | Iterable[str],
    *,
    num_inference_steps: int | Iterable[int] = 10,
    audio_length_in_s: float | Iterable[float] = 5.12,
    guidance_scale: float | Iterable[float] = 2.5,
    negative_prompts: str | None | Iterable[str | None] = None,
    seeds: int | Iterable[int] = range(3),
    folder: str | os.PathLike | None = None,
    measures: Iterable[str | Callable[[Clip], float]] = (),
    batch_size: int | None = None,
    executor: Executor | None = None,
    confirm: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Generate a clip for every combination of settings; what is finished in `folder` already is not done again.

    The same seed starts from the same noise in every checkpoint, prompt, step count and guidance, so rows that
    differ in one setting differ by that setting alone. A setting takes one value or several.

    Args:
        checkpoints: pipelines, or what `load_pipeline` takes: those are loaded one after the other, and freed.
        prompts, num_inference_steps, audio_length_in_s, guidance_scale, negative_prompts, seeds: as in `generate`.
        folder: where the clips are kept; None keeps them until Python ends. Several sweeps, even at the same time,
            can share a folder and each other's clips.
        measures: names of measures of one clip ("noise_floor_db", "clap_similarity", ...) or functions of a clip; each
            makes a column. They can be added later: the clips stay.
        batch_size: clips generated together, 1 to 64, where steps, length and guidance are equal; by default 8 for
            the minis and with CUDA, else 1: a real checkpoint gains a tenth of its time from it on a CPU, and would
            lose more at an interruption. It changes a clip by no more than float tolerance. The bits depend on it, but
            not on where a sweep was interrupted.
        executor: any `concurrent.futures.Executor`, for example Dask's `Client(...).get_executor()` or a
            `ProcessPoolExecutor`; checkpoints are then named, and each worker process loads its own. `folder` must
            be the same for all workers.
        confirm: start even if there are more than 500 clips.
        progress: show a bar with the time left (the environment variable TQDM_DISABLE=1 hides it, too).

    Returns:
        A table with a row for each clip, in the order of checkpoints, prompts, negative prompts, guidance, lengths,
        steps, seeds: these settings, scheduler, dtype, seconds (taken; a clip's equal share of its batch),
        real_time_factor (seconds taken for a second of sound), the measures, and file, an absolute path.
        `load_clips` gives the clips.

    Raises:
        TypeError, ValueError: a bad argument, or more than 500 clips without `confirm`; before anything is generated.
        OSError: the folder cannot be written, or a checkpoint cannot be had. What was finished stays finished.

    Explained in lesson 03.
    """
    sources = several("checkpoints", checkpoints, _source)
    axes = axes_of(prompts, negative_prompts, guidance_scale, audio_length_in_s, num_inference_steps, seeds)
    columns = {getattr(measure, "__name__", measure): _measure(measure) for measure in measures}
    if batch_size is None:
        minis = {checkpoint_name(s) if not isinstance(s, str) else locate(s)[0] for s in sources} <= MINIS
        batch_size = 8 if minis or torch.cuda.is_available() else 1
    whole("batch_size", batch_size, 1, MAX_BATCH)
    if executor and not all(isinstance(source, str) for source in sources):
        raise TypeError(
            "With an executor, name the checkpoints instead of giving pipelines: each worker loads its own."
        )
    count = math.prod(map(len, (sources, *axes)))  # before it is built: it may be large
    if count > ASK_ABOVE and not confirm:
        raise ValueError(
            f"This grid has {count:,} clips: pass confirm=True to start (the bar says how long it takes, and what is "
            "finished survives any interruption), or leave some out."
        )
    points = [Point(*values) for values in product(*axes)]  # the last setting changes fastest
    place = _prepared(folder)
    tasks = [(source, batch, size, place) for source in sources for batch, size in batches(points, batch_size)]
    files = {}
    form = "{l_bar}{bar}| {elapsed} passed, {remaining} left{postfix}"
    total = sum(point.work for point in points) * len(sources)
    hidden = {} if progress else {"disable": True}  # not False: TQDM_DISABLE would count no more
    try:
        with tqdm(total=total, desc="Sweep", bar_format=form, leave=False, **hidden) as bar:
            for (source, batch, *_), (paths, made) in _results(tasks, executor):
                files |= {(source, point): path for point, path in zip(batch, paths, strict=True)}
                work = sum(point.work for point in batch)
                if made:
                    bar.update(work)
                else:  # finished earlier: it says nothing about the time left
                    bar.total -= work
                bar.set_postfix_str(f"{len(files)} of {count} clips")
    finally:
        _free()
    return pd.DataFrame(_row(files[key], columns) for key in product(sources, points))


def load_clips(table: pd.DataFrame) -> list[Clip]:
    """The clips of a sweep's table, or of a part of it, row by row.

    Raises OSError if a clip's files are not there any more, or damaged. Explained in lesson 03.
    """
    return [read_clip(Path(file)) for file in table["file"]]


# ---- what to do


def _source(checkpoint):
    if not isinstance(checkpoint, (str, os.PathLike)):
        return checkpoint
    locate(checkpoint)  # a misspelt or missing one is noticed now, not after hours
    return os.fspath(checkpoint)


def _measure(measure: str | Callable) -> Callable:
    if callable(measure):
        return measure
    if measure not in MEASURES:
        raise ValueError(f"There is no measure {measure!r}: the names are {', '.join(MEASURES)}.")
    return getattr(utils, measure)


def _prepared(folder: str | os.PathLike | None) -> Path:
    if folder is None:
        temporary = tempfile.TemporaryDirectory(prefix="sweep-")
        atexit.register(temporary.cleanup)
        return Path(temporary.name)
    place = Path(folder).expanduser().resolve()  # a worker, or a later `chdir`, may be elsewhere
    try:
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise type(error)(error.errno, f"The clips cannot be kept there: {error.strerror}", str(place)) from None
    return place


# ---- doing it, here or in a worker


def _results(tasks: list[tuple], executor: Executor | None) -> Iterator[tuple[tuple, tuple[list[Path], bool]]]:
    if executor is None:
        for task in tasks:
            yield task, _finish(*task)
        return
    futures = {executor.submit(_finish, *task): task for task in tasks}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def _finish(source, batch: list[Point], size: int, folder: Path) -> tuple[list[Path], bool]:
    """Generate what is missing of a batch; return the paths of all its clips, and whether anything was missing."""
    with one_call_at_a_time(_finish):
        pipe = _open(source)
        if pipe not in _prints:
            _prints[pipe] = fingerprint(pipe)
        paths = {point: point.path(folder, _prints[pipe]) for point in batch}
        missing = [point for point, path in paths.items() if not is_whole(path)]
        if missing:
            filled = [point if point in missing else missing[0] for point in batch] + missing[:1] * (size - len(batch))
            clips = generate_batch(
                pipe,
                [Request(point.prompt, point.seed, point.negative_prompt) for point in filled],
                num_inference_steps=batch[0].num_inference_steps,
                audio_length_in_s=batch[0].audio_length_in_s,
                guidance_scale=batch[0].guidance_scale,
            )
            for point in missing:
                write_clip(paths[point], clips[batch.index(point)])
    return list(paths.values()), bool(missing)


def _open(source: AudioLDMPipeline | str) -> AudioLDMPipeline:
    if not isinstance(source, str):
        return source
    if source not in _loaded:
        _free()
        _loaded[source] = load_pipeline(source)
    return _loaded[source]


def _free() -> None:
    _prints.clear()
    if _loaded:
        _loaded.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _row(path: Path, columns: dict[str, Callable]) -> dict:
    clip = read_clip(path)
    taken = {"seconds": clip.seconds, "real_time_factor": clip.seconds / clip.duration}
    measured = {name: np.asarray(measure(clip)).item() for name, measure in columns.items()}
    return {**clip.settings, **taken, **measured, "file": str(path)}

"""Generate a clip for every combination of settings, kept in a folder: interrupted or killed, it resumes.

Explained in lesson 03 (`notebooks/03_steps_and_length.ipynb`).
"""

from __future__ import annotations

import gc
import inspect
import math
import os
import tempfile
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import diffusers
import joblib
import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

import utils

from . import features, generation, latents, vocoder
from .checkpoints import MINIS
from .checks import as_list, check_float, check_int, write_whole
from .clip import Clip
from .clip_store import clip_path, fingerprint, is_intact, read_clip, scheduler_fingerprint, write_clip
from .generation import MAX_BATCH, MAX_GUIDANCE, MAX_SECONDS, MAX_SEED, Request, generate_batch
from .loading import is_mini, load_pipeline, locate

if TYPE_CHECKING:
    from .loading import AudioLDMPipeline

MEASURES = (  # of one clip, by name
    "loudness_db", "noise_floor_db", "spectral_centroid_hz", "onset_rate", "clipped_share", "clap_similarity"
)  # fmt: skip
CONFIRM_ABOVE = 500  # clips: an hour on a CPU at the real checkpoints' size
# hash of the code from latents to waveform: an update that changes a sound makes its clips anew
SOURCE = joblib.hash([inspect.getsource(part) for part in (features, generation, latents, vocoder)])
Point = namedtuple(  # one clip of the grid, for one checkpoint
    "Point", "prompt negative_prompt guidance_scale audio_length_in_s num_inference_steps seed"
)
RESERVED = {*Point._fields, "checkpoint", "scheduler", "dtype", "adapters", "seconds", "real_time_factor", "file"}


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
    measures: str | Callable[[Clip], float] | Iterable[str | Callable[[Clip], float]] = (),
    batch_size: int | None = None,
    executor: Executor | None = None,
    confirm: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Generate a clip for every combination of settings; a clip that is finished in `folder` is not made again.

    The same seed starts from the same noise in every checkpoint, prompt, step count and guidance, so rows that
    differ in one setting differ by that setting alone. A setting takes one value or several.

    Args:
        checkpoints: pipelines, or names for `load_pipeline`: those are loaded one after the other, and freed.
        prompts, num_inference_steps, audio_length_in_s, guidance_scale, negative_prompts, seeds: as in `generate`;
            lengths from 0.08 s, the minis' minimum.
        folder: the place of the clips; None keeps them until Python ends. Several sweeps, even at the same time,
            can share a folder and each other's clips. A changed pipeline (weights, adapters and their scales, hooks,
            scheduler) makes its own, and so does a version of this project with other code between noise and sound.
        measures: names of measures of one clip ("noise_floor_db", "clap_similarity", ...) or functions of a clip; each
            makes a column by its name. They can be added later: the clips stay.
        batch_size: clips generated together, 1 to 64, where steps, length and guidance are equal; by default 8 for
            the minis and with CUDA, else 1: a real checkpoint gains a tenth of its time from it on a CPU, and would
            lose more at an interruption. It changes a clip by no more than float tolerance. The bits depend on it, but
            not on where a sweep was interrupted.
        executor: any object with the `submit` of `concurrent.futures.Executor`, such as Dask's `Client(...)` or a
            `ProcessPoolExecutor`; checkpoints are then named, and each worker process loads its own. `folder` must
            be the same for all workers.
        confirm: start even if there are more than 500 clips.
        progress: show a bar with the time left (the environment variable TQDM_DISABLE=1 hides it, too).

    Returns:
        A table with a row for each clip, in the order of checkpoints, prompts, negative prompts, guidance, lengths,
        steps, seeds: these settings, scheduler, dtype, adapters if there are any, seconds (taken; a clip's equal share
        of its batch), real_time_factor (seconds taken for a second of sound), the measures, and file, an absolute path.
        `load_clips` gives the clips.

    Raises:
        TypeError, ValueError: a bad argument, or more than 500 clips without `confirm`; before anything is fetched.
        OSError: the folder cannot be written, or a checkpoint cannot be loaded. Finished clips stay finished.
    """
    size = None if batch_size is None else check_int("batch_size", batch_size, 1, MAX_BATCH)
    sources = _values("checkpoints", checkpoints, lambda _, v: os.fspath(v) if isinstance(v, os.PathLike) else v)
    if not all(isinstance(s, str if executor else (str, diffusers.DiffusionPipeline)) for s in sources):
        raise TypeError("checkpoints are names or pipelines; with an executor names: each worker loads its own.")
    axes = [
        _values("prompts", prompts, lambda _, value: Request(value).prompt),
        _values("negative_prompts", negative_prompts, lambda _, value: Request("-", 0, value).negative_prompt),
        _values("guidance_scale", guidance_scale, check_float, 0, MAX_GUIDANCE),
        _values("audio_length_in_s", audio_length_in_s, check_float, 0.08, MAX_SECONDS, " s"),
        _values("num_inference_steps", num_inference_steps, check_int, 1, 1000),
        _values("seeds", seeds, check_int, 0, MAX_SEED),
    ]
    columns, count = _columns(measures), math.prod(map(len, (sources, *axes)))  # before it is built: it may be large
    if count > CONFIRM_ABOVE and not confirm:
        raise ValueError(f"This grid has {count:,} clips: pass confirm=True to start, or leave some out.")
    minis = [locate(s)[0] in MINIS if isinstance(s, str) else is_mini(s) for s in sources]  # all, before one is loaded
    points = [Point(*values) for values in product(*axes)]  # the last setting changes fastest
    batches = _batches(points, size or (8 if all(minis) or torch.cuda.is_available() else 1))
    place = Path(folder or tempfile.mkdtemp(prefix="sweep-")).expanduser().resolve()  # a worker may be elsewhere
    write_whole(place / ".sweep", b"")  # a folder that cannot be written is noticed now
    files, hidden = {}, {} if progress else {"disable": True}  # `disable=False` would override TQDM_DISABLE
    with tqdm(total=count, desc="Sweep", unit=" clips", leave=False, **hidden) as bar:
        for source, batch, paths in _results(sources, batches, place, executor):
            files |= {(source, point): path for point, path in zip(batch, paths, strict=True)}
            bar.update(len(batch))
    return pd.DataFrame(_row(files[key], columns) for key in product(sources, points))


def load_clips(table: pd.DataFrame | pd.Series) -> list[Clip]:
    """Return the clips of a sweep's table, of a part of it, or of one row.

    Raises TypeError for anything else, and OSError if a clip's files are missing or damaged.
    """
    if not isinstance(table, (pd.DataFrame, pd.Series)) or "file" not in table:
        raise TypeError(f"load_clips takes a sweep's table or rows of it, with `file`, not a {type(table).__name__}.")
    return [read_clip(Path(file)) for file in as_list("file", table["file"], least=0)]


# ---- checks, before anything is made


def _values(name: str, given: object, check: Callable, *limits) -> list:
    return list(dict.fromkeys(check(name, value, *limits) for value in as_list(name, given)))


def _columns(measures: object) -> dict[str, Callable]:
    """Return the measures by the names of their columns; ValueError where these are missing or not unique."""
    columns: dict[str, Callable] = {}
    for given in as_list("measures", measures, least=0):
        measure = getattr(utils, given) if isinstance(given, str) and given in MEASURES else given
        if not callable(measure):
            raise ValueError(f"There is no measure {given!r}: the names are {', '.join(MEASURES)}.")
        name = getattr(measure, "__name__", "")
        if not name.isidentifier() or name in RESERVED or columns.setdefault(name, measure) is not measure:
            raise ValueError(f"The measure {name or given!r} must be a `def` with a name that no other column has.")
    return columns


# ---- the work, here or in a worker


def _batches(points: list[Point], most: int) -> list[tuple[Point, ...]]:
    """Cut the grid evenly into batches of equal guidance, length and steps: a clip's bits depend on its batch."""
    groups: dict[tuple, list[Point]] = {}
    for point in points:
        groups.setdefault(point[2:5], []).append(point)
    cuts = [(group, math.ceil(len(group) / math.ceil(len(group) / most))) for group in groups.values()]
    return [tuple(group[start : start + size]) for group, size in cuts for start in range(0, len(group), size)]


def _results(sources: list, batches: list, place: Path, executor: Executor | None) -> Iterator[tuple]:
    """Yield each source and batch with the paths of its clips."""
    if executor is None:
        for source in sources:
            opened = _opened(source)
            yield from ((source, batch, _finish(*opened, batch, place)) for batch in batches)
            if isinstance(source, str):
                opened = None  # freed before the next one is loaded; a collection takes a quarter of a second
                gc.collect()
                torch.cuda.empty_cache()
        return
    tasks = {task: executor.submit(_in_worker, *task, place) for task in product(sources, batches)}
    try:
        yield from ((*task, future.result()) for task, future in tasks.items())
    finally:
        for future in tasks.values():
            future.cancel()
        _cached.cache_clear()  # where the workers are threads


def _opened(source: AudioLDMPipeline | str) -> tuple[AudioLDMPipeline, str]:
    pipe = load_pipeline(source) if isinstance(source, str) else source
    return pipe, fingerprint(pipe) + SOURCE


_cached = lru_cache(maxsize=1)(_opened)


def _in_worker(source: str, batch: Sequence[Point], folder: Path) -> list[Path]:
    return _finish(*_cached(source), batch, folder)


def _finish(pipe: AudioLDMPipeline, key: str, batch: Sequence[Point], folder: Path) -> list[Path]:
    """Write the missing clips of a batch, each made in its old place; return the paths of all.

    A clip's bits depend on the size of its batch, not on the others in it: fillers take the places of finished clips.
    """
    key += scheduler_fingerprint(pipe, batch[0].num_inference_steps)
    paths = [clip_path(folder, point, key) for point in batch]
    if missing := [index for index, path in enumerate(paths) if not is_intact(path)]:
        filled = [batch[index if index in missing else missing[0]] for index in range(len(batch))]
        requests = [Request(point.prompt, point.seed, point.negative_prompt) for point in filled]
        clips = generate_batch(pipe, requests, **{name: getattr(batch[0], name) for name in Point._fields[2:5]})
        for index in missing:
            write_clip(paths[index], clips[index])
    return paths


def _row(path: Path, columns: dict[str, Callable]) -> dict:
    clip = read_clip(path)
    taken = {"seconds": clip.seconds, "real_time_factor": clip.seconds / clip.duration}
    measured = {name: np.asarray(measure(replace(clip))).item() for name, measure in columns.items()}
    return {**clip.settings, **taken, **measured, "file": str(path)}

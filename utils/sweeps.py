"""One clip for every combination of settings, kept in a folder: interrupt it, kill it, call it again, nothing is lost.

A clip is two files: the sound (32-bit float WAV, exactly as generated) and then its row (JSON), which holds the
settings and the checksum of the sound. Each is written aside and moved into place, so it is there in full or not at
all; there is no index that could be lost. The files' name holds a hash of everything that shapes the sound. A third
kind of file notes that hash for the files of a checkpoint, so that what is finished can be had without loading it.
Explained in lesson 03 (`notebooks/03_steps_and_length.ipynb`).
"""

from __future__ import annotations

import atexit
import gc
import hashlib
import inspect
import io
import json
import math
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import diffusers
import numpy as np
import pandas as pd
import torch
import transformers
from scipy.io import wavfile

from . import clap
from . import measures as of_sound
from .checkpoints import MINIS
from .checks import number, whole
from .clip import Clip
from .files import write_whole
from .generation import MAX_BATCH, MAX_GUIDANCE, MAX_SECONDS, MAX_SEED, Request, generate_batch
from .loading import PROBE, checkpoint_name, load_pipeline, locate

if TYPE_CHECKING:
    from diffusers import AudioLDMPipeline

MEASURES = {  # those of one clip, by name
    measure.__name__: measure
    for measure in (
        of_sound.loudness_db,
        of_sound.noise_floor_db,
        of_sound.spectral_flatness,
        of_sound.spectral_centroid_hz,
        of_sound.onset_rate,
        of_sound.tempo_bpm,
        of_sound.clipped_share,
        of_sound.is_silent,
        clap.clap_similarity,
    )
}
ASK_ABOVE = 500  # clips: an hour on a CPU at the real checkpoints' size
PROBE_STEPS, PROBE_SECONDS = 10, 2.56  # of the clip that a long sweep's duration is estimated from

_one_at_a_time = threading.Lock()  # a pipeline's scheduler holds the state of one call
_loaded: dict[str, AudioLDMPipeline] = {}  # at most one: the next checkpoint takes its memory
_fingerprints: dict[AudioLDMPipeline, str] = {}  # of the pipelines given to this sweep


class Point(NamedTuple):
    """One clip of the grid, for one checkpoint."""

    prompt: str
    negative_prompt: str | None
    guidance_scale: float
    audio_length_in_s: float
    num_inference_steps: int
    seed: int

    @property
    def work(self) -> float:
        """What its time grows with: denoising steps times seconds of sound."""
        return self.num_inference_steps * self.audio_length_in_s


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
        measures: names in `utils.sweeps.MEASURES` ("noise_floor_db", "clap_similarity", ...) or functions of a
            clip; each makes a column. They can be added later: the clips stay.
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
        real_time_factor (seconds taken for a second of sound), the measures, and file. `load_clips` gives the clips.

    Raises:
        TypeError, ValueError: a bad argument, or more than 500 clips without `confirm`; before anything is generated.
        OSError: the folder cannot be written, or a checkpoint cannot be had. What was finished stays finished.

    Explained in lesson 03.
    """
    sources = _several("checkpoints", checkpoints, _source)
    axes = (
        _several("prompts", prompts, lambda v: Request(v).prompt),
        _several("negative_prompts", negative_prompts, lambda v: Request("-", negative_prompt=v).negative_prompt),
        _several("guidance_scale", guidance_scale, lambda v: number("guidance_scale", v, 0, MAX_GUIDANCE)),
        _several("audio_length_in_s", audio_length_in_s, _length),
        _several("num_inference_steps", num_inference_steps, lambda v: whole("num_inference_steps", v, 1, 1000)),
        _several("seeds", seeds, lambda v: whole("seed", v, 0, MAX_SEED)),
    )
    columns = dict(_measure(measure) for measure in measures)
    if batch_size is None:
        batch_size = 8 if torch.cuda.is_available() or all(map(_is_mini, sources)) else 1
    whole("batch_size", batch_size, 1, MAX_BATCH)
    if executor and not all(isinstance(source, str) for source in sources):
        raise TypeError(
            "With an executor, name the checkpoints instead of giving pipelines: each worker loads its own."
        )
    count = len(sources) * math.prod(map(len, axes))
    if count > ASK_ABOVE and not confirm:
        raise ValueError(
            f"This grid has {count:,} clips, about {_estimate(sources[0], count, axes)} of work here: pass "
            "confirm=True to start (what is finished survives any interruption), or leave some out."
        )
    place = _prepared(folder)
    points = [Point(*values) for values in product(*axes)]
    tasks = [
        (source, batch, size, place.resolve()) for source in sources for batch, size in _batches(points, batch_size)
    ]
    files = {}
    try:
        with _bar(sum(point.work for point in points) * len(sources), progress) as bar:
            for (source, batch, *_), (names, made) in _results(tasks, executor):
                files |= {(source, point): place / name for point, name in zip(batch, names, strict=True)}
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
    return [_read(Path(file)) for file in table["file"]]


# ---- what to do


def _several(name: str, values, check: Callable) -> list:
    if values is None or isinstance(values, (str, os.PathLike)) or not isinstance(values, Iterable):
        values = [values]
    values = list(dict.fromkeys(check(value) for value in values))
    if not values:
        raise ValueError(f"{name} is empty: give at least one.")
    return values


def _length(seconds) -> float:
    return number("audio_length_in_s", seconds, 0.04, MAX_SECONDS, " s")


def _source(checkpoint):
    if not isinstance(checkpoint, (str, os.PathLike)):
        return checkpoint
    locate(checkpoint)  # a misspelt or missing one is noticed now, not after hours
    return os.fspath(checkpoint)


def _is_mini(source) -> bool:
    return (locate(source)[0] if isinstance(source, str) else checkpoint_name(source)) in MINIS


def _measure(measure: str | Callable) -> tuple[str, Callable]:
    if callable(measure):
        return measure.__name__, measure
    if measure not in MEASURES:
        raise ValueError(f"There is no measure {measure!r}: the names are {', '.join(MEASURES)}.")
    return measure, MEASURES[measure]


def _prepared(folder: str | os.PathLike | None) -> Path:
    if folder is None:
        temporary = tempfile.TemporaryDirectory(prefix="sweep-")
        atexit.register(temporary.cleanup)
        return Path(temporary.name)
    place = Path(folder).expanduser().absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise type(error)(error.errno, f"The clips cannot be kept there: {error.strerror}", str(place)) from None
    return place


def _batches(points: Sequence[Point], most: int) -> Iterator[tuple[list[Point], int]]:
    """The grid cut into batches of equal steps, length and guidance, and the size to generate each in.

    All batches of a group have one size, and what is missing in one is made in its old place, the others' places filled
    up: a clip's bits depend on the shape of its batch and (with several threads) on its place there, but not on its
    company. So they are the same after any interruption.
    """
    groups: dict[tuple, list[Point]] = {}
    for point in points:
        key = (point.num_inference_steps, point.audio_length_in_s, point.guidance_scale)
        groups.setdefault(key, []).append(point)
    for group in groups.values():
        size = math.ceil(len(group) / math.ceil(len(group) / most))
        for start in range(0, len(group), size):
            yield group[start : start + size], size


def _estimate(source, count: int, axes: Sequence[list]) -> str:
    settings = dict(num_inference_steps=PROBE_STEPS, audio_length_in_s=PROBE_SECONDS)
    with _one_at_a_time:
        pipe = _open(source)
        taken = min(
            generate_batch(pipe, [Request(PROBE)], **settings)[0].seconds for _ in range(2)
        )  # the first warms up
        _free()
    *_, lengths, steps, _ = axes
    work = count * (sum(lengths) / len(lengths)) * (sum(steps) / len(steps))
    minutes = taken * work / (PROBE_STEPS * PROBE_SECONDS) / 60
    return f"{minutes:,.0f} minutes" if minutes < 120 else f"{minutes / 60:,.0f} hours"


def _bar(total: float, progress: bool):
    from tqdm.auto import tqdm

    form = "{l_bar}{bar}| {elapsed} passed, {remaining} left{postfix}"
    return tqdm(total=total, desc="Sweep", bar_format=form, leave=False, **({} if progress else {"disable": True}))


# ---- doing it, here or in a worker


def _results(tasks: list[tuple], executor: Executor | None) -> Iterator[tuple[tuple, tuple[list[str], bool]]]:
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


def _finish(source, batch: list[Point], size: int, folder: Path) -> tuple[list[str], bool]:
    """Generate what is missing of a batch; return the names of all its files, and whether anything was missing."""
    with _one_at_a_time:
        fingerprint = _fingerprint(source, folder)
        paths = {point: folder / _name(point, fingerprint) for point in batch}
        missing = [point for point, path in paths.items() if not _is_whole(path)]
        if missing:
            filled = [point if point in missing else missing[0] for point in batch] + missing[:1] * (size - len(batch))
            clips = generate_batch(
                _open(source),
                [Request(point.prompt, point.seed, point.negative_prompt) for point in filled],
                num_inference_steps=batch[0].num_inference_steps,
                audio_length_in_s=batch[0].audio_length_in_s,
                guidance_scale=batch[0].guidance_scale,
            )
            for point in missing:
                _write(paths[point], clips[batch.index(point)])
    return [path.name for path in paths.values()], bool(missing)


def _open(source: AudioLDMPipeline | str) -> AudioLDMPipeline:
    if not isinstance(source, str):
        return source
    files = _files_of(source)
    if files not in _loaded:
        _free()
        _loaded[files] = load_pipeline(source)
    return _loaded[files]


def _free() -> None:
    _fingerprints.clear()
    if _loaded:
        _loaded.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _files_of(name: str) -> str:
    """A hash of what decides which pipeline a name loads: its files, our code, the libraries, whether there is CUDA."""
    label, folder, _ = locate(name)
    files = sorted([*folder.glob("*.json"), *folder.glob("*/*"), *Path(__file__).parent.glob("*.py")])
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    libraries = diffusers.__version__, transformers.__version__, torch.cuda.is_available()
    return hashlib.sha256(json.dumps([label, libraries, stats]).encode()).hexdigest()


def _fingerprint(source: AudioLDMPipeline | str, folder: Path) -> str:
    """What a clip's name has of its checkpoint; a named one is loaded only if `folder` has no note of it."""
    if not isinstance(source, str):
        if source not in _fingerprints:
            _fingerprints[source] = _hash(source)
        return _fingerprints[source]
    note = folder / f".{_files_of(source)}"
    with suppress(OSError):
        if re.fullmatch("[0-9a-f]{64}", known := note.read_text()):
            return known
    fingerprint = _hash(_open(source))
    write_whole(note, fingerprint.encode())
    return fingerprint


def _hash(pipe: AudioLDMPipeline) -> str:
    """A hash of what a pipeline turns settings into sound with: name, weights, configurations, tokenizer.

    Taken from memory, not from files, so it sees a swapped scheduler, other attention heads or a fine-tuned weight.
    Values that a configuration leaves at their default are left out: another version of diffusers may have more.
    """
    seen = hashlib.sha256(json.dumps([checkpoint_name(pipe), pipe.tokenizer(PROBE).input_ids]).encode())
    for name, part in sorted(pipe.components.items()):
        if isinstance(part, diffusers.ConfigMixin):
            defaults = part.config.get("_use_default_values", [])
            chosen = {k: v for k, v in part.config.items() if not k.startswith("_") and k not in defaults}
            seen.update(json.dumps([name, type(part).__name__, chosen], sort_keys=True, default=str).encode())
        if type(part).__module__.startswith("utils."):  # a mini's vocoder: what is not in its numbers is in our code
            seen.update(inspect.getsource(sys.modules[type(part).__module__]).encode())
        if isinstance(part, torch.nn.Module):
            for key, value in sorted(part.named_parameters()):
                seen.update(f"{name}.{key} {value.dtype}".encode())
                seen.update(value.detach().reshape(-1).view(torch.uint8).cpu().numpy())
    return seen.hexdigest()


# ---- the files


def _name(point: Point, fingerprint: str) -> str:
    """The name of a clip's sound file: words of the prompt for who browses the folder, and the hash that counts."""
    words = re.sub(r"[^a-z0-9]+", "-", point.prompt.lower())[:40].strip("-") or "clip"
    key = hashlib.sha256(json.dumps([point._asdict(), fingerprint], sort_keys=True).encode()).hexdigest()[:24]
    return f"{words}-{key}.wav"


def _write(path: Path, clip: Clip) -> None:
    sound = io.BytesIO()
    wavfile.write(sound, clip.sample_rate, clip.waveform)  # float32, and no time stamp as libsndfile would add
    row = {"file": path.name, "seconds": clip.seconds, "settings": clip.settings}
    row["sha256"] = _checksum(sound.getvalue(), row)
    write_whole(path, sound.getvalue())
    write_whole(path.with_suffix(".json"), json.dumps(row, indent=1).encode())


def _checksum(sound: bytes, row: dict) -> str:
    return hashlib.sha256(sound + json.dumps(row, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> Clip:
    try:
        row = json.loads(path.with_suffix(".json").read_bytes())
        data = path.read_bytes()
        if row.pop("sha256") != _checksum(data, row) or row["file"] != path.name:
            raise ValueError("the checksum differs")
        rate, waveform = wavfile.read(io.BytesIO(data))
        return Clip(waveform.copy(), rate, row["settings"], row["seconds"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OSError(f"The clip {path} is missing or damaged ({error}): run the sweep again.") from error


def _is_whole(path: Path) -> bool:
    try:
        _read(path)
    except OSError:
        return False
    return True


def _row(path: Path, columns: dict[str, Callable]) -> dict:
    clip = _read(path)
    taken = {"seconds": clip.seconds, "real_time_factor": clip.seconds / clip.duration}
    measured = {name: np.asarray(measure(clip)).item() for name, measure in columns.items()}
    return {**clip.settings, **taken, **measured, "file": str(path)}

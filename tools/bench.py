"""The speed tables: `generate` beside the model card's own snippet, on the same pipeline, in one run.

    python -m tools.bench               the real size with random weights, and the mini: some minutes
    python -m tools.bench NAME [...]    checkpoints by the names that `load_pipeline` takes

All rows of a table take turns within each round, in the next one backwards.
"""

from __future__ import annotations

import copy
import platform
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import diffusers
import numpy as np
import torch
from torch.utils.benchmark import Measurement, Timer

from utils import encode_prompt, generate, load_pipeline

PROMPT = "Techno music with a strong, upbeat tempo and high melodic riffs"
CARD = {"num_inference_steps": 10, "audio_length_in_s": 5.0}  # as in the model card's snippet
ROUNDS = 3


def where() -> str:
    """Return date, processor and versions, without which a table of speeds is worth nothing."""
    info = Path("/proc/cpuinfo")
    lines = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    chip = lines[0].partition(": ")[2] if lines else platform.processor() or platform.machine()
    if torch.cuda.is_available():
        chip = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}; {chip}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "transformers"))
    threads = f"{torch.get_num_threads()} CPU threads, best instruction set {torch.backends.cpu.get_cpu_capability()}"
    return f"{date.today()}: {chip}, {threads}, Python {platform.python_version()}, {versions}."


def snr_db(reference: np.ndarray, other: np.ndarray) -> float:
    """Return the signal-to-noise ratio of a waveform against a reference of the same length, in dB."""
    noise = np.square(reference - other, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(reference, dtype=np.float64).sum() / max(noise, 1e-30)))


def snippet(pipe, prompt: str = PROMPT, seed: int = 0, **settings) -> np.ndarray:
    """Return the waveform of the model card's call, with a seed so that waveforms can be compared."""
    return pipe(prompt, generator=torch.Generator("cpu").manual_seed(seed), **{**CARD, **settings}).audios[0]


def ours(pipe, clips: int = 1, **settings) -> np.ndarray:
    """Return the waveform that `generate` makes of the same request; of several clips in one batch, the first."""
    return generate(pipe, [PROMPT], num_waveforms_per_prompt=clips, **{**CARD, **settings})[0].waveform


def variants(pipe) -> dict[str, Callable[[], np.ndarray]]:
    """Return the rows of a table: the card's snippet, `generate`, and the inexact options."""

    def changed(**parts):
        return type(pipe)(**{**pipe.components, **parts})

    solver = diffusers.DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    ways = {"the card's snippet": partial(snippet, pipe), "generate": partial(ours, pipe)}
    ways["generate, 4 at once (seconds of all)"] = partial(ours, pipe, clips=4)
    ways["DPM-Solver++, 5 steps"] = partial(ours, changed(scheduler=solver), num_inference_steps=5)
    if pipe.vae_scale_factor == 4:  # oneDNN 3.12 returns NaN now and then where a mini's UNet is one pixel wide
        models = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        half = {name: copy.deepcopy(part).bfloat16() for name, part in models.items()}
        half |= {name: half[name].to(memory_format=torch.channels_last) for name in ("unet", "vae")}
        ways["bfloat16, channels_last"] = partial(ours, changed(**half))
        ways["... and DPM-Solver++, 5 steps"] = partial(ours, changed(**half, scheduler=solver), num_inference_steps=5)
    return ways


def timed(call: Callable, times: int = 1) -> Measurement:
    """Time a call with as many threads as torch has."""
    return Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads()).timeit(times)


def table(ways: dict[str, Callable], rounds: int = ROUNDS) -> None:
    """Time all ways in turn after a warm-up, and print a row for each; the first is the reference."""
    waveforms = {name: way() for name, way in ways.items()}
    found: dict[str, list[Measurement]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways)[:: (-1) ** turn]:
            found[name].append(timed(ways[name]))
    reference, *_ = ways
    print("| | median s | of the first row (range) | SNR dB |\n| --- | ---: | ---: | ---: |")
    for name, runs in found.items():
        ratios = [own.median / other.median for own, other in zip(runs, found[reference], strict=True)]
        heard = name != reference and waveforms[name] is not None
        snr = f"{snr_db(waveforms[reference], waveforms[name]):.0f}" if heard else ""
        spread = f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {Measurement.merge(runs)[0].median:.3f} | {spread} | {snr} |", flush=True)


def bench(source: str | Path, title: str) -> None:
    """Print the table of one checkpoint, and the cost of a prompt."""
    pipe = quiet(load_pipeline(source))
    print(f"\n## {title}: 5 s, 10 steps\n")
    table(variants(pipe))
    print(f"\nEncoding a prompt: {1000 * timed(partial(encode_prompt, pipe, PROMPT), 20).median:.2f} ms.")


def quiet(pipe):
    """Return the pipeline without its progress bars."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def main(names: list[str]) -> None:
    """Print a table for each of these checkpoints, by default for random weights of the real size and for a mini."""
    print(f"{where()} Seconds of the wall clock, {ROUNDS} rounds.")
    if not names:
        from tests.checkpoints import make_repository

        with tempfile.TemporaryDirectory() as folder:
            made = make_repository(Path(folder) / "real-size", real_size=True)
            bench(made, "The shape of audioldm-s-full-v2, 421M random weights")
    for name in names or ["mini-s-v2"]:
        bench(name, name)


if __name__ == "__main__":
    main(sys.argv[1:])

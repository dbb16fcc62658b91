"""The speed tables: `generate` beside the model card's own snippet, on the same pipeline, in one run.

    python -m tools.bench                       real size with random weights, the mini, and a sweep: some minutes
    python -m tools.bench mini sweep            only these parts
    python -m tools.bench --checkpoint NAME     real weights, by a name that `load_pipeline` takes

All rows of a table take turns within each round, in the next one backwards.
"""

from __future__ import annotations

import argparse
import copy
import platform
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from torch.profiler import profile, record_function
from torch.utils.benchmark import Measurement, Timer
from torch.utils.flop_counter import FlopCounterMode

from utils import encode_prompt, generate, load_pipeline, sweep

PROMPT = "Techno music with a strong, upbeat tempo and high melodic riffs"
CARD = {"num_inference_steps": 10, "audio_length_in_s": 5.0}  # as in the model card's snippet
PARTS = ["real", "mini", "sweep"]


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


def variants(pipe, compiled: bool = False) -> dict[str, Callable[[], np.ndarray]]:
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
    if compiled:
        ways["torch.compile(unet)"] = partial(ours, changed(unet=torch.compile(copy.deepcopy(pipe.unet))))
    return ways


def timed(call: Callable, times: int = 1) -> Measurement:
    """Time a call with as many threads as torch has."""
    return Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads()).timeit(times)


def table(ways: dict[str, Callable], rounds: int) -> None:
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


def stages(pipe, way: Callable) -> str:
    """Return the share of each part of the pipeline in the time of a call, by torch's profiler, and its GFLOP."""
    parts = {"text": pipe.text_encoder, "UNet": pipe.unet, "VAE": pipe.vae.decoder, "vocoder": pipe.vocoder}
    with ExitStack() as undo, profile() as profiler:
        for name, part in parts.items():
            undo.enter_context(patch.object(part, "forward", record_function(name)(part.forward)))
        way()
    kind = "device_time_total" if pipe.device.type == "cuda" else "cpu_time_total"
    spent = {event.key: getattr(event, kind) for event in profiler.key_averages() if event.key in parts}
    with FlopCounterMode(display=False) as counter:
        way()
    shares = ", ".join(f"{name} {spent[name] / sum(spent.values()):.0%}" for name in parts)
    return f"{shares}; {counter.get_total_flops() / 1e9:,.1f} GFLOP"


def bench(source: str | Path, title: str, rounds: int, compiled: bool) -> None:
    """Print the table of one checkpoint, the shares of its parts, and the cost of a prompt."""
    pipe = quiet(load_pipeline(source))
    print(f"\n## {title}: 5 s, 10 steps\n")
    table(variants(pipe, compiled), rounds)
    print(f"\nOf the snippet: {stages(pipe, partial(snippet, pipe))}.")
    print(f"Encoding a prompt: {1000 * timed(partial(encode_prompt, pipe, PROMPT), 20).median:.2f} ms.")


def bench_sweep(pipe, rounds: int) -> None:
    """Print the time of twelve clips by a plain loop over the snippet, and by `sweep`."""
    prompts = ["a dog barking", "rain", "a siren", PROMPT]

    def loop() -> None:
        for prompt, seed in product(prompts, range(3)):
            snippet(pipe, prompt, seed)

    def swept(**options) -> None:
        with tempfile.TemporaryDirectory() as folder:
            sweep(pipe, prompts, **CARD, seeds=range(3), progress=False, folder=folder, **options)

    ways = {f"sweep, batch_size={size}": partial(swept, batch_size=size) for size in (1, 4, 12)}
    table({"a loop over the snippet": loop, "sweep, by default": swept, **ways}, rounds)


def quiet(pipe):
    """Return the pipeline without its progress bars."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="|".join(PARTS))
    parser.add_argument("--checkpoint", help="for the part real: real weights instead of random ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="with torch.compile, which takes minutes to begin with")
    given = parser.parse_args()
    print(f"{where()} Seconds of the wall clock, {given.rounds} rounds.")
    if "real" in given.parts and given.checkpoint:
        bench(given.checkpoint, given.checkpoint, given.rounds, given.compile)
    elif "real" in given.parts:
        from tests.checkpoints import make_repository

        with tempfile.TemporaryDirectory() as folder:
            made = make_repository(Path(folder) / "real-size", real_size=True)
            bench(made, "The shape of audioldm-s-full-v2, 421M random weights", given.rounds, given.compile)
    if "mini" in given.parts:
        bench("mini-s-v2", "mini-s-v2", given.rounds, given.compile)
    if "sweep" in given.parts:
        print("\n## Twelve clips of mini-s-v2: 5 s, 10 steps\n")
        bench_sweep(quiet(load_pipeline("mini-s-v2")), given.rounds)


if __name__ == "__main__":
    main()

"""The speed tables: `generate` beside the model card's own snippet, on the same pipeline, in one run.

    python -m tools.bench                       real size with random weights, the mini, and a sweep: some minutes
    python -m tools.bench mini sweep            only these parts
    python -m tools.bench busy                  a mini's clip beside other processes that compute
    python -m tools.bench --checkpoint NAME     real weights, by a name that `load_pipeline` takes
    python -m tools.bench --clock cpu           seconds of one core instead of the wall's: for a machine that is busy

All variants of a table take turns within each round, in the next one backwards; a ratio compares a variant with the
snippet of its own round.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import ctypes
import io
import logging
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from utils import encode_prompt, generate, load_pipeline
from utils import prompts as asked

PROMPT = "Techno music with a strong, upbeat tempo and high melodic riffs"
CARD = {"num_inference_steps": 10, "audio_length_in_s": 5.0}  # as in the model card's snippet
STAGES = ("text", "UNet", "VAE", "vocoder")


@dataclass
class Variant:
    """One way to make the card's clip, or several at once: a pipeline, and what to call on it."""

    name: str
    pipe: object
    call: Callable[..., np.ndarray]
    clips: int = 1
    waveform: np.ndarray | None = None
    megabytes: float = 0.0  # of memory at work, beside the weights
    gflop: dict[str, float] = field(default_factory=dict)  # of one call of a stage
    runs: list[dict[str, float]] = field(default_factory=list)  # seconds of each stage and in all

    @property
    def dtype(self) -> torch.dtype:
        return self.pipe.unet.dtype

    @property
    def compiled(self) -> bool:
        return hasattr(self.pipe.unet, "_orig_mod")

    def seconds(self, stage: str) -> float:
        return statistics.median(run.get(stage, 0.0) for run in self.runs) / self.clips


class Meter:
    """Seconds, calls and GFLOP of each part of a pipeline, by hooks on the parts."""

    def __init__(self, clock: Callable[[], float]):
        self.clock = clock
        self.seconds: Counter = Counter()
        self.calls: Counter = Counter()
        self.gflop: Counter = Counter()
        self._counter: FlopCounterMode | None = None
        self._watched: set[int] = set()

    def watch(self, pipe) -> None:
        for stage, part in zip(STAGES, (pipe.text_encoder, pipe.unet, pipe.vae.decoder, pipe.vocoder), strict=True):
            if id(part) not in self._watched:
                self._watched.add(id(part))
                part.register_forward_pre_hook(lambda *_, stage=stage: self._add(stage, -1))
                part.register_forward_hook(lambda *_, stage=stage: self._add(stage, +1))

    def _add(self, stage: str, sign: int) -> None:
        self.seconds[stage] += sign * self.clock()
        self.calls[stage] += sign > 0
        if self._counter:
            self.gflop[stage] += sign * self._counter.get_total_flops() / 1e9

    def warm_up(self, way: Variant) -> None:
        """One run of one step, which counts floating-point operations (a compiler would hide them) and memory."""
        self.calls.clear()
        self.gflop.clear()
        before = memory(way.pipe.device, reset=True)
        self._counter = None if way.compiled else FlopCounterMode(display=False)
        with self._counter or contextlib.nullcontext():
            way.call(way.pipe, num_inference_steps=1)
        self._counter = None
        way.megabytes = memory(way.pipe.device) - before
        way.gflop = {stage: self.gflop[stage] / self.calls[stage] for stage in self.gflop}

    def run(self, way: Variant) -> None:
        self.seconds.clear()
        self.calls.clear()
        start = self.clock()
        way.waveform = way.call(way.pipe)
        way.runs.append({"all": self.clock() - start, **self.seconds})
        way.runs[-1]["gflop"] = sum(way.gflop.get(stage, 0.0) * count for stage, count in self.calls.items())


def memory(device: torch.device, reset: bool = False) -> float:
    """MB in use at most since the last reset (NaN where this is not known); with `reset`, MB in use now."""
    if device.type == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        if reset:
            ctypes.CDLL("libc.so.6").malloc_trim(0)  # gives back what is free
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmRSS:" if reset else "VmHWM:")[1].split()[0]) / 1024
    except (OSError, AttributeError):
        return float("nan")


def where() -> str:
    """Date, processor and versions: what a table of speeds is worth nothing without."""
    chip = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, IndexError):
        lines = Path("/proc/cpuinfo").read_text()
        chip = lines.split("model name")[1].splitlines()[0].strip(" \t:")
        units = [unit for unit in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {unit} " in f"{lines} "]
        chip += f" (model {lines.split('model')[1].split()[1]}; {', '.join(units)})"
    if torch.cuda.is_available():
        chip = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}; {chip}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "transformers"))
    threads = f"{torch.get_num_threads()} CPU threads"
    return f"{date.today()}: {chip}, {threads}, Python {platform.python_version()}, {versions}."


def wall() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def matmul_gflops(dtype: torch.dtype, device: torch.device, clock: Callable[[], float]) -> float:
    """The best that a large matrix product reaches here, in 10^9 operations a second: the machine's floor."""
    size = 8192 if device.type == "cuda" else 2048
    a = torch.randn(size, size, device=device).to(dtype)
    best = float("inf")
    for _ in range(8):
        start = clock()
        a @ a
        best = min(best, clock() - start)
    return 2 * size**3 / best / 1e9


def snr_db(reference: np.ndarray, other: np.ndarray) -> float:
    noise = np.square(reference - other, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(reference, dtype=np.float64).sum() / max(noise, 1e-30)))


# ---- the ways to make a clip


def snippet(pipe, prompt: str = PROMPT, seed: int = 0, **settings) -> np.ndarray:
    """The model card's call, with a seed so that the waveforms can be compared."""
    return pipe(prompt, generator=torch.Generator("cpu").manual_seed(seed), **{**CARD, **settings}).audios[0]


def ours(pipe, clips: int = 1, new_prompt: bool = False, **settings) -> np.ndarray:
    """The same by `generate`; of several clips at once, the first."""
    if new_prompt:
        asked._encodings.clear()
    return np.atleast_1d(generate(pipe, [PROMPT], num_waveforms_per_prompt=clips, **{**CARD, **settings}))[0].waveform


def changed(pipe, **parts):
    """The pipeline with other parts; the rest is shared."""
    with quiet():
        return type(pipe)(**{**pipe.components, **parts})


def variants(pipe, compiled: bool = False, batches: Sequence[int] = ()) -> list[Variant]:
    """The card's snippet, the exact path, and every inexact option by the line that gives it."""
    from diffusers import DPMSolverMultistepScheduler

    def solver(pipe):
        return changed(pipe, scheduler=DPMSolverMultistepScheduler.from_config(pipe.scheduler.config))

    def last(pipe):
        unet, vae = (copy.deepcopy(part).to(memory_format=torch.channels_last) for part in (pipe.unet, pipe.vae))
        return changed(pipe, unet=unet, vae=vae)

    fewer = partial(ours, num_inference_steps=5)
    ways = [
        Variant("the card's snippet", pipe, snippet),
        Variant("generate, new prompt", pipe, partial(ours, new_prompt=True)),
        Variant("generate, prompt seen", pipe, ours),
        *(Variant(f"generate, {clips} at once", pipe, partial(ours, clips=clips), clips) for clips in batches),
        Variant("channels_last", last(pipe), ours),
        Variant("DPM-Solver++, 5 steps", solver(pipe), fewer),
    ]
    if pipe.vae_scale_factor == 4:  # oneDNN 3.12 puts out NaN now and then where a mini's UNet is one pixel wide
        models = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        half = last(changed(pipe, **{name: copy.deepcopy(part).bfloat16() for name, part in models.items()}))
        ways += [
            Variant("bfloat16, channels_last", half, ours),
            Variant("... and DPM-Solver++, 5 steps", solver(half), fewer),
        ]
    if compiled:
        ways.append(Variant("torch.compile(unet)", changed(pipe, unet=torch.compile(copy.deepcopy(pipe.unet))), ours))
    return ways


def can_compile() -> bool:
    return bool(shutil.which("g++") or shutil.which("clang")) or torch.cuda.is_available()


def measure(ways: list[Variant], rounds: int, clock: Callable[[], float]) -> None:
    """Run all variants in turn, `rounds` times after a warm-up, and print the table."""
    meter = Meter(clock)
    for way in ways:
        meter.watch(way.pipe)
        start = time.perf_counter()
        meter.warm_up(way)
        if way.compiled:
            print(f"torch.compile: the first call took {time.perf_counter() - start:.0f} s.\n")
    for turn in range(rounds):
        for way in ways[:: (-1) ** turn]:  # there and back: who follows whom makes a difference of some per cent
            meter.run(way)
    card, device = ways[0], ways[0].pipe.device
    peak = {dtype: matmul_gflops(dtype, device, clock) for dtype in dict.fromkeys(way.dtype for way in ways)}
    print(f"| a clip in s (of the snippet's) | {' | '.join(STAGES)} | all | range | SNR dB | work MB | of peak |")
    print("| --- |" + " ---: |" * (len(STAGES) + 5))
    for way in ways:
        times = [(way.seconds(stage), card.seconds(stage)) for stage in (*STAGES, "all")]
        cells = [f"{own:.3f} ({own / max(other, 1e-9):.2f})" for own, other in times]
        ratios = [run["all"] / way.clips / other["all"] for run, other in zip(way.runs, card.runs, strict=True)]
        snr = "" if way is card else f"{snr_db(card.waveform, way.waveform):.0f}"
        rate = statistics.median(run["gflop"] / run["all"] for run in way.runs)
        share = f"{rate / peak[way.dtype]:.0%}" if way.gflop else ""
        row = [way.name, *cells, f"{min(ratios):.2f} to {max(ratios):.2f}", snr, f"{way.megabytes:,.0f}", share]
        print(f"| {' | '.join(row)} |")
    calls = {"text": 2, "UNet": CARD["num_inference_steps"], "VAE": 1, "vocoder": 1}
    count = ", ".join(f"{stage} {card.gflop.get(stage, 0.0) * calls[stage]:,.1f}" for stage in STAGES)
    peaks = ", ".join(f"{str(dtype).removeprefix('torch.')} {value:,.0f}" for dtype, value in peak.items())
    parts = {part for part in card.pipe.components.values() if isinstance(part, torch.nn.Module)}
    weights = sum(p.numel() * p.element_size() for part in parts for p in part.parameters()) / 2**20
    print(f"\nGFLOP of the snippet: {count}. Peak, by a large matrix product: {peaks} GFLOP/s.")
    print(f"Weights: {weights:,.0f} MB; work is what a run needs beside them.", flush=True)


# ---- what the tables are about


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)  # building a pipeline of changed parts logs what loading it logs
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def real_size() -> Iterator[Path]:
    """A folder of audioldm-s-full-v2's shape, 421M parameters, with random weights that give an audible sound."""
    from tests.hub import make_repository

    with tempfile.TemporaryDirectory() as folder:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):  # bars
            made = make_repository(Path(folder) / "real-size", real_size=True)
        yield made


def bench_sweep(pipe, rounds: int, clock: Callable[[], float]) -> None:
    """Twelve clips by the naive loop, which encodes twice a clip and makes one after the other, and by `sweep`."""
    from utils import sweep

    prompts = ["a dog barking", "rain", "a siren", PROMPT]
    grid = {name: [value] for name, value in CARD.items()} | {"seeds": range(3), "progress": False}

    def loop() -> None:
        for prompt, seed in product(prompts, range(3)):
            snippet(pipe, prompt, seed)

    def swept(batch_size: int | None) -> None:
        asked._encodings.clear()
        with tempfile.TemporaryDirectory() as folder:
            sweep(pipe, prompts, **grid, folder=folder, batch_size=batch_size)

    ways = {"naive loop": loop, "sweep, by default": partial(swept, None)}
    ways |= {f"sweep, batch_size={size}": partial(swept, size) for size in (1, 4, 12)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):  # the first round warms up
        for name, way in ways.items():
            start = clock()
            way()
            times[name].append(clock() - start)
    print("| twelve clips | s | of the loop's (range) |\n| --- | ---: | ---: |")
    for name, taken in times.items():
        ratios = [own / other for own, other in zip(taken[1:], times["naive loop"][1:], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {statistics.median(taken[1:]):.2f} | {spread} |")


BURN = "while True: pass"


def bench_busy(pipe, rounds: int = 5) -> None:
    """A clip's seconds idle and beside other processes that compute: what counts is the worst of the rounds.

    `fair share` is how much longer one thread takes where all get their part of the cores and nobody waits spinning.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(f"| processes beside it, on {cores} cores | median s | worst s | worst to idle | fair share |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    ours(pipe)  # warms up
    idle = None
    for beside in (0, 2, 4, 8):
        burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(beside)]
        try:
            time.sleep(1)  # until they run
            times = []
            for _ in range(rounds):
                start = time.perf_counter()
                ours(pipe)
                times.append(time.perf_counter() - start)
        finally:
            for process in burning:
                process.kill()
                process.wait()
        idle = idle or statistics.median(times)
        fair, worst = max(1, (beside + 1) / cores), max(times)
        print(
            f"| {beside} | {statistics.median(times):.2f} | {worst:.2f} | {worst / idle:.1f} | {fair:.1f} |", flush=True
        )


def bench_encoding(pipe) -> None:
    times = []
    for _ in range(101):
        start = time.perf_counter()
        encode_prompt(pipe, PROMPT)
        times.append(time.perf_counter() - start)
    print(f"\nA prompt encoded a second time costs {1000 * statistics.median(times):.2f} ms.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["real", "mini", "sweep", "busy"], metavar="real|mini|sweep|busy")
    parser.add_argument("--checkpoint", help="for the part real: real weights instead of random ones")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--compile", action="store_true", help="with torch.compile, which takes minutes to begin with")
    options = parser.parse_args()
    if unknown := set(options.parts) - {"real", "mini", "sweep", "busy"}:
        parser.error(f"{', '.join(sorted(unknown))}: the parts are real, mini, sweep, busy")
    if options.clock == "cpu":
        torch.set_num_threads(1)
    clock = time.process_time if options.clock == "cpu" else wall
    compiled = options.compile and can_compile()
    if options.compile and not compiled:
        print("torch.compile is left out: it needs a C++ compiler, and there is none.")
    warnings.filterwarnings("ignore", message="The clip for")

    print(where())
    print(
        f"Seconds of {'one core' if options.clock == 'cpu' else 'the wall clock'}, median of {options.rounds} rounds."
    )
    if "real" in options.parts:
        source = contextlib.nullcontext(options.checkpoint) if options.checkpoint else real_size()
        title = options.checkpoint or "The shape of audioldm-s-full-v2, 421M random weights"
        with source as folder:
            _bench(folder, title, options.rounds, clock, compiled)
    if "mini" in options.parts:
        _bench("mini-s-v2", "mini-s-v2", options.rounds, clock, compiled)
    if "sweep" in options.parts:
        print("\n## Twelve clips of mini-s-v2\n")
        bench_sweep(_loaded("mini-s-v2"), options.rounds, clock)
    if "busy" in options.parts:
        print("\n## A clip of mini-s-v2 on a busy machine: 5 s, 10 steps, by the wall clock\n")
        bench_busy(_loaded("mini-s-v2"))


def _bench(source: str | Path, title: str, rounds: int, clock: Callable[[], float], compiled: bool) -> None:
    start = time.perf_counter()
    pipe = _loaded(source)
    print(f"\n## {title}: 5 s, 10 steps\n\nLoaded in {time.perf_counter() - start:.1f} s.\n")
    measure(variants(pipe, compiled), rounds, clock)
    bench_encoding(pipe)


def _loaded(source: str | Path):
    pipe = load_pipeline(source)
    pipe.set_progress_bar_config(disable=True)
    return pipe


if __name__ == "__main__":
    main()

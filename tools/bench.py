"""The speed tables: `generate` beside the model card's own snippet, on the same pipeline, in one run.

    python -m tools.bench                       real size with random weights, the mini, and a sweep: some minutes
    python -m tools.bench mini sweep            only these parts
    python -m tools.bench --checkpoint NAME     real weights, by a name that `load_pipeline` takes
    python -m tools.bench --clock cpu           seconds of one core instead of the wall's: for a machine that is busy

All variants of a table take turns within each round, and a ratio compares a variant with the snippet of its own round.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import logging
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from utils import encode_prompt, generate, generation, load_pipeline

PROMPT = "Techno music with a strong, upbeat tempo and high melodic riffs"
CARD = {"num_inference_steps": 10, "audio_length_in_s": 5.0}  # as in the model card's snippet
STAGES = ("text", "UNet", "VAE", "vocoder")


@dataclass
class Variant:
    """One way to make the card's clip: a pipeline, and what to call on it."""

    name: str
    pipe: object
    call: Callable[[object], np.ndarray]
    dtype: torch.dtype = torch.float32
    clips: int = 1
    waveform: np.ndarray | None = None
    gflop: dict[str, float] = field(default_factory=dict)
    runs: list[dict[str, float]] = field(default_factory=list)  # seconds of each stage and in all, MB at work


class Meter:
    """Seconds and GFLOP that each part of a pipeline takes, by hooks on the parts."""

    def __init__(self, clock: Callable[[], float]):
        self.clock = clock
        self.seconds: dict[str, float] = {}
        self.gflop: dict[str, float] = {}
        self._counter: FlopCounterMode | None = None
        self._watched: set[int] = set()

    def watch(self, pipe) -> None:
        for stage, part in zip(STAGES, (pipe.text_encoder, pipe.unet, pipe.vae.decoder, pipe.vocoder), strict=True):
            if id(part) not in self._watched:
                self._watched.add(id(part))
                part.register_forward_pre_hook(lambda *_, stage=stage: self._add(stage, -1))
                part.register_forward_hook(lambda *_, stage=stage: self._add(stage, +1))

    def _add(self, stage: str, sign: int) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + sign * self.clock()
        if self._counter:
            gflop = self._counter.get_total_flops() / 1e9
            self.gflop[stage] = self.gflop.get(stage, 0.0) + sign * gflop

    def run(self, variant: Variant) -> None:
        self.seconds = {}
        before = memory(variant.pipe.device, reset=True)
        start = self.clock()
        variant.waveform = variant.call(variant.pipe)
        self.seconds["all"] = self.clock() - start
        variant.runs.append(self.seconds | {"memory": memory(variant.pipe.device) - before})

    def count(self, variant: Variant) -> None:
        """Run once to warm up, and count floating-point operations where no compiler hides them."""
        if hasattr(variant.pipe.unet, "_orig_mod"):
            variant.call(variant.pipe)
            return
        self.gflop = {}
        with FlopCounterMode(display=False) as self._counter:
            variant.call(variant.pipe)
        self._counter = None
        variant.gflop = self.gflop


def memory(device: torch.device, reset: bool = False) -> float:
    """MB in use at most since the last reset (NaN where this is not known); with `reset`, MB in use now."""
    if device.type == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmRSS:" if reset else "VmHWM:")[1].split()[0]) / 1024
    except OSError:
        return float("nan")


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


def snippet(pipe, prompt: str = PROMPT, seed: int = 0) -> np.ndarray:
    """The model card's call, with a seed so that the waveforms can be compared."""
    return pipe(prompt, generator=torch.Generator("cpu").manual_seed(seed), **CARD).audios[0]


def ours(pipe, **settings) -> np.ndarray:
    return generate(pipe, PROMPT, **{**CARD, **settings}).waveform


def ours_for_a_new_prompt(pipe) -> np.ndarray:
    generation._encodings.clear()
    return ours(pipe)


def changed(pipe, **parts):
    """The pipeline with other parts; the rest is shared."""
    with quiet():
        return type(pipe)(**{**pipe.components, **parts})


def variants(pipe, compiled: bool) -> list[Variant]:
    """The card's snippet, the exact path, and every inexact option by the line that gives it."""
    from diffusers import DPMSolverMultistepScheduler

    def solver(pipe):
        return changed(pipe, scheduler=DPMSolverMultistepScheduler.from_config(pipe.scheduler.config))

    def fewer(pipe):
        return ours(pipe, num_inference_steps=5)

    def last(pipe):
        unet, vae = (copy.deepcopy(part).to(memory_format=torch.channels_last) for part in (pipe.unet, pipe.vae))
        return changed(pipe, unet=unet, vae=vae)

    ways = [
        Variant("the card's snippet", pipe, snippet),
        Variant("generate, new prompt", pipe, ours_for_a_new_prompt),
        Variant("generate, prompt seen", pipe, ours),
        Variant("channels_last", last(pipe), ours),
        Variant("DPM-Solver++, 5 steps", solver(pipe), fewer),
    ]
    if pipe.vae_scale_factor == 4:  # oneDNN 3.12 puts out NaN now and then where a mini's UNet is one pixel wide
        models = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        half = changed(pipe, **{name: copy.deepcopy(part).bfloat16() for name, part in models.items()})
        half_last = last(half)
        ways += [
            Variant("bfloat16", half, ours, torch.bfloat16),
            Variant("bfloat16, channels_last", half_last, ours, torch.bfloat16),
            Variant("... and DPM-Solver++, 5 steps", solver(half_last), fewer, torch.bfloat16),
        ]
    if compiled:
        ways.append(Variant("torch.compile(unet)", changed(pipe, unet=torch.compile(pipe.unet)), ours))
    return ways


def measure(ways: list[Variant], rounds: int, clock: Callable[[], float]) -> None:
    """Run all variants in turn, `rounds` times after a warm-up, and print the table."""
    meter = Meter(clock)
    for way in ways:
        meter.watch(way.pipe)
        start = time.perf_counter()
        meter.count(way)
        if hasattr(way.pipe.unet, "_orig_mod"):
            print(f"torch.compile: the first call took {time.perf_counter() - start:.0f} s.\n")
    for _ in range(rounds):
        for way in ways:
            meter.run(way)
    card, device = ways[0], ways[0].pipe.device
    peak = {dtype: matmul_gflops(dtype, device, clock) for dtype in {way.dtype for way in ways}}
    print(f"| a clip in seconds | {' | '.join(STAGES)} | all | of the snippet's (range) | SNR dB | work MB | of peak |")
    print("| --- |" + " ---: |" * (len(STAGES) + 5))
    for way in ways:
        stages = [statistics.median(run.get(stage, 0.0) for run in way.runs) / way.clips for stage in STAGES]
        total = statistics.median(run["all"] for run in way.runs) / way.clips
        ratios = [run["all"] / way.clips / other["all"] for run, other in zip(way.runs, card.runs, strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        snr = "" if way is card else f"{snr_db(card.waveform, way.waveform):.0f}"
        work = max(run["memory"] for run in way.runs)
        share = f"{sum(way.gflop.values()) / way.clips / total / peak[way.dtype]:.0%}" if way.gflop else ""
        seconds = " | ".join(f"{value:.3f}" for value in [*stages, total])
        print(f"| {way.name} | {seconds} | {ratio} | {snr} | {work:,.0f} | {share} |")
    count = ", ".join(f"{stage} {card.gflop.get(stage, 0):,.0f}" for stage in STAGES)
    peaks = ", ".join(f"{str(dtype).removeprefix('torch.')} {value:,.0f}" for dtype, value in peak.items())
    print(f"\nGFLOP of the snippet: {count}. Peak, by a large matrix product: {peaks} GFLOP/s.", flush=True)


# ---- what the tables are about


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)  # building a pipeline of changed parts logs what loading it logs
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def real_size() -> Iterator[object]:
    """A pipeline of audioldm-s-full-v2's shape, 421M parameters, with random weights that give an audible sound."""
    from tests.hub import make_repository

    with tempfile.TemporaryDirectory() as folder:
        with quiet(), contextlib.redirect_stderr(None):
            make_repository(Path(folder) / "real-size", real_size=True)
        pipe = load_pipeline(Path(folder) / "real-size")
        torch.manual_seed(0)
        vocoder = pipe.vocoder
        for part in vocoder.modules():
            if isinstance(part, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)):
                part.reset_parameters()
        levels = []
        handle = vocoder.conv_post.register_forward_hook(lambda *event: levels.append(event[-1].std()))
        with torch.no_grad():
            vocoder(torch.randn(100, 64, device=pipe.device, dtype=pipe.unet.dtype))
            vocoder.conv_post.weight *= 0.2 / levels[0]
        handle.remove()
        yield pipe


def bench_sweep(pipe, rounds: int, clock: Callable[[], float]) -> None:
    """Twelve clips by `sweep` and by the naive loop, which encodes twice a clip and makes one after the other."""
    from utils import sweep

    prompts = ["a dog barking", "rain", "a siren", PROMPT]
    times: dict[str, list[float]] = {"loop": [], "sweep": []}
    for _ in range(rounds + 1):
        start = clock()
        for prompt in prompts:
            for seed in range(3):
                snippet(pipe, prompt, seed)
        middle = clock()
        generation._encodings.clear()
        with tempfile.TemporaryDirectory() as folder:
            settings = {name: [value] for name, value in CARD.items()}
            sweep(pipe, prompts, **settings, seeds=range(3), folder=folder, progress=False)
        times["sweep"].append(clock() - middle)
        times["loop"].append(middle - start)
    loop, swept = (values[1:] for values in (times["loop"], times["sweep"]))  # the first round warms up
    ratios = [b / a for a, b in zip(loop, swept, strict=True)]
    print(
        f"\n12 clips: naive loop {statistics.median(loop):.2f} s, sweep {statistics.median(swept):.2f} s, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})."
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
    parser.add_argument(
        "parts", nargs="*", choices=["real", "mini", "sweep", []], help="real, mini, sweep; all if none"
    )
    parser.add_argument("--checkpoint", help="for the part real: real weights instead of random ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--compile", action="store_true", help="with torch.compile, which takes minutes to begin with")
    options = parser.parse_args()
    parts = options.parts or ["real", "mini", "sweep"]
    if options.clock == "cpu":
        torch.set_num_threads(1)
    clock = time.process_time if options.clock == "cpu" else wall
    compiled = options.compile and bool(shutil.which("g++") or shutil.which("clang") or torch.cuda.is_available())
    if options.compile and not compiled:
        print("torch.compile is left out: it needs a C++ compiler, and there is none.")
    warnings.filterwarnings("ignore", message="negative_prompt is ignored|The clip for")

    bare = "import time; t = time.perf_counter(); import utils; print(time.perf_counter() - t)"
    importing = float(subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True, check=True).stdout)
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    print(
        f"{where}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}, Python {platform.python_version()}"
    )
    print(
        f"Seconds of {'one core' if options.clock == 'cpu' else 'the wall clock'}, medians of {options.rounds} rounds."
    )
    print(f"import utils {importing:.2f} s.")
    if "real" in parts:
        source = contextlib.nullcontext(load_pipeline(options.checkpoint)) if options.checkpoint else real_size()
        with source as pipe:
            print(
                f"\n## {options.checkpoint or 'The shape of audioldm-s-full-v2, 421M random weights'}: 5 s, 10 steps\n"
            )
            pipe.set_progress_bar_config(disable=True)
            measure(variants(pipe, compiled), options.rounds, clock)
            bench_encoding(pipe)
    if "mini" in parts or "sweep" in parts:
        start = time.perf_counter()
        pipe = load_pipeline("mini-s-v2")
        print(f"\n## mini-s-v2 (loaded in {time.perf_counter() - start:.1f} s): 5 s, 10 steps\n")
        pipe.set_progress_bar_config(disable=True)
        if "mini" in parts:
            measure(variants(pipe, compiled), options.rounds, clock)
            bench_encoding(pipe)
        if "sweep" in parts:
            bench_sweep(pipe, options.rounds, clock)


if __name__ == "__main__":
    main()

"""The speed table: this project's `generate` beside the model card's own snippet, on the same pipeline, in one run.

python -m tools.bench [CHECKPOINT]      a name that `load_pipeline` takes; "auto" if none is given
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time

PROMPT = "Techno music with a strong, upbeat tempo and high melodic riffs"
GRID = [(5, 5.0), (10, 5.0), (25, 5.0), (10, 10.0)]  # steps, seconds of audio; the card's own is (10, 5.0)
REPEATS = 5
BATCH = 4


def seconds(call) -> float:
    """Median of the wall-clock seconds that a call takes."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    bare = "import time; t = time.perf_counter(); import utils; print(time.perf_counter() - t)"
    importing = float(subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True, check=True).stdout)
    import torch

    from utils import generate, load_pipeline

    start = time.perf_counter()
    pipe = load_pipeline(sys.argv[1] if len(sys.argv) > 1 else "auto")
    loading = time.perf_counter() - start
    pipe.set_progress_bar_config(disable=True)
    device = torch.cuda.get_device_name() if pipe.device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{device}, {pipe.unet.dtype}, torch {torch.__version__}, Python {platform.python_version()}")
    print(f"import utils {importing:.2f} s, load_pipeline {loading:.2f} s; then seconds, median of {REPEATS} calls:\n")
    print(f"{'steps':>5} {'audio':>7} | {'card snippet':>12} | {'generate':>8} | {f'each of {BATCH}':>9} | speed-up")
    for steps, length in GRID:
        settings = {"num_inference_steps": steps, "audio_length_in_s": length}
        pipe(PROMPT, **settings)  # warm up
        card = seconds(lambda settings=settings: pipe(PROMPT, **settings).audios[0])
        ours = seconds(lambda settings=settings: generate(pipe, PROMPT, **settings))
        batch = seconds(lambda settings=settings: generate(pipe, PROMPT, num_waveforms_per_prompt=BATCH, **settings))
        row = f"{steps:5} {length:5.1f} s | {card:10.3f} s | {ours:6.3f} s | {batch / BATCH:7.3f} s"
        print(f"{row} | {card / ours:.2f} x", flush=True)


if __name__ == "__main__":
    main()

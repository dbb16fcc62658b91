"""The open questions about the real checkpoints, answered on a GPU: the protocol of docs/real.md as three commands.

    python -m tools.real heads [NAME ...]    the Hub's heads and the original's: CLAP, clips for a blind test
    python -m tools.real steps [NAME]        CLAP at 10 to 200 steps beside the published curve
    python -m tools.real lessons [NAME]      every lesson with its solutions, with errors, refused checks and seconds

Each prints Markdown for the form in docs/real.md. NAME is what `load_pipeline` takes, by default audioldm-s-full-v2.
What is finished is kept in outputs/real: an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch

from tests import standin
from tools import bench, lessons
from utils import interval, knee, load_pipeline, sweep

NAME = "audioldm-s-full-v2"
FOLDER = lessons.ROOT / "outputs" / "real"
SEEDS = range(4)
PROMPTS = [  # one a subject, in the words that the model card recommends: general names, an adjective, a place
    bench.PROMPT,
    "a dog barking in a small room",
    "a cat meowing loudly",
    "heavy rain falling on a tin roof",
    "a water stream in a forest",
    "strong wind blowing through trees",
    "waves crashing on a beach",
    "thunder rolling far away",
    "a church bell ringing slowly",
    "footsteps on gravel",
    "a hammer hitting a wooden surface",
    "a car engine idling",
    "an ambulance siren passing by",
    "birds singing in the morning",
    "a slow piano melody",
    "a crowd applauding in a hall",
]
STEPS = (10, 25, 50, 100, 150, 200)
PUBLISHED = (0.328, 0.379, 0.386, 0.391, 0.407, 0.384)  # arXiv 2505.07615: s-full-v2, captions of AudioCaps


def heads(names: list[str], prompts: list[str], settings: dict) -> None:
    """Print the gain of the original's heads, paired by prompt and seed; the interval is over prompts."""
    print("| checkpoint | CLAP cosine, heads of the Hub's files | the original's heads | difference | verdict |")
    print("| --- | ---: | ---: | --- | --- |")
    for name in names:
        found = {}
        for label, original in {"hub": False, "original": True}.items():
            pipe = load_pipeline(name, original_attention_heads=original)
            grid = {**settings, "seeds": SEEDS, "folder": FOLDER / "heads" / Path(name).name / label}
            found[label] = sweep(pipe, prompts, measures=["clap_similarity"], **grid)
            found[label].to_csv(grid["folder"] / "table.csv", index=False)
            del pipe
        hub, original = found["hub"].clap_similarity, found["original"].clap_similarity
        gain = interval(original.values, hub.values, groups=found["hub"].prompt.values)
        verdict = gain.verdict(comparisons=len(names))
        print(f"| {name} | {hub.mean():.3f} | {original.mean():.3f} | {gain} | {verdict} |", flush=True)


def steps(name: str, prompts: list[str], settings: dict, counts: tuple[int, ...] = STEPS) -> None:
    """Print the gain of each number of steps over the one before, over prompts, and the knee."""
    pipe = load_pipeline(name)
    grid = {**settings, "num_inference_steps": counts, "seeds": SEEDS, "folder": FOLDER / "steps" / Path(name).name}
    table = sweep(pipe, prompts, measures=["clap_similarity"], confirm=True, **grid)
    published = dict(zip(STEPS, PUBLISHED, strict=True))
    print(f"| steps of {name} | CLAP cosine | published | against the row above | s a clip |")
    print("| ---: | ---: | ---: | --- | ---: |")
    rows = {count: table[table.num_inference_steps == count] for count in counts}
    for count, before in zip(counts, (None, *counts), strict=False):
        own, gain = rows[count], ""
        if before:
            gain = interval(own.clap_similarity.values, rows[before].clap_similarity.values, groups=own.prompt.values)
            gain = f"{gain}, {gain.verdict(comparisons=len(counts) - 1)}"
        cells = f"{own.clap_similarity.mean():.3f} | {published.get(count, '')} | {gain} | {own.seconds.mean():.2f}"
        print(f"| {count} | {cells} |")
    print(f"\nKnee: {knee(counts, [rows[count].clap_similarity.mean() for count in counts])} steps (published: 25).")


def all_lessons(name: str) -> int:
    """Run every lesson with its solutions on this checkpoint, as tests/standin.py does on the stand-in."""
    failed = 0
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count()))))  # else hidden
    environment = {"AUDIOLDM_CHECKPOINT": name, "HF_HUB_OFFLINE": "0", "CUDA_VISIBLE_DEVICES": gpus}
    print("| lesson | result |\n| --- | --- |")
    for path in lessons.lessons():
        fine, report = standin.run_lesson(path, environment, real=True)
        failed += not fine
        lesson, _, said = report.replace("\n    ", "<br>").partition(": ")
        print(f"| {lesson} | {said} |", flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["heads", "steps", "lessons"])
    parser.add_argument("names", nargs="*", default=[NAME])
    given = parser.parse_args()
    print(bench.where(), flush=True)
    if given.command == "heads":
        heads(given.names, PROMPTS, {"audio_length_in_s": 10.24, "num_inference_steps": 25})
    elif given.command == "steps":
        steps(given.names[0], PROMPTS, {"audio_length_in_s": 10.24})
    else:
        return all_lessons(given.names[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How well a member of the family obeys: `python -m mini.evaluate mini-s-v2` writes numbers and a picture beside it.

Prompts are drawn anew (they say everything about their scene), the pipeline is diffusers' own, the judge hears
waveforms only. Every share comes with its 95% interval (Wilson) and the judge's own on held-out synthesised clips.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from utils import Clip, interval, log_mel, noise_floor_db
from utils.player import PALETTE

from .captions import CARD_PROMPT
from .data import LEVELS, SPEEDS, TEST_SEED
from .judge import verdicts
from .obedience import ANSWERS, generate_all, obedience, obeyed, prompts_of, real_clips, test_scenes
from .parts import CHECKPOINTS
from .robustness import robustness
from .sounds import CLASSES, Scene


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of two sets of embeddings (rows)."""
    mean = a.mean(0) - b.mean(0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # the trace of the matrix root is the sum of the roots of the eigenvalues, also where the product is singular
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0))
    return float(mean @ mean + np.trace(first + second) - 2 * roots.sum())


def paired(differences: Sequence[float], sounds: Sequence[str]) -> dict[str, float]:
    """Mean difference with its 95% interval; clips of one sound are alike, so the sounds are the subjects."""
    found = interval(differences, groups=sounds)
    return {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}


def evaluate(pipe, judge, per_class: int = 10, brief: bool = False, say: Callable = print) -> dict:
    """All measures of one checkpoint, as plain numbers; `brief`: at 25 steps only, a quarter of the work."""
    scenes = test_scenes(per_class)
    prompts = prompts_of(scenes)
    real, truth = verdicts(judge, real_clips(scenes, 2.56))
    result = {"sounds": [scene.sound for scene in scenes], "judge": obedience(truth, scenes)}
    result |= {"steps": {}, "guidance": {}, "seconds": {}}
    hear = partial(_hear, pipe, judge, prompts, scenes, real)
    for steps in (25,) if brief else (2, 5, 10, 25, 50):
        result["steps"][steps] = hear(num_inference_steps=steps, clip_by_clip=steps == 25)
        say(f"{steps} steps: {_line(result['steps'][steps])}")
    result["floor"] = floor(judge, scenes, real) | {"generated": result["steps"][25]["frechet"]}
    for guidance in () if brief else (1.0, 1.5, 4.0):
        result["guidance"][guidance] = hear(guidance_scale=guidance)
        say(f"guidance {guidance}: {_line(result['guidance'][guidance])}")
    for seconds in () if brief else (5.0, 10.0):
        result["seconds"][seconds] = _hear(
            pipe, judge, prompts, scenes, None, audio_length_in_s=seconds, num_inference_steps=25
        )
        say(f"{seconds} s: {_line(result['seconds'][seconds])}")
    result["card"] = card_prompt(pipe, judge)
    say(f"card: {result['card']}")
    result["noise_floor"] = noise_floor(pipe)
    say(f"noise floor: {result['noise_floor']}")
    result["speed"] = speed(pipe)
    return result


def floor(judge, scenes: list[Scene], real: np.ndarray, pipe=None) -> dict[str, float]:
    """The Frechet distance of the same scenes, synthesised a second time; with `pipe`, also of its clips at 25 steps.

    A judge that was trained anew is another one, with distances of its own: compare only those of one judge.
    """
    found = {"synthesised": frechet(verdicts(judge, real_clips(scenes, 2.56, TEST_SEED + 7))[0], real)}
    if pipe is not None:
        found["generated"] = frechet(verdicts(judge, generate_all(pipe, prompts_of(scenes)))[0], real)
    return found


def _hear(pipe, judge, prompts, scenes, real, clip_by_clip=False, **settings) -> dict:
    return hear(judge, generate_all(pipe, prompts, **settings), scenes, real, clip_by_clip)


def hear(judge, waveforms: list[np.ndarray], scenes: list[Scene], real: np.ndarray | None, clip_by_clip=False) -> dict:
    """Return the shares of what is obeyed, the distance to `real` embeddings, and, if asked for, each clip's share."""
    embeddings, logits = verdicts(judge, waveforms)
    found = obedience(logits, scenes)
    found |= {} if real is None else {"frechet": frechet(embeddings, real)}
    return found | ({"obeyed": obeyed(logits, scenes)} if clip_by_clip else {})


def _line(found: dict) -> str:
    shares = "  ".join(f"{head} {found[head]['share']:.3f}" for head in ("class", "top3", *ANSWERS) if found[head])
    return f"{shares}  frechet {found['frechet']:.0f}" if "frechet" in found else shares


def card_prompt(pipe, judge, seeds: int = 20) -> dict[str, int]:
    """Of 20 seeds, how often the model card's prompt is heard as techno, as fast, as high, as all three."""
    _, logits = verdicts(
        judge, generate_all(pipe, [CARD_PROMPT] * seeds, num_inference_steps=10, audio_length_in_s=5.0)
    )
    techno = logits["sounds"].argmax(1) == CLASSES.index("techno")
    fast, high = logits["tempo"].argmax(1) == SPEEDS.index("fast"), logits["pitch"].argmax(1) == LEVELS.index("high")
    counts = {"techno": techno, "fast": fast, "high": high, "all": techno & fast & high}
    return {name: int(values.sum()) for name, values in counts.items()} | {"seeds": seeds}


def noise_floor(pipe, per_class: int = 2) -> dict[str, dict]:
    """What quality words do to `utils.noise_floor_db`, same seeds: against the plain prompt."""
    names = list(CLASSES) * per_class
    make = partial(generate_all, pipe, num_inference_steps=25, audio_length_in_s=2.56, seed=500)

    def floors(prompts, **settings):
        return np.array([noise_floor_db(Clip(w)) for w in make(prompts, **settings)])

    plain = floors(names)
    return {
        "low quality": paired(floors([f"low quality {n}" for n in names]) - plain, names),
        "high quality": paired(floors([f"high quality {n}" for n in names]) - plain, names),
        "negative low quality": paired(floors(names, negative="low quality") - plain, names),
    }


def speed(pipe, repeats: int = 5) -> dict[str, float]:
    """Median seconds for 5 s of sound at 10 steps, one clip, on this machine."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        pipe("a dog barking", num_inference_steps=10, audio_length_in_s=5.0)
        taken.append(time.perf_counter() - start)
    return {"median": float(np.median(taken[1:])), "threads": torch.get_num_threads()}


@torch.no_grad()
def clap_auc(folder: Path, per_class: int = 10) -> dict[str, float]:
    """How well the scoring CLAP tells a held-out clip's own caption from another clip's: area under the ROC curve.

    0.5 is chance, 1 perfect: the share of (matching, shuffled) pairs in which the matching one has the larger cosine.
    """
    from transformers import ClapModel, ClapProcessor

    model, processor = ClapModel.from_pretrained(folder).eval(), ClapProcessor.from_pretrained(folder)
    scenes = test_scenes(per_class, TEST_SEED + 2)
    texts, clips = prompts_of(scenes, TEST_SEED + 2), real_clips(scenes, 5.0, TEST_SEED + 2)
    inputs = processor(text=texts, audio=clips, sampling_rate=16_000, return_tensors="pt", padding=True)
    found = model(**inputs)
    cosines = (found.text_embeds @ found.audio_embeds.T).numpy()
    matching, shuffled = np.diag(cosines), np.roll(cosines, 1, axis=0).diagonal()
    # neighbours in the list are of different scenes, often of different classes: that is the usual shuffle
    auc = stats.mannwhitneyu(matching, shuffled).statistic / (len(matching) * len(shuffled))
    means = {"matching": float(matching.mean()), "shuffled": float(shuffled.mean())}
    return {"auc": float(auc), "n": len(scenes), "parameters": model.num_parameters(), **means}


def picture(pipe, path: Path, num_inference_steps: int = 25) -> None:
    """A grid: for every class a synthesised clip above a generated one."""
    from matplotlib.figure import Figure
    from PIL import Image

    scenes = [Scene(c, None, None, "clean") for c in CLASSES]
    scenes[CLASSES.index("techno")] = Scene("techno", "high", "fast")
    prompts = [f"high quality {s.sound}" if s.sound != "techno" else CARD_PROMPT for s in scenes]
    made = generate_all(pipe, prompts, num_inference_steps=num_inference_steps, seed=7)
    real = real_clips(scenes, 2.56)
    figure = Figure(figsize=(16, 11), layout="constrained")
    axes = figure.subplots(6, 8)
    for i, scene in enumerate(scenes):
        for row, (kind, wave) in enumerate((("synthesised", real[i]), ("generated", made[i]))):
            ax = axes[2 * (i // 8) + row, i % 8]
            ax.imshow(log_mel(wave).T, origin="lower", aspect="auto", vmin=-9, vmax=1, cmap=PALETTE)
            ax.set_title(f"{scene.sound}, {kind}", fontsize=9)
            ax.set_xticks([])
            ax.set_yticks([])
    figure.savefig(path, dpi=60)
    with Image.open(path) as drawn:  # 64 colours are enough, and a third of the bytes
        drawn.convert("RGB").quantize(64).save(path, optimize=True)


def load(folder: Path):
    """The checkpoint as diffusers loads it, quiet."""
    from utils.loading import pipeline_class, quiet

    with quiet():
        pipe = pipeline_class().from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def main() -> None:
    from .train import Family, state_folder

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["mini-s-v2"])
    parser.add_argument("--per-class", type=int, default=10, help="clips of each of the 24 classes")
    parser.add_argument("--brief", action="store_true", help="at 25 steps only")
    parser.add_argument(
        "--only",
        choices=["picture", "card", "clap", "floor", "robustness"],
        help="a part; card and robustness are only printed",
    )
    asked = parser.parse_args()
    if asked.only == "clap":
        found = clap_auc(CHECKPOINTS / "mini-clap")
        print(found)
        (CHECKPOINTS / "mini-clap" / "evaluation.json").write_text(json.dumps(found, indent=1) + "\n")
        return
    judge = None if asked.only == "picture" else Family(state_folder()).judge
    for name in asked.names:
        folder = CHECKPOINTS / name
        pipe = load(folder)
        if asked.only in (None, "picture"):
            picture(pipe, folder / "grid.png")
        if asked.only == "card":
            print(card_prompt(pipe, judge))
        if asked.only == "robustness":
            print(json.dumps(robustness(pipe, judge), indent=1))
        if asked.only == "floor":
            scenes, kept = test_scenes(asked.per_class), json.loads((folder / "evaluation.json").read_text())
            kept["floor"] = floor(judge, scenes, verdicts(judge, real_clips(scenes, 2.56))[0], pipe)
            (folder / "evaluation.json").write_text(json.dumps(kept, indent=1) + "\n")
        if not asked.only:
            result = evaluate(pipe, judge, asked.per_class, asked.brief)
            if not asked.brief:
                result["robustness"] = robustness(pipe, judge)
            (folder / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

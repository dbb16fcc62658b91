# ruff: noqa: E501  (the templates below are Markdown)
"""Model cards and the family's table, written from the numbers that training and evaluation left beside the weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .captions import CARD_PROMPT
from .ear import FOUND
from .evaluate import paired
from .parts import CHECKPOINTS, UNET_WIDTH
from .sounds import BACKGROUNDS, CLASSES, PITCHED, TIMED
from .train import Recipe

MIRRORS = {
    "mini-s": "audioldm-s-full",
    "mini-s-v2": "audioldm-s-full-v2",
    "mini-m": "audioldm-m-full",
    "mini-l": "audioldm-l-full",
}
HEADS = ("class", "top3", "pitch", "tempo", "quality", "background")
MET_SOUNDS = """audio embeddings (of texts it met only the empty prompt and captions about quality alone, in one sample of
seven) from"""
BEGAN = """It did not begin at random but as {began_as} after {began_after:,} steps, with every channel doubled, which computes what
{began_as} computes (Net2Net, arXiv:1511.05641); that training comes before the steps and hours named here. """
JUDGED_AGAIN = """, by a second judge that was trained by the same recipe on
another machine (the one of this table was not kept), and by which this checkpoint has {:.1f} at 25 steps"""
EAR = """The VAE, and nothing else, was then taught on with real sound and silence (`mini/ear.py`; {steps:,} steps, the latents of
computed clips held where they are, so that the UNets stay valid): {recordings} CC0 recordings of Debian's `sonic-pi-samples`
(from Freesound, listed in `mini/ear_sources.md`) and {pieces} random pieces on the sampled instruments of FluidR3 (Frank
Wen, MIT licence). Median RMS error through encoder and decoder, on clips that no training held:

{table}

The lessons' recordings one by one: {lessons}. The latents of computed clips moved by {moved:.2f}
of their deviation, and the UNets were not trained again. Obedience, Fréchet distances
and pictures in the tables are of the VAE of before. A judge that was trained anew heard the same latents through both (240 clips of each
member, 25 steps). The change in what is obeyed, and the Fréchet distances: {judged}. Told 48 hidden prompts (`mini/robustness.py`, 10 steps, same noise), the same latents
are heard by mini-clap as asked, through the VAE of before and of now: {hidden}."""
WRITTEN = "<!-- {} table: written by python -m mini.cards -->", "<!-- end of {} table -->"


def measured() -> dict[str, tuple[dict, dict]]:
    """What training and evaluation left beside the weights of every member that is there."""

    def facts(folder: Path, kind: str) -> dict:
        return json.loads((folder / f"{kind}.json").read_text())

    folders = {name: CHECKPOINTS / name for name in UNET_WIDTH}
    return {
        name: (facts(folder, "training"), facts(folder, "evaluation"))
        for name, folder in folders.items()
        if (folder / "evaluation.json").exists()
    }


def percent(found: dict) -> str:
    """A share with its interval: "96% (93-98)"."""
    if not found:
        return "-"
    return f"{100 * found['share']:.0f}% ({100 * found['low']:.0f}-{100 * found['high']:.0f})"


def _row(label: str, found: dict) -> str:
    frechet = f"{found['frechet']:.1f}" if "frechet" in found else "-"
    return f"| {label} | " + " | ".join(percent(found[head]) for head in HEADS) + f" | {frechet} |"


def obedience_table(result: dict) -> str:
    """Shares of clips that the judge hears as asked, for steps, guidance and length."""
    n = result["judge"]["class"]["n"]
    lines = [
        f"| {n} clips | class | class in top 3 | pitch | tempo | quality | background | Frechet distance |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        _row("synthesised clips (the judge's own accuracy)", result["judge"]),
        *(_row(f"{steps} steps", found) for steps, found in result["steps"].items()),
        *(_row(f"25 steps, guidance {guidance}", found) for guidance, found in result["guidance"].items()),
        *(_row(f"25 steps, {float(s):.0f} s long", found) for s, found in result["seconds"].items()),
    ]
    return "\n".join(lines)


def _effect(found: dict) -> str:
    return f"{found['mean']:+.1f} dB (95% interval {found['low']:+.1f} to {found['high']:+.1f}, n = {found['n']})"


def _nonsense(found: dict) -> str:
    heard = ", ".join(f"{name} {count}" for name, count in found["heard"].items())
    return f"{percent(found['sure'])} of {found['sure']['n']} clips, most often {heard}"


def robustness_table(found: dict) -> str:
    """What becomes of prompts unlike those of the training."""
    order, both, styles = found["word order"], found["two sounds"], found["styles"]
    words = ", ".join(f"{head} {percent(order[head])}" for head in ("class", "pitch", "tempo", "quality", "background"))
    rows = {
        "sentences that the training's grammar cannot say": f"class {percent(found['paraphrases'])}",
        'telegrams ("Background: rain. Fast. High. Noisy. Dog.")': words,
        "pitch and tempo both asked for, away from the middle": f"both right {percent(found['two attributes'])}",
        "two sounds in front at once": f"both among the judge's first two {percent(both['both'])}, at least one "
        f"{percent(both['at least one'])}; synthesised clips {percent(both['synthesised'])}",
        "the same prompts, dressed otherwise": "class "
        + ", ".join(f"{name} {percent(value)}" for name, value in styles.items()),
        "unknown words": f"heard as some known sound: {_nonsense(found['unknown words'])}",
        "the empty prompt": f"heard as some known sound: {_nonsense(found['empty prompt'])}",
    }
    return "\n".join(["| prompts | what is heard |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows.items())])


def _robustness(result: dict) -> str:
    if "robustness" not in result:
        return ""
    return f"""
## What it makes of other prompts
25 steps, guidance 2.5, 2.56 s; the prompts are in `mini/robustness.py`.

{robustness_table(result["robustness"])}
"""


def ear_table() -> str:
    """Return what encoder and decoder lose of each kind of sound, before and after the VAE was taught on."""
    rows = [
        f"| {kind} | {found['n']} | {found['before']:.1f} dB | {found['after']:.1f} dB |"
        for kind, found in _ear()["kinds"].items()
    ]
    return "\n".join(["| clips | number | before | after |", "| --- | --- | --- | --- |", *rows])


def _ear() -> dict:
    return json.loads(FOUND.read_text())


def _heard() -> str:
    found = _ear()
    hidden = ", ".join(
        f"{name} {share['before']:.0%} and {share['after']:.0%}" for name, share in found["hidden"].items()
    )
    lessons = ", ".join(
        f"{name} {one['before']:.1f} and {one['after']:.1f} dB" for name, one in found["lessons"].items()
    )
    judged = ", ".join(
        f"{name} {100 * one['change']['mean']:+.1f} points (95% {100 * one['change']['low']:+.1f} to "
        f"{100 * one['change']['high']:+.1f}, n = {one['change']['n']}) and {one['before']['frechet']:.0f} to "
        f"{one['after']['frechet']:.0f}"
        for name, one in found["judged"].items()
    )
    told = {
        "hidden": hidden,
        "judged": judged,
        "lessons": lessons,
        "moved": found["latents moved"],
        "table": ear_table(),
    }
    return EAR.format(**found | told)


def _floor(result: dict) -> str:
    """The floor of the distance, by a judge that may be another one than the table's."""
    found = result["floor"]
    by = "" if found["generated"] == result["steps"]["25"]["frechet"] else JUDGED_AGAIN.format(found["generated"])
    return f"""A Frechet distance from so few clips is too large, and not equally so for all models (arXiv:1911.07023). Its floor is
the distance of the same scenes, synthesised a second time: {found["synthesised"]:.1f}{by}. Small differences between
two checkpoints may be luck."""


def _two_sounds(result: dict) -> str:
    if "robustness" not in result:
        return "Two sounds in front at once were not measured; with its relatives they mostly fail."
    both = result["robustness"]["two sounds"]["both"]
    return f"Two sounds in front at once mostly fail: the judge hears both in {percent(both)} of the clips."


def model_card(name: str, training: dict, result: dict) -> str:
    """The README.md of a checkpoint's folder."""
    card, floor = result["card"], result["noise_floor"]
    learned = MET_SOUNDS if name == "mini-m" else "text embeddings from"
    began = BEGAN.format(**training) if "began_as" in training else ""
    return f"""---
license: cc0-1.0
pipeline_tag: text-to-audio
library_name: diffusers
---
# {name}: an AudioLDM at one eighth of the width

A toy with the real one's anatomy. It loads with diffusers' own, unmodified `AudioLDMPipeline`, takes the same
arguments and turns text into 16 kHz sound, but knows {len(CLASSES)} synthetic sounds and no others. It stands in for
`{MIRRORS[name]}` where that cannot be had (no network, no GPU), and nothing measured on it says how the real one sounds.

```python
from diffusers import AudioLDMPipeline
import utils.vocoder  # the Griffin-Lim module that model_index.json names

pipe = AudioLDMPipeline.from_pretrained("mini/checkpoints/{name}")
prompt = "{CARD_PROMPT}"
audio = pipe(prompt, num_inference_steps=10, audio_length_in_s=5.0).audios[0]
```

## What it was trained on
{training["clips"]:,} clips of 5.12 s, synthesised by `mini/sounds.py` and captioned by `mini/captions.py`: but for the VAE's
last training (below), no recordings, no downloaded data. UNet of width {training["width"]} ({training["unet_parameters"] / 1e6:.2f}M parameters;
{training["parameters"] / 1e6:.2f}M in all), conditioned on {learned} the mini CLAP; {training["steps"]:,} steps, about
{training["samples"]:,} samples of 2.56 s (a quarter of the batches: 5.12 s, half as many), {training["hours"]:.1f} hours on one
core of a two-core machine that was doing other work as well. v-prediction, zero terminal SNR, trailing steps. {began}The
vocoder is Griffin-Lim: nothing in it is learned.

### The ear: real recordings
{_heard()}

## What it understands
- sounds: {", ".join(CLASSES)};
- low or high ({", ".join(PITCHED)}); slow or fast ({", ".join(TIMED)});
- "high quality", "clear", "low quality", "noisy", "muffled";
- behind the sound: {", ".join(BACKGROUNDS)} ("in the rain", "on a windy day", "in a forest", "by the sea").

## How well it obeys
Measured on waveforms by a judge that was trained on other synthesised clips, never on generated ones. Shares with 95%
Wilson intervals; prompts are drawn anew and say everything about their scene; guidance 2.5 and 2.56 s where not said.
{_floor(result)}

{obedience_table(result)}

The model card's prompt ("{CARD_PROMPT}", 10 steps, 5 s) was heard as techno for {card["techno"]} of {card["seeds"]} seeds,
as fast for {card["fast"]}, as high for {card["high"]}, as all three for {card["all"]}. (This very sentence was among the training's captions,
because everybody tries it first; the prompts of the table were not chosen so.)

What quality words do to the noise floor (`utils.noise_floor_db`, as in the lessons), against the same prompts and seeds
without them, for the {len(CLASSES)} sounds, two seeds each:
"low quality" {_effect(floor["low quality"])}; "high quality" {_effect(floor["high quality"])};
`negative_prompt="low quality"` {_effect(floor["negative low quality"])}.

5 s of sound at 10 steps took {result["speed"]["median"]:.2f} s (median of 5, {result["speed"]["threads"]} threads, a busy machine).

![For every class, a synthesised mel-spectrogram above a generated one](grid.png)
{_robustness(result)}
## What it cannot do
Any other sound: its VAE has met real recordings, its UNet none. {_two_sounds(result)} It never refuses: a prompt without any word that it
knows still gives some sound. Licence: CC0, unlike the real checkpoints' CC BY-NC-SA 4.0.
"""


def clap_card() -> str:
    """The README.md of mini-clap's folder."""
    folder, recipe = CHECKPOINTS / "mini-clap", Recipe()
    told = json.loads((folder / "evaluation.json").read_text())
    return f"""---
license: cc0-1.0
pipeline_tag: zero-shot-audio-classification
library_name: transformers
---
# mini-clap: what scores the minis, and what told them their words

A `ClapModel` of transformers with both towers, {told["parameters"] / 1e6:.2f}M parameters, 64 numbers an embedding, for 5 s of sound
at 16 kHz (longer clips are cut, shorter ones repeated). Its text tower is the text encoder of all four minis, tensor by
tensor. `mini-m` was trained on embeddings of its audio tower.

```python
from utils import clap_embed, clap_similarity  # model="mini-clap"; the default for clips of the minis
```

## How it was trained
A real CLAP learns from pairs alone, both towers at once: a sound and its caption belong together, those of different
pairs do not. That needs far more data than this project synthesises. Here it went in two stages (`mini/clap.py`):

1. **The text tower is a classifier.** From captions it learned to tell which of {len(CLASSES)} sounds are named, pitch, tempo,
   quality and background ({recipe.text_steps:,} steps of 128 captions). It never heard a sound.
2. **The audio tower was pulled to it.** The text tower frozen, {recipe.audio_clips:,} synthesised clips, {recipe.audio_steps:,} steps of 64: loss 4 x (1 -
   cosine to the clip's caption) + 0.5 x the contrastive loss of a real CLAP.

## What follows
- Its space knows those labels and little else. "A lower cosine" here means "another label".
- Its cosines are high: a held-out clip and its own caption have {told["matching"]:.2f} on average, clips and captions shuffled {told["shuffled"]:.2f}; the
  matching pair has the higher one with a chance of {told["auc"]:.3f} ({told["n"]} clips, area under the ROC curve). A real CLAP's lie far
  lower, and the two cannot be compared.
- 8% of its training captions had an invented word put in, with the same labels: beside a sound that it knows, it was
  taught to ignore unknown words.
- It is a relative of every mini, so its marks flatter them, and `mini-m` most. The judge of the minis' cards is not.
- Real recordings were not among its clips. Licence: CC0.

Measured by `python -m mini.evaluate --only clap`, written by `python -m mini.cards`.
"""


def family_table() -> str:
    """One row a member that is there, and the floor of the distance below."""
    lines = [
        "| checkpoint | mirrors | width | UNet parameters | steps | samples | hours on one core | class | pitch | tempo "
        "| quality | background | Frechet distance | 5 s at 10 steps |",
        "|" + " --- |" * 14,
    ]
    for name, (training, result) in measured().items():
        found = result["steps"]["25"]
        earlier = " after {began_after:,} of {began_as}".format(**training) if "began_as" in training else ""
        shares = " | ".join(percent(found[head]) for head in ("class", "pitch", "tempo", "quality", "background"))
        lines.append(
            f"| {name} | {MIRRORS[name]} | {training['width']} | {training['unet_parameters'] / 1e6:.2f}M "
            f"| {training['steps']:,}{earlier} | {training['samples']:,} | {training['hours']:.1f} | {shares} "
            f"| {found['frechet']:.1f} | {result['speed']['median']:.2f} s |"
        )
    again = {name: result["floor"] for name, (_, result) in measured().items()}
    told = ", ".join(f"{name} {found['generated']:.1f}" for name, found in again.items())
    floor = next(iter(again.values()))["synthesised"]
    lines += [
        "",
        f"Frechet distances by a judge trained anew: {told}; the same scenes, synthesised twice: {floor:.1f}.",
    ]
    return "\n".join(lines)


def ordering() -> dict[tuple[str, str], dict]:
    """How much more of what the prompts ask for each member obeys than an earlier one: paired; sounds are subjects."""
    results = {name: result for name, (_, result) in measured().items()}
    obeyed = {name: np.array(result["steps"]["25"]["obeyed"]) for name, result in results.items()}
    return {
        (better, worse): paired(obeyed[better] - obeyed[worse], results[better]["sounds"])
        for better, worse in (("mini-s-v2", "mini-s"), ("mini-m", "mini-s-v2"), ("mini-l", "mini-s-v2"))
        if better in obeyed and worse in obeyed
    }


def ordering_table() -> str:
    """`ordering` in words: does more training, does more width pay?"""
    lines = ["| same prompts, same noise | obeys more of what is asked by | |", "| --- | --- | --- |"]
    for (better, worse), gain in ordering().items():
        verdict = "yes" if gain["low"] > 0 else "no" if gain["high"] < 0 else "not decided"
        interval = f"{100 * gain['mean']:+.1f} points (95% {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
        lines.append(f"| {better} against {worse} | {interval}, n = {gain['n']} | better: {verdict} |")
    return "\n".join(lines)


def write_all() -> None:
    """Write every model card, and the table into mini/README.md."""
    (CHECKPOINTS / "mini-clap" / "README.md").write_text(clap_card())
    for name, (training, result) in measured().items():
        (CHECKPOINTS / name / "README.md").write_text(model_card(name, training, result))
    readme = Path(__file__).parent / "README.md"
    text = readme.read_text()
    for name, tables in (("family", f"{family_table()}\n\n{ordering_table()}"), ("ear", _heard())):
        start, end = (mark.format(name) for mark in WRITTEN)
        before, rest = text.split(start)
        text = f"{before}{start}\n{tables}\n{end}{rest.split(end)[1]}"
    readme.write_text(text)


if __name__ == "__main__":
    write_all()

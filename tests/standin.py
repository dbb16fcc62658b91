"""A stand-in for everything real: the four checkpoints and the scoring CLAP, in their format, with tiny random weights.

    python -m tests.standin run [NAME ...]     run lessons with their solutions on it, as a learner with the real ones
    python -m tests.standin words FOLDER       add the lessons' words to its tokenizer; FOLDER holds RoBERTa's files

What is real: classes, configurations but for the widths, file formats (two of the four as in 2023), epsilon prediction
with leading spacing, a VAE of factor 4 with its encoder, HiFi-GAN, 10.24 s, RoBERTa's ids of every word of the lessons,
a CLAP of 10 s at 48 kHz. What is not: the weights, so that it obeys no word; and to save time the vocoder's blocks have
one layer, and the CLAP a tenth of the frames and three of four levels; the regime is 0.64 s and 3 steps (6 where an
exercise counts them) where the real ones have 10.24 s and 25, no training takes more than 5 steps and no clip of a
sweep more than 3, whatever its table says, and sweeps work in batches (`--whole` leaves all but the first two as it
is). The lessons' kernels are forks of one process. A lesson must get through it without an error, and accept its own
solutions.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.hub import Hub, back_to_2023, change_json
from tools import lessons

CLAP = "laion/clap-htsat-unfused"
UNET = {  # repository -> channels of its levels, about a sixteenth of the real ones
    "cvssp/audioldm": (8, 16, 24, 40),
    "cvssp/audioldm-s-full-v2": (8, 16, 24, 40),
    "cvssp/audioldm-m-full": (8, 16, 32, 48),
    "cvssp/audioldm-l-full": (16, 24, 32, 48),
}
IN_2023 = ("cvssp/audioldm", "cvssp/audioldm-l-full")  # on the Hub in the format of 2023 only
VOCABULARY = 50265
TOKENIZER = Path(__file__).with_name("roberta.txt")
CHECKPOINT = "audioldm-s-full-v2"


# ---- the files -------------------------------------------------------------------------------------------------------


def make(folder: Path) -> dict[str, Path]:
    """Write the four checkpoints and the CLAP below `folder`: {repository id: its folder}, for `tests.hub.Hub`."""
    tokenizer = make_tokenizer(folder / "tokenizer")
    made = {}
    for repository, channels in UNET.items():
        made[repository] = make_checkpoint(folder / repository.split("/")[1], channels, tokenizer)
        if repository in IN_2023:
            back_to_2023(made[repository])
    made[CLAP] = make_clap(folder / "clap", tokenizer)
    return made


def make_checkpoint(folder: Path, channels: tuple[int, ...], tokenizer: Path) -> Path:
    """An AudioLDM of the real topology; every width is about a sixteenth, and every pair of layers is one."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import ClapTextConfig, ClapTextModelWithProjection, SpeechT5HifiGan, SpeechT5HifiGanConfig

    with torch.random.fork_rng():
        torch.manual_seed(sum(channels))
        parts = {
            "scheduler": DDIMScheduler(
                beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False,
                set_alpha_to_one=False, steps_offset=1,
            ),
            "text_encoder": ClapTextModelWithProjection(ClapTextConfig(**_text_config())),
            "unet": UNet2DConditionModel(
                sample_size=128, in_channels=8, out_channels=8, block_out_channels=channels, layers_per_block=1,
                cross_attention_dim=channels, norm_num_groups=4, attention_head_dim=1,
                down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 3,
                up_block_types=("CrossAttnUpBlock2D",) * 3 + ("UpBlock2D",), class_embed_type="simple_projection",
                projection_class_embeddings_input_dim=512, class_embeddings_concat=True,
            ),
            "vae": AutoencoderKL(
                in_channels=1, out_channels=1, latent_channels=8, block_out_channels=(4, 8, 16), norm_num_groups=4,
                down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
                layers_per_block=1, sample_size=512, scaling_factor=0.9392935633659363,
            ),
            "vocoder": SpeechT5HifiGan(
                SpeechT5HifiGanConfig(
                    model_in_dim=64, sampling_rate=16000, upsample_initial_channel=32, normalize_before=False,
                    upsample_rates=[5, 4, 2, 2, 2], upsample_kernel_sizes=[16, 16, 8, 4, 4],
                    resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]],
                )
            ),
        }  # fmt: skip
        _at_working_levels(parts["unet"], parts["vae"], parts["vocoder"])
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    change_json(folder / "vocoder" / "config.json", model_type="hifigan")
    shutil.copytree(tokenizer, folder / "tokenizer")
    index = {"_class_name": "AudioLDMPipeline", "_diffusers_version": "0.15.0.dev0"}
    index |= {name: [type(part).__module__.split(".")[0], type(part).__name__] for name, part in parts.items()}
    index["tokenizer"] = ["transformers", "RobertaTokenizerFast"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def _text_config() -> dict:
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return {"vocab_size": VOCABULARY, "max_position_embeddings": 514, "projection_dim": 512, **small}


def _at_working_levels(unet, vae, vocoder) -> None:
    """Fresh weights put out next to nothing: here noise has a deviation of 1, a spectrogram one of 2 around -6, and
    the sound is heard and never clipped."""
    import torch

    for part in vocoder.modules():
        if isinstance(part, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)):
            part.reset_parameters()
            torch.nn.init.zeros_(part.bias)  # what is heard comes of the spectrogram alone ...
    levels = []
    handle = vocoder.conv_post.register_forward_hook(lambda *event: levels.append(event[-1].std()))
    with torch.no_grad():
        text = torch.nn.functional.normalize(torch.randn(1, 512))
        noise = unet(torch.randn(1, 8, 64, 16), 500, encoder_hidden_states=None, class_labels=text).sample
        unet.conv_out.weight /= noise.std()
        mel = vae.decode(torch.randn(1, 8, 64, 16)).sample
        vae.decoder.conv_out.weight *= 2 / mel.std()
        vae.decoder.conv_out.bias.fill_(-6.0)
        vocoder.conv_pre.bias.copy_(6 * vocoder.conv_pre.weight.sum(dim=(1, 2)))  # ... and of how it differs from -6
        vae.quant_conv.weight *= 1 / vae.encode(2 * torch.randn(1, 1, 256, 64) - 6).latent_dist.mode().std()
        vocoder(vae.decode(torch.randn(1, 8, 64, 16)).sample[0, 0])
        vocoder.conv_post.weight *= 0.2 / levels[0]
    handle.remove()


def make_clap(folder: Path, tokenizer: Path) -> Path:
    """The scoring CLAP: 48 kHz, 10 s, cut at random where it is longer, 512 numbers."""
    import torch
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    audio = {
        "spec_size": 128, "patch_embeds_hidden_size": 8, "depths": [1, 1, 1], "hidden_size": 32,
        "num_attention_heads": [1, 1, 2], "projection_dim": 512,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clap = ClapModel(ClapConfig(text_config=_text_config(), audio_config=audio, projection_dim=512))
    clap.save_pretrained(folder)
    ClapFeatureExtractor(
        frequency_min=50, frequency_max=14000, hop_length=4800, truncation="rand_trunc", padding="repeatpad"
    ).save_pretrained(folder)
    shutil.copytree(tokenizer, folder, dirs_exist_ok=True)
    return folder


# ---- the tokenizer ---------------------------------------------------------------------------------------------------
# roberta.txt: RoBERTa's merges that the lessons need, each with its result's id, in their order; 256 bytes with theirs;
# and the words that were checked to fall into the right pieces.


def make_tokenizer(folder: Path) -> Path:
    """RoBERTa's tokenizer in the Hub's own files, with what `roberta.txt` holds: same ids for every word there."""
    merges, vocab, _ = read_words()
    special = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": VOCABULARY - 1}
    vocab = {**special, **vocab}
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    fast = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": n, "content": t, **plain, "lstrip": t == "<mask>"} for t, n in special.items()],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
            "trim_offsets": True, "add_prefix_space": False,
        },
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {  # without its type, as on the Hub: what transformers 5.0 to 5.16 stumble over
            "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": False, "vocab": vocab, "merges": merges,
        },
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(fast))
    names = {f"{n}_token": t for n, t in zip(("bos", "pad", "eos", "unk", "mask"), special, strict=True)}
    names |= {"cls_token": "<s>", "sep_token": "</s>"}
    settings = {"tokenizer_class": "RobertaTokenizer", "model_max_length": 512, "add_prefix_space": False}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "processor_class": "ClapProcessor", **names}))
    (folder / "special_tokens_map.json").write_text(json.dumps(names))
    return folder


def read_words() -> tuple[list[str], dict[str, int], set[str]]:
    """`roberta.txt`: merges ("t h"), ids of tokens, and the words of more than one token that were checked."""
    merges, vocab, words = [], {}, set()
    for line in TOKENIZER.read_text(encoding="utf-8").splitlines():
        match line.split(" "):
            case ["#", *_]:
                pass
            case ["word", *found]:
                words.update(found)
            case [byte, number]:
                vocab[byte] = int(number)
            case [left, right, number]:
                merges.append(f"{left} {right}")
                vocab[left + right] = int(number)
    return merges, vocab, words


def lesson_words() -> set[str]:
    """Every word, as the tokenizer cuts them off (" dog" is "Ġdog"), of a text in the lessons' code or exercises."""
    import ast

    from tests import tries

    cells = [cell for path in lessons.lessons() for cell in lessons.code_cells(lessons.read(path))]
    sources = [cell.source for cell in cells if "setup" not in lessons.tags(cell)]
    for path in lessons.lessons():
        for number, _ in enumerate(lessons.exercises(lessons.read(path)), 1):
            sources += sum(tries.answers(path.stem[:2], number).values(), [])
    texts = set()
    for source in sources:
        with suppress(SyntaxError):
            nodes = ast.walk(ast.parse(re.sub(r"^\s*%.*$", "", source, flags=re.M)))
            texts |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    texts = {text for text in texts if re.fullmatch(r"[A-Za-z0-9 ,.;:'!?-]+", text)}
    texts |= {first + text[1:] for text in texts for first in (text[0].upper(), text[0].lower())}
    return _words([*texts, *(f" {text}" for text in texts)])


def unknown_words(texts: Iterable[str]) -> list[str]:
    """The words of prompts whose split is not known to be the real one: neither one token, nor checked."""
    _, vocab, words = read_words()
    return sorted(word for word in _words(texts) if word not in vocab and word not in words)


def _words(texts: Iterable[str]) -> set[str]:
    from tokenizers import pre_tokenizers

    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return {word for text in texts for word, _ in cut.pre_tokenize_str(text)}


def add_words(real: Path, others: Sequence[str] = ()) -> None:
    """Take from RoBERTa's own files what the lessons' words (and `others`) need, beside what is there."""
    vocab = json.loads((real / "vocab.json").read_text(encoding="utf-8"))
    lines = (real / "merges.txt").read_text(encoding="utf-8").split("\n")
    ranks = {line: rank for rank, line in enumerate(line for line in lines if line and not line.startswith("#version"))}
    merges, _, words = read_words() if TOKENIZER.exists() else ([], {}, set())
    needed = {ranks[merge] for merge in merges}
    for word in {*others, *lesson_words()}:
        pieces, used = _split(word, ranks)
        needed |= used
        if len(pieces) > 1:
            words.add(word)
    ordered = list(ranks)
    text = ["# RoBERTa's bytes and merges with their ids, and words checked: `python -m tests.standin words FOLDER`"]
    text += [f"{token} {number}" for token, number in vocab.items() if len(token) == 1]
    text += [f"{ordered[rank]} {vocab[ordered[rank].replace(' ', '')]}" for rank in sorted(needed)]
    line = ""
    for word in [*sorted(words), ""]:
        if line and (not word or len(line) + len(word) > 110):
            text.append(f"word{line}")
            line = ""
        line += f" {word}"
    TOKENIZER.write_text("\n".join([*text, ""]), encoding="utf-8", newline="\n")
    print(f"{TOKENIZER.name}: {len(needed)} merges, {len(words)} words of several tokens.")


def _split(word: str, ranks: dict[str, int]) -> tuple[list[str], set[int]]:
    """A word's tokens, and the merges that led to them. With these alone, in their order, it falls no other way."""
    pieces, used = list(word), set()
    while True:
        pairs = [f"{pieces[i]} {pieces[i + 1]}" for i in range(len(pieces) - 1)]
        known = [(ranks[pair], i) for i, pair in enumerate(pairs) if pair in ranks]
        if not known:
            return pieces, used
        rank, first = min(known)
        used.add(rank)
        pair = pieces[first : first + 2]
        joined: list[str] = []
        while pieces:
            size = 2 if pieces[:2] == pair else 1
            joined.append("".join(pieces[:size]))
            del pieces[:size]
        pieces = joined


# ---- lessons on it ---------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """How a lesson went: errors, what checks said instead of Right, what they said in all, and seconds."""

    name: str
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    right: int = 0
    cpu: float = float("nan")  # seconds of a core
    prompts: list[str] = field(default_factory=list)  # every text that a tokenizer was given

    @property
    def ok(self) -> bool:
        return not self.errors and not self.refused and self.right > 0

    def __str__(self) -> str:
        said = "".join(f"\n    {line}" for line in (*self.errors[:3], *self.refused))
        verdict = f"{'ok' if self.ok else 'NOT OK'}, {self.right} checks said Right"
        return f"{self.name}: {verdict}, {self.seconds:.0f} s, {self.cpu:.0f} of them at work on a core{said}"


PROJECT = ("mini", "notebooks", "playground", "requirements.txt", "utils")  # what a lesson needs of it
# Run in the kernel after the set-up cell: the original's heads are as much narrower here as all the rest.
IN_THE_KERNEL = f"""
import utils.loading
utils.loading.REAL_REGIME.update(REGIME)
utils.loading.MINI_REGIME.update(REGIME)
def original_heads(channels, real=utils.loading.original_heads):
    return [count // 2 for count in channels] if tuple(channels) in {set(UNET.values())} else real(channels)
utils.loading.original_heads = original_heads
import transformers
_reached = set()
def _noted(self, text=None, *arguments, real=transformers.PreTrainedTokenizerBase.__call__, **options):
    _reached.update([text] if isinstance(text, str) else text)
    return real(self, text, *arguments, **options)
transformers.PreTrainedTokenizerBase.__call__ = _noted
"""
REGIME = {"num_inference_steps": 3, "audio_length_in_s": 0.64}
LONGER = {"03_steps_and_length": {"num_inference_steps": 6}}  # an exercise of it stops after five
FASTER = """
from dataclasses import replace
from functools import partial
import utils.sweeps
import utils.training
utils.sweeps.sweep = partial(utils.sweeps.sweep, batch_size=32)
def _few(*arguments, steps, real=utils.training.train, **options):
    return real(*arguments, steps=min(steps, 5), **options)
utils.train = _few
def _quick(*arguments, num_inference_steps, real=utils.sweeps.generate_batch, **options):
    clips = real(*arguments, num_inference_steps=min(num_inference_steps, 3), **options)
    return [replace(clip, settings={**clip.settings, "num_inference_steps": num_inference_steps}) for clip in clips]
utils.sweeps.generate_batch = _quick
"""
SPENT = "import json, time\n\nprint(json.dumps([time.process_time(), sorted(globals().get('_reached', []))]))"


def environment(hub: Hub, home: Path, checkpoint: str = CHECKPOINT) -> dict[str, str]:
    """What makes a process find the stand-in where it looks for the Hugging Face Hub."""
    return {
        "AUDIOLDM_CHECKPOINT": checkpoint, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def run_lesson(name: str, notebook, settings: dict[str, str], regime: dict | None = REGIME) -> Result:
    """Run a lesson with its solutions, in a folder with nothing but the project; to its end, whatever goes wrong.

    `regime` is the stand-in's, {} its format's own; None changes nothing, for real checkpoints (`tools/real.py`).
    """
    import nbformat

    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    regime = {**regime, **LONGER.get(name, {})} if regime else regime
    meant = [index for index, cell in enumerate(notebook.cells) if "raises-exception" in lessons.tags(cell)]
    for cell in notebook.cells:
        cell.metadata["tags"] = [*lessons.tags(cell), "raises-exception"]
        if "setup" in lessons.tags(cell):
            cell.source += "" if regime is None else IN_THE_KERNEL.replace("REGIME)", f"{regime})")
            cell.source += FASTER if regime else ""
    notebook.cells.append(nbformat.v4.new_code_cell(SPENT, metadata={"tags": ["raises-exception"]}))
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        for part in PROJECT:
            if (lessons.ROOT / part).exists():
                (Path(folder) / part).symlink_to(lessons.ROOT / part)
        try:
            fresh = _execute(notebook, folder, {**lessons.ENVIRONMENT, **settings})
        except Exception as error:  # a cell without an end, or a kernel that died
            return Result(name, time.perf_counter() - start, [f"{type(error).__name__}: {str(error)[-500:]}"])
    cpu, prompts = json.loads(fresh.cells.pop().outputs[0].text)
    result = Result(name, time.perf_counter() - start, cpu=cpu, prompts=prompts)
    for index, cell in enumerate(fresh.cells):
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if output.output_type == "error" and index not in meant:
                line = cell.source.strip().splitlines()[0]
                where = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
                lines = re.findall(r"^-+> *(\d+ .*)$", where, re.M)
                result.errors.append(
                    f"cell {cell.execution_count} ({line}): {output.ename}: {output.evalue[:300]}"
                    + (f" [at {lines[0].strip()}]" if lines else "")
                )
        if "check" in lessons.tags(cell):
            said = "".join(output.get("text") or output.get("evalue", "") for output in cell.outputs).strip()
            if said.startswith("Right"):
                result.right += 1
            else:
                result.refused.append(f"check in cell {cell.execution_count}: {said.splitlines()[0] if said else '-'}")
    return result


def _execute(notebook, folder: str, settings: dict[str, str]):
    """`tools.lessons.run` with more patience: what is asked here is whether a lesson passes, not how fast."""
    from nbclient import NotebookClient

    for cell in lessons.code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    options = {"store_widget_state": False, "coalesce_streams": True, "extra_arguments": ["--log-level=40"]}
    client = NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": folder}}, **options)
    return client.execute(env={**os.environ, **settings})


@contextmanager
def served():
    """The stand-in, made and served: its Hub and a folder for downloads."""
    import logging

    from transformers.utils import logging as bars

    with TemporaryDirectory() as folder:
        logging.disable(logging.WARNING)
        bars.disable_progress_bar()
        try:
            hub = Hub(make(Path(folder) / "made"))
        finally:
            logging.disable(logging.NOTSET)
        try:
            yield hub, Path(folder) / "home"
        finally:
            hub.close()


def run(paths: Sequence[Path], jobs: int = 1, checkpoint: str = CHECKPOINT, regime: dict = REGIME) -> list[Result]:
    """Run lessons, `jobs` at a time, and print each result as it comes."""
    with served() as (hub, home):
        settings = environment(hub, home, checkpoint)

        def one(path: Path) -> Result:
            result = run_lesson(path.stem, lessons.read(path), settings, regime)
            print(result, flush=True)
            return result

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, paths))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["run", "words"])
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--jobs", type=int, default=1, help="lessons at once")
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--whole", action="store_true", help="clips of 10.24 s in 25 steps, as of the real ones")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if given.command == "words":
        add_words(Path(given.arguments[0]).expanduser(), sys.stdin.read().split() if not sys.stdin.isatty() else ())
        return
    start = time.perf_counter()
    results = run(lessons.lessons(given.arguments), given.jobs, given.checkpoint, {} if given.whole else REGIME)
    good = sum(result.ok for result in results)
    print(f"{good} of {len(results)} lessons passed on the stand-in, in {time.perf_counter() - start:.0f} s.")
    sys.exit(good < len(results))


if __name__ == "__main__":
    main()

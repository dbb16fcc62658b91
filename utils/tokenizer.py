"""The tokenizer, proven at every load: some versions of transformers read a prompt letter by letter without a word.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .hub import LoadingError

if TYPE_CHECKING:
    from diffusers import AudioLDMPipeline

PROBE = "Techno music with a strong, upbeat tempo and high melodic riffs"  # the model card's prompt


def prove_tokenizer(pipe: AudioLDMPipeline, folder: Path, label: str) -> None:
    """Split a known prompt with the pipeline's tokenizer and by the checkpoint's own rules; repair what differs.

    transformers 5.0 to 5.16 load a RobertaTokenizerFast whose tokenizer.json does not name its model without its
    merges, and every prompt falls into letters.
    """
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaTokenizer, __version__

    vocab, merges = read_tokenizer(folder)
    pairs = [tuple(merge.split(" ")) for merge in merges]
    right = [vocab["<s>"], *ByteLevelBPETokenizer(vocab, pairs).encode(PROBE).ids, vocab["</s>"]]
    found = pipe.tokenizer(PROBE).input_ids
    if found == right:
        return
    with TemporaryDirectory() as copy:  # without tokenizer.json: every version then builds it from these two
        (Path(copy) / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
        (Path(copy) / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
        shutil.copy(folder / "tokenizer_config.json", copy)
        pipe.register_modules(tokenizer=RobertaTokenizer.from_pretrained(copy))
    if pipe.tokenizer(PROBE).input_ids != right:
        raise LoadingError(f"The tokenizer of {label} splits prompts wrongly: update transformers to 5.17 or later.")
    print(
        f"{label}: transformers {__version__} loads its tokenizer without the merges (a test prompt falls into "
        f"{len(found)} tokens instead of {len(right)}); repaired."
    )


def read_tokenizer(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Vocabulary and merges of a byte-level BPE, from its two files or from tokenizer.json."""
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [line for line in lines if line and not line.startswith("#version")]
        return json.loads((folder / "vocab.json").read_text(encoding="utf-8")), merges
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    return model["vocab"], [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]

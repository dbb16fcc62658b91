"""The minis' tokenizer: a byte-level BPE like RoBERTa's, trained on the captions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import ByteLevelBPETokenizer
from transformers import RobertaTokenizer

from .parts import MAX_TOKENS

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]  # RoBERTa's, in its order


def train_tokenizer(captions: Iterable[str], folder: Path, vocab_size: int = 2000) -> None:
    """Train on captions and write the files that `RobertaTokenizer.from_pretrained(folder)` reads."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(captions, vocab_size=vocab_size, min_frequency=2, special_tokens=SPECIAL)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_model(str(folder))
    config = {
        "tokenizer_class": "RobertaTokenizer",
        "model_max_length": MAX_TOKENS,
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "add_prefix_space": False,
        "trim_offsets": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_tokenizer(folder: Path) -> RobertaTokenizer:
    """The tokenizer as the pipeline loads it."""
    return RobertaTokenizer.from_pretrained(folder)

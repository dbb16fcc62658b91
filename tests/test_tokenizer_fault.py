"""The words reach the model: on transformers 5.0 to 5.16 the plain pipeline reads prompts letter by letter."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import transformers
from diffusers import AudioLDMPipeline
from packaging.version import Version

from tests.checkpoints import GOLDEN, change_json, copy_of, lose_merges, make_repository
from utils.checkpoints import PROBE
from utils.loading import load_pipeline

FAULTY = Version("5.0") <= Version(transformers.__version__) < Version("5.17")


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A small AudioLDM whose files are those of the Hub: RobertaTokenizerFast, and a tokenizer.json without `type`."""
    return make_repository(tmp_path_factory.mktemp("hub") / "small")


@pytest.fixture
def copy(repository, tmp_path) -> Path:
    return copy_of(repository, tmp_path / "copy")


def test_the_plain_pipeline_and_ours(repository, capsys):
    """The model card's snippet and `load_pipeline`, on the transformers that is here."""
    plain = AudioLDMPipeline.from_pretrained(repository)
    assert (plain.tokenizer(PROBE).input_ids != GOLDEN) == FAULTY
    capsys.readouterr()
    assert load_pipeline(repository, device="cpu").tokenizer(PROBE).input_ids == GOLDEN
    said = capsys.readouterr().out
    assert ("55 tokens instead of 17" in said) if FAULTY else (said == "")


def test_the_fault_itself_is_repaired_on_every_version(copy, capsys):
    """A tokenizer.json whose merges are lost does on every version what the real one does on some."""
    lose_merges(copy)
    plain = AudioLDMPipeline.from_pretrained(copy)
    assert len(plain.tokenizer(PROBE).input_ids) > 50  # letters
    capsys.readouterr()
    ours = load_pipeline(copy, device="cpu")
    assert ours.tokenizer(PROBE).input_ids == GOLDEN
    assert "instead of 17" in capsys.readouterr().out
    inputs = ours.tokenizer(PROBE, padding="max_length", max_length=20, truncation=True, return_tensors="pt")
    assert inputs.input_ids.shape == (1, 20) and int(inputs.attention_mask.sum()) == 17
    assert inputs.input_ids[0, -1] == ours.tokenizer.pad_token_id == 1
    assert ours.tokenizer.model_max_length == 512
    assert ours.text_encoder(**inputs).text_embeds.shape == (1, 512)


def test_a_folder_with_tokenizer_json_alone(copy, capsys):
    """As transformers 5 saves it."""
    saved = copy / "saved"
    transformers.AutoTokenizer.from_pretrained(copy / "tokenizer").save_pretrained(saved)
    shutil.rmtree(copy / "tokenizer")
    saved.rename(copy / "tokenizer")
    for name in ("vocab.json", "merges.txt"):
        (copy / "tokenizer" / name).unlink(missing_ok=True)
    assert load_pipeline(copy, device="cpu").tokenizer(PROBE).input_ids == GOLDEN


def test_a_mini_is_never_affected(random_checkpoint, capsys):
    plain = AudioLDMPipeline.from_pretrained(random_checkpoint)
    capsys.readouterr()
    ours = load_pipeline(random_checkpoint, device="cpu")
    assert plain.tokenizer(PROBE).input_ids == ours.tokenizer(PROBE).input_ids
    assert capsys.readouterr().out == ""


def test_the_real_tokenizer_gives_the_golden_ids(copy):
    """Of audioldm-s-full-v2, where its tokenizer folder is at hand: AUDIOLDM_TOKENIZER names it."""
    real = os.environ.get("AUDIOLDM_TOKENIZER")
    if not real:
        pytest.skip("AUDIOLDM_TOKENIZER does not name the tokenizer folder of cvssp/audioldm-s-full-v2")
    shutil.rmtree(copy / "tokenizer")
    shutil.copytree(real, copy / "tokenizer")
    change_json(copy / "tokenizer" / "tokenizer_config.json", model_max_length=512)
    assert load_pipeline(copy, device="cpu").tokenizer(PROBE).input_ids == GOLDEN

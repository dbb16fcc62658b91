"""The words reach the model: on transformers 5.0 to 5.16 the plain pipeline reads prompts letter by letter."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import transformers
from diffusers import AudioLDMPipeline

from tests.hub import change_json, make_repository
from utils.hub import release
from utils.loading import LoadingError, load_pipeline
from utils.tokenizer import PROBE

FAULTY = (5, 0) <= release(transformers.__version__) < (5, 17)
WORDS = "Techno music with a strong, upbeat tempo and high melodic riffs".replace(",", " ,").split()


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A small AudioLDM whose files are those of the Hub: RobertaTokenizerFast, and a tokenizer.json without `type`."""
    return make_repository(tmp_path_factory.mktemp("hub") / "small")


@pytest.fixture
def copy(repository, tmp_path) -> Path:
    return Path(shutil.copytree(repository, tmp_path / "copy"))


def pieces(pipe) -> list[str]:
    """The prompt's tokens, as text."""
    return [token.replace("Ġ", "") for token in pipe.tokenizer.tokenize(PROBE)]


def _change_model(folder: Path, **changes) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    model = json.loads(path.read_text())["model"]
    change_json(path, model={**model, **changes})


def _lose_merges(folder: Path) -> None:
    _change_model(folder, merges=[])


def test_the_plain_pipeline_and_ours(repository, capsys):
    """What the model card's snippet gives and what `load_pipeline` gives, on the transformers that is here."""
    plain = AudioLDMPipeline.from_pretrained(repository)
    assert (pieces(plain) != WORDS) == FAULTY
    if FAULTY:
        assert max(len(piece) for piece in pieces(plain)) == 1  # letters
    capsys.readouterr()
    ours = load_pipeline(repository, device="cpu")
    assert pieces(ours) == WORDS
    said = capsys.readouterr().out
    assert said == (
        f"small: transformers {transformers.__version__} loads its tokenizer without the merges (a test prompt falls "
        "into 55 tokens instead of 14); repaired.\n"
        if FAULTY
        else ""
    )


def test_the_fault_itself_is_repaired_on_every_version(copy, capsys):
    """A tokenizer.json whose merges are lost does on every version what the real one does on some."""
    _lose_merges(copy)
    plain = AudioLDMPipeline.from_pretrained(copy)
    assert max(len(piece) for piece in pieces(plain)) == 1
    capsys.readouterr()
    ours = load_pipeline(copy, device="cpu")
    assert pieces(ours) == WORDS
    assert "loads its tokenizer without the merges" in capsys.readouterr().out


def test_the_repaired_tokenizer_pads_and_cuts_as_the_pipeline_asks(copy):
    _lose_merges(copy)
    ours = load_pipeline(copy, device="cpu")
    inputs = ours.tokenizer(PROBE, padding="max_length", max_length=20, truncation=True, return_tensors="pt")
    assert inputs.input_ids.shape == (1, 20) and int(inputs.attention_mask.sum()) == len(WORDS) + 2
    assert inputs.input_ids[0, -1] == ours.tokenizer.pad_token_id == 1
    assert ours.tokenizer.model_max_length == 512
    assert ours.text_encoder(**inputs).text_embeds.shape == (1, 64)


def test_a_folder_with_tokenizer_json_alone(copy, capsys):
    """As transformers 5 saves it: vocabulary and merges are then read from there."""
    for name in ("vocab.json", "merges.txt"):
        (copy / "tokenizer" / name).unlink()
    _change_model(copy, type="BPE")
    assert pieces(load_pipeline(copy, device="cpu")) == WORDS


def test_what_cannot_be_repaired_is_not_passed_over(repository, monkeypatch):
    """A tokenizer that still splits wrongly after the repair stops the load."""
    from transformers import RobertaTokenizer

    unrepaired = RobertaTokenizer.from_pretrained(repository / "tokenizer")
    vocab = json.loads((repository / "tokenizer" / "vocab.json").read_text())
    monkeypatch.setattr("utils.tokenizer.read_tokenizer", lambda folder: (vocab, ["T e"]))
    monkeypatch.setattr(RobertaTokenizer, "from_pretrained", lambda *args, **options: unrepaired)
    with pytest.raises(LoadingError, match="tokenizer of small splits prompts wrongly: update transformers"):
        load_pipeline(repository, device="cpu")


def test_a_mini_is_never_affected(random_checkpoint, capsys):
    plain = AudioLDMPipeline.from_pretrained(random_checkpoint)
    capsys.readouterr()
    ours = load_pipeline(random_checkpoint, device="cpu")
    assert plain.tokenizer(PROBE).input_ids == ours.tokenizer(PROBE).input_ids
    assert capsys.readouterr().out == ""


def test_the_real_tokenizer_gives_the_golden_ids(repository, copy):
    """Of audioldm-s-full-v2, where its tokenizer folder is at hand: AUDIOLDM_TOKENIZER names it."""
    real = os.environ.get("AUDIOLDM_TOKENIZER")
    if not real:
        pytest.skip("AUDIOLDM_TOKENIZER does not name the tokenizer folder of cvssp/audioldm-s-full-v2")
    shutil.rmtree(copy / "tokenizer")
    shutil.copytree(real, copy / "tokenizer")
    change_json(copy / "tokenizer" / "tokenizer_config.json", model_max_length=512)
    golden = "0 40529 139 930 19 10 670 6 14899 20889 8 239 15352 30054 910 13980 2"
    assert load_pipeline(copy, device="cpu").tokenizer(PROBE).input_ids == [int(number) for number in golden.split()]

"""`load_pipeline` where something is wrong: names, folders, tokenizers, a diffusers without the class."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version

from tests.checkpoints import GOLDEN, change_json, make_repository
from tests.hub import ROOT
from tests.test_loading import ONE_STEP
from utils import clap_for, clap_similarity, generate, is_mini, loading
from utils.checkpoints import CHECKPOINTS, PROBE
from utils.hub import MODELS
from utils.loading import LoadingError, checkpoint_name, load_pipeline

MINIS = [checkpoint.name for checkpoint in CHECKPOINTS.values() if checkpoint.is_mini]


@pytest.fixture
def copy(repository, tmp_path) -> Path:
    return shutil.copytree(repository, tmp_path / "copy")


# ---- names


@pytest.mark.parametrize("name", ["audioldm-s-full-v3", "AudioLDM-M-Full", "./nowhere"])
def test_unknown_names_get_the_list(name):
    with pytest.raises(ValueError, match="audioldm-s-full, .*mini-l") as caught:
        load_pipeline(name, device="cpu")
    assert repr(name) in str(caught.value)


def test_a_mini_by_another_name_is_judged_as_one(random_checkpoint, tmp_path):
    """Its clips know their checkpoint by name only, and outlive the pipeline."""
    folder = shutil.copytree(random_checkpoint, tmp_path / "my-laser")
    plain = diffusers.AudioLDMPipeline.from_pretrained(folder)
    for pipe in (load_pipeline(folder, device="cpu"), plain):
        assert is_mini(pipe) and checkpoint_name(pipe) == "my-laser" and clap_for(pipe) == "mini-clap"
        clip = generate(pipe, "a dog", **ONE_STEP)
        assert np.isclose(clap_similarity([clip], "a dog"), clap_similarity([clip], "a dog", "mini-clap")).all()
    plain.register_to_config(_name_or_path="cvssp/audioldm")
    assert checkpoint_name(plain) == "audioldm-s-full"


@pytest.mark.parametrize("name", MINIS)
def test_the_minis_load_and_have_their_size(name):
    pipe = load_pipeline(name, device="cpu")
    parameters = sum(p.numel() for part in MODELS for p in getattr(pipe, part).parameters())
    assert parameters / 1e6 == pytest.approx(CHECKPOINTS[name].parameters, rel=0.02)


# ---- damaged folders


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model_index.json", None, "it lacks model_index.json"),
        ("unet/diffusion_pytorch_model.safetensors", None, r"it lacks unet/\*model\*"),
        ("text_encoder/model.safetensors", "half", "cannot be read"),
        ("vae/config.json", "[]", "cannot be read"),
        ("tokenizer/vocab.json", "{", "cannot be read"),
    ],
)
def test_a_damaged_folder_is_named_in_one_sentence(name, content, words, copy):
    path = copy / name
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(before[: len(before) // 2] if content == "half" else content.encode())
    with pytest.raises(LoadingError, match=words) as caught:
        load_pipeline(copy, device="cpu")
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert caught.value.__suppress_context__ or not caught.value.__context__  # a script shows no library's traceback


def test_a_notebook_shows_the_sentence_alone(tmp_path, monkeypatch, capsys):
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.setenv("AUDIOLDM_MINI_FOLDER", str(tmp_path))
    (tmp_path / "mini-s").mkdir()
    for name, words in (("mini-s", "it lacks model_index.json"), ("mini-l", f"mini-l is not in {tmp_path}")):
        InteractiveShell().run_cell(f"from utils.loading import load_pipeline\nload_pipeline({name!r}, device='cpu')")
        shown = capsys.readouterr().out.strip()
        assert shown.startswith("LoadingError: ") and "\n" not in shown and words in shown


def test_a_pickle_that_would_run_code_does_not(tmp_path):
    folder = make_repository(tmp_path / "evil", in_2023=True)

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "hacked"),)

    torch.save({"conv_in.weight": Evil()}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(LoadingError, match="evil cannot be read"):
        load_pipeline(folder, device="cpu")
    assert not (tmp_path / "hacked").exists()


# ---- tokenizers: on transformers 5.0 to 5.16 the plain pipeline reads prompts letter by letter


def test_the_words_reach_the_model_on_the_transformers_that_is_here(repository, random_checkpoint, capsys):
    faulty = Version("5.0") <= Version(transformers.__version__) < Version("5.17")
    plain = diffusers.AudioLDMPipeline.from_pretrained(repository)
    assert (plain.tokenizer(PROBE).input_ids != GOLDEN) == faulty
    capsys.readouterr()
    assert load_pipeline(repository, device="cpu").tokenizer(PROBE).input_ids == GOLDEN
    assert ("55 tokens instead of 17" in capsys.readouterr().out) == faulty
    load_pipeline(random_checkpoint, device="cpu")
    assert capsys.readouterr().out == ""  # a mini is never affected


def test_the_fault_itself_is_repaired_on_every_version(copy, capsys):
    """Without its merges a tokenizer.json is misread by every version of transformers."""
    path = copy / "tokenizer" / "tokenizer.json"
    change_json(path, model=json.loads(path.read_text())["model"] | {"merges": []})
    assert len(diffusers.AudioLDMPipeline.from_pretrained(copy).tokenizer(PROBE).input_ids) > 50  # letters
    capsys.readouterr()
    ours = load_pipeline(copy, device="cpu")
    assert ours.tokenizer(PROBE).input_ids == GOLDEN and ours.tokenizer.model_max_length == 512
    assert "instead of 17" in capsys.readouterr().out
    inputs = ours.tokenizer(PROBE, padding="max_length", max_length=20, truncation=True, return_tensors="pt")
    assert int(inputs.attention_mask.sum()) == 17 and inputs.input_ids[0, -1] == ours.tokenizer.pad_token_id == 1


def test_a_folder_with_tokenizer_json_alone(copy):
    """As transformers 5 saves it."""
    transformers.AutoTokenizer.from_pretrained(copy / "tokenizer").save_pretrained(copy / "saved")
    shutil.rmtree(copy / "tokenizer")
    (copy / "saved").rename(copy / "tokenizer")
    for name in ("vocab.json", "merges.txt"):
        (copy / "tokenizer" / name).unlink(missing_ok=True)
    assert load_pipeline(copy, device="cpu").tokenizer(PROBE).input_ids == GOLDEN


# ---- the day when diffusers drops the class


def test_without_the_class_the_version_to_install_is_named(random_checkpoint, monkeypatch):
    """By every entry point: the class is imported in one place."""
    monkeypatch.delitem(diffusers._class_to_module, "AudioLDMPipeline")
    monkeypatch.delattr(diffusers, "AudioLDMPipeline", raising=False)
    monkeypatch.delitem(sys.modules, "diffusers.pipelines.audioldm.pipeline_audioldm", raising=False)
    for name in (random_checkpoint, "audioldm-s-full-v2"):
        with pytest.raises(LoadingError, match=f"pip install diffusers=={loading.TESTED_DIFFUSERS}"):
            load_pipeline(name, device="cpu")


def test_the_version_is_the_upper_bound_of_the_requirements_and_was_tested():
    asked, tested = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("requirements.txt", "constraints/current.txt")
    )
    assert re.search(rf"^diffusers\b.*<={re.escape(loading.TESTED_DIFFUSERS)}$", asked, re.M)
    assert f"diffusers=={loading.TESTED_DIFFUSERS}" in tested.splitlines()


# ---- what is said and what is not


def test_harmless_messages_are_silenced_and_others_let_through(repository, monkeypatch):
    heard: list[str] = []
    logger = logging.getLogger("diffusers.pipelines.pipeline_utils")
    monkeypatch.setattr(logger, "callHandlers", lambda record: heard.append(record.getMessage()))
    filters = list(logger.filters)
    with loading.quiet():
        logger.warning("something new")
        logger.warning("The AudioLDMPipeline has been deprecated and will not receive bug fixes")
    load_pipeline(repository, device="cpu")
    assert heard == ["something new"] and logger.filters == filters
    assert diffusers.utils.logging.is_progress_bar_enabled()

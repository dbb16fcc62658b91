"""`load_pipeline` where something is wrong: names, damaged folders, a diffusers without the class."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from packaging.requirements import Requirement

from tests.checkpoints import change_json, copy_of, make_repository
from tests.hub import ROOT
from tests.test_loading import ONE_STEP
from utils import clap_similarity, generate, is_mini, loading
from utils.checkpoints import CHECKPOINTS
from utils.hub import MODELS
from utils.loading import LoadingError, checkpoint_name, load_pipeline


@pytest.fixture(scope="module")
def repository_of_2023(tmp_path_factory) -> Path:
    """The same weights in the Hub's format of 2023."""
    return make_repository(tmp_path_factory.mktemp("2023") / "small", in_2023=True)


@pytest.fixture
def copy(repository, tmp_path) -> Path:
    return copy_of(repository, tmp_path / "copy")


# ---- names


@pytest.mark.parametrize("name", ["audioldm-s-full-v3", "mini-xl", "AudioLDM-M-Full", "./nowhere"])
def test_unknown_names_get_the_list(name):
    with pytest.raises(ValueError, match="audioldm-s-full, .*mini-l") as caught:
        load_pipeline(name, device="cpu")
    assert repr(name) in str(caught.value)


def test_a_mini_that_is_not_there_says_where_it_should_be(tmp_path, monkeypatch):
    monkeypatch.setenv("AUDIOLDM_MINI_FOLDER", str(tmp_path))
    with pytest.raises(LoadingError, match=f"mini-l is not in {tmp_path}"):
        load_pipeline("mini-l", device="cpu")


def test_names_for_labels(random_checkpoint, repository):
    assert checkpoint_name(load_pipeline(random_checkpoint, device="cpu")) == "mini-s-v2"
    plain = diffusers.AudioLDMPipeline.from_pretrained(repository)
    assert checkpoint_name(plain) == "small"
    plain.register_to_config(_name_or_path="cvssp/audioldm")
    assert checkpoint_name(plain) == "audioldm-s-full"


def test_a_mini_by_another_name_is_judged_as_one(random_checkpoint, tmp_path):
    """Its clips know their checkpoint by name only, and outlive the pipeline."""
    folder = copy_of(random_checkpoint, tmp_path / "my-laser")
    for pipe in (load_pipeline(folder, device="cpu"), diffusers.AudioLDMPipeline.from_pretrained(folder)):
        assert is_mini(pipe) and checkpoint_name(pipe) == "my-laser"
        clip = generate(pipe, "a dog", **ONE_STEP)
        del pipe
        assert np.isclose(clap_similarity([clip], "a dog"), clap_similarity([clip], "a dog", "mini-clap")).all()
    assert "audioldm-s-full-v2" not in loading.MINIS


def test_the_table_is_the_model_cards():
    real = [c for c in CHECKPOINTS.values() if not c.is_mini]
    assert [c.parameters for c in real] == [421, 421, 652, 975]
    assert [c.unet_dim for c in real] == [128, 128, 192, 256]
    assert [c.clap_audio_dim for c in real] == [768, 768, 1024, 768]
    assert [c.audio_conditioning for c in real] == [False, False, True, False]
    assert [c.unet_dim * 8 for c in CHECKPOINTS.values() if c.is_mini] == [128, 128, 192, 256]


@pytest.mark.parametrize("name", [c.name for c in CHECKPOINTS.values() if c.is_mini])
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
        ("vocoder/config.json", None, "it lacks vocoder/config.json"),
        ("unet/diffusion_pytorch_model.safetensors", "half", "cannot be read"),
        ("text_encoder/model.safetensors", "half", "cannot be read"),
        ("unet/config.json", "half", "cannot be read"),
        ("vae/config.json", "[]", "cannot be read"),
        ("model_index.json", "", "cannot be read"),
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


def test_another_kind_of_pipeline_is_refused(copy):
    change_json(copy / "model_index.json", _class_name="MusicLDMPipeline")
    with pytest.raises(LoadingError, match="MusicLDMPipeline"):
        load_pipeline(copy, device="cpu")


def test_a_pickle_that_would_run_code_does_not(repository_of_2023, tmp_path):
    folder = copy_of(repository_of_2023, tmp_path / "evil")

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "hacked"),)

    torch.save({"conv_in.weight": Evil()}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(LoadingError, match="evil cannot be read"):
        load_pipeline(folder, device="cpu")
    assert not (tmp_path / "hacked").exists()


# ---- the day when diffusers drops the class


HIDE = """
import diffusers, sys
sys.path.insert(0, {root!r})
diffusers._class_to_module = {{k: v for k, v in diffusers._class_to_module.items() if k != "AudioLDMPipeline"}}
diffusers.__dict__.pop("AudioLDMPipeline", None)
for module in [name for name in sys.modules if name.endswith("pipeline_audioldm")]:
    del sys.modules[module]
try:
    from diffusers import AudioLDMPipeline
    sys.exit("it is not hidden")
except ImportError:
    pass
"""
ENTRIES = {
    "load_pipeline": "from utils import load_pipeline\nload_pipeline('mini-s-v2')",
    "a real name": "from utils import load_pipeline\nload_pipeline('audioldm-s-full-v2', device='cpu')",
    "sweep": "from utils import sweep\nsweep('mini-s-v2', ['rain'], folder={folder!r})",
    "studio": "from playground import Studio\nsys.exit(Studio('mini-s-v2').message)",  # said in its panel
    "real": "from tools import real\nsys.argv[1:] = ['steps', 'mini-s-v2']\nreal.main()",
    "evaluation": "from pathlib import Path\nfrom mini.evaluate import load\nload(Path('mini/checkpoints/mini-s-v2'))",
}


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_without_the_class_every_entry_point_names_the_version_to_install(entry, tmp_path):
    code = HIDE.format(root=str(ROOT)) + ENTRIES[entry].format(folder=str(tmp_path / "sweep"))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment)
    last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
    assert done.returncode != 0 and f"pip install diffusers=={loading.TESTED_DIFFUSERS}" in last, done.stderr[-2000:]


def test_without_the_class_load_pipeline_names_the_version_to_install():
    code = HIDE.format(root=str(ROOT)) + ENTRIES["load_pipeline"]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("utils.hub.LoadingError: ") and loading.TESTED_DIFFUSERS in last


def test_the_version_is_the_upper_bound_of_the_requirements_and_was_tested():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (bound,) = [Requirement(line) for line in lines if line.startswith("diffusers")]
    assert f"<={loading.TESTED_DIFFUSERS}" in map(str, bound.specifier)
    tested = (ROOT / "constraints" / "current.txt").read_text(encoding="utf-8").splitlines()
    assert f"diffusers=={loading.TESTED_DIFFUSERS}" in tested


# ---- what is said and what is not


def test_harmless_messages_are_silenced_and_others_let_through(repository):
    from diffusers.utils import logging as diffusers_logging

    heard: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())
    loggers = [logging.getLogger(name) for name in loading.LOUD]
    filters = [list(logger.filters) for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
    with loading.quiet():
        loggers[0].warning("something new")
        loggers[0].warning("The AudioLDMPipeline has been deprecated and will not receive bug fixes")
    load_pipeline(repository, device="cpu")
    for logger in loggers:
        logger.removeHandler(listener)
    assert heard == ["something new"]
    assert [logger.filters for logger in loggers] == filters
    assert diffusers_logging.is_progress_bar_enabled()


def test_a_notebook_shows_the_sentence_alone(tmp_path, monkeypatch, capsys):
    """Not the libraries' own tracebacks, which come first when Python prints the chain of errors."""
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.setenv("AUDIOLDM_MINI_FOLDER", str(tmp_path))
    (tmp_path / "mini-s").mkdir()
    shell = InteractiveShell()
    shell.run_cell("from utils.loading import load_pipeline\nload_pipeline('mini-s', device='cpu')")
    shown = capsys.readouterr().out.strip()
    assert shown.startswith("LoadingError: ") and "\n" not in shown and "it lacks model_index.json" in shown


def test_a_script_shows_no_library_either(copy):
    (copy / "unet" / "config.json").write_text("{")
    code = f"from utils import load_pipeline; load_pipeline({str(copy)!r}, device='cpu')"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stderr
    assert shown.strip().splitlines()[-1].startswith("utils.hub.LoadingError: copy cannot be read from")
    assert "site-packages" not in shown and "JSONDecodeError" not in shown

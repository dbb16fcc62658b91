"""Every lesson, and the protocol for a GPU, on a stand-in of the real format. See `tests/standin.py`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ClapFeatureExtractor

from tests import standin
from tests.checkpoints import CLAP, GOLDEN, IN_2023, make_all
from tests.hub import Client, Hub, environment
from tools import lessons
from tools.bench import snr_db
from utils import Clip, clap_for, decode_latents, encode_audio, encode_prompt, generate, is_mini, load_pipeline, regime
from utils.checkpoints import PROBE

SHORT = {"num_inference_steps": 2, "audio_length_in_s": 0.64}


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[Hub, dict[str, str]]]:
    """The Hub of the stand-in, and the settings by which a process takes it for the real one."""
    folder = tmp_path_factory.mktemp("standin")
    hub = Hub(make_all(folder / "made"))
    settings = {**environment(hub.url, folder / "home"), "AUDIOLDM_CHECKPOINT": "audioldm-s-full-v2"}
    patient = dict.fromkeys(["HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"], "60")
    yield hub, {**settings, **patient, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    hub.close()


@pytest.fixture(scope="module")
def folder(served) -> Path:
    return served[0].repositories["cvssp/audioldm-s-full-v2"]


@pytest.fixture(scope="module")
def pipe(folder):
    return load_pipeline(folder, device="cpu")


# ---- the lessons


@pytest.mark.slow
@pytest.mark.parametrize("path", lessons.lessons(), ids=lambda path: path.stem)
def test_the_lesson_and_its_solutions_pass_on_the_real_format(path, served, capsys):
    fine, said = standin.run_lesson(path, served[1])
    with capsys.disabled():
        print(f"\n{said}")
    assert fine, said


# ---- what is real about it


@pytest.mark.parametrize("hub_id", ["cvssp/audioldm-s-full-v2", "cvssp/audioldm-l-full"])
def test_each_checkpoint_has_the_real_format(hub_id, served):
    folder = served[0].repositories[hub_id]
    pipe = load_pipeline(folder, device="cpu")
    assert pipe.vae_scale_factor == 4 and pipe.tokenizer(PROBE).input_ids == GOLDEN
    assert regime(pipe) == {"num_inference_steps": 25, "audio_length_in_s": 10.24}
    assert not is_mini(pipe) and clap_for(pipe) == CLAP
    pickled = sorted(path.suffix for path in folder.glob("*/*") if path.suffix in (".bin", ".safetensors"))
    assert pickled == [".bin" if hub_id in IN_2023 else ".safetensors"] * 4
    clip, other = generate(pipe, "a dog barking", num_waveforms_per_prompt=2, **SHORT)
    assert 0.05 < clip.peak <= 1 and np.corrcoef(clip.waveform, other.waveform)[0, 1] < 0.9
    extractor = ClapFeatureExtractor.from_pretrained(served[0].repositories[CLAP])
    assert (extractor.sampling_rate, extractor.nb_max_samples, extractor.truncation) == (48000, 480000, "rand_trunc")


@pytest.mark.slow
def test_the_protocol_for_a_gpu_runs_through(served, tmp_path, monkeypatch):
    """In a process of its own, by real names: docs/real.md's two experiments, small, to their tables, and its code."""
    code = f"""
import contextlib, io
from pathlib import Path
{standin.IN_THE_KERNEL}
from tools import real
real.FOLDER, real.SEEDS, small = Path({str(tmp_path / "outputs" / "real")!r}), range(2), {{"audio_length_in_s": 0.64}}
with contextlib.redirect_stdout(io.StringIO()) as said:
    real.heads(["audioldm-s-full-v2"], real.PROMPTS[:3], {{**small, "num_inference_steps": 2}})
    real.steps("audioldm-s-full-v2", real.PROMPTS[:3], small, (10, 11))
result = said.getvalue()
"""
    client = Client(served[0].url, tmp_path / "home")
    answer = client.run(code)
    client.close()
    assert not answer["error"], answer
    said = answer["result"]
    assert re.search(
        r"\| audioldm-s-full-v2 \| -?0\.\d{3} \| -?0\.\d{3} \| .*n = 3\) \| (an effect|maybe|none shown) \|", said
    )
    assert re.search(r"^\| 10 \| -?0\.\d{3} \| 0\.328 \|  \|", said, re.M) and "Knee: 1" in said, said
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (lessons.ROOT / "docs" / "real.md").read_text(encoding="utf-8"), re.S)
    names: dict = {}
    exec(textwrap.dedent(code), names)
    assert [len(table) for table in names["first"]] == [3, 3]


# ---- float16, as far as a CPU can take it


@pytest.fixture(scope="module")
def half(folder):
    """The stand-in as it is on a GPU: every part in float16."""
    pipe = load_pipeline(folder, device="cpu")
    for part in (pipe.text_encoder, pipe.unet, pipe.vae, pipe.vocoder):
        part.to(torch.float16)
    return pipe


def test_float16_from_words_and_recordings_to_sound(half, pipe):
    seen = []
    clip = generate(half, "a dog barking", callback=lambda step, timestep, now: seen.append(now.dtype), **SHORT)
    assert seen == [torch.float16] * 2 and clip.waveform.dtype == np.float32 and clip.settings["dtype"] == "float16"
    assert snr_db(generate(pipe, "a dog barking", **SHORT).waveform, clip.waveform) > 20
    latents, said = encode_audio(half, Clip(0.1 * np.sin(np.arange(10240) / 8))), encode_prompt(half, "rain").float()
    assert latents.dtype == torch.float32 and np.isfinite(decode_latents(half, latents).waveform).all()

    def keep(step, timestep, now):
        now[:, :, :8] = latents[:, :, :8]

    generate(half, "rain", prompt_embeds=said, latents=latents, callback=keep, **SHORT)


def test_float16_that_overflows_is_said_and_never_saved(half):
    handle = half.unet.conv_out.register_forward_hook(lambda module, inputs, output: output * 6e4)
    with pytest.raises(RuntimeError, match="float16 overflowed, try dtype float32"):
        generate(half, "rain", **SHORT)
    handle.remove()

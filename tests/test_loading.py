"""`load_pipeline`: the right checkpoint, in the right place and dtype, with the very weights of its files."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import scaled_dot_product_attention

from tests.checkpoints import make_repository, make_unet
from tests.hub import Client, Hub
from utils import generate, loading
from utils.checkpoints import CHECKPOINTS, original_heads
from utils.hub import MODELS
from utils.loading import LoadingError, checkpoint_name, load_pipeline

ON_CPU = pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
ONE_STEP = {"num_inference_steps": 1, "audio_length_in_s": 0.64}
REAL = "audioldm-s-full-v2"


@pytest.fixture(scope="module")
def hub(repository, tmp_path_factory):
    """The same weights in the format of today, beside files that loading does not need, and in that of 2023."""
    folder = tmp_path_factory.mktemp("served")
    today, old = shutil.copytree(repository, folder / "today"), make_repository(folder / "2023", in_2023=True)
    for name in ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors"):
        (today / "unet" / name).write_bytes(b"not wanted")
    hub = Hub({"cvssp/audioldm-s-full-v2": today, "cvssp/audioldm-l-full": old, "someone/own": today})
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    client = Client(hub.url, tmp_path_factory.mktemp("home"))
    client.run("import torch\nfrom utils import loading\nfrom utils.loading import load_pipeline, checkpoint_name")
    yield client
    client.close()


# ---- through the Hub


@pytest.mark.parametrize("name", [REAL, "audioldm-l-full", "someone/own"])
def test_weights_come_bit_equal_through_the_hub_and_then_without_it(name, hub, client, repository, tmp_path):
    hub.requests.clear()
    answer = client.run(f"""
pipe = load_pipeline({name!r}, device="cpu")
for part in {MODELS}:
    torch.save(getattr(pipe, part).state_dict(), f"{tmp_path}/{{part}}.pt")
result = [checkpoint_name(pipe), str(pipe.unet.dtype), len(pipe.tokenizer("a dog").input_ids)]
""")
    assert (answer["error"], answer["result"]) == ("", [name, "torch.float32", 4])
    known = CHECKPOINTS.get(name)
    assert "downloading" in answer["out"] and (known.licence if known else "licence") in answer["out"]
    assert len(hub.downloaded()) == 4 and not any("fp16" in file for file in hub.downloaded())
    revision = known and known.revision or ""
    assert all(revision in request for request in hub.requests if "/resolve/" in request)
    for file in sorted(repository.glob("*/*.safetensors")):
        promised, loaded = load_file(file), torch.load(tmp_path / f"{file.parent.name}.pt")
        assert len(promised) > 5 and all(torch.equal(promised[key], loaded[key]) for key in promised), file
    hub.requests.clear()
    assert client.run(f"load_pipeline({name!r}, device='cpu')")["error"] == "" and hub.requests == []


# ---- what "auto" takes


@ON_CPU
def test_auto_without_a_gpu_is_the_mini_and_an_explicit_name_is_taken_quietly(random_checkpoint, monkeypatch, capsys):
    monkeypatch.setenv("AUDIOLDM_MINI_FOLDER", str(random_checkpoint.parent))
    monkeypatch.delenv("AUDIOLDM_CHECKPOINT", raising=False)
    assert checkpoint_name(load_pipeline()) == "mini-s-v2"
    assert capsys.readouterr().out == "mini-s-v2 on cpu in float32 (auto: there is no CUDA device).\n"
    monkeypatch.setenv("AUDIOLDM_CHECKPOINT", str(random_checkpoint))
    assert checkpoint_name(load_pipeline("auto", device="cpu")) == "mini-s-v2"
    assert "AUDIOLDM_CHECKPOINT" in capsys.readouterr().out
    load_pipeline(random_checkpoint, device="cpu")
    assert capsys.readouterr().out == ""


def test_auto_with_a_gpu_takes_the_real_checkpoint_if_it_can_be_had(hub, client):
    code = "result = loading._choose('cuda')"
    client.forget()
    assert client.run(code)["result"][0] == REAL
    for hub.fault in ("503", "silent"):
        answer = client.run(code)
        assert answer["result"][0] == "mini-s-v2" and answer["seconds"] < 25  # the Hub is silent for 30
    hub.fault = ""
    client.run(f"load_pipeline({REAL!r}, device='cpu')")
    hub.fault = "503"
    assert client.run(code)["result"][0] == REAL  # it is on this machine
    hub.fault = ""


# ---- where and in which dtype


@pytest.mark.parametrize("dtype", ["float32", torch.bfloat16])
def test_every_part_has_the_dtype_that_was_asked_for(dtype, repository):
    pipe = load_pipeline(repository, device="cpu", dtype=dtype)
    asked = getattr(torch, str(dtype).removeprefix("torch."))
    assert {getattr(pipe, part).dtype for part in MODELS} == {asked}
    weight = pipe.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == (asked == torch.bfloat16)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float16"}, "float16.*CPU.*float32"),
        ({"dtype": "float64"}, "float64"),
        ({"device": "cuda:99"}, "cuda:99.*cpu"),
        ({"original_attention_heads": True}, "dim 128, 192 or 256.*dim 8"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(options, words, repository):
    with pytest.raises(ValueError, match=words) as caught:
        load_pipeline(repository, **{"device": "cpu", **options})
    assert "\n" not in str(caught.value)


def test_options_that_save_memory_change_no_sound(repository):
    """Without a GPU the hooks of offload move nothing, but they are called as on one."""
    plain, pipe = load_pipeline(repository, device="cpu"), load_pipeline(repository, device="cpu", vae_slicing=True)
    pipe.enable_model_cpu_offload(device="cpu")
    assert pipe.vae.use_slicing and not plain.vae.use_slicing and pipe.unet._hf_hook
    assert load_pipeline(repository, device="cpu", offload=True).device.type == "cpu"
    expected = generate(plain, ["rain"] * 2, **ONE_STEP)[1].waveform
    for _ in range(2):  # afterwards the hooks are as before
        assert np.allclose(generate(pipe, ["rain"] * 2, **ONE_STEP)[1].waveform, expected, atol=1e-5)


def test_a_model_that_does_not_fit_into_the_gpu_says_what_to_do(repository, monkeypatch):
    audioldm = loading.pipeline_class()
    move = audioldm.to

    def full(self, device):
        if device == "cpu":
            return move(self, device)
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(loading, "best_device", lambda device: "cuda")
    monkeypatch.setattr(audioldm, "to", full)
    with pytest.raises(LoadingError, match="memory of cuda: pass offload=True"):
        load_pipeline(repository, dtype="float32")


@pytest.mark.slow
def test_the_real_size_loads_and_generates(tmp_path):
    """421M random weights in the shape of audioldm-s-full-v2: written, loaded, one step, on this machine."""
    if shutil.disk_usage(tmp_path).free < 4e9:
        pytest.skip("needs 4 GB of disk")
    pipe = load_pipeline(make_repository(tmp_path / REAL, real_size=True), device="cpu")
    parameters = {part: sum(p.numel() for p in getattr(pipe, part).parameters()) for part in MODELS}
    assert {part: round(count / 1e6, 1) for part, count in parameters.items()} == {
        "text_encoder": 125.3, "unet": 185.0, "vae": 55.4, "vocoder": 55.3,
    }  # fmt: skip
    clip = generate(pipe, "a dog barking", num_inference_steps=1, audio_length_in_s=5.12)
    assert len(clip.waveform) == 81920 and clip.peak <= 1


# ---- `original_attention_heads`: the reference is softmax(Q K^T / sqrt(d)) V per head of d channels


HEAD_CHANNELS = {128: 32, 192: 32, 256: 64}  # by the first level's channels, as in the original


def reference_attention(x: torch.Tensor, weights: dict[str, torch.Tensor], head_channels: int) -> torch.Tensor:
    """Return self-attention of (positions, channels) with heads of `head_channels` adjacent channels."""
    parts = (x @ weights[f"to_{name}.weight"].T for name in "qkv")
    heads = scaled_dot_product_attention(*(part.unflatten(1, (-1, head_channels)).transpose(0, 1) for part in parts))
    return heads.transpose(0, 1).flatten(1) @ weights["to_out.0.weight"].T + weights["to_out.0.bias"]


def attentions(unet: torch.nn.Module) -> list[torch.nn.Module]:
    return [part for name, part in unet.named_modules() if name.endswith(("attn1", "attn2"))]


def error_of(module: torch.nn.Module, head_channels: int) -> float:
    """Return the relative error of a UNet's attention, given random numbers, against the reference."""
    module = module.to_empty(device="cpu").double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 2 / math.sqrt(parameter.shape[-1]))
        x = torch.randn(1, 64, module.to_q.in_features, generator=generator, dtype=torch.float64)
        right = reference_attention(x[0], module.state_dict(), head_channels)
        return float((module(x)[0] - right).norm() / right.norm())


@pytest.mark.parametrize("dim", HEAD_CHANNELS)
def test_with_the_originals_heads_every_level_computes_the_reference_and_with_the_hubs_something_else(dim):
    channels = tuple(dim * factor for factor in (1, 2, 3, 5))
    with torch.device("meta"):  # only the attention gets numbers
        modules, hubs = (attentions(make_unet(channels, heads=heads)) for heads in (original_heads(channels), 8))
    assert len(modules) == 2 * (2 * 3 + 1 + 3 * 3)  # two in each transformer: 6 on the way down, 1 in the middle, 9 up
    levels = {module.to_q.in_features: module for module in modules}
    assert set(levels) == set(channels[1:])
    assert all(error_of(module, HEAD_CHANNELS[dim]) < 1e-5 for module in levels.values())
    for width, module in {m.to_q.in_features: m for m in hubs}.items():
        error = error_of(module, HEAD_CHANNELS[dim])
        same = width == 8 * HEAD_CHANNELS[dim]  # 256 channels of 32, 512 of 64: there 8 heads are the original's
        assert error < 1e-5 if same else error > 0.1, (width, error)


def test_load_pipeline_switches_the_heads_and_nothing_else_and_is_off_by_default(tmp_path):
    """With a UNet that begins with 128 channels, as the real ones, and is narrow where it costs."""
    narrow = make_repository(tmp_path / "narrow", unet_channels=(128, 64, 64, 96))
    plain, on = (load_pipeline(narrow, device="cpu", **options) for options in ({}, {"original_attention_heads": True}))
    assert (plain.unet.config.attention_head_dim, on.unet.config.attention_head_dim) == (8, [4, 2, 2, 3])
    weights, others = plain.unet.state_dict(), on.unet.state_dict()
    assert list(weights) == list(others) and all(torch.equal(weights[key], others[key]) for key in weights)
    assert [{module.heads for module in attentions(pipe.unet)} for pipe in (plain, on)] == [{8}, {2, 3}]

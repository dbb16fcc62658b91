"""`load_pipeline`: the right checkpoint, in the right place and dtype, with the very weights of its files."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.checkpoints import IN_2023, copy_of, make_repository
from tests.hub import Client, Hub
from utils import generate, loading
from utils.checkpoints import BY_HUB_ID, CHECKPOINTS
from utils.hub import MODELS
from utils.loading import LoadingError, checkpoint_name, load_pipeline

ON_CPU = pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
ONE_STEP = {"num_inference_steps": 1, "audio_length_in_s": 0.64}


@pytest.fixture(scope="module")
def repository_of_2023(tmp_path_factory) -> Path:
    """The same weights in the Hub's format of 2023."""
    return make_repository(tmp_path_factory.mktemp("2023") / "small", in_2023=True)


@pytest.fixture(scope="module")
def hub(repository, repository_of_2023):
    served = {hub_id: repository_of_2023 if hub_id in IN_2023 else repository for hub_id in BY_HUB_ID}
    hub = Hub({**served, "someone/own": repository})
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def client(hub, tmp_path_factory):
    client = Client(hub.url, tmp_path_factory.mktemp("home"))
    client.run("from utils import loading\nfrom utils.loading import load_pipeline, checkpoint_name")
    yield client
    client.close()


@pytest.fixture
def copy(repository, tmp_path) -> Path:
    return copy_of(repository, tmp_path / "copy")


# ---- through the Hub


@pytest.mark.parametrize("name", [*(checkpoint.name for checkpoint in BY_HUB_ID.values()), "someone/own"])
def test_weights_come_bit_equal_through_the_hub_and_then_without_it(name, hub, client, repository, tmp_path):
    hub.requests.clear()
    dump = f"""
import torch
pipe = load_pipeline({name!r}, device="cpu")
for part in ("text_encoder", "unet", "vae", "vocoder"):
    torch.save(getattr(pipe, part).state_dict(), f"{tmp_path}/{{part}}.pt")
result = [checkpoint_name(pipe), str(pipe.unet.dtype), len(pipe.tokenizer("a dog").input_ids)]
"""
    answer = client.run(dump)
    assert (answer["error"], answer["result"]) == ("", [name, "torch.float32", 4])
    licence = CHECKPOINTS[name].licence if name in CHECKPOINTS else "licence"
    assert "downloading" in answer["out"] and licence in answer["out"]
    assert len(hub.downloaded()) == 4
    for file in sorted(repository.glob("*/*.safetensors")):
        promised, loaded = load_file(file), torch.load(tmp_path / f"{file.parent.name}.pt")
        assert set(promised) <= set(loaded) and len(promised) > 5
        assert all(torch.equal(promised[key], loaded[key]) for key in promised), file
    hub.requests.clear()
    code = f"pipe = load_pipeline({name!r}, device='cpu')\npipe.set_progress_bar_config(disable=True)\n"
    answer = client.run(code + "result = pipe('a dog', num_inference_steps=1, audio_length_in_s=0.64).audios.shape")
    assert (answer["error"], answer["result"], hub.requests) == ("", [1, 10240], [])


def test_only_what_loading_needs_is_downloaded(hub, client, repository):
    extra = [repository / "unet" / "diffusion_pytorch_model.bin", repository / "unet" / "model.fp16.safetensors"]
    for file in extra:
        file.write_bytes(b"not wanted")
    client.forget()
    hub.requests.clear()
    try:
        answer = client.run("load_pipeline('audioldm-s-full-v2', device='cpu')")
    finally:
        for file in extra:
            file.unlink()
    assert not answer["error"]
    weights = ("/model.safetensors", "/diffusion_pytorch_model.safetensors")
    assert len(hub.downloaded()) == 4 and all(name.endswith(weights) for name in hub.downloaded())
    pinned = CHECKPOINTS["audioldm-s-full-v2"].revision
    assert all(pinned in request for request in hub.requests if "/resolve/" in request)


# ---- what "auto" takes


@ON_CPU
def test_auto_without_a_gpu_is_the_mini(random_checkpoint, monkeypatch, capsys):
    monkeypatch.setenv("AUDIOLDM_MINI_FOLDER", str(random_checkpoint.parent))
    monkeypatch.delenv("AUDIOLDM_CHECKPOINT", raising=False)
    assert checkpoint_name(load_pipeline()) == "mini-s-v2"
    assert capsys.readouterr().out == "mini-s-v2 on cpu in float32 (auto: there is no CUDA device).\n"


def test_auto_obeys_the_environment(random_checkpoint, monkeypatch, capsys):
    monkeypatch.setenv("AUDIOLDM_CHECKPOINT", str(random_checkpoint))
    assert checkpoint_name(load_pipeline("auto", device="cpu")) == "mini-s-v2"
    assert "AUDIOLDM_CHECKPOINT" in capsys.readouterr().out
    load_pipeline(random_checkpoint, device="cpu")
    assert capsys.readouterr().out == ""  # an explicit name is taken as it is, and quietly


def test_auto_with_a_gpu_takes_the_real_checkpoint_if_it_can_be_had_and_never_hangs(hub, client):
    real, code = "audioldm-s-full-v2", "result = loading._choose('cuda')"
    client.forget()
    assert client.run(code)["result"][0] == real
    hub.fault = "503"
    assert client.run(code)["result"][0] == "mini-s-v2"
    hub.fault = ""
    client.run(f"load_pipeline({real!r}, device='cpu')")
    hub.fault = "503"
    assert client.run(code)["result"][0] == real  # it is on this machine
    hub.fault = ""


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["silent", "dead name server"])
def test_auto_never_waits_for_a_hub_that_does_not_answer(fault, hub, client):
    client.forget()
    code = "result = loading._choose('cuda')"
    if fault == "dead name server":  # getaddrinfo obeys no timeout: here it sleeps, as it does behind a dead resolver
        code = (
            "import socket, time, huggingface_hub.utils as u\n"
            "real, socket.getaddrinfo = socket.getaddrinfo, lambda *a, **k: time.sleep(30)\n"
            "getattr(u, 'close_session', getattr(u, 'reset_sessions', lambda: None))()\n"
            f"{code}\nsocket.getaddrinfo = real"
        )
    else:
        hub.fault = fault
    start = time.monotonic()
    answer = client.run(code)
    hub.fault = ""
    assert answer["result"][0] == "mini-s-v2"
    assert time.monotonic() - start < 25  # the resolver sleeps 30


# ---- where and in which dtype


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", torch.bfloat16])
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
        ({"device": "tpu"}, "tpu.*cpu"),
        ({"device": "cuda:99"}, "cuda:99.*cpu"),
        ({"original_attention_heads": True}, "dim 128, 192 or 256.*dim 8"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(options, words, repository):
    with pytest.raises(ValueError, match=words) as caught:
        load_pipeline(repository, **{"device": "cpu", **options})
    assert "\n" not in str(caught.value)


def test_memory_options(repository):
    pipe = load_pipeline(repository, device="cpu", offload=True, vae_slicing=True)
    assert pipe.vae.use_slicing and pipe.device.type == "cpu"
    plain = load_pipeline(repository, device="cpu")
    assert not plain.vae.use_slicing
    one, other = (generate(p, ["rain"] * 2, **ONE_STEP) for p in (plain, pipe))
    assert np.allclose(one[1].waveform, other[1].waveform, atol=1e-5)


def test_generation_goes_through_the_hooks_of_offload(repository):
    """Without a GPU they move nothing, but they are called as on one, and clips and encodings are the same."""
    plain = generate(load_pipeline(repository, device="cpu"), "rain", **ONE_STEP)
    pipe = load_pipeline(repository, device="cpu")
    pipe.enable_model_cpu_offload(device="cpu")
    assert pipe.unet._hf_hook and pipe._all_hooks
    for _ in range(2):  # afterwards the hooks are as before
        assert np.array_equal(generate(pipe, "rain", **ONE_STEP).waveform, plain.waveform)


def test_a_prompt_over_512_tokens_says_what_is_cut(repository):
    """512 is the limit of the real text encoder; these files have the Hub's format."""
    pipe = load_pipeline(repository, device="cpu")
    with pytest.warns(UserWarning, match="512") as caught:
        generate(pipe, "techno music and " * 200 + "a siren", **ONE_STEP)
    assert len(caught) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda(repository):
    pipe = load_pipeline(repository)
    assert (pipe.device.type, pipe.unet.dtype, pipe.vocoder.dtype) == ("cuda", torch.float16, torch.float16)
    pipe = load_pipeline(repository, offload=True)
    assert pipe.unet.device.type == "cpu"
    assert pipe("a dog", num_inference_steps=1, audio_length_in_s=0.64).audios.shape == (1, 10240)
    torch.cuda.set_per_process_memory_fraction(1e-5)
    try:
        with pytest.raises(LoadingError, match="offload=True"):
            load_pipeline(repository)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


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


# ---- the real size


@pytest.mark.slow
def test_the_real_size_loads_and_generates(tmp_path):
    """421M random weights in the shape of audioldm-s-full-v2: written, loaded, one step, on this machine."""
    import resource

    if shutil.disk_usage(tmp_path).free < 4e9:
        pytest.skip("needs 4 GB of disk")
    folder = make_repository(tmp_path / "audioldm-s-full-v2", real_size=True)
    start = time.perf_counter()
    pipe = load_pipeline(folder, device="cpu")
    loaded = time.perf_counter()
    parameters = {part: sum(p.numel() for p in getattr(pipe, part).parameters()) for part in MODELS}
    assert {part: round(count / 1e6, 1) for part, count in parameters.items()} == {
        "text_encoder": 125.3, "unet": 185.0, "vae": 55.4, "vocoder": 55.3,
    }  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    audio = pipe("a dog barking", num_inference_steps=1, audio_length_in_s=5.12).audios
    done = time.perf_counter()
    assert audio.shape == (1, 81920) and abs(audio).max() <= 1
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)
    print(json.dumps({"load s": round(loaded - start, 1), "generate s": round(done - loaded, 1), "peak GB": peak}))

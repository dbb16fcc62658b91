"""All that the lessons call, on CUDA in float16 at real size with random weights: `make gpu-check` (pytest -m gpu).

GPU_CHECKPOINT names real weights instead, as `load_pipeline` takes them. The same checks run on the CPU on the tests'
small checkpoint, so that they are right when a GPU comes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tools import bench, lessons
from utils import Clip, decode_latents, encode_audio, encode_prompt, generate, load_pipeline, log_mel_distance, train

PROMPT = bench.PROMPT
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_shortcut", "proj_in", "proj_out"]  # lesson 08
on_cuda_only = pytest.mark.parametrize("lab", [pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)


@dataclass
class Lab:
    """A checkpoint on a device: its pipeline, the settings of a clip, and from which SNR two waveforms are the same."""

    source: str | Path
    device: str
    settings: dict
    same_db: float

    def load(self, **options):
        return bench.quiet(load_pipeline(self.source, **{"device": self.device, **options}))

    def clip(self, pipe=None, prompt: str = PROMPT, **settings) -> Clip:
        return generate(pipe or self.pipe, prompt, **{**self.settings, **settings})

    def wave(self, *arguments, **settings) -> np.ndarray:
        return self.clip(*arguments, **settings).waveform


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def lab(request, tmp_path_factory, random_checkpoint) -> Lab:
    if request.param == "cpu":
        lab = Lab(random_checkpoint, "cpu", {"num_inference_steps": 3, "audio_length_in_s": 1.28}, 60)
    else:
        from tests.checkpoints import make_repository

        source = os.environ.get("GPU_CHECKPOINT")
        source = source or make_repository(tmp_path_factory.mktemp("real") / "real-size", real_size=True)
        lab = Lab(source, "cuda", bench.CARD, 20)
    lab.pipe = lab.load()
    return lab


def test_every_part_is_on_the_device_in_its_dtype_and_one_seed_gives_the_same_bits(lab):
    models = [part for part in lab.pipe.components.values() if isinstance(part, torch.nn.Module)]
    dtype = torch.float16 if lab.device == "cuda" else torch.float32
    assert {(part.dtype, part.device.type) for part in models} == {(dtype, lab.device)}
    wave = lab.wave()
    assert len(wave) == round(16_000 * lab.settings["audio_length_in_s"])
    assert np.isfinite(wave).all() and np.abs(wave).max() > 1e-3
    assert np.array_equal(lab.wave(), wave) and not np.array_equal(lab.wave(seed=1), wave)


def test_generate_is_the_model_cards_snippet_alone_and_in_a_batch(lab):
    assert bench.snr_db(bench.snippet(lab.pipe, **lab.settings), lab.wave()) >= lab.same_db
    clips = generate(lab.pipe, ["rain", PROMPT], num_waveforms_per_prompt=2, **lab.settings)
    assert bench.snr_db(clips[3].waveform, lab.wave(seed=1)) >= lab.same_db


def test_an_exception_in_a_callback_cancels_and_leaves_the_pipeline_as_it_was(lab):
    before, seen = lab.wave(), []

    def stop(step, timestep, latents) -> None:
        seen.append((step, latents.device.type))
        if step == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        lab.clip(callback=stop)
    assert seen == [(0, lab.device), (1, lab.device)] and np.array_equal(lab.wave(), before)


def test_a_recording_is_encoded_decoded_and_kept_by_a_callback(lab):
    clip = lab.clip()
    known = encode_audio(lab.pipe, clip)
    assert (known.dtype, known.device.type) == (torch.float32, "cpu") and torch.isfinite(known).all()
    alone, half = decode_latents(lab.pipe, known), known.shape[2] // 2
    assert np.isfinite(log_mel_distance(clip, alone))

    def keep(step, timestep, latents) -> None:
        latents[:, :, :half] = known[:, :, :half].to(latents)

    filled = lab.wave(prompt="rain", callback=keep)
    at = half * lab.pipe.vae_scale_factor * 160 - 16_000 // 8  # the decoder sees a little beyond the seam
    kept, new = (bench.snr_db(alone.waveform[part], filled[part]) for part in (slice(0, at), slice(at, len(filled))))
    assert kept > new + 3


def test_latents_and_embeddings_may_come_from_the_cpu_in_float32(lab):
    known, told = encode_audio(lab.pipe, lab.clip()), encode_prompt(lab.pipe, "rain")
    noise = torch.randn(known.shape, generator=torch.Generator().manual_seed(0))
    sounds = [lab.wave(prompt_embeds=told, latents=latents) for latents in (noise, 0.5 * noise + 0.5 * known)]
    assert all(np.isfinite(sound).all() for sound in sounds) and not np.array_equal(*sounds)


def learn(pipe, clip: Clip, parameters: list, embedding) -> list[float]:
    """Return the losses of some steps in which the parameters learn one example at one timestep."""
    clean, timestep = encode_audio(pipe, clip), torch.tensor([500])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy, goal = pipe.scheduler.add_noise(clean, noise, timestep), noise
    if pipe.scheduler.config.prediction_type == "v_prediction":
        goal = pipe.scheduler.get_velocity(clean, noise, timestep)
    noisy, timestep, goal = (part.to(pipe.device) for part in (noisy, timestep, goal))

    def loss_of(step: int) -> torch.Tensor:
        return torch.nn.functional.mse_loss(pipe.unet(noisy, timestep, None, class_labels=embedding()).sample, goal)

    return train(parameters, loss_of, steps=10, learning_rate=1e-2)


def test_a_word_and_a_lora_learn_and_the_lora_comes_off_to_the_bit_and_comes_back_from_its_file(lab, tmp_path):
    from peft import LoraConfig

    pipe = lab.load(dtype="float32")
    pipe.unet.requires_grad_(False)
    before, embedding = lab.wave(pipe), encode_prompt(pipe, PROMPT).to(pipe.device)
    word = torch.nn.Parameter(embedding.clone())
    losses = learn(pipe, lab.clip(), [word], lambda: torch.nn.functional.normalize(word))
    assert losses[-1] < losses[0]
    torch.manual_seed(0)
    pipe.unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=LAYERS))
    losses = learn(pipe, lab.clip(), [p for p in pipe.unet.parameters() if p.requires_grad], lambda: embedding)
    taught = lab.wave(pipe)
    assert losses[-1] < losses[0] and bench.snr_db(before, taught) < lab.same_db
    pipe.unet.save_lora_adapter(tmp_path)
    pipe.unet.delete_adapters("default")
    assert np.array_equal(lab.wave(pipe), before)
    pipe.unet.load_lora_adapter(
        tmp_path, adapter_name="again", prefix=None, weight_name="pytorch_lora_weights.safetensors"
    )
    assert bench.snr_db(taught, lab.wave(pipe)) >= lab.same_db
    pipe.unet.set_adapters(["again"], [0.0])
    assert bench.snr_db(before, lab.wave(pipe)) >= lab.same_db
    pipe.unet.disable_adapters()
    assert np.array_equal(lab.wave(pipe), before)


@on_cuda_only
def test_float16_is_the_sound_of_float32_on_the_cpu(lab):
    assert bench.snr_db(lab.wave(lab.load(device="cpu")), lab.wave()) > 3


@on_cuda_only
def test_offload_and_slicing_give_the_same_sound(lab):
    pipe = lab.load(offload=True, vae_slicing=True)
    assert bench.snr_db(lab.wave(), lab.wave(pipe)) >= lab.same_db
    assert {pipe.unet.device.type, pipe.vae.device.type} == {"cpu"}


@on_cuda_only
def test_a_full_gpu_is_an_error_after_which_all_is_as_before(lab):
    before, total = lab.wave(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 5e8) / total)
    try:
        with pytest.raises(MemoryError):
            generate(lab.pipe, [PROMPT] * 64, audio_length_in_s=60.0, num_inference_steps=1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert np.array_equal(before, lab.wave())


@pytest.mark.gpu
@pytest.mark.parametrize("path", lessons.lessons(), ids=lambda path: path.stem)
def test_a_lesson_runs_on_a_mini_on_the_gpu(path):
    visible = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0")}
    lessons.run(lessons.read(path), environment=visible)

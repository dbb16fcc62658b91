"""What only a GPU can show: all that the lessons call, in float16 on CUDA, at real size with random weights; and speed.

    python -m tools.gpu_check                                      on CUDA, in minutes; says so where there is none
    python -m tools.gpu_check --checkpoint audioldm-s-full-v2      real weights, by a name that `load_pipeline` takes
    python -m tools.gpu_check --device cpu --checkpoint mini-s-v2  the same without a GPU and small

Prints tables in Markdown, and ends with 1 if a check failed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from tools import bench, lessons
from utils import Clip, decode_latents, encode_audio, encode_prompt, generate, load_pipeline, log_mel_distance, sweep

SAME_DB = {torch.float16: 20, torch.float32: 60}  # waveforms at least so near count as the same
PROMPT = bench.PROMPT
TRAINING_STEPS = 10
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_shortcut", "proj_in", "proj_out"]  # lesson 08


class Lab:
    """One loaded checkpoint, and the checks: each returns what it saw, or raises."""

    def __init__(self, source: str | Path, device: str):
        self.source, self.device, self.on_cuda = source, device, device.startswith("cuda")
        self.pipe = self.load()

    def load(self, **options):
        pipe = load_pipeline(self.source, **{"device": self.device, **options})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def clip(self, pipe=None, **settings) -> np.ndarray:
        return generate(pipe or self.pipe, PROMPT, **{**bench.CARD, **settings}).waveform

    def near(self, one: np.ndarray, other: np.ndarray) -> str:
        snr, least = bench.snr_db(one, other), SAME_DB[self.pipe.unet.dtype]
        assert snr >= least, f"SNR {snr:.0f} dB, under {least}"
        return f"SNR {snr:.0f} dB"

    def loaded(self) -> str:
        models = [part for part in self.pipe.components.values() if isinstance(part, torch.nn.Module)]
        facts = {(part.dtype, part.device.type) for part in models}
        assert facts == {(torch.float16 if self.on_cuda else torch.float32, self.device.split(":")[0])}, facts
        parameters = [p for part in models for p in part.parameters()]
        gigabytes = sum(p.numel() * p.element_size() for p in parameters) / 1e9
        return (
            f"{sum(p.numel() for p in parameters) / 1e6:,.1f}M parameters, {gigabytes:.2f} GB, {self.pipe.unet.dtype}"
        )

    def makes_a_sound(self) -> str:
        waveform = self.clip()
        assert len(waveform) == round(16_000 * bench.CARD["audio_length_in_s"])
        assert np.isfinite(waveform).all() and np.abs(waveform).max() > 1e-3
        return f"{len(waveform) / 16_000:.2f} s, peak {np.abs(waveform).max():.2f}"

    def same_seed_same_bits(self) -> str:
        for seed in range(3):
            assert np.array_equal(self.clip(seed=seed), self.clip(seed=seed)), f"seed {seed} gives two clips"
        assert not np.array_equal(self.clip(seed=0), self.clip(seed=1))
        return "3 seeds, twice each"

    def as_the_cards_snippet(self) -> str:
        return self.near(bench.snippet(self.pipe), self.clip())

    def as_on_the_cpu_in_float32(self) -> str:
        snr = bench.snr_db(self.clip(self.load(device="cpu")), self.clip())
        assert snr > 3, f"SNR {snr:.0f} dB: another sound"
        return f"SNR {snr:.0f} dB"

    def batch_of_four(self) -> str:
        clips = generate(self.pipe, ["rain", PROMPT], num_waveforms_per_prompt=2, **bench.CARD)
        return self.near(clips[3].waveform, self.clip(seed=1))

    def guidance_and_negative_prompt(self) -> str:
        sounds = [self.clip(), self.clip(guidance_scale=1.0), self.clip(negative_prompt="low quality")]
        assert not any(np.array_equal(sounds[i], sounds[i - 1]) for i in range(3))
        return "off, on and with a negative prompt: three sounds"

    def callback_and_cancel(self) -> str:
        seen = []

        def stop(step, timestep, latents) -> None:
            seen.append(latents.device.type)
            if step == 2:
                raise InterruptedError

        with contextlib.suppress(InterruptedError):
            self.clip(callback=stop)
        assert seen == [self.device.split(":")[0]] * 3, seen
        return "cancelled after 3 steps; " + self.makes_a_sound()

    def other_scheduler(self) -> str:
        from diffusers import DPMSolverMultistepScheduler

        scheduler = DPMSolverMultistepScheduler.from_config(self.pipe.scheduler.config)
        faster = bench.changed(self.pipe, scheduler=scheduler)
        return f"DPM-Solver++, 5 steps: peak {np.abs(self.clip(faster, num_inference_steps=5)).max():.2f}"

    def sweep_goes_on(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            grid = {"num_inference_steps": [1, 2], "audio_length_in_s": [1.28], "seeds": range(2), "folder": folder}
            first, again = (sweep(self.pipe, ["rain", "a siren"], **grid, progress=False) for _ in range(2))
            assert len(first) == 8 and first.equals(again), "the second run made clips anew"
        return "8 clips; the second run makes none"

    def original_attention_heads(self) -> str:
        if self.pipe.unet.config.block_out_channels[0] < 128:
            with contextlib.suppress(ValueError):
                self.load(original_attention_heads=True)
                raise AssertionError("a mini has no original")
            return "refused for a mini"
        plain, original = self.clip(), self.clip(self.load(original_attention_heads=True))
        snr = bench.snr_db(plain, original)
        assert snr < SAME_DB[self.pipe.unet.dtype], "no other sound"
        return f"another sound: SNR {snr:.0f} dB"

    def a_recording_through_vae_and_vocoder(self) -> str:
        clip = generate(self.pipe, PROMPT, **bench.CARD)
        latents = encode_audio(self.pipe, clip)
        assert latents.dtype == torch.float32 and latents.device.type == "cpu" and torch.isfinite(latents).all()
        back = decode_latents(self.pipe, latents)
        assert np.isfinite(back.waveform).all()
        return f"latents of {tuple(latents.shape)}; {log_mel_distance(clip, _cut(back, clip)):.1f} dB away"

    def editing_in_the_callback(self) -> str:
        """Half of a recording is kept, step by step, as lesson 07 does it; the other half is made anew."""
        known = encode_audio(self.pipe, generate(self.pipe, PROMPT, **bench.CARD))
        half, seen = known.shape[2] // 2, []

        def keep(step, timestep, latents) -> None:
            latents[:, :, :half] = known[:, :, :half].to(latents)
            seen.append(latents.dtype)

        filled = generate(self.pipe, "rain", callback=keep, **bench.CARD).waveform
        alone = decode_latents(self.pipe, known).waveform
        at = half * self.pipe.vae_scale_factor * 160 - 16_000 // 8  # what the decoder sees beyond the seam left out
        kept, new = (bench.snr_db(alone[part], filled[part]) for part in (slice(0, at), slice(at, len(filled))))
        assert kept > new + 3, f"the kept half is {kept:.0f} dB above its error, the new one {new:.0f}"
        return f"{len(seen)} steps in {seen[0]}; kept half {kept:.0f} dB SNR, new half {new:.0f}"

    def style_transfer_and_a_recording_as_the_prompt(self) -> str:
        """Starting latents and embeddings in float32, from the CPU, whatever the model computes in."""
        known = encode_audio(self.pipe, generate(self.pipe, PROMPT, **bench.CARD))
        noise = torch.randn(known.shape, generator=torch.Generator().manual_seed(0))
        told = encode_prompt(self.pipe, "rain")
        sounds = [
            generate(self.pipe, "rain", prompt_embeds=told, latents=latents, **bench.CARD).waveform
            for latents in (noise, 0.5 * noise + 0.5 * known)
        ]
        assert all(np.isfinite(sound).all() for sound in sounds) and not np.array_equal(*sounds)
        return f"two starts, two sounds: SNR {bench.snr_db(*sounds):.0f} dB"

    def textual_inversion(self) -> str:
        """The numbers of an embedding learn one example, at one step of the noise: the loss must fall."""
        pipe, given = self.trainable()
        word = torch.nn.Parameter(encode_prompt(pipe, PROMPT).to(pipe.device).clone())
        losses = self.learn(pipe, [word], lambda: torch.nn.functional.normalize(word), given)
        return f"{word.numel()} numbers, {len(losses)} steps: loss {losses[0]:.3f} to {losses[-1]:.3f}"

    def lora(self) -> str:
        """A sheet of rank 8 learns the same example; taken off, the UNet answers as before, to the bit."""
        from peft import LoraConfig

        pipe, given = self.trainable()
        noisy, timestep, _ = given
        told = encode_prompt(pipe, PROMPT).to(pipe.device)

        def answer() -> torch.Tensor:
            with torch.no_grad():
                return pipe.unet(noisy, timestep, None, class_labels=told).sample

        before = answer()
        torch.manual_seed(0)
        pipe.unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=LAYERS))
        sheet = [p for p in pipe.unet.parameters() if p.requires_grad]
        losses = self.learn(pipe, sheet, lambda: told, given)
        worn = answer()
        pipe.unet.disable_adapters()
        assert torch.equal(answer(), before), "taken off, the UNet answers differently"
        assert not torch.equal(worn, before), "put on, it changes nothing"
        count = sum(p.numel() for p in sheet)
        return f"{count / 1e6:.2f}M numbers, {len(losses)} steps: loss {losses[0]:.3f} to {losses[-1]:.3f}; off: equal"

    def trainable(self):
        """A fresh pipeline in float32, in which nothing learns yet; noisy latents, their timestep, and the noise."""
        pipe = self.load(dtype="float32")
        pipe.unet.requires_grad_(False)
        clean = encode_audio(pipe, generate(pipe, PROMPT, **bench.CARD))
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        timestep = torch.tensor([500])
        noisy = pipe.scheduler.add_noise(clean, noise, timestep)
        wanted = noise
        if pipe.scheduler.config.prediction_type == "v_prediction":
            wanted = pipe.scheduler.get_velocity(clean, noise, timestep)
        return pipe, tuple(part.to(pipe.device) for part in (noisy, timestep, wanted))

    def learn(self, pipe, parameters: list, told: Callable[[], torch.Tensor], given: tuple) -> list[float]:
        noisy, timestep, wanted = given
        optimizer, losses = torch.optim.AdamW(parameters, lr=1e-2), []
        for _ in range(TRAINING_STEPS):
            loss = torch.nn.functional.mse_loss(pipe.unet(noisy, timestep, None, class_labels=told()).sample, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert np.isfinite(losses).all() and losses[-1] < losses[0], f"the loss went from {losses[0]} to {losses[-1]}"
        return losses

    def offload_and_slicing(self) -> str:
        pipe = self.load(offload=True, vae_slicing=True)
        seen = self.near(self.clip(), self.clip(pipe))
        assert {pipe.unet.device.type, pipe.vae.device.type} == {"cpu"}, "parts stay on the GPU"
        return f"{seen}; afterwards all is back on the CPU"

    def out_of_memory(self) -> str:
        if not self.on_cuda:
            return ""
        before, total = self.clip(), torch.cuda.get_device_properties(self.device).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 5e8) / total)
        try:
            generate(self.pipe, [PROMPT] * 64, audio_length_in_s=60.0, num_inference_steps=1)
            raise AssertionError("64 x 60 s fit into 0.5 GB")
        except MemoryError as error:
            said = str(error)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        assert np.array_equal(before, self.clip()), "another clip afterwards"
        return f"“{said}” The next clip is the same as before."

    def tests_marked_gpu(self) -> str:
        return _pytest("gpu") if self.on_cuda else ""

    def lessons_on_the_minis(self) -> str:
        if not self.on_cuda:
            return ""
        visible = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0")}
        taken = {path.stem[:2]: lessons.run(lessons.read(path), environment=visible) for path in lessons.lessons()}
        return ", ".join(f"{name}: {lessons.seconds_taken(done):.0f} s" for name, done in taken.items())


CHECKS = [
    Lab.loaded,
    Lab.makes_a_sound,
    Lab.same_seed_same_bits,
    Lab.as_the_cards_snippet,
    Lab.as_on_the_cpu_in_float32,
    Lab.batch_of_four,
    Lab.guidance_and_negative_prompt,
    Lab.callback_and_cancel,
    Lab.other_scheduler,
    Lab.sweep_goes_on,
    Lab.original_attention_heads,
    Lab.a_recording_through_vae_and_vocoder,
    Lab.editing_in_the_callback,
    Lab.style_transfer_and_a_recording_as_the_prompt,
    Lab.textual_inversion,
    Lab.lora,
    Lab.offload_and_slicing,
    Lab.out_of_memory,
    Lab.tests_marked_gpu,
    Lab.lessons_on_the_minis,
]


def _cut(clip: Clip, like: Clip) -> Clip:
    """The clip in the length of another: latents are whole frames, and a little longer."""
    return Clip(clip.waveform[: len(like.waveform)], clip.sample_rate)


def _pytest(mark: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-m", mark, str(lessons.ROOT / "tests")]
    done = subprocess.run(command, cwd=lessons.ROOT, capture_output=True, text=True)
    last = (done.stdout.strip() or done.stderr.strip() or "nothing").splitlines()[-1]
    assert done.returncode == 0, last
    return last


def check(lab: Lab) -> int:
    """Print a row for each check; return how many failed."""
    print("\n| check | result | s | peak MB | seen |\n| --- | --- | ---: | ---: | --- |")
    failed = 0
    gc.freeze()  # what is there stays: each look for garbage would walk through all that was imported
    for step in CHECKS:
        start, before = time.perf_counter(), bench.memory(lab.pipe.device, reset=True)
        try:
            seen = step(lab)
            result = "passed" if seen else "not run: needs CUDA"
        except Exception as error:
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            seen, result = f"{type(error).__name__} in {where.name}: {' '.join(str(error).split())[:300]}", "FAILED"
        gc.collect()
        peak = bench.memory(lab.pipe.device)
        peak = peak if lab.on_cuda else peak - before  # of a CPU: beside what was there
        name = step.__name__.replace("_", " ")
        print(f"| {name} | {result} | {time.perf_counter() - start:.1f} | {peak:,.0f} | {seen} |", flush=True)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--checkpoint", help="a name that load_pipeline takes; by default random weights of real size")
    parser.add_argument("--batches", type=int, nargs="*", default=[4, 16], help="clips at once, in the table of speed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes minutes")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("There is no CUDA device here, so nothing was checked; without one: --device cpu --checkpoint mini-s-v2.")
        return 0
    print(bench.where())
    warnings.filterwarnings("ignore", message="The clip for")
    source = contextlib.nullcontext(options.checkpoint) if options.checkpoint else bench.real_size()
    with source as folder:
        lab = Lab(folder, options.device)
        failed = check(lab)
        print(f"\nThe speed of {options.checkpoint or '421M random weights'}: 5 s, 10 steps\n")
        compiled = bench.can_compile() and not options.no_compile
        bench.measure(bench.variants(lab.pipe, compiled, options.batches), options.rounds, bench.wall)
        bench.bench_encoding(lab.pipe)
    print(f"\n{failed} of {len(CHECKS)} checks failed." if failed else "\nNo check failed.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""The minis for the browser page of site/, as ONNX: python -m tools.onnx_export FOLDER

The UNets, the text tower, the VAE's encoder and decoder as ONNX, the tokenizer, and the numbers that Python and the
page must share: among them the vocabulary of `mini.captions`, by which the page tells words that the model never read.
The checkpoints' weights are float16 on disk, so they travel as float16 and are widened when loaded: the same numbers.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from matplotlib import colormaps
from torch.nn.functional import normalize

from mini import captions
from mini.sounds import CLASSES
from utils import load_pipeline
from utils.features import HOP_LENGTH, mel_filterbank
from utils.player import COLOURS, DB_RANGE, PALETTE
from utils.soundfiles import IPTC

NAMES = ["mini-s-v2", "mini-s", "mini-m", "mini-l"]
FRAMES = 63  # of the latents while tracing: odd, so that the sizes on the way up are read from the graph


class Traced(torch.nn.Module):
    """A function of a pipeline, as a module."""

    def __init__(self, pipe, function):
        super().__init__()
        self.parts = torch.nn.ModuleList([pipe.text_encoder, pipe.unet, pipe.vae, pipe.vocoder])
        self.pipe, self.function = pipe, function

    def forward(self, *inputs):
        return self.function(self.pipe, *inputs)


def embed(pipe, ids):
    """Return the unit embeddings of tokens, as `encode_prompt` does."""
    return normalize(pipe.text_encoder(ids, attention_mask=torch.ones_like(ids)).text_embeds, dim=-1)


def predict(pipe, latents, timestep, embedding):
    """Return the UNet's prediction for noisy latents."""
    return pipe.unet(latents, timestep, None, class_labels=embedding).sample


def decode(pipe, latents):
    """Return the log-mel-spectrogram of latents, and the magnitudes from which the vocoder begins."""
    mel = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample[:, 0]
    return mel, pipe.vocoder.magnitude(mel)


def encode(pipe, mel):
    """Return the scaled mode of the VAE's posterior for a log-mel-spectrogram, as `encode_audio` does."""
    return pipe.vae.encode(mel).latent_dist.mode() * pipe.vae.config.scaling_factor


def vocabulary() -> dict:
    """Return every word of the training captions, the phrases of each sound, and the words that change a sound."""
    ways = [value for name, value in vars(captions).items() if name.isupper() and isinstance(value, (str, dict))]
    texts = [text for way in ways for text in (way.values() if isinstance(way, dict) else [way])]
    texts += ["and with together also followed by", "a recording of audio sound"]  # the joints of `captions.say`
    sounds = {name: captions.NOUNS[name].split("|") for name in CLASSES}
    sounds["speech"] += "|".join(captions.SPEAKERS.values()).split("|")
    return {"words": sorted(set(re.findall(r"[a-z0-9'-]+", " ".join(texts).lower()))), "sounds": sounds}


def write(path: Path, pipe, function, inputs: dict, outputs: list[str], axes: dict) -> None:
    """Trace a function of the pipeline, and save it with weights in float16 wherever that changes none of them."""
    settings = {"input_names": list(inputs), "output_names": outputs, "dynamic_axes": axes, "opset_version": 17}
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(Traced(pipe, function).eval(), tuple(inputs.values()), path, dynamo=False, **settings)
    graph = (model := onnx.load(path)).graph
    for tensor in graph.initializer:
        values, name = onnx.numpy_helper.to_array(tensor), tensor.name
        if values.dtype == np.float32 and values.size > 64 and (values.astype(np.float16) == values).all():
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            graph.node.insert(0, onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main(folder: Path) -> None:
    latents, embedding = torch.randn(2, 8, FRAMES, 8), torch.randn(2, 64)
    for name in reversed(NAMES):
        pipe = load_pipeline(name)
        inputs = {"latents": latents, "timestep": torch.tensor(999), "embedding": embedding}
        axes = {"latents": {0: "batch", 2: "frames"}, "embedding": {0: "batch"}}
        write(folder / f"{name}.onnx", pipe, predict, inputs, ["prediction"], axes)
    # what follows is the same in all of them
    tokens = {"ids": torch.tensor([[0, 5, 6, 7, 2]])}
    write(folder / "text.onnx", pipe, embed, tokens, ["embedding"], {"ids": {1: "tokens"}})
    one = {"latents": latents[:1]}
    write(folder / "decoder.onnx", pipe, decode, one, ["mel", "magnitude"], {"latents": {2: "frames"}})
    frames = {"mel": torch.randn(1, 1, FRAMES * pipe.vae_scale_factor, 64)}
    write(folder / "encoder.onnx", pipe, encode, frames, ["latents"], {"mel": {2: "frames"}})
    pipe.tokenizer.save_pretrained(folder)
    (folder / "filters.bin").write_bytes(mel_filterbank().astype("<f4").tobytes())
    size = {name: (folder / f"{name}.onnx").stat().st_size for name in NAMES}
    facts = {
        "checkpoints": [{"name": name, "megabytes": round(size[name] / 1e6)} for name in NAMES],
        "scheduler": dict(pipe.scheduler.config),
        "scheduler_name": type(pipe.scheduler).__name__,
        "source": IPTC,
        "vocoder": {name: pipe.vocoder.config[name] for name in ("n_iter", "momentum")},
        "samples_per_latent": pipe.vae_scale_factor * HOP_LENGTH,
        "tokens": min(pipe.tokenizer.model_max_length, pipe.text_encoder.config.max_position_embeddings - 2),
        "db_range": DB_RANGE,
        "colours": (colormaps[PALETTE].resampled(COLOURS).colors[:, :3] * 255).round().astype(int).tolist(),
        **vocabulary(),
    }
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

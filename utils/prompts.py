"""What is asked for, and its place in the space of the text encoder.

Explained in lesson 01 (`notebooks/01_first_sound.ipynb`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from diffusers import AudioLDMPipeline

from .checks import text, warn, whole
from .files import shorten
from .isolation import isolated
from .loading import cpu_threads

MAX_SEED = 2**32 - 1
CACHED_PROMPTS = 512  # for each text encoder

_encodings: WeakKeyDictionary[torch.nn.Module, dict[tuple, torch.Tensor]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Request:
    """One clip of a batch: what may differ from clip to clip; TypeError or ValueError where it cannot be.

    Explained in lesson 03.
    """

    prompt: str
    seed: int = 0
    negative_prompt: str | None = None
    prompt_embeds: torch.Tensor | None = field(default=None, compare=False)
    latents: torch.Tensor | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not text("prompt", self.prompt).strip():
            raise ValueError(f"The prompt is empty ({self.prompt[:20]!r}): say in words what to hear.")
        if self.negative_prompt is not None:
            text("negative_prompt", self.negative_prompt)
        whole("seed", self.seed, 0, MAX_SEED)


def encode_prompt(pipe: AudioLDMPipeline, prompt: str) -> torch.Tensor:
    """The pipeline's embedding of a prompt on the CPU, shape (1, projection width), unit norm; kept for next time.

    The pipeline pads every prompt to the longest that the text encoder takes (512 tokens). Padding is masked, so
    the prompt alone gives the same embedding in a fraction of the time. Encodings are kept for each text encoder,
    its dtype and the tokens: another text encoder or tokenizer is noticed, weights changed in place are not.
    Explained in lesson 01.
    """
    encoder = pipe.text_encoder
    limit = min(pipe.tokenizer.model_max_length, encoder.config.max_position_embeddings - 2)
    ids = pipe.tokenizer(prompt, verbose=False).input_ids
    if len(ids) > limit:
        cut = pipe.tokenizer.decode(ids[limit - 1 : -1]).strip()
        warn(f"The prompt has {len(ids)} tokens, the text encoder takes {limit}: it does not see '{shorten(cut)}'.")
        ids = ids[: limit - 1] + ids[-1:]
    cache = _encodings.setdefault(encoder, {})
    key = (tuple(ids), encoder.dtype)
    if key not in cache:
        if len(cache) >= CACHED_PROMPTS:
            cache.pop(next(iter(cache)))  # the oldest
        with isolated(cpu_threads(pipe)):
            tokens = torch.tensor([ids], device=pipe._execution_device)
            embedding = encoder(tokens, attention_mask=torch.ones_like(tokens)).text_embeds
            cache[key] = torch.nn.functional.normalize(embedding, dim=-1).cpu()
    return cache[key]


def embedding_of(pipe: AudioLDMPipeline, request: Request) -> torch.Tensor:
    """What tells the UNet of a request: (1, projection width), in the UNet's dtype, on the CPU."""
    if request.prompt_embeds is None:
        return encode_prompt(pipe, request.prompt)
    width = pipe.text_encoder.config.projection_dim
    embedding = torch.as_tensor(request.prompt_embeds).detach().to("cpu", pipe.unet.dtype)
    if embedding.shape not in ((width,), (1, width)):
        raise ValueError(f"prompt_embeds must have the shape (1, {width}), not {tuple(embedding.shape)}.")
    return embedding.reshape(1, width)

"""`original_attention_heads`: what the UNet computes with it is the original AudioLDM's attention; without, it is not.

The reference below is written from the definition, softmax(Q K^T / sqrt(d)) V per head of d channels, with d = 32 for
the UNets of dim 128 and 192 and d = 64 for that of dim 256, as in the original's configuration files.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.checkpoints import make_repository, make_unet
from utils.checkpoints import original_heads
from utils.loading import load_pipeline

HEAD_CHANNELS = {128: 32, 192: 32, 256: 64}


def reference_attention(x: torch.Tensor, weights: dict[str, torch.Tensor], head_channels: int) -> torch.Tensor:
    """Self-attention of (positions, channels), head by head, each a slice of `head_channels` channels."""
    query, key, value = (x @ weights[f"to_{name}.weight"].T for name in "qkv")
    heads = []
    for start in range(0, x.shape[1], head_channels):
        part = slice(start, start + head_channels)
        scores = query[:, part] @ key[:, part].T / math.sqrt(head_channels)
        scores = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
        heads.append(scores / scores.sum(dim=1, keepdim=True) @ value[:, part])
    return torch.cat(heads, dim=1) @ weights["to_out.0.weight"].T + weights["to_out.0.bias"]


def attentions(unet: torch.nn.Module) -> list[torch.nn.Module]:
    return [part for name, part in unet.named_modules() if name.endswith(("attn1", "attn2"))]


def error_of(module: torch.nn.Module, head_channels: int) -> float:
    """How far a UNet's attention, given random numbers, is from the reference with heads of that many channels."""
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


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Path:
    """A checkpoint whose UNet begins with 128 channels, as the real ones, and is narrow where it costs."""
    return make_repository(tmp_path_factory.mktemp("narrow") / "narrow", unet_channels=(128, 64, 64, 96))


def test_load_pipeline_switches_the_heads_and_nothing_else_and_is_off_by_default(narrow):
    plain, off, on = (load_pipeline(narrow, device="cpu", **{"original_attention_heads": f} if f is not None else {})
                      for f in (None, False, True))  # fmt: skip
    assert plain.unet.config.attention_head_dim == off.unet.config.attention_head_dim == 8
    assert on.unet.config.attention_head_dim == [4, 2, 2, 3]
    weights, others = plain.unet.state_dict(), on.unet.state_dict()
    assert list(weights) == list(others) and all(torch.equal(weights[key], others[key]) for key in weights)
    assert [{module.heads for module in attentions(pipe.unet)} for pipe in (plain, off, on)] == [{8}, {8}, {2, 3}]

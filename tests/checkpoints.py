"""Random AudioLDMs in the Hub's two formats: today's (safetensors) and that of 2023 (pickled, with the old keys).

Classes, configurations, file formats and the tokenizer are the real ones; the widths are about a sixteenth. Fresh
weights put out next to nothing, so the levels are set: the UNet's noise has a deviation of 1, and the sound is heard.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CLAP = "laion/clap-htsat-unfused"
VOCABULARY = 50265
GOLDEN = [0, 40529, 139, 930, 19, 10, 670, 6, 14899, 20889, 8, 239, 15352, 30054, 910, 13980, 2]  # the card's prompt
TOKENIZER = Path(__file__).with_name("roberta.txt")
UNET = {  # repository -> channels of its levels
    "cvssp/audioldm": (8, 16, 24, 40),
    "cvssp/audioldm-s-full-v2": (8, 16, 24, 40),
    "cvssp/audioldm-m-full": (8, 16, 32, 48),
    "cvssp/audioldm-l-full": (16, 24, 32, 48),
}
IN_2023 = ("cvssp/audioldm", "cvssp/audioldm-l-full")  # on the Hub in the format of 2023 only


def make_all(folder: Path) -> dict[str, Path]:
    """Write the four checkpoints and the scoring CLAP; return {repository: its folder}."""
    made = {name: make_repository(folder / name, in_2023=name in IN_2023, unet_channels=UNET[name]) for name in UNET}
    return {**made, CLAP: make_clap(folder / "clap")}


def make_repository(
    folder: Path, *, in_2023: bool = False, real_size: bool = False, unet_channels: tuple[int, ...] = (8, 16, 24, 40)
) -> Path:
    """Write an AudioLDM; with `real_size`, one of the 421M parameters of audioldm-s-full-v2."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler
    from transformers import ClapTextConfig, ClapTextModelWithProjection, SpeechT5HifiGan, SpeechT5HifiGanConfig

    text, vae, layers, groups = text_config(), (4, 8, 16), 1, 4
    hifigan = {"upsample_initial_channel": 32, "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]]}
    if real_size:
        text = {name: text[name] for name in ("vocab_size", "max_position_embeddings", "projection_dim")}
        unet_channels, vae, layers, groups = (128, 256, 384, 640), (128, 256, 512), 2, 32
        hifigan = {"upsample_initial_channel": 1024}
    with torch.random.fork_rng():
        torch.manual_seed(sum(unet_channels))
        parts = {
            "scheduler": DDIMScheduler(
                beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False,
                set_alpha_to_one=False, steps_offset=1,
            ),
            "text_encoder": ClapTextModelWithProjection(ClapTextConfig(**text)),
            "unet": make_unet(unet_channels, layers, groups),
            "vae": AutoencoderKL(
                in_channels=1, out_channels=1, latent_channels=8, block_out_channels=vae, norm_num_groups=groups,
                down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
                layers_per_block=layers, sample_size=512, scaling_factor=0.9392935633659363,
            ),
            "vocoder": SpeechT5HifiGan(
                SpeechT5HifiGanConfig(
                    model_in_dim=64, sampling_rate=16000, normalize_before=False, upsample_rates=[5, 4, 2, 2, 2],
                    upsample_kernel_sizes=[16, 16, 8, 4, 4], **hifigan,
                )
            ),
        }  # fmt: skip
        _at_working_levels(parts["unet"], parts["vae"], parts["vocoder"])
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    change_json(folder / "vocoder" / "config.json", model_type="hifigan")
    make_tokenizer(folder / "tokenizer")
    index = {"_class_name": "AudioLDMPipeline", "_diffusers_version": "0.15.0.dev0"}
    index |= {name: [type(part).__module__.split(".")[0], type(part).__name__] for name, part in parts.items()}
    index["tokenizer"] = ["transformers", "RobertaTokenizerFast"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    if in_2023:
        _back_to_2023(folder)
    return folder


def make_unet(channels: tuple[int, ...], layers: int = 2, groups: int = 32, heads: int | list[int] = 8) -> Any:
    """Return a UNet of the Hub's form."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=128, in_channels=8, out_channels=8, block_out_channels=channels, layers_per_block=layers,
        cross_attention_dim=channels, attention_head_dim=heads, norm_num_groups=groups,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3 + ("UpBlock2D",), class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=512, class_embeddings_concat=True,
    )  # fmt: skip


def make_clap(folder: Path) -> Path:
    """Write the scoring CLAP: 48 kHz, 10 s, cut at random where it is longer, 512 numbers; a tenth of the frames."""
    import torch
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    audio = {
        "spec_size": 128, "patch_embeds_hidden_size": 8, "depths": [1, 1, 1], "hidden_size": 32,
        "num_attention_heads": [1, 1, 2], "projection_dim": 512,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clap = ClapModel(ClapConfig(text_config=text_config(), audio_config=audio, projection_dim=512))
    clap.save_pretrained(folder)
    ClapFeatureExtractor(
        frequency_min=50, frequency_max=14000, hop_length=4800, truncation="rand_trunc", padding="repeatpad"
    ).save_pretrained(folder)
    return make_tokenizer(folder)


def text_config() -> dict:
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return {"vocab_size": VOCABULARY, "max_position_embeddings": 514, "projection_dim": 512, **small}


def make_tokenizer(folder: Path) -> Path:
    """Write RoBERTa's tokenizer in the Hub's own files, with the merges and ids that `roberta.txt` holds."""
    from tokenizers import AddedToken, ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing

    special = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": VOCABULARY - 1}
    merges, vocab = [], dict(special)
    for line in TOKENIZER.read_text(encoding="utf-8").splitlines()[1:]:
        *pieces, number = line.split(" ")
        merges += [tuple(pieces)] if len(pieces) == 2 else []
        vocab["".join(pieces)] = int(number)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = ByteLevelBPETokenizer(vocab, merges, trim_offsets=True)
    tokenizer.add_special_tokens([AddedToken(name, lstrip=name == "<mask>", normalized=False) for name in special])
    tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.save_model(str(folder))  # vocab.json, merges.txt
    fast = json.loads(tokenizer.to_str())
    del fast["model"]["type"]  # as on the Hub: transformers 5.0 to 5.16 stumble over that
    fast["model"]["merges"] = [" ".join(pieces) for pieces in merges]
    (folder / "tokenizer.json").write_text(json.dumps(fast))
    names = {f"{n}_token": t for n, t in zip(("bos", "pad", "eos", "unk", "mask"), special, strict=True)}
    names |= {"cls_token": "<s>", "sep_token": "</s>"}
    settings = {"tokenizer_class": "RobertaTokenizer", "model_max_length": 512, "add_prefix_space": False}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "processor_class": "ClapProcessor", **names}))
    return folder


def change_json(path: Path, **changes: Any) -> None:
    """Overwrite some values of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _at_working_levels(unet, vae, vocoder) -> None:
    """Scale the weights: noise has a deviation of 1, a spectrogram one of 2 around -6, and no sound is clipped."""
    import torch

    for part in vocoder.modules():
        if isinstance(part, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)):
            part.reset_parameters()
            torch.nn.init.zeros_(part.bias)  # the sound comes of the spectrogram alone ...
    levels, noise = [], torch.randn(1, 8, 64, 16)
    handle = vocoder.conv_post.register_forward_hook(lambda *event: levels.append(event[-1].std()))
    with torch.no_grad():
        text = torch.nn.functional.normalize(torch.randn(1, 512))
        unet.conv_out.weight /= unet(noise, 500, encoder_hidden_states=None, class_labels=text).sample.std()
        vae.decoder.conv_out.weight *= 2 / vae.decode(noise).sample.std()
        vae.decoder.conv_out.bias.fill_(-6.0)
        vocoder.conv_pre.bias.copy_(6 * vocoder.conv_pre.weight.sum(dim=(1, 2)))  # ... and of how it differs from -6
        vae.quant_conv.weight *= 1 / vae.encode(2 * torch.randn(1, 1, 256, 64) - 6).latent_dist.mode().std()
        vocoder(vae.decode(torch.randn(1, 8, 64, 16)).sample[0, 0])
        vocoder.conv_post.weight *= 0.2 / levels[0]
    handle.remove()


def _back_to_2023(folder: Path) -> None:
    """Rewrite a repository's weights as they were kept in 2023: pickled, and under the old names."""
    import torch
    from safetensors.torch import load_file

    for path in sorted(folder.glob("*/*.safetensors")):
        weights = load_file(path)
        if path.parent.name == "vae":
            old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
            for new_name, old_name in old.items():
                for key in [key for key in weights if f".attentions.0.{new_name}." in key]:
                    weights[key.replace(new_name, old_name)] = weights.pop(key)
        if path.parent.name == "text_encoder":
            weights["text_model.embeddings.position_ids"] = torch.arange(514)[None]
        in_transformers = path.parent.name in ("text_encoder", "vocoder")
        torch.save(weights, path.with_name("pytorch_model.bin" if in_transformers else "diffusion_pytorch_model.bin"))
        path.unlink()

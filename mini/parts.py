"""The shapes of the mini family: every part of AudioLDM at one eighth of its width, in the Hub's folder format."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import ClapAudioConfig, ClapConfig, ClapModel, ClapTextConfig, ClapTextModelWithProjection

from utils.features import N_MELS
from utils.vocoder import GriffinLimVocoder

CHECKPOINTS = Path(__file__).parent / "checkpoints"
UNET_WIDTH = {"mini-s": 16, "mini-s-v2": 16, "mini-m": 24, "mini-l": 32}  # the real ones: 128, 128, 192, 256
PROJECTION_DIM = 64  # of the text and audio embeddings; the real ones: 512
MAX_TOKENS = 64


def text_config(vocab_size: int) -> ClapTextConfig:
    """CLAP's text tower: a RoBERTa of 4 layers, 96 wide (the real one: 12 layers, 768 wide)."""
    return ClapTextConfig(
        vocab_size=vocab_size,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=384,
        max_position_embeddings=MAX_TOKENS + 2,
        projection_dim=PROJECTION_DIM,
        projection_hidden_act="relu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        dtype="float32",
    )


def audio_config() -> ClapAudioConfig:
    """CLAP's audio tower: a tiny HTSAT on log-mel patches."""
    return ClapAudioConfig(
        spec_size=128,
        num_mel_bins=N_MELS,
        patch_size=4,
        patch_stride=[4, 4],
        window_size=4,
        depths=[1, 1, 2, 1],
        num_attention_heads=[2, 2, 4, 8],
        patch_embeds_hidden_size=24,
        hidden_size=192,
        projection_dim=PROJECTION_DIM,
        projection_hidden_act="relu",
        enable_fusion=False,
        drop_path_rate=0.0,
        dtype="float32",
    )


def make_clap(vocab_size: int) -> ClapModel:
    """Both towers, untrained, as transformers' own `ClapModel`."""
    return ClapModel(
        ClapConfig(
            text_config=text_config(vocab_size).to_dict(),
            audio_config=audio_config().to_dict(),
            projection_dim=PROJECTION_DIM,
        )
    )


def make_vae() -> AutoencoderKL:
    """The VAE, untrained: factor 8 both ways (the real one: 4), so 2.56 s = mel 256 x 64 = latents 8 x 32 x 8."""
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        latent_channels=8,
        block_out_channels=(16, 32, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=256,
    )
    with torch.no_grad():  # log-mels lie around -5 with a spread of 3: start there
        vae.encoder.conv_in.weight /= 3
        vae.decoder.conv_out.weight *= 3
        vae.decoder.conv_out.bias.fill_(-5.0)
    return vae


def make_unet(width: int, class_embedding_factor: float = 6, **changes) -> UNet2DConditionModel:
    """The UNet, untrained: the real topology at an eighth of the width, one ResNet block a level instead of two.

    `changes` of its configuration, and of how loud the words start, are tried in `recipes.py`.
    """
    channels = (width, 2 * width, 3 * width, 5 * width)
    shape = {
        "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 3,
        "up_block_types": ("CrossAttnUpBlock2D",) * 3 + ("UpBlock2D",),
        "layers_per_block": 1,
        "class_embed_type": "simple_projection",
    }
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=8,
        out_channels=8,
        block_out_channels=channels,
        cross_attention_dim=channels,
        attention_head_dim=2,
        norm_num_groups=8,
        projection_class_embeddings_input_dim=PROJECTION_DIM,
        class_embeddings_concat=True,
        **{**shape, **changes},
    )
    with torch.no_grad():  # unit-norm embeddings have entries of 1/8: without this the words start unheard
        next(unet.class_embedding.parameters()).mul_(class_embedding_factor)
    return unet


def make_scheduler() -> DDIMScheduler:
    """DDIM with v-prediction, zero terminal SNR and trailing steps (the real one: epsilon, full schedule)."""
    return DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def text_tower(clap: ClapModel) -> ClapTextModelWithProjection:
    """The text half of a `ClapModel`, as the pipeline's `text_encoder`."""
    tower = ClapTextModelWithProjection(clap.config.text_config)
    tower.text_model.load_state_dict(clap.text_model.state_dict())
    tower.text_projection.load_state_dict(clap.text_projection.state_dict())
    return tower


def load_as_float32(folder: Path) -> None:
    """Have transformers load float16 files as float32, as diffusers does: its `config.json` decides."""
    path = folder / "config.json"
    settings = json.loads(path.read_text())
    for part in (settings, settings.get("text_config"), settings.get("audio_config")):
        if part is not None:
            part["dtype"] = part["torch_dtype"] = "float32"
    path.write_text(json.dumps(settings, indent=2) + "\n")


def save_checkpoint(folder: Path, *, tokenizer_files: Path, text_encoder, vae, unet, facts: dict | None = None) -> None:
    """Write a complete pipeline folder (float16 safetensors) that plain `AudioLDMPipeline.from_pretrained` loads.

    `facts` about the training are kept in training.json. The folder is written beside its place and moved there at
    the end: it is never half there.
    """
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    parts = {
        "text_encoder": text_encoder,
        "vae": vae,
        "unet": unet,
        "vocoder": GriffinLimVocoder(),
        "scheduler": make_scheduler(),
    }
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            part = copy.deepcopy(part).half()
        part.save_pretrained(unfinished / name)
    shutil.copytree(tokenizer_files, unfinished / "tokenizer")
    index = {"_class_name": "AudioLDMPipeline", "_diffusers_version": "0.42.1"}
    for name, part in parts.items():
        library = "utils.vocoder" if name == "vocoder" else type(part).__module__.split(".")[0]
        index[name] = [library, type(part).__name__]
    # RobertaTokenizer, not ...Fast: right on every transformers version (see lesson 01)
    index["tokenizer"] = ["transformers", "RobertaTokenizer"]
    (unfinished / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    load_as_float32(unfinished / "text_encoder")
    if facts:
        (unfinished / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)

"""Writes a vision-language model of about 1 MB with random weights, and two adapters for it, to serve in tests.

    PYTHON tests/vllm/tiny_models.py OUT CORPUS       PYTHON: the one that environment.py made; CORPUS: a text

The model is shaped like LLaVA: a CLIP tower for 56-pixel pictures (16 tokens each), a two-layer Llama and a byte-level
tokenizer trained on CORPUS. It says nothing sensible, but all of the serving path runs: chat template, pictures,
schemas, log-probabilities, prefix cache, LoRA. The weights are the same each time, and so are the answers at
temperature 0. Nothing here knows about the server.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

ADAPTERS = {"second-opinion": 1, "third-opinion": 2}  # the name and the seed of each
HIDDEN = 64
LAYERS = 2
PICTURE = 56
PATCH = 14
RANK = 4
SPREAD = 0.15  # of the initial weights; with transformers' 0.02 every next token would be about equally likely

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(corpus: str) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([corpus], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<image>"},
    )


def write_model(out: Path, corpus: str) -> None:
    """The model under its published names, so that it is loaded as any other is."""
    tokenizer = train_tokenizer(corpus)
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": PICTURE}, crop_size={"height": PICTURE, "width": PICTURE}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        image_token="<image>",
        num_additional_image_tokens=1,
    ).save_pretrained(out)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        image_size=PICTURE, patch_size=PATCH, projection_dim=32,
    )  # fmt: skip
    language = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, intermediate_size=128, num_hidden_layers=LAYERS,
        num_attention_heads=2, num_key_value_heads=2, head_dim=32, max_position_embeddings=16384,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=SPREAD,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision,
        text_config=language,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(PICTURE // PATCH) ** 2,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config).to(torch.bfloat16)
    model.save_pretrained(out)
    # transformers 5 drops a level of the vision tower that published checkpoints have and vLLM expects
    weights = {
        name.replace("vision_tower.", "vision_tower.vision_model.", 1): tensor
        for name, tensor in load_file(out / "model.safetensors").items()
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})


def write_adapter(out: Path, base: Path, seed: int) -> None:
    """A LoRA adapter as PEFT writes it, for the queries and values of the language model."""
    chance = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(LAYERS):
        for target in ("q_proj", "v_proj"):
            place = f"base_model.model.model.language_model.layers.{layer}.self_attn.{target}"
            weights[f"{place}.lora_A.weight"] = torch.randn(RANK, HIDDEN, generator=chance) * SPREAD
            weights[f"{place}.lora_B.weight"] = torch.randn(HIDDEN, RANK, generator=chance)
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": ["q_proj", "v_proj"],
    }
    (out / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def main(out: Path, corpus: Path) -> None:
    write_model(out / "model", corpus.read_text(encoding="utf-8"))
    for name, seed in ADAPTERS.items():
        write_adapter(out / name, out / "model", seed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

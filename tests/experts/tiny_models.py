"""Writes a tiny model of each architecture that encoders and tools read: configuration, random weights, other files.

    python tests/experts/tiny_models.py OUT

Needs torch, transformers and sentencepiece. The weights are random, so vectors mean nothing; all else is what a
published model's folder holds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CORPUS = "the optic disc is pale and cupped in glaucoma; a pulmonary nodule needs follow-up ct after three months"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;-?"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SEEN = {**LAYERS, "image_size": 28, "patch_size": 14}
SQUARE = {
    "do_resize": True, "size": {"height": 28, "width": 28}, "resample": 2, "do_rescale": True,
    "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
}  # fmt: skip
CROPPED = {
    **SQUARE, "size": {"shortest_edge": 32}, "resample": 3, "do_center_crop": True,
    "crop_size": {"height": 28, "width": 28}, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28],
}  # fmt: skip

SAM = {
    "do_resize": True, "size": {"longest_edge": 64}, "resample": 2, "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "do_pad": True,
    "pad_size": {"height": 64, "width": 64},
}  # fmt: skip


def bert(out: Path, seed: int = 0) -> None:
    """As sentence-transformers writes one: mean pooling, 32 tokens."""
    _bert(out, seed)
    _sentences(out, "mean_tokens", 32)


def bert_pair(out: Path, seed: int = 0) -> None:
    """As MedCPT: `query` and `article`, each a plain BERT."""
    _bert(out / "query", seed)
    _bert(out / "article", seed + 1)


def mpnet(out: Path, seed: int = 0) -> None:
    import transformers

    words = _words(out)
    _save(out, transformers.MPNetConfig(**LAYERS, vocab_size=words, max_position_embeddings=66), "MPNetModel", seed)
    _sentences(out, "cls_token", 500)


def clip(out: Path, seed: int = 0) -> None:
    import transformers

    text = {**LAYERS, "vocab_size": _words(out), "max_position_embeddings": 20, "eos_token_id": 3, "bos_token_id": 2}
    config = transformers.CLIPConfig(text_config={**text, "pad_token_id": 0}, vision_config=SEEN, projection_dim=24)
    _save(out, config, "CLIPModel", seed)
    _write(out / "preprocessor_config.json", CROPPED)


def siglip(out: Path, seed: int = 0) -> None:
    """With the SentencePiece tokenizer of SigLIP and MedSigLIP."""
    import sentencepiece

    out.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([CORPUS] * 20 + list(LETTERS)), model_prefix=str(out / "spiece"), vocab_size=80,
        hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="nmt_nfkc_cf",
        minloglevel=2,
    )  # fmt: skip
    (out / "spiece.vocab").unlink()
    _write(out / "tokenizer_config.json", {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>"})
    _siglip(out, seed)


def siglip2(out: Path, seed: int = 0) -> None:
    """SigLIP 2 at a fixed resolution: the network of SigLIP, the tokenizer of Gemma."""
    import transformers

    special = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<mask>": 4}
    symbols = [*LETTERS, *LETTERS[:26].upper(), "▁"]
    vocabulary = {**special, **{symbol: number for number, symbol in enumerate(symbols, start=5)}}
    transformers.GemmaTokenizer(vocab=vocabulary, merges=[]).save_pretrained(out)
    _siglip(out, seed)


def dinov2(out: Path, seed: int = 0) -> None:
    import transformers

    _save(out, transformers.Dinov2Config(**{**SEEN, "mlp_ratio": 2}), "Dinov2Model", seed)
    _write(out / "preprocessor_config.json", CROPPED)


def dinov3(out: Path, seed: int = 0) -> None:
    import transformers

    _save(out, transformers.DINOv3ViTConfig(**SEEN, num_register_tokens=2), "DINOv3ViTModel", seed)
    _write(out / "preprocessor_config.json", SQUARE)


def vit(out: Path, seed: int = 0) -> None:
    import transformers

    _save(out, transformers.ViTConfig(**SEEN), "ViTModel", seed)
    _write(out / "preprocessor_config.json", SQUARE)


def sam(out: Path, seed: int = 0) -> None:
    """Segment Anything, for pictures scaled to 64 × 64."""
    import transformers

    vision = {
        "hidden_size": 32, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 64,
        "patch_size": 8, "window_size": 4, "global_attn_indexes": [1], "num_pos_feats": 8, "mlp_dim": 64,
    }  # fmt: skip
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4}
    decoder = {
        "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
    }  # fmt: skip
    config = transformers.SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    _save(out, config, "SamModel", seed)
    _write(out / "preprocessor_config.json", SAM)


def _bert(out: Path, seed: int) -> None:
    import transformers

    config = transformers.BertConfig(**LAYERS, vocab_size=_words(out), max_position_embeddings=64)
    _save(out, config, "BertModel", seed)


def _siglip(out: Path, seed: int) -> None:
    import transformers

    text = {**LAYERS, "vocab_size": 128, "max_position_embeddings": 64}
    config = transformers.SiglipConfig(text_config={**text, "projection_size": 32}, vision_config=SEEN)
    _save(out, config, "SiglipModel", seed)
    _write(out / "preprocessor_config.json", {**SQUARE, "resample": 3})


def _words(out: Path) -> int:
    """A WordPiece tokenizer of single letters and the corpus's words; returns how many tokens it knows."""
    import tokenizers
    import transformers

    pieces = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *sorted(set(CORPUS.split()) - set(LETTERS))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    model = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    model.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    model.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], SPECIAL, strict=True))
    transformers.PreTrainedTokenizerFast(tokenizer_object=model, **names).save_pretrained(out)
    return len(vocabulary)


def _save(out: Path, config: Any, network: str, seed: int) -> None:
    import torch
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, network)(config).eval()
        for tensor in (tensor for tensor in model.parameters() if tensor.ndim > 1):
            torch.nn.init.normal_(tensor, std=0.5)  # as they are initialised, all vectors would be much alike
    model.save_pretrained(out)


def _sentences(out: Path, pooling: str, longest: int) -> None:
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [{"idx": n, "type": f"sentence_transformers.models.{kind}"} for n, kind in enumerate(kinds)]
    _write(out / "modules.json", modules)
    _write(out / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, f"pooling_mode_{pooling}": True})
    _write(out / "sentence_bert_config.json", {"max_seq_length": longest})


def _write(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


WRITE: dict[str, Callable[..., None]] = {
    "bert": bert, "bert pair": bert_pair, "mpnet": mpnet, "clip": clip, "siglip": siglip, "siglip2": siglip2,
    "dinov2": dinov2, "dinov3": dinov3, "vit": vit,
}  # fmt: skip
OTHERS: dict[str, Callable[..., None]] = {"sam": sam}


if __name__ == "__main__":
    for title, write in {**WRITE, **OTHERS}.items():
        write(Path(sys.argv[1]) / title.replace(" ", "-"))

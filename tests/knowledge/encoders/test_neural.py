"""Trained encoders against transformers by hand, and what they refuse to load. Needs torch."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from polyclinic.core.errors import InputError, MissingExtraError
from polyclinic.knowledge.encoders.load import MINILM, load_encoder
from polyclinic.knowledge.encoders.protocol import Vectors

TEXTS = ["the optic disc is pale and cupped", "A nodule.", "glaucoma " * 60, ""]


def unit(rows: Any) -> Vectors:
    found = np.asarray(rows)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def by_hand(folder: Path, texts: list[str], pooling: str, longest: int) -> Vectors:
    """One text at a time, as a model card would have it."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")
        with torch.no_grad():
            states = model(input_ids=tokens["input_ids"]).last_hidden_state[0]
        rows.append((states[0] if pooling == "cls" else states.mean(dim=0)).numpy())
    return unit(rows)


def test_minilm_is_its_own_mean_pooling_and_knows_what_is_alike(tiny_models: ModuleType) -> None:
    found = importlib.util.find_spec(MINILM)
    if found is None or found.origin is None:
        pytest.skip(f"the package {MINILM} is not installed: type python tests/experts/run.py")
    encoder = load_encoder("minilm")
    texts = [*TEXTS, "What treats type 2 diabetes?", "Metformin lowers blood glucose.", "A fracture of the hip."]
    vectors = encoder.encode_texts(texts)
    assert encoder.dimension == 384
    cosines = (vectors * by_hand(Path(found.origin).parent / "model", texts, "mean", 256)).sum(axis=1)
    assert cosines.min() > 0.9999
    assert vectors[4] @ vectors[5] > vectors[4] @ vectors[6] + 0.2
    np.testing.assert_allclose(encoder.encode_texts(texts, query=True), vectors, atol=1e-6)


@pytest.mark.parametrize(("title", "pooling", "longest"), [("bert", "mean", 32), ("mpnet", "cls", 64)])
def test_sentences_are_pooled_and_cut_as_the_folder_says(
    tmp_path: Path, tiny_models: ModuleType, title: str, pooling: str, longest: int
) -> None:
    tiny_models.WRITE[title](tmp_path)
    vectors = load_encoder(str(tmp_path)).encode_texts(TEXTS)
    np.testing.assert_allclose(vectors, by_hand(tmp_path, TEXTS, pooling, longest), atol=1e-5)


def test_a_pair_has_an_encoder_for_questions_and_one_for_passages(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.bert_pair(tmp_path)
    encoder = load_encoder(f"{tmp_path / 'query'},{tmp_path / 'article'}")
    questions, passages = encoder.encode_texts(TEXTS, query=True), encoder.encode_texts(TEXTS)
    np.testing.assert_allclose(questions, by_hand(tmp_path / "query", TEXTS, "cls", 64), atol=1e-5)
    np.testing.assert_allclose(passages, by_hand(tmp_path / "article", TEXTS, "cls", 64), atol=1e-5)
    turned = load_encoder(f"{tmp_path / 'article'},{tmp_path / 'query'}")
    assert turned.identity != encoder.identity


def test_prompts_stand_before_questions_and_passages(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.bert(tmp_path)
    plain = load_encoder(str(tmp_path))
    before = plain.identity
    prompts = {"prompts": {"query": "query: ", "passage": "passage: "}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    prompted = load_encoder(str(tmp_path))
    np.testing.assert_array_equal(prompted.encode_texts(["a"], query=True), plain.encode_texts(["query: a"]))
    np.testing.assert_array_equal(prompted.encode_texts(["a"]), plain.encode_texts(["passage: a"]))
    assert prompted.identity != before


@pytest.mark.parametrize("title", ["clip", "siglip", "siglip2"])
def test_clip_and_siglip_are_as_transformers_has_them(tmp_path: Path, tiny_models: ModuleType, title: str) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from polyclinic.knowledge.encoders.folder import ModelFolder
    from polyclinic.knowledge.encoders.preprocess import preprocessing

    tiny_models.WRITE[title](tmp_path)
    texts = [text.lower() for text in TEXTS] if title == "siglip2" else TEXTS
    padding, longest = ("longest", 20) if title == "clip" else ("max_length", 64)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokens = tokenizer(texts, padding=padding, truncation=True, max_length=longest, return_tensors="pt")
    mask = {"attention_mask": tokens["attention_mask"]} if title == "clip" else {}
    picture = np.random.default_rng(0).integers(0, 256, (60, 50, 3)).astype(np.uint8)
    model = AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        words = model.get_text_features(input_ids=tokens["input_ids"], **mask).pooler_output.numpy()
        pixels = torch.from_numpy(preprocessing(ModelFolder(tmp_path))(picture))[None]
        seen = model.get_image_features(pixel_values=pixels).pooler_output.numpy()
    encoder = load_encoder(str(tmp_path))
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), unit(words), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_pictures([picture]), unit(seen), atol=1e-5)


@pytest.mark.parametrize("title", ["dinov2", "dinov3"])
def test_a_picture_is_the_pooler_output_of_dino(tmp_path: Path, tiny_models: ModuleType, title: str) -> None:
    import torch
    from transformers import AutoModel

    from polyclinic.knowledge.encoders.folder import ModelFolder
    from polyclinic.knowledge.encoders.preprocess import preprocessing

    tiny_models.WRITE[title](tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (60, 50)).astype(np.uint8)
    with torch.no_grad():
        pixels = torch.from_numpy(preprocessing(ModelFolder(tmp_path))(picture))[None]
        expected = AutoModel.from_pretrained(tmp_path).eval()(pixel_values=pixels).pooler_output.numpy()
    np.testing.assert_allclose(load_encoder(str(tmp_path)).encode_pictures([picture]), unit(expected), atol=1e-5)


class Opens:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return open, (str(self.file), "w")


def as_pickle(folder: Path, **more: Any) -> None:
    """Writes the weights as pytorch_model.bin instead; None leaves one out."""
    import torch
    from safetensors.torch import load_file

    weights = {**load_file(folder / "model.safetensors"), **more}
    torch.save({name: value for name, value in weights.items() if value is not None}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def test_other_weights_are_read_and_never_executed(tmp_path: Path, tiny_models: ModuleType) -> None:
    for name in ("good", "bad"):
        tiny_models.bert(tmp_path / name)
    expected = load_encoder(str(tmp_path / "good")).encode_texts(TEXTS)
    as_pickle(tmp_path / "good")
    np.testing.assert_array_equal(load_encoder(str(tmp_path / "good")).encode_texts(TEXTS), expected)
    as_pickle(tmp_path / "bad", **{"embeddings.LayerNorm.bias": Opens(tmp_path / "executed")})
    with pytest.raises(InputError, match=r"a whole bert model whose files execute nothing; got UnpicklingError"):
        load_encoder(str(tmp_path / "bad")).encode_texts(TEXTS)
    assert not (tmp_path / "executed").exists()


def test_a_missing_weight_is_not_made_up(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.bert(tmp_path)
    as_pickle(tmp_path, **{"embeddings.LayerNorm.bias": None})
    with pytest.raises(InputError, match=r"1 weights are missing or of another size, such as embeddings\.LayerNorm"):
        load_encoder(str(tmp_path)).encode_texts(["a"])


def test_a_torn_file_is_an_error_of_ours(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.vit(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:999])
    with pytest.raises(InputError, match=r"a whole vit model"):
        load_encoder(str(tmp_path)).encode_pictures([np.zeros((3, 3), dtype=np.uint8)])


def test_code_in_a_folder_is_not_looked_at(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.bert(tmp_path)
    expected = load_encoder(str(tmp_path)).encode_texts(TEXTS)
    config = json.loads((tmp_path / "config.json").read_text())
    named = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": named}))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    np.testing.assert_array_equal(load_encoder(str(tmp_path)).encode_texts(TEXTS), expected)
    assert not (tmp_path / "executed").exists()


def test_a_package_that_a_tokenizer_needs_is_named(
    tmp_path: Path, tiny_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def refuse(*_: Any, **__: Any) -> Any:
        raise ImportError("SiglipTokenizer requires the SentencePiece library")

    tiny_models.siglip2(tmp_path)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install sentencepiece protobuf"):
        load_encoder(str(tmp_path)).encode_texts(["a"])


def test_the_two_of_a_pair_have_one_length(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.bert_pair(tmp_path)
    config = tmp_path / "query" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_size": 64}))
    with pytest.raises(InputError, match=r"one length; got 64 and 32"):
        load_encoder(f"{tmp_path / 'query'},{tmp_path / 'article'}")

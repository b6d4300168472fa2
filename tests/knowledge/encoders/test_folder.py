"""What a model's folder says, read without torch; and what it must not lack."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError
from polyclinic.knowledge.encoders.folder import ModelFolder


def write(folder: Path, **files: Any) -> Path:
    """The files as JSON; `config` and `weights` are given where they are not named."""
    named = {"config": {"model_type": "bert", "hidden_size": 8, "max_position_embeddings": 100}, **files}
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in named.items():
        file = folder / f"{name.replace('__', '/')}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(value))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_plain_model(tmp_path: Path) -> None:
    folder = ModelFolder(write(tmp_path))
    assert (folder.reads, folder.dimension, folder.longest, folder.pooling) == (frozenset({"text"}), 8, 100, None)
    assert folder.prompts() == ("", "")
    assert folder.weights == ("model.safetensors",)


@pytest.mark.parametrize(
    ("config", "dimension", "longest"),
    [
        ({"model_type": "distilbert", "dim": 12, "max_position_embeddings": 50}, 12, 50),
        ({"model_type": "roberta", "hidden_size": 8, "max_position_embeddings": 514, "pad_token_id": 1}, 8, 512),
        ({"model_type": "clip", "projection_dim": 16, "text_config": {}}, 16, 77),
        ({"model_type": "siglip", "text_config": {"hidden_size": 1152}}, 1152, 64),
        ({"model_type": "siglip"}, 768, 64),
        ({"model_type": "dinov2", "hidden_size": 384}, 384, 512),
    ],
)
def test_lengths(tmp_path: Path, config: dict[str, Any], dimension: int, longest: int) -> None:
    folder = ModelFolder(write(tmp_path, config=config))
    assert (folder.dimension, folder.longest) == (dimension, longest)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_sentence_transformers_say_how_to_pool(tmp_path: Path, pooling: dict[str, Any], expected: str) -> None:
    kinds = [{"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Pooling", "Normalize")]
    folder = ModelFolder(
        write(
            tmp_path, modules=kinds, **{"1_Pooling__config": pooling}, sentence_bert_config={"max_seq_length": 40},
            config_sentence_transformers={"prompts": {"query": "Q: ", "document": "D: "}},
        )
    )  # fmt: skip
    assert folder.pooling == expected
    assert folder.longest == 40
    assert folder.prompts() == ("Q: ", "D: ")


def test_what_it_could_not_do_right_is_refused(tmp_path: Path) -> None:
    dense = ModelFolder(write(tmp_path / "a", modules=[{"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(InputError, match=r"Dense in modules\.json"):
        _ = dense.pooling
    both = {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}
    with pytest.raises(InputError, match=r"pooling_mode_max_tokens"):
        _ = ModelFolder(write(tmp_path / "b", **{"1_Pooling__config": both})).pooling


def test_what_it_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a model's folder with config\.json"):
        ModelFolder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"JSON in config\.json"):
        ModelFolder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match=r"albert, bert, .*siglip.*; got the type 'llama'"):
        ModelFolder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match=r"weights in model\.safetensors"):
        ModelFolder(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    assert not ModelFolder(tmp_path).safe
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert ModelFolder(tmp_path).weights == ("model.safetensors",)


@given(st.recursive(st.none() | st.booleans() | st.text(max_size=5) | st.integers(), st.lists, max_leaves=5))
def test_a_config_that_is_no_table_is_refused(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "config.json").write_text(json.dumps(value))
    with pytest.raises(InputError):
        ModelFolder(folder)


def test_the_hash_covers_each_file_that_matters_and_no_other(tmp_path: Path) -> None:
    folder = write(tmp_path, tokenizer={"a": 1})
    seen = [ModelFolder(folder).hash()]
    (folder / "README.md").write_text("words")
    assert ModelFolder(folder).hash() == seen[0]
    for name in ("tokenizer.json", "model.safetensors", "preprocessor_config.json", "vocab.txt"):
        file = folder / name
        file.write_bytes(b"other" + file.read_bytes() if file.exists() else b"here")
        os.utime(file, ns=(1, len(seen)))  # clocks are too coarse to be relied on
        seen.append(ModelFolder(folder).hash())
    assert len(set(seen)) == len(seen)


def test_weights_in_parts_are_all_hashed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "model.safetensors").unlink()
    table = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(table))
    (folder / "model-1.safetensors").write_bytes(b"1")
    (folder / "model-2.safetensors").write_bytes(b"2")
    before = ModelFolder(folder).hash()
    (folder / "model-2.safetensors").write_bytes(b"22")
    assert ModelFolder(folder).hash() != before

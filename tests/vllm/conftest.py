"""Hands tests the modules that lie beside them: this is a folder of scripts, not a package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def figures() -> ModuleType:
    """The module figures.py."""
    spec = importlib.util.spec_from_file_location("figures", Path(__file__).with_name("figures.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["figures"] = module  # dataclasses look their own module up by name
    spec.loader.exec_module(module)
    return module

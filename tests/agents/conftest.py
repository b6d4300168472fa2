"""Small real pictures for cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image as Picture


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A grey picture with something to see in it."""
    path = tmp_path / "noise.png"
    Picture.effect_noise((160, 160), 90).save(path)
    return path

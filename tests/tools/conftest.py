"""What the tool tests share: an empty store, and real pictures from the installed scikit-image and pydicom."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image
from polyclinic.tools.imaging.store import ImageStore, TakenIn


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def store(blobs: Blobs) -> ImageStore:
    return ImageStore(blobs)


@pytest.fixture
def take(store: ImageStore, tmp_path: Path) -> Callable[..., TakenIn]:
    """Takes in a path, bytes or an array; keywords go to the Image."""
    made = 0

    def take_in(source: str | bytes | NDArray[Any], **stated: Any) -> TakenIn:
        nonlocal made
        if isinstance(source, np.ndarray):
            buffer = io.BytesIO()
            PIL.Image.fromarray(source).save(buffer, "PNG")
            source = buffer.getvalue()
        if isinstance(source, bytes):
            made += 1
            file = tmp_path / f"given-{made}"
            file.write_bytes(source)
            source = str(file)
        return store.take_in(Image(path=source, **stated), base=tmp_path, root=None)

    return take_in

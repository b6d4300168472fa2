"""What the tests of classical tools share: CT values stored as a slice or as a volume."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from polyclinic.core.blobs import Blobs
from polyclinic.tools.imaging.pixels import AXIAL, Spacing3, packed


@pytest.fixture
def put_hu(blobs: Blobs) -> Callable[[NDArray[np.float32]], str]:
    """Stores a slice (H, W) in HU and returns its blob."""

    def put(hu: NDArray[np.float32]) -> str:
        return blobs.put(packed(hu, "HU"))

    return put


@pytest.fixture
def put_volume(blobs: Blobs) -> Callable[..., str]:
    """Stores a volume (Z, Y, X) in HU, of 2 mm voxels unless another spacing (or None) is given."""

    def put(hu: NDArray[np.float32], spacing_mm: Spacing3 | None = (2.0, 2.0, 2.0), axes: str = AXIAL) -> str:
        return blobs.put(packed(hu, "HU", spacing_mm=spacing_mm, axes=axes))

    return put

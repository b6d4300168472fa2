"""Pixels as pictures that people and models can look at: grey levels, outlines. It measures nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .imaging.store import Pixels

SOFT_TISSUE_HU = (-160.0, 240.0)


def as_picture(pixels: Pixels) -> NDArray[np.uint8]:
    """`pixels` as uint8 RGB (H, W, 3): HU in a soft-tissue window, other float data between its 0.5th and 99.5th
    percentile, 8-bit data as it is."""
    import numpy as np

    array: NDArray[Any] = pixels.array
    if array.dtype != np.uint8:
        low, high = SOFT_TISSUE_HU if pixels.unit == "HU" else np.percentile(array, (0.5, 99.5))
        scaled = (array.astype(np.float32) - low) / max(float(high - low), 1e-6)
        array = (np.clip(scaled, 0.0, 1.0) * 255.0).round().astype(np.uint8)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    return array.astype(np.uint8, copy=False)


def outlined(
    picture: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int] = (0, 255, 255)
) -> NDArray[np.uint8]:
    """A copy of `picture` (H, W, 3) with the border of `mask` (H, W) drawn in `colour`."""
    import numpy as np
    from scipy import ndimage

    width = max(1, round(max(mask.shape) / 700))
    inner = ndimage.binary_erosion(mask, iterations=width, border_value=1)
    drawn = picture.copy()
    drawn[mask & ~inner] = np.array(colour, dtype=np.uint8)
    return drawn

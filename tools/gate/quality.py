"""Whether an image can be read at all: blank, dark, flat, blurred, over-exposed, tiny. It does not know the anatomy.

The limits were set so that no picture of fourteen public data sets is stopped (see bench/tool_figures.py): stopping is
only for pictures in which there is nothing to see. Long sides beyond 512 px are averaged down to that first, so that
the sharpness of large and small pictures can be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..card import Figure, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..imaging.raster import resized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore, Pixels

_LONG_SIDE_PX = 512
_STOP_SIDE_PX, _SMALL_SIDE_PX = 16, 128
_BLANK_RANGE, _FLAT_RANGE, _BLACK_LEVEL = 0.03, 0.12, 0.04
_BLURRED, _CLIPPED_SHARE = 0.1, 0.15


class Quality(ToolOutput):
    """A verdict with its observations in plain words. The limitations repeat them unless the verdict is `go`."""

    verdict: Literal["go", "go_with_limitation", "stop"]
    observations: tuple[str, ...]
    contrast: Measurement
    sharpness: Measurement
    clipped: Measurement
    short_side: Measurement


def grey_levels(pixels: Pixels) -> NDArray[np.float32]:
    """Brightness from 0 to 1, (H, W): 8 bits over 255, -1000 to 1000 HU, other values over their largest."""
    import numpy as np

    array = pixels.array
    if array.dtype == np.uint8:
        grey = array.astype(np.float32) / 255.0
        weights = np.array((0.299, 0.587, 0.114), dtype=np.float32)
        return np.asarray(grey @ weights, dtype=np.float32) if grey.ndim == 3 else grey
    values = array.astype(np.float32)
    if pixels.unit == "HU":
        return np.asarray(np.clip((values + 1000.0) / 2000.0, 0.0, 1.0), dtype=np.float32)
    shifted = values - min(0.0, float(values.min()))
    return np.asarray(shifted / max(float(shifted.max()), 1e-12), dtype=np.float32)


def _averaged(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """`grey` with a long side of at most 512 px, by area averages, in steps of 1/255."""
    import numpy as np

    scale = _LONG_SIDE_PX / max(grey.shape)
    if scale >= 1.0:
        return grey
    shape = (max(1, round(grey.shape[0] * scale)), max(1, round(grey.shape[1] * scale)))
    small = resized((grey * 255.0).round().astype(np.uint8), shape)
    return np.asarray(small, dtype=np.float32) / np.float32(255.0)


def _run(arguments: ImageArguments, images: ImageStore) -> Quality:
    import numpy as np
    from scipy import ndimage

    pixels = images.open(arguments.image)
    side = min(pixels.array.shape[:2])
    grey = _averaged(grey_levels(pixels))
    low, high = (float(value) for value in np.percentile(grey, (0.5, 99.5)))
    spread = high - low
    sharpness = 1000.0 * float(ndimage.laplace(grey).var()) / max(spread, 0.02) ** 2
    clipped = float((grey >= 0.998).mean()) if pixels.unit != "HU" else 0.0
    stops = _reasons_to_stop(side, spread, high)
    notes = stops or _observations(side, spread, sharpness, clipped)
    verdict: Literal["go", "go_with_limitation", "stop"] = "stop" if stops else "go_with_limitation" if notes else "go"
    return Quality(
        verdict=verdict,
        observations=notes or ("The image is evenly exposed and sharp enough to read.",),
        limitations=notes,
        contrast=measured("contrast", 100.0 * spread, "%", "The image uses {} of its brightness range.", digits=0),
        sharpness=measured("sharpness", sharpness, "1", "The image's sharpness index is {}.", digits=1),
        clipped=measured("clipped", 100.0 * clipped, "%", "{} of the image is saturated to white.", digits=1),
        short_side=measured("short_side", side, "px", "The image's short side is {}.", digits=0),
    )


def _reasons_to_stop(side: int, spread: float, high: float) -> tuple[str, ...]:
    found = []
    if side < _STOP_SIDE_PX:
        found.append("The image is too small to show anything.")
    if high < _BLACK_LEVEL:
        found.append("The image is nearly black.")
    elif spread < _BLANK_RANGE:
        found.append("The image is blank: one even tone without structure.")
    return tuple(found)


def _observations(side: int, spread: float, sharpness: float, clipped: float) -> tuple[str, ...]:
    found = []
    if side < _SMALL_SIDE_PX:
        found.append("The image is very small; fine detail cannot be judged.")
    if spread < _FLAT_RANGE:
        found.append("The image has very low contrast.")
    if sharpness < _BLURRED:
        found.append("The image looks blurred or was enlarged from a smaller one.")
    if clipped > _CLIPPED_SHARE:
        found.append("A large part of the image is over-exposed.")
    return tuple(found)


GATE = Tool(
    card=ToolCard(
        name="image_quality",
        version="1.0.0",
        summary="Says whether an image can be read: blank, dark, flat, blurred, over-exposed or very small.",
        measures=("contrast in %", "sharpness index", "saturated share in %", "short side in px"),
        modalities=(),
        figures=(
            Figure(
                metric="share of real pictures stopped",
                value=0.0,
                dataset="fourteen public sets",
                n=1846,
                interval=(0.0, 0.002),
            ),
        ),
        limits=(
            "It does not check the body part, the view, or whether text is burnt in.",
            "Its limits were set on samples of the same sets as its figure.",
        ),
    ),
    arguments=ImageArguments,
    output=Quality,
    run=_run,
)

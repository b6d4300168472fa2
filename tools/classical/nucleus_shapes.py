"""Whether regions have the shapes and sizes that nuclei in a micrograph have. It knows neither stain nor brightness.

Organs, bones, folds and speckle that a threshold or a network takes for nuclei are larger, or notched: solidity is the
share of a region's convex hull that it fills. The limits lie clear of all 28 pictures of the DSB 2018 sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_LOOKED_AT, _LEAST_PX = 200, 12
_NOTCHED_BELOW = 0.85


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Of a picture's regions: the median diameter over the picture's short side, the mean solidity, each region
    counting by its area, and the share of them that are notched, all 0 to 1."""

    size: float
    solidity: float
    notched: float


def shapes(labels: NDArray[np.integer[Any]]) -> Shapes:
    """The shapes in `labels` (H, W), 0 is background, with one region at least; solidity is that of the 200 largest."""
    import numpy as np
    from skimage.measure import regionprops

    regions = sorted(regionprops(labels), key=lambda region: (-region.area, region.label))
    areas = np.array([region.area for region in regions], dtype=np.float64)
    looked_at = [region for region in regions[:_MOST_LOOKED_AT] if region.area >= _LEAST_PX] or regions[:1]
    filled = np.array([region.solidity for region in looked_at])
    weight = areas[: filled.size]
    return Shapes(
        size=float(2.0 * np.sqrt(np.median(areas) / np.pi)) / min(labels.shape),
        solidity=float((filled * weight).sum() / weight.sum()),
        notched=float((filled < _NOTCHED_BELOW).mean()),
    )


def no_nuclei(found: Shapes, *, largest: float, solidity: float, notched: float) -> str:
    """What speaks against nuclei, in words for a refusal; "" for nothing. `largest` is of `size`, the others are the
    least mean solidity and the largest share of notched regions."""
    if found.size > largest:
        return f"a picture whose median region is as wide as {100 * found.size:.0f} % of it"
    if found.solidity < solidity or found.notched > notched:
        return "a picture whose regions are not round or oval, as nuclei are"
    return ""


def touching(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """The pixels (H, W) of nuclei that have to go so that no two meet, not even at a corner: a mask of the rest
    tells them apart."""
    import numpy as np

    left = labels.copy()
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = left[: left.shape[0] - down, max(0, -across) : left.shape[1] - max(0, across)]
        there = left[down:, max(0, across) : left.shape[1] - max(0, -across)]
        here[(here > 0) & (there > 0) & (here != there)] = 0
    return np.asarray((labels > 0) & (left == 0))

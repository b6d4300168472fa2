"""Whether the border of what a picture shows is a circle, as in a fundus photograph. It knows nothing of the retina.

A fundus camera shows a disc on black, often cut off at the top and bottom or at all sides; an endoscope shows a square
with cut corners, a lens shape, or fills the picture. So a circle is fitted to the border that does not lie on the
picture's own edge (algebraic least squares after Kåsa, IEEE Trans Instrum Meas 1976;25:8-14, reweighted so that notches
and letters beside the field do not count). The limits lie between CHASE_DB1 and DRIVE on the one hand and Kvasir-SEG on
the other, which keep far from them (see the cards of the fundus tools).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..card import Figure
from ..imaging.raster import resized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONG_SIDE_PX = 256
_SHOWN, _LEAST_LEVEL = 0.1, 15.0  # of the bright tissue's brightness; below is the black ground
_EDGE_PX, _FEWEST = 2, 30
_NEAR, _ROUNDS = 0.01, 10
_LEAST_ON_CIRCLE, _LEAST_ARC = 0.6, 0.3
_DIRECTIONS = 72

ROUND_FIELD_FIGURES = (
    Figure(
        metric="share of colonoscopy pictures refused", value=1.0, dataset="Kvasir-SEG, a sample", n=48,
        interval=(0.926, 1.0),
    ),
    Figure(
        metric="share of fundus photographs refused for their field's shape", value=0.0,
        dataset="CHASE_DB1 and DRIVE training", n=48, interval=(0.0, 0.074),
    ),
)  # fmt: skip
"""Of `round_field`; the limits were set on these pictures."""

ROUND_FIELD_LIMIT = (
    "A photograph cut so far that less than a third of its round border is left is refused: without that border it "
    "cannot be told from an endoscope's. An endoscope with a round field would be measured."
)


def round_field(rgb: NDArray[np.uint8]) -> bool:
    """Whether what uint8 RGB (H, W, 3) shows ends in a circle wherever it ends inside the picture."""
    on_circle, arc = roundness(_shown(rgb))
    return on_circle >= _LEAST_ON_CIRCLE and arc >= _LEAST_ARC


def roundness(shown: NDArray[np.bool_]) -> tuple[float, float]:
    """The share (0 to 1) of the border of `shown` (H, W), off the picture's edge, that lies on one circle, and the
    share of that circle it makes up; (0.0, 0.0) where nearly all of the border is the picture's edge."""
    import numpy as np
    from scipy import ndimage

    rows, columns = np.nonzero(shown & ~ndimage.binary_erosion(shown, border_value=1))
    height, width = shown.shape
    free = (rows >= _EDGE_PX) & (rows < height - _EDGE_PX) & (columns >= _EDGE_PX) & (columns < width - _EDGE_PX)
    y, x = rows[free].astype(np.float64), columns[free].astype(np.float64)
    if y.size < _FEWEST:
        return 0.0, 0.0
    weight = np.ones_like(x)
    for _ in range(_ROUNDS - 1):
        x0, y0, radius = _circle(x, y, weight)
        off = np.abs(np.hypot(x - x0, y - y0) - radius)
        weight = np.where(off < 4.0 * max(1.0, float(np.median(off))), 1.0, 0.01)
    x0, y0, radius = _circle(x, y, weight)
    near = np.abs(np.hypot(x - x0, y - y0) - radius) < _NEAR * radius
    angles = np.arctan2(y[near] - y0, x[near] - x0)
    directions = np.unique(np.floor((angles / np.pi + 1.0) * 0.5 * _DIRECTIONS).astype(int) % _DIRECTIONS)
    return float(near.mean()), directions.size / _DIRECTIONS


def _circle(x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float, float]:
    """The middle (x, y) and the radius of the circle nearest to weighted points (n)."""
    import numpy as np

    terms = np.column_stack([x, y, np.ones_like(x)]) * weight[:, None]
    across, down, rest = np.linalg.lstsq(terms, (x**2 + y**2) * weight, rcond=None)[0]
    x0, y0 = float(across) / 2.0, float(down) / 2.0
    return x0, y0, float(np.sqrt(max(1.0, float(rest) + x0**2 + y0**2)))


def _shown(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The largest region that is not black, its holes filled, at a long side of at most _LONG_SIDE_PX."""
    import numpy as np
    from scipy import ndimage

    scale = min(1.0, _LONG_SIDE_PX / max(rgb.shape[:2]))
    small = resized(rgb, (max(1, round(rgb.shape[0] * scale)), max(1, round(rgb.shape[1] * scale)))).max(axis=2)
    level = max(_SHOWN * float(np.percentile(small, 90)), _LEAST_LEVEL)
    framed = np.pad(small > level, 3, mode="edge")  # an opening must not eat what the picture's edge cuts
    labels, count = ndimage.label(ndimage.binary_opening(framed, iterations=2)[3:-3, 3:-3])
    if not count:
        return np.zeros(small.shape, dtype=np.bool_)
    return np.asarray(ndimage.binary_fill_holes(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())))
